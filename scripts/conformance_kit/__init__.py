"""What scripts/conformance and scripts/check-conformance-report share. Python 3.9 or newer, nothing else."""


class Problem(Exception):
    """Something that the user can mend; its text is a sentence."""
