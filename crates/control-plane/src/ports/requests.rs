//! What handlers ask the store for, and what it answers.

use std::collections::BTreeMap;

use seca_api::{Kind, ResourceKey, Timestamp};
use serde::Serialize;

use crate::resource::{ActionKind, ProjectId, Representation, Resource, Uid};

/// A page of a list: keyset paging over the name (and what precedes it in the key).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListQuery {
    /// The kind.
    pub kind: Kind,
    /// The tenant.
    pub tenant: String,
    /// The region; empty for global kinds.
    pub region: String,
    /// The workspace; empty for kinds without.
    pub workspace: String,
    /// The network; empty for kinds without.
    pub network: String,
    /// Whether resources whose deletion was accepted are shown.
    pub deleted: Deleted,
    /// Only what matches. Filtered in the database, before the limit.
    pub selector: Option<seca_api::selector::Selector>,
    /// Names greater than this; empty for the first page.
    pub after: String,
    /// At most this many, 1 or more.
    pub limit: usize,
}

impl ListQuery {
    /// The collection that is listed: the key of what is in it, without a name.
    pub fn collection(&self) -> ResourceKey {
        ResourceKey {
            tenant: self.tenant.clone(),
            region: self.region.clone(),
            kind: self.kind,
            workspace: self.workspace.clone(),
            network: self.network.clone(),
            name: String::new(),
        }
    }
}

/// Which resources a list shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Deleted {
    /// Only those that nobody deleted.
    #[default]
    Exclude,
    /// All.
    Include,
    /// Only those on their way out.
    Only,
}

/// A page.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Page {
    /// The resources, by name.
    pub items: Vec<Shown>,
    /// Whether more follow the last item.
    pub more: bool,
    /// The authorization version of the tenant at that moment; none for a page without items, which does not tell.
    pub authorization: Option<i64>,
}

/// A reference from a resource to another: stored by the target's key, so that it may precede its target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edge {
    /// The field, as a JSON pointer: `/spec/bootVolume/deviceRef`.
    pub field: String,
    /// What it names.
    pub target: ResourceKey,
    /// Whether the write is refused when the target does not exist (or is being deleted) at commit.
    pub strict: bool,
}

/// An accepted PUT, as admission decided it.
#[derive(Clone, Debug, PartialEq)]
pub struct Put {
    /// What is written.
    pub key: ResourceKey,
    /// What admission judged against; none for a creation. The write is [`PutOutcome::Stale`] when the row is another
    /// by now: of another life, version or revision.
    pub before: Option<Before>,
    /// The identity if it is created.
    pub uid: Uid,
    /// The user's maps and the specification, as stored.
    pub labels: Option<String>,
    /// See [`Resource::annotations`].
    pub annotations: Option<String>,
    /// See [`Resource::extensions`].
    pub extensions: Option<String>,
    /// See [`Resource::spec`].
    pub spec: String,
    /// The labels again, for selectors.
    pub label_pairs: BTreeMap<String, String>,
    /// All references to rows; they replace the former ones.
    pub edges: Vec<Edge>,
    /// Status members of a new resource.
    pub initial_status: String,
    /// The resource whose project does the work, for kinds without a parent that need one: an image's block
    /// storage. It is one of the edges' targets. While it does not exist, and for all other kinds without a
    /// parent, that is `local`; a row that is in `local` moves to it with a later write.
    pub home: Option<ResourceKey>,
    /// Whether the write also asks for power on (the extension [`crate::ports::Provider::start_extension`]).
    pub start: bool,
    /// The authorization version of the tenant by which it was judged what the writer may hand out: for roles and role
    /// assignments, of which two that are harmless by themselves may not be so together. The write is
    /// [`PutOutcome::Stale`] when it is another by now.
    pub judged_at: Option<i64>,
    /// An assignment that is made with a new resource or not at all: the creator's, of a workspace.
    pub grant: Option<Box<Put>>,
    /// The handler's wall clock.
    pub now: Timestamp,
}

impl Put {
    /// A creation of what has a specification and nothing else.
    pub fn create(key: ResourceKey, uid: Uid, spec: impl Into<String>, now: Timestamp) -> Self {
        Self {
            key,
            before: None,
            uid,
            labels: None,
            annotations: None,
            extensions: None,
            spec: spec.into(),
            label_pairs: BTreeMap::new(),
            edges: Vec::new(),
            initial_status: "{}".to_owned(),
            home: None,
            start: false,
            judged_at: None,
            grant: None,
            now,
        }
    }
}

