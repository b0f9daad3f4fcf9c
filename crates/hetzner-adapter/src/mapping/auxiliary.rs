//! Objects that belong to no single resource: SSH keys, placement groups, and the firewall that lets nothing through. The
//! store knows who uses which of them. The first user makes one, the last one removes it.

use control_plane::{
    Reason,
    ports::{Auxiliary, AuxiliaryUse, Plan, Planned, StepRecord, Tie},
};
use hcloud_client::types::{
    CreateFirewall, CreatePlacementGroup, CreateSshKey, Firewall, FirewallRule, Id, Image, Labels, PlacementGroup,
    PlacementGroupType, Server, SshKey,
};

use super::{Checked, Context, act, remembered};
use crate::{
    call::Call,
    firewall_rules::{nothing_out, same_rules},
    naming,
    objects::{FirewallCall, ImageCall, ObjectId, ObjectType, PlacementGroupCall, SshKeyCall, Stored, has_firewall},
    owner::Owner,
};

/// The firewall that lets nothing through.
pub(super) const DENY_ALL: &str = "deny-all";
/// A public SSH key.
pub(super) const SSH_KEY: &str = "ssh-key";
/// A group of servers on different hosts.
pub(super) const PLACEMENT_GROUP: &str = "placement-group";

/// The snapshot of a disk, which images may share with the block storage.
pub(super) const DISK_SNAPSHOT: &str = "disk-snapshot";

/// A snapshot, by its id.
pub(super) fn disk_snapshot(image: Id<Image>) -> Auxiliary {
    Auxiliary { purpose: DISK_SNAPSHOT.to_owned(), content: image.to_string() }
}

/// The labels of a snapshot that several resources share: it is no single one's.
pub(super) fn shared_labels(context: &Context<'_>, auxiliary: &Auxiliary) -> Labels {
    naming::content_labels(context.installation(), &auxiliary.purpose, content(auxiliary))
}

/// The snapshots that the planned resource uses, each with how many others use it.
pub(super) fn snapshots<'a>(context: &Context<'a>) -> impl Iterator<Item = (Id<Image>, i64)> + 'a {
    let tied = context.bundle().auxiliaries.iter().filter(|tied| tied.auxiliary.purpose == DISK_SNAPSHOT);
    tied.filter_map(|tied| Some((tied.auxiliary.content.parse().ok()?, tied.others)))
}

/// The firewall that lets nothing through: there is one of it.
pub(super) fn deny_all() -> Auxiliary {
    Auxiliary { purpose: DENY_ALL.to_owned(), content: String::new() }
}

/// An auxiliary that is told from its like by what is in it.
pub(super) fn of_content(purpose: &str, content: &str) -> Auxiliary {
    Auxiliary { purpose: purpose.to_owned(), content: naming::hash(content, 32) }
}

/// What tells it from its like; none where there is one alone.
fn content(auxiliary: &Auxiliary) -> Option<&str> {
    Some(auxiliary.content.as_str()).filter(|content| !content.is_empty())
}

fn owner(auxiliary: &Auxiliary) -> Owner {
    Owner::shared(&auxiliary.purpose, content(auxiliary))
}

/// The ties that are missing between the planned resource and what it uses.
pub(super) fn missing<'a>(context: &Context<'_>, used: impl IntoIterator<Item = &'a Auxiliary>) -> Vec<Tie> {
    let is_tied = |auxiliary: &Auxiliary| context.bundle().auxiliaries.iter().any(|tied| tied.auxiliary == *auxiliary);
    used.into_iter().filter(|auxiliary| !is_tied(auxiliary)).cloned().map(Tie::Use).collect()
}

/// An auxiliary that the planned resource uses, as it is at the provider; else what makes it so.
fn ready<'a, T: Stored>(
    context: &Context<'a>,
    auxiliary: &Auxiliary,
    create: impl FnOnce(String, Labels) -> Call,
) -> Checked<&'a T> {
    let ties = missing(context, [auxiliary]);
    if !ties.is_empty() {
        return Err(Box::new(Planned::new(Plan::Tie(ties))));
    }
    let owner = owner(auxiliary);
    if let Some(found) = context.snapshot.owned_by::<T>(context.installation(), &owner) {
        return Ok(found);
    }
    let name = owner.object_name(context.installation(), "");
    if is_expected(context, auxiliary) {
        context.prove_none(T::TYPE, owner, Some(name.clone()))?;
    }
    let mut labels = shared_labels(context, auxiliary);
    // Of several creations of unknown outcome each is closed by its own object only.
    labels.insert(naming::STEP.to_owned(), format!("{}.{}", context.resource().uid, context.now.as_millis()));
    Err(Box::new(act(create(name.clone(), labels).step(name))))
}

