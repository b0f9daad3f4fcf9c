//! Makes the calls that steps describe, waits for their actions, and finds out what became of lost ones.
//!
//! A change is sent once. Whether it took effect is never guessed: after a good answer the object is read, after
//! a lost one it is looked up by name or id (a snapshot: by its label), and a name that is taken is adopted only if
//! its labels are ours.

use control_plane::{
    Reason, Uid,
    ports::{Note, Outcome, Step},
};
use hcloud_client::{
    Error, ErrorClass, ImageFilter, ListFilter, Priority, ProjectClient,
    types::{
        Action, CreateImage, CreateServer, FirewallResource, Id, ImageType, Labels, Network, Server, ServerStatus,
        UpdateServer, UserData,
    },
};
use secrecy::{ExposeSecret, SecretString};

use crate::{
    absence::ObjectType,
    call::Call,
    effect::{judge_effect, overlapping, rebooted, route_to},
    memory::Memory,
    naming,
    outcome::{Verdict, failed, failure, judge},
    snapshot::{Change, Object, ObjectId, Observation},
    token_proof::judge_proven,
};

type Made = Outcome<Observation>;

/// One step's calls.
pub(crate) struct Executor<'a> {
    pub(crate) client: ProjectClient,
    pub(crate) memory: &'a Memory,
}

