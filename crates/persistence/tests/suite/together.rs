//! Questions that come together.

use std::{collections::BTreeSet, sync::Arc};

use control_plane::ports::{
    AdmissionQuery, Auxiliary, Collection, CommitOutcome, ListQuery, Mark, Put, PutOutcome, Settled, Step, StepState,
    Tie, Verdict,
};
use seca_api::{Kind, ResourceKey, ResourceState};
use tokio::task::JoinSet;

use super::{World, before, edge, key, lists::query, within, workspace};

/// Each finds what it asks for, however many come at once, and whoever is gone before its answer.
pub async fn each_of_many_lookups_finds_what_it_asks_for(world: &World) {
    world.create(&workspace("w")).await;
    let mut keys = vec![workspace("w"), workspace("none")];
    for number in 0..40 {
        let volume = key(Kind::BlockStorage, &format!("b{number}"));
        world.create(&volume).await;
        // What is there, what is there by this name alone, and what is not.
        keys.push(volume.clone());
        keys.push(within(Kind::BlockStorage, "v", &volume.name));
        keys.push(ResourceKey { kind: Kind::Instance, ..volume });
    }
    world.mark_deleted(&key(Kind::BlockStorage, "b7")).await;
    let mut expected = Vec::new();
    for key in &keys {
        expected.push(world.store.look(key, None).await.unwrap());
    }
    let (keys, expected) = (Arc::new(keys), Arc::new(expected));
    let before = world.sql.as_ref().map_or(0, persistence::SqlStore::statements);
    let (mut asked, mut gone) = (JoinSet::new(), JoinSet::new());
    for number in 0..600 {
        let (store, keys, expected) = (world.store.clone(), keys.clone(), expected.clone());
        // Some ask for the same at once.
        let at = number / 2 % keys.len();
        let asks = async move { assert_eq!(store.look(&keys[at], None).await.unwrap(), expected[at], "{}", keys[at]) };
        if number % 5 == 0 {
            gone.spawn(asks);
        } else {
            asked.spawn(asks);
        }
    }
    gone.abort_all();
    asked.join_all().await;
    if let Some(store) = &world.sql {
        let statements = store.statements() - before;
        assert!(statements < 480, "480 lookups need fewer statements than {statements}");
    }
}

/// A client reads what it has written, though others look at the same and elsewhere all the time.
pub async fn a_lookup_sees_what_was_written_before_it(world: &World) {
    world.create(&workspace("w")).await;
    let mut clients = JoinSet::new();
    for number in 0..24 {
        let volume = key(Kind::BlockStorage, &format!("b{}", number % 8));
        if number < 8 {
            world.create(&volume).await;
        }
        let (store, template) = (world.store.clone(), world.new_put(&volume));
        clients.spawn(async move {
            let version =
                || async { store.look(&volume, None).await.unwrap().shown().unwrap().resource.resource_version };
            for _ in 0..20 {
                let seen = version().await;
                let mut written = seen;
                if number < 8 {
                    let row = store.get(&volume).await.unwrap().unwrap();
                    let before = Some(before(store.as_ref(), &row).await);
                    match store.put(Put { before, ..template.clone() }).await.unwrap() {
                        PutOutcome::Updated { after, .. } => written = after.resource_version,
                        other => panic!("{other:?}"),
                    }
                }
                assert!(version().await >= written, "{volume}");
            }
        });
    }
    clients.join_all().await;
}

