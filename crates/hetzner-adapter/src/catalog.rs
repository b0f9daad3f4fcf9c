//! The catalogue as the provider has it: the regions with their locations as zones, a SKU per server type that can be
//! ordered in one of these, aliases for the specification's tiers, one storage and one network SKU with names that are known
//! elsewhere, and the system images.

use std::collections::{BTreeMap, BTreeSet};

use control_plane::CatalogEntry;
use hcloud_client::types::{
    Architecture, CpuType, Deprecation, Id, Image, ImageStatus, Location, ServerType, ServerTypeLocation,
};
use seca_api::{Kind, ResourceName};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use time::OffsetDateTime;

use crate::regions::{RegionSet, Regions};

/// What can be ordered where, until the provider was asked. Images have no ids here: those must be the provider's own,
/// and until they are known it resolves the names itself.
const FALLBACK: &str = include_str!("catalog.json");

/// A tier of the specification: name, vCPU, RAM in GiB, whether the CPU is dedicated.
type Tier = (&'static str, u64, f64, bool);

/// The specification's compute tiers (seca-v1.7 §3.12).
const TIERS: [Tier; 14] = [
    ("D2XS", 1, 1.0, true),
    ("DXS", 1, 2.0, true),
    ("DS", 2, 4.0, true),
    ("DM", 4, 8.0, true),
    ("DL", 8, 16.0, true),
    ("DXL", 16, 32.0, true),
    ("D2XL", 32, 64.0, true),
    ("S2XS", 1, 1.0, false),
    ("SXS", 1, 2.0, false),
    ("SS", 2, 4.0, false),
    ("SM", 4, 8.0, false),
    ("SL", 8, 16.0, false),
    ("SXL", 16, 32.0, false),
    ("S2XL", 32, 64.0, false),
];

/// The entries for what the provider lists.
pub fn entries(
    regions: &Regions,
    locations: &[Location],
    types: &[ServerType],
    images: &[Image],
    now: OffsetDateTime,
) -> Vec<CatalogEntry> {
    let mut entries = Vec::new();
    for set in regions.sets(locations) {
        let region = set.name;
        let orderable: Vec<Offer<'_>> = types.iter().filter_map(|t| Offer::of(t, &set, now)).collect();
        entries.push(region_entry(&set, regions));
        entries.extend(orderable.iter().filter_map(|offer| server_type(region, offer)));
        entries.extend(TIERS.iter().filter_map(|tier| alias(region, tier, &orderable)));
        entries.push(storage_sku(region));
        entries.push(network_sku(region));
        entries.extend(portable(region));
        let images = images.iter().filter(|image| is_current(image)).filter_map(SystemImage::of);
        entries.extend(images.filter_map(|image| system_image(region, &image)));
    }
    entries
}

/// The entries until the provider was asked, where each location is a region.
pub fn fallback() -> Vec<CatalogEntry> {
    fallback_of(&Regions::default())
}

/// The entries until the provider was asked.
pub fn fallback_of(regions: &Regions) -> Vec<CatalogEntry> {
    let Some((locations, types, images)) = known() else { return Vec::new() };
    let mut entries = entries(regions, &locations, &types, &[], OffsetDateTime::UNIX_EPOCH);
    for set in regions.sets(&locations) {
        let images = images.iter().flat_map(KnownImage::builds);
        entries.extend(images.filter_map(|image| system_image(set.name, &image)));
    }
    entries
}

/// Whether stored entries were made by this choice of regions. Those of another one tell of other regions and zones.
pub fn is_made_by(entries: &[CatalogEntry], regions: &Regions) -> bool {
    let spelling = regions.spelling();
    let mut listed = entries.iter().filter(|entry| entry.kind == Kind::Region && entry.listed);
    listed.all(|entry| entry.fact(CHOSEN) == spelling.as_deref())
}

/// The fact of a region that tells by which choice of regions it was made.
const CHOSEN: &str = "regions";

/// The fact of a SKU that tells in which zones the provider offers it, in a region of several.
const OFFERED: &str = control_plane::catalog::OFFERED_IN;

/// The locations that this release knows.
pub(crate) fn known_locations() -> Vec<Location> {
    known().map(|(locations, _, _)| locations).unwrap_or_default()
}

/// What the embedded file says. A test reads it; an unreadable one serves nothing rather than something wrong.
fn known() -> Option<(Vec<Location>, Vec<ServerType>, Vec<KnownImage>)> {
    serde_json::from_str::<Known>(FALLBACK).ok().map(Known::into_api)
}

fn entry(kind: Kind, region: &str, name: &str, labels: &[(&str, &str)], spec: Value, facts: Value) -> CatalogEntry {
    let object = |value| if let Value::Object(members) = value { members } else { Map::new() };
    CatalogEntry {
        kind,
        region: region.to_owned(),
        name: name.to_owned(),
        labels: labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect::<BTreeMap<_, _>>(),
        spec: object(spec),
        facts: object(facts),
        listed: true,
    }
}

fn region_entry(set: &RegionSet<'_>, regions: &Regions) -> CatalogEntry {
    let zones: Vec<&str> = set.zones().collect();
    let network_zone = set.locations.first().map(|location| location.network_zone.as_str());
    let countries: BTreeSet<String> =
        set.locations.iter().map(|location| location.country.to_ascii_lowercase()).collect();
    let mut labels = vec![("provider", "hetzner")];
    // A region of several countries has none.
    labels.extend(countries.first().filter(|_| countries.len() == 1).map(|country| ("country", country.as_str())));
    let mut facts = json!({"networkZone": network_zone});
    if let [only] = *zones {
        facts["location"] = json!(only);
    }
    if let Some(chosen) = regions.spelling() {
        facts[CHOSEN] = json!(chosen);
    }
    entry(Kind::Region, set.name, set.name, &labels, json!({"availableZones": zones}), facts)
}

/// A server type in a region that has it.
struct Offer<'a> {
    server_type: &'a ServerType,
    /// How many zones the region has.
    all: usize,
    /// The zones where it is offered.
    offered: Vec<&'a str>,
    /// Those where it can be ordered at the moment; at least one.
    orderable: Vec<&'a str>,
}

