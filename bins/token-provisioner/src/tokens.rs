//! Which token a workspace is bound with: one for all, or one of a pool.
//!
//! Workspaces of one token share a Hetzner project, with its limits and its budget of calls. A pool gives tenants
//! projects of their own. It holds paths, no tokens; a token is read when a workspace is bound, so that a file that
//! was replaced counts from then on.

use std::{
    io,
    path::{Path, PathBuf},
};

use ::settings::files::{self, PrivateFileError};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;

use crate::admin::Unbound;

/// Where tokens come from.
#[derive(Clone, Debug)]
pub enum Tokens {
    /// One for all workspaces.
    One(SecretString),
    /// One of these, by tenant and workspace.
    Pool(Pool),
}

/// What a workspace is bound with.
#[derive(Clone, Debug)]
pub struct Credential {
    /// A read-write token of the project.
    pub token: SecretString,
    /// The pool's note of which project it is.
    pub project_ref: Option<String>,
}

impl Tokens {
    /// The credential of a workspace; none if no pattern of the pool matches it.
    ///
    /// # Errors
    /// When the token's file cannot be used.
    pub fn find(&self, workspace: &Unbound) -> Result<Option<Credential>, TokenFileError> {
        match self {
            Self::One(token) => Ok(Some(Credential { token: token.clone(), project_ref: None })),
            Self::Pool(pool) => pool.find(workspace).map(Entry::credential).transpose(),
        }
    }
}

/// Tokens by tenant and workspace: the first entry that matches counts.
///
/// ```json
/// {"tokens": [{"tenant": "acme", "workspace": "prod-*", "token_file": "acme-prod.token"}]}
/// ```
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pool {
    tokens: Vec<Entry>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    #[serde(default = "any")]
    tenant: String,
    #[serde(default = "any")]
    workspace: String,
    token_file: PathBuf,
    project_ref: Option<String>,
}

fn any() -> String {
    "*".to_owned()
}

/// A token's file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TokenFileError {
    /// It cannot be read.
    #[error("the token file {path} cannot be read: {1}", path = .0.display())]
    Unreadable(PathBuf, io::Error),
    /// Others may read or change it.
    #[error("the token file {path} has mode {mode:04o}, so others may use it: chmod 600 {path}", path = .0.display(), mode = .1)]
    Exposed(PathBuf, u32),
    /// It holds something else than one token.
    #[error("the token file {path} does not hold one token in one line", path = .0.display())]
    Content(PathBuf),
}

/// A pool cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PoolError {
    /// Its file cannot be read.
    #[error("{0}")]
    Unreadable(io::Error),
    /// It is not what it must be.
    #[error("{0}")]
    Content(String),
    /// A token's file cannot be used.
    #[error(transparent)]
    Token(#[from] TokenFileError),
}

impl Pool {
    /// Reads a pool and, to know early, every token. Paths are beside the pool's file unless they are absolute.
    ///
    /// # Errors
    /// [`PoolError`].
    pub fn load(path: &Path) -> Result<Self, PoolError> {
        let text = std::fs::read_to_string(path).map_err(PoolError::Unreadable)?;
        let mut pool: Self = serde_json::from_str(&text).map_err(|error| PoolError::Content(error.to_string()))?;
        if pool.tokens.is_empty() {
            return Err(PoolError::Content("it lists no token".to_owned()));
        }
        let folder = path.parent().unwrap_or(Path::new(""));
        for entry in &mut pool.tokens {
            entry.check().map_err(PoolError::Content)?;
            entry.token_file = folder.join(&entry.token_file);
            read_token(&entry.token_file)?;
        }
        Ok(pool)
    }

    fn find(&self, workspace: &Unbound) -> Option<&Entry> {
        let matching = |entry: &&Entry| {
            matches(&entry.tenant, &workspace.tenant) && matches(&entry.workspace, &workspace.workspace)
        };
        self.tokens.iter().find(matching)
    }
}

impl Entry {
    /// A pattern that no name can match is a mistake.
    fn check(&self) -> Result<(), String> {
        let is_of_tenants = |c: char| c.is_ascii_alphanumeric() || "*-_.".contains(c);
        let is_of_workspaces = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "*-.".contains(c);
        if self.tenant.is_empty() || !self.tenant.chars().all(is_of_tenants) {
            return Err(format!("the pattern {:?} matches no tenant", self.tenant));
        }
        if self.workspace.is_empty() || !self.workspace.chars().all(is_of_workspaces) {
            return Err(format!("the pattern {:?} matches no workspace", self.workspace));
        }
        Ok(())
    }

    fn credential(&self) -> Result<Credential, TokenFileError> {
        Ok(Credential { token: read_token(&self.token_file)?, project_ref: self.project_ref.clone() })
    }
}

