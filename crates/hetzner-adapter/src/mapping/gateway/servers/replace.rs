//! A server is replaced by another one with the same addresses, one step at a time, from what is seen.

use control_plane::facts::NatServer;
use hcloud_client::types::Server;
use igw_polyfill::{
    lifecycle::UP_AFTER,
    replacement::{Direction, Scene, Step, Which, direction, next},
};

use super::{Servers, Want, change};
use crate::{
    mapping::Checked,
    objects::{PrimaryIpCall, ServerCall},
};

impl Servers<'_, '_> {
    /// The next step of a replacement.
    pub(super) fn replace(
        &mut self,
        part: usize,
        slot: usize,
        old: &NatServer,
        new: Option<&NatServer>,
        want: &Want,
    ) -> Checked<()> {
        for entry in [Some(old), new].into_iter().flatten() {
            match self.server(&entry.role) {
                Some(server) => self.guard(server)?,
                None => self.prove_no_server(&entry.role)?,
            }
        }
        let scene = Scene {
            old: self.seen(part, old),
            new: new.and_then(|new| self.seen(part, new)),
            moving_for: new.and_then(|new| new.moving_since).map(|since| self.since(since)).unwrap_or_default(),
            one_only: self.context.snapshot.has_no_room_for_servers(),
        };
        let before = if new.is_some_and(|new| new.gives_back) { Direction::Back } else { Direction::Forward };
        let way = direction(&scene, before);
        if let (Direction::Back, Some(new)) = (way, new) {
            change(&mut self.facts, &new.role, |entry| entry.gives_back = true);
        }
        let role = |which| match which {
            Which::Old => Some(old),
            Which::New => new,
        };
        let server = |this: &Self, which| role(which).and_then(|entry| this.server(&entry.role));
        match next(&scene, way) {
            Step::Make => {
                let Some(server_type) = self.candidates(part).into_iter().next() else {
                    self.look_in(super::make::ROUND);
                    return Ok(());
                };
                self.create(part, slot, want, &server_type, None, new)
            }
            Step::Delete(which) => role(which).map_or(Ok(()), |entry| self.remove_server(&entry.role.clone())),
            Step::PowerOff(which) => self.on(server(self, which), |server| ServerCall::Poweroff { server: server.id }),
            Step::Unassign(which) => self.unassign(server(self, which)),
            Step::Detach(which) => self.detach(part, server(self, which)),
            Step::Assign(which) => match (role(which), server(self, which)) {
                (Some(entry), Some(server)) => self.assign(part, slot, entry, server),
                _ => Ok(()),
            },
            Step::Attach(which) => match (role(which), server(self, which)) {
                (Some(entry), Some(server)) => self.attach(part, entry, server),
                _ => Ok(()),
            },
            Step::PowerOn(which) => match (role(which), server(self, which)) {
                (Some(entry), Some(server)) => self.power_on_again(entry, server),
                _ => Ok(()),
            },
            Step::Wait(which) => {
                let seen = role(which).and_then(|entry| self.seen(part, entry));
                self.look_in(UP_AFTER.saturating_sub(seen.map(|seen| seen.well_for).unwrap_or_default()));
                Ok(())
            }
            Step::Done => {
                self.forget(&old.role);
                Ok(())
            }
            Step::Failed => {
                if let Some(new) = new {
                    self.forget(&new.role);
                }
                let now = self.now();
                change(&mut self.facts, &old.role, |entry| entry.kept_at = Some(now));
                Ok(())
            }
        }
    }

    fn on(&self, server: Option<&Server>, call: impl FnOnce(&Server) -> ServerCall) -> Checked<()> {
        server.map_or(Ok(()), |server| self.plain(call(server).step(&server.name)))
    }

    fn unassign(&self, server: Option<&Server>) -> Checked<()> {
        let Some(server) = server else { return Ok(()) };
        let Some(primary_ip) = server.public_net.ipv4.as_ref().and_then(|ip| ip.id) else { return Ok(()) };
        self.plain(PrimaryIpCall::Unassign { primary_ip, server: server.id }.step(&server.name))
    }

    fn detach(&self, part: usize, server: Option<&Server>) -> Checked<()> {
        let (Some(server), Some(network)) = (server, self.parts[part].id) else { return Ok(()) };
        self.plain(ServerCall::DetachFromNetwork { server: server.id, network }.step(&server.name))
    }

    /// Switching on is a part of the replacement, and no recovery.
    fn power_on_again(&self, entry: &NatServer, server: &Server) -> Checked<()> {
        let role = entry.role.clone();
        let step = ServerCall::Poweron { server: server.id }.step(&server.name);
        self.step(step, |facts| change(facts, &role, |entry| entry.started = true))
    }
}
