//! Round trips: how often an operation asks the database. BEGIN and COMMIT are not counted.

use std::collections::BTreeMap;

use control_plane::{
    ActionKind,
    ports::{
        Act, AdmissionQuery, Collection, Delete, DeleteOutcome, Put, PutOutcome, QueueStore, ReadStore, Settled, Store,
        Verdict, WriteStore,
    },
    service::Tenant,
};
use persistence::{Options, SqlStore};
use seca_api::{Kind, ResourceKey, selector::Selector};
use sqlx::{Connection, Executor, PgConnection};

use super::{
    Backend, World,
    access::{assignment, role},
    before, edge, in_network, key,
    lists::query,
    rules, workspace,
};

/// A world, and a store of its own on the same database, so that nobody else's statements are counted.
struct Counted {
    world: World,
    store: SqlStore,
}

impl Counted {
    async fn open(backend: Backend) -> Self {
        let world = World::open(backend).await;
        if world.url.starts_with("postgres") {
            let mut connection = PgConnection::connect(&world.url).await.unwrap();
            let (name,): (String,) =
                sqlx::query_as("SELECT current_database()").fetch_one(&mut connection).await.unwrap();
            // What the store says of itself is compared with what the database was asked, by the name of the store.
            let log = format!("ALTER DATABASE {name} SET log_statement = 'all'");
            connection.execute(sqlx::AssertSqlSafe(log)).await.unwrap();
        }
        let store = persistence::connect(&world.url, &Options::default()).await.unwrap();
        Self { world, store }
    }

    /// Does something and holds it to its number of statements.
    async fn check<T>(&self, what: &str, most: u64, does: impl Future<Output = T>) -> T {
        let (counted, logged) = (self.store.statements(), self.logged().await);
        let done = does.await;
        let (counted, logged) = (self.store.statements() - counted, self.logged().await - logged);
        assert_eq!(counted, most, "{what}");
        if self.world.url.starts_with("postgres") {
            assert_eq!(logged, most, "{what}, as the database tells it");
        }
        done
    }

    async fn logged(&self) -> u64 {
        if !self.world.url.starts_with("postgres") {
            return 0;
        }
        let log = persistence::testing::postgres_log().await.unwrap();
        let asked = log.lines().filter_map(|line| line.split_once("LOG:  ")?.1.split_once(": "));
        let is_control = |text: &str| matches!(text, "BEGIN" | "COMMIT" | "ROLLBACK");
        let counts = |(kind, text): (&str, &str)| match kind {
            "statement" => !is_control(text),
            _ => kind.starts_with("execute"),
        };
        asked.filter(|line| counts(*line)).count() as u64
    }

    async fn put(&self, what: &str, most: u64, put: Put) -> PutOutcome {
        self.check(what, most, self.store.put(put)).await.unwrap()
    }

    async fn delete(&self, most: u64, key: &ResourceKey) -> DeleteOutcome {
        let delete = Delete { key: key.clone(), expected_version: None, rules: rules(key.kind), now: self.world.now() };
        self.check(&format!("DELETE {key}"), most, self.store.delete(delete)).await.unwrap()
    }
}

fn is_written(outcome: &PutOutcome) -> bool {
    matches!(outcome, PutOutcome::Created(_) | PutOutcome::Updated { .. })
}

