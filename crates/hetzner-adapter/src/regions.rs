//! Which regions are served, and of which locations of the provider each of them is made.
//!
//! A location belongs to one region, and the locations of a region are of one network zone, because a Hetzner network is
//! of one. Without a choice of the operator each location is a region of its own, of the same name.

use hcloud_client::types::Location;
use seca_api::RegionName;

/// The regions that an operator chose. None by default: each location is a region of the same name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Regions(Vec<Region>);

/// A region and its locations, in the order in which they were written.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Region {
    name: String,
    locations: Vec<String>,
}

/// Why a text says nothing of regions.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RegionsError {
    /// A part of it is no name.
    #[error("`{0}` is no name of a region or location: small letters, digits and hyphens, such as eu-central")]
    Name(String),
    /// A region without a location.
    #[error("the region `{0}` has no location")]
    Empty(String),
    /// A region that is there twice.
    #[error("the region `{0}` is there twice")]
    Twice(String),
    /// A location that is in two regions, or in one twice.
    #[error(
        "the location `{location}` is in the region `{first}` and again in `{second}`; a location belongs to one region"
    )]
    Shared {
        /// The location.
        location: String,
        /// The region that names it first.
        first: String,
        /// The region that names it as well.
        second: String,
    },
    /// A region whose name is a location that is not in it.
    #[error("the region `{0}` has the name of a location that is not in it")]
    Misnamed(String),
    /// A region of several network zones.
    #[error(
        "the region `{region}` has {first} of the network zone {first_zone} and {second} of {second_zone}; the \
         locations of a region are of one network zone"
    )]
    Zones {
        /// The region.
        region: String,
        /// A location.
        first: String,
        /// Its network zone.
        first_zone: String,
        /// A location of another zone.
        second: String,
        /// That zone.
        second_zone: String,
    },
}

/// A region, with what the provider says of its locations.
#[derive(Clone, Debug)]
pub(crate) struct RegionSet<'a> {
    pub(crate) name: &'a str,
    /// At least one, all of one network zone.
    pub(crate) locations: Vec<&'a Location>,
}

impl RegionSet<'_> {
    pub(crate) fn zones(&self) -> impl Iterator<Item = &str> {
        self.locations.iter().map(|location| location.name.as_str())
    }
}

impl Regions {
    /// Reads `eu-central=fsn1,nbg1,hel1;ash`: regions are separated by semicolons, the locations of a region by commas; a
    /// region that is one location is that name alone.
    ///
    /// # Errors
    /// What is wrong. A location that this release does not know is none of that: [`Self::unknown`] tells it.
    pub fn parse(text: &str) -> Result<Self, RegionsError> {
        let mut regions: Vec<Region> = Vec::new();
        for item in text.split(';').map(str::trim) {
            let (name, locations) = item.split_once('=').unwrap_or((item, item));
            let name = checked(name)?;
            if regions.iter().any(|known| known.name == name) {
                return Err(RegionsError::Twice(name));
            }
            if locations.trim().is_empty() {
                return Err(RegionsError::Empty(name));
            }
            let mut region = Region { name, locations: Vec::new() };
            for location in locations.split(',') {
                let location = checked(location)?;
                let holder = regions.iter().chain([&region]).find(|known| known.locations.contains(&location));
                if let Some(holder) = holder {
                    return Err(RegionsError::Shared { location, first: holder.name.clone(), second: region.name });
                }
                region.locations.push(location);
            }
            regions.push(region);
        }
        let regions = Self(regions);
        regions.check(&crate::catalog::known_locations())?;
        Ok(regions)
    }

    fn check(&self, known: &[Location]) -> Result<(), RegionsError> {
        let is_location = |name: &String| {
            known.iter().any(|location| location.name == *name) || self.0.iter().any(|r| r.locations.contains(name))
        };
        for region in &self.0 {
            if is_location(&region.name) && !region.locations.contains(&region.name) {
                return Err(RegionsError::Misnamed(region.name.clone()));
            }
            let mut found = region.found(known);
            let Some(first) = found.next() else { continue };
            if let Some(other) = found.find(|other| other.network_zone != first.network_zone) {
                return Err(RegionsError::Zones {
                    region: region.name.clone(),
                    first: first.name.clone(),
                    first_zone: first.network_zone.clone(),
                    second: other.name.clone(),
                    second_zone: other.network_zone.clone(),
                });
            }
        }
        Ok(())
    }

