//! The issuers whose tokens are believed, and for what: the file that `SECA_AUTH_ISSUERS_FILE` names.
//!
//! A file of its own, because an issuer has a handful of facts that belong together and must not be mixed up with
//! another's.

use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
};

use http_support::is_loopback;
use seca_api::TenantName;
use serde::Deserialize;
use url::Url;

use super::key_set::Algorithm;

/// Where an issuer's keys are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyLocation {
    /// At its JWKS URL.
    Url(Url),
    /// In a file: a JWK set, or PEM.
    File(PathBuf),
}

/// Who may issue tokens, and which of them are for us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issuer {
    /// Its name here. With more than one issuer it begins the subjects: `name:sub`.
    pub name: String,
    /// Its `iss`.
    pub issuer: String,
    /// The values of `aud` that mean us.
    pub audience: BTreeSet<String>,
    /// How its tokens may be signed.
    pub algorithms: BTreeSet<Algorithm>,
    /// Its keys.
    pub keys: KeyLocation,
    /// The tenants that it may speak for; none: all.
    pub tenants: Option<BTreeSet<String>>,
}

/// The issuers, at least one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issuers(Vec<Issuer>);

/// A file of issuers cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum IssuersFileError {
    /// It cannot be read.
    #[error("the issuers file {path} cannot be read: {1}", path = .0.display())]
    Unreadable(PathBuf, io::Error),
    /// Its content does not follow the rules.
    #[error("the issuers file {path}: {1}", path = .0.display())]
    Content(PathBuf, String),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    issuers: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    name: String,
    issuer: String,
    audience: Audience,
    algorithms: Vec<String>,
    jwks_url: Option<String>,
    keys_file: Option<PathBuf>,
    tenants: Option<Vec<String>>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Any(Vec<String>),
}

impl Issuers {
    /// Reads a file. A relative `keys_file` is beside it.
    ///
    /// # Errors
    /// [`IssuersFileError`].
    pub fn load(path: &Path) -> Result<Self, IssuersFileError> {
        let text = fs::read_to_string(path).map_err(|error| IssuersFileError::Unreadable(path.to_owned(), error))?;
        let folder = path.parent().unwrap_or(Path::new(""));
        Self::parse(&text, folder).map_err(|rule| IssuersFileError::Content(path.to_owned(), rule))
    }

    /// Reads a file's text; `folder` is where the file is.
    ///
    /// # Errors
    /// The sentence of the rule that it breaks.
    pub fn parse(text: &str, folder: &Path) -> Result<Self, String> {
        let file: File = serde_json::from_str(text).map_err(|error| {
            format!(
                "it must be like {{\"issuers\":[{{\"name\":\"corp\",\"issuer\":\"https://id.example.org\",\"audience\":\"seca\",\"algorithms\":[\"ES256\"],\"jwks_url\":\"https://id.example.org/jwks.json\"}}]}}: {error}"
            )
        })?;
        if file.issuers.is_empty() {
            return Err("it names no issuer, so nobody could use the API; it must name at least one".to_owned());
        }
        let mut issuers = Vec::with_capacity(file.issuers.len());
        for (at, entry) in file.issuers.into_iter().enumerate() {
            let issuer = entry.judge(folder).map_err(|rule| format!("issuers[{at}].{rule}"))?;
            if issuers.iter().any(|other: &Issuer| other.name == issuer.name) {
                return Err(format!("issuers[{at}].name must be another one than that of the issuers before it"));
            }
            if issuers.iter().any(|other: &Issuer| other.issuer == issuer.issuer) {
                return Err(format!("issuers[{at}].issuer stands there already; list each once, with all audiences"));
            }
            issuers.push(issuer);
        }
        Ok(Self(issuers))
    }

    /// The issuers.
    pub fn iter(&self) -> impl Iterator<Item = &Issuer> {
        self.0.iter()
    }

    /// Whether subjects begin with the issuer's name: with more than one, or each could mint the other's admin.
    pub(crate) fn qualify_subjects(&self) -> bool {
        self.0.len() > 1
    }
}

impl Entry {
    fn judge(self, folder: &Path) -> Result<Issuer, String> {
        // No colon, so that the first one in a subject ends the name.
        let name_is_good = (1..=32).contains(&self.name.len())
            && self.name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        if !name_is_good {
            return Err("name must be 1 to 32 of a-z, 0-9 and -, for example corp".to_owned());
        }
        if !is_text(&self.issuer) {
            return Err(
                "issuer must be the `iss` of its tokens to the letter, for example https://id.example.org".to_owned()
            );
        }
        let audience: BTreeSet<String> = match self.audience {
            Audience::One(audience) => BTreeSet::from([audience]),
            Audience::Any(audiences) => audiences.into_iter().collect(),
        };
        if audience.is_empty() || !audience.iter().all(|audience| is_text(audience)) {
            return Err(
                "audience must be the `aud` that means this installation, or a list of them, for example [\"seca\"]"
                    .to_owned(),
            );
        }
        let algorithms: Option<BTreeSet<Algorithm>> = self.algorithms.iter().map(|name| algorithm(name)).collect();
        let Some(algorithms) = algorithms.filter(|algorithms| !algorithms.is_empty()) else {
            return Err("algorithms must list some of EdDSA, ES256 and RS256, for example [\"ES256\"]".to_owned());
        };
        let keys = match (self.jwks_url, self.keys_file) {
            (Some(url), None) => KeyLocation::Url(jwks_url(&url).ok_or(
                "jwks_url must be an https URL (or http on a loopback address) without user and fragment, for example https://id.example.org/jwks.json",
            )?),
            (None, Some(path)) => KeyLocation::File(folder.join(path)),
            _ => return Err("jwks_url or keys_file must be given, and not both: the URL of a JWK set, for example https://id.example.org/jwks.json, or the path of one or of a PEM file".to_owned()),
        };
        let tenants = self.tenants.map(|names| names.iter().map(|name| tenant(name)).collect::<Option<BTreeSet<_>>>());
        if tenants.as_ref().is_some_and(|tenants| tenants.as_ref().is_none_or(BTreeSet::is_empty)) {
            return Err("tenants must be a list of tenant names, for example [\"dev\"]; leave it out for all tenants"
                .to_owned());
        }
        Ok(Issuer { name: self.name, issuer: self.issuer, audience, algorithms, keys, tenants: tenants.flatten() })
    }
}

