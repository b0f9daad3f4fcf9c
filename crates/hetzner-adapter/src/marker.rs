//! The marker: how the project behind a token is known again, and which database rules it.
//!
//! The provider tells no token which project it opens. So every project gets one empty placement group that is
//! labelled with the installation, with the id that we gave the project, and with the epoch of the database that rules
//! it; two tokens of one project find the same marker. Writing to it is the proof that a token may write. People tidy
//! up empty placement groups, so that its absence is proven by its name too, and a project without a marker is known by
//! our labelled objects in it.

use std::{collections::BTreeSet, sync::Arc};

use async_trait::async_trait;
use control_plane::{
    ProjectId, Uid,
    ports::{Access, BindError, CloudError, Epoch, Found, Gate, Marker, Note, ProjectFinder},
    reason::Reason,
};
use hcloud_client::{
    Error, ErrorClass, ErrorCode, ListFilter, ProjectClient,
    types::{CreatePlacementGroup, Id, Labels, PlacementGroup, PlacementGroupType, UpdatePlacementGroup},
};
use secrecy::ExposeSecret;

use crate::{
    naming,
    objects::Objects,
    outcome::unreadable,
    provider::{HetznerProvider, client_access},
};

/// The purpose of the marker, in its labels.
const PURPOSE: &str = "marker";

#[async_trait]
impl ProjectFinder for HetznerProvider {
    async fn find(&self, access: &Access, installation: &str) -> Result<Found, BindError> {
        let asking = self.asking(access);
        find(&asking.client, installation).await.map_err(|error| bind_error(&error))
    }

    async fn mark(
        &self,
        access: &Access,
        installation: &str,
        project: &ProjectId,
        found: &Found,
    ) -> Result<ProjectId, BindError> {
        let asking = self.asking(access);
        let named = found.project().unwrap_or(project);
        let marked = mark(&asking.client, installation, named, None, found.marker.as_ref()).await;
        marked.map_err(|error| mark_error(&error))?.ok_or_else(|| {
            BindError::Unavailable("the marker of the project, a placement group, was made and cannot be found".into())
        })
    }
}

impl HetznerProvider {
    /// The finder's client. Which budget its calls belong to is what is to be found out; they are few.
    fn asking(&self, access: &Access) -> Asking<'_> {
        let key = format!("token {}", naming::hash(access.token.expose_secret(), 16));
        Asking { client: self.finder.project(client_access(access, key.clone())), provider: self, key }
    }

    /// Looks for the marker in its project.
    pub(crate) async fn look_for_marker(
        &self,
        client: &ProjectClient,
        installation: &str,
    ) -> Result<Option<Marker>, CloudError> {
        look(client, installation).await.map_err(|error| unreadable(&error))
    }

    /// Writes the marker, with the finder's own way out of a creation that somebody else was faster with.
    pub(crate) async fn put_marker(
        &self,
        client: &ProjectClient,
        installation: &str,
        project: &ProjectId,
        epoch: &Epoch,
        known: Option<&Marker>,
    ) -> Result<(), CloudError> {
        let marked = mark(client, installation, project, Some(epoch), known).await;
        match marked.map_err(|error| unreadable(&error))? {
            Some(named) if named == *project => Ok(()),
            _ => Err(CloudError {
                note: Note::new(
                    Reason::ProviderUnavailable,
                    "the marker of the project could not be written as it should be; it is read again",
                ),
                after: None,
            }),
        }
    }
}

/// A client whose budget is forgotten with it.
struct Asking<'a> {
    client: ProjectClient,
    provider: &'a HetznerProvider,
    key: String,
}

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        self.provider.finder.forget(&self.key);
    }
}

async fn find(client: &ProjectClient, installation: &str) -> Result<Found, Error> {
    // Proves the token before anything is said about the project.
    client.list_locations().await?;
    let marker = look(client, installation).await?;
    let mut found = Found { marker, uids: Vec::new() };
    if found.project().is_none() {
        found.uids = owners(client, installation).await?.into_iter().collect();
    }
    Ok(found)
}

/// Whose objects are in the project, by the labels of an installation.
async fn owners(client: &ProjectClient, installation: &str) -> Result<BTreeSet<Uid>, Error> {
    let selector = format!("{}={}", naming::INSTALLATION, naming::label_value(installation));
    let objects = Objects::list(client, &ListFilter::labelled(selector)).await?;
    let ours = objects.all_labels().into_iter().filter(|labels| naming::is_of(labels, installation));
    Ok(ours.filter_map(naming::uid_of).collect())
}

