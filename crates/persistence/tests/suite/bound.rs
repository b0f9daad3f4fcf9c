//! Assignments that are scoped to one workspace alone, and what is remembered of what left.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use control_plane::{
    Uid,
    ports::{BoundWorkspace, DepartedGrant, Departure, Put, Until},
    scopes::{self, BoundAssignment},
    testing::environment::SeededRng,
};
use seca_api::{Kind, ResourceKey};

use super::{
    World,
    access::{assignment, role, scoped},
    created, key, updated, workspace,
};

const QUARTER: Duration = Duration::from_secs(900);

impl World {
    /// What an assignment of tenant `t` is bound to.
    pub async fn bound_to(&self, key: &ResourceKey) -> Option<BoundWorkspace> {
        let snapshot = self.store.access().authorization(&key.tenant).await.unwrap().unwrap();
        snapshot.assignments.into_iter().find(|a| a.name == key.name).expect("it is there").bound
    }

    async fn departed(&self, key: &ResourceKey) -> Option<Departure> {
        self.store.access().departed(key, QUARTER).await.unwrap()
    }
}

fn elsewhere(name: &str) -> ResourceKey {
    ResourceKey { region: "nbg1".to_owned(), ..workspace(name) }
}

pub async fn the_stores_read_scopes_as_the_code_does(world: &World) {
    world.tenants(&["t", "a"]).await;
    let ws = world.create(&workspace("w")).await;
    let specs = [
        "{}",
        r#"{"scopes":null}"#,
        r#"{"scopes":"w"}"#,
        r#"{"scopes":[]}"#,
        r#"{"scopes":["w",1]}"#,
        r#"{"scopes":[{}]}"#,
        r#"{"scopes":[{"workspaces":["w"]}]}"#,
        r#"{"scopes":[{"workspaces":["\u0077"],"regions":[]}],"subs":["a\u0000b"]}"#,
        r#"{"scopes":[{"workspaces":["w\u0000"]}]}"#,
        r#"{"scopes":[{"workspaces":["w","w"]},{"tenants":["t","t"],"workspaces":["w"]}]}"#,
        r#"{"scopes":[{"workspaces":["w"],"regions":["fsn1"]}]}"#,
        r#"{"scopes":[{"workspaces":["w"],"regions":["nbg1"]}]}"#,
        r#"{"scopes":[{"workspaces":["w"],"regions":["fsn1","nbg1"]}]}"#,
        r#"{"scopes":[{"workspaces":["w"],"regions":["fsn1"]},{"workspaces":["w"]}]}"#,
        r#"{"scopes":[{"workspaces":["w"],"regions":["fsn1"]},{"workspaces":["w"],"regions":["nbg1"]}]}"#,
        r#"{"scopes":[{"workspaces":["w","v"]}]}"#,
        r#"{"scopes":[{"workspaces":["v"]}]}"#,
        r#"{"scopes":[{"workspaces":["w"]},{"workspaces":["v"]}]}"#,
        r#"{"scopes":[{"workspaces":["w"]},{}]}"#,
        r#"{"scopes":[{"workspaces":["w"],"tenants":["a"]}]}"#,
        r#"{"scopes":[{"workspaces":["w"],"tenants":["t","a"]}]}"#,
        r#"{"scopes":[{"workspaces":["w"],"tenants":["*"]}]}"#,
        r#"{"scopes":[{"tenants":"a"}]}"#,
    ];
    let key = assignment("t", "x");
    let mut row = world.create(&key).await;
    for spec in specs {
        // As a new one and as a changed one, from whatever it was before.
        let name = assignment("t", &format!("x{}", row.resource_version));
        created(world.put(Put { spec: spec.to_owned(), ..world.new_put(&name) }).await);
        row = updated(world.put(Put { spec: spec.to_owned(), ..world.update_of(&row).await }).await);
        let only = scopes::only_workspace("t", spec).filter(|only| only.name == "w");
        let only = only.filter(|only| only.region.as_ref().is_none_or(|region| region == "fsn1"));
        let expected = only.map(|_| BoundWorkspace { uid: ws.uid, region: "fsn1".to_owned() });
        assert_eq!(world.bound_to(&key).await, expected, "{spec}");
        assert_eq!(world.bound_to(&name).await, expected, "{spec}");

        let opened = scopes::opened_tenants("t", spec);
        let seen = world.store.access().authorization("a").await.unwrap().unwrap();
        let seen = seen.assignments.iter().filter(|a| a.name == name.name).count();
        assert_eq!(seen == 1, opened.contains("a") || opened.contains("*"), "{spec}");
    }
}

