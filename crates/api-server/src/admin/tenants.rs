//! Tenants: which there are, how they are set, and whether they are suspended.

use axum::{
    body::Body,
    http::{Response, StatusCode},
};
use control_plane::{
    ports::{TenantChange, TenantRecord},
    service::{ReferencePolicy, Registered, Tenant, TenantView},
};
use seca_api::{ProblemKind, TenantName};
use serde_json::{Value, json};

use super::{Admin, Call, Change, answer, members::Members, query::parameters, refused, tenant_name};
use crate::{answer::Failure, body};

impl Admin {
    pub(super) async fn tenants(&self, query: &str) -> Result<Response<Body>, Failure> {
        let [] = parameters(query, [])?;
        let tenants = self.administration.tenants().await.map_err(refused)?;
        let items: Vec<_> = tenants.iter().map(TenantView::from).collect();
        Ok(answer(StatusCode::OK, &json!({ "items": items })))
    }

    pub(super) async fn tenant(&self, call: Call<'_>, body: Body, name: &str) -> Result<Response<Body>, Failure> {
        let [] = parameters(call.query, [])?;
        let name = tenant_name(name)?;
        let (status, record) = match call.method {
            "PUT" => self.register(&call, body, &name).await?,
            "PATCH" => (StatusCode::OK, self.change(&call, body, &name).await?),
            _ => {
                let found = self.administration.tenant(&name).await.map_err(refused)?;
                (StatusCode::OK, found.ok_or_else(|| missing(&name))?)
            }
        };
        Ok(answer(status, &json!(TenantView::from(&record))))
    }

    /// A PUT registers, and changes nothing: what is there with other settings is a conflict, so that two operators
    /// who register the same name learn of each other.
    async fn register(
        &self,
        call: &Call<'_>,
        body: Body,
        name: &TenantName,
    ) -> Result<(StatusCode, TenantRecord), Failure> {
        let bytes = body::read_json(call.headers, body, self.config.limits).await?;
        let mut members = Members::read(&bytes, &["conformance", "references"])?;
        let conformance = members.value("conformance", TRUTH, Value::as_bool).unwrap_or_default();
        let references = members.value("references", REFERENCES, references).unwrap_or_default();
        let settings = members.finish(Tenant { conformance, references })?;
        let work = async {
            match self.administration.create_tenant(name, &settings).await.map_err(refused)? {
                Registered::Created(record) => Ok((StatusCode::CREATED, record)),
                Registered::Existing(record) if record.settings == settings => Ok((StatusCode::OK, record)),
                Registered::Existing(_) => Err(Failure::new(
                    ProblemKind::Conflict,
                    format!("tenant {name} exists with other settings; read it, and change it with PATCH"),
                )),
            }
        };
        let change = change("create-tenant", name, told(&settings));
        self.recorded(call, change, work, |(status, _)| *status).await
    }

    async fn change(&self, call: &Call<'_>, body: Body, name: &TenantName) -> Result<TenantRecord, Failure> {
        let bytes = body::read_json(call.headers, body, self.config.limits).await?;
        let mut members = Members::read(&bytes, &["suspended", "conformance", "references"])?;
        if members.is_empty() {
            return Err(Failure::malformed(
                "the body changes nothing; send suspended, conformance or references, for example {\"suspended\": true}",
            ));
        }
        let changes = TenantChange {
            suspended: members.value("suspended", TRUTH, Value::as_bool),
            conformance: members.value("conformance", TRUTH, Value::as_bool),
            references: members.value("references", REFERENCES, references),
        };
        let changes = members.finish(changes)?;
        let work = async {
            let changed = self.administration.change_tenant(name, &changes).await.map_err(refused)?;
            changed.ok_or_else(|| missing(name))
        };
        let action = match changes.suspended {
            Some(true) => "suspend-tenant",
            Some(false) => "resume-tenant",
            None => "change-tenant",
        };
        self.recorded(call, change(action, name, told_change(&changes)), work, |_| StatusCode::OK).await
    }
}

const TRUTH: &str = "true or false";
const REFERENCES: &str = "`strict` or `late`";

fn references(value: &Value) -> Option<ReferencePolicy> {
    match value.as_str()? {
        "strict" => Some(ReferencePolicy::Strict),
        "late" => Some(ReferencePolicy::Late),
        _ => None,
    }
}

const fn word(references: ReferencePolicy) -> &'static str {
    match references {
        ReferencePolicy::Strict => "strict",
        ReferencePolicy::Late => "late",
    }
}

fn told(settings: &Tenant) -> String {
    format!("conformance {}, references {}", settings.conformance, word(settings.references))
}

fn told_change(change: &TenantChange) -> String {
    let conformance = change.conformance.map(|on| format!("conformance {on}"));
    let references = change.references.map(|policy| format!("references {}", word(policy)));
    [conformance, references].into_iter().flatten().collect::<Vec<_>>().join(", ")
}

fn change<'a>(action: &'static str, name: &'a TenantName, detail: String) -> Change<'a> {
    Change { action, target: format!("tenants/{name}"), tenant: Some(name.as_str()), detail }
}

pub(super) fn missing(name: &TenantName) -> Failure {
    let detail = format!("there is no tenant {name}; register it with a PUT of {{}} to /admin/v1/tenants/{name}");
    Failure::new(ProblemKind::NotFound, detail)
}