/// The row that a PUT replaces, as admission read it.
#[derive(Clone, Debug, PartialEq)]
pub struct Before {
    /// The row.
    pub row: Resource,
    /// Its references, in their order. A PUT that changes them locks parents and targets; another does not, because
    /// what is in use cannot have gone.
    pub edges: Vec<Edge>,
}

/// What one PUT is judged by: all of it is read at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdmissionQuery {
    /// What is written.
    pub key: ResourceKey,
    /// Its parents, and what the document names.
    pub named: Vec<ResourceKey>,
    /// The collections whose live resources matter.
    pub relatives: Vec<Collection>,
}

/// A collection: all resources of a kind in one place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Collection {
    /// The kind.
    pub kind: Kind,
    /// The tenant.
    pub tenant: String,
    /// The region; empty for global kinds.
    pub region: String,
    /// The workspace; empty for kinds without.
    pub workspace: String,
    /// The network; empty for kinds without.
    pub network: String,
}

/// The answer to an [`AdmissionQuery`], all of one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Admission {
    /// The row itself.
    pub before: Option<Before>,
    /// What the document names, what the row named until now, and who holds any of these; each once.
    pub rows: Vec<Resource>,
    /// The live resources of the collections, but for the row itself.
    pub relatives: Vec<Resource>,
    /// The authorization version of the tenant; none for an unknown one.
    pub authorization: Option<i64>,
}

/// A resource as handlers show it.
#[derive(Clone, Debug, PartialEq)]
pub struct Shown {
    /// The resource.
    pub resource: Representation,
    /// How many live children it has, for kinds that count them ([`crate::kinds::KindRules::counts_children`]).
    pub children: Option<i64>,
}

/// Which text of a resource it is: as long as it is the same, so is all that is shown but for what is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Edition {
    /// See [`Resource::uid`].
    pub uid: Uid,
    /// See [`Resource::resource_version`].
    pub resource_version: i64,
    /// See [`Resource::revision`].
    pub revision: i64,
    /// See [`Resource::last_modified_at`].
    pub last_modified_at: Timestamp,
}

/// A row of a page, without what it shows: who knows its text of this revision need not read it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outline {
    /// See [`Resource::uid`].
    pub uid: Uid,
    /// Its name.
    pub name: String,
    /// See [`Resource::revision`].
    pub revision: i64,
}

/// A page without what it shows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outlines {
    /// Its rows, in order.
    pub items: Vec<Outline>,
    /// See [`Page::more`].
    pub more: bool,
    /// See [`Page::authorization`].
    pub authorization: Option<i64>,
}

/// What one look at a key finds, all of one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Look {
    /// The resource, deleting ones included.
    pub found: Option<Looked>,
    /// The authorization version of the tenant; none for an unknown one.
    pub authorization: Option<i64>,
}

/// A resource, to who may know its text already.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "short-lived, one per request")]
pub enum Looked {
    /// It is of the edition that was known.
    Same {
        /// See [`Shown::children`].
        children: Option<i64>,
    },
    /// All that is shown of it.
    Shown(Shown),
}

impl Shown {
    /// Its edition; none for an item of a list.
    pub fn edition(&self) -> Option<Edition> {
        let Representation { uid, resource_version, revision, last_modified_at, .. } = self.resource;
        Some(Edition { uid: uid?, resource_version, revision, last_modified_at })
    }
}

impl Look {
    /// What is shown, if something was found that was not known.
    pub fn shown(self) -> Option<Shown> {
        match self.found {
            Some(Looked::Shown(shown)) => Some(shown),
            Some(Looked::Same { .. }) | None => None,
        }
    }
}

/// What became of a PUT.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "short-lived, one per request")]
pub enum PutOutcome {
    /// A new resource.
    Created(Resource),
    /// A new version of an existing one.
    Updated {
        /// As it was: its status is what the answer shows.
        before: Resource,
        /// As it is.
        after: Resource,
    },
    /// Somebody else wrote, created or removed it meanwhile: admit again.
    Stale,
    /// A parent or a strict target does not exist, or is being deleted.
    Missing(ResourceKey),
    /// The resource itself is being deleted.
    Deleting,
}

