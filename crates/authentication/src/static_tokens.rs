//! Bearer tokens from a file of hashes.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use async_trait::async_trait;
use control_plane::service::{Caller, Within};
use http::HeaderMap;
use seca_api::{
    TenantName, json,
    names::{SUBJECT_MAX, is_printable},
};
use serde::Deserialize;
use settings::files::{self, PrivateFileError};

use super::{AuthError, Authenticator, TokenHash, bearer};

/// Bearer tokens from a file that knows their hashes only.
///
/// ```json
/// {"tokens": [{"sha256": "<64 hex digits>", "subject": "dev", "tenants": ["dev"]}]}
/// ```
#[derive(Clone)]
pub struct StaticTokens {
    entries: Vec<(TokenHash, Caller)>,
}

/// A token file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TokenFileError {
    /// It cannot be read.
    #[error("the token file {0} cannot be read: {1}; create it with mode 0600")]
    Unreadable(PathBuf, std::io::Error),
    /// Others may read or change it.
    #[error("the token file {path} has mode {mode:04o}; only its owner may read it: chmod 600 {path}", path = .0.display(), mode = .1)]
    Exposed(PathBuf, u32),
    /// Its content does not follow the rules.
    #[error("the token file {path}: {1}", path = .0.display())]
    Content(PathBuf, String),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TokenFile {
    tokens: Vec<TokenEntry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TokenEntry {
    sha256: String,
    subject: String,
    /// Absent: a token for all tenants.
    tenants: Option<Vec<String>>,
}

impl StaticTokens {
    /// Reads a file, which must be its owner's alone.
    ///
    /// # Errors
    /// [`TokenFileError`].
    pub fn load(path: &Path) -> Result<Self, TokenFileError> {
        let text = read_private(path)?;
        Self::parse(&text).map_err(|rule| TokenFileError::Content(path.to_owned(), rule))
    }

    /// Whether nobody has a token: the last one can be withdrawn like any other.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Reads a file's text.
    ///
    /// # Errors
    /// The sentence of the rule that it breaks.
    pub fn parse(text: &str) -> Result<Self, String> {
        let file: TokenFile = serde_json::from_str(text).map_err(|error| {
            let fault = json::fault(&error);
            format!("must be like {{\"tokens\":[{{\"sha256\":\"<64 hex digits>\",\"subject\":\"dev\"}}]}}: {fault}")
        })?;
        let mut entries = Vec::with_capacity(file.tokens.len());
        let mut seen = std::collections::HashSet::new();
        for (index, entry) in file.tokens.into_iter().enumerate() {
            let at = format!("tokens[{index}]");
            let digest = hex(&entry.sha256)
                .ok_or_else(|| format!("{at}.sha256 must be 64 hex digits: the SHA-256 of the token (sha256sum)"))?;
            if !is_printable(&entry.subject, SUBJECT_MAX) {
                return Err(format!("{at}.subject must be 1 to 128 printable characters"));
            }
            if !seen.insert(digest) {
                return Err(format!("{at}.sha256 stands there already; a token has one subject"));
            }
            let tenants = entry.tenants.map(|names| tenants(&at, &names)).transpose()?;
            let within = Within { tenants, ..Within::default() };
            entries.push((TokenHash::of_digest(&digest), Caller { within, ..Caller::new(entry.subject) }));
        }
        Ok(Self { entries })
    }
}

/// The text of a file that must be its owner's alone.
pub(super) fn read_private(path: &Path) -> Result<String, TokenFileError> {
    files::read_private(path).map_err(|error| match error {
        PrivateFileError::Unreadable(error) => TokenFileError::Unreadable(path.to_owned(), error),
        PrivateFileError::Exposed(mode) => TokenFileError::Exposed(path.to_owned(), mode),
    })
}

fn tenants(at: &str, names: &[String]) -> Result<BTreeSet<String>, String> {
    let names: Option<BTreeSet<String>> =
        names.iter().map(|name| TenantName::parse(name).ok().map(TenantName::into_string)).collect();
    names.filter(|names| !names.is_empty()).ok_or_else(|| {
        format!("{at}.tenants must be a list of tenant names, for example [\"dev\"]; leave it out for all tenants")
    })
}

pub(super) fn hex(text: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    let digits: Vec<u8> =
        text.chars().map(|c| c.to_digit(16).and_then(|d| u8::try_from(d).ok())).collect::<Option<_>>()?;
    if digits.len() != 64 {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = pair[0] << 4 | pair[1];
    }
    Some(bytes)
}

#[async_trait]
impl Authenticator for StaticTokens {
    async fn authenticate(&self, headers: &HeaderMap) -> Result<Caller, AuthError> {
        let presented = TokenHash::of(bearer(headers)?);
        // All are compared, whichever matches.
        let mut found = None;
        for (hash, caller) in &self.entries {
            if hash.matches(&presented) {
                found = Some(caller);
            }
        }
        found.cloned().ok_or(AuthError::Rejected)
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt as _};

    use http::header;

    use super::*;

    // sha256("secret")
    const FILE: &str =
        r#"{"tokens":[{"sha256":"2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b","subject":"dev"}]}"#;

    async fn authenticate(values: &[&str]) -> Result<String, AuthError> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(header::AUTHORIZATION, value.parse().unwrap());
        }
        let tokens = StaticTokens::parse(FILE).unwrap();
        tokens.authenticate(&headers).await.map(|caller| caller.subject)
    }

    #[tokio::test]
    async fn one_known_bearer_token_is_a_subject_and_nothing_else_is() {
        assert_eq!(authenticate(&["Bearer secret"]).await.unwrap(), "dev");
        assert_eq!(authenticate(&["bearer  secret "]).await.unwrap(), "dev");
        assert_eq!(authenticate(&[]).await, Err(AuthError::Missing));
        for garbage in ["", "Bearer", "Bearer ", "Basic c2VjcmV0", "secret", "Bearer a b"] {
            assert_eq!(authenticate(&[garbage]).await, Err(AuthError::Malformed), "{garbage}");
        }
        assert_eq!(authenticate(&["Bearer secret", "Bearer secret"]).await, Err(AuthError::Malformed));
        for wrong in ["Bearer secre", "Bearer secrets", "Bearer SECRET"] {
            assert_eq!(authenticate(&[wrong]).await, Err(AuthError::Rejected), "{wrong}");
        }
    }

    #[tokio::test]
    async fn the_last_token_can_be_withdrawn() {
        let nobody = StaticTokens::parse(r#"{"tokens":[]}"#).unwrap();
        let mut headers = HeaderMap::new();
        headers.insert(header::AUTHORIZATION, "Bearer secret".parse().unwrap());
        assert!(nobody.is_empty() && !StaticTokens::parse(FILE).unwrap().is_empty());
        assert_eq!(nobody.authenticate(&headers).await, Err(AuthError::Rejected));
    }

    #[tokio::test]
    async fn a_token_may_be_for_some_tenants_only() {
        let text = FILE.replace(r#""dev"}"#, r#""dev","tenants":["a","b"]}"#);
        let mut headers = HeaderMap::new();
        headers.insert(header::AUTHORIZATION, "Bearer secret".parse().unwrap());
        for (text, tenants) in [(text.as_str(), Some(["a".to_owned(), "b".to_owned()].into())), (FILE, None)] {
            let caller = StaticTokens::parse(text).unwrap().authenticate(&headers).await.unwrap();
            assert_eq!(caller, Caller { within: Within { tenants, ..Within::default() }, ..Caller::new("dev") });
        }
    }

    #[test]
    fn a_token_file_that_breaks_a_rule_says_which() {
        let hash = "a".repeat(64);
        let cases = [
            ("", "must be like"),
            (r#"{"tokens":[{"sha256":"abc","subject":"x"}]}"#, "tokens[0].sha256"),
            (&format!(r#"{{"tokens":[{{"sha256":"{hash}","subject":""}}]}}"#), "tokens[0].subject"),
            (
                &format!(r#"{{"tokens":[{{"sha256":"{hash}","subject":"a"}},{{"sha256":"{hash}","subject":"b"}}]}}"#),
                "tokens[1]",
            ),
            (r#"{"tokens":[{"token":"plain","subject":"x"}]}"#, "must be like"),
            (r#"{"tokens":["plain"]}"#, "line 1, column 18"),
            (r#"{"plain":[]}"#, "must be like"),
            (&format!(r#"{{"tokens":[{{"sha256":"{hash}","subject":"a","tenants":[]}}]}}"#), "tokens[0].tenants"),
            (&format!(r#"{{"tokens":[{{"sha256":"{hash}","subject":"a","tenants":["*"]}}]}}"#), "tokens[0].tenants"),
        ];
        for (text, part) in cases {
            let error = StaticTokens::parse(text).err().unwrap();
            assert!(error.contains(part), "{text}: {error}");
            assert!(!error.contains("plain"), "what may be a token is not repeated: {error}");
        }
    }

    #[test]
    fn a_token_file_that_others_may_read_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokens.json");
        assert!(matches!(StaticTokens::load(&path), Err(TokenFileError::Unreadable(..))));
        fs::write(&path, FILE).unwrap();
        for (mode, fine) in [(0o600, true), (0o400, true), (0o640, false), (0o604, false), (0o660, false)] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(StaticTokens::load(&path).is_ok(), fine, "{mode:o}");
        }
        let error = StaticTokens::load(&path).err().unwrap().to_string();
        assert!(error.contains("0660") && error.contains("chmod 600"), "{error}");
    }
}