/// Every PUT of many at once is written, each as a version of its own, and answered with what it wrote.
pub async fn changes_that_come_together_are_each_written_once(world: &World) {
    const ROWS: usize = 6;
    const CLIENTS: usize = 36;
    const EACH: usize = 10;
    world.create(&workspace("w")).await;
    let volumes: Vec<ResourceKey> = (0..ROWS).map(|n| key(Kind::BlockStorage, &format!("b{n}"))).collect();
    for volume in &volumes {
        world.create(volume).await;
    }
    let statements = || world.sql.as_ref().map_or(0, persistence::SqlStore::statements);
    let (asked, mut clients) = (statements(), JoinSet::new());
    for number in 0..CLIENTS {
        // Every sixth of them has a row to itself and nobody to lose against.
        let volume = volumes[if number % ROWS == 0 { 0 } else { 1 + number % (ROWS - 1) }].clone();
        let (store, template) = (world.store.clone(), world.new_put(&volume));
        clients.spawn(async move {
            let (mut written, mut tries) = (Vec::new(), 0);
            while written.len() < EACH {
                tries += 1;
                let query = AdmissionQuery { key: volume.clone(), named: vec![workspace("w")], relatives: Vec::new() };
                let admission = store.admission(&query).await.unwrap();
                assert_eq!(admission.rows.iter().map(|row| &row.key).collect::<Vec<_>>(), [&workspace("w")]);
                let (before, own) = (admission.before.unwrap(), format!("{{\"by\":\"{number}.{tries}\"}}"));
                assert_eq!(before.row.key, volume);
                let put = Put { before: Some(before), annotations: Some(own.clone()), ..template.clone() };
                match store.put(put).await.unwrap() {
                    PutOutcome::Updated { after, .. } => {
                        assert_eq!((&after.key, after.annotations), (&volume, Some(own)));
                        written.push((volume.clone(), after.resource_version));
                    }
                    PutOutcome::Stale => {}
                    other => panic!("{other:?}"),
                }
            }
            (written, tries)
        });
    }
    let (mut written, mut tries) = (Vec::new(), 0);
    for (each, of_each) in clients.join_all().await {
        written.extend(each);
        tries += of_each;
    }
    let all = written.len();
    let versions: BTreeSet<_> = written.into_iter().collect();
    assert_eq!((all, versions.len()), (CLIENTS * EACH, CLIENTS * EACH), "each is a version of its own");
    for volume in &volumes {
        let mine = versions.iter().filter(|(key, _)| key == volume).count() as i64;
        let row = world.read(volume).await;
        assert_eq!((row.resource_version, row.generation), (1 + mine, 1 + mine), "{volume}");
    }
    if world.sql.is_some() {
        // Two of each try, and one more of each that lost, if nothing were asked together.
        let (asked, alone) = (statements() - asked, 2 * tries as u64 + (tries - all) as u64);
        assert!(asked < alone * 9 / 10, "{asked} statements for what takes {alone} one by one");
    }
}

/// Whoever asks what a PUT is judged by gets that and nothing of the others'.
pub async fn admissions_that_come_together_are_each_their_own(world: &World) {
    world.create(&workspace("w")).await;
    let mut queries = Vec::new();
    for number in 0..12 {
        let [volume, other] = ["b", "c"].map(|name| key(Kind::BlockStorage, &format!("{name}{number}")));
        world.create(&volume).await;
        world.create(&other).await;
        let instance = key(Kind::Instance, &format!("i{number}"));
        world.create_with(&instance, &[("/spec/bootVolume/deviceRef", &volume)]).await;
        let ask = |key: &ResourceKey, named: Vec<ResourceKey>| AdmissionQuery {
            key: key.clone(),
            named,
            relatives: Vec::new(),
        };
        queries.push(ask(&instance, vec![workspace("w"), other.clone()]));
        queries.push(ask(&volume, vec![workspace("w")]));
        queries.push(ask(&other, Vec::new()));
        queries.push(ask(&key(Kind::Network, "none"), vec![instance.clone(), key(Kind::Network, "none")]));
        let siblings = Collection {
            kind: Kind::Instance,
            tenant: "t".to_owned(),
            region: "fsn1".to_owned(),
            workspace: "w".to_owned(),
            network: String::new(),
        };
        queries.push(AdmissionQuery { relatives: vec![siblings], ..ask(&instance, vec![workspace("w")]) });
    }
    let mut expected = Vec::new();
    for query in &queries {
        expected.push(world.store.admission(query).await.unwrap());
    }
    assert!(expected.iter().any(|one| one.before.as_ref().is_some_and(|before| before.edges.len() == 1)));
    assert!(expected.iter().any(|one| one.relatives.len() == 11));
    let (queries, expected) = (Arc::new(queries), Arc::new(expected));
    let mut asked = JoinSet::new();
    for number in 0..300 {
        let (store, queries, expected) = (world.store.clone(), queries.clone(), expected.clone());
        let at = number % queries.len();
        asked.spawn(async move {
            assert_eq!(store.admission(&queries[at]).await.unwrap(), expected[at], "{:?}", queries[at]);
        });
    }
    asked.join_all().await;
}

