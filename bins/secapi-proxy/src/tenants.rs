//! What the settings say of tenants, brought to the store before anything is served: the tenants themselves, and their
//! first administrators.

use anyhow::Context as _;
use control_plane::service::{Administration, Refusal};
use ring::digest::{SHA256, digest};
use token_provisioner::setting::Problem;
use tracing::info;

use crate::{config::ServeConfig, settings::Setting};

/// Registers the tenants of the settings that the store does not know, then makes administrators. Of a tenant that is
/// there, the store is right.
///
/// # Errors
/// A [`Problem`] for an administrator of a tenant that is nowhere; failures of the store.
pub(crate) async fn prepare(config: &ServeConfig, administration: &Administration) -> anyhow::Result<()> {
    administration.ensure_tenants(&config.tenants).await.context("the tenants cannot be registered")?;
    for (tenant, subject) in &config.bootstrap {
        match administration.bootstrap_admin(tenant, subject, &assignment_name(subject)).await {
            Ok(true) => info!(seca.tenant = %tenant, subject, "made an administrator"),
            Ok(false) => {}
            Err(Refusal::Conflict(what)) => {
                let source = format!("SECA_BOOTSTRAP_ADMIN={tenant}/{subject}");
                return Err(Problem::wrong_secret(&source, Setting::BootstrapAdmin.rule(), what).into());
            }
            Err(error) => return Err(error).context("an administrator cannot be made"),
        }
    }
    Ok(())
}

/// The name of a subject's first assignment: the same at every start, and readable among others.
fn assignment_name(subject: &str) -> String {
    let hash = digest(&SHA256, subject.as_bytes());
    let short: String = hash.as_ref().iter().take(6).map(|byte| format!("{byte:02x}")).collect();
    format!("bootstrap-admin-{short}")
}
