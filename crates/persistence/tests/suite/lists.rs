//! Lists: paging, what they show, selectors.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use control_plane::{
    Representation, Resource, Uid,
    ports::{Deleted, ListQuery, Outline, Page, Put},
    testing::environment::SeededRng,
};
use seca_api::{Kind, ResourceKey, selector::Selector};

use tokio::task::yield_now;

use super::{World, created, in_network, key, updated, within, workspace};

pub fn query(kind: Kind, limit: usize) -> ListQuery {
    ListQuery {
        kind,
        tenant: "t".to_owned(),
        region: "fsn1".to_owned(),
        workspace: "w".to_owned(),
        network: String::new(),
        deleted: Deleted::Exclude,
        selector: None,
        after: String::new(),
        limit,
    }
}

async fn names(world: &World, query: &ListQuery) -> Vec<String> {
    let page = world.store.list(query).await.unwrap();
    assert!(page.items.len() <= query.limit);
    let names: Vec<String> = page.items.into_iter().map(|row| row.resource.key.name).collect();
    let outlines = world.store.outline(query).await.unwrap();
    let outlined: Vec<String> = outlines.items.into_iter().map(|row| row.name).collect();
    assert_eq!((&outlined, outlines.more), (&names, page.more), "an outline is of the same rows");
    names
}

pub async fn pages_follow_each_other_by_name(world: &World) {
    world.create(&workspace("w")).await;
    // By bytes, whatever the database's language.
    let expected = ["B", "a", "a-1", "a.b", "a1", "b", "z", "é"];
    for name in ["z", "a1", "é", "B", "a", "a.b", "b", "a-1"] {
        world.create(&key(Kind::Network, name)).await;
    }
    for limit in 1..=9 {
        let mut query = query(Kind::Network, limit);
        let mut seen = Vec::new();
        loop {
            let page = world.store.list(&query).await.unwrap();
            assert!(!page.items.is_empty());
            is_outlined(world, &query, &page).await;
            seen.extend(page.items.iter().map(|row| row.resource.key.name.clone()));
            query.after = seen.last().unwrap().clone();
            if !page.more {
                break;
            }
        }
        assert_eq!(seen, expected, "in pages of {limit}");
    }
    assert!(names(world, &query(Kind::Instance, 5)).await.is_empty());
}

/// A page is put together out of its outline and what is shown of its rows.
async fn is_outlined(world: &World, query: &ListQuery, page: &Page) {
    let outlines = world.store.outline(query).await.unwrap();
    assert_eq!((outlines.more, outlines.authorization), (page.more, page.authorization));
    let uids: Vec<Uid> = outlines.items.iter().map(|row| row.uid).collect();
    let collection = ResourceKey { name: String::new(), ..page.items[0].resource.key.clone() };
    let mut shown = world.store.shown(&collection, &uids).await.unwrap();
    shown.sort_by_key(|row| uids.iter().position(|uid| row.uid == Some(*uid)));
    for ((outline, shown), item) in outlines.items.iter().zip(shown).zip(&page.items) {
        let Outline { uid, name, revision } = outline;
        assert_eq!((Some(*uid), name), (shown.uid, &shown.key.name));
        assert_eq!(*revision, shown.revision);
        assert_eq!(Representation { uid: None, ..shown }, item.resource);
    }
}

pub async fn pages_are_stable_under_writes(world: &World) {
    world.create(&workspace("w")).await;
    for number in 0..20 {
        world.create(&key(Kind::Network, &format!("stays-{number:02}"))).await;
    }
    let mut query = query(Kind::Network, 3);
    let mut seen = Vec::new();
    for round in 0.. {
        // Before and behind the place of the reader, resources come and go and change.
        world.create(&key(Kind::Network, &format!("before-{round:02}"))).await;
        world.create(&key(Kind::Network, &format!("zz-{:02}", 99 - round))).await;
        world.mark_deleted(&key(Kind::Network, &format!("before-{round:02}"))).await;
        let row = world.read(&key(Kind::Network, &format!("stays-{round:02}"))).await;
        updated(world.put(world.update_of(&row).await).await);
        let page = world.store.list(&query).await.unwrap();
        seen.extend(page.items.iter().map(|row| row.resource.key.name.clone()));
        query.after = seen.last().unwrap().clone();
        if !page.more || query.after.starts_with("zz") {
            break;
        }
    }
    let stayed: Vec<&String> = seen.iter().filter(|name| name.starts_with("stays")).collect();
    assert_eq!(stayed, (0..20).map(|n| format!("stays-{n:02}")).collect::<Vec<_>>().iter().collect::<Vec<_>>());
    assert_eq!(seen.iter().collect::<BTreeSet<_>>().len(), seen.len(), "nothing twice");
}