/// Of many creations at once each is made or refused as by itself: with its labels, its references and its place in the
/// queue. One that the database refuses fails alone.
pub async fn a_creation_that_fails_harms_no_other_that_comes_with_it(world: &World) {
    const EACH: usize = 12;
    let is_sqlite = world.url.starts_with("sqlite:");
    let refuses = if is_sqlite {
        "CREATE TRIGGER refuses BEFORE INSERT ON resources WHEN NEW.name = 'refused' \
         BEGIN SELECT RAISE(ABORT, 'refused'); END"
    } else {
        "ALTER TABLE resources ADD CONSTRAINT refuses CHECK (name <> 'refused')"
    };
    let is_database = world.execute(refuses).await;
    world.create(&workspace("w")).await;
    world.create(&workspace("gone")).await;
    world.mark_deleted(&workspace("gone")).await;
    let target = key(Kind::BlockStorage, "target");
    world.create(&target).await;
    let refers = |target: &ResourceKey, strict| vec![edge("/spec/bootVolume/deviceRef", target, strict)];
    // Somebody named one of them before it was there.
    let early = world.new_put(&key(Kind::Instance, "early"));
    let early = super::created(world.put(Put { edges: refers(&key(Kind::Nic, "n1"), false), ..early }).await);
    let lease = world.lease("local").await;
    world.settle(&lease).await;

    let (mut good, mut asked) = (Vec::new(), JoinSet::new());
    let ask = |asked: &mut JoinSet<_>, put: Put| {
        let store = world.store.clone();
        asked.spawn(async move { (put.key.clone(), put.uid, store.put(put).await) });
    };
    for n in 0..EACH {
        let labels = [("app".to_owned(), "shop".to_owned()), ("tier".to_owned(), n.to_string())].into();
        let plain = Put { label_pairs: labels, ..world.new_put(&key(Kind::Nic, &format!("n{n}"))) };
        let refers_to = Put { edges: refers(&target, true), ..world.new_put(&key(Kind::Instance, &format!("i{n}"))) };
        good.extend([plain.clone(), refers_to.clone()]);
        ask(&mut asked, plain);
        ask(&mut asked, world.new_put(&within(Kind::Nic, "gone", &format!("n{n}"))));
        ask(&mut asked, refers_to);
        let names = refers(&key(Kind::BlockStorage, "none"), true);
        ask(&mut asked, Put { edges: names, ..world.new_put(&key(Kind::Instance, &format!("x{n}"))) });
        // The same name again and again.
        ask(&mut asked, world.new_put(&key(Kind::Nic, "wanted")));
    }
    if is_database {
        ask(&mut asked, world.new_put(&key(Kind::Nic, "refused")));
    }
    let mut won = 0;
    while let Some(answered) = asked.join_next().await {
        let (key, uid, outcome) = answered.unwrap();
        match (key.name.as_str(), key.workspace.as_str(), outcome) {
            ("refused", _, outcome) => assert!(outcome.is_err(), "{outcome:?}"),
            ("wanted", _, Ok(PutOutcome::Created(_))) => won += 1,
            ("wanted", _, outcome) => assert_eq!(outcome.unwrap(), PutOutcome::Stale),
            (_, "gone", outcome) => assert_eq!(outcome.unwrap(), PutOutcome::Missing(workspace("gone"))),
            (name, _, outcome) if name.starts_with('x') => {
                assert!(matches!(outcome, Ok(PutOutcome::Missing(missing)) if missing.name == "none"), "{key}");
            }
            (_, _, outcome) => {
                let made = super::created(outcome.unwrap());
                assert_eq!((&made.key, made.uid), (&key, uid));
                assert_eq!(world.read(&key).await, made, "as it was answered");
            }
        }
    }
    assert_eq!(won, 1, "one of them has the name");
    assert!(world.get(&key(Kind::Nic, "refused")).await.is_none());
    assert_eq!(world.count_children(&workspace("w")).await, 2 * EACH as i64 + 3);
    let due = world.due(&lease).await;
    assert_eq!(due.len(), 2 * EACH + 2, "each that was made, and who named one of them");
    assert!(due.contains(&early.uid));
    for put in &good {
        assert!(due.contains(&put.uid), "{}", put.key);
        assert_eq!(super::before(world.store.as_ref(), &world.read(&put.key).await).await.edges, put.edges);
    }
    let selector = Some(seca_api::selector::Selector::parse("app=shop,tier>=6").unwrap());
    let selected = ListQuery { selector, ..query(Kind::Nic, 50) };
    assert_eq!(world.store.list(&selected).await.unwrap().items.len(), EACH - 6, "labels of each");
}

