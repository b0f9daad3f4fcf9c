//! A backup of SQLite under load holds what was answered before it began, and a proxy serves from it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stderr, missing_docs)]

mod common;

use std::{
    collections::BTreeSet,
    fs,
    os::unix::fs::PermissionsExt as _,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use common::{
    PATIENCE, http,
    proxy::{BEARER, Setup, TENANT},
    until,
};
use serde_json::{Value, json};

fn workspaces(public: &str) -> String {
    format!("{public}/providers/seca.workspace/v1/tenants/{TENANT}/workspaces")
}

/// The names of all workspaces.
async fn names(public: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let mut next = None::<String>;
    loop {
        let mut url = format!("{}?limit=1000", workspaces(public));
        if let Some(token) = &next {
            url += &format!("&skipToken={token}");
        }
        let page: Value = http().get(url).bearer_auth(BEARER).send().await.unwrap().json().await.unwrap();
        let items = page["items"].as_array().unwrap();
        names.extend(items.iter().map(|item| item["metadata"]["name"].as_str().unwrap().to_owned()));
        next = page["metadata"]["skipToken"].as_str().map(str::to_owned);
        if next.is_none() {
            return names;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_backup_under_load_can_be_served_and_has_all_that_was_answered_before() {
    let folder = tempfile::tempdir().unwrap();
    let setup =
        Setup::new(folder.path(), "http://127.0.0.1:9/v1").with("SECA_WRITE_RATE", "off").with("SECA_READ_RATE", "off");
    let proxy = setup.serve().await;
    // Four writers that do not pause. What each was answered it counts after the answer.
    let (stop, answered) = (Arc::new(AtomicBool::new(false)), Arc::new([const { AtomicUsize::new(0) }; 4]));
    let writers: Vec<_> = (0..4)
        .map(|writer| {
            let (stop, answered, base) = (stop.clone(), answered.clone(), workspaces(&proxy.public));
            tokio::spawn(async move {
                let client = http();
                while !stop.load(Ordering::SeqCst) {
                    let number = answered[writer].load(Ordering::SeqCst);
                    let put = client.put(format!("{base}/w{writer}-{number}")).bearer_auth(BEARER);
                    let status = put.json(&json!({"spec": {}})).send().await.unwrap().status();
                    assert_eq!(status.as_u16(), 201);
                    answered[writer].store(number + 1, Ordering::SeqCst);
                }
            })
        })
        .collect();
    let counts = || answered.iter().map(|count| count.load(Ordering::SeqCst)).collect::<Vec<_>>();
    let more_than = |least: Vec<usize>| {
        let counts = &counts;
        move || std::future::ready(counts().iter().zip(&least).all(|(now, then)| now > then).then_some(()))
    };
    until("some writes", PATIENCE, more_than(vec![20; 4])).await;

    for round in 0..3 {
        let before = counts();
        let file = folder.path().join(format!("backup-{round}.db"));
        let command = setup.clone();
        let path = file.display().to_string();
        let (code, said) = tokio::task::spawn_blocking(move || command.run(&["backup", &path])).await.unwrap();
        assert_eq!(code, Some(0), "{said}");
        let after = counts();
        until("writes that went on", PATIENCE, more_than(after.clone())).await;
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);

        // A proxy of its own over the copy, which must be a whole database.
        let served = folder.path().join(format!("served-{round}.db"));
        fs::copy(&file, &served).unwrap();
        let other = setup.clone().named(&format!("restored-{round}"));
        let restored = other.with("SECA_DATABASE_URL", &format!("sqlite:{}", served.display())).serve().await;
        let found = names(&restored.public).await;
        for (writer, (before, after)) in before.iter().zip(&after).enumerate() {
            for number in 0..*before {
                assert!(found.contains(&format!("w{writer}-{number}")), "w{writer}-{number} was answered before");
            }
            // One may have been under way, and committed, beyond what was counted.
            let later = found.iter().filter(|name| name.starts_with(&format!("w{writer}-"))).count();
            assert!((*before..=after + 1).contains(&later), "{writer}: {before} {later} {after}");
        }
    }
    stop.store(true, Ordering::SeqCst);
    for writer in writers {
        writer.await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_is_never_written_over_and_postgresql_is_told_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let setup = Setup::new(folder.path(), "http://127.0.0.1:9/v1");
    assert_eq!(setup.run(&["migrate", "up"]).0, Some(0));
    let (code, said) = setup.run(&["backup", "copy.db"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("SECA_CREDENTIALS_KEY"), "{said}");
    let made = fs::read(folder.path().join("copy.db")).unwrap();
    let (code, said) = setup.run(&["backup", "copy.db"]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("is there already"), "{said}");
    assert_eq!(fs::read(folder.path().join("copy.db")).unwrap(), made);
    let (code, said) = setup.run(&["backup", "nowhere/copy.db"]);
    assert_eq!(code, Some(1), "{said}");
    let left = fs::read_dir(folder.path()).unwrap();
    assert!(left.map(|entry| entry.unwrap().file_name()).all(|name| !name.to_string_lossy().contains(".part")));

    let postgres = setup.with("SECA_DATABASE_URL", "postgres://secapi:topsecret@127.0.0.1:9/secapi");
    let (code, said) = postgres.run(&["backup", "/var/backups/it's.dump"]);
    assert_eq!(code, Some(3), "{said}");
    let line = r#"pg_dump --format=custom --no-owner --file='/var/backups/it'\''s.dump' "$SECA_DATABASE_URL""#;
    assert!(said.contains(line) && !said.contains("topsecret"), "{said}");
}
