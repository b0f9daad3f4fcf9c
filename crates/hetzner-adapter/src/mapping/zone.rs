//! Where in its region an object is made. A region of one zone leaves no choice. In one of several the user chooses by an
//! extension, or by the first instance that uses the object. What exists never moves.

use control_plane::{
    Reason, Resource,
    catalog::zone_name,
    facts::{Facts, PublicIpFacts},
};
use seca_api::InstanceSpec;

use super::{Checked, Context, fail, settled};
use crate::admission::PROVIDER;

/// The extension that chooses.
const EXTENSION: &str = PROVIDER.location_extension;

/// Where an object is to be made.
pub(super) enum Place {
    /// In this location.
    In(String),
    /// Nobody has said yet.
    Awaited,
    /// The region has no location.
    Nowhere,
}

impl Place {
    /// Where an object of the resource is to be made whose user, if there is one, is in this zone.
    pub(super) fn of(context: &Context<'_>, user: Option<String>) -> Self {
        let zones = context.desired.catalog.zones(context.region());
        if let Some(chosen) = chosen(context.resource()).filter(|zone| zones.contains(zone)) {
            return Self::In(chosen);
        }
        match <[String; 1]>::try_from(zones) {
            Ok([only]) => Self::In(only),
            Err(zones) if zones.is_empty() => Self::Nowhere,
            Err(zones) => user.filter(|zone| zones.contains(zone)).map_or(Self::Awaited, Self::In),
        }
    }

    /// The location, or the plan without one.
    pub(super) fn location(self, context: &Context<'_>) -> Checked<String> {
        match self {
            Self::In(location) => Ok(location),
            Self::Awaited => {
                let zones = context.desired.catalog.zones(context.region()).join(", ");
                let text = format!(
                    "It is made in the zone of the first instance that uses it, or in the one of {zones} that the \
                     extension {EXTENSION} names."
                );
                Err(Box::new(settled().note(Reason::AwaitingZone, text)))
            }
            Self::Nowhere => {
                let text = format!("The region `{}` has no location.", context.region());
                Err(Box::new(fail(Reason::Unsupported, text)))
            }
        }
    }
}

/// Whether only the instance that uses a public IP tells in which zone that is to lie.
pub(super) fn is_awaited(context: &Context<'_>, ip: &Resource) -> bool {
    let zones = context.desired.catalog.zones(&ip.key.region);
    let is_chosen = chosen(ip).is_some_and(|zone| zones.contains(&zone));
    PublicIpFacts::of(ip).location.is_none() && !is_chosen && zones.len() > 1
}

/// The zone that the user chose.
fn chosen(row: &Resource) -> Option<String> {
    row.extension(EXTENSION).map(|zone| zone_name(&zone).to_owned())
}

/// The zone of an instance.
pub(super) fn of_instance(row: &Resource) -> Option<String> {
    row.spec::<InstanceSpec>().ok().map(|spec| zone_name(&spec.zone).to_owned())
}

/// That an object lies elsewhere than it is wanted: where its user is, or else where the extension says.
pub(super) fn elsewhere(context: &Context<'_>, location: &str, user: Option<String>) -> Option<(Reason, String)> {
    if let Some(zone) = user.filter(|zone| zone != location) {
        let text = format!(
            "It lies in {location}, and the instance that names it in {zone}; nothing moves between zones, so that \
             instance does not have it."
        );
        return Some((Reason::InOtherZone, text));
    }
    let zone = chosen(context.resource()).filter(|zone| zone != location)?;
    let text = format!(
        "It lies in {location}, and stays there: the extension {EXTENSION} says {zone}, which applies to a new one."
    );
    Some((Reason::InOtherZone, text))
}
