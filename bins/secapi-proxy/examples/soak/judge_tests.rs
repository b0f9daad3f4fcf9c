//! A judge that finds nothing proves nothing: each rule finds what breaks it, and leaves alone what does not.

use serde_json::json;

use super::*;
use crate::ledger::Moment;

const UID: &str = "01a231b4-f342-732d-ad38-4bf06232c2b5";

fn key(kind: Kind, name: &str) -> Key {
    Key { kind, workspace: "red".to_owned(), network: String::new(), name: name.to_owned() }
}

fn row(kind: Kind, name: &str, state: ResourceState, spec: Value, status: Value) -> Row {
    Row {
        key: key(kind, name),
        uid: UID.to_owned(),
        state: Some(state),
        reason: String::new(),
        message: String::new(),
        spec,
        status,
        facts: Value::Null,
    }
}

fn volume(state: ResourceState) -> Row {
    row(Kind::BlockStorage, "data-1", state, json!({"sizeGB": 10}), json!({"sizeGB": 10}))
}

fn object(kind: &'static str, id: i64, json: Value) -> Object {
    let labels = [("seca.uid", UID), ("seca.managed", "true")];
    Object {
        project: "alpha".to_owned(),
        kind,
        id,
        name: "data-1-abc".to_owned(),
        labels: labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
        json,
    }
}

fn marker() -> Object {
    let mut marker = object("placement_groups", 1, json!({}));
    let labels = [("seca.purpose", "marker"), ("seca.project", "p-1")];
    marker.labels = labels.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
    marker
}

fn life(name: &str, refers_to: &str) -> Life {
    Life {
        key: format!("block-storage red {name}"),
        name: name.to_owned(),
        workspace: "red".to_owned(),
        specs: BTreeSet::new(),
        names: BTreeSet::from([refers_to.to_owned()]),
        moments: vec![Moment { at: 0, state: "active".to_owned(), version: 1 }],
    }
}

/// What a judgement is about; all else is as it should be.
#[derive(Default)]
struct Case {
    rows: Vec<Row>,
    objects: Vec<Object>,
    open: Vec<OpenStep>,
    wanted: BTreeMap<Key, Wanted>,
    lives: BTreeMap<String, Life>,
    destroyed: BTreeSet<String>,
    foreign: Vec<(String, String, String)>,
}

impl Case {
    fn of(rows: Vec<Row>, mut objects: Vec<Object>) -> Self {
        objects.push(marker());
        Self { rows, objects, ..Self::default() }
    }

    /// The words of the rules that do not hold.
    fn rules(&self) -> Vec<&'static str> {
        let scene = Scene {
            rows: &self.rows,
            objects: &self.objects,
            open: &self.open,
            wanted: &self.wanted,
            lives: &self.lives,
            destroyed: &self.destroyed,
            foreign: &self.foreign,
            bound: &[("alpha".to_owned(), "p-1".to_owned())],
        };
        judge(&scene).into_iter().map(|violation| violation.rule).collect()
    }
}

#[test]
fn what_rests_and_is_true_is_no_violation() {
    let real = object("volumes", 7, json!({"size": 10}));
    assert!(Case::of(vec![volume(ResourceState::Active)], vec![real]).rules().is_empty());
}

#[test]
fn a_row_in_transition_is_stuck_unless_a_person_must_act() {
    let mut waiting = volume(ResourceState::Creating);
    assert_eq!(Case::of(vec![waiting.clone()], vec![]).rules(), ["stuck"]);
    waiting.reason = "BootVolumeInUse".to_owned();
    assert!(Case::of(vec![waiting.clone()], vec![]).rules().is_empty());
    waiting.reason = "WaitingForDependency".to_owned();
    assert_eq!(Case::of(vec![waiting], vec![]).rules(), ["stuck"], "nothing that it names waits");
    let mut case = Case::of(vec![], vec![]);
    case.open.push(OpenStep { uid: UID.to_owned(), words: "step".to_owned() });
    assert_eq!(case.rules(), ["stuck"]);
}

#[test]
fn a_lost_backing_is_excused_only_by_who_destroyed_it() {
    let mut lost = volume(ResourceState::Error);
    lost.reason = "BackingLost".to_owned();
    let mut case = Case::of(vec![lost], vec![]);
    assert_eq!(case.rules(), ["error"]);
    // An instance that booted from it was destroyed, and another one that has nothing to do with it.
    case.lives = BTreeMap::from([
        (UID.to_owned(), life("data-1", "")),
        ("booted".to_owned(), life("vm-1", "data-1")),
        ("another".to_owned(), life("vm-2", "data-2")),
    ]);
    case.destroyed = BTreeSet::from(["another".to_owned()]);
    assert_eq!(case.rules(), ["error"]);
    case.destroyed = BTreeSet::from(["booted".to_owned()]);
    assert!(case.rules().is_empty());
}

