//! The bearer tokens of operators: one of the settings, and any number of named ones from a file of hashes.

use std::{collections::HashSet, path::Path, sync::Arc};

use seca_api::json;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;

use super::{
    Followed, TokenFileError, TokenHash,
    static_tokens::{hex, read_private},
};

/// The name of whoever has the token of the settings.
pub const DEFAULT_ADMIN: &str = "default";

/// Operators' tokens, each with the name of its holder, which activities repeat. The file is followed, so that a token
/// is added and withdrawn without a restart.
///
/// ```json
/// {"tokens": [{"name": "alice", "sha256": "<64 hex digits>"}]}
/// ```
///
/// A name may stand there more than once: with two tokens, its holder goes from one to the next. The file may name
/// nobody while there is another way in: to withdraw the last token must be possible.
#[derive(Clone)]
pub struct AdminTokens {
    default: Option<TokenHash>,
    named: Option<Arc<Followed<NamedTokens>>>,
}

impl AdminTokens {
    /// From the token of the settings and the file, of which there should be one.
    ///
    /// # Errors
    /// [`TokenFileError`].
    pub fn open(default: Option<&SecretString>, file: Option<&Path>) -> Result<Self, TokenFileError> {
        let named = file.map(|path| Followed::open(path, NamedTokens::load)).transpose()?;
        let default = default.map(|token| TokenHash::of(token.expose_secret()));
        Ok(Self { default, named: named.map(Arc::new) })
    }

    /// How many named tokens a file holds.
    ///
    /// # Errors
    /// [`TokenFileError`].
    pub fn count(path: &Path) -> Result<usize, TokenFileError> {
        NamedTokens::load(path).map(|tokens| tokens.0.len())
    }

    /// The name of a token's holder. All are compared, whichever matches.
    #[must_use]
    pub fn holder(&self, token: &str) -> Option<String> {
        let presented = TokenHash::of(token);
        let mut found = None;
        if let Some(named) = &self.named {
            for (hash, name) in &named.current().0 {
                if hash.matches(&presented) {
                    found = Some(name.clone());
                }
            }
        }
        if self.default.as_ref().is_some_and(|hash| hash.matches(&presented)) {
            found = Some(DEFAULT_ADMIN.to_owned());
        }
        found
    }
}

/// The tokens of a file.
struct NamedTokens(Vec<(TokenHash, String)>);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    tokens: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    name: String,
    sha256: String,
}

impl NamedTokens {
    fn load(path: &Path) -> Result<Self, TokenFileError> {
        let text = read_private(path)?;
        Self::parse(&text).map_err(|rule| TokenFileError::Content(path.to_owned(), rule))
    }

    fn parse(text: &str) -> Result<Self, String> {
        let file: File = serde_json::from_str(text).map_err(|error| {
            let fault = json::fault(&error);
            format!("must be like {{\"tokens\":[{{\"name\":\"alice\",\"sha256\":\"<64 hex digits>\"}}]}}: {fault}")
        })?;
        let mut seen = HashSet::new();
        let mut tokens = Vec::with_capacity(file.tokens.len());
        for (index, entry) in file.tokens.into_iter().enumerate() {
            let at = format!("tokens[{index}]");
            if !is_holder(&entry.name) {
                return Err(format!(
                    "{at}.name must be 1 to 64 letters, digits, dots, hyphens, underscores or at signs, and not \
                     `{DEFAULT_ADMIN}`, which is the holder of SECA_ADMIN_TOKEN"
                ));
            }
            let digest = hex(&entry.sha256)
                .ok_or_else(|| format!("{at}.sha256 must be 64 hex digits: the SHA-256 of the token (sha256sum)"))?;
            if !seen.insert(digest) {
                return Err(format!("{at}.sha256 stands there already; a token has one holder"));
            }
            tokens.push((TokenHash::of_digest(&digest), entry.name));
        }
        Ok(Self(tokens))
    }
}

fn is_holder(name: &str) -> bool {
    (1..=64).contains(&name.len())
        && name != DEFAULT_ADMIN
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b'@'))
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt as _, time::Duration};

    use super::*;

    // sha256("secret")
    const HASH: &str = "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b";

    #[test]
    fn a_file_that_breaks_a_rule_says_which() {
        let name = |name: &str| format!(r#"{{"tokens":[{{"name":"{name}","sha256":"{HASH}"}}]}}"#);
        let twice = format!(r#"{{"tokens":[{{"name":"a","sha256":"{HASH}"}},{{"name":"b","sha256":"{HASH}"}}]}}"#);
        let cases = [
            (String::new(), "must be like"),
            (r#"{"tokens":[{"name":"a","token":"plain"}]}"#.to_owned(), "must be like"),
            (r#"{"tokens":[{"name":"a","plain":"x"}]}"#.to_owned(), "must be like"),
            (r#"{"tokens":["plain"]}"#.to_owned(), "line 1, column 18"),
            (r#"{"tokens":[{"name":"a","sha256":"abc"}]}"#.to_owned(), "tokens[0].sha256"),
            (name(""), "tokens[0].name"),
            (name("default"), "SECA_ADMIN_TOKEN"),
            (name("a b"), "tokens[0].name"),
            (name(&"a".repeat(65)), "tokens[0].name"),
            (twice, "tokens[1].sha256"),
        ];
        for (text, part) in cases {
            let error = NamedTokens::parse(&text).err().unwrap();
            assert!(error.contains(part), "{text}: {error}");
            assert!(!error.contains("plain"), "what may be a token is not repeated: {error}");
        }
        for good in [name("alice"), name("ci@example.org"), r#"{"tokens":[]}"#.to_owned()] {
            assert!(NamedTokens::parse(&good).is_ok(), "{good}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_token_has_one_holder_and_the_file_may_change() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("admins.json");
        let write = |text: &str| {
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        };
        write(&format!(r#"{{"tokens":[{{"name":"alice","sha256":"{HASH}"}}]}}"#));
        let tokens = AdminTokens::open(Some(&"first".to_owned().into()), Some(&path)).unwrap();
        let holder = |token: &str| tokens.holder(token);
        assert_eq!(holder("first").as_deref(), Some("default"));
        assert_eq!(holder("secret").as_deref(), Some("alice"));
        for wrong in ["", "secre", "secrets", "SECRET", HASH] {
            assert_eq!(holder(wrong), None, "{wrong}");
        }
        write(r#"{"tokens":[]}"#);
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!((holder("secret"), holder("first").as_deref()), (None, Some("default")));

        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(matches!(AdminTokens::open(None, Some(&path)), Err(TokenFileError::Exposed(..))));
        assert!(AdminTokens::open(None, None).unwrap().holder("first").is_none());
    }
}
