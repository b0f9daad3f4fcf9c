//! The Hetzner Cloud API, simulated: a state machine with its own clock and a server around it.