/// Whether a name is as a pattern says, in which `*` stands for anything, nothing included.
fn matches(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = name.strip_prefix(first) else { return false };
    let Some(last) = parts.next_back() else { return rest.is_empty() };
    for part in parts {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

/// A token from a file that only its owner may read. The file must be a regular one: a pipe would be waited for, and all
/// workspaces with it.
fn read_token(path: &Path) -> Result<SecretString, TokenFileError> {
    let text = files::read_private(path).map_err(|error| match error {
        PrivateFileError::Unreadable(error) => TokenFileError::Unreadable(path.to_owned(), error),
        PrivateFileError::Exposed(mode) => TokenFileError::Exposed(path.to_owned(), mode),
    })?;
    let text = SecretString::from(text);
    let token = text.expose_secret().trim_end_matches(['\r', '\n']);
    if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(TokenFileError::Content(path.to_owned()));
    }
    Ok(SecretString::from(token))
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt as _};

    use tempfile::TempDir;

    use super::*;

    #[test]
    fn a_star_stands_for_anything() {
        let check = |pattern: &str, yes: &[&str], no: &[&str]| {
            yes.iter().for_each(|name| assert!(matches(pattern, name), "{pattern} {name}"));
            no.iter().for_each(|name| assert!(!matches(pattern, name), "{pattern} {name}"));
        };
        check("*", &["a", "prod-1"], &[]);
        check("prod", &["prod"], &["prod-1", "a-prod", "pro"]);
        check("prod-*", &["prod-", "prod-1"], &["prod", "a-prod-1"]);
        check("*-eu", &["a-eu", "-eu"], &["eu", "a-eu-1"]);
        check("a*b*c", &["abc", "a-b-c", "axbxbxc"], &["ac", "acb", "ab-c-", "cba"]);
        check("a*a", &["aa", "aba"], &["a", "ab"]);
        check("**", &["a"], &[]);
    }

    /// A folder with a pool and the tokens that it names.
    struct Folder(TempDir);

    impl Folder {
        fn new(pool: &str) -> Self {
            let folder = Self(tempfile::tempdir().unwrap());
            fs::write(folder.0.path().join("pool.json"), pool).unwrap();
            for name in ["a", "b", "rest"] {
                folder.write(name, &format!("token-{name}\n"), 0o600);
            }
            folder
        }

        fn write(&self, name: &str, text: &str, mode: u32) {
            let path = self.0.path().join(name);
            fs::write(&path, text).unwrap();
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        }

        fn load(&self) -> Result<Pool, PoolError> {
            Pool::load(&self.0.path().join("pool.json"))
        }
    }

    fn token(pool: &Pool, tenant: &str, workspace: &str) -> Option<String> {
        let workspace = Unbound { tenant: tenant.into(), region: "fsn1".into(), workspace: workspace.into() };
        let found = Tokens::Pool(pool.clone()).find(&workspace).unwrap();
        found.map(|credential| credential.token.expose_secret().to_owned())
    }

    const POOL: &str = r#"{"tokens": [
        {"tenant": "acme", "workspace": "prod-*", "token_file": "a", "project_ref": "Acme"},
        {"tenant": "acme", "token_file": "b"},
        {"workspace": "shared", "token_file": "rest"}
    ]}"#;

    #[test]
    fn the_first_entry_that_matches_counts() {
        let cases = [("acme", "prod-1"), ("acme", "test"), ("other", "shared"), ("other", "prod-1")];
        let folder = Folder::new(POOL);
        let pool = folder.load().unwrap();
        let found = cases.map(|(tenant, workspace)| token(&pool, tenant, workspace));
        assert_eq!(found, [Some("token-a".into()), Some("token-b".into()), Some("token-rest".into()), None]);
    }

    #[test]
    fn a_token_is_read_anew_each_time() {
        let folder = Folder::new(POOL);
        let pool = folder.load().unwrap();
        folder.write("b", "rotated", 0o600);
        assert_eq!(token(&pool, "acme", "test").as_deref(), Some("rotated"));
        folder.write("b", "rotated", 0o640);
        let workspace = Unbound { tenant: "acme".into(), region: "fsn1".into(), workspace: "test".into() };
        let error = Tokens::Pool(pool).find(&workspace).unwrap_err().to_string();
        assert!(error.contains("chmod 600"), "{error}");
    }

    #[test]
    fn a_pipe_in_the_place_of_a_token_is_refused_and_not_waited_for() {
        let folder = Folder::new(POOL);
        let pool = folder.load().unwrap();
        let path = folder.0.path().join("b");
        fs::remove_file(&path).unwrap();
        assert!(std::process::Command::new("mkfifo").args(["-m", "600"]).arg(&path).status().unwrap().success());
        let workspace = Unbound { tenant: "acme".into(), region: "fsn1".into(), workspace: "test".into() };
        let (tell, told) = std::sync::mpsc::channel();
        std::thread::spawn(move || tell.send(Tokens::Pool(pool).find(&workspace).unwrap_err().to_string()));
        let error = told.recv_timeout(std::time::Duration::from_secs(20)).expect("nobody waits for a writer");
        assert!(error.contains("it is no regular file"), "{error}");
    }

    #[test]
    fn a_pool_that_breaks_a_rule_says_which() {
        let check = |pool: &str, part: &str| {
            let error = Folder::new(pool).load().unwrap_err().to_string();
            assert!(error.contains(part) && !error.contains("two words"), "{error}");
        };
        check("", "EOF");
        check("{}", "missing field `tokens`");
        check(r#"{"tokens": []}"#, "lists no token");
        check(r#"{"tokens": [{"tenant": "a"}]}"#, "missing field `token_file`");
        check(r#"{"tokens": [{"token_file": "a", "workspaces": "*"}]}"#, "unknown field `workspaces`");
        check(r#"{"tokens": [{"token_file": "a", "token": "two words"}]}"#, "unknown field `token`");
        check(r#"{"tokens": [{"token_file": "a", "tenant": "No Name"}]}"#, "matches no tenant");
        check(r#"{"tokens": [{"token_file": "a", "workspace": "Prod"}]}"#, "matches no workspace");
        check(r#"{"tokens": [{"token_file": "nowhere"}]}"#, "nowhere cannot be read");
        let content = |text: &str, mode: u32, part: &str| {
            let folder = Folder::new(POOL);
            folder.write("a", text, mode);
            let error = folder.load().unwrap_err().to_string();
            assert!(error.contains(part) && !error.contains("two words"), "{error}");
        };
        content("", 0o600, "does not hold one token");
        content("two words", 0o600, "does not hold one token");
        content("token", 0o644, "has mode 0644");
    }
}
