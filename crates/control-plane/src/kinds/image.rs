//! Images that users make: copies of block storages. The provider's own are entries of the catalogue.

use seca_api::Kind;

use super::{KindRules, ReferenceField};

/// What differs about images.
pub const RULES: KindRules = KindRules {
    references: &[ReferenceField::new(SOURCE, &[Kind::BlockStorage]).late_by_policy()],
    // It is empty, and without a project, until there is a block storage with something on it.
    local: true,
    home: Some(SOURCE),
    adopts: Some("image"),
    // A disk that is made of one holds what was on another.
    discloses: true,
    ..KindRules::new(Kind::Image)
};

const SOURCE: &str = "/spec/blockStorageRef";
