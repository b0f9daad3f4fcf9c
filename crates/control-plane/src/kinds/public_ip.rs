//! Public IPs: addresses that the internet can reach.

use std::net::IpAddr;

use seca_api::{Kind, violation::Violation};

use super::{FREELY, Judgement, KindRules};
use crate::ports::DeleteRules;

/// What differs about public IPs.
pub const RULES: KindRules = KindRules {
    delete: DeleteRules { refused_by_referrers: &[Kind::Nic], ..FREELY },
    located: true,
    adopts: Some("primary_ip"),
    judge,
    ..KindRules::new(Kind::PublicIp)
};

fn judge(judgement: &Judgement<'_>) -> Vec<Violation> {
    Vec::from_iter(wrong_family(judgement))
}

fn wrong_family(judgement: &Judgement<'_>) -> Option<Violation> {
    let version = judgement.text("/version").filter(|version| matches!(*version, "IPv4" | "IPv6"))?;
    let address: IpAddr = judgement.text("/address")?.parse().ok()?;
    let family = if address.is_ipv4() { "IPv4" } else { "IPv6" };
    (family != version).then(|| {
        let rule = format!("address must be an {version} address like version says, but {address} is {family}");
        Violation::at("/spec/address", format!("{rule}; correct one of the two"))
    })
}