impl Executor<'_> {
    /// Makes the call of a step, once.
    pub(crate) async fn execute(&self, step: &Step) -> Made {
        let call = match read_call(step) {
            Ok(call) => call,
            Err(outcome) => return outcome,
        };
        if let Call::CreateFirewall(body) = &call {
            // Many instances may want it at once; the calls come one after the other, and the first is enough.
            if let Some(firewall) = self.memory.shared_firewall(&body.name) {
                return Outcome::Done(Observation::seen(firewall));
            }
        }
        match &call {
            Call::Find { kind, installation, uid, name } => {
                return self.look_for(*kind, installation, *uid, name.as_deref()).await;
            }
            Call::History { object } => return self.read_history(*object).await,
            _ => {}
        }
        if let Call::Sweep { object, uid } = &call
            && let Some(outcome) = self.keep_from_sweep(&call, *object, *uid).await
        {
            return outcome;
        }
        match self.send(&call, step.secret.as_ref()).await {
            Ok(sent) => self.sent(&call, sent).await,
            Err(error) => self.refused(&call, &error).await,
        }
    }

    async fn send(&self, call: &Call, secret: Option<&SecretString>) -> Result<Sent, Error> {
        let client = &self.client;
        Ok(match call {
            Call::CreateServer(body) => {
                let made = client.create_server(&with_user_data(body, secret)).await?;
                Sent::new(made.resource.clone(), made.actions().cloned().collect())
            }
            Call::CreateVolume(body) => {
                let made = client.create_volume(body).await?;
                Sent::new(made.resource.clone(), made.actions().cloned().collect())
            }
            Call::CreateNetwork(body) => {
                let made = client.create_network(body).await?;
                Sent::new(made.resource.clone(), made.actions().cloned().collect())
            }
            Call::CreateFirewall(body) => {
                // Its actions put the rules on servers, and there are none yet: nothing to wait for.
                let made = client.create_firewall(body).await?;
                self.memory.remember_firewall(made.resource.clone());
                Sent::new(made.resource, Vec::new())
            }
            Call::SetFirewallRules { firewall, rules } => {
                Sent { observation: None, actions: client.set_firewall_rules(*firewall, rules).await? }
            }
            Call::ApplyFirewall { firewall, server } => Sent {
                observation: None,
                actions: client.apply_firewall(*firewall, &[FirewallResource::server(*server)]).await?,
            },
            Call::UpdateServer { server, name, labels } => {
                let body = UpdateServer { name: Some(name.clone()), labels: Some(labels.clone()) };
                Sent::new(client.update_server(*server, &body).await?, Vec::new())
            }
            Call::DeleteServer { server } => self.delete(ObjectId::Server(*server)).await?,
            Call::Poweron { server } => Sent::action(client.power_on(*server).await?),
            Call::Poweroff { server } => Sent::action(client.power_off(*server).await?),
            Call::Shutdown { server, .. } => Sent::action(client.shutdown(*server).await?),
            Call::Reboot { server, .. } => Sent::action(client.reboot(*server).await?),
            Call::Reset { server, .. } => Sent::action(client.reset(*server).await?),
            Call::ResizeVolume { volume, size } => Sent::action(client.resize_volume(*volume, *size).await?),
            Call::DeleteVolume { volume } => self.delete(ObjectId::Volume(*volume)).await?,
            Call::ChangeIpRange { network, ip_range } => {
                Sent::action(client.change_ip_range(*network, *ip_range).await?)
            }
            Call::DeleteNetwork { network } => self.delete(ObjectId::Network(*network)).await?,
            Call::AddSubnet { network, subnet, .. } => Sent::action(client.add_subnet(*network, subnet).await?),
            Call::DeleteSubnet { network, ip_range } => Sent::action(client.delete_subnet(*network, *ip_range).await?),
            Call::AddRoute { network, route } => Sent::action(client.add_route(*network, route).await?),
            Call::DeleteRoute { network, route } => Sent::action(client.delete_route(*network, route).await?),
            Call::DeleteFirewall { firewall } => self.delete(ObjectId::Firewall(*firewall)).await?,
            Call::CreatePrimaryIp(body) => {
                let made = client.create_primary_ip(body).await?;
                Sent::new(made.resource.clone(), made.actions().cloned().collect())
            }
            Call::DeletePrimaryIp { primary_ip } => self.delete(ObjectId::PrimaryIp(*primary_ip)).await?,
            Call::CreateImage { server, description, labels } => {
                let kind = Some(ImageType::Snapshot);
                let body = CreateImage { description: Some(description.clone()), kind, labels: labels.clone() };
                let made = client.create_image(*server, &body).await?;
                Sent::new(made.resource.clone(), made.actions().cloned().collect())
            }
            Call::DeleteImage { image } => self.delete(ObjectId::Image(*image)).await?,
            Call::Sweep { object, .. } => self.delete(*object).await?,
            Call::Read { .. } | Call::Find { .. } | Call::History { .. } => Sent::action_free(),
        })
    }

    pub(crate) async fn delete(&self, object: ObjectId) -> Result<Sent, Error> {
        match object {
            ObjectId::Server(server) => return Ok(Sent::action(self.client.delete_server(server).await?)),
            ObjectId::Volume(volume) => self.client.delete_volume(volume).await?,
            ObjectId::Network(network) => self.client.delete_network(network).await?,
            ObjectId::PrimaryIp(primary_ip) => self.client.delete_primary_ip(primary_ip).await?,
            ObjectId::Image(image) => self.client.delete_image(image).await?,
            ObjectId::Firewall(firewall) => {
                self.memory.forget_firewall(firewall);
                self.client.delete_firewall(firewall).await?;
            }
        }
        Ok(Sent::gone(object))
    }

    /// What a sweep saw may be old: an object that is no longer the gone resource's stays, and one that cannot be
    /// read is not removed either.
    async fn keep_from_sweep(&self, call: &Call, object: ObjectId, uid: Uid) -> Option<Made> {
        match self.get(&self.client.at(Priority::Delete), object).await {
            Ok(found) if found.uid() == Some(uid) => None,
            Ok(found) => Some(Outcome::Done(Observation::seen(found))),
            Err(error) => Some(match judge(&error) {
                Verdict::Unknown(message) => retry(Reason::ProviderUnavailable, message),
                _ => self.refused(call, &error).await,
            }),
        }
    }

    pub(crate) async fn get(&self, client: &ProjectClient, object: ObjectId) -> Result<Object, Error> {
        match object {
            ObjectId::Server(id) => client.get_server(id).await.map(Object::from),
            ObjectId::Volume(id) => client.get_volume(id).await.map(Object::from),
            ObjectId::Network(id) => client.get_network(id).await.map(Object::from),
            ObjectId::Firewall(id) => client.get_firewall(id).await.map(Object::from),
            ObjectId::PrimaryIp(id) => client.get_primary_ip(id).await.map(Object::from),
            ObjectId::Image(id) => client.get_image(id).await.map(Object::from),
        }
    }

    /// The call was accepted.
    async fn sent(&self, call: &Call, sent: Sent) -> Made {
        if let Some(failure) = sent.actions.iter().find(|action| action.is_finished() && !action.succeeded()) {
            return self.failed(call, failure).await;
        }
        let open: Vec<Action> = sent.actions.iter().filter(|action| !action.is_finished()).cloned().collect();
        if !open.is_empty() {
            let action = open.iter().map(|action| action.id.to_string()).collect::<Vec<_>>().join(",");
            let observation = rebooted(call, &open, sent.observation.unwrap_or_default());
            self.memory.remember_actions(open);
            return Outcome::Running { action, observation };
        }
        match sent.observation {
            Some(observation) => Outcome::Done(observation),
            None => self.ended(call, &sent.actions).await,
        }
    }

    /// The actions of a call went well. Of a removal that is the proof; what else it did is read.
    async fn ended(&self, call: &Call, actions: &[Action]) -> Made {
        match call.object() {
            Some(object) if call.is_removal() && !actions.is_empty() => Outcome::Done(Observation::gone(object)),
            _ => self.look(call, actions).await,
        }
    }

    /// An action of a call failed. A failed creation leaves nothing that is used; a failed power-on left the server
    /// off only if it is seen so.
    async fn failed(&self, call: &Call, action: &Action) -> Made {
        let of = |kind: &str| action.resources.iter().find(|resource| resource.kind == kind).map(|r| r.id);
        match call {
            Call::CreateServer(_) | Call::CreateVolume(_) => {
                let kind = call.makes().unwrap_or(ObjectType::Server);
                match of(kind.word()) {
                    Some(id) => self.remove_leftover(kind.id(id), action).await,
                    None => Outcome::Unknown(format!("`{}` failed, and nobody knows what it left", action.command)),
                }
            }
            Call::Poweron { server } => match self.client.get_server(*server).await {
                Ok(found) if found.status == ServerStatus::Off => {
                    Outcome::Refuted { observation: Observation::seen(found), retry: Some(failure(action)) }
                }
                _ => Outcome::Unknown(format!("`{}` failed, and the server is not off", action.command)),
            },
            _ => failed(action),
        }
    }

    /// Waits for the actions of a call, then reads what it was about.
    pub(crate) async fn wait(&self, step: &Step, ids: &str) -> Made {
        let call = match read_call(step) {
            Ok(call) => call,
            Err(outcome) => return outcome,
        };
        let (mut ended, mut is_told) = (Vec::new(), true);
        for id in ids.split(',').filter_map(|id| id.parse::<Id<Action>>().ok()) {
            // An action that this process saw begin is first asked about when it used to be done.
            let waited = match self.memory.take_action(id) {
                Some(action) => self.client.wait(&action).await,
                None => self.client.wait_for_id(id).await,
            };
            match waited {
                Ok(action) if action.succeeded() => ended.push(action),
                Ok(action) => return self.failed(&call, &action).await,
                Err(Error::ActionGone(_)) => is_told = false,
                Err(error) => return Outcome::Unknown(error.to_string()),
            }
        }
        match is_told {
            true => self.ended(&call, &ended).await,
            false => self.look(&call, &ended).await,
        }
    }

    /// Finds out what became of a call whose answer was lost.
    pub(crate) async fn verify(&self, step: &Step) -> Made {
        let call = match read_call(step) {
            Ok(call) => call,
            Err(outcome) => return outcome,
        };
        match &call {
            Call::Reboot { server, issued_at, after_action } | Call::Reset { server, issued_at, after_action } => {
                self.find_reboot(&call, *server, *issued_at, *after_action).await
            }
            _ => match call.creates() {
                Some((name, labels)) => {
                    let absent = || Outcome::Retry {
                        after: None,
                        note: Note::new(
                            Reason::OutcomeUnknown,
                            format!("The answer to `{}` was lost; `{name}` does not exist (yet).", call.operation()),
                        ),
                    };
                    self.find_created(&call, name, labels, By::This, absent).await
                }
                None => self.look(&call, &[]).await,
            },
        }
    }

    /// A reboot leaves no trace but its action.
    async fn find_reboot(&self, call: &Call, server: Id<Server>, issued_at: i64, after_action: Option<i64>) -> Made {
        const SKEW_MS: i128 = 60_000;
        let actions = match self.client.list_server_actions(server).await {
            Ok(actions) => actions,
            Err(error) if error.class() == ErrorClass::NotFound => return self.ask(ObjectId::Server(server)).await,
            Err(error) => return Outcome::Unknown(error.to_string()),
        };
        let earliest = i128::from(issued_at) - SKEW_MS;
        let found = actions.into_iter().rev().find(|action| {
            matches!(action.command.as_str(), "reboot_server" | "reset_server")
                && after_action.is_none_or(|last| action.id.get() > last)
                && action.started.is_none_or(|started| started.unix_timestamp_nanos() / 1_000_000 >= earliest)
        });
        match found {
            Some(action) if action.succeeded() => self.look(call, &[action]).await,
            Some(action) if action.is_finished() => failed(&action),
            Some(action) => Outcome::Running {
                observation: rebooted(call, std::slice::from_ref(&action), Observation::default()),
                action: action.id.to_string(),
            },
            None => retry(Reason::OutcomeUnknown, "The server's action list knows no such reboot (yet)."),
        }
    }

    /// Reads what a call was about: `Done` if its effect is seen, `Retry` if it is not (yet).
    async fn look(&self, call: &Call, actions: &[Action]) -> Made {
        let Some(id) = call.object() else { return self.look_at_created(call, actions).await };
        let is_watch = matches!(call, Call::Read { .. });
        // Many may watch for long: calls that change something go first.
        let looked = match is_watch {
            true => self.get(&self.client.at(Priority::ActionPoll), id).await,
            false => self.get(&self.client, id).await,
        };
        match looked {
            Ok(object) => judge_effect(call, object, actions),
            Err(error) if error.class() == ErrorClass::NotFound => Outcome::Done(Observation::gone(id)),
            Err(error) if is_watch => match judge(&error) {
                Verdict::Retry(after, note) => Outcome::Retry { after, note },
                _ => unanswered(&error),
            },
            Err(error) => Outcome::Unknown(error.to_string()),
        }
    }

    /// After a creation the actions know the object's id.
    async fn look_at_created(&self, call: &Call, actions: &[Action]) -> Made {
        let (Some(kind), Some((name, labels))) = (call.makes(), call.creates()) else {
            return Outcome::Done(Observation::default());
        };
        let touched = actions.iter().flat_map(|action| &action.resources);
        let Some(made) = touched.into_iter().find(|resource| resource.kind == kind.word()) else {
            let absent = || retry(Reason::ProviderActionFailed, "It was accepted, but does not exist.");
            return self.find_created(call, name, labels, By::Any, absent).await;
        };
        let object = kind.id(made.id);
        match self.get(&self.client, object).await {
            // Its actions went well, or it would not be looked at.
            Ok(object) => Outcome::Done(Observation::seen(object)),
            Err(error) if error.class() == ErrorClass::NotFound => Outcome::Refuted {
                observation: Observation::gone(object),
                retry: Some((
                    None,
                    Note::new(Reason::ProviderActionFailed, "It was made and is gone already; it is made again."),
                )),
            },
            Err(error) => Outcome::Unknown(error.to_string()),
        }
    }

    /// Looks for what a call was to make, by name (a snapshot: by labels), and takes it only if it is ours. An object
    /// closes no other call than the one that made it: several of unknown outcome may each yet make one.
    async fn find_created(&self, call: &Call, name: &str, labels: &Labels, by: By, absent: impl Fn() -> Made) -> Made {
        let Some(kind) = call.makes() else { return absent() };
        let found = match kind {
            ObjectType::Image => match self.labelled(kind, &selector(labels)).await {
                Ok(all) => Ok(all
                    .into_iter()
                    .find(|object| same(object.labels(), labels, &[naming::INSTALLATION, naming::UID]))),
                Err(error) => Err(error),
            },
            _ => self.named(kind, name).await,
        };
        let object = match found {
            Ok(Some(object)) => object,
            Ok(None) => return absent(),
            Err(error) => return Outcome::Unknown(error.to_string()),
        };
        if !same(object.labels(), labels, &[naming::INSTALLATION, naming::UID, naming::PURPOSE]) {
            return taken(kind, name, &object);
        }
        if by == By::This && !same(object.labels(), labels, &[naming::STEP]) {
            return absent();
        }
        self.take(object).await
    }

    /// Looks for the object of a resource by label, then by name: what neither finds does not exist.
    async fn look_for(&self, kind: ObjectType, installation: &str, uid: Uid, name: Option<&str>) -> Made {
        let labels = [(naming::INSTALLATION, naming::label_value(installation)), (naming::UID, uid.to_string())];
        let wanted: Labels = labels.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        let found = match self.labelled(kind, &selector(&wanted)).await {
            Ok(found) if found.is_empty() => match name {
                Some(name) => self.named(kind, name).await.map(Vec::from_iter),
                None => Ok(found),
            },
            found => found,
        };
        match found {
            Ok(found) => {
                let seen = found.into_iter().map(Change::Seen).chain([Change::Absent { kind, uid }]);
                Outcome::Done(Observation::new(seen.collect()))
            }
            Err(error) => unanswered(&error),
        }
    }

    async fn labelled(&self, kind: ObjectType, selector: &str) -> Result<Vec<Object>, Error> {
        self.list(kind, &ListFilter::labelled(selector)).await
    }

    /// The object of a name; snapshots have none.
    async fn named(&self, kind: ObjectType, name: &str) -> Result<Option<Object>, Error> {
        if kind == ObjectType::Image {
            return Ok(None);
        }
        let found = self.list(kind, &ListFilter::named(name)).await?;
        Ok(found.into_iter().find(|object| object.name() == name))
    }

    async fn list(&self, kind: ObjectType, filter: &ListFilter) -> Result<Vec<Object>, Error> {
        fn objects<T: Into<Object>>(all: Vec<T>) -> Vec<Object> {
            all.into_iter().map(T::into).collect()
        }
        let client = self.client.at(Priority::Mutation);
        Ok(match kind {
            ObjectType::Server => objects(client.list_servers(filter).await?),
            ObjectType::Volume => objects(client.list_volumes(filter).await?),
            ObjectType::Network => objects(client.list_networks(filter).await?),
            ObjectType::Firewall => objects(client.list_firewalls(filter).await?),
            ObjectType::PrimaryIp => objects(client.list_primary_ips(filter).await?),
            ObjectType::Image => {
                let snapshots = ImageFilter::snapshots(filter.label_selector.clone().unwrap_or_default());
                let found = client.list_images(&snapshots).await?;
                objects(found.into_iter().filter(|image| image.deleted.is_none()).collect())
            }
        })
    }

    /// The call was refused, or its answer was lost.
    async fn refused(&self, call: &Call, error: &Error) -> Made {
        match (judge_proven(&self.client, error).await, call) {
            (Verdict::Unknown(message), _) => Outcome::Unknown(message),
            (Verdict::Look, _) => self.look(call, &[]).await,
            (Verdict::Taken(note), _) => match call.creates() {
                Some((name, labels)) => {
                    let absent = || Outcome::Retry { after: None, note: note.clone() };
                    self.find_created(call, name, labels, By::Any, absent).await
                }
                None => Outcome::Retry { after: None, note },
            },
            (Verdict::NotFound(note) | Verdict::Terminal(note), Call::CreateServer(body)) => {
                self.check_firewalls(body, note).await
            }
            (Verdict::NotFound(_), Call::DeleteSubnet { .. } | Call::DeleteRoute { .. }) => self.look(call, &[]).await,
            (Verdict::NotFound(note), Call::CreateImage { server, .. }) => {
                self.check_gone(call, ObjectId::Server(*server), note).await
            }
            (Verdict::NotFound(note), _) => match call.object() {
                Some(id) => self.check_gone(call, id, note).await,
                None => Outcome::Terminal(note),
            },
            (
                Verdict::Terminal(note) | Verdict::Retry(_, note),
                Call::AddSubnet { network, .. } | Call::AddRoute { network, .. },
            ) if matches!(error.class(), ErrorClass::InvalidInput | ErrorClass::Precondition) => {
                self.check_taken(call, *network, note, error).await
            }
            (Verdict::Terminal(note), _) => self.check_done(call, note).await,
            (Verdict::Retry(after, note), _) => Outcome::Retry { after, note },
        }
    }

    /// A refusal for good may come of what an earlier call did after all, or somebody else: a volume that has its size
    /// cannot grow to it, a server that is off cannot reboot. So the object is read before the refusal is believed.
    async fn check_done(&self, call: &Call, note: Note) -> Made {
        let Some(object) = call.object() else { return Outcome::Terminal(note) };
        match self.get(&self.client, object).await {
            Ok(Object::Server(server)) if call.needs_power() && server.status == ServerStatus::Off => {
                Outcome::Refuted { observation: Observation::seen(Object::Server(server)), retry: None }
            }
            // A reboot leaves nothing to be seen.
            Ok(_) if matches!(call, Call::Reboot { .. } | Call::Reset { .. }) => Outcome::Terminal(note),
            Ok(found) => match judge_effect(call, found, &[]) {
                Outcome::Done(seen) => Outcome::Done(seen),
                _ => Outcome::Terminal(note),
            },
            Err(error) if error.class() == ErrorClass::NotFound => {
                Outcome::Refuted { observation: Observation::gone(object), retry: None }
            }
            Err(_) => Outcome::Retry { after: None, note },
        }
    }

    /// A call did not find its object. That proves nothing: it is asked for by its id.
    async fn check_gone(&self, call: &Call, object: ObjectId, note: Note) -> Made {
        match self.ask(object).await {
            Outcome::Done(seen) if seen.shows_gone(object) && call.is_removal() => Outcome::Done(seen),
            Outcome::Done(seen) if seen.shows_gone(object) => Outcome::Refuted { observation: seen, retry: None },
            Outcome::Done(seen) => Outcome::Refuted { observation: seen, retry: Some((None, note)) },
            other => other,
        }
    }

    /// A server may be refused because its firewall was removed with the last server that used it, a moment ago.
    async fn check_firewalls(&self, body: &CreateServer, note: Note) -> Made {
        for firewall in body.firewalls.iter().map(|f| f.firewall) {
            match self.client.get_firewall(firewall).await {
                Ok(_) => {}
                Err(error) if error.class() == ErrorClass::NotFound => {
                    self.memory.forget_firewall(firewall);
                    let observation = Observation::gone(ObjectId::Firewall(firewall));
                    return Outcome::Refuted { observation, retry: None };
                }
                Err(error) => return Outcome::Unknown(error.to_string()),
            }
        }
        Outcome::Terminal(note)
    }

    /// A subnet or a route may be refused because its addresses are taken: by another, or by itself, when an earlier
    /// call came through late. The plan knows which, once it sees the network as it is.
    async fn check_taken(&self, call: &Call, network: Id<Network>, note: Note, error: &Error) -> Made {
        let Ok(network) = self.client.get_network(network).await else {
            return Outcome::Retry { after: None, note };
        };
        let is_taken = match call {
            Call::AddSubnet { subnet, .. } => {
                subnet.ip_range.is_some_and(|range| overlapping(&network, range).is_some())
            }
            Call::AddRoute { route, .. } => route_to(&network, route.destination).is_some(),
            _ => false,
        };
        if is_taken {
            return Outcome::Refuted { observation: Observation::seen(network), retry: None };
        }
        match error.class() {
            ErrorClass::InvalidInput => Outcome::Terminal(note),
            _ => Outcome::Retry { after: None, note },
        }
    }
}

