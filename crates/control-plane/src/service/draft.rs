//! A received document, read leniently: what the client owns is kept, what the server owns is passed over.

use std::collections::BTreeMap;

use seca_api::{
    ResourceKey, check, name_violation, normalize,
    schema::USER_METADATA,
    violation::{Violation, join},
};
use serde_json::{Map, Value};

use super::Refusal;
use crate::{
    catalog::{Catalog, zone_name},
    kinds::{KindRules, Subject, clip},
    ports::Provider,
};

/// A document, with all that can be said of it without looking anything up.
pub(super) struct Draft {
    /// The labels, annotations and extensions that are there.
    maps: Map<String, Value>,
    /// The specification as it would be stored.
    pub(super) spec: Value,
    /// The region that its metadata names, if it names one.
    pub(super) claimed_region: Option<String>,
    /// The rules that it breaks by itself.
    pub(super) violations: Vec<Violation>,
    /// Sentences about members that were dropped.
    pub(super) warnings: Vec<String>,
}

impl Draft {
    /// Reads a document.
    pub(super) fn read(
        rules: &KindRules,
        provider: &Provider,
        key: &ResourceKey,
        body: Value,
    ) -> Result<Self, Refusal> {
        let Value::Object(mut members) = body else {
            return Err(Refusal::Malformed(format!(
                "the body must be a JSON object with the {} to write; send one like {{\"spec\": {{}}}}",
                rules.kind.noun()
            )));
        };
        let claimed_region = claimed_region(&members);
        let spec = normalize(rules.schema(), members.shift_remove("spec").unwrap_or_default());
        // Both are the server's, and clients send back what they once read.
        members.shift_remove("metadata");
        members.shift_remove("status");
        let user = normalize(&USER_METADATA, Value::Object(members));

        let mut violations = Vec::from_iter(name_violation(key.kind, &key.name));
        violations.extend(check(&USER_METADATA, &user.value, ""));
        violations.extend(check(rules.schema(), &spec.value, "/spec"));

        let unknown = spec.dropped.iter().map(|pointer| format!("/spec{pointer}"));
        let (limits, unknown): (Vec<_>, Vec<_>) =
            unknown.partition(|pointer| rules.strict.iter().any(|place| pointer.starts_with(place)));
        violations.extend(limits.into_iter().map(unknown_limit));
        let dropped = user.dropped.into_iter().chain(unknown);
        let warnings = dropped
            .map(|pointer| format!("{pointer} is not known to the {} and was dropped", rules.kind.noun()))
            .collect();
        let Value::Object(maps) = user.value else {
            return Err(Refusal::Internal("a body changed its form".to_owned()));
        };
        let draft = Self { maps, spec: spec.value, claimed_region, violations, warnings };
        Ok(draft.checked(rules, provider))
    }

    fn checked(mut self, rules: &KindRules, provider: &Provider) -> Self {
        for (name, value) in self.labels() {
            if name.contains('\0') || value.contains('\0') {
                let rule = "labels must not contain the character U+0000; remove it".to_owned();
                self.violations.push(Violation::at(join("/labels", &name), rule));
            }
        }
        let start = provider.start_extension;
        if let Some(value) = self.extension(start).filter(|_| rules.powered)
            && !matches!(value, "true" | "false")
        {
            let rule = format!("{start} must be \"true\" or \"false\"; correct it");
            self.violations.push(Violation::at(join("/extensions", start), rule));
        }
        self
    }

    /// A violation unless the location that the user chose is a zone of the region.
    pub(super) fn unknown_location(
        &self,
        rules: &KindRules,
        subject: &Subject<'_>,
        catalog: &Catalog,
        provider: &Provider,
    ) -> Option<Violation> {
        let extension = provider.location_extension;
        let chosen = self.extension(extension).filter(|_| rules.located)?;
        let region = &subject.key.region;
        let zones = catalog.zones(region);
        // What was taken once is no reason to refuse a change that is not about it.
        let before = subject.old.and_then(|(row, _)| row.extension(extension));
        if zones.iter().any(|zone| zone == zone_name(chosen)) || before.as_deref() == Some(chosen) {
            return None;
        }
        let rule = format!(
            "{extension} must be a zone of region {region}, but is `{}`; use {}",
            clip(chosen),
            if zones.is_empty() { "another region, this one has none".to_owned() } else { zones.join(" or ") }
        );
        Some(Violation::at(join("/extensions", extension), rule))
    }

    /// One of the user's maps as it is stored.
    pub(super) fn map(&self, name: &str) -> Option<String> {
        self.maps.get(name).filter(|map| map.is_object()).map(Value::to_string)
    }

    /// The labels, for selectors.
    pub(super) fn labels(&self) -> BTreeMap<String, String> {
        let pairs = self.maps.get("labels").and_then(Value::as_object).into_iter().flatten();
        pairs.filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned()))).collect()
    }

    /// The extensions, as they were sent.
    pub(super) fn extensions(&self) -> Option<&Value> {
        self.maps.get("extensions")
    }

    /// The value of an extension.
    pub(super) fn extension(&self, name: &str) -> Option<&str> {
        self.maps.get("extensions")?.get(name)?.as_str()
    }
}

/// Where members limit what is granted, one that nobody knows may have been meant to.
fn unknown_limit(pointer: String) -> Violation {
    let rule = "this member is not known, and may have been meant to limit what is granted; correct or remove it";
    Violation::at(pointer, rule.to_owned())
}

fn claimed_region(members: &Map<String, Value>) -> Option<String> {
    let region = members.get("metadata")?.get("region")?.as_str()?;
    (!region.is_empty()).then(|| region.to_owned())
}
