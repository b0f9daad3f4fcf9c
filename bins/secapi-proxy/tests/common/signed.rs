//! Signed tokens by the commands of the binary, and a proxy that believes them.

use std::process::Output;

use serde_json::{Value, json};

use super::proxy::{Setup, TENANT};

/// Who issues, for [`issuers`] and [`jwt`].
pub const ISSUER: &str = "https://seca.example.org";

/// The least that `token issue` needs.
pub fn issue<'a>(key: &'a str, issuer: &'a str, audience: &'a str) -> [&'a str; 10] {
    ["token", "issue", "--key", key, "--issuer", issuer, "--audience", audience, "--subject", "ada"]
}

fn run(setup: &Setup, arguments: &[&str]) -> Output {
    setup.command(arguments).output().unwrap()
}

/// The standard output of a command that does, and says nothing else.
pub fn answer(setup: &Setup, arguments: &[&str]) -> String {
    let output = run(setup, arguments);
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", text(output.stderr));
    assert_eq!(text(output.stderr), "");
    text(output.stdout)
}

/// The token that a command issues.
pub fn token(setup: &Setup, arguments: &[&str]) -> String {
    let text = answer(setup, arguments);
    let token = text.strip_suffix('\n').unwrap();
    assert!(token.split('.').count() == 3 && !token.contains(char::is_whitespace), "a token and nothing else: {text}");
    token.to_owned()
}

/// The text of a file of one issuer, with where its `keys` are.
pub fn issuers(keys: &Value) -> String {
    let mut issuer = json!({"name": "own", "issuer": ISSUER, "audience": "seca", "algorithms": ["EdDSA"]});
    for (name, value) in keys.as_object().unwrap() {
        issuer[name] = value.clone();
    }
    json!({"issuers": [issuer]}).to_string()
}

/// Of a proxy that believes the issuers in `issuers.json` and has `ada` for an administrator.
pub fn jwt(setup: Setup) -> Setup {
    let setup = setup.without("SECA_AUTH_TOKENS_FILE").with("SECA_AUTH_MODE", "jwt");
    setup.with("SECA_AUTH_ISSUERS_FILE", "issuers.json").with("SECA_BOOTSTRAP_ADMIN", &format!("{TENANT}/ada"))
}
