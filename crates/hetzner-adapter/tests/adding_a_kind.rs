//! The page docs/adding-a-kind.md says what a new kind touches, and nothing else does.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use control_plane::kinds::ALL;
use hetzner_adapter::objects::ObjectType;
use seca_api::Kind;

/// As many names in one file are a list of them.
const LIST: usize = 6;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// The files that the page names, in its tables.
fn named() -> Vec<String> {
    let page = fs::read_to_string(root().join("docs/adding-a-kind.md")).unwrap();
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`'));
    rows.map(|(file, _)| file.to_owned()).collect()
}

/// `PublicIp` as a module: `public_ip`.
fn module(name: &str) -> String {
    let mut module = String::new();
    for letter in name.chars() {
        if letter.is_ascii_uppercase() && !module.is_empty() {
            module.push('_');
        }
        module.push(letter.to_ascii_lowercase());
    }
    module
}

fn is_word(text: &str, word: &str) -> bool {
    let is_part = |letter: Option<char>| letter.is_some_and(|letter| letter.is_alphanumeric() || letter == '_');
    text.match_indices(word)
        .any(|(at, _)| !is_part(text[..at].chars().next_back()) && !is_part(text[at + word.len()..].chars().next()))
}

/// The code of the product, without its tests, and without what is written from other sources: the simulator, and the
/// client of Hetzner's API.
fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let is_left_out =
            ["tests", "testing", "benches", "examples", "hcloud-sim", "hcloud-client"].contains(&name.as_str());
        if path.is_dir() && !is_left_out {
            sources(&path, found);
        } else if name.ends_with(".rs") && !name.contains("tests") {
            found.push(path);
        }
    }
}

#[test]
fn each_file_of_the_page_speaks_of_each_kind() {
    let named = named();
    let files = |placeholder: &str, lists: &[&str]| -> Vec<String> {
        let is_meant = |file: &&String| file.contains(placeholder) || lists.contains(&file.as_str());
        named.iter().filter(is_meant).cloned().collect()
    };
    let says = |pattern: &str, placeholder: &str, name: &str| {
        let file = root().join(pattern.replace(placeholder, &module(name)));
        let text = fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        assert!(pattern.contains(placeholder) || is_word(&text, &module(name)), "{} misses {name}", file.display());
    };
    let of_kinds = files("<kind>", &["crates/seca-api/src/specs.rs", "crates/control-plane/src/kinds/mod.rs"]);
    assert_eq!(of_kinds.len(), 5, "{of_kinds:?}");
    for rules in ALL {
        for pattern in of_kinds.iter().filter(|file| rules.has_object || !file.contains("/mapping/")) {
            says(pattern, "<kind>", &format!("{:?}", rules.kind));
        }
    }
    let of_types = files("<type>", &["crates/hetzner-adapter/src/objects/mod.rs"]);
    assert_eq!(of_types.len(), 2, "{of_types:?}");
    for kind in ObjectType::ALL {
        of_types.iter().for_each(|pattern| says(pattern, "<type>", &format!("{kind:?}")));
    }
}

#[test]
fn no_other_file_lists_kinds_or_types() {
    let named = named();
    let mut files = Vec::new();
    for folder in ["crates", "bins"] {
        sources(&root().join(folder), &mut files);
    }
    assert!(files.len() > 100, "{}", files.len());
    let kinds: BTreeSet<String> = Kind::ALL.iter().map(|kind| format!("{kind:?}")).collect();
    let types: BTreeSet<String> = ObjectType::ALL.iter().map(|kind| format!("{kind:?}")).collect();
    let mut unknown = Vec::new();
    for file in files {
        let path = file.strip_prefix(root()).unwrap().to_string_lossy().into_owned();
        let text = fs::read_to_string(&file).unwrap();
        let code = text.split("#[cfg(test)]").next().unwrap();
        let count = |names: &BTreeSet<String>, least: usize| {
            let count = names.iter().filter(|name| is_word(code, name)).count();
            (count >= least).then_some(count)
        };
        // Its own file may name neighbours, of whom an instance has most.
        let is_of_one = path.contains("/mapping/") || path.contains("/objects/") || path.contains("/kinds/");
        let is_known = named.contains(&path) || (is_of_one && !path.ends_with("/mod.rs"));
        let found = count(&kinds, LIST + 3).or_else(|| count(&types, LIST + 1));
        unknown.extend(found.filter(|_| !is_known).map(|count| format!("{path} names {count}")));
    }
    assert!(unknown.is_empty(), "lists that docs/adding-a-kind.md does not name:\n{}", unknown.join("\n"));
}