impl<'a> Offer<'a> {
    fn of(server_type: &'a ServerType, set: &RegionSet<'a>, now: OffsetDateTime) -> Option<Self> {
        let zones: Vec<&'a str> = set.locations.iter().map(|location| location.name.as_str()).collect();
        let those = |test: fn(&ServerType, &str, OffsetDateTime) -> bool| -> Vec<&'a str> {
            zones.iter().copied().filter(|zone| test(server_type, zone, now)).collect()
        };
        let (offered, orderable) = (those(is_offered), those(can_be_ordered));
        (!orderable.is_empty()).then_some(Self { server_type, all: zones.len(), offered, orderable })
    }

    fn is_everywhere(&self) -> bool {
        self.orderable.len() == self.all
    }

    /// Where it can be ordered, as labels; in a region of one zone nobody needs to be told.
    fn zone_labels(&self) -> Vec<(String, &'static str)> {
        let zones = self.orderable.iter().filter(|_| self.all > 1);
        zones.map(|zone| (format!("zone-{zone}"), "true")).collect()
    }
}

/// Whether a type is offered in a location and is not past its last day there.
fn is_offered(server_type: &ServerType, location: &str, now: OffsetDateTime) -> bool {
    let is_over = |deprecation: &Option<Deprecation>| deprecation.as_ref().is_some_and(|d| d.unavailable_after <= now);
    !is_over(&server_type.deprecation)
        && server_type.locations.iter().any(|l| l.name == location && !is_over(&l.deprecation))
}

/// The same, and there is stock. Whether there is stock is a hint that goes by: a type without any at the moment stays
/// resolvable once it was listed.
fn can_be_ordered(server_type: &ServerType, location: &str, now: OffsetDateTime) -> bool {
    let has_stock = |l: &ServerTypeLocation| l.name == location && l.available != Some(false);
    is_offered(server_type, location, now) && server_type.locations.iter().any(has_stock)
}

/// SECA's word for an instruction set.
pub(crate) fn architecture(architecture: &Architecture) -> Option<&'static str> {
    match architecture {
        Architecture::X86 => Some("amd64"),
        Architecture::Arm => Some("arm64"),
        Architecture::Unknown(_) => None,
    }
}

/// Memory in whole GiB. The provider's GB are GiB; a fraction is not promised.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "sizes of memory are small and positive")]
fn gib(server_type: &ServerType) -> u64 {
    server_type.memory.floor().max(1.0) as u64
}

fn size_spec(server_type: &ServerType) -> Value {
    json!({"vCPU": server_type.cores, "ram": gib(server_type)})
}

fn size_facts(offer: &Offer<'_>, architecture: &str) -> Value {
    let server_type = offer.server_type;
    let mut facts = json!({"serverType": server_type.name, "architecture": architecture, "disk": server_type.disk});
    if offer.all > 1 {
        facts[OFFERED] = json!(offer.offered);
    }
    facts
}

