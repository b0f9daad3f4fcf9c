//! Pages for people: what is under `/`, and the pages of the handbook that users of the API need (reasons, SKUs).

use std::sync::OnceLock;

use axum::http::{HeaderMap, header};
use bytes::Bytes;
use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd, html};
use serde_json::{Value, json};

/// The product, as its pages call it.
pub(crate) const PRODUCT: &str = "secapi-proxy-hetzner";

/// The style sheet of all of them.
pub(super) const STYLE: &str = include_str!("page.css");

/// A page that is Markdown for those who read the repository. The copy here is part of the package, and a test keeps it current.
struct Kept {
    name: &'static str,
    title: &'static str,
    markdown: &'static str,
    made: OnceLock<Bytes>,
}

static KEPT: [Kept; 2] = [
    Kept { name: "reasons", title: "Reasons", markdown: include_str!("handbook/reasons.md"), made: OnceLock::new() },
    Kept { name: "skus", title: "SKUs", markdown: include_str!("handbook/skus.md"), made: OnceLock::new() },
];

/// The page of a name below `/docs/`, as a browser takes it.
pub(super) fn kept(name: &str) -> Option<Bytes> {
    let page = KEPT.iter().find(|page| page.name == name)?;
    Some(page.made.get_or_init(|| from_markdown(page.title, page.markdown).into()).clone())
}

fn from_markdown(title: &str, markdown: &str) -> String {
    let mut body = String::new();
    // Links do not nest, so that one word tells whether the link that ends leads somewhere.
    let mut leads = true;
    let events = Parser::new_ext(markdown, Options::ENABLE_TABLES).filter_map(|event| match event {
        Event::Start(Tag::Link { link_type, dest_url, title, id }) => {
            let target = followed(&dest_url);
            leads = target.is_some();
            Some(Event::Start(Tag::Link { link_type, dest_url: target?.into(), title, id }))
        }
        Event::End(TagEnd::Link) => leads.then_some(event),
        event => Some(event),
    });
    html::push_html(&mut body, events);
    document(title, "", &format!("<main>\n{body}</main>"))
}

/// Where a link of the handbook leads on this server; none to pages that are in the repository alone.
fn followed(link: &str) -> Option<String> {
    let Some((name, rest)) = link.split_once(".md") else { return Some(link.to_owned()) };
    KEPT.iter().any(|page| page.name == name).then(|| format!("{name}{rest}"))
}

/// A whole page. `folder` leads to the files of the pages.
fn document(title: &str, folder: &str, body: &str) -> String {
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n<title>{title} \u{2013} {PRODUCT}</title>\n\
         <link rel=\"icon\" href=\"{folder}favicon-32x32.png\">\n\
         <link rel=\"stylesheet\" href=\"{folder}page.css\">\n</head>\n<body>\n{}\n{body}\n</body>\n</html>\n",
        navigation(folder)
    )
}

fn navigation(folder: &str) -> String {
    let up = if folder.is_empty() { "../" } else { "./" };
    format!(
        "<header><a href=\"{up}\"><b>{PRODUCT}</b></a> <nav><a href=\"{folder}./\">API</a> \
         <a href=\"{folder}reasons\">Reasons</a> <a href=\"{folder}skus\">SKUs</a></nav></header>"
    )
}

/// The page that shows the OpenAPI documents. Its code and its styles are files of their own, as the policy wants.
pub(super) fn swagger(title: &str, has_handbook: bool) -> String {
    let navigation = if has_handbook { navigation("") } else { format!("<header><b>{PRODUCT}</b> {title}</header>") };
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n<title>{title} \u{2013} {PRODUCT}</title>\n\
         <link rel=\"icon\" type=\"image/png\" href=\"./favicon-32x32.png\">\n\
         <link rel=\"stylesheet\" href=\"./swagger-ui.css\">\n<link rel=\"stylesheet\" href=\"./page.css\">\n</head>\n\
         <body>\n{navigation}\n<div id=\"swagger-ui\"></div>\n<script src=\"./swagger-ui-bundle.js\"></script>\n\
         <script src=\"./swagger-ui-standalone-preset.js\"></script>\n\
         <script src=\"./swagger-initializer.js\"></script>\n</body>\n</html>\n"
    )
}

/// What `/` tells a browser.
pub(crate) fn root() -> String {
    let body = format!(
        "<main>\n<h1>{PRODUCT}</h1>\n\
         <p>This server speaks the <a href=\"https://spec.secapi.cloud\">Sovereign European Cloud API</a> (SECA), \
         version v1, in front of Hetzner Cloud.</p>\n<ul>\n\
         <li><a href=\"docs/\">The API, to read and to try</a></li>\n\
         <li><a href=\"openapi\">Its OpenAPI documents</a></li>\n\
         <li><a href=\"docs/reasons\">What a reason in a status means</a></li>\n\
         <li><a href=\"docs/skus\">SKUs</a></li>\n\
         <li><a href=\".well-known/secapi\">Where each provider answers</a></li>\n</ul>\n\
         <p>Resources need a bearer token; these pages do not.</p>\n</main>"
    );
    document("SECA", "docs/", &body)
}

/// What `/` tells a program.
pub(crate) fn root_json() -> Value {
    json!({
        "name": PRODUCT,
        "apiVersion": "v1",
        "links": {
            "docs": "/docs/",
            "openapi": "/openapi",
            "reasons": "/docs/reasons",
            "wellKnown": "/.well-known/secapi",
        },
    })
}

/// Whether who asks would rather have a page than JSON: a browser names HTML.
pub(crate) fn wants_page(headers: &HeaderMap) -> bool {
    let mut accepted = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    accepted.any(|value| value.split(',').any(|range| range.trim().starts_with("text/html")))
}
