//! `secapi-proxy migrate`: the schema of the database, up, down, or as it is.

use anyhow::bail;
use persistence::SchemaState;
use secrecy::{ExposeSecret as _, SecretString};

use crate::cli::Migrate;

/// Does it, and says what the schema is then.
pub(crate) async fn run(command: &Migrate, url: &SecretString) -> anyhow::Result<()> {
    let url = url.expose_secret();
    match command {
        Migrate::Status(_) => {}
        Migrate::Up(_) => persistence::migrate_up(url).await?,
        Migrate::Down(arguments) => {
            if persistence::schema_state(url).await? == SchemaState::Empty {
                println!("the database is empty: there is nothing to take back");
                return Ok(());
            }
            if !arguments.yes {
                bail!(
                    "taking back a migration deletes what it brought, the first one all data; say --yes if you mean it"
                );
            }
            persistence::migrate_down(url, 1).await?;
        }
    }
    println!("{}", describe(persistence::schema_state(url).await?));
    Ok(())
}

fn describe(state: SchemaState) -> String {
    match state {
        SchemaState::Empty => "the database is empty; `secapi-proxy migrate up` sets it up".to_owned(),
        SchemaState::Current => "the database has this release's schema".to_owned(),
        SchemaState::Older { found, needed } => {
            format!(
                "the database has schema version {found}, this release needs {needed}; run `secapi-proxy migrate up`"
            )
        }
        SchemaState::Newer { found, needed } => {
            format!(
                "the database has schema version {found}, newer than this release's {needed}; run the release that migrated it"
            )
        }
    }
}
