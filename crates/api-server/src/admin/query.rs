//! Query parameters: known ones, each at most once.

use std::borrow::Cow;

use seca_api::ProblemKind;
use url::form_urlencoded;

use crate::{
    answer::Failure,
    query::{PRETTY, wrong_pretty},
};

/// The values of the parameters that a query may have, each at most once.
pub(super) fn parameters<'q, const N: usize>(
    query: &'q str,
    known: [&str; N],
) -> Result<[Option<Cow<'q, str>>; N], Failure> {
    let mut values = [const { None }; N];
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        if name == PRETTY {
            match wrong_pretty(&value) {
                None => continue,
                Some(violation) => return Err(Failure::violations(ProblemKind::InvalidRequest, &[violation])),
            }
        }
        let index = known.iter().position(|known| *known == name).ok_or_else(|| {
            let list = if N == 0 { "none".to_owned() } else { known.join(", ") };
            let shown: String = name.chars().filter(|c| !c.is_control()).take(64).collect();
            Failure::parameter(&name, format!("there is no parameter `{shown}` here; known: {list}"))
        })?;
        if value.chars().any(char::is_control) {
            return Err(Failure::parameter(&name, format!("`{}` has no control characters", known[index])));
        }
        if values[index].replace(value).is_some() {
            return Err(Failure::parameter(&name, format!("`{}` stands at most once", known[index])));
        }
    }
    Ok(values)
}

pub(super) fn boolean(name: &str, value: Option<&str>) -> Result<bool, Failure> {
    match value {
        None | Some("false") => Ok(false),
        Some("true") => Ok(true),
        Some(_) => Err(Failure::parameter(name, format!("`{name}` must be `true` or `false`"))),
    }
}

/// A whole number within bounds.
pub(super) fn number(name: &str, value: Option<&str>, (least, most): (i64, i64)) -> Result<Option<i64>, Failure> {
    let Some(text) = value else { return Ok(None) };
    let number = text.parse::<i64>().ok().filter(|number| (least..=most).contains(number));
    let rule = || Failure::parameter(name, format!("`{name}` must be a whole number from {least} to {most}"));
    number.map(Some).ok_or_else(rule)
}
