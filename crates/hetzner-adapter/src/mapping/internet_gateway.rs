//! An internet gateway is kept as intent: what it does not do yet, `igw-polyfill` says.

use control_plane::{Reason, ports::Planned};
use igw_polyfill::Gateway;
use seca_api::{InternetGatewaySpec, Kind};

use super::{Checked, Context, Mapping, settled};

/// See the module.
pub(super) struct InternetGatewayMapping;

impl Mapping for InternetGatewayMapping {
    fn kind(&self) -> Kind {
        Kind::InternetGateway
    }

    fn alive(&self, context: &Context<'_>) -> Checked<Planned> {
        alive(context)
    }
}

fn alive(context: &Context<'_>) -> Checked<Planned> {
    let spec: InternetGatewaySpec = context.spec()?;
    let mut tables: Vec<_> =
        context.bundle().referrers.iter().map(|r| &r.key).filter(|key| key.kind == Kind::RouteTable).collect();
    tables.sort();
    tables.dedup();
    let effect = igw_polyfill::gateway(Gateway { egress_only: spec.egress_only, route_tables: tables.len() });
    Ok(if effect.routed { settled() } else { settled().note(Reason::NotInEffect, effect.message) })
}
