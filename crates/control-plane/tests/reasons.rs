//! The page of reasons says what the table says.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use std::{env, fmt::Write, fs, path::Path};

use control_plane::Reason;

fn page() -> String {
    let mut page = "# Reasons\n\n\
        <!-- Generated from crates/control-plane/src/reason.rs: UPDATE_DOCS=1 cargo test -p control-plane --test reasons -->\n\n\
        The newest entry of `status.conditions` carries a `reason`, a word of this closed list, and a `message`, a sentence \
        about the case at hand. A reason beside the state `active` tells what is not in effect, or was decided for you.\n\n\
        | reason | what it means | what helps |\n|---|---|---|\n"
        .to_owned();
    let mut reasons = Reason::ALL.to_vec();
    reasons.sort_by_key(|reason| reason.as_str());
    for reason in reasons {
        writeln!(page, "| `{}` | {} | {} |", reason.as_str(), reason.meaning(), reason.remedy()).unwrap();
    }
    page.replace("{provider}", "Hetzner Cloud")
}

#[test]
fn the_page_of_reasons_is_current() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reasons.md");
    if env::var_os("UPDATE_DOCS").is_some() {
        fs::write(&path, page()).unwrap();
    }
    let written = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        written == page(),
        "docs/reasons.md is stale; run UPDATE_DOCS=1 cargo test -p control-plane --test reasons"
    );
}