/// What the rule says of tenant `t`, told what happens.
#[derive(Default)]
struct Rule {
    workspaces: BTreeMap<ResourceKey, Uid>,
    assignments: BTreeMap<ResourceKey, Assigned>,
}

struct Assigned {
    uid: Uid,
    spec: String,
    bound: Option<BoundAssignment>,
}

impl Rule {
    fn named(&self, name: &str) -> Vec<BoundWorkspace> {
        let named = self.workspaces.iter().filter(|(key, _)| key.name == name);
        named.map(|(key, uid)| BoundWorkspace { uid: *uid, region: key.region.clone() }).collect()
    }

    fn workspace_made(&mut self, key: &ResourceKey, uid: Uid) {
        self.workspaces.insert(key.clone(), uid);
        let made = BoundWorkspace { uid, region: key.region.clone() };
        let is_only_one = self.named(&key.name).len() == 1;
        for bound in self.assignments.values_mut().filter_map(|assigned| assigned.bound.as_mut()) {
            bound.workspace_made("t", &key.name, &made, is_only_one);
        }
    }

    /// What ended with it.
    fn workspace_left(&mut self, key: &ResourceKey) -> BTreeMap<ResourceKey, Assigned> {
        let uid = self.workspaces.remove(key).unwrap();
        let ends = |assigned: &Assigned| assigned.bound.as_ref().is_some_and(|bound| bound.ends_with(uid));
        self.assignments.extract_if(.., |_, assigned| ends(assigned)).collect()
    }

    fn written(&mut self, key: &ResourceKey, uid: Uid, spec: String) {
        let former = self.assignments.remove(key);
        let bound = match former {
            Some(former) if former.spec == spec => former.bound,
            former => {
                BoundAssignment::written("t", &spec, former.and_then(|former| former.bound), |name| self.named(name))
            }
        };
        self.assignments.insert(key.clone(), Assigned { uid, spec, bound });
    }

    /// Compares it with a store.
    async fn compare(&self, world: &World, after: &str) {
        let access = world.store.access();
        let told = access.authorization("t").await.unwrap().unwrap().assignments;
        let told: Vec<_> = told.iter().map(|one| (one.name.as_str(), one.uid, one.bound.as_ref())).collect();
        let bound = |assigned: &'_ Assigned| assigned.bound.as_ref().and_then(|bound| bound.to.clone());
        let said: Vec<_> = self.assignments.iter().map(|(key, one)| (key.name.as_str(), one.uid, bound(one))).collect();
        let said: Vec<_> = said.iter().map(|(name, uid, bound)| (*name, *uid, bound.as_ref())).collect();
        assert_eq!(told, said, "after {after}");

        let opens = |one: &Assigned| !scopes::opened_tenants("t", &one.spec).is_disjoint(&all_and("a"));
        let said = self.assignments.iter().filter(|(_, one)| opens(one)).map(|(key, _)| key.name.clone());
        let told = access.authorization("a").await.unwrap().unwrap().assignments;
        assert_eq!(told.into_iter().map(|one| one.name).collect::<Vec<_>>(), said.collect::<Vec<_>>(), "after {after}");
    }
}

fn all_and(tenant: &str) -> BTreeSet<String> {
    BTreeSet::from([tenant.to_owned(), scopes::ALL_TENANTS.to_owned()])
}

