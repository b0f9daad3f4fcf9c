//! The database: opened with the schema of this release, or not at all.

use anyhow::bail;
use control_plane::ports::{Clock as _, ReadStore as _, Store as _};
use persistence::{Options, SchemaState, SqlStore};
use secrecy::{ExposeSecret as _, SecretString};

use crate::edge::SystemClock;

/// What to do about a schema that is not this release's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Prepare {
    /// Migrate an empty database, refuse an older one: an operator decides when.
    IfEmpty,
    /// Migrate whatever is older.
    Always,
    /// Change nothing.
    Never,
}

/// Opens a store. A newer schema is always refused.
pub(crate) async fn open(url: &SecretString, prepare: Prepare) -> anyhow::Result<SqlStore> {
    let url = url.expose_secret();
    match (persistence::schema_state(url).await?, prepare) {
        (SchemaState::Empty, Prepare::Never) => bail!("the database is empty; nothing was ever stored in it"),
        (SchemaState::Older { .. }, Prepare::Always) => persistence::migrate_up(url).await?,
        _ => {}
    }
    Ok(persistence::connect(url, &Options::default()).await?)
}

/// What there is to say of a database, without changing it.
pub(crate) async fn look(url: &SecretString) -> anyhow::Result<String> {
    match persistence::schema_state(url.expose_secret()).await? {
        SchemaState::Empty => Ok("answers; it is empty, and serve will set it up".to_owned()),
        SchemaState::Older { found, needed } => bail!(
            "answers, but its schema has version {found} and this release needs {needed}; run `secapi-proxy migrate up`"
        ),
        SchemaState::Newer { found, needed } => bail!(
            "answers, but its schema has version {found} and this release reads {needed}; run the release that migrated it"
        ),
        SchemaState::Current => {
            let store = open(url, Prepare::Never).await?;
            let installation = store.installation().await?;
            store.close().await;
            Ok(format!("answers; its schema is this release's; installation {installation}"))
        }
    }
}

/// The projects that another database rules, each with a sentence; none of a database that is not of this release.
pub(crate) async fn paused(url: &SecretString) -> anyhow::Result<Vec<String>> {
    if persistence::schema_state(url.expose_secret()).await? != SchemaState::Current {
        return Ok(Vec::new());
    }
    let store = open(url, Prepare::Never).await?;
    let paused = store.oversight().paused_projects().await?;
    store.close().await;
    Ok(paused.into_iter().map(|(project, epoch)| format!("{project}: {}", epoch.paused.unwrap_or_default())).collect())
}

/// By how many milliseconds this machine's clock is ahead of the database's; none of SQLite, which uses ours, and of a
/// database that is not of this release.
pub(crate) async fn clock_ahead(url: &SecretString) -> anyhow::Result<Option<i64>> {
    let is_ours = url.expose_secret().starts_with("sqlite:");
    if is_ours || persistence::schema_state(url.expose_secret()).await? != SchemaState::Current {
        return Ok(None);
    }
    let store = open(url, Prepare::Never).await?;
    // The first one makes the connection.
    store.now().await?;
    let before = SystemClock.now().as_millis();
    let theirs = store.now().await?.as_millis();
    let after = SystemClock.now().as_millis();
    store.close().await;
    Ok(Some(before.midpoint(after) - theirs))
}