pub async fn operations_ask_the_database_as_often_as_they_must(backend: Backend) {
    let counted = Counted::open(backend).await;
    let (world, store) = (&counted.world, &counted.store);
    let volumes: Vec<ResourceKey> = (0..60).map(|n| key(Kind::BlockStorage, &format!("b{n:02}"))).collect();
    let (w, instance) = (workspace("w"), key(Kind::Instance, "i"));

    // A creation, with and without parents and references.
    assert!(is_written(&counted.put("PUT of a new workspace", 1, world.new_put(&w)).await));
    for volume in &volumes {
        assert!(is_written(&counted.put("PUT of a new volume", 1, world.new_put(volume)).await));
    }
    let boots = |volume: &ResourceKey| vec![edge("/spec/bootVolume/deviceRef", volume, true)];
    let labels = BTreeMap::from([("env".to_owned(), "prod".to_owned())]);
    let new = Put { edges: boots(&volumes[0]), label_pairs: labels.clone(), ..world.new_put(&instance) };
    assert!(is_written(&counted.put("PUT of a new instance", 1, new).await));

    // Reading: one, with what is shown of it, and a page, whatever is asked.
    counted.check("GET", 1, store.get(&instance)).await.unwrap().unwrap();
    for shown in [&instance, &w] {
        counted.check("GET as it is shown", 1, store.look(shown, None)).await.unwrap().shown().unwrap();
    }
    let page = counted.check("a page", 1, store.list(&query(Kind::BlockStorage, 50))).await.unwrap();
    assert!(page.items.len() == 50 && page.more);
    let selector = Some(Selector::parse("!a,b!=c").unwrap());
    let selects = control_plane::ports::ListQuery { selector, ..query(Kind::BlockStorage, 50) };
    assert_eq!(counted.check("a page of what is selected", 1, store.list(&selects)).await.unwrap().items.len(), 50);
    let workspaces = control_plane::ports::ListQuery { workspace: String::new(), ..query(Kind::Workspace, 50) };
    let counts = counted.check("a page of workspaces", 1, store.list(&workspaces)).await.unwrap();
    let counts: Vec<_> = counts.items.iter().map(|item| item.children).collect();
    assert_eq!(counts, [Some(61)]);

    // What decides who may do so: a role and an assignment are written like anything else.
    for key in [role("t", "r"), assignment("t", "a")] {
        assert!(is_written(&counted.put("PUT of a new role or assignment", 1, world.new_put(&key)).await));
    }
    store.access().create_tenant("t", &Tenant::default()).await.unwrap();
    counted.check("what decides", 1, store.access().authorization("t")).await.unwrap().unwrap();
    counted.check("whether it is still so", 1, store.access().authorization_version("t")).await.unwrap().unwrap();

    // An update: what it is judged by, and the write.
    let wide = AdmissionQuery {
        key: instance.clone(),
        named: vec![w.clone(), volumes[0].clone(), volumes[1].clone()],
        relatives: vec![Collection {
            kind: Kind::Instance,
            tenant: "t".to_owned(),
            region: "fsn1".to_owned(),
            workspace: "w".to_owned(),
            network: String::new(),
        }],
    };
    counted.check("what a PUT is judged by", 1, store.admission(&wide)).await.unwrap();
    let again = |edges| async move {
        let row = world.read(&key(Kind::Instance, "i")).await;
        let before = Some(before(world.store.as_ref(), &row).await);
        Put { before, edges, labels: row.labels, ..world.new_put(&row.key) }
    };
    let same = again(boots(&volumes[0])).await;
    assert!(is_written(&counted.put("PUT", 1, same.clone()).await));
    let relabelled = Put { labels: Some("{}".to_owned()), label_pairs: labels, ..again(boots(&volumes[0])).await };
    assert!(is_written(&counted.put("PUT of other labels", 1, relabelled).await));
    assert!(is_written(&counted.put("PUT of other references", 1, again(boots(&volumes[1])).await).await));
    // One that lost asks once more, for what.
    assert_eq!(counted.put("PUT of what was written meanwhile", 2, same).await, PutOutcome::Stale);
    let nowhere = key(Kind::BlockStorage, "nowhere");
    let names = again(boots(&nowhere)).await;
    assert_eq!(counted.put("PUT of a reference to nothing", 2, names).await, PutOutcome::Missing(nowhere));

    // What hands out rights is judged by the roles of its moment, in the same statement.
    let role = role("t", "judged");
    let judged = |put: Put, judged_at: i64| Put { judged_at: Some(judged_at), ..put };
    let new = judged(world.new_put(&role), world.version("t").await);
    assert!(is_written(&counted.put("PUT of a new role", 1, new).await));
    let old = world.version("t").await;
    let again = Put { spec: "{\"n\":1}".to_owned(), ..world.update_of(&world.read(&role).await).await };
    assert!(is_written(&counted.put("PUT of a role", 1, judged(again, old)).await));
    let again = world.update_of(&world.read(&role).await).await;
    assert_eq!(counted.put("PUT judged by other roles", 3, judged(again, old)).await, PutOutcome::Stale);
    let grant = Some(Box::new(world.new_put(&assignment("t", "creators"))));
    let founded = Put { grant, ..world.new_put(&workspace("founded")) };
    assert!(is_written(&counted.put("PUT of a new workspace with its creator's assignment", 2, founded).await));

    // A look between the permit and the sending of a call costs one trip.
    let lease = world.lease("local").await;
    counted.check("whether a call may be sent", 1, store.may_send(&lease, Some(1))).await.unwrap();
    let uid = world.read(&instance).await.uid;
    counted.check("what a plan looks at", 3, store.bundle(uid)).await.unwrap().unwrap();
    let many = [uid, world.read(&volumes[0]).await.uid, world.read(&volumes[1]).await.uid];
    assert_eq!(counted.check("what several plans look at", 3, store.bundles(&many)).await.unwrap().len(), 3);
    let mut commits = Vec::new();
    let settled = Settled { uid, wake: 0, attempts: 0, next: None };
    for uid in many {
        commits.push(world.commit_of(uid, Verdict::Converged).await);
    }
    let written = counted.check("several findings", 5, store.commit_all(&lease, &commits)).await.unwrap();
    assert_eq!(written.map(|written| written.len()), Some(3));
    assert!(counted.check("looks that found nothing", 2, store.settle(&lease, &[settled; 3])).await.unwrap());

    // Actions and deletions: the lock, and then, by another statement, the judgement and the write.
    let act = Act { key: instance.clone(), action: ActionKind::Start, expected_version: None, now: world.now() };
    counted.check("an action", 2, store.act(act)).await.unwrap();
    assert!(matches!(counted.delete(2, &volumes[1]).await, DeleteOutcome::Refused(_)));
    assert!(matches!(counted.delete(2, &volumes[0]).await, DeleteOutcome::Accepted(_)));
    assert!(matches!(counted.delete(2, &instance).await, DeleteOutcome::Accepted(_)));
    assert!(matches!(counted.delete(1, &instance).await, DeleteOutcome::Accepted(_)), "it is on its way");
    let network = key(Kind::Network, "n");
    world.create(&network).await;
    world.create(&in_network(Kind::Subnet, "n", "a")).await;
    world.create(&in_network(Kind::Subnet, "n", "b")).await;
    assert!(matches!(counted.delete(2, &network).await, DeleteOutcome::Accepted(_)), "with its subnets");
    assert!(matches!(counted.delete(2, &w).await, DeleteOutcome::Refused(_)));
}