fn server_type(region: &str, offer: &Offer<'_>) -> Option<CatalogEntry> {
    let server_type = offer.server_type;
    let architecture = architecture(&server_type.architecture)?;
    ResourceName::parse(&server_type.name).ok()?;
    let disk = server_type.disk.to_string();
    let zones = offer.zone_labels();
    let mut labels = vec![
        ("provider", "hetzner"),
        ("architecture", architecture),
        ("cpu", server_type.cpu_type.as_str()),
        ("disk", &disk),
    ];
    labels.extend(zones.iter().map(|(label, value)| (label.as_str(), *value)));
    let facts = size_facts(offer, architecture);
    Some(entry(Kind::InstanceSku, region, &server_type.name, &labels, size_spec(server_type), facts))
}

/// The smallest type that gives what a tier promises; its real size is what the SKU shows. In a region of several zones it
/// is one that all of them have, where there is such a type.
fn alias(region: &str, tier: &Tier, orderable: &[Offer<'_>]) -> Option<CatalogEntry> {
    let (tier, cores, memory, dedicated) = *tier;
    let cpu = if dedicated { CpuType::Dedicated } else { CpuType::Shared };
    let fits = |offer: &&Offer<'_>| {
        let t = offer.server_type;
        t.architecture == Architecture::X86 && t.cpu_type == cpu && t.cores >= cores && t.memory >= memory
    };
    let smallest = orderable.iter().filter(fits).min_by(|a, b| {
        let (left, right) = (a.server_type, b.server_type);
        let size = |t: &ServerType| (t.cores, t.disk);
        (!a.is_everywhere(), size(left))
            .cmp(&(!b.is_everywhere(), size(right)))
            .then(left.memory.total_cmp(&right.memory))
            .then_with(|| left.name.cmp(&right.name))
    })?;
    let zones = smallest.zone_labels();
    // The conformance tool asks for `Tier`, the specification writes `tier`.
    let mut labels = vec![
        ("provider", "seca"),
        ("tier", tier),
        ("Tier", tier),
        ("architecture", "amd64"),
        ("cpu", cpu.as_str()),
        ("server-type", &smallest.server_type.name),
    ];
    labels.extend(zones.iter().map(|(label, value)| (label.as_str(), *value)));
    let name = format!("seca.{}", tier.to_ascii_lowercase());
    let facts = size_facts(smallest, "amd64");
    Some(entry(Kind::InstanceSku, region, &name, &labels, size_spec(smallest.server_type), facts))
}

/// One for now. The figure is a cautious one: third parties measured some 3,500 mixed operations per second on a
/// volume (hetzner-cloud.md §2.3), and Hetzner promises none.
fn storage_sku(region: &str) -> CatalogEntry {
    let spec = json!({"iops": 3_000, "type": "remote-durable", "minVolumeSize": 10});
    entry(Kind::StorageSku, region, "hcloud-volume", &[("provider", "hetzner")], spec, json!({}))
}

/// One for now. Hetzner promises no figures for private networks; these are the specification's smallest tier.
fn network_sku(region: &str) -> CatalogEntry {
    let spec = json!({"bandwidth": 1_000, "packets": 10_000});
    entry(Kind::NetworkSku, region, "hcloud-network", &[("provider", "hetzner")], spec, json!({}))
}

/// The specification's storage tiers that a volume reaches (seca-v1.7 §3.12): remote ones of at most the SKU's figure.
const STORAGE_TIERS: [&str; 3] = ["RD100", "RD500", "RD2K"];
/// Its network tiers that a private network is promised to reach.
const NETWORK_TIERS: [&str; 1] = ["N1K"];

/// The names of the specification's tiers for the storage and the network SKU, so that what was written for another cloud
/// can be sent here. No list shows them: clients that choose from a list choose the SKU itself.
fn portable(region: &str) -> impl Iterator<Item = CatalogEntry> {
    let storage = STORAGE_TIERS.map(|tier| tier_of(storage_sku(region), tier));
    storage.into_iter().chain(NETWORK_TIERS.map(|tier| tier_of(network_sku(region), tier)))
}

/// A SKU under the name of a tier. Its figures are the real ones.
fn tier_of(sku: CatalogEntry, tier: &str) -> CatalogEntry {
    let labels = [("provider", "seca"), ("tier", tier), ("Tier", tier), ("sku", &sku.name)];
    CatalogEntry {
        labels: labels.map(|(key, value)| (key.to_owned(), value.to_owned())).into(),
        name: format!("seca.{}", tier.to_ascii_lowercase()),
        listed: false,
        ..sku
    }
}

