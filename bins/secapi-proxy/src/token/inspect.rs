//! `secapi-proxy token inspect`: what a token says, and whether this installation would believe it.

use std::{
    fs::File,
    io::{self, IsTerminal as _, Read},
    path::Path,
    sync::Arc,
};

use authentication::{AuthError, Issuers, JwksFetcher, Jwt};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use comfy_table::Table;
use control_plane::service::Caller;
use seca_api::Timestamp;
use serde_json::{Map, Value};

use super::problem;
use crate::{Failure, block_on, cli::InspectArgs, config, edge::SystemClock, issuer_keys::HttpFetcher};

/// More is not read: no token is longer.
const INPUT_BYTES: u64 = 64 * 1024;

/// Prints the header and the claims; with issuers, also the verdict, and fails when it is not "valid".
pub(super) fn run(arguments: &InspectArgs) -> Result<(), Failure> {
    let token = read(arguments.file.as_deref()).map_err(problem)?;
    println!("{}", table(&token).map_err(problem)?);
    let Some(path) = &arguments.issuers else {
        println!("not verified; --issuers FILE says whether it is valid");
        return Ok(());
    };
    let issuers = config::issuers(path).map_err(problem)?;
    match block_on(verify(&issuers, &token))? {
        Ok(caller) => {
            println!("valid: {}", sentence(&caller));
            Ok(())
        }
        Err(error) => {
            let verdict = if matches!(error, AuthError::Unavailable(_)) { "unknown" } else { "invalid" };
            println!("{verdict}: {error}");
            Err(Failure::Said)
        }
    }
}

fn read(path: Option<&Path>) -> Result<String, String> {
    let (what, input): (String, io::Result<Box<dyn Read>>) = match path {
        Some(path) => (format!("--file {}", path.display()), File::open(path).map(|file| Box::new(file) as _)),
        None => ("the standard input".to_owned(), Ok(Box::new(io::stdin()))),
    };
    if path.is_none() && io::stdin().is_terminal() {
        eprintln!("Paste the token, then press Enter and Ctrl-D.");
    }
    let mut text = String::new();
    let read = input.and_then(|input| input.take(INPUT_BYTES).read_to_string(&mut text));
    read.map_err(|error| format!("{what} cannot be read ({error}): it must hold a token and nothing else"))?;
    Ok(text.trim().to_owned())
}

async fn verify(issuers: &Issuers, token: &str) -> anyhow::Result<Result<Caller, AuthError>> {
    let fetcher: Arc<dyn JwksFetcher> = Arc::new(HttpFetcher::new()?);
    let jwt = Jwt::start(issuers, &fetcher, Arc::new(SystemClock))?;
    Ok(jwt.verify(token).await)
}

/// Header and claims, a row each.
///
/// # Errors
/// When it is no JWT; the sentence repeats nothing of it.
fn table(token: &str) -> Result<Table, String> {
    let mut parts = token.split('.');
    let mut object =
        || -> Option<Map<String, Value>> { serde_json::from_slice(&URL_SAFE_NO_PAD.decode(parts.next()?).ok()?).ok() };
    let read = object().zip(object()).filter(|_| token.split('.').count() == 3);
    let (header, claims) = read.ok_or(
        "the input is no signed JWT: it must be three parts with dots between, for example the output of `secapi-proxy token issue`",
    )?;
    let mut table = Table::new();
    table.load_style(comfy_table::presets::UTF8_FULL_CONDENSED).set_header(["part", "name", "value"]);
    for (part, members) in [("header", header), ("claims", claims)] {
        for (name, value) in members {
            table.add_row([part.to_owned(), visible(&name), shown(&name, &value)]);
        }
    }
    Ok(table)
}

/// A value as JSON; of a time, also as people read it.
fn shown(name: &str, value: &Value) -> String {
    let text = visible(&value.to_string());
    let seconds = value.as_i64().filter(|_| ["exp", "nbf", "iat"].contains(&name));
    match seconds.filter(|seconds| (0..=253_402_300_799).contains(seconds)) {
        Some(seconds) => format!("{text} ({})", Timestamp::from_millis(seconds * 1000)),
        None => text,
    }
}

/// A token may come from anywhere: what would steer the terminal is written out.
fn visible(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { c.escape_unicode().to_string() } else { c.to_string() }).collect()
}

fn sentence(caller: &Caller) -> String {
    let within = &caller.within;
    let dimensions = [("tenants", &within.tenants), ("regions", &within.regions), ("workspaces", &within.workspaces)];
    let mut text = format!("subject {}", visible(&caller.subject));
    for (what, names) in dimensions {
        if let Some(names) = names {
            let names: Vec<_> = names.iter().map(|name| visible(name)).collect();
            text.push_str(&format!(", {what} [{}]", names.join(", ")));
        }
    }
    if let Some(end) = caller.expires_at {
        text.push_str(&format!(", until {end} (leeway included)"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(header: &str, claims: &str) -> String {
        format!("{}.{}.AAAA", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims))
    }

    #[test]
    fn header_and_claims_are_shown_without_a_verdict_and_steer_no_terminal() {
        let token = token(r#"{"alg":"none"}"#, "{\"exp\":1700000000,\"sub\":\"a\\u001b[2J\u{9b}2J\"}");
        let text = table(&token).unwrap().to_string();
        assert!(text.contains("\"none\"") && text.contains("1700000000 (2023-11-14T22:13:20.000Z)"), "{text}");
        assert!(!text.contains('\u{1b}') && !text.contains('\u{9b}'), "{text}");
    }

    #[test]
    fn what_is_no_token_is_not_repeated() {
        for text in ["", "secret", "a.b.c", &token("[]", "{}"), &token("{}", "7"), &format!("{}.x", token("{}", "{}"))]
        {
            let sentence = table(text).err().unwrap();
            assert!(sentence.contains("no signed JWT") && !sentence.contains("secret"), "{sentence}");
        }
    }
}