/// Writes project and epoch to the marker, or makes it. The project that the marker names then; none when it was made
/// and cannot be found.
async fn mark(
    client: &ProjectClient,
    installation: &str,
    project: &ProjectId,
    epoch: Option<&Epoch>,
    known: Option<&Marker>,
) -> Result<Option<ProjectId>, Error> {
    if let Some(marker) = known {
        let labels = labels(installation, project, epoch, marker.labels.clone());
        match rewrite(client, &marker.id, labels).await {
            // Its name is unique, so that a second one cannot come to be, whatever the answer was worth.
            Err(error) if error.class() == ErrorClass::NotFound => {}
            written => return written.map(|()| Some(project.clone())),
        }
    }
    let body = CreatePlacementGroup {
        // One name per installation: of two that bind at once, the provider lets one make the marker.
        name: name(installation),
        kind: PlacementGroupType::Spread,
        labels: labels(installation, project, epoch, Labels::new()),
    };
    match client.create_placement_group(&body).await {
        Ok(made) => Ok(project_of(&made.resource.labels)),
        Err(error) if error.class() == ErrorClass::Uniqueness || error.outcome_unknown() => {
            match look(client, installation).await? {
                Some(marker) if marker.project.as_ref().is_none_or(|named| named == project) => {
                    let labels = labels(installation, project, epoch, marker.labels);
                    rewrite(client, &marker.id, labels).await.map(|()| Some(project.clone()))
                }
                other => Ok(other.and_then(|marker| marker.project)),
            }
        }
        Err(error) => Err(error),
    }
}

async fn rewrite(client: &ProjectClient, id: &str, labels: Labels) -> Result<(), Error> {
    let id = Id::<PlacementGroup>::new(id.parse().unwrap_or_default());
    client.update_placement_group(id, &UpdatePlacementGroup { name: None, labels: Some(labels) }).await.map(drop)
}

/// The labels of the marker: ours, and those that others put there.
fn labels(installation: &str, project: &ProjectId, epoch: Option<&Epoch>, mut labels: Labels) -> Labels {
    labels.extend(naming::shared_labels(installation, PURPOSE));
    labels.insert(naming::PROJECT.to_owned(), naming::label_value(&project.0));
    if let Some(epoch) = epoch {
        labels.insert(naming::EPOCH.to_owned(), epoch.number.to_string());
        labels.insert(naming::EPOCH_NONCE.to_owned(), naming::label_value(&epoch.nonce));
    }
    labels
}

/// The marker, by its labels; else by its name, should somebody have taken the labels away. None proves that there is
/// none: the provider answers both with what it has, and a list of one or none has no pages that shift.
async fn look(client: &ProjectClient, installation: &str) -> Result<Option<Marker>, Error> {
    let selector =
        format!("{}={},{}={PURPOSE}", naming::INSTALLATION, naming::label_value(installation), naming::PURPOSE);
    let labelled = client.list_placement_groups(&ListFilter::labelled(selector)).await?;
    if let Some(marker) = among(labelled.iter(), installation) {
        return Ok(Some(marker));
    }
    let named = client.list_placement_groups(&ListFilter::named(name(installation))).await?;
    Ok(among(named.iter(), installation))
}

/// The marker among placement groups; one that names a project before others, and the oldest one, should a person have
/// copied it.
pub(crate) fn among<'a>(groups: impl Iterator<Item = &'a PlacementGroup>, installation: &str) -> Option<Marker> {
    let name = name(installation);
    let is_labelled = |group: &PlacementGroup| {
        naming::is_of(&group.labels, installation) && group.labels.get(naming::PURPOSE).is_some_and(|p| p == PURPOSE)
    };
    groups
        .filter(|group| is_labelled(group) || group.name == name)
        .min_by_key(|group| (!is_labelled(group), project_of(&group.labels).is_none(), group.id))
        .map(|group| Marker {
            id: group.id.to_string(),
            project: project_of(&group.labels),
            epoch: epoch_of(&group.labels),
            labels: group.labels.clone(),
        })
}

fn name(installation: &str) -> String {
    naming::shared_name("project", installation)
}

fn project_of(labels: &Labels) -> Option<ProjectId> {
    labels.get(naming::PROJECT).map(|id| ProjectId(id.clone()))
}

fn epoch_of(labels: &Labels) -> Option<Epoch> {
    let number = labels.get(naming::EPOCH)?.parse().ok()?;
    Some(Epoch { number, nonce: labels.get(naming::EPOCH_NONCE).cloned().unwrap_or_default() })
}

/// The marker may always be written: a token that may not do that only reads, in whichever word the provider says it.
fn mark_error(error: &Error) -> BindError {
    match error.code() {
        Some(ErrorCode::Forbidden) => BindError::ReadOnly,
        _ => bind_error(error),
    }
}

fn bind_error(error: &Error) -> BindError {
    match error.class() {
        ErrorClass::Unauthorized if error.code() != Some(&ErrorCode::Forbidden) => BindError::Rejected,
        ErrorClass::ReadOnly => BindError::ReadOnly,
        _ => BindError::Unavailable(error.to_string()),
    }
}

/// The engine's gate, as the client asks it.
pub(crate) struct Asked(pub(crate) Arc<dyn Gate>);

#[async_trait]
impl hcloud_client::Gate for Asked {
    async fn may_send(&self) -> Result<(), hcloud_client::Closed> {
        self.0.may_send().await.map_err(hcloud_client::Closed)
    }

    fn sent(&self) {
        self.0.sent();
    }
}
