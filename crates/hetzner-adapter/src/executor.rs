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
        Action, CreateImage, CreateServer, Firewall, Id, Image, ImageType, Labels, Network, PrimaryIp, Server,
        UpdateServer, UserData, Volume,
    },
};
use secrecy::{ExposeSecret, SecretString};

use crate::{
    call::Call,
    effect::{judge_effect, overlap, rebooted},
    memory::Memory,
    naming,
    outcome::{Verdict, failed, judge},
    snapshot::{Labelled, Object, ObjectId, Observation},
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
            Call::Read { .. } => Sent::action_free(),
        })
    }

    async fn delete(&self, object: ObjectId) -> Result<Sent, Error> {
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

    async fn get(&self, client: &ProjectClient, object: ObjectId) -> Result<Object, Error> {
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
            return failed(failure);
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
            None => self.look(call, &sent.actions).await,
        }
    }

    /// Waits for the actions of a call, then reads what it was about.
    pub(crate) async fn wait(&self, step: &Step, ids: &str) -> Made {
        let call = match read_call(step) {
            Ok(call) => call,
            Err(outcome) => return outcome,
        };
        let mut ended = Vec::new();
        for id in ids.split(',').filter_map(|id| id.parse::<Id<Action>>().ok()) {
            // An action that this process saw begin is first asked about when it used to be done.
            let waited = match self.memory.take_action(id) {
                Some(action) => self.client.wait(&action).await,
                None => self.client.wait_for_id(id).await,
            };
            match waited {
                Ok(action) if action.succeeded() => ended.push(action),
                Ok(action) => return failed(&action),
                Err(Error::ActionGone(_)) => {}
                Err(error) => return Outcome::Unknown(error.to_string()),
            }
        }
        self.look(&call, &ended).await
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
                    self.find_created(&call, name, labels, absent).await
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
            Err(error) if error.class() == ErrorClass::NotFound => {
                return Outcome::Done(Observation::gone(ObjectId::Server(server)));
            }
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
                _ => retry(Reason::ProviderUnavailable, format!("Hetzner Cloud could not be asked: {error}.")),
            },
            Err(error) => Outcome::Unknown(error.to_string()),
        }
    }

    /// After a creation the actions know the object's id.
    async fn look_at_created(&self, call: &Call, actions: &[Action]) -> Made {
        let id_of = |kind: &str| {
            actions.iter().flat_map(|action| &action.resources).find(|resource| resource.kind == kind).map(|r| r.id)
        };
        let looked = match call {
            Call::CreateServer(_) => match id_of(Server::TYPE) {
                Some(id) => Some(self.client.get_server(Id::new(id)).await.map(Object::from)),
                None => None,
            },
            Call::CreateVolume(_) => match id_of(Volume::TYPE) {
                Some(id) => Some(self.client.get_volume(Id::new(id)).await.map(Object::from)),
                None => None,
            },
            Call::CreatePrimaryIp(_) => match id_of(PrimaryIp::TYPE) {
                Some(id) => Some(self.client.get_primary_ip(Id::new(id)).await.map(Object::from)),
                None => None,
            },
            Call::CreateImage { .. } => match id_of(Image::TYPE) {
                Some(id) => Some(self.client.get_image(Id::new(id)).await.map(Object::from)),
                None => None,
            },
            _ => None,
        };
        match looked {
            Some(Ok(object)) => Outcome::Done(Observation::seen(object)),
            Some(Err(error)) if error.class() == ErrorClass::NotFound => {
                retry(Reason::ProviderActionFailed, "It was made and is gone again; it is made anew.")
            }
            Some(Err(error)) => Outcome::Unknown(error.to_string()),
            None => match call.creates() {
                Some((name, labels)) => {
                    let absent = || retry(Reason::ProviderActionFailed, "It was accepted, but does not exist.");
                    self.find_created(call, name, labels, absent).await
                }
                None => Outcome::Done(Observation::default()),
            },
        }
    }

    /// Looks for what a call was to make, by name (a snapshot: by labels), and takes it only if it is ours.
    async fn find_created(&self, call: &Call, name: &str, labels: &Labels, absent: impl Fn() -> Made) -> Made {
        let filter = ListFilter::named(name);
        let client = self.client.at(Priority::Mutation);
        let found = match call {
            Call::CreateServer(_) => adopt(client.list_servers(&filter).await, name, labels),
            Call::CreateVolume(_) => adopt(client.list_volumes(&filter).await, name, labels),
            Call::CreateNetwork(_) => adopt(client.list_networks(&filter).await, name, labels),
            Call::CreatePrimaryIp(_) => adopt(client.list_primary_ips(&filter).await, name, labels),
            Call::CreateImage { .. } => adopt_snapshot(client.list_images(&snapshots_of(labels)).await, labels),
            _ => adopt::<Firewall>(client.list_firewalls(&filter).await, name, labels),
        };
        found.unwrap_or_else(absent)
    }

    /// The call was refused, or its answer was lost.
    async fn refused(&self, call: &Call, error: &Error) -> Made {
        match (judge(error), call) {
            (Verdict::Unknown(message), _) => Outcome::Unknown(message),
            (Verdict::Look, _) => self.look(call, &[]).await,
            (Verdict::Taken(note), _) => match call.creates() {
                Some((name, labels)) => {
                    let absent = || Outcome::Retry { after: None, note: note.clone() };
                    self.find_created(call, name, labels, absent).await
                }
                None => Outcome::Retry { after: None, note },
            },
            (Verdict::NotFound(note) | Verdict::Terminal(note), Call::CreateServer(body)) => {
                self.check_firewalls(body, note).await
            }
            (Verdict::NotFound(_), Call::DeleteSubnet { .. } | Call::DeleteRoute { .. }) => self.look(call, &[]).await,
            // Not the effect that was wished for, but what is true now: the plan begins with it.
            (Verdict::NotFound(_), Call::CreateImage { server, .. }) => {
                Outcome::Done(Observation::gone(ObjectId::Server(*server)))
            }
            (Verdict::NotFound(note), _) => match call.object() {
                Some(id) => Outcome::Done(Observation::gone(id)),
                None => Outcome::Terminal(note),
            },
            (
                Verdict::Terminal(note) | Verdict::Retry(_, note),
                Call::AddSubnet { network, .. } | Call::AddRoute { network, .. },
            ) if matches!(error.class(), ErrorClass::InvalidInput | ErrorClass::Precondition) => {
                self.check_taken(call, *network, note, error).await
            }
            (Verdict::Terminal(note), _) => Outcome::Terminal(note),
            (Verdict::Retry(after, note), _) => Outcome::Retry { after, note },
        }
    }

    /// A server may be refused because its firewall was removed with the last server that used it, a moment ago.
    async fn check_firewalls(&self, body: &CreateServer, note: Note) -> Made {
        for firewall in body.firewalls.iter().map(|f| f.firewall) {
            match self.client.get_firewall(firewall).await {
                Ok(_) => {}
                Err(error) if error.class() == ErrorClass::NotFound => {
                    self.memory.forget_firewall(firewall);
                    // Not the effect that was wished for, but what is true now: the plan begins with it.
                    return Outcome::Done(Observation::gone(ObjectId::Firewall(firewall)));
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
            Call::AddSubnet { subnet, .. } => subnet.ip_range.is_some_and(|range| {
                network.subnets.iter().filter_map(|other| other.ip_range).any(|other| overlap(other, range))
            }),
            Call::AddRoute { route, .. } => network.routes.iter().any(|other| other.destination == route.destination),
            _ => false,
        };
        if is_taken {
            return Outcome::Done(Observation::seen(network));
        }
        match error.class() {
            ErrorClass::InvalidInput => Outcome::Terminal(note),
            _ => Outcome::Retry { after: None, note },
        }
    }
}

/// What an accepted call answered with.
struct Sent {
    observation: Option<Observation>,
    actions: Vec<Action>,
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

fn retry(reason: Reason, message: impl Into<String>) -> Made {
    Outcome::Retry { after: None, note: Note::new(reason, message) }
}

/// Takes the object of a name if its labels say that it is what the call was to make.
fn adopt<T: Labelled + Into<Object>>(found: Result<Vec<T>, Error>, name: &str, wanted: &Labels) -> Option<Made> {
    let object = match found {
        Ok(all) => all.into_iter().find(|object| object.name() == name)?,
        Err(error) => return Some(Outcome::Unknown(error.to_string())),
    };
    let same = |label: &str| object.labels().get(label) == wanted.get(label);
    if [naming::INSTALLATION, naming::UID, naming::PURPOSE].into_iter().all(same) {
        return Some(Outcome::Done(Observation::seen(object)));
    }
    let owner = object
        .labels()
        .get(naming::UID)
        .map_or_else(|| "has no label `seca.uid`".to_owned(), |uid| format!("belongs to the resource {uid}"));
    Some(Outcome::Terminal(Note::new(
        Reason::NameTaken,
        format!("The {} {} has the name `{name}` and {owner}; rename or delete it.", T::TYPE, object.id()),
    )))
}

/// The snapshots with the labels that only one resource's bear.
fn snapshots_of(labels: &Labels) -> ImageFilter {
    let wanted = [naming::INSTALLATION, naming::UID].into_iter().filter_map(|name| Some((name, labels.get(name)?)));
    ImageFilter::snapshots(wanted.map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(","))
}

/// Takes the snapshot with the labels that the call was to give it, whatever else a selector finds.
fn adopt_snapshot(found: Result<Vec<Image>, Error>, wanted: &Labels) -> Option<Made> {
    let same = |image: &Image| {
        [naming::INSTALLATION, naming::UID].into_iter().all(|label| image.labels.get(label) == wanted.get(label))
    };
    match found {
        Ok(all) => {
            let image = all.into_iter().find(|image| image.deleted.is_none() && same(image))?;
            Some(Outcome::Done(Observation::seen(image)))
        }
        Err(error) => Some(Outcome::Unknown(error.to_string())),
    }
}
