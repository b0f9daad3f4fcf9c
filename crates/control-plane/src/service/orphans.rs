//! Objects of this installation at the provider that no resource claims: what operators order about them.

use seca_api::{Kind, ResourceKey};
use serde::Serialize;

use super::{Administration, Refusal};
use crate::{
    facts::{Facts as _, ObjectIds},
    kinds::{self, KindRules},
    ports::{OrderOutcome, OrphanOrder, OwnedObject},
    reason::Reason,
    resource::{ProjectId, Resource},
};

/// An orphan as the admin API shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct OrphanView {
    /// The project.
    pub project: ProjectId,
    /// The object, as the last sweep saw it.
    #[serde(flatten)]
    pub object: OwnedObject,
    /// What was ordered about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub order: Option<OrderView>,
}

/// What was ordered about an orphan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct OrderView {
    /// `remove` or `adopt`.
    pub action: &'static str,
    /// The resource that is to have it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub into: Option<String>,
    /// `pending`, `done` or `refused`.
    pub state: &'static str,
    /// Why it is not done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

impl OrderView {
    fn of(order: &OrphanOrder, into: Option<&Resource>) -> Self {
        let remembered = into.and_then(|row| order.remembered_by(row));
        let (state, message) = match order.into {
            None if order.refused => ("refused", order.told.clone()),
            None => ("pending", order.told.clone()),
            Some(_) => match (into, remembered) {
                (None, _) => ("refused", Some("the resource that was to have it is gone".to_owned())),
                (Some(_), None) => ("done", None),
                (Some(_), Some(adopt)) if adopt.refused.is_some() => ("refused", adopt.refused),
                (Some(_), Some(_)) => ("pending", None),
            },
        };
        Self {
            action: if order.into.is_some() { "adopt" } else { "remove" },
            into: into.map(|row| row.key.urn()),
            state,
            message,
        }
    }
}

/// Which orphan is meant: the id of its project, the provider's word for its type, and the provider's id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrphanRef {
    /// The project.
    pub project: ProjectId,
    /// The type: `volume`.
    pub object_type: String,
    /// The id.
    pub id: String,
}

impl Administration {
    /// What was ordered about each of these orphans.
    ///
    /// # Errors
    /// Failures of the store.
    pub async fn with_orders(&self, orphans: Vec<(ProjectId, OwnedObject)>) -> Result<Vec<OrphanView>, Refusal> {
        let orders = self.store.oversight().orders().await?;
        let view = |(project, object): (ProjectId, OwnedObject)| {
            let order = orders.iter().find(|(order, _)| order.is_about(&project, &object.object_type, &object.id));
            let order = order.map(|(order, into)| OrderView::of(order, into.as_ref()));
            OrphanView { project, object, order }
        };
        Ok(orphans.into_iter().map(view).collect())
    }

    /// One orphan.
    ///
    /// # Errors
    /// Failures of the store.
    pub async fn orphan(&self, orphan: &OrphanRef) -> Result<Option<OrphanView>, Refusal> {
        let Some(object) = self.seen(orphan).await? else { return Ok(None) };
        Ok(self.with_orders(vec![(orphan.project.clone(), object)]).await?.pop())
    }

    /// Orders the removal of an orphan, which the holder of the project's lease carries out. False when there is no such
    /// orphan. Ordered again, it changes nothing.
    ///
    /// # Errors
    /// [`Refusal::Conflict`] when a resource claims it, or when it is to be given to one; failures of the store.
    pub async fn remove_orphan(&self, orphan: &OrphanRef) -> Result<bool, Refusal> {
        self.order(orphan, None).await
    }

    /// Gives an orphan to a resource that has no object of its own. Its labels are rewritten by the holder of the project's
    /// lease. False when there is no such orphan. Ordered again, it changes nothing.
    ///
    /// # Errors
    /// [`Refusal::NotFound`] when there is no such resource; [`Refusal::Conflict`] when the two do not fit each other, when a
    /// resource claims the orphan, or when something else was ordered about it; failures of the store.
    pub async fn adopt_orphan(&self, orphan: &OrphanRef, into: &ResourceKey) -> Result<bool, Refusal> {
        let row = self.store.get(into).await?.ok_or_else(|| Refusal::NotFound(into.clone()))?;
        if let Some(object) = self.seen(orphan).await? {
            let fits = fits(orphan, &object, &row);
            fits.map_err(|why| Refusal::Conflict(format!("{} is not given to {into}: {why}", orphan.noun())))?;
        }
        self.order(orphan, Some(&row)).await
    }

    async fn seen(&self, orphan: &OrphanRef) -> Result<Option<OwnedObject>, Refusal> {
        let mut all = self.store.orphans().await?.into_iter();
        let is_it = |(project, object): &(ProjectId, OwnedObject)| {
            *project == orphan.project && object.object_type == orphan.object_type && object.id == orphan.id
        };
        Ok(all.find(is_it).map(|(_, object)| object))
    }

