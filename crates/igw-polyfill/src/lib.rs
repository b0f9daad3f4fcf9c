//! The internet gateway that Hetzner lacks, as pure decisions.