    /// The names of the regions, in the order in which they were written; none where each location is a region.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|region| region.name.as_str())
    }

    /// Whether each location is a region of its own because nobody chose otherwise.
    pub const fn is_default(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a location is one of a region's. Without a choice each location is the region of its name.
    pub fn has(&self, region: &str, location: &str) -> bool {
        if self.is_default() {
            return region == location;
        }
        self.0.iter().any(|known| known.name == region && known.locations.iter().any(|name| name == location))
    }

    /// Whether there is a region of this name; without a choice, as far as this release knows.
    pub fn has_region(&self, region: &str) -> bool {
        match self.is_default() {
            true => crate::catalog::known_locations().iter().any(|location| location.name == region),
            false => self.names().any(|name| name == region),
        }
    }

    /// The choice in one spelling, which a catalogue that was made by it remembers.
    pub(crate) fn spelling(&self) -> Option<String> {
        let spelled = |region: &Region| format!("{}={}", region.name, region.locations.join(","));
        (!self.is_default()).then(|| self.0.iter().map(spelled).collect::<Vec<_>>().join(";"))
    }

    /// What of the choice does not fit these locations, a sentence each.
    pub(crate) fn unfit(&self, locations: &[Location]) -> Vec<String> {
        let mut unfit = Vec::new();
        for region in &self.0 {
            let zone = region.found(locations).next().map(|location| location.network_zone.as_str());
            for name in &region.locations {
                let Some(location) = locations.iter().find(|location| location.name == *name) else {
                    unfit.push(format!("Hetzner Cloud has no location {name}, which the region {} names", region.name));
                    continue;
                };
                if zone.is_some_and(|zone| zone != location.network_zone) {
                    unfit.push(format!(
                        "the location {name} is of another network zone than the rest of the region {}, and is left out",
                        region.name
                    ));
                }
            }
        }
        unfit
    }

    /// The locations that this release does not know: newer ones, or mistakes.
    pub fn unknown(&self) -> Vec<String> {
        let known = crate::catalog::known_locations();
        let named = self.0.iter().flat_map(|region| &region.locations);
        named.filter(|name| !known.iter().any(|location| location.name == **name)).cloned().collect()
    }

    /// The regions as far as these locations exist.
    pub(crate) fn sets<'a>(&'a self, locations: &'a [Location]) -> Vec<RegionSet<'a>> {
        if self.is_default() {
            let named = locations.iter().filter(|location| RegionName::parse(&location.name).is_ok());
            return named.map(|location| RegionSet { name: &location.name, locations: vec![location] }).collect();
        }
        let sets = self.0.iter().filter_map(|region| {
            let mut found: Vec<&Location> = region.found(locations).collect();
            let zone = found.first()?.network_zone.clone();
            found.retain(|location| location.network_zone == zone);
            Some(RegionSet { name: &region.name, locations: found })
        });
        sets.collect()
    }
}

impl Region {
    /// Its locations as far as they exist.
    fn found<'a>(&'a self, locations: &'a [Location]) -> impl Iterator<Item = &'a Location> {
        self.locations.iter().filter_map(|name| locations.iter().find(|location| location.name == *name))
    }
}

fn checked(name: &str) -> Result<String, RegionsError> {
    let name = name.trim();
    let is_plain = name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    let parsed = RegionName::parse(name).ok().filter(|_| is_plain);
    parsed.map(|name| name.to_string()).ok_or_else(|| RegionsError::Name(name.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn zones(regions: &Regions) -> Vec<(String, Vec<String>)> {
        let known = crate::catalog::known_locations();
        let sets = regions.sets(&known);
        sets.iter().map(|set| (set.name.to_owned(), set.zones().map(str::to_owned).collect())).collect()
    }

    #[test]
    fn without_a_choice_each_location_is_a_region() {
        let regions = Regions::default();
        let all = zones(&regions);
        assert_eq!(all.len(), 6);
        assert!(all.iter().all(|(name, zones)| zones == std::slice::from_ref(name)));
        assert!(regions.has("fsn1", "fsn1") && !regions.has("fsn1", "nbg1"));
        assert!(regions.has_region("sin") && !regions.has_region("eu-central"));
        assert_eq!(regions.spelling(), None);
    }

    #[test]
    fn regions_are_written_with_semicolons_and_their_locations_with_commas() {
        let regions = Regions::parse(" eu-central = fsn1, nbg1,hel1 ; ash ").unwrap();
        let list = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        assert_eq!(
            zones(&regions),
            [("eu-central".to_owned(), list(&["fsn1", "nbg1", "hel1"])), ("ash".to_owned(), list(&["ash"]))]
        );
        assert_eq!(regions.spelling().as_deref(), Some("eu-central=fsn1,nbg1,hel1;ash=ash"));
        assert!(regions.has("eu-central", "nbg1") && !regions.has("ash", "nbg1"));
        assert!(regions.has_region("ash") && !regions.has_region("fsn1"));
    }

    #[test]
    fn what_is_wrong_is_told_by_name() {
        for (text, part) in [
            ("", "`` is no name"),
            ("eu=fsn1,,nbg1", "`` is no name"),
            ("EU=fsn1", "`EU` is no name"),
            ("eu=fsn1;", "`` is no name"),
            ("eu=fsn_1", "`fsn_1` is no name"),
            ("eu=", "`eu` has no location"),
            ("eu=fsn1;eu=nbg1", "`eu` is there twice"),
            ("eu=fsn1;de=nbg1,fsn1", "`fsn1` is in the region `eu` and again in `de`"),
            ("eu=fsn1,fsn1", "`fsn1` is in the region `eu` and again in `eu`"),
            ("fsn1=nbg1", "`fsn1` has the name of a location that is not in it"),
            ("new1=fsn1;eu=new1", "`new1` has the name of a location"),
            ("all=fsn1,ash", "fsn1 of the network zone eu-central and ash of us-east"),
        ] {
            let error = Regions::parse(text).unwrap_err().to_string();
            assert!(error.contains(part), "{text}: {error}");
        }
    }

    #[test]
    fn a_location_that_is_not_known_is_no_mistake_until_the_provider_says_so() {
        let regions = Regions::parse("eu=fsn1,new1;moon=moon1").unwrap();
        assert_eq!(regions.unknown(), ["new1", "moon1"]);
        assert_eq!(zones(&regions), [("eu".to_owned(), vec!["fsn1".to_owned()])]);
        let unfit = regions.unfit(&crate::catalog::known_locations());
        assert_eq!(unfit.len(), 2, "{unfit:?}");
        let mut locations = crate::catalog::known_locations();
        for (name, zone) in [("new1", "eu-north"), ("moon1", "moon")] {
            locations.push(Location { name: name.to_owned(), network_zone: zone.to_owned(), ..locations[0].clone() });
        }
        let unfit = regions.unfit(&locations);
        assert!(matches!(&*unfit, [only] if only.contains("new1 is of another network zone")), "{unfit:?}");
        let found: Vec<_> = regions.sets(&locations).iter().map(|set| set.locations.len()).collect();
        assert_eq!(found, [1, 1]);
    }
}
