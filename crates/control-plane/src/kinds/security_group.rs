//! Security groups: rules that filter the packets of instances.

use seca_api::{Kind, violation::Violation};

use super::{
    FREELY, Judgement, KindRules, ReferenceField, expand,
    security_group_rule::{PEERS, violations},
};
use crate::ports::DeleteRules;

/// What differs about security groups.
pub const RULES: KindRules = KindRules {
    references: &[
        ReferenceField::new("/spec/ruleRefs/*", &[Kind::SecurityGroupRule]),
        ReferenceField::new("/spec/rules/*/sourceRef/*", PEERS).or_address(),
    ],
    delete: DeleteRules { refused_by_referrers: &[Kind::Instance], ..FREELY },
    judge,
    ..KindRules::new(Kind::SecurityGroup)
};

fn judge(judgement: &Judgement<'_>) -> Vec<Violation> {
    let rules = expand("/spec/rules/*", judgement.subject.spec);
    rules.into_iter().flat_map(|(pointer, rule)| violations(&pointer, rule)).collect()
}
