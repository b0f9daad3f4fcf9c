//! What the sources must not say: no provider in the control plane and the API, and no kind in what serves all kinds.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use std::{
    fs,
    path::{Path, PathBuf},
};

use seca_api::Kind;

/// Documents that can be sent as they stand, so that they name SKUs of the catalogue.
const EXAMPLES: &str = "openapi/examples.rs";

/// Tests speak of what they like: in their own files, or below `#[cfg(test)]`.
fn is_of_tests(path: &Path) -> bool {
    path.components().any(|part| matches!(part.as_os_str().to_str(), Some("tests" | "testing" | "tests.rs")))
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found
}

/// The lines of the code in some folders that say what they must not.
fn saying(folders: &[&str], is_wrong: impl Fn(&str) -> bool) -> String {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut wrong = Vec::new();
    for folder in folders {
        let files = files(&here.join(folder));
        assert!(files.len() > 5, "{folder} has few files");
        let is_held = |file: &&PathBuf| !is_of_tests(file.strip_prefix(here).unwrap()) && !file.ends_with(EXAMPLES);
        for file in files.iter().filter(is_held) {
            let text = fs::read_to_string(file).unwrap();
            let code = text.lines().take_while(|line| line.trim() != "#[cfg(test)]").enumerate();
            let said = code.filter(|(_, line)| is_wrong(line));
            wrong.extend(said.map(|(number, line)| format!("{}:{}: {}", file.display(), number + 1, line.trim())));
        }
    }
    wrong.join("\n")
}

#[test]
fn no_provider_is_named() {
    const WORDS: [&str; 3] = ["hetzner", "hcloud", "172.31.1.1"];
    let wrong = saying(&["src", "../seca-api/src"], |line| {
        let line = line.to_lowercase();
        WORDS.iter().any(|word| line.contains(word))
    });
    assert!(wrong.is_empty(), "say it through `Provider`, or judge it in the adapter:\n{wrong}");
}

#[test]
fn what_serves_all_kinds_names_none() {
    let names: Vec<String> = Kind::ALL.iter().map(|kind| format!("Kind::{kind:?}")).collect();
    let wrong = saying(&["src/service", "src/engine"], |line| {
        let ours = line.replace("ProblemKind::", "").replace("ActionKind::", "");
        names.iter().any(|name| ours.contains(name.as_str()))
    });
    assert!(wrong.is_empty(), "make it a flag of `KindRules`:\n{wrong}");
}
