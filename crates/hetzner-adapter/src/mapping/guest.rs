//! The guest's half of an internet gateway: a server that has a private network when it is made gets a bootstrap before its
//! user's own data, which finds the way out by itself. It is `igw-polyfill`'s; here it is decided who gets it.

use control_plane::{
    Reason, Resource,
    facts::{Facts, InstanceFacts},
};
use hcloud_client::types::Network;
use igw_polyfill::{
    guest::{self, Guest, Refusal, UserData},
    plan::EVERYWHERE,
    sentences,
};
use seca_api::InstanceSpec;
use secrecy::SecretString;

use super::{Checked, Context, fail, shape::Shape};
use crate::objects::route_to;

/// The extension by which a user turns the bootstrap off: `"off"`.
pub(crate) const BOOTSTRAP_EXTENSION: &str = "hetzner.cloud/guest-bootstrap";
/// The extension that says how a server without a public address starts for the first time: `"public-ipv6"`.
const FIRST_BOOT_EXTENSION: &str = "hetzner.cloud/first-boot";
/// With a closed public IPv6 interface, by which it reaches the metadata service.
const PUBLIC_IPV6: &str = "public-ipv6";

/// The user data as the provider takes it, and the version of the bootstrap that is in it.
pub(super) fn user_data(
    context: &Context<'_>,
    spec: &InstanceSpec,
    shape: &Shape<'_>,
) -> Checked<(Option<SecretString>, Option<u32>)> {
    let secret = |text: Option<String>| text.map(SecretString::from);
    match compose(context, spec, shape) {
        Ok(UserData::Managed(text)) => Ok((secret(Some(text)), Some(guest::VERSION))),
        Ok(UserData::AsSent(text, _)) => Ok((secret(text), None)),
        Err(refusal) => {
            let rule = sentences::refusal(refusal);
            Err(Box::new(fail(Reason::ProviderRefused, format!("Its user data cannot be used: {rule}."))))
        }
    }
}

fn compose(context: &Context<'_>, spec: &InstanceSpec, shape: &Shape<'_>) -> Result<UserData, Refusal> {
    let is_managed = context.settings.gateway.nat.enabled && !shape.attachments.is_empty();
    let guest = Guest {
        public_ipv4: shape.ipv4.is_some(),
        opted_out: !is_managed || is_opted_out(context.resource()),
        prefer: if shape.attachments.len() > 1 { with_gateway(context, shape) } else { Vec::new() },
    };
    guest::user_data(spec.user_data.as_deref(), &guest)
}

fn is_opted_out(row: &Resource) -> bool {
    row.extension(BOOTSTRAP_EXTENSION).is_some_and(|value| value == "off")
}

/// The ranges of its networks that have a route to everywhere: a hint for a guest with several.
fn with_gateway(context: &Context<'_>, shape: &Shape<'_>) -> Vec<ipnet::Ipv4Net> {
    let networks = shape.attachments.iter().filter_map(|it| context.snapshot.get::<Network>(it.network));
    networks.filter(|network| route_to(network, EVERYWHERE).is_some()).map(|network| network.ip_range).collect()
}

/// Whether a server keeps a closed public IPv6 interface beside its private ones, because the metadata service may not be
/// reached by those on its first start.
pub(super) fn keeps_placeholder(context: &Context<'_>) -> bool {
    match context.resource().extension(FIRST_BOOT_EXTENSION) {
        Some(value) => value == PUBLIC_IPV6,
        None => context.settings.gateway.first_boot_ipv6,
    }
}

/// What is said of a guest whose way out is its user's matter.
pub(super) fn note(context: &Context<'_>, spec: &InstanceSpec, shape: &Shape<'_>) -> Option<(Reason, String)> {
    let is_asked = context.settings.gateway.nat.enabled && !shape.attachments.is_empty() && shape.ipv4.is_none();
    if !is_asked || InstanceFacts::of(context.resource()).guest.is_some() {
        return None;
    }
    let text = match compose(context, spec, shape) {
        Ok(UserData::AsSent(_, why)) => sentences::unmanaged(why),
        Ok(UserData::Managed(_)) | Err(_) => {
            sentences::made_without("its server was made before it had a NIC, or by an earlier release")
        }
    };
    Some((Reason::GuestRoutingUnmanaged, text))
}