/// Others create, relabel, delete and remove while many walks pass: what was there all the time is seen once, and
/// nothing is seen twice.
pub async fn walks_are_stable_under_concurrent_writes(world: &World) {
    const NAMES: usize = 60;
    world.create(&workspace("w")).await;
    let lease = world.lease("local").await;
    // Every third one stays.
    let stays: Vec<String> = (0..NAMES).step_by(3).map(|n| format!("n{n:02}")).collect();
    for name in &stays {
        create_labelled(world, name, &pairs(&[("keep", "yes"), ("turn", "0")])).await;
    }
    let walks = async {
        for walk in 0.. {
            let deleted = if walk % 2 == 0 { Deleted::Exclude } else { Deleted::Include };
            let selector = (walk % 3 == 0).then(|| Selector::parse("keep=yes").unwrap());
            let mut query = ListQuery { deleted, selector, ..query(Kind::Network, 7) };
            let mut seen = Vec::new();
            loop {
                let page = world.store.list(&query).await.unwrap();
                assert!(page.items.len() == 7 || !page.more);
                seen.extend(page.items.into_iter().map(|row| row.resource.key.name));
                yield_now().await;
                if !page.more {
                    break;
                }
                query.after = seen.last().unwrap().clone();
            }
            assert!(seen.is_sorted_by(|a, b| a < b), "each once, in order: {seen:?}");
            assert!(stays.iter().all(|name| seen.contains(name)), "walk {walk} missed one: {seen:?}");
            assert!(query.selector.is_none() || seen == stays, "walk {walk} saw others: {seen:?}");
            // The writers go round twice at least.
            if walk >= 30 && world.read(&key(Kind::Network, "n00")).await.resource_version > 3 {
                return;
            }
        }
    };
    let come_and_go = async {
        let names = (0..NAMES).filter(|n| n % 3 == 1).cycle();
        for (turn, number) in names.enumerate() {
            let row = create_labelled(world, &format!("n{number:02}"), &pairs(&[("keep", "no")])).await;
            relabel(world, &row.key, &pairs(&[("keep", "no"), ("turn", &turn.to_string())])).await;
            yield_now().await;
            world.mark_deleted(&row.key).await;
            yield_now().await;
            world.store.remove(&lease, row.uid).await.unwrap();
        }
    };
    let change = async {
        for (turn, name) in stays.iter().cycle().enumerate() {
            let labels = pairs(&[("keep", "yes"), ("turn", &turn.to_string())]);
            relabel(world, &key(Kind::Network, name), &labels).await;
            yield_now().await;
        }
    };
    tokio::select! {
        () = walks => {}
        () = come_and_go => unreachable!("it goes on for ever"),
        () = change => unreachable!("it goes on for ever"),
    }
}

async fn relabel(world: &World, key: &ResourceKey, label_pairs: &BTreeMap<String, String>) {
    let labels = Some(serde_json::to_string(label_pairs).unwrap());
    let row = world.read(key).await;
    updated(world.put(Put { labels, label_pairs: label_pairs.clone(), ..world.update_of(&row).await }).await);
}

pub async fn lists_show_deleted_resources_as_asked(world: &World) {
    world.create(&workspace("w")).await;
    for name in ["a", "b", "c"] {
        world.create(&key(Kind::Network, name)).await;
    }
    world.mark_deleted(&key(Kind::Network, "b")).await;
    for (deleted, expected) in
        [(Deleted::Exclude, &["a", "c"][..]), (Deleted::Include, &["a", "b", "c"]), (Deleted::Only, &["b"])]
    {
        assert_eq!(names(world, &ListQuery { deleted, ..query(Kind::Network, 10) }).await, expected, "{deleted:?}");
    }
    assert_eq!(world.count_children(&workspace("w")).await, 2);
}

pub async fn lists_keep_to_their_collection(world: &World) {
    for name in ["w", "v"] {
        world.create(&workspace(name)).await;
        world.create(&within(Kind::Network, name, "n")).await;
    }
    world.create(&within(Kind::Instance, "v", "i")).await;
    world.create(&in_network(Kind::Subnet, "n", "s")).await;
    world.create(&in_network(Kind::RouteTable, "n", "r")).await;
    let cases = [
        (query(Kind::Network, 9), &["n"][..]),
        (query(Kind::Instance, 9), &[]),
        (ListQuery { workspace: "v".to_owned(), ..query(Kind::Instance, 9) }, &["i"]),
        (ListQuery { network: "n".to_owned(), ..query(Kind::Subnet, 9) }, &["s"]),
        (ListQuery { network: "m".to_owned(), ..query(Kind::Subnet, 9) }, &[]),
        (ListQuery { workspace: String::new(), ..query(Kind::Workspace, 9) }, &["v", "w"]),
        (ListQuery { workspace: String::new(), tenant: "u".to_owned(), ..query(Kind::Workspace, 9) }, &[]),
        (ListQuery { workspace: String::new(), region: "hel1".to_owned(), ..query(Kind::Workspace, 9) }, &[]),
    ];
    for (query, expected) in cases {
        assert_eq!(names(world, &query).await, expected, "{query:?}");
    }
    assert_eq!(world.count_children(&key(Kind::Network, "n")).await, 2);
    assert_eq!(world.count_children(&workspace("w")).await, 3);
}