/// Creations that come together need fewer statements than each by itself (PostgreSQL), and are all there.
pub async fn creations_that_come_together_are_each_made_once(world: &World) {
    const ALL: usize = 400;
    world.create(&workspace("w")).await;
    world.create(&workspace("v")).await;
    let statements = || world.sql.as_ref().map_or(0, persistence::SqlStore::statements);
    let (before, mut asked) = (statements(), JoinSet::new());
    for n in 0..ALL {
        let volume = within(Kind::BlockStorage, if n % 3 == 0 { "v" } else { "w" }, &format!("b{n:03}"));
        let (store, put) = (world.store.clone(), world.new_put(&volume));
        asked.spawn(async move { super::created(store.put(put).await.unwrap()).key });
    }
    let made: BTreeSet<_> = asked.join_all().await.into_iter().map(|key| key.name).collect();
    assert_eq!(made.len(), ALL);
    if world.url.starts_with("postgres") {
        let took = statements() - before;
        assert!(took < ALL as u64 / 2, "{ALL} creations took {took} statements");
    }
    let counts = [world.count_children(&workspace("w")).await, world.count_children(&workspace("v")).await];
    assert_eq!(counts.iter().sum::<i64>(), ALL as i64);
}

/// What many engines' workers write at once is each fenced by its own lease, and written as by itself.
pub async fn progress_of_many_projects_is_each_its_own(world: &World) {
    const PROJECTS: usize = 16;
    let mut workers = Vec::new();
    for number in 0..PROJECTS {
        let (name, project) = (format!("w{number}"), format!("p{number}"));
        let bound = world.create(&workspace(&name)).await;
        world.store.bind(world.credential(&bound, &project)).await.unwrap();
        let volume = world.create(&within(Kind::BlockStorage, &name, "b")).await;
        let instance = world.create(&within(Kind::Instance, &name, "i")).await;
        let lease = world.lease(&project).await;
        let is_lost = number % 4 == 1;
        if is_lost {
            world.store.release(&lease).await.unwrap();
            world.lease(&project).await;
        }
        let found = world.commit_of(instance.uid, Verdict::Working).await;
        let settled = Settled { uid: volume.uid, wake: 0, attempts: 7, next: None };
        workers.push((is_lost, number % 2 == 0, lease, volume, instance, found, settled));
    }
    let before = world.sql.as_ref().map_or(0, persistence::SqlStore::statements);
    let mut tasks = JoinSet::new();
    for (is_lost, fails, lease, volume, instance, found, settled) in workers {
        let store = world.store.clone();
        tasks.spawn(async move {
            let held = !is_lost;
            let ties =
                [Tie::Claim(volume.uid), Tie::Use(Auxiliary { purpose: "key".to_owned(), content: "k".to_owned() })];
            assert_eq!(store.tie(&lease, instance.uid, &ties).await.unwrap(), held);
            let mark = Mark {
                uid: volume.uid,
                facts: serde_json::Map::from_iter([("server".to_owned(), "1".into())]),
                undo: serde_json::Map::from_iter([("server".to_owned(), serde_json::Value::Null)]),
            };
            let step = Step { marks: vec![mark], ..Step::new("create_server", "i", serde_json::Value::Null) };
            let intent = store.intend(&lease, instance.uid, 1, &step, Some(found)).await.unwrap();
            assert_eq!(intent.is_some(), held);
            if let Some(intent) = intent {
                assert_eq!((intent.resource.uid, intent.resource.state), (instance.uid, ResourceState::Creating));
                assert_eq!(store.may_send(&lease, Some(intent.id)).await.unwrap().is_some(), held);
                // Half of them certainly failed.
                let state = if fails { StepState::Failed } else { StepState::Done };
                assert!(store.finish_step(&lease, intent.id, state, None, Some("why")).await.unwrap());
                let bundle = store.bundle(instance.uid).await.unwrap().unwrap();
                assert_eq!((bundle.open_steps.len(), bundle.auxiliaries.len()), (0, 1));
                let row = store.bundle(volume.uid).await.unwrap().unwrap().resource;
                assert_eq!((row.holder, row.fact("server")), (Some(instance.uid), (!fails).then_some("1")));
            }
            assert_eq!(store.settle(&lease, &[settled]).await.unwrap(), held);
            let due = store.due(&lease, 9).await.unwrap();
            assert!(due.contains(&volume.uid), "it was woken since it was looked at");
            if !held {
                let row = store.bundle(instance.uid).await.unwrap().unwrap();
                assert_eq!((row.resource, row.touched, row.auxiliaries.len()), (instance, false, 0));
            }
        });
    }
    while let Some(ended) = tasks.join_next().await {
        ended.unwrap();
    }
    if let Some(store) = &world.sql {
        let statements = store.statements() - before;
        assert!(statements < 20 * PROJECTS as u64, "{PROJECTS} workers need fewer statements than {statements}");
    }
}