/// What an accepted call answered with.
pub(crate) struct Sent {
    observation: Option<Observation>,
    pub(crate) actions: Vec<Action>,
}

impl Sent {
    fn new(object: impl Into<Object>, actions: Vec<Action>) -> Self {
        Self { observation: Some(Observation::seen(object)), actions }
    }

    fn action(action: Action) -> Self {
        Self { observation: None, actions: vec![action] }
    }

    fn action_free() -> Self {
        Self { observation: None, actions: Vec::new() }
    }

    fn gone(object: ObjectId) -> Self {
        Self { observation: Some(Observation::gone(object)), actions: Vec::new() }
    }
}

fn read_call(step: &Step) -> Result<Call, Made> {
    Call::of(step).map_err(|error| {
        Outcome::Terminal(Note::new(
            Reason::Unsupported,
            format!(
                "The recorded step `{}` was written by another release and cannot be read: {error}.",
                step.operation
            ),
        ))
    })
}

fn with_user_data(body: &CreateServer, secret: Option<&SecretString>) -> CreateServer {
    CreateServer { user_data: secret.map(|text| UserData::new(text.expose_secret())), ..body.clone() }
}

/// A question that got no answer is asked again: it proves nothing.
pub(crate) fn unanswered(error: &Error) -> Made {
    retry(Reason::ProviderUnavailable, format!("Hetzner Cloud could not be asked: {error}."))
}