fn is_text(text: &str) -> bool {
    (1..=256).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

fn algorithm(name: &str) -> Option<Algorithm> {
    match name {
        "EdDSA" => Some(Algorithm::EdDSA),
        "ES256" => Some(Algorithm::ES256),
        "RS256" => Some(Algorithm::RS256),
        _ => None,
    }
}

fn tenant(name: &str) -> Option<String> {
    TenantName::parse(name).ok().map(TenantName::into_string)
}

fn jwks_url(text: &str) -> Option<Url> {
    let url = Url::parse(text).ok()?;
    let good = url.has_host() && (url.scheme() == "https" || url.scheme() == "http" && is_loopback(&url));
    let bare = url.username().is_empty() && url.password().is_none() && url.fragment().is_none();
    (good && bare).then_some(url)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn good() -> Value {
        json!({
            "name": "corp", "issuer": "https://id.example.org", "audience": "seca", "algorithms": ["EdDSA", "ES256"],
            "jwks_url": "https://id.example.org/jwks.json", "tenants": ["dev"],
        })
    }

    fn with(changes: &Value) -> Value {
        let mut entry = good();
        for (name, value) in changes.as_object().unwrap() {
            entry[name] = value.clone();
        }
        entry
    }

    fn parse(entries: &[Value]) -> Result<Issuers, String> {
        Issuers::parse(&json!({"issuers": entries}).to_string(), Path::new("/etc/secapi"))
    }

    #[track_caller]
    fn check(changes: Value, part: &str) {
        let mut entry = with(&changes);
        entry.as_object_mut().unwrap().retain(|_, value| !value.is_null());
        let error = parse(&[entry]).err().unwrap_or_else(|| panic!("{changes} is accepted"));
        assert!(error.contains(part), "{changes}: {error}");
        assert!(error.contains("for example") || error.contains("like"), "no remedy: {error}");
    }

    #[test]
    fn an_issuer_is_read_with_one_audience_or_several() {
        let many = with(&json!({
            "name": "iam", "issuer": "iam", "audience": ["seca", "https://seca.example.org"], "jwks_url": null,
            "keys_file": "iam.pem", "tenants": null,
        }));
        let mut many = many;
        many.as_object_mut().unwrap().retain(|_, value| !value.is_null());
        let issuers = parse(&[good(), many]).unwrap();
        let [corp, iam] = issuers.0.as_slice() else { panic!() };
        assert_eq!(corp.audience, BTreeSet::from(["seca".to_owned()]));
        assert_eq!(corp.tenants, Some(BTreeSet::from(["dev".to_owned()])));
        assert_eq!((iam.audience.len(), &iam.tenants), (2, &None));
        assert_eq!(iam.keys, KeyLocation::File("/etc/secapi/iam.pem".into()));
        assert!(issuers.qualify_subjects() && !parse(&[good()]).unwrap().qualify_subjects());
    }

    #[test]
    fn an_issuers_file_that_breaks_a_rule_says_which() {
        check(json!({"name": ""}), "issuers[0].name");
        check(json!({"name": "a:b"}), "issuers[0].name");
        check(json!({"name": null}), "must be like");
        check(json!({"issuer": ""}), "issuers[0].issuer");
        check(json!({"audience": []}), "issuers[0].audience");
        check(json!({"audience": "two words"}), "issuers[0].audience");
        check(json!({"audience": null}), "must be like");
        check(json!({"algorithms": []}), "issuers[0].algorithms");
        for name in ["none", "HS256", "RS512", "PS256", "eddsa"] {
            check(json!({"algorithms": ["ES256", name]}), "issuers[0].algorithms");
        }
        check(json!({"tenants": []}), "issuers[0].tenants");
        check(json!({"tenants": ["*"]}), "issuers[0].tenants");
        check(json!({"jwks_url": null}), "issuers[0].jwks_url");
        check(json!({"keys_file": "keys.json"}), "issuers[0].jwks_url");
        for url in [
            "http://id.example.org/jwks.json",
            "http://127.0.0.1.example.org/",
            "https://user:secret@id.example.org/",
            "https://id.example.org/#a",
            "file:///etc/passwd",
            "id.example.org",
        ] {
            check(json!({"jwks_url": url}), "issuers[0].jwks_url");
        }
        check(json!({"secret": "x"}), "must be like");
        for url in ["http://127.0.0.1:9/jwks", "http://[::1]/jwks", "http://localhost/jwks"] {
            assert!(parse(&[with(&json!({"jwks_url": url}))]).is_ok(), "{url}");
        }
    }

    #[test]
    fn names_and_issuers_stand_there_once() {
        assert!(parse(&[]).unwrap_err().contains("no issuer"));
        assert!(parse(&[good(), with(&json!({"issuer": "other"}))]).unwrap_err().contains("issuers[1].name"));
        assert!(parse(&[good(), with(&json!({"name": "other"}))]).unwrap_err().contains("issuers[1].issuer"));
    }
}
