//! An internet gateway has NAT servers in each network whose route tables lead to it: Hetzner Cloud has no gateway of its
//! own. It is `active` at once, because nobody waits for it; its message says how it stands in each network.

use std::time::Duration;

use control_plane::ports::Planned;
use seca_api::{InternetGatewaySpec, Kind, ResourceState};

use super::{Checked, Context, Mapping, gateway::Servers, settled};

/// See the module.
pub(super) struct InternetGatewayMapping;

impl Mapping for InternetGatewayMapping {
    fn kind(&self) -> Kind {
        Kind::InternetGateway
    }

    fn alive(&self, context: &Context<'_>) -> Checked<Planned> {
        let spec: InternetGatewaySpec = context.spec()?;
        let planned = Servers::of(context).keep(&spec);
        let row = context.resource();
        let is_asked_for = row.observed_generation != row.generation || row.state == ResourceState::Pending;
        // What is asked for is accepted before anything is done for it.
        Ok(match is_asked_for {
            true => Planned { note: planned.note, again: Some(Duration::ZERO), ..settled() },
            false => planned,
        })
    }

    fn delete(&self, context: &Context<'_>) -> Planned {
        Servers::of(context).delete()
    }
}