    async fn order(&self, orphan: &OrphanRef, into: Option<&Resource>) -> Result<bool, Refusal> {
        // Of what is no orphan it is asked nevertheless whether a resource claims it.
        let object = self.seen(orphan).await?.unwrap_or_else(|| OwnedObject {
            object_type: orphan.object_type.clone(),
            id: orphan.id.clone(),
            ..OwnedObject::default()
        });
        let order = OrphanOrder {
            uid: self.ids.uid(),
            project: orphan.project.clone(),
            object,
            into: into.map(|row| row.uid),
            told: None,
            refused: false,
        };
        let noun = orphan.noun();
        match self.store.oversight().order(&order).await? {
            OrderOutcome::Accepted => {
                self.wake.notify_one();
                Ok(true)
            }
            OrderOutcome::Unknown => Ok(false),
            OrderOutcome::Claimed(key) => {
                Err(Refusal::Conflict(format!("{noun} is no orphan: {key} has it; delete that resource to remove it")))
            }
            OrderOutcome::Ordered(Some(key)) => {
                Err(Refusal::Conflict(format!("{noun} is being given to {key} already; look at that resource")))
            }
            OrderOutcome::Ordered(None) => {
                Err(Refusal::Conflict(format!("{noun} is being removed already, as an operator ordered")))
            }
            OrderOutcome::Left => Err(Refusal::Conflict(format!(
                "the resource that was to have {noun} is being deleted, or is in another project by now; name another one"
            ))),
        }
    }
}

impl OrphanRef {
    /// The kind of a resource that can have it; none: no resource can.
    pub fn kind(&self) -> Option<Kind> {
        let can_have = |rules: &&&KindRules| rules.adopts == Some(self.object_type.as_str());
        kinds::ALL.iter().find(can_have).map(|rules| rules.kind)
    }

    /// As sentences name it.
    pub fn noun(&self) -> String {
        format!("the {} {}", self.object_type.replace('_', " "), self.id)
    }
}

/// Why a resource cannot have an object. What only the provider's half knows is judged by that, when it is done.
fn fits(orphan: &OrphanRef, object: &OwnedObject, row: &Resource) -> Result<(), String> {
    let Some(kind) = orphan.kind() else {
        return Err(format!(
            "only a volume, a primary IP and an image can be given to a resource, and this is a {}",
            object.object_type.replace('_', " ")
        ));
    };
    if row.key.kind != kind {
        return Err(format!("it becomes a {}, and this is a {}", kind.noun(), row.key.kind.noun()));
    }
    if row.is_deleting() {
        return Err("the resource is being deleted".to_owned());
    }
    if row.project != orphan.project {
        return Err(format!("it is in project {}, and the resource in project {}", orphan.project, row.project));
    }
    if let Some(user) = &object.used_by {
        return Err(format!("the {user} has it; take it from that at the provider first"));
    }
    let is_lost =
        row.conditions.first().and_then(|newest| newest.reason.as_deref()) == Some(Reason::BackingLost.as_str());
    match ObjectIds::of(row).of_type(&object.object_type) {
        Some(own) if own != orphan.id && !is_lost => {
            Err(format!("the resource has an object of its own, the {} {own}", object.object_type.replace('_', " ")))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use seca_api::Timestamp;
    use serde_json::json;

    use super::*;
    use crate::{ports::Put, resource::Uid, state};

    fn row(kind: Kind, facts: serde_json::Value) -> Resource {
        let key = ResourceKey::tenant(kind, "r", "t", "n");
        let put = Put::create(key, Uid(uuid::Uuid::from_u128(1)), "{}".to_owned(), Timestamp::from_millis(1));
        let mut row = state::create(put, ProjectId("p".to_owned()));
        row.facts = facts.as_object().cloned().unwrap_or_default();
        row
    }

    #[test]
    fn an_orphan_is_given_to_a_resource_that_it_fits_and_that_has_none() {
        let orphan = |object_type: &str| OrphanRef {
            project: ProjectId("p".into()),
            object_type: object_type.into(),
            id: "7".into(),
        };
        let object = |object_type: &str| OwnedObject {
            object_type: object_type.into(),
            id: "7".into(),
            ..OwnedObject::default()
        };
        let none = || json!({});
        for (object_type, kind, facts, refusal) in [
            ("volume", Kind::BlockStorage, none(), None),
            ("volume", Kind::BlockStorage, json!({"volumeId": "7"}), None),
            ("volume", Kind::BlockStorage, json!({"volumeId": "8"}), Some("an object of its own, the volume 8")),
            ("volume", Kind::Image, none(), Some("it becomes a")),
            ("primary_ip", Kind::PublicIp, none(), None),
            ("image", Kind::Image, none(), None),
            ("server", Kind::BlockStorage, none(), Some("this is a server")),
            ("placement_group", Kind::BlockStorage, none(), Some("this is a placement group")),
        ] {
            let told = fits(&orphan(object_type), &object(object_type), &row(kind, facts)).err();
            assert_eq!(told.is_none(), refusal.is_none(), "{object_type} {kind:?}: {told:?}");
            assert!(refusal.is_none_or(|part| told.as_ref().is_some_and(|told| told.contains(part))), "{told:?}");
        }
        let elsewhere = OrphanRef { project: ProjectId("q".into()), ..orphan("volume") };
        assert!(fits(&elsewhere, &object("volume"), &row(Kind::BlockStorage, none())).is_err());
        let used = OwnedObject { used_by: Some("server 3".into()), ..object("volume") };
        assert!(fits(&orphan("volume"), &used, &row(Kind::BlockStorage, none())).unwrap_err().contains("server 3"));
    }
}
