//! `secapi-proxy rotate-keys`: all stored tokens under the current key.

use std::sync::Arc;

use comfy_table::Table;
use control_plane::{
    ports::{Credential, Store, Vault, VaultError},
    service::seal_context,
};
use credential_vault::CredentialVault;
use hetzner_adapter::PROVIDER;

use crate::{config::RotateConfig, database, edge::SystemRng};

/// What became of the credentials.
#[derive(Debug, Default, PartialEq, Eq)]
struct Counts {
    current: usize,
    resealed: usize,
    /// Bound anew meanwhile, and so sealed under the current key by whoever did it.
    overtaken: usize,
    failed: Vec<String>,
}

/// Re-seals, prints the counts, and fails when a token could not be opened.
pub(crate) async fn run(config: RotateConfig) -> anyhow::Result<()> {
    let store = database::open(&config.database_url, database::Prepare::Never).await?;
    let vault = CredentialVault::new(&config.keys, Arc::new(SystemRng::new()))?;
    let counts = reseal(&store, &vault).await?;
    store.close().await;
    let mut table = Table::new();
    table.load_style(comfy_table::presets::UTF8_FULL_CONDENSED).set_header(["tokens", "count"]);
    table.add_row([format!("re-sealed under key {}", vault.current_key()), counts.resealed.to_string()]);
    table.add_row(["sealed under it already".to_owned(), (counts.current + counts.overtaken).to_string()]);
    table.add_row(["not opened".to_owned(), counts.failed.len().to_string()]);
    println!("{table}");
    counts.failed.iter().for_each(|line| eprintln!("{line}"));
    if counts.failed.is_empty() {
        Ok(())
    } else {
        anyhow::bail!(
            "{} tokens are still sealed under other keys; keep those keys until they are bound again",
            counts.failed.len()
        )
    }
}

async fn reseal(store: &dyn Store, vault: &dyn Vault) -> anyhow::Result<Counts> {
    let mut counts = Counts::default();
    for credential in store.credentials().await? {
        if vault.is_current(&credential.sealed) {
            counts.current += 1;
            continue;
        }
        match again(vault, &credential) {
            Ok(sealed) if store.reseal(&credential, &sealed).await? => counts.resealed += 1,
            Ok(_) => counts.overtaken += 1,
            Err(error) => counts.failed.push(format!("{}: {error}", credential.workspace)),
        }
    }
    Ok(counts)
}

fn again(vault: &dyn Vault, credential: &Credential) -> Result<String, VaultError> {
    let context = seal_context(&credential.workspace, &PROVIDER);
    vault.seal(&vault.open(&credential.sealed, &context)?, &context)
}