/// What stands in the way of a deletion, and what goes along. Data of the kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DeleteRules {
    /// Live children of these kinds refuse it.
    pub refused_by_children: &'static [Kind],
    /// Live resources of these kinds that refer to it refuse it; for cascading children, that refer to them.
    pub refused_by_referrers: &'static [Kind],
    /// Children of these kinds are deleted with it, unless a referrer of theirs of these kinds refuses.
    pub cascades: &'static [(Kind, &'static [Kind])],
}

impl DeleteRules {
    /// How many of those that stand in the way a refusal names.
    pub const SHOWN: usize = 8;
}

/// A DELETE.
#[derive(Clone, Debug)]
pub struct Delete {
    /// What is deleted.
    pub key: ResourceKey,
    /// The version the client insists on.
    pub expected_version: Option<i64>,
    /// The rules of its kind.
    pub rules: DeleteRules,
    /// The handler's wall clock.
    pub now: Timestamp,
}

/// What became of a DELETE.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "short-lived, one per request")]
pub enum DeleteOutcome {
    /// Accepted, now or before.
    Accepted(Resource),
    /// There is no such resource.
    NotFound,
    /// The client insisted on another version than this one.
    Stale(i64),
    /// Live resources stand in the way.
    Refused(Users),
}

/// The live resources that a deletion is refused for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Users {
    /// The first [`DeleteRules::SHOWN`] of them.
    pub shown: Vec<ResourceKey>,
    /// How many there are beyond these.
    pub more: u64,
}

/// A power action.
#[derive(Clone, Debug)]
pub struct Act {
    /// The instance.
    pub key: ResourceKey,
    /// What it is asked for.
    pub action: ActionKind,
    /// The version the client insists on.
    pub expected_version: Option<i64>,
    /// The handler's wall clock.
    pub now: Timestamp,
}

/// What became of an action.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "short-lived, one per request")]
pub enum ActOutcome {
    /// Accepted.
    Accepted(Resource),
    /// There is no such resource.
    NotFound,
    /// The client insisted on another version than this one.
    Stale(i64),
    /// The desired power, or the state, does not allow it.
    Refused(crate::state::ActionRefusal),
}

/// Where a sealed token belongs, and what it opens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credential {
    /// The workspace.
    pub workspace: ResourceKey,
    /// Its life: a workspace made again has no credential.
    pub workspace_uid: Uid,
    /// The project behind the token.
    pub project: ProjectId,
    /// The sealed token.
    pub sealed: String,
    /// The endpoint that this binding insists on; none for the environment's.
    pub endpoint: Option<String>,
    /// The operator's own note of which project it is.
    pub project_ref: Option<String>,
    /// Whether it has outlived its workspace, and serves only what lives in its project and in no workspace.
    pub retired: bool,
}

impl Credential {
    /// How many of those that a retired credential serves a refusal names.
    pub const SHOWN: usize = 5;
}

/// The binding of a workspace, as lists show it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum Binding {
    /// It was never bound.
    None,
    /// It is bound.
    Bound,
    /// It was bound; its token was removed on purpose.
    Unbound,
}

/// A workspace and its binding.
#[derive(Clone, Debug, PartialEq)]
pub struct WorkspaceBinding {
    /// The workspace.
    pub workspace: Resource,
    /// Its binding.
    pub binding: Binding,
}

/// What became of a binding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BindOutcome {
    /// Done.
    Done,
    /// There is no such workspace, or it is being deleted.
    NotFound,
    /// The workspace's resources live in another project; they would be lost to it.
    OtherProject(ProjectId),
    /// The project was declared gone ([`super::OversightStore::abandon`]), and this many of its resources have not left yet.
    Abandoned(i64),
}

/// What became of removing a binding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UnbindOutcome {
    /// Done.
    Done,
    /// There is no such workspace, or it is not bound.
    NotFound,
    /// This many resources may have provider objects; they would be out of reach.
    InUse(i64),
    /// The workspace is gone, and its credential is kept for what of the tenant lives in its project and in no workspace.
    Retired {
        /// The project.
        project: ProjectId,
        /// How many resources that is.
        count: i64,
        /// The first few of them ([`Credential::SHOWN`]), by key.
        first: Vec<ResourceKey>,
    },
}
