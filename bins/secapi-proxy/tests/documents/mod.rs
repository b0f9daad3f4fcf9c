//! The documents: no link of theirs is dead, and whoever reads of a reason finds what it means.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Component, Path, PathBuf},
};

use control_plane::Reason;
use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};

/// What a document says that is of interest here.
#[derive(Debug, Default)]
struct Document {
    /// What a link may name behind `#`.
    anchors: BTreeSet<String>,
    links: Vec<String>,
    /// The words in code type, outside of blocks.
    words: BTreeSet<String>,
}

impl Document {
    fn read(text: &str) -> Self {
        let mut document = Self::default();
        let mut heading: Option<String> = None;
        let mut times: BTreeMap<String, usize> = BTreeMap::new();
        for event in Parser::new_ext(text, Options::ENABLE_TABLES) {
            match event {
                Event::Start(Tag::Heading { .. }) => heading = Some(String::new()),
                Event::End(TagEnd::Heading(_)) => {
                    let slug = slug(&heading.take().unwrap_or_default());
                    let before = times.entry(slug.clone()).or_default();
                    document.anchors.insert(if *before == 0 { slug } else { format!("{slug}-{before}") });
                    *before += 1;
                }
                Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) => {
                    document.links.push(dest_url.into_string());
                }
                Event::Code(word) => {
                    if let Some(heading) = &mut heading {
                        heading.push_str(&word);
                    }
                    document.words.insert(word.into_string());
                }
                Event::Text(text) => {
                    if let Some(heading) = &mut heading {
                        heading.push_str(&text);
                    }
                }
                Event::InlineHtml(html) | Event::Html(html) => {
                    let named = html.split_once("id=\"").and_then(|(_, rest)| rest.split_once('"'));
                    document.anchors.extend(named.map(|(id, _)| id.to_owned()));
                }
                _ => {}
            }
        }
        document
    }
}

/// The anchor of a heading, as GitHub makes it.
fn slug(heading: &str) -> String {
    let kept = heading.to_lowercase();
    kept.chars().filter(|c| c.is_alphanumeric() || "-_ ".contains(*c)).map(|c| if c == ' ' { '-' } else { c }).collect()
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// The documents of the repository, by path from its root.
fn documents() -> BTreeMap<PathBuf, Document> {
    let root = root();
    let mut found = BTreeMap::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap()) {
            let (path, name) = (entry.path(), entry.file_name().into_string().unwrap());
            let below = path.strip_prefix(&root).unwrap().to_owned();
            // Copies of others: the documents of packages, which a test compares with what they are copies of.
            let is_copy = below.ends_with("crates/api-server/src/docs/handbook");
            let is_dir = entry.file_type().unwrap().is_dir();
            if is_dir && !name.starts_with('.') && !["target", "node_modules"].contains(&name.as_str()) && !is_copy {
                folders.push(path);
            } else if !is_dir && name.ends_with(".md") {
                found.insert(below, Document::read(&fs::read_to_string(&path).unwrap()));
            }
        }
    }
    found
}

/// The path that a link from a document leads to, without `..`.
fn target(from: &Path, link: &str) -> PathBuf {
    let mut path = from.parent().unwrap().to_owned();
    for part in Path::new(link).components() {
        match part {
            Component::ParentDir => assert!(path.pop(), "{from:?}: {link} leads out of the repository"),
            Component::Normal(part) => path.push(part),
            _ => {}
        }
    }
    path
}

#[test]
fn no_link_is_dead() {
    let (root, documents) = (root(), documents());
    assert!(documents.len() > 30, "{}", documents.len());
    let (mut dead, mut seen) = (Vec::new(), 0);
    for (path, document) in &documents {
        for link in document.links.iter().filter(|link| !link.contains("://") && !link.starts_with("mailto:")) {
            let (file, anchor) = link.split_once('#').map_or((link.as_str(), None), |(file, at)| (file, Some(at)));
            let there = if file.is_empty() { path.clone() } else { target(path, file) };
            let is_there = root.join(&there).exists();
            let has_anchor = |anchor| documents.get(&there).is_none_or(|found| found.anchors.contains(anchor));
            if !is_there || !anchor.is_none_or(has_anchor) {
                dead.push(format!("{}: {link}", path.display()));
            }
            seen += 1;
        }
    }
    assert!(dead.is_empty(), "dead links:\n{}", dead.join("\n"));
    assert!(seen > 150, "{seen} links were looked at");
}

#[test]
fn a_document_that_names_a_reason_links_to_what_it_means() {
    let mut missing = Vec::new();
    for (path, document) in documents() {
        let is_for_users = path.starts_with("docs") || path.as_os_str() == "README.md";
        if !is_for_users || path.ends_with("docs/reasons.md") {
            continue;
        }
        for word in Reason::ALL.iter().map(|reason| reason.as_str()).filter(|word| document.words.contains(*word)) {
            let link = format!("reasons.md#{}", word.to_lowercase());
            if !document.links.iter().any(|other| other.ends_with(&link)) {
                missing.push(format!("{}: `{word}` without a link to {link}", path.display()));
            }
        }
    }
    assert!(missing.is_empty(), "{}", missing.join("\n"));
}

#[test]
fn anchors_are_made_as_github_makes_them() {
    let text = "# One `PUT` of an instance\n\n## A, b & c\n\n## A, b & c\n\n<a id=\"x\"></a>y [z](w.md#v)\n\n```\n# none\n```\n";
    let document = Document::read(text);
    let anchors: Vec<&str> = document.anchors.iter().map(String::as_str).collect();
    assert_eq!(anchors, ["a-b--c", "a-b--c-1", "one-put-of-an-instance", "x"]);
    assert_eq!(document.links, ["w.md#v"]);
}