/// The scopes of some assignment; most of them name one workspace.
fn some_scopes(rng: &SeededRng) -> String {
    let pick = |from: &[&'static str]| from[usize::try_from(rng.below(from.len() as u64)).unwrap()];
    let scope = || {
        let workspaces =
            pick(&[r#"["w"]"#, r#"["w"]"#, r#"["w"]"#, r#"["w","w"]"#, r#"["v"]"#, r#"["w","v"]"#, "[]", r#""w""#]);
        let regions = pick(&["[]", "[]", r#"["fsn1"]"#, r#"["nbg1"]"#, r#"["fsn1","nbg1"]"#, "null"]);
        let tenants = pick(&["[]", "[]", "[]", r#"["t"]"#, r#"["t","a"]"#, r#"["*"]"#]);
        match rng.below(12) {
            0 => "{}".to_owned(),
            1 => r#""w""#.to_owned(),
            2..=6 => format!(r#"{{"workspaces":{workspaces}}}"#),
            7..=9 => format!(r#"{{"workspaces":{workspaces},"regions":{regions}}}"#),
            _ => format!(r#"{{"workspaces":{workspaces},"regions":{regions},"tenants":{tenants}}}"#),
        }
    };
    let scopes: Vec<String> =
        (0..pick(&["1", "1", "1", "1", "1", "2", "3", "0"]).parse().unwrap()).map(|_| scope()).collect();
    format!("[{}]", scopes.join(","))
}

pub async fn the_rule_that_ends_a_right_is_the_same_in_all_stores(world: &World) {
    world.tenants(&["t", "a"]).await;
    let rng = SeededRng::new(7);
    let (mut rule, mut ended, mut waited) = (Rule::default(), 0, 0);
    for _ in 0..400 {
        let name = if rng.one_in(4) { "v" } else { "w" };
        let place = if rng.one_in(3) { elsewhere(name) } else { workspace(name) };
        let key = assignment("t", &format!("x{}", rng.below(6)));
        let after = match rng.below(8) {
            0..=2 if !rule.workspaces.contains_key(&place) => {
                let bound = |rule: &Rule| rule.assignments.values().filter(|one| one.is_bound()).count();
                let before = bound(&rule);
                rule.workspace_made(&place, world.create(&place).await.uid);
                waited += bound(&rule) - before;
                format!("{place} was made")
            }
            0 | 1 => {
                world.leave(&place).await;
                let gone = rule.workspace_left(&place);
                ended += gone.len();
                let grants = world.store.access().departed_grants("t", QUARTER).await.unwrap();
                for (key, assigned) in gone {
                    let departed = world.departed(&key).await.unwrap();
                    assert_eq!((departed.uid, departed.deleted_at), (assigned.uid, None), "{key} ended with {place}");
                    let grant: &DepartedGrant = grants.iter().find(|grant| grant.uid == assigned.uid).unwrap();
                    assert_eq!(grant.bound, assigned.bound.and_then(|bound| bound.to), "{key} ended with {place}");
                    assert_eq!(grant.until, Until::Left(departed.left_at), "{key} ended with {place}");
                }
                format!("{place} left")
            }
            2 => {
                // One that is being deleted is there until it has left.
                world.mark_deleted(&place).await;
                format!("{place} began to leave")
            }
            3 if rule.assignments.contains_key(&key) => {
                world.leave(&key).await;
                rule.assignments.remove(&key);
                format!("{key} left")
            }
            _ => {
                let spec = scoped(&some_scopes(&rng));
                let uid = match rule.assignments.get(&key) {
                    Some(_) => world.respecify(&key, spec.clone()).await.uid,
                    None => created(world.put(Put { spec: spec.clone(), ..world.new_put(&key) }).await).uid,
                };
                rule.written(&key, uid, spec.clone());
                format!("{key} became {spec}")
            }
        };
        rule.compare(world, &after).await;
    }
    assert!(ended > 10 && waited > 10, "the rule is put to the test: {ended} ended, {waited} had waited");
}

impl Assigned {
    fn is_bound(&self) -> bool {
        self.bound.as_ref().is_some_and(|bound| bound.to.is_some())
    }
}

pub async fn an_assignment_of_one_workspace_ends_with_it(world: &World) {
    world.tenants(&["t"]).await;
    let ws = world.create(&workspace("w")).await;
    let (bound, wide, other) = (assignment("t", "bound"), assignment("t", "wide"), assignment("t", "other"));
    let labels = Some(r#"{"a":"b"}"#.to_owned());
    let label_pairs = [("a".to_owned(), "b".to_owned())].into();
    let edges = vec![super::edge("/spec/roles/0", &role("t", "r"), false)];
    let spec = scoped(r#"[{"workspaces":["w"]}]"#);
    let put = Put { labels, label_pairs, edges, spec, ..world.new_put(&bound) };
    let first = created(world.put(put).await);
    world.assign(&wide, r#"[{"workspaces":["w","v"]}]"#).await;
    world.assign(&other, r#"[{"workspaces":["v"]}]"#).await;
    assert_eq!(world.bound_to(&bound).await.unwrap().uid, ws.uid);

    // It counts until the workspace has left.
    let lease = world.lease("local").await;
    world.settle(&lease).await;
    let deleted = world.mark_deleted(&ws.key).await;
    let before = world.version("t").await;
    assert_eq!(world.bound_to(&bound).await.unwrap().uid, ws.uid);
    world.store.remove(&lease, ws.uid).await.unwrap();
    assert_eq!(world.get(&bound).await, None);
    assert!(world.version("t").await > before);
    assert_eq!(world.store.bundle(first.uid).await.unwrap(), None);
    assert_eq!(world.store.removed(&[first.uid, ws.uid]).await.unwrap().len(), 2);
    assert_eq!(world.due(&lease).await, []);
    for kept in [&wide, &other] {
        assert_eq!(world.bound_to(kept).await, None);
    }
    let (with, gone) = (world.departed(&bound).await.unwrap(), world.departed(&ws.key).await.unwrap());
    assert_eq!((with.uid, with.deleted_at, gone.uid), (first.uid, None, ws.uid));
    assert_eq!((gone.deleted_at, with.left_at), (deleted.deleted_at, gone.left_at));
    let grants = world.store.access().departed_grants("t", QUARTER).await.unwrap();
    assert_eq!(grants.len(), 1);
    assert_eq!((&grants[0].spec, grants[0].until), (&first.spec, Until::Left(gone.left_at)));
    assert_eq!(grants[0].bound.as_ref().map(|bound| bound.uid), Some(ws.uid));

    // A workspace made again starts clean, and takes what waits for it: nothing.
    let again = world.create(&ws.key).await;
    assert_eq!(world.get(&bound).await, None);
    let second = world.assign(&bound, r#"[{"workspaces":["w"]}]"#).await;
    assert_eq!(world.bound_to(&bound).await.unwrap().uid, again.uid);
    // One that left on its own is no concern of the workspace.
    world.mark_deleted(&bound).await;
    world.store.remove(&lease, second.uid).await.unwrap();
    world.mark_deleted(&ws.key).await;
    world.store.remove(&lease, again.uid).await.unwrap();
    assert_eq!(world.departed(&bound).await.unwrap().uid, second.uid);
}

pub async fn an_assignment_may_wait_for_its_workspace(world: &World) {
    world.tenants(&["t"]).await;
    let (any, here) = (assignment("t", "any"), assignment("t", "here"));
    world.assign(&any, r#"[{"workspaces":["w"]}]"#).await;
    world.assign(&here, r#"[{"workspaces":["w"],"regions":["fsn1"]}]"#).await;
    let before = world.version("t").await;
    world.create(&workspace("v")).await;
    assert_eq!((world.bound_to(&any).await, world.version("t").await), (None, before));

    let there = world.create(&elsewhere("w")).await;
    assert_eq!(world.bound_to(&any).await.unwrap(), BoundWorkspace { uid: there.uid, region: "nbg1".to_owned() });
    assert_eq!(world.bound_to(&here).await, None);
    assert!(world.version("t").await > before, "what is bound counts in no other workspace any more");
    let ws = world.create(&workspace("w")).await;
    assert_eq!(world.bound_to(&here).await.unwrap().uid, ws.uid);
    assert_eq!(world.bound_to(&any).await.unwrap().uid, there.uid, "the first one");

    // Which one is meant cannot be said.
    let both = assignment("t", "both");
    world.assign(&both, r#"[{"workspaces":["w"]}]"#).await;
    assert_eq!(world.bound_to(&both).await, None);
    world.leave(&there.key).await;
    assert_eq!((world.bound_to(&both).await, world.get(&any).await), (None, None));
    world.create(&elsewhere("w")).await;
    assert_eq!(world.bound_to(&both).await, None, "there are two again");
}

pub async fn a_change_keeps_the_workspace_unless_the_scopes_name_another(world: &World) {
    world.tenants(&["t"]).await;
    let (w, v) = (world.create(&workspace("w")).await, world.create(&workspace("v")).await);
    let key = assignment("t", "x");
    world.assign(&key, r#"[{"workspaces":["w"]}]"#).await;
    world.create(&elsewhere("w")).await;
    world.respecify(&key, scoped(r#"[{"workspaces":["w"]}]"#).replace("somebody", "another")).await;
    assert_eq!(world.bound_to(&key).await.unwrap().uid, w.uid);
    world.respecify(&key, scoped(r#"[{"workspaces":["v"]}]"#)).await;
    assert_eq!(world.bound_to(&key).await.unwrap().uid, v.uid);
    world.leave(&w.key).await;
    world.respecify(&key, scoped(r#"[{"workspaces":["v"]},{}]"#)).await;
    assert_eq!(world.bound_to(&key).await, None);
    world.leave(&v.key).await;
    assert!(world.get(&key).await.is_some());
}

pub async fn what_left_is_remembered_for_its_time(world: &World) {
    world.tenants(&["t", "a"]).await;
    world.create(&workspace("w")).await;
    let volume = key(Kind::BlockStorage, "b");
    assert_eq!(world.departed(&volume).await, None);
    let first = world.create(&volume).await;
    let deleted = world.mark_deleted(&volume).await;
    assert_eq!(world.departed(&volume).await, None, "its row is there");
    world.leave(&volume).await;
    let departed = world.departed(&volume).await.unwrap();
    assert_eq!((departed.uid, departed.deleted_at), (first.uid, deleted.deleted_at));
    let second = world.create(&volume).await;
    tokio::time::sleep(Duration::from_millis(3)).await;
    world.leave(&volume).await;
    assert_eq!(world.departed(&volume).await.unwrap().uid, second.uid, "the last one");
    assert_eq!(world.departed(&key(Kind::BlockStorage, "c")).await, None);

    tokio::time::sleep(Duration::from_millis(5)).await;
    let access = world.store.access();
    assert_eq!(access.departed(&volume, Duration::from_millis(1)).await.unwrap(), None);
    let now = world.now();
    access.prune_access(QUARTER, QUARTER, now).await.unwrap();
    assert!(world.departed(&volume).await.is_some());
    access.prune_access(Duration::from_millis(1), QUARTER, now).await.unwrap();
    assert_eq!(world.departed(&volume).await, None);
}

pub async fn what_granted_something_is_remembered_with_its_specification(world: &World) {
    world.tenants(&["t", "a", "b"]).await;
    let access = world.store.access();
    let names = async |tenant: &str| {
        let grants = access.departed_grants(tenant, QUARTER).await.unwrap();
        grants.iter().map(|grant| format!("{}/{}", grant.tenant, grant.name)).collect::<Vec<_>>()
    };
    let used = created(world.put(Put { spec: scoped("[]"), ..world.new_put(&role("b", "r")) }).await);
    world.assign(&assignment("t", "own"), "[{}]").await;
    world.assign(&assignment("a", "opens"), r#"[{"tenants":["t"]}]"#).await;
    world.assign(&assignment("a", "own"), "[{}]").await;
    assert_eq!(names("t").await, [""; 0]);
    // Not until its row has left: from when its deletion was accepted.
    let deleted = world.mark_deleted(&used.key).await;
    let grants = access.departed_grants("t", QUARTER).await.unwrap();
    assert_eq!((grants[0].kind, &grants[0].spec, grants[0].uid), (Kind::Role, &used.spec, used.uid));
    assert_eq!(Some(grants[0].until), deleted.deleted_at.map(Until::Deleted));
    for key in [assignment("t", "own"), assignment("a", "opens"), assignment("a", "own")] {
        world.leave(&key).await;
    }
    world.leave(&used.key).await;
    assert_eq!(access.departed_grants("t", QUARTER).await.unwrap()[0], grants[0]);
    assert_eq!(names("t").await, ["b/r", "t/own", "a/opens"]);
    assert_eq!(names("a").await, ["b/r", "a/opens", "a/own"]);
    assert_eq!(names("b").await, ["b/r"]);
    tokio::time::sleep(Duration::from_millis(5)).await;
    assert_eq!(access.departed_grants("t", Duration::from_millis(1)).await.unwrap(), []);
}
