//! The provider calls that steps describe, as data. What is done to objects of one type lies in the type's file under
//! [`objects`](crate::objects); here is the sum of it, and what is done to objects of any type.

use control_plane::{
    Uid,
    ports::{Mark, OwnedObject, Step},
};
use hcloud_client::types::{Action, Labels};
use ipnet::Ipv4Net;
use seca_api::Timestamp;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};

use crate::{objects::*, owner::Owner, snapshot::Change};

macro_rules! call {
    ($($Type:ident $all:ident $Call:ident),+ $(,)?) => {
        /// One provider call. Written, it is an object of one field, named by [`Call::operation`]; releases read each
        /// other's, so that a word once written keeps its meaning.
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        #[expect(missing_docs, reason = "the names are the provider's own")]
        pub enum Call {
            /// Removes what a resource left that is gone, if the object still is that resource's, in whichever role:
            /// it may have been handed over since it was seen.
            Sweep {
                object: ObjectId,
                /// The resource that is gone.
                uid: Uid,
            },
            /// Removes an object that no resource claims, because an operator ordered it, if it still bears the mark of the
            /// installation and is still whose it was when a sweep saw it.
            Discard {
                object: ObjectId,
                installation: String,
                /// The resource, now unknown, that its labels name; none: it is no single resource's.
                #[serde(default, skip_serializing_if = "Option::is_none")]
                uid: Option<Uid>,
            },
            /// Gives an object that no resource claims to one, by its labels and its name, if it still is whose it was when
            /// that was ordered.
            Adopt {
                object: ObjectId,
                installation: String,
                /// The resource, now unknown, that its labels name.
                #[serde(default, skip_serializing_if = "Option::is_none")]
                from: Option<Uid>,
                name: String,
                labels: Labels,
            },
            /// Reads an object that is on its way to another state.
            Read {
                object: ObjectId,
                until: Until,
                /// What is said while it is not so, where a person must do something.
                #[serde(default, skip_serializing_if = "Option::is_none")]
                why: Option<String>,
            },
            /// Looks for the objects of an owner by label, and by name where there is one. What neither finds does not
            /// exist.
            Find {
                kind: ObjectType,
                installation: String,
                #[serde(flatten)]
                owner: Owner,
                name: Option<String>,
            },
            /// Reads all objects of a type that resources of a kind own: one request, however many there are. What it does not
            /// show is asked for before it is believed to be gone.
            Watch {
                kind: ObjectType,
                installation: String,
                /// The word of the resources' kind.
                of: String,
                /// When it was planned, in milliseconds: what is watched is watched for all that want it.
                at: i64,
            },
            /// Reads an object and, of a server or a volume, its actions: whether it is there now, and whether and when it was used,
            /// whoever did it.
            History {
                object: ObjectId,
                /// How often in a row the resource was tried: an answer is old when something was tried since.
                #[serde(default, skip_serializing_if = "is_default")]
                attempt: u32,
                /// When it was planned, in milliseconds.
                #[serde(default, skip_serializing_if = "is_default")]
                at: i64,
            },
            $(
                #[serde(untagged)]
                $Type($Call),
            )+
        }

        $(
            impl From<$Call> for Call {
                fn from(call: $Call) -> Self {
                    Self::$Type(call)
                }
            }
        )+

        impl Call {
            /// The call and the type that it is about, if it is of one type.
            fn typed(&self) -> Option<(ObjectType, &dyn ObjectCall)> {
                match self {
                    $(Self::$Type(call) => Some((ObjectType::$Type, call)),)+
                    Self::Sweep { .. }
                    | Self::Discard { .. }
                    | Self::Adopt { .. }
                    | Self::Read { .. }
                    | Self::Find { .. }
                    | Self::Watch { .. }
                    | Self::History { .. } => None,
                }
            }
        }
    };
}
each_type!(call);

