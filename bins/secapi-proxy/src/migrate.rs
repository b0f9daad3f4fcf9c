//! TEMPORARY
use secrecy::SecretString;
use crate::cli::Migrate;
pub(crate) async fn run(_c: &Migrate, _u: &SecretString) -> anyhow::Result<()> { Ok(()) }