async fn create_labelled(world: &World, name: &str, pairs: &BTreeMap<String, String>) -> Resource {
    let labels = Some(serde_json::to_string(pairs).unwrap());
    let put = Put { labels, label_pairs: pairs.clone(), ..world.new_put(&key(Kind::Network, name)) };
    created(world.put(put).await)
}

fn pairs(labels: &[(&str, &str)]) -> BTreeMap<String, String> {
    labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

pub async fn selectors_select_what_they_match(world: &World) {
    world.create(&workspace("w")).await;
    let rows: [(&str, &[(&str, &str)]); 5] = [
        ("a", &[("env", "prod"), ("tier", "2")]),
        ("b", &[("env", "Prod"), ("tier", "10"), ("legacy", "")]),
        ("c", &[("env", "test_1"), ("tier", "-3.50")]),
        ("d", &[("Env", "100%"), ("tier", "high")]),
        ("e", &[]),
    ];
    for (name, labels) in rows {
        create_labelled(world, name, &pairs(labels)).await;
    }
    let cases: [(&str, &[&str]); 22] = [
        ("", &["a", "b", "c", "d", "e"]),
        ("env", &["a", "b", "c"]),
        ("!env", &["d", "e"]),
        ("env=prod", &["a"]),
        ("env==prod", &["a"]),
        ("env!=prod", &["b", "c", "d", "e"]),
        ("legacy=", &["b"]),
        ("tier>2", &["b"]),
        ("tier>=2", &["a", "b"]),
        ("tier<2", &["c"]),
        ("tier<=-3.5", &["c"]),
        ("tier>-4,tier<3", &["a", "c"]),
        ("*nv=prod", &["a"]),
        ("*nv", &["a", "b", "c", "d"]),
        ("env=*r*", &["a", "b"]),
        ("env=test_1", &["c"]),
        ("env=test*1", &["c"]),
        ("env=tes?*", &[]),
        ("Env=*%", &["d"]),
        ("env in (prod, test*)", &["a", "c"]),
        ("env notin (prod)", &["b", "c", "d", "e"]),
        ("*=*", &["a", "b", "c", "d"]),
    ];
    for (text, expected) in cases {
        let selector = Some(Selector::parse(text).unwrap_or_else(|error| panic!("{text}: {error}")));
        let found = names(world, &ListQuery { selector, ..query(Kind::Network, 10) }).await;
        assert_eq!(found, expected, "{text}");
    }
    // Filtered first, limited then.
    let selector = Some(Selector::parse("tier").unwrap());
    let page =
        world.store.list(&ListQuery { selector, after: "a".to_owned(), ..query(Kind::Network, 2) }).await.unwrap();
    assert_eq!(
        (page.items[0].resource.key.name.as_str(), page.items[1].resource.key.name.as_str(), page.more),
        ("b", "c", true)
    );
}

/// The law: the database finds what [`Selector::matches`] says, for any labels and any selector.
pub async fn any_selector_selects_what_it_matches(world: &World) {
    const KEYS: [&str; 6] = ["env", "Env", "tier", "ns:env", "a.b/c", "x_y"];
    const VALUES: [&str; 18] = [
        "prod",
        "Prod",
        "p%d",
        "p_d",
        "p\\d",
        "p?d",
        "p[a]d",
        "",
        "1",
        "1.0",
        "01",
        "-0",
        "0",
        "-12.5",
        "12.50",
        "9999999999999999",
        "10000000000000001",
        "é*",
    ];
    const GLOBS: [&str; 14] =
        ["*", "p*", "*d", "p*d", "*o*", "p%*", "p_*", "p\\*", "p?*", "p[*", "**", "*1*", "é*", "p*a*d"];
    let rng = SeededRng::new(42);
    let pick = |from: &[&'static str]| from[usize::try_from(rng.below(from.len() as u64)).unwrap()];
    world.create(&workspace("w")).await;
    let mut rows = BTreeMap::new();
    for number in 0..60 {
        let labels: BTreeMap<String, String> =
            (0..rng.below(5)).map(|_| (pick(&KEYS).to_owned(), pick(&VALUES).to_owned())).collect();
        let name = format!("n{number:02}");
        create_labelled(world, &name, &labels).await;
        rows.insert(name, labels);
    }
    let value = || if rng.one_in(2) { pick(&GLOBS) } else { pick(&VALUES) };
    let name = || if rng.one_in(3) { pick(&["*", "*nv", "e*", "*:*", "a*c", "x_*"]) } else { pick(&KEYS) };
    let mut parsed = 0;
    for _ in 0..400 {
        // Some have more terms than a database joins.
        let most = if rng.one_in(4) { 6 } else { 2 };
        let terms = (0..=rng.below(most)).map(|_| match rng.below(7) {
            0 => name().to_owned(),
            1 => format!("!{}", name()),
            2 => format!("{}={}", name(), value()),
            3 => format!("{}!={}", name(), value()),
            4 => format!("{} in ({}, {})", name(), value(), value()),
            5 => format!("{} notin ({})", name(), value()),
            _ => {
                let bound = pick(&["0", "-0", "1", "12.5", "-12.50", "9999999999999999", "10000000000000000"]);
                format!("{}{}{bound}", name(), pick(&["<", "<=", ">", ">="]))
            }
        });
        let text = terms.collect::<Vec<_>>().join(",");
        let Ok(selector) = Selector::parse(&text) else { continue };
        parsed += 1;
        let expected: Vec<&String> =
            rows.iter().filter(|(_, labels)| selector.matches(*labels)).map(|(name, _)| name).collect();
        let found = names(world, &ListQuery { selector: Some(selector), ..query(Kind::Network, 100) }).await;
        assert_eq!(found.iter().collect::<Vec<_>>(), expected, "{text}");
    }
    assert!(parsed > 300, "most of them are selectors: {parsed}");
}

/// Pages that are asked for at once, of several collections and labels, each get what is theirs.
pub async fn pages_are_asked_for_together(world: &World) {
    for name in ["w", "x"] {
        world.create(&workspace(name)).await;
        for number in 0..9 {
            let key = within(Kind::Network, name, &format!("n{number}"));
            let put = Put { label_pairs: pairs(&[("third", &format!("{}", number % 3))]), ..world.new_put(&key) };
            created(world.put(put).await);
        }
    }
    let queries: Vec<(ListQuery, Vec<String>)> = (0..40)
        .map(|turn: usize| {
            let (limit, after, third) = (1 + turn % 4, turn % 5, turn % 3);
            let is_labelled = turn.is_multiple_of(2);
            let selector = is_labelled.then(|| Selector::parse(&format!("third={third}")).unwrap());
            let workspace = if turn.is_multiple_of(7) { "x" } else { "w" }.to_owned();
            let query = ListQuery { selector, workspace, after: format!("n{after}"), ..query(Kind::Network, limit) };
            let names = (after + 1..9).filter(|n| !is_labelled || n % 3 == third).map(|n| format!("n{n}"));
            (query, names.collect())
        })
        .collect();
    let asked = queries.iter().map(|(query, _)| {
        let (store, query) = (Arc::clone(&world.store), query.clone());
        tokio::spawn(async move { store.outline(&query).await })
    });
    let asked: Vec<_> = asked.collect();
    for ((query, names), answer) in queries.iter().zip(asked) {
        let answer = answer.await.unwrap().unwrap();
        let shown: Vec<&String> = answer.items.iter().map(|row| &row.name).collect();
        assert_eq!(shown, names.iter().take(query.limit).collect::<Vec<_>>(), "{query:?}");
        assert_eq!(answer.more, names.len() > query.limit, "{query:?}");
        assert_eq!(answer.authorization, None, "nobody registered the tenant");
    }
}

/// The release before says of no label where its resource is.
pub async fn labels_of_the_release_before_are_found(world: &World) {
    world.create(&workspace("w")).await;
    world.create(&key(Kind::Network, "n")).await;
    let write = "INSERT INTO resource_labels (uid, name, value) SELECT uid, 'env', 'prod' FROM resources \
                 WHERE kind = 'network'";
    let names_found: &[&str] = if world.execute(write).await { &["n"] } else { &[] };
    let selector = Some(Selector::parse("env=prod").unwrap());
    assert_eq!(names(world, &ListQuery { selector, ..query(Kind::Network, 5) }).await, names_found);
}

pub async fn new_labels_replace_the_old_ones(world: &World) {
    world.create(&workspace("w")).await;
    create_labelled(world, "n", &pairs(&[("a", "1"), ("b", "1")])).await;
    let row = world.read(&key(Kind::Network, "n")).await;
    let labels = Some(r#"{"b":"2"}"#.to_owned());
    updated(world.put(Put { labels, label_pairs: pairs(&[("b", "2")]), ..world.update_of(&row).await }).await);
    for (text, found) in [("a", 0), ("b=1", 0), ("b=2", 1)] {
        let selector = Some(Selector::parse(text).unwrap());
        let names = names(world, &ListQuery { selector, ..query(Kind::Network, 10) }).await;
        assert_eq!(names.len(), found, "{text}");
    }
}