#[test]
fn an_active_row_is_compared_with_its_object() {
    let active = || vec![volume(ResourceState::Active)];
    assert_eq!(Case::of(active(), vec![]).rules(), ["untrue"], "no volume");
    let larger = object("volumes", 7, json!({"size": 20}));
    assert_eq!(Case::of(active(), vec![larger]).rules(), ["untrue"], "another size");
    let spec = json!({"skuRef": {"resource": "skus/cx23"}});
    let instance = |power: &str| {
        vec![row(Kind::Instance, "vm-1", ResourceState::Active, spec.clone(), json!({"powerState": power}))]
    };
    let server =
        |status: &str, kind: &str| vec![object("servers", 8, json!({"status": status, "server_type": {"name": kind}}))];
    for (power, status, kind, right) in
        [("on", "running", "cx23", true), ("off", "running", "cx23", false), ("off", "off", "cx33", false)]
    {
        let rules = Case::of(instance(power), server(status, kind)).rules();
        assert_eq!(rules.is_empty(), right, "{power} and {status} {kind}: {rules:?}");
    }
}

#[test]
fn an_address_of_a_block_is_true_and_another_is_not() {
    for (told, real, right) in [
        ("192.0.2.1", "192.0.2.1", true),
        ("2001:db8::1", "2001:db8::/64", true),
        ("192.0.2.1", "192.0.2.2", false),
        ("", "192.0.2.2", false),
    ] {
        let ip = row(Kind::PublicIp, "ip-1", ResourceState::Active, json!({}), json!({"ipAddress": told}));
        let rules = Case::of(vec![ip], vec![object("primary_ips", 9, json!({"ip": real}))]).rules();
        assert_eq!(rules.is_empty(), right, "{told} of {real}");
    }
}

#[test]
fn two_objects_of_one_resource_are_doubled_and_one_of_none_is_left() {
    let real = |id| object("volumes", id, json!({"size": 10}));
    let rows = vec![volume(ResourceState::Active)];
    assert_eq!(Case::of(rows, vec![real(7), real(8)]).rules(), ["doubled"]);
    assert_eq!(Case::of(vec![], vec![real(7)]).rules(), ["left"]);
}

#[test]
fn the_address_of_a_kept_server_is_not_left() {
    let of = |uid: &str, mut object: Object| {
        object.labels.insert("seca.uid".to_owned(), uid.to_owned());
        object
    };
    let address = |server: Value| of("u-gone", object("primary_ips", 9, json!({"assignee_id": server})));
    let server = |uid| of(uid, object("servers", 8, json!({"status": "off"})));
    let rows = || vec![volume(ResourceState::Active)];
    let rules = |objects| {
        let mut rules = Case::of(rows(), objects).rules();
        rules.retain(|rule| *rule == "left");
        rules
    };
    let kept = rows()[0].uid.clone();
    assert!(rules(vec![address(json!(8)), server(&kept)]).is_empty());
    assert_eq!(rules(vec![address(json!(null)), server(&kept)]), ["left"]);
    assert_eq!(rules(vec![address(json!(8)), server("u-gone")]), ["left", "left"]);
}

#[test]
fn what_was_promised_is_there_and_as_it_was_sent() {
    let real = || vec![object("volumes", 7, json!({"size": 10}))];
    let promised = |wanted: Wanted, rows: Vec<Row>, objects: Vec<Object>| {
        let mut case = Case::of(rows, objects);
        case.wanted = BTreeMap::from([(key(Kind::BlockStorage, "data-1"), wanted)]);
        case.rules()
    };
    let active = || vec![volume(ResourceState::Active)];
    assert!(promised(Wanted::Present(json!({"sizeGB": 10})), active(), real()).is_empty());
    assert_eq!(promised(Wanted::Present(json!({"sizeGB": 10})), vec![], vec![]), ["lost"], "it is gone");
    assert_eq!(promised(Wanted::Present(json!({"sizeGB": 20})), active(), real()), ["lost"], "an older size");
    assert_eq!(promised(Wanted::Gone, active(), real()), ["lost"], "it was deleted");
    assert!(promised(Wanted::Gone, vec![], vec![]).is_empty());
    assert!(promised(Wanted::Unsure, active(), real()).is_empty());
    assert!(promised(Wanted::Unsure, vec![], vec![]).is_empty());
}

#[test]
fn a_project_has_one_marker_and_all_that_persons_left() {
    let mut case = Case::default();
    assert_eq!(case.rules(), ["marker"], "none");
    case.objects = vec![marker(), marker()];
    assert!(case.rules().contains(&"marker"), "two");
    case.objects = vec![marker()];
    assert!(case.rules().is_empty());
    case.objects[0].labels.insert("seca.project".to_owned(), "p-2".to_owned());
    assert_eq!(case.rules(), ["marker"], "of another id");
    let mut own = object("volumes", 5, json!({}));
    own.labels.clear();
    let mut case = Case::of(vec![], vec![own]);
    case.foreign = vec![("alpha".to_owned(), "/volumes/5".to_owned(), "data-1-abc".to_owned())];
    assert!(case.rules().is_empty());
    case.objects.retain(|object| object.id != 5);
    assert_eq!(case.rules(), ["foreign"]);
}
