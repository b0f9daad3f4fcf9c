//! `secapi-proxy backup`: a copy of the database while it is in use.

use std::path::Path;

use persistence::BackupError;
use secrecy::{ExposeSecret as _, SecretString};

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// The copy is there.
    Done,
    /// It is for another program to make it, which was said.
    Elsewhere,
}

/// Copies a SQLite database; of PostgreSQL it says what to run.
pub(crate) async fn run(url: &SecretString, to: &Path) -> anyhow::Result<Ended> {
    let shown = to.display();
    match persistence::backup(url.expose_secret(), to).await {
        Ok(bytes) => {
            println!("{shown}: {bytes} bytes, sound and whole");
            println!(
                "It is of no use without the key that seals the Hetzner tokens in it: keep SECA_CREDENTIALS_KEY and \
                 SECA_CREDENTIALS_KEYS_OLD as well, and elsewhere."
            );
            Ok(Ended::Done)
        }
        Err(BackupError::Postgres { .. }) => {
            // The URL may hold a password, so it stays in the variable.
            println!("pg_dump --format=custom --no-owner --file={} \"$SECA_DATABASE_URL\"", quoted(&shown.to_string()));
            eprintln!(
                "secapi-proxy: nothing was backed up: PostgreSQL copies itself, by the line above. Keep \
                 SECA_CREDENTIALS_KEY as well, and elsewhere."
            );
            Ok(Ended::Elsewhere)
        }
        Err(error) => Err(error.into()),
    }
}

/// A word for a shell.
fn quoted(text: &str) -> String {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/._-+:@".contains(&byte));
    if is_plain { text.to_owned() } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_for_a_shell_has_one_word_for_a_path() {
        assert_eq!(quoted("/var/backups/2026-12-01.dump"), "/var/backups/2026-12-01.dump");
        assert_eq!(quoted("it's $HOME"), r"'it'\''s $HOME'");
    }
}
