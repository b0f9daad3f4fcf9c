//! Placement groups. All calls are done when they answer.

use crate::error::Error;
use crate::project::{ListFilter, Mutated, ProjectClient};
use crate::types::{CreatePlacementGroup, Id, PlacementGroup, UpdatePlacementGroup};

impl ProjectClient {
    /// Placement groups, all pages.
    ///
    /// # Errors
    /// As of any read; see [`Error::class`].
    pub async fn list_placement_groups(&self, filter: &ListFilter) -> Result<Vec<PlacementGroup>, Error> {
        self.list("/placement_groups", filter.query()).await
    }

    /// One placement group.
    ///
    /// # Errors
    /// As of any read; see [`Error::class`].
    pub async fn get_placement_group(&self, id: Id<PlacementGroup>) -> Result<PlacementGroup, Error> {
        self.get(format!("/placement_groups/{id}")).await
    }

    /// Makes a placement group.
    ///
    /// # Errors
    /// As of any change; see [`Error::class`].
    pub async fn create_placement_group(&self, body: &CreatePlacementGroup) -> Result<Mutated<PlacementGroup>, Error> {
        self.create("/placement_groups".to_owned(), body).await
    }

    /// Changes a placement group; labels are replaced as a whole.
    ///
    /// # Errors
    /// As of any change; see [`Error::class`].
    pub async fn update_placement_group(
        &self,
        id: Id<PlacementGroup>,
        body: &UpdatePlacementGroup,
    ) -> Result<PlacementGroup, Error> {
        self.update(format!("/placement_groups/{id}"), body).await
    }

    /// Deletes a placement group.
    ///
    /// # Errors
    /// As of any change; see [`Error::class`].
    pub async fn delete_placement_group(&self, id: Id<PlacementGroup>) -> Result<(), Error> {
        self.delete(format!("/placement_groups/{id}")).await
    }
}