/// For `skip_serializing_if`: the release before knows no attempts.
fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// What an object is watched for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Until {
    /// Nothing is under way.
    Settled,
    /// A server is off.
    Off,
    /// Every firewall before a server is in force.
    Applied,
    /// It is known whether it exists.
    Known,
    /// Nothing has it: a volume is attached to no server, a primary IP is assigned to none.
    Free,
    /// No subnet of a network overlaps this block.
    NoSubnet(Ipv4Net),
    /// No route of a network has this destination.
    NoRoute(Ipv4Net),
}

impl Call {
    /// The call of its type, if it is of one.
    pub(crate) fn of_type(&self) -> Option<&dyn ObjectCall> {
        self.typed().map(|(_, call)| call)
    }

    /// The provider's word for it.
    pub fn operation(&self) -> &'static str {
        match self {
            Self::Sweep { .. } => "sweep",
            Self::Discard { .. } => "discard",
            Self::Adopt { .. } => "adopt",
            Self::Read { .. } => "read",
            Self::Find { .. } => "find",
            Self::Watch { .. } => "watch",
            Self::History { .. } => "read_actions",
            _ => self.of_type().map_or("", ObjectCall::operation),
        }
    }

    /// The object that shows its effect; none for a call that makes one.
    pub fn object(&self) -> Option<ObjectId> {
        match self {
            Self::Sweep { object, .. }
            | Self::Discard { object, .. }
            | Self::Adopt { object, .. }
            | Self::Read { object, .. }
            | Self::History { object, .. } => Some(*object),
            _ => self.of_type()?.object(),
        }
    }

    /// The object that it removes.
    pub(crate) fn removed(&self) -> Option<ObjectId> {
        self.object().filter(|_| self.is_removal())
    }

    /// All objects that it names, the one first that shows its effect, then the one at whose address it is sent.
    pub(crate) fn named(&self) -> Vec<ObjectId> {
        let sent_at = self.of_type().and_then(ObjectCall::sent_at);
        let mut named: Vec<ObjectId> = self.object().into_iter().collect();
        for object in sent_at.into_iter().chain(self.of_type().map(ObjectCall::names).unwrap_or_default()) {
            if !named.contains(&object) {
                named.push(object);
            }
        }
        named
    }

    /// Name (of a snapshot: the description) and labels of what it makes.
    pub fn creates(&self) -> Option<(&str, &Labels)> {
        self.of_type()?.creates()
    }

    /// The type of what it makes.
    pub fn makes(&self) -> Option<ObjectType> {
        self.typed().filter(|(_, call)| call.creates().is_some()).map(|(kind, _)| kind)
    }

    /// Whether it removes its object.
    pub fn is_removal(&self) -> bool {
        matches!(self, Self::Sweep { .. } | Self::Discard { .. }) || self.of_type().is_some_and(ObjectCall::is_removal)
    }

    /// Whether it only reads.
    pub fn reads(&self) -> bool {
        matches!(self, Self::Read { .. } | Self::Find { .. } | Self::Watch { .. } | Self::History { .. })
    }

    /// Whether it has nothing left to do when one of its objects does not exist.
    pub(crate) fn is_ending(&self) -> bool {
        self.is_removal() || self.of_type().is_some_and(ObjectCall::is_ending)
    }

    /// Whether an object, as it is, shows that the call cannot be made.
    pub(crate) fn is_refuted_by(&self, object: &Object) -> bool {
        self.of_type().is_some_and(|call| call.is_refuted_by(object))
    }

    /// What its action, which has begun, tells.
    pub(crate) fn began(&self, actions: &[Action]) -> Option<Change> {
        self.of_type()?.began(actions.first()?)
    }

    fn serial(&self) -> Vec<String> {
        // Many may ask at once for what serves them all: one question is enough.
        if let Self::Find { owner: Owner::Shared { .. }, name: Some(name), .. } = self {
            return vec![name_key(name)];
        }
        if let Self::Watch { kind, of, .. } = self {
            return vec![format!("watch:{}:{of}", kind.word())];
        }
        let held = match self {
            call if call.reads() => Vec::new(),
            Self::Sweep { object, .. } | Self::Discard { object, .. } | Self::Adopt { object, .. } => vec![*object],
            _ => self.of_type().map(ObjectCall::holds).unwrap_or_default(),
        };
        // A snapshot has no name that two could want.
        let name = self.creates().filter(|_| self.makes().is_some_and(ObjectType::is_named));
        name.map(|(name, _)| name_key(name)).into_iter().chain(held.iter().map(ObjectId::to_string)).collect()
    }

    /// The call as a step. `target` names the object for people.
    pub fn step(&self, target: impl Into<String>) -> Step {
        Step {
            operation: self.operation().to_owned(),
            target: target.into(),
            serial: self.serial(),
            // Writing a call cannot fail: its types have no maps with other keys than texts.
            payload: serde_json::to_value(self).unwrap_or_default(),
            marks: Vec::new(),
            action_seq: None,
            // What a late effect of another call could undo. All else only grows, or ends.
            sets: self.of_type().and_then(ObjectCall::sets),
            reads: self.reads(),
            frees: self.is_removal(),
            secret: None,
        }
    }

    /// The call of a step.
    ///
    /// # Errors
    /// When another release wrote the step.
    pub fn of(step: &Step) -> Result<Self, serde_json::Error> {
        serde_json::from_value(step.payload.clone())
    }

    /// The call that removes an object because an operator ordered it; none for a type that is not known.
    pub fn discarding(object: &OwnedObject, installation: &str) -> Option<Self> {
        let (uid, installation) = (object.uid, installation.to_owned());
        let object = ObjectType::of_word(&object.object_type)?.id(object.id.parse().ok()?);
        Some(Self::Discard { object, installation, uid })
    }

    /// The call that removes an object; none for a type that is not known, and for what is nobody's.
    pub fn removing(object: &OwnedObject) -> Option<Self> {
        let uid = object.uid?;
        let object = ObjectType::of_word(&object.object_type)?.id(object.id.parse().ok()?);
        Some(Self::Sweep { object, uid })
    }
}