/// Whether an auxiliary should exist: others use it, or the server of the planned resource was made with it.
fn is_expected(context: &Context<'_>, auxiliary: &Auxiliary) -> bool {
    let is_shared = |tied: &AuxiliaryUse| tied.auxiliary == *auxiliary && tied.others > 0;
    context.bundle().auxiliaries.iter().any(is_shared) || remembered(context.resource(), ObjectType::Server).is_some()
}

/// The firewall that lets nothing through, as it must be.
pub(super) fn closed<'a>(context: &Context<'a>) -> Checked<&'a Firewall> {
    let firewall: &Firewall = ready(context, &deny_all(), |name, labels| {
        let body = CreateFirewall { name, labels, rules: nothing_through(), apply_to: Vec::new() };
        FirewallCall::Create(Box::new(body)).into()
    })?;
    // Somebody opened it: no further server gets behind it like that.
    if !same_rules(&nothing_through(), &firewall.rules) {
        let call = FirewallCall::SetRules { firewall: firewall.id, rules: nothing_through() };
        return Err(Box::new(act(call.step(&firewall.name))));
    }
    Ok(firewall)
}

/// No rule inwards lets nothing in; outwards a rule is needed, or everything gets out.
fn nothing_through() -> Vec<FirewallRule> {
    vec![nothing_out()]
}

/// The firewall that lets nothing through, if it stands before a server.
pub(super) fn closed_before(context: &Context<'_>, server: &Server) -> Option<Id<Firewall>> {
    let firewall = context.snapshot.owned_by::<Firewall>(context.installation(), &owner(&deny_all()))?;
    has_firewall(server, firewall.id).then_some(firewall.id)
}

/// Ties the planned resource to the firewall that lets nothing through, if that stands before its server and nobody noted
/// it: a server of the release before, or one that was handed over.
pub(super) fn tie_closed(context: &Context<'_>, server: &Server) -> Option<Planned> {
    closed_before(context, server)?;
    let ties = missing(context, [&deny_all()]);
    (!ties.is_empty()).then(|| Planned::new(Plan::Tie(ties)))
}

/// An SSH key of the project: one that somebody uploaded serves as well, and is left as it is.
pub(super) fn ssh_key(context: &Context<'_>, own: &Auxiliary, public_key: &str) -> Checked<Id<SshKey>> {
    if let Some(foreign) = uploaded(context, own, public_key) {
        return Ok(foreign.id);
    }
    let key: &SshKey = ready(context, own, |name, labels| {
        SshKeyCall::Create(Box::new(CreateSshKey { name, public_key: public_key.to_owned(), labels })).into()
    })?;
    Ok(key.id)
}

/// A key of the project that somebody uploaded and that is the same.
pub(super) fn uploaded<'a>(context: &Context<'a>, own: &Auxiliary, public_key: &str) -> Option<&'a SshKey> {
    let is_own = |key: &&SshKey| owner(own).has(context.installation(), &key.labels);
    context.snapshot.ssh_key(public_key).filter(|key| !is_own(key))
}

/// The key of the project that somebody uploaded under a name.
pub(super) fn named_key(context: &Context<'_>, name: &str) -> Option<Id<SshKey>> {
    context.snapshot.all::<SshKey>().find(|key| key.name == name).map(|key| key.id)
}

/// A group whose servers run on different hosts.
pub(super) fn placement_group<'a>(context: &Context<'a>, group: &Auxiliary) -> Checked<&'a PlacementGroup> {
    ready(context, group, |name, labels| {
        PlacementGroupCall::Create(Box::new(CreatePlacementGroup { name, kind: PlacementGroupType::Spread, labels }))
            .into()
    })
}

