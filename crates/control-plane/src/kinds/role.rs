//! Roles: named sets of permissions.

use seca_api::{Kind, Provider, system_roles::PREFIX, violation::Violation};
use serde_json::Value;

use super::{Grant, Judgement, KindRules, clip, expand};

/// What differs about roles.
pub const RULES: KindRules =
    KindRules { local: true, has_object: false, grants: Some(Grant::Role), judge, ..KindRules::new(Kind::Role) };

/// What a permission allows to do, in any case. Every other word, `post.start` included, is longer than the seven
/// characters that the specification leaves for one.
const VERBS: [&str; 5] = ["get", "list", "put", "delete", "post"];

fn judge(judgement: &Judgement<'_>) -> Vec<Violation> {
    let spec = judgement.subject.spec;
    let name = &judgement.subject.key.name;
    let reserved = name.starts_with(PREFIX).then(|| {
        let rule = format!("the name {name} begins with {PREFIX}, which only system roles do; choose another");
        Violation::at("/metadata/name", rule)
    });
    let providers = texts("/spec/permissions/*/provider", spec);
    let unknown = providers.filter(|(_, text)| Provider::parse(text).is_none()).map(|(pointer, text)| {
        let known = Provider::ALL.map(Provider::id).join(", ");
        let rule = format!("provider must be one of {known}, with or without its version, but is `{}`", clip(text));
        Violation::at(pointer, format!("{rule}; correct it"))
    });
    let verbs = texts("/spec/permissions/*/verb/*", spec);
    let odd = verbs.filter(|(_, text)| !VERBS.iter().any(|verb| verb.eq_ignore_ascii_case(text)));
    let odd = odd.map(|(pointer, text)| {
        let rule = format!("verb must be one of {}, in any case, but is `{}`", VERBS.join(", "), clip(text));
        Violation::at(pointer, format!("{rule}; pick one of them (post allows all actions)"))
    });
    reserved.into_iter().chain(unknown).chain(odd).collect()
}

/// The texts at a pattern; empty ones break a limit already.
fn texts<'a>(pattern: &str, spec: &'a Value) -> impl Iterator<Item = (String, &'a str)> {
    let texts = expand(pattern, spec).into_iter().filter_map(|(pointer, value)| Some((pointer, value.as_str()?)));
    texts.filter(|(_, text)| !text.is_empty())
}
