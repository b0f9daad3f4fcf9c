//! The control plane and the API know no provider: its words and numbers come through the port `ProviderRules`.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use std::{
    fs,
    path::{Path, PathBuf},
};

/// What no line of either may say.
const WORDS: [&str; 3] = ["hetzner", "hcloud", "172.31.1.1"];

/// Tests speak of a provider: in their own files, or below `#[cfg(test)]`.
fn is_of_tests(path: &Path) -> bool {
    path.components().any(|part| matches!(part.as_os_str().to_str(), Some("tests" | "testing" | "tests.rs")))
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

#[test]
fn no_provider_is_named() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    for folder in ["src", "../seca-api/src"] {
        let mut files = Vec::new();
        sources(&here.join(folder), &mut files);
        assert!(files.len() > 20, "{folder} has few files");
        for file in files.iter().filter(|file| !is_of_tests(file.strip_prefix(here).unwrap())) {
            let text = fs::read_to_string(file).unwrap();
            let code = text.lines().take_while(|line| line.trim() != "#[cfg(test)]").enumerate();
            let named = code.filter(|(_, line)| WORDS.iter().any(|word| line.to_lowercase().contains(word)));
            found.extend(named.map(|(number, line)| format!("{}:{}: {}", file.display(), number + 1, line.trim())));
        }
    }
    assert!(
        found.is_empty(),
        "a provider is named; say it through `Provider`, or judge it in the adapter:\n{}",
        found.join("\n")
    );
}
