//! `secapi-proxy token`: an installation without an identity provider issues its own short-lived tokens.
//!
//! The private key stays where tokens are issued; the server only ever reads public keys. A token leaves on the
//! standard output and comes in on the standard input or from a file, never as an argument, which other users see.

mod inspect;
mod signing_key;

use std::{collections::BTreeSet, path::Path};

use ::settings::Problem;
use control_plane::ports::Clock as _;
use seca_api::{
    RegionName, TenantName, WorkspaceName,
    names::{SUBJECT_MAX, is_printable},
};
use serde_json::{Map, Value, json};

use crate::{
    Failure,
    cli::{IssueArgs, TokenCommand},
    edge::{SystemClock, SystemRng},
};
use signing_key::SigningKey;

/// Does what is asked.
pub(crate) fn run(command: &TokenCommand) -> Result<(), Failure> {
    match command {
        TokenCommand::Keygen(arguments) => keygen(&arguments.out),
        TokenCommand::Issue(arguments) => issue(arguments),
        TokenCommand::Inspect(arguments) if !arguments.misplaced.is_empty() => Err(problem(
            "a token is no argument, which other users see: give it on the standard input or in a file, for example secapi-proxy token inspect < token".to_owned(),
        )),
        TokenCommand::Inspect(arguments) => inspect::run(arguments),
    }
}

fn keygen(path: &Path) -> Result<(), Failure> {
    let key = SigningKey::generate(path, &SystemRng::new()).map_err(problem)?;
    println!("{:#}", key.jwks());
    Ok(())
}

fn issue(arguments: &IssueArgs) -> Result<(), Failure> {
    let key = SigningKey::load(&arguments.key).map_err(problem)?;
    let now = SystemClock.now().as_millis().div_euclid(1000);
    let claims = claims(arguments, now, &SystemRng::new().token(16)).map_err(problem)?;
    println!("{}", key.sign(&claims));
    Ok(())
}

fn problem(sentence: String) -> Failure {
    Failure::Settings(vec![Problem::new(sentence)])
}

/// The claims of a token that begins now, in seconds since 1970.
fn claims(arguments: &IssueArgs, now: i64, id: &str) -> Result<Value, String> {
    let seconds = i64::try_from(arguments.expires.as_secs()).unwrap_or(i64::MAX);
    let mut claims = json!({
        "iss": word("--issuer", &arguments.issuer, "https://seca.example.org")?,
        "aud": word("--audience", &arguments.audience, "seca")?,
        "sub": subject(&arguments.subject)?,
        "iat": now,
        "nbf": now,
        "exp": now.saturating_add(seconds),
        "jti": id,
    });
    if let Some(list) = &arguments.tenants {
        claims["tenants"] = json!(names("--tenants", list, "dev,prod", |name| TenantName::parse(name).is_ok())?);
    }
    let mut scope = Map::new();
    if let Some(list) = &arguments.regions {
        let regions = names("--regions", list, "fsn1,nbg1", |name| RegionName::parse(name).is_ok())?;
        scope.insert("regions".to_owned(), json!(regions));
    }
    if let Some(list) = &arguments.workspaces {
        let workspaces = names("--workspaces", list, "demo", |name| WorkspaceName::parse(name).is_ok())?;
        scope.insert("workspaces".to_owned(), json!(workspaces));
    }
    if !scope.is_empty() {
        claims["scope"] = scope.into();
    }
    Ok(claims)
}

fn word<'a>(flag: &str, text: &'a str, example: &str) -> Result<&'a str, String> {
    let good = (1..=256).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
    good.then_some(text).ok_or_else(|| {
        format!("{flag} is {text:?}: it must be 1 to 256 visible characters without spaces, for example {example}")
    })
}

fn subject(text: &str) -> Result<&str, String> {
    is_printable(text, SUBJECT_MAX).then_some(text).ok_or_else(|| {
        format!("--subject is {text:?}: it must be 1 to 128 printable characters, for example ada@example.org")
    })
}

/// A list of names. An empty one would be a token for nothing, which nobody means.
fn names<'a>(
    flag: &str,
    list: &'a str,
    example: &str,
    is_name: impl Fn(&str) -> bool,
) -> Result<BTreeSet<&'a str>, String> {
    let names: BTreeSet<&str> = list.split(',').map(str::trim).collect();
    if names.iter().all(|name| is_name(name)) {
        return Ok(names);
    }
    Err(format!("{flag} is {list:?}: it must be a comma-separated list of names, for example {example}"))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn arguments() -> IssueArgs {
        IssueArgs {
            key: "key.json".into(),
            issuer: "https://seca.example.org".to_owned(),
            audience: "seca".to_owned(),
            subject: "ada".to_owned(),
            tenants: None,
            regions: None,
            workspaces: None,
            expires: Duration::from_secs(3600),
        }
    }

    #[test]
    fn a_token_claims_what_was_asked_for_and_nothing_else() {
        let plain = json!({
            "iss": "https://seca.example.org", "aud": "seca", "sub": "ada", "iat": 100, "nbf": 100, "exp": 3700,
            "jti": "id",
        });
        assert_eq!(claims(&arguments(), 100, "id").unwrap(), plain);
        let narrow = IssueArgs {
            tenants: Some("dev, prod".to_owned()),
            regions: Some("fsn1".to_owned()),
            workspaces: Some("demo".to_owned()),
            ..arguments()
        };
        let claims = claims(&narrow, 100, "id").unwrap();
        assert_eq!(claims["tenants"], json!(["dev", "prod"]));
        assert_eq!(claims["scope"], json!({"regions": ["fsn1"], "workspaces": ["demo"]}));
    }

    #[test]
    fn a_wrong_flag_is_one_sentence_with_the_rule_and_an_example() {
        let check = |change: fn(&mut IssueArgs), flag: &str| {
            let mut arguments = arguments();
            change(&mut arguments);
            let sentence = claims(&arguments, 0, "id").unwrap_err();
            assert!(sentence.starts_with(flag) && sentence.contains("for example"), "{sentence}");
        };
        check(|a| a.issuer = String::new(), "--issuer");
        check(|a| a.audience = "two words".to_owned(), "--audience");
        check(|a| a.subject = "a\nb".to_owned(), "--subject");
        check(|a| a.subject = "x".repeat(129), "--subject");
        check(|a| a.tenants = Some(String::new()), "--tenants");
        check(|a| a.tenants = Some("dev,*".to_owned()), "--tenants");
        check(|a| a.regions = Some("fsn1,".to_owned()), "--regions");
        check(|a| a.workspaces = Some("no name".to_owned()), "--workspaces");
    }
}
