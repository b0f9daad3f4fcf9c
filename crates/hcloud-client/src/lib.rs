//! A typed, header-aware Hetzner Cloud client: tolerant types, error classes, retry rules, rate budget, action poller.
