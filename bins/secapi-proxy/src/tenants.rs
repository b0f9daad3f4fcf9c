//! What the settings say of tenants, brought to the store before anything is served: the tenants themselves, and their
//! first administrators.

use ::settings::Problem;
use anyhow::Context as _;
use api_server::{Recorder, admin_assignment_name};
use control_plane::{
    ports::{Activity, Clock, Listener},
    service::{Administration, Bootstrapped, Refusal},
};
use seca_api::TenantName;
use tracing::{info, warn};

use crate::{config::ServeConfig, settings::Setting};

/// The setting that makes administrators, which is also who made them.
const SETTING: &str = Setting::BootstrapAdmin.name();

/// Registers the tenants of the settings that the store does not know, then makes administrators, which is written down as
/// what operators do is. Of a tenant that is there, the store is right.
///
/// # Errors
/// A [`Problem`] for an administrator of a tenant that is nowhere; failures of the store.
pub(crate) async fn prepare(
    config: &ServeConfig,
    administration: &Administration,
    activity: &Recorder,
    clock: &dyn Clock,
) -> anyhow::Result<()> {
    administration.ensure_tenants(&config.tenants).await.context("the tenants cannot be registered")?;
    for (tenant, subject) in &config.bootstrap {
        match administration.bootstrap_admin(tenant, subject, &admin_assignment_name(subject)).await {
            Ok(Bootstrapped::Made(name)) => {
                info!(seca.tenant = %tenant, subject, role_assignment = name, "made an administrator");
                activity.record(made(tenant, subject, clock)).await;
            }
            Ok(Bootstrapped::Before) => {}
            Ok(Bootstrapped::NoTenant) => {
                let (source, what) =
                    (format!("{SETTING}={tenant}/{subject}"), format!("there is no tenant `{tenant}`"));
                return Err(Problem::wrong_secret(&source, Setting::BootstrapAdmin.rule(), what).into());
            }
            // What a tenant keeps under some names must not keep the others from being served.
            Err(Refusal::Conflict(reason)) => {
                warn!(seca.tenant = %tenant, subject, reason, "an administrator of {SETTING} could not be made");
            }
            Err(error) => return Err(error).context("an administrator cannot be made"),
        }
    }
    Ok(())
}

fn made(tenant: &TenantName, subject: &str, clock: &dyn Clock) -> Activity {
    Activity {
        at: clock.now(),
        listener: Listener::Admin,
        actor: SETTING.to_owned(),
        action: "make-admin".to_owned(),
        target: format!("tenants/{tenant}/admins/{subject}"),
        tenant: Some(tenant.to_string()),
        request_id: None,
        result: "201".to_owned(),
        detail: None,
    }
}
