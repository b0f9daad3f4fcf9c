//! Binds workspaces that wait for a Hetzner token.
