//! Server types. Prices are left out: nothing here bills.

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use super::open_enum::open_enum;
use super::wire::{null_default, whole};
use super::{Id, Location};

open_enum! {
    /// Instruction set.
    Architecture { X86 = "x86", Arm = "arm" }
}
open_enum! {
    /// Whether cores are shared with other tenants.
    CpuType { Shared = "shared", Dedicated = "dedicated" }
}

/// A server type (`cx23`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ServerType {
    /// Id.
    pub id: Id<ServerType>,
    /// Unique name (`cx23`).
    pub name: String,
    /// Human-readable description.
    #[serde(default)]
    pub description: String,
    /// Virtual cores.
    #[serde(deserialize_with = "whole")]
    pub cores: u64,
    /// Memory in GB; some types have fractions.
    pub memory: f64,
    /// Local disk in GB.
    #[serde(deserialize_with = "whole")]
    pub disk: u64,
    /// Kind of cores.
    pub cpu_type: CpuType,
    /// Instruction set.
    pub architecture: Architecture,
    /// Category (`Shared vCPU`), where the provider gives one.
    #[serde(default)]
    pub category: Option<String>,
    /// Deprecation of the type as a whole; obsolete since 2025-09-24, see [`ServerTypeLocation`].
    #[serde(default)]
    pub deprecation: Option<Deprecation>,
    /// Where the type exists, and since 2026-04-01 whether it can be had there.
    #[serde(default, deserialize_with = "null_default")]
    pub locations: Vec<ServerTypeLocation>,
}

/// A server type in one location.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ServerTypeLocation {
    /// The location's id.
    pub id: Id<Location>,
    /// The location's name.
    pub name: String,
    /// Set once the type is being withdrawn here.
    #[serde(default)]
    pub deprecation: Option<Deprecation>,
    /// Whether there is stock; a hint that can be wrong (since 2026-04-01).
    #[serde(default)]
    pub available: Option<bool>,
    /// Whether the provider recommends the type here (since 2026-04-01).
    #[serde(default)]
    pub recommended: Option<bool>,
}

/// When something is withdrawn.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deprecation {
    /// When the withdrawal was announced.
    #[serde(with = "time::serde::rfc3339")]
    pub announced: OffsetDateTime,
    /// From when on it cannot be ordered.
    #[serde(with = "time::serde::rfc3339")]
    pub unavailable_after: OffsetDateTime,
}