/// Lets go of what the planned resource uses no longer. What nobody uses any more is removed first, and the provider's
/// word counts too: what stands before a server is in use, whoever put it there.
pub(super) fn release(context: &Context<'_>, wanted: &[Auxiliary]) -> Option<Planned> {
    let unwanted = context.bundle().auxiliaries.iter().filter(|tied| !wanted.contains(&tied.auxiliary));
    let unwanted = unwanted.filter(|tied| !may_yet_be_made(context, &tied.auxiliary));
    let (last, shared): (Vec<_>, Vec<_>) = unwanted.partition(|tied| tied.others == 0);
    if !shared.is_empty() {
        return Some(Planned::new(Plan::Tie(shared.iter().map(|tied| Tie::Drop(tied.auxiliary.clone())).collect())));
    }
    last.into_iter().find_map(|tied| release_last(context, &tied.auxiliary))
}

/// The same for what no other resource uses.
fn release_last(context: &Context<'_>, auxiliary: &Auxiliary) -> Option<Planned> {
    let drop = Planned::new(Plan::Tie(vec![Tie::Drop(auxiliary.clone())]));
    let found = match auxiliary.purpose.as_str() {
        // A key is copied to a server when that is made, and used no more.
        SSH_KEY => found::<SshKey>(context, auxiliary, |_| false),
        DISK_SNAPSHOT => snapshot(context, auxiliary),
        PLACEMENT_GROUP => found::<PlacementGroup>(context, auxiliary, |group| !group.servers.is_empty()),
        _ => found::<Firewall>(context, auxiliary, |firewall| context.snapshot.is_firewall_used(firewall)),
    };
    let Found { object, name, is_used } = match found {
        Ok(Some(found)) => found,
        Ok(None) => return Some(drop),
        Err(look) => return Some(*look),
    };
    if is_used {
        if !context.resource().is_deleting() {
            // The next holder of the server will say that it uses it. If the server vanishes first, no other resource removes it.
            return None;
        }
        // Somebody else uses it, and will be the last one; if it is not its own server that no list shows.
        let own = context.prove_unmade(ObjectType::Server).err();
        return Some(own.map_or(drop, |look| *look));
    }
    Some(act(removal(object)?.step(name)).note(
        Reason::WaitingForDependency,
        "What it shared with others, and nothing uses any more, is being removed at Hetzner Cloud.",
    ))
}

/// Whether a call of the planned resource, whose answer was lost, may yet make the auxiliary. Until that is over the
/// resource stays a user, so that somebody is there to remove it.
fn may_yet_be_made(context: &Context<'_>, auxiliary: &Auxiliary) -> bool {
    let name = owner(auxiliary).object_name(context.installation(), "");
    let makes_it =
        |open: &StepRecord| Call::of(&open.step).is_ok_and(|call| call.creates().is_some_and(|(made, _)| made == name));
    context.bundle().open_steps.iter().any(makes_it)
}

/// An auxiliary as it is at the provider.
struct Found {
    object: ObjectId,
    name: String,
    is_used: bool,
}

/// The auxiliary, if it exists; none if it is proven that it does not.
fn found<T: Stored>(
    context: &Context<'_>,
    auxiliary: &Auxiliary,
    is_used: impl Fn(&T) -> bool,
) -> Checked<Option<Found>> {
    let owner = owner(auxiliary);
    match context.snapshot.owned_by::<T>(context.installation(), &owner) {
        Some(found) => {
            Ok(Some(Found { object: found.object_id(), name: found.name().to_owned(), is_used: is_used(found) }))
        }
        None => {
            let name = owner.object_name(context.installation(), "");
            context.prove_none(T::TYPE, owner, Some(name))?;
            Ok(None)
        }
    }
}

/// A snapshot has no name, and is known by its id.
fn snapshot(context: &Context<'_>, auxiliary: &Auxiliary) -> Checked<Option<Found>> {
    let Ok(id) = auxiliary.content.parse::<Id<Image>>() else { return Ok(None) };
    match context.snapshot.get(id) {
        Some(image) => Ok(Some(Found { object: id.into(), name: image.description.clone(), is_used: false })),
        None => context.prove_gone(id.into()).map(|()| None),
    }
}

fn removal(object: ObjectId) -> Option<Call> {
    Some(match object {
        ObjectId::Firewall(firewall) => FirewallCall::Delete { firewall }.into(),
        ObjectId::Image(image) => ImageCall::Delete { image }.into(),
        ObjectId::SshKey(ssh_key) => SshKeyCall::Delete { ssh_key }.into(),
        ObjectId::PlacementGroup(placement_group) => PlacementGroupCall::Delete { placement_group }.into(),
        _ => return None,
    })
}
