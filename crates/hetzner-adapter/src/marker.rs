//! The marker: how the project behind a token is known again.
//!
//! The provider tells no token which project it opens. So every project gets one empty placement group that is
//! labelled with the installation and with the id that we gave the project; two tokens of one project find the
//! same marker. Writing to it is the proof that a token may write.

use async_trait::async_trait;
use control_plane::{
    ProjectId,
    ports::{Access, BindError, ProjectFinder},
};
use hcloud_client::{
    Error, ErrorClass, ErrorCode, ListFilter, ProjectClient,
    types::{CreatePlacementGroup, PlacementGroup, PlacementGroupType, UpdatePlacementGroup},
};
use secrecy::ExposeSecret;

use crate::{
    naming,
    provider::{HetznerProvider, client_access},
};

/// The purpose of the marker, in its labels and its name.
const PURPOSE: &str = "marker";

#[async_trait]
impl ProjectFinder for HetznerProvider {
    async fn find_project(
        &self,
        access: &Access,
        installation: &str,
        candidate: &ProjectId,
    ) -> Result<ProjectId, BindError> {
        // Which budget the calls belong to is what is to be found out; they are few.
        let key = format!("token {}", naming::hash(access.token.expose_secret(), 16));
        let client = self.finder.project(client_access(access, key.clone()));
        let found = find(&client, installation, candidate).await;
        self.finder.forget(&key);
        found.map_err(|error| bind_error(&error))?.ok_or_else(|| {
            BindError::Unavailable("the marker of the project, a placement group, was made and cannot be found".into())
        })
    }
}

async fn find(client: &ProjectClient, installation: &str, candidate: &ProjectId) -> Result<Option<ProjectId>, Error> {
    // Proves the token before anything is said about the project.
    client.list_locations().await?;
    if let Some(marker) = look(client, installation).await? {
        let same = UpdatePlacementGroup { name: None, labels: Some(marker.labels.clone()) };
        client.update_placement_group(marker.id, &same).await?;
        return Ok(project_of(&marker));
    }
    let mut labels = naming::shared_labels(installation, PURPOSE);
    labels.insert(naming::PROJECT.to_owned(), naming::label_value(&candidate.0));
    let body = CreatePlacementGroup {
        // One name per installation: of two that bind at once, the provider lets one make the marker.
        name: naming::shared_name("project", installation),
        kind: PlacementGroupType::Spread,
        labels,
    };
    match client.create_placement_group(&body).await {
        Ok(made) => Ok(project_of(&made.resource)),
        Err(error) if error.class() == ErrorClass::Uniqueness || error.outcome_unknown() => {
            Ok(look(client, installation).await?.as_ref().and_then(project_of))
        }
        Err(error) => Err(error),
    }
}

/// The marker; the oldest one, should a person have copied it.
async fn look(client: &ProjectClient, installation: &str) -> Result<Option<PlacementGroup>, Error> {
    let selector =
        format!("{}={},{}={PURPOSE}", naming::INSTALLATION, naming::label_value(installation), naming::PURPOSE);
    let mut found = client.list_placement_groups(&ListFilter::labelled(selector)).await?;
    found.retain(|group| project_of(group).is_some());
    Ok(found.into_iter().min_by_key(|group| group.id))
}

fn project_of(marker: &PlacementGroup) -> Option<ProjectId> {
    marker.labels.get(naming::PROJECT).map(|id| ProjectId(id.clone()))
}

fn bind_error(error: &Error) -> BindError {
    match error.class() {
        ErrorClass::Unauthorized if error.code() != Some(&ErrorCode::Forbidden) => BindError::Rejected,
        ErrorClass::ReadOnly => BindError::ReadOnly,
        _ => BindError::Unavailable(error.to_string()),
    }
}
