"""What scripts/bench is made of. Python 3.9 or newer, nothing else; stack and settings are those of conformance_kit."""
