//! What the database knows of regions and locations that the settings no longer have.

use std::collections::{BTreeMap, BTreeSet};

use ::settings::Problem;
use control_plane::{catalog::zone_name, ports::Occupancy};
use hetzner_adapter::Regions;

/// Refuses settings that would take away a region that has resources, or a location in which some of them lie: nobody could
/// see or delete them any more.
///
/// # Errors
/// All that would be lost, in one sentence.
pub(crate) fn refuse_loss(regions: &Regions, occupancy: &[Occupancy]) -> Result<(), Problem> {
    let mut lost: BTreeMap<String, i64> = BTreeMap::new();
    // Without a choice every location is a region, also one that this release does not know.
    let is_its_location = |found: &Occupancy| found.location.as_deref().map(zone_name) == Some(&found.region);
    let is_region = |name: &str| {
        let is_used = occupancy.iter().any(|found| found.region == name && is_its_location(found));
        regions.has_region(name) || regions.is_default() && is_used
    };
    for found in occupancy {
        let region = &found.region;
        let what = match found.location.as_deref().map(zone_name) {
            None if !is_region(region) => format!("the region {region}"),
            Some(location) if is_region(region) && !regions.has(region, location) => {
                format!("the location {location} of the region {region}")
            }
            _ => continue,
        };
        *lost.entry(what).or_default() += found.resources;
    }
    if lost.is_empty() {
        return Ok(());
    }
    let lost: Vec<String> =
        lost.into_iter().map(|(what, resources)| format!("{what} ({resources} resources)")).collect();
    Err(Problem::new(format!(
        "SECA_REGIONS leaves out what is in use: {}. It must name these regions and locations as before; first delete what \
         is there, or set it back, for example SECA_REGIONS={}",
        lost.join(", "),
        example(occupancy)
    )))
}

/// The regions that are in use, with the locations that are; a region in which nothing lies may be of any.
fn example(occupancy: &[Occupancy]) -> String {
    let mut all: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for found in occupancy {
        all.entry(&found.region).or_default().extend(found.location.as_deref().map(zone_name));
    }
    let spelled = all.into_iter().map(|(region, locations)| match locations.is_empty() {
        true => region.to_owned(),
        false => format!("{region}={}", Vec::from_iter(locations).join(",")),
    });
    spelled.collect::<Vec<_>>().join(";")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(region: &str, location: Option<&str>, resources: i64) -> Occupancy {
        Occupancy { region: region.to_owned(), location: location.map(str::to_owned), resources }
    }

    fn regions(text: &str) -> Regions {
        Regions::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[test]
    fn what_is_in_use_is_not_left_out() {
        let used = [
            found("eu", None, 7),
            found("eu", Some("fsn1"), 2),
            found("eu", Some("nbg1-dc3"), 1),
            found("eu", Some("nbg1"), 3),
        ];
        for good in ["eu=fsn1,nbg1", "eu=nbg1,hel1,fsn1;ash"] {
            assert!(refuse_loss(&regions(good), &used).is_ok(), "{good}");
        }
        for (bad, parts) in [
            ("eu=fsn1", ["the location nbg1 of the region eu (4 resources)", "SECA_REGIONS=eu=fsn1,nbg1"]),
            ("fsn1;nbg1", ["the region eu (7 resources)", "SECA_REGIONS=eu=fsn1,nbg1"]),
            ("eu=hel1", ["the location fsn1 of the region eu (2 resources), ", "nbg1 of the region eu (4 resources)"]),
        ] {
            let told = refuse_loss(&regions(bad), &used).unwrap_err().to_string();
            for part in parts {
                assert!(told.contains(part), "{bad}: {part}: {told}");
            }
        }
    }

    #[test]
    fn without_a_choice_a_region_is_a_location() {
        let used = [
            found("fsn1", None, 1),
            found("fsn1", Some("fsn1"), 1),
            found("new1", None, 1),
            found("new1", Some("new1-dc9"), 1),
        ];
        assert!(refuse_loss(&Regions::default(), &used).is_ok());
        let told = refuse_loss(&regions("eu=fsn1,nbg1"), &used).unwrap_err().to_string();
        assert!(told.contains("the region fsn1 (1 resources), the region new1"), "{told}");
        assert!(told.ends_with("SECA_REGIONS=fsn1=fsn1;new1=new1"), "{told}");
        // Also where nothing lies in it yet.
        for used in [vec![found("eu", None, 2)], vec![found("eu", None, 2), found("eu", Some("fsn1"), 1)]] {
            let told = refuse_loss(&Regions::default(), &used).unwrap_err().to_string();
            assert!(told.contains("the region eu (2 resources)"), "{told}");
        }
    }
}