fn is_current(image: &Image) -> bool {
    image.status == ImageStatus::Available && image.deprecated.is_none() && image.deleted.is_none()
}

/// What an entry tells of a system image.
struct SystemImage<'a> {
    /// The provider's name, the same for all builds.
    name: &'a str,
    os: &'a str,
    version: &'a str,
    architecture: Architecture,
    /// In GB.
    disk: f64,
    id: Option<Id<Image>>,
}

impl<'a> SystemImage<'a> {
    fn of(image: &'a Image) -> Option<Self> {
        Some(Self {
            name: image.name.as_deref()?,
            os: &image.os_flavor,
            version: image.os_version.as_deref().unwrap_or_default(),
            architecture: image.architecture.clone(),
            disk: image.disk_size,
            id: Some(image.id),
        })
    }
}

/// A system image. Its name is the provider's for amd64, and has the suffix `-arm64` for the other build.
/// `blockStorageRef` is required by the schema; a system image comes from none that anyone can see, so it names
/// one of the image's own name by convention.
fn system_image(region: &str, image: &SystemImage<'_>) -> Option<CatalogEntry> {
    let image_name = image.name;
    let architecture = architecture(&image.architecture)?;
    let name = match architecture {
        "amd64" => image_name.to_owned(),
        other => format!("{image_name}-{other}"),
    };
    ResourceName::parse(&name).ok()?;
    let boot = if architecture == "amd64" { "BIOS" } else { "UEFI" };
    let mut facts = json!({
        "imageName": image_name,
        "architecture": architecture,
        "diskSize": image.disk.ceil(),
    });
    if let Some(id) = image.id {
        facts["imageId"] = json!(id.to_string());
    }
    Some(entry(
        Kind::Image,
        region,
        &name,
        &[("provider", "hetzner"), ("os", image.os), ("version", image.version), ("architecture", architecture)],
        json!({
            "blockStorageRef": {"resource": format!("block-storages/{name}")},
            "cpuArchitecture": architecture,
            "initializer": "cloudinit-22",
            "boot": boot,
        }),
        facts,
    ))
}

/// The embedded file: as short as people can check it.
#[derive(Debug, Deserialize)]
struct Known {
    locations: Vec<KnownLocation>,
    server_types: Vec<KnownType>,
    images: Vec<KnownImage>,
}

#[derive(Debug, Deserialize)]
struct KnownImage {
    name: String,
    os: String,
    version: String,
    disk: f64,
    architectures: Vec<String>,
}

impl KnownImage {
    fn builds(&self) -> impl Iterator<Item = SystemImage<'_>> {
        self.architectures.iter().map(|architecture| SystemImage {
            name: &self.name,
            os: &self.os,
            version: &self.version,
            architecture: architecture.as_str().into(),
            disk: self.disk,
            id: None,
        })
    }
}

#[derive(Debug, Deserialize)]
struct KnownLocation {
    id: i64,
    name: String,
    country: String,
    network_zone: String,
}

#[derive(Debug, Deserialize)]
struct KnownType {
    id: i64,
    name: String,
    cores: u64,
    memory: u64,
    disk: u64,
    cpu: String,
    architecture: String,
    locations: Vec<String>,
}

impl Known {
    fn into_api(self) -> (Vec<Location>, Vec<ServerType>, Vec<KnownImage>) {
        let ids: BTreeMap<String, i64> = self.locations.iter().map(|l| (l.name.clone(), l.id)).collect();
        let locations = self.locations.into_iter().map(|l| Location {
            id: l.id.into(),
            name: l.name,
            description: String::new(),
            country: l.country,
            city: String::new(),
            latitude: 0.0,
            longitude: 0.0,
            network_zone: l.network_zone,
        });
        let place = |name: String| ServerTypeLocation {
            id: ids.get(&name).copied().unwrap_or_default().into(),
            name,
            deprecation: None,
            available: None,
            recommended: None,
        };
        #[expect(clippy::cast_precision_loss, reason = "sizes of memory are small")]
        let types = self.server_types.into_iter().map(|t| ServerType {
            id: t.id.into(),
            name: t.name,
            description: String::new(),
            cores: t.cores,
            memory: t.memory as f64,
            disk: t.disk,
            cpu_type: t.cpu.as_str().into(),
            architecture: t.architecture.as_str().into(),
            category: None,
            deprecation: None,
            locations: t.locations.into_iter().map(place).collect(),
        });
        (locations.collect(), types.collect(), self.images)
    }
}

#[cfg(test)]
mod tests;