/// Somebody keeps a row of one project: what is written of others does not wait for that.
pub async fn progress_waits_for_nobody_elses_rows(world: &World) {
    let mut projects = Vec::new();
    for name in ["w", "v"] {
        let bound = world.create(&workspace(name)).await;
        world.store.bind(world.credential(&bound, &format!("p-{name}"))).await.unwrap();
        let volume = world.create(&within(Kind::BlockStorage, name, "b")).await;
        projects.push((world.lease(&format!("p-{name}")).await, volume));
    }
    // SQLite has one writer.
    if !world.url.starts_with("postgres") {
        return;
    }
    let kept = world.store.turn(&[projects[0].1.key.clone()]).await.unwrap();
    let mut tasks = Vec::new();
    for (lease, volume) in &projects {
        let (store, lease) = (world.store.clone(), lease.clone());
        let found = world.commit_of(volume.uid, Verdict::Converged).await;
        tasks.push(tokio::spawn(async move { store.commit(&lease, found).await.unwrap() }));
    }
    let other = tasks.pop().unwrap().await.unwrap();
    assert!(matches!(other, CommitOutcome::Done(row) if row.state == ResourceState::Active));
    assert!(!tasks[0].is_finished(), "its row is kept");
    drop(kept);
    let waited = tasks.pop().unwrap().await.unwrap();
    assert!(matches!(waited, CommitOutcome::Done(row) if row.state == ResourceState::Active));
}
