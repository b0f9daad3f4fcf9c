//! SECA on Hetzner Cloud: one pure mapping per kind and the executor of steps.
