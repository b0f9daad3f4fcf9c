//! Query parameters: known ones, each at most once.

use seca_api::ProblemKind;
use url::form_urlencoded;
use utoipa::{
    IntoParams,
    openapi::path::{Parameter, ParameterIn},
};

use crate::{
    answer::Failure,
    query::{PRETTY, wrong_pretty},
};

/// The parameters of an operation. Which there are is what the document of the API says.
pub(super) trait Parameters: IntoParams + Sized {
    /// Takes each parameter from its values.
    fn take(values: &mut Values) -> Result<Self, Failure>;

    /// What is told of a parameter that another method of the path has.
    fn elsewhere(_name: &str) -> Option<&'static str> {
        None
    }

    /// Reads a query.
    fn parse(query: &str) -> Result<Self, Failure> {
        let known: Vec<String> = Self::into_params(|| Some(ParameterIn::Query)).into_iter().map(|p| p.name).collect();
        let mut values = Values(Vec::new());
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            if name == PRETTY {
                match wrong_pretty(&value) {
                    None => continue,
                    Some(violation) => return Err(Failure::violations(ProblemKind::InvalidRequest, &[violation])),
                }
            }
            let Some(known) = known.iter().find(|known| **known == name) else {
                return Err(unknown::<Self>(&name, &known));
            };
            if value.chars().any(char::is_control) {
                return Err(Failure::parameter(&name, format!("`{known}` has no control characters")));
            }
            if values.has(known) {
                return Err(Failure::parameter(&name, format!("`{known}` stands at most once")));
            }
            values.0.push((known.clone(), value.into_owned()));
        }
        Self::take(&mut values)
    }
}

fn unknown<T: Parameters>(name: &str, known: &[String]) -> Failure {
    let shown: String = name.chars().filter(|c| !c.is_control()).take(64).collect();
    let list = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
    let rule = match T::elsewhere(name) {
        Some(rule) => rule.to_owned(),
        None => format!("there is no parameter `{shown}` here; known: {list}"),
    };
    Failure::parameter(name, rule)
}

/// An operation without parameters.
pub(super) struct Nothing;

impl IntoParams for Nothing {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        Vec::new()
    }
}

impl Parameters for Nothing {
    fn take(_: &mut Values) -> Result<Self, Failure> {
        Ok(Self)
    }
}

/// The values of a query, by name.
pub(super) struct Values(Vec<(String, String)>);

impl Values {
    fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(known, _)| known == name)
    }

    /// A text, as it stands.
    pub(super) fn text(&mut self, name: &str) -> Option<String> {
        let at = self.0.iter().position(|(known, _)| known == name)?;
        Some(self.0.swap_remove(at).1)
    }

    /// A text that must be there.
    pub(super) fn required(&mut self, name: &str, rule: &str) -> Result<String, Failure> {
        let value = self.text(name).filter(|value| !value.is_empty());
        value.ok_or_else(|| Failure::parameter(name, format!("`{name}` is required: {rule}")))
    }

    /// Whether something is to be done.
    pub(super) fn boolean(&mut self, name: &str) -> Result<bool, Failure> {
        match self.text(name).as_deref() {
            None | Some("false") => Ok(false),
            Some("true") => Ok(true),
            Some(_) => Err(Failure::parameter(name, format!("`{name}` must be `true` or `false`"))),
        }
    }

    /// A whole number within bounds.
    pub(super) fn number(&mut self, name: &str, (least, most): (i64, i64)) -> Result<Option<i64>, Failure> {
        let Some(text) = self.text(name) else { return Ok(None) };
        let number = text.parse::<i64>().ok().filter(|number| (least..=most).contains(number));
        let rule = || Failure::parameter(name, format!("`{name}` must be a whole number from {least} to {most}"));
        number.map(Some).ok_or_else(rule)
    }
}
