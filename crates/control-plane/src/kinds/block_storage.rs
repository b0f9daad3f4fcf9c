//! Block storages: the disks of instances.

use seca_api::{Kind, violation::Violation};
use serde_json::{Map, json};

use super::{FREELY, Judgement, KindRules, ReferenceField, is_set};
use crate::ports::DeleteRules;

/// What differs about block storages.
pub const RULES: KindRules = KindRules {
    references: &[
        ReferenceField::new("/spec/skuRef", &[Kind::StorageSku]).immutable(),
        ReferenceField::new("/spec/sourceImageRef", &[Kind::Image]),
    ],
    delete: DeleteRules { refused_by_referrers: &[Kind::Instance], ..FREELY },
    located: true,
    adopts: Some("volume"),
    // Nothing is there yet, and nothing is what the status says.
    initial_status: |_| Map::from_iter([("sizeGB".to_owned(), json!(0))]),
    judge,
    ..KindRules::new(Kind::BlockStorage)
};

fn judge(judgement: &Judgement<'_>) -> Vec<Violation> {
    let mut found = Vec::new();
    let Some(size) = judgement.number("/sizeGB") else { return found };
    let before = judgement.subject.old.and_then(|(_, old)| old.pointer("/sizeGB")?.as_i64());
    if let Some(before) = before.filter(|before| size < *before) {
        let rule = format!(
            "sizeGB cannot be decreased, but would go from {before} to {size}; keep {before}, or create a smaller \
             block storage and copy the data"
        );
        found.push(Violation::at("/spec/sizeGB", rule));
    }
    let (largest, provider) = (judgement.provider.limits.volume_gb, judgement.provider.name);
    if size > largest && !is_set(judgement.subject.spec.get("sourceImageRef")) {
        let rule = format!(
            "sizeGB must be at most {largest} without a source image, because that is the largest volume of \
             {provider}, but is {size}; use several block storages"
        );
        found.push(Violation::at("/spec/sizeGB", rule));
    }
    found
}
