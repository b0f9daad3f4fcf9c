//! The documents under `openapi/` are those that the code makes.

use std::{collections::BTreeSet, env, fs, path::Path};

use seca_api::openapi::documents;

const REMEDY: &str = "run UPDATE_DOCS=1 cargo test -p seca-api --test openapi";

#[test]
fn the_written_documents_are_current() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../openapi");
    let update = env::var_os("UPDATE_DOCS").is_some();
    let mut names = BTreeSet::new();
    for (name, document) in documents() {
        let text = document.to_pretty_json().unwrap() + "\n";
        let path = dir.join(format!("{name}.json"));
        if update {
            fs::create_dir_all(&dir).unwrap();
            fs::write(&path, &text).unwrap();
        }
        let written = fs::read_to_string(&path).unwrap_or_default();
        assert!(written == text, "openapi/{name}.json is stale; {REMEDY}");
        names.insert(format!("{name}.json"));
    }
    let files = fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let strangers: Vec<_> = files.filter(|file| file.ends_with(".json") && !names.contains(file)).collect();
    assert!(strangers.is_empty(), "openapi/ holds documents that no provider has: {strangers:?}; remove them");
}
