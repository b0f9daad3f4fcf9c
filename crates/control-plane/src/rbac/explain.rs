//! Why a decision is what it is, for who has to change it.

use serde::Serialize;

use super::{
    policy::{AssignmentId, Grant, Policy, Target, Unmet},
    scope::Dimension,
};
use crate::service::{Ask, Caller};

/// Why something is allowed or denied. Its JSON is for people and may gain members.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Explanation<'p> {
    /// Who asks.
    pub subject: String,
    /// The verb.
    pub verb: &'static str,
    /// The URN of what is asked for.
    pub resource: String,
    /// Its region; none for what is in none.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub region: String,
    /// The decision.
    pub allowed: bool,
    /// The dimension in which the credential does not reach, whatever the roles allow.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub confined_by_credential: Option<Dimension>,
    /// Every assignment that names the subject; none where none does, or where another policy is to be asked.
    pub assignments: Vec<Finding<'p>>,
}

/// What an assignment says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Finding<'p> {
    /// The assignment.
    #[serde(flatten)]
    pub assignment: AssignmentId<'p>,
    /// Whether it allows it.
    #[serde(flatten)]
    pub outcome: Outcome<'p>,
    /// Those of its roles that do not exist.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub missing_roles: Vec<&'p str>,
}

/// Whether an assignment allows something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Outcome<'p> {
    /// It does, by this.
    Allows(Grant<'p>),
    /// It does not, for this.
    Unmet(Unmet),
}

impl Policy {
    /// Explains what [`Policy::decide`] decides. The credential of a subject that is only talked about confines to
    /// nothing: `Caller::new(subject)`.
    pub fn explain(&self, caller: &Caller, ask: &Ask<'_>) -> Explanation<'_> {
        let target = Target::of(ask);
        let naming = self.concerns(ask.key).then(|| self.naming(&caller.subject)).into_iter().flatten();
        let assignments: Vec<_> = naming
            .map(|assignment| Finding {
                assignment: assignment.id(),
                outcome: assignment.judge(&target).map_or_else(Outcome::Unmet, Outcome::Allows),
                missing_roles: assignment
                    .roles
                    .iter()
                    .filter(|role| role.permissions.is_none())
                    .map(|role| role.name.as_str())
                    .collect(),
            })
            .collect();
        let confined_by_credential = self.confined(caller, &target);
        let granted = assignments.iter().any(|finding| matches!(finding.outcome, Outcome::Allows(_)));
        Explanation {
            subject: caller.subject.clone(),
            verb: ask.verb,
            resource: ask.key.urn(),
            region: ask.key.region.clone(),
            allowed: granted && confined_by_credential.is_none(),
            confined_by_credential,
            assignments,
        }
    }
}
