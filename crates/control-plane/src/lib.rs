//! What the product does: kinds, admission, state machine, engine and the ports it needs.
