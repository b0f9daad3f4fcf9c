//! The HTTP face: SECA providers, admin API, health, errors.