pub(crate) fn name_key(name: &str) -> String {
    format!("name:{name}")
}

/// What a step may have beside its call.
pub(crate) trait StepExt: Sized {
    /// With a fact to commit before the call.
    fn mark(self, mark: Mark) -> Self;
    /// With the power action that it completes.
    fn completes(self, seq: i64) -> Self;
    /// It frees a name: it waits while a creation of that name could still take effect and make a second object.
    fn frees(self, name: &str) -> Self;
    /// With what must not be recorded.
    fn secret(self, secret: Option<SecretString>) -> Self;
}

impl StepExt for Step {
    fn mark(mut self, mark: Mark) -> Self {
        self.marks.push(mark);
        self
    }

    fn completes(mut self, seq: i64) -> Self {
        self.action_seq = Some(seq);
        self
    }

    fn frees(mut self, name: &str) -> Self {
        self.sets = Some((name_key(name), "free".to_owned()));
        self
    }

    fn secret(mut self, secret: Option<SecretString>) -> Self {
        self.secret = secret;
        self
    }
}

/// Milliseconds since the epoch, as steps carry them.
pub(crate) fn millis(at: Timestamp) -> i64 {
    at.as_millis()
}

#[cfg(test)]
mod tests {
    use hcloud_client::types::CreateServer;

    use super::*;

    #[test]
    fn what_frees_a_name_contradicts_what_takes_it_and_nothing_else() {
        let create = |name: &str| {
            ServerCall::Create(Box::new(CreateServer { name: name.to_owned(), ..CreateServer::default() }))
        };
        let delete = ServerCall::Delete { server: 1.into() };
        let taken = create("web-1").step("web-1").sets.unwrap();
        let freed = delete.step("web-1").frees("web-1").sets.unwrap();
        assert_eq!(taken.0, freed.0);
        assert_ne!(taken.1, freed.1);
        assert_ne!(create("web-2").step("web-2").sets.unwrap().0, freed.0);
        assert_eq!(delete.step("web-1").sets, None, "a removal waits for nothing");
    }
}