fn retry(reason: Reason, message: impl Into<String>) -> Made {
    Outcome::Retry { after: None, note: Note::new(reason, message) }
}

/// Whose object closes a call of unknown outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum By {
    /// The object that this very call made, as its label `seca.step` tells.
    This,
    /// Any object of the same resource: the name is taken, and there cannot be a second one.
    Any,
}

fn same(labels: &Labels, wanted: &Labels, names: &[&str]) -> bool {
    names.iter().all(|name| labels.get(*name) == wanted.get(*name))
}

/// An object that has our name and is not ours.
fn taken(kind: ObjectType, name: &str, object: &Object) -> Made {
    let owner = object
        .labels()
        .get(naming::UID)
        .map_or_else(|| "has no label `seca.uid`".to_owned(), |uid| format!("belongs to the resource {uid}"));
    let id = object.id();
    Outcome::Terminal(Note::new(
        Reason::NameTaken,
        format!("The {} {id} has the name `{name}` and {owner}; rename or delete it.", kind.word()),
    ))
}

/// Selects by the labels that only one resource's objects bear.
fn selector(labels: &Labels) -> String {
    let wanted = [naming::INSTALLATION, naming::UID].into_iter().filter_map(|name| Some((name, labels.get(name)?)));
    wanted.map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(",")
}
