//! What roles allow, hand on and explain. Asks are written `put compute instances/a @ t/fsn1/w`.

mod containment;
mod decide;
mod explain;
mod laws;

use seca_api::{Kind, Provider, ResourceKey, Scope};
use serde_json::{Value, json};
use uuid::Uuid;

use super::*;
use crate::{
    Uid,
    service::{Ask, Caller},
};

/// What is asked for, and where: a text that stands for it.
fn ask(text: &str) -> (&'static str, ResourceKey) {
    let (what, place) = text.split_once(" @ ").unwrap();
    let [verb, provider, resource] = what.split(' ').collect::<Vec<_>>().try_into().unwrap();
    let verb = ["get", "list", "put", "delete", "post"].into_iter().find(|known| *known == verb).unwrap();
    let provider = Provider::parse(&format!("seca.{provider}")).unwrap();
    let mut segments: Vec<_> = resource.split('/').collect();
    if segments.len() % 2 == 1 {
        segments.push("");
    }
    let [.., collection, name] = segments[..] else { panic!("{text}") };
    let network = if segments.len() == 4 { segments[1] } else { "" };
    let kind = Kind::of_collection(provider, collection).unwrap();
    assert_eq!(kind.scope() == Scope::Network, !network.is_empty(), "{text}");
    let mut place = place.split('/');
    let mut next = || place.next().unwrap_or_default().to_owned();
    let key = ResourceKey {
        tenant: next(),
        region: next(),
        kind,
        workspace: next(),
        network: network.to_owned(),
        name: name.to_owned(),
    };
    (verb, key)
}

/// A permission of a text like `compute instances/*,skus get,list`.
fn permission(text: &str) -> Value {
    let [provider, resources, verbs] = text.split(' ').collect::<Vec<_>>().try_into().unwrap();
    let list = |text: &str| text.split(',').map(str::to_owned).collect::<Vec<_>>();
    json!({"provider": format!("seca.{provider}/v1"), "resources": list(resources), "verb": list(verbs)})
}

fn role_spec(permissions: &[&str]) -> Value {
    json!({"permissions": permissions.iter().map(|text| permission(text)).collect::<Vec<_>>()})
}

fn assignment_spec(subs: &[&str], scopes: Value, roles: &[&str]) -> Value {
    json!({"subs": subs, "scopes": scopes, "roles": roles})
}

/// Rows, and the policies of them.
#[derive(Clone, Debug, Default)]
struct Rows {
    roles: Vec<(String, String, String)>,
    assignments: Vec<(String, String, String)>,
}

impl Rows {
    fn role(mut self, tenant: &str, name: &str, permissions: &[&str]) -> Self {
        self.roles.push((tenant.to_owned(), name.to_owned(), role_spec(permissions).to_string()));
        self
    }

    fn assignment(mut self, tenant: &str, spec: &Value) -> Self {
        let name = format!("a{}", self.assignments.len());
        self.assignments.push((tenant.to_owned(), name, spec.to_string()));
        self
    }

    /// One assignment of one role in tenant `t` to `alice`.
    fn one(scope: Value, permissions: &[&str]) -> Self {
        let spec = assignment_spec(&["alice"], json!([scope]), &["r"]);
        Self::default().role("t", "r", permissions).assignment("t", &spec)
    }

    fn policy(&self, tenant: &str) -> Policy {
        let roles = self.roles.iter().map(|(tenant, name, spec_json)| RoleRow { tenant, name, spec_json });
        let assignments = self.assignments.iter().enumerate().map(|(index, (tenant, name, spec_json))| {
            let uid = Uid(Uuid::from_u128(index as u128));
            AssignmentRow { tenant, name, uid, spec_json, bound: None, region: None }
        });
        Policy::compile(tenant, roles, assignments)
    }
}

fn allows(policy: &Policy, caller: &Caller, text: &str) -> bool {
    let (verb, key) = ask(text);
    let ask = Ask { verb, key: &key };
    let decision = policy.decide(caller, &ask).is_allowed();
    assert_eq!(policy.explain(caller, &ask).allowed, decision, "{text}");
    decision
}

/// What `alice` may in tenant `t`, and what she may not.
fn check<T: AsRef<str>>(rows: &Rows, allowed: &[T], denied: &[T]) {
    let (policy, alice) = (rows.policy("t"), Caller::new("alice"));
    for text in allowed.iter().map(AsRef::as_ref) {
        assert!(allows(&policy, &alice, text), "{text} is denied by {rows:?}");
    }
    for text in denied.iter().map(AsRef::as_ref) {
        assert!(!allows(&policy, &alice, text), "{text} is allowed by {rows:?}");
    }
}
