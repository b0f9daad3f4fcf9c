//! The page of reasons says what the table says.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use std::{env, fmt::Write, fs, path::Path};

use control_plane::Reason;

/// The page that explains more, with its section.
fn more(reason: Reason) -> &'static str {
    match reason {
        Reason::WaitingForWorkspace | Reason::WaitingForCredential => "guide/first-server.md#a-workspace",
        Reason::CredentialMissing
        | Reason::CredentialRejected
        | Reason::CredentialReadOnly
        | Reason::CredentialOfOtherProject => "operations.md#keys-and-tokens",
        Reason::ProjectPaused => "administration.md#restored-databases-and-copies",
        Reason::Paused => "administration.md#workspaces",
        Reason::WaitingForDependency
        | Reason::DependencyMissing
        | Reason::PartlySupported
        | Reason::Unsupported
        | Reason::ProviderRefused => "guide/README.md",
        Reason::WaitingForChildren => "guide/deleting.md",
        Reason::BootVolumeInUse | Reason::BootVolumeHeld | Reason::BootVolumeParked | Reason::BootImageDefaulted => {
            "instances.md#boot-volume"
        }
        Reason::Attached | Reason::SizeAdjusted => "instances.md#data-volumes",
        Reason::Unfiltered | Reason::ClosedWithoutGroup | Reason::RulesTooMany => "instances.md#security-groups",
        Reason::AliasNic | Reason::PlaceholderInterface | Reason::AddressConflict | Reason::RouteNotProgrammed => {
            "instances.md#nics-and-networks"
        }
        Reason::NicInUse | Reason::AddressInUse | Reason::VolumeInUse | Reason::ForeignAttachment => {
            "instances.md#in-use-elsewhere"
        }
        Reason::SshKeyUnknown => "instances.md#ssh-keys",
        Reason::AddressNotHonoured => "instances.md#public-ips",
        Reason::AppliesOnRecreate | Reason::AppliesWhenOff | Reason::AppliesOnStart => "instances.md#in-short",
        Reason::AppliesOnNextWrite => "instances.md#after-an-upgrade",
        Reason::NotEnforcedOnPrivateNic => "guide/security-groups.md",
        Reason::EmptySource | Reason::UnwrittenSource => "guide/disks.md#an-image",
        Reason::AwaitingZone | Reason::InOtherZone => "regions.md#what-is-made-where",
        Reason::BackingLost => "operations.md#restore",
        Reason::OrphanRefused | Reason::NameTaken => "operations.md#orphans",
        Reason::NotInEffect
        | Reason::RouteConflict
        | Reason::GatewayServing
        | Reason::GatewayReplacing
        | Reason::GatewayUnhealthy => "internet-gateway.md#what-people-read",
        Reason::GuestRoutingUnmanaged => "internet-gateway.md#private-instances",
        Reason::CapacityUnavailable => "skus.md#instance-skus",
        Reason::QuotaExceeded | Reason::Throttled => "administration.md#projects",
        Reason::ProviderBusy
        | Reason::ProviderSlow
        | Reason::ProviderUnavailable
        | Reason::ProviderActionFailed
        | Reason::OutcomeUnknown
        | Reason::NeverSettles
        | Reason::InternalError => "operations.md#when-something-is-wrong",
        Reason::IPv6Unsupported => "guide/first-server.md#a-network",
    }
}

fn page() -> String {
    let mut page = "# Reasons\n\n\
        <!-- Generated from crates/control-plane/src/reason.rs: UPDATE_DOCS=1 cargo test -p control-plane --test reasons -->\n\n\
        The newest entry of `status.conditions` carries a `reason`, a word of this closed list, and a `message`, a sentence \
        about the case at hand. A reason beside the state `active` tells what is not in effect, or was decided for you.\n\n\
        | reason | what it means | what helps | more |\n|---|---|---|---|\n"
        .to_owned();
    let mut reasons = Reason::ALL.to_vec();
    reasons.sort_by_key(|reason| reason.as_str());
    for reason in reasons {
        let (word, link) = (reason.as_str(), more(reason));
        let (meaning, remedy, anchor) = (reason.meaning(), reason.remedy(), word.to_lowercase());
        // The page, and the section.
        let name = link.trim_start_matches("guide/").replace(".md#", ": ").replace(".md", "").replace('-', " ");
        let name = name.replace("README", "the guide").replace("nics", "NICs").replace("ips", "IPs");
        writeln!(page, "| <a id=\"{anchor}\"></a>`{word}` | {meaning} | {remedy} | [{name}]({link}) |").unwrap();
    }
    page.replace("{provider}", "Hetzner Cloud")
}

#[test]
fn the_page_of_reasons_is_current() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reasons.md");
    if env::var_os("UPDATE_DOCS").is_some() {
        fs::write(&path, page()).unwrap();
    }
    let written = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        written == page(),
        "docs/reasons.md is stale; run UPDATE_DOCS=1 cargo test -p control-plane --test reasons"
    );
}
