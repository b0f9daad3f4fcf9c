//! What is done to objects whose resource is gone: a sweep removes them, an operator has them removed or gives them to
//! another resource. Whoever ordered that saw them a while ago, so that each is read by its id just before, and left alone
//! if it is somebody else's by now.

use control_plane::ports::Outcome;
use hcloud_client::{
    Error, Priority, ProjectClient,
    types::{Labels, UpdateImage, UpdatePrimaryIp, UpdateVolume},
};

use crate::{
    call::Call,
    executor::{Executor, retry},
    naming,
    objects::{Object, ObjectId, Sent},
    outcome::{Verdict, judge},
    snapshot::Observation,
};

type Made = Outcome<Observation>;

impl Executor<'_> {
    /// Why a call is not made that is about an object of a resource that is gone; none for any other call. What cannot be
    /// read is left alone.
    pub(crate) async fn keep(&self, call: &Call) -> Option<Made> {
        let object = match call {
            Call::Sweep { object, .. } | Call::Discard { object, .. } | Call::Adopt { object, .. } => *object,
            _ => return None,
        };
        let priority = if call.is_removal() { Priority::Delete } else { Priority::Mutation };
        match object.get(&self.client.at(priority)).await {
            Ok(found) => changed(call, found),
            Err(error) => Some(match judge(&error) {
                Verdict::Unknown(message) => retry(control_plane::Reason::ProviderUnavailable, message),
                _ => self.refused(call, &error).await,
            }),
        }
    }
}

/// What is to be said of an object that is not what a call was planned for; none if it is.
fn changed(call: &Call, found: Object) -> Option<Made> {
    let labels = found.labels();
    match call {
        Call::Sweep { uid, .. } => {
            (naming::uid_of(labels) != Some(*uid)).then(|| Outcome::Done(Observation::seen(found)))
        }
        Call::Discard { installation, uid, .. } => (!is_still(labels, installation, *uid)).then(|| refuted(found)),
        // Made before, and the answer was lost.
        Call::Adopt { labels: given, .. } if naming::is_same_owner(labels, given) => {
            Some(Outcome::Done(Observation::seen(found)))
        }
        Call::Adopt { installation, from, .. } => (!is_still(labels, installation, *from)).then(|| refuted(found)),
        _ => None,
    }
}

fn refuted(found: Object) -> Made {
    Outcome::Refuted { observation: Observation::seen(found), retry: None }
}

/// Whether labels are an installation's still, and name the resource that they named: none for what is no single one's. The
/// marker of a project is never an orphan.
pub(crate) fn is_still(labels: &Labels, installation: &str, uid: Option<control_plane::Uid>) -> bool {
    naming::is_of(labels, installation) && naming::uid_of(labels) == uid && !labels.contains_key(naming::PROJECT)
}

/// Gives an object another owner. Types that no plan gives to anybody are only read.
pub(crate) async fn give(client: &ProjectClient, object: ObjectId, name: &str, labels: &Labels) -> Result<Sent, Error> {
    let (name, labels) = (Some(name.to_owned()), Some(labels.clone()));
    Ok(match object {
        ObjectId::Volume(id) => Sent::object(client.update_volume(id, &UpdateVolume { name, labels }).await?),
        // It outlives the servers that have it.
        ObjectId::PrimaryIp(id) => {
            let body = UpdatePrimaryIp { name, labels, auto_delete: Some(false) };
            Sent::object(client.update_primary_ip(id, &body).await?)
        }
        ObjectId::Image(id) => {
            let body = UpdateImage { description: name, labels, kind: None };
            Sent::object(client.update_image(id, &body).await?)
        }
        other => Sent { observation: Some(Observation::seen(other.get(client).await?)), actions: Vec::new() },
    })
}
