#![doc = include_str!("../README.md")]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]
//!
//! An empty variable counts as unset, because compose files and shells leave such ones behind.

pub mod changes;
pub mod duration;
pub mod files;

use std::{borrow::Cow, collections::BTreeMap, fmt, fs, io, path::Path};

pub use duration::{parse_duration, show_duration};
use secrecy::SecretString;
#[cfg(feature = "log")]
use tracing_subscriber::EnvFilter;
use url::Url;

/// What a setting must be. The texts complete a sentence: "it must be `rule`, for example `example`".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    /// The variable.
    pub name: &'static str,
    /// What its value must be.
    pub rule: &'static str,
    /// A value that would do.
    pub example: &'static str,
}

/// What is wrong with a setting: one sentence with the variable, the rule and an example.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Problem(String);

impl Problem {
    /// A problem in words of its own.
    pub fn new(sentence: impl Into<String>) -> Self {
        Self(sentence.into())
    }

    /// It is not set.
    pub fn missing(rule: Rule) -> Self {
        Self(format!("{} is not set: it must be {}, for example {}", rule.name, rule.rule, rule.example))
    }

    /// Its value is not what it must be. `source` names the variable, flag or file entry that was read.
    pub fn wrong(source: &str, rule: Rule, value: &str) -> Self {
        let value = without_password(value);
        Self(format!("{source} is {value:?}: it must be {}, for example {}", rule.rule, rule.example))
    }

    /// The same for a secret, whose value is not repeated; `what` says what is wrong with it.
    pub fn wrong_secret(source: &str, rule: Rule, what: impl fmt::Display) -> Self {
        Self(format!("{source} cannot be used ({what}): it must be {}, for example {}", rule.rule, rule.example))
    }
}

/// A value as it may be repeated: what stands before an `@` in a URL's authority may be a password.
fn without_password(value: &str) -> Cow<'_, str> {
    let Some((scheme, rest)) = value.split_once("//") else { return Cow::Borrowed(value) };
    let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    match authority.rsplit_once('@') {
        Some((_, host)) => Cow::Owned(format!("{scheme}//…@{host}{path}")),
        None => Cow::Borrowed(value),
    }
}

/// The variables of a process: those of ours alone, so that nothing else is carried around.
#[derive(Clone, Default)]
pub struct Environment(BTreeMap<String, String>);

/// What the names of our variables begin with.
const PREFIXES: [&str; 3] = ["SECA_", "HCLOUD_", "HETZNER_"];

impl Environment {
    /// The variables of this process.
    pub fn of_process() -> Self {
        let ours = |name: &String| PREFIXES.iter().any(|prefix| name.starts_with(prefix));
        let text = |os: std::ffi::OsString| os.to_string_lossy().into_owned();
        Self(
            std::env::vars_os().map(|(name, value)| (text(name), text(value))).filter(|(name, _)| ours(name)).collect(),
        )
    }

    /// The value of a variable that is set and not empty.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str).filter(|value| !value.trim().is_empty())
    }

    /// The names of those that are set, empty ones left out.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter(|(_, value)| !value.trim().is_empty()).map(|(name, _)| name.as_str())
    }

    /// A secret: from the variable itself, else from the file that `<name>_FILE` names (without its last line
    /// end).
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn secret(&self, name: &str) -> Result<Option<SecretString>, Problem> {
        if let Some(value) = self.get(name) {
            return Ok(Some(SecretString::from(value)));
        }
        let file = format!("{name}_FILE");
        let Some(path) = self.get(&file) else { return Ok(None) };
        match read_secret(Path::new(path)) {
            Ok(secret) => Ok(Some(secret)),
            Err(error) => Err(Problem::new(format!(
                "{file} names {path:?}, which cannot be read ({error}): it must be the path of a readable file that \
                 holds the value of {name}, for example /run/secrets/{}",
                name.to_ascii_lowercase()
            ))),
        }
    }
}

impl<K: Into<String>, V: Into<String>> FromIterator<(K, V)> for Environment {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(pairs: I) -> Self {
        Self(pairs.into_iter().map(|(name, value)| (name.into(), value.into())).collect())
    }
}

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// Reads a secret from a file, without its last line end.
///
/// # Errors
/// When the file cannot be read, is not text, or is empty.
pub fn read_secret(path: &Path) -> io::Result<SecretString> {
    let text = fs::read_to_string(path)?;
    let secret = text.trim_end_matches(['\r', '\n']);
    if secret.is_empty() { Err(io::Error::other("it is empty")) } else { Ok(SecretString::from(secret)) }
}

