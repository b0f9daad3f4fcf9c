//! User data: what cloud-init reads at the first start, behind the bootstrap for private networks where there is one.

use control_plane::{
    Resource,
    facts::{Facts, NicFacts},
    kinds::Judgement,
};
use igw_polyfill::{
    guest::{self, Guest},
    sentences,
};
use seca_api::{IpVersion, NicSpec, violation::Violation};

use crate::mapping::guest::BOOTSTRAP_EXTENSION;

/// The fields that name NICs.
const NICS: [&str; 2] = ["/spec/primaryNicRef", "/spec/additionalNicRefs/*"];

/// A violation when the provider does not take the user data, or when nothing of it would run.
pub(super) fn violation(judgement: &Judgement<'_>, bootstraps_guests: bool) -> Option<Violation> {
    let text = judgement.text("/userData").filter(|_| judgement.subject.changed("/userData"))?;
    let nics = judgement.named(&NICS);
    let is_off = judgement.extension(BOOTSTRAP_EXTENSION) == Some("off");
    // Another user data of a server that exists takes effect when that is made again.
    let guest = Guest {
        public_ipv4: nics.iter().any(|nic| may_have_ipv4(nic.row)),
        opted_out: !bootstraps_guests || nics.is_empty() || is_off,
        prefer: Vec::new(),
    };
    let refusal = guest::user_data(Some(text), &guest).err()?;
    Some(Violation::at("/spec/userData", sentences::refusal(refusal)))
}

/// Whether a NIC has, or may yet have, a public IPv4 address.
fn may_have_ipv4(nic: &Resource) -> bool {
    let named = nic.spec::<NicSpec>().map(|spec| spec.public_ip_refs.len()).unwrap_or_default();
    let known = NicFacts::of(nic).public_ips;
    known.iter().any(|ip| ip.version == IpVersion::IPv4) || named > known.len()
}