/// What a log may be filtered by: comma-separated levels, each alone or of a module (`info,hyper=debug`). A lone word that
/// is no level would be taken for a module, and would silence all others.
#[cfg(feature = "log")]
pub fn parse_log_filter(text: &str) -> Option<EnvFilter> {
    const LEVELS: [&str; 6] = ["error", "warn", "info", "debug", "trace", "off"];
    let is_level = |word: &str| LEVELS.iter().any(|level| level.eq_ignore_ascii_case(word));
    let is_directive = |text: &str| match text.rsplit_once('=') {
        Some((module, level)) => !module.is_empty() && is_level(level),
        None => is_level(text),
    };
    text.split(',').all(is_directive).then(|| EnvFilter::try_new(text).ok()).flatten()
}

/// Reads the base URL of an HTTP API: `http` or `https`, with a host, without user, query and fragment. A
/// trailing slash is cut.
pub fn parse_base_url(text: &str) -> Option<Url> {
    let url = Url::parse(text.trim().trim_end_matches('/')).ok()?;
    let plain =
        url.username().is_empty() && url.password().is_none() && url.query().is_none() && url.fragment().is_none();
    (matches!(url.scheme(), "http" | "https") && url.has_host() && plain).then_some(url)
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;

    use super::*;

    #[cfg(feature = "log")]
    #[test]
    fn a_log_is_filtered_by_levels_and_by_no_word_that_is_none() {
        for good in ["info", "WARN", "off", "info,hyper=debug", "hyper=trace", "warn,a::b=info", "info,a[span]=debug"] {
            assert!(parse_log_filter(good).is_some(), "{good}");
        }
        for bad in [
            "warning",
            "verbose",
            "hyper",
            "info,hyper",
            "info,hyper=warning",
            "info,",
            "=info",
            "",
            "info=what=ever",
            "info, a=debug",
        ] {
            assert!(parse_log_filter(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn base_urls_are_http_and_carry_nothing_but_a_host_and_a_path() {
        let good = [("http://127.0.0.1:8081/", "http://127.0.0.1:8081/"), ("https://h/v1/", "https://h/v1")];
        for (text, want) in good {
            assert_eq!(parse_base_url(text).map(String::from).as_deref(), Some(want));
        }
        for text in ["", "127.0.0.1:8081", "ftp://h", "http://", "http://u:p@h", "http://h?x", "http://h#x", "nonsense"]
        {
            assert_eq!(parse_base_url(text), None, "{text:?}");
        }
    }

    #[test]
    fn a_variable_beats_its_file_and_an_empty_one_counts_as_unset() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        fs::write(&path, "from file\n").unwrap();
        let path = path.to_str().unwrap();
        let secret = |pairs: &[(&str, &str)]| {
            let environment: Environment = pairs.iter().copied().collect();
            environment.secret("SECA_X").map(|s| s.map(|s| s.expose_secret().to_owned()))
        };
        assert_eq!(secret(&[("SECA_X", "direct"), ("SECA_X_FILE", path)]), Ok(Some("direct".into())));
        assert_eq!(secret(&[("SECA_X", ""), ("SECA_X_FILE", path)]), Ok(Some("from file".into())));
        assert_eq!(secret(&[("SECA_X", "")]), Ok(None));
        let sentence = secret(&[("SECA_X_FILE", "/nowhere")]).unwrap_err().to_string();
        assert!(sentence.contains("SECA_X_FILE") && sentence.contains("for example /run/secrets/seca_x"), "{sentence}");
    }

    #[test]
    fn a_password_in_a_url_is_not_repeated() {
        let rule = Rule { name: "X", rule: "a URL", example: "http://h" };
        for (value, shown) in [
            ("ftp://u:geheim@h:1/p", "ftp://…@h:1/p"),
            ("http://u:ge@heim@h?x", "http://…@h?x"),
            ("//geheim@", "//…@"),
            ("http://h/a@b", "http://h/a@b"),
            ("a@b", "a@b"),
        ] {
            let sentence = Problem::wrong("X", rule, value).to_string();
            assert!(sentence.contains(&format!("{shown:?}")) && !sentence.contains("geheim"), "{sentence}");
        }
    }

    #[test]
    fn debug_of_an_environment_shows_names_alone() {
        let environment: Environment = [("SECA_ADMIN_TOKEN", "hidden")].into_iter().collect();
        assert_eq!(format!("{environment:?}"), r#"{"SECA_ADMIN_TOKEN"}"#);
    }
}
