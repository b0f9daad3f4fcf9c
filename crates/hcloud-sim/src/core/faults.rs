//! Faults: rules that match requests and spoil them, so that clients meet what networks and providers do to them.

use super::actions::Twist;
use super::http::{ApiError, SimRequest, SimResponse};
use super::input::Input;
use super::journal::below_v1;
use super::rng::Rng;
use super::state::Grant;
use bytes::Bytes;
use http::StatusCode;
use serde_json::{Map, Value, json};

/// Which requests a rule is for.
#[derive(Clone)]
struct Matcher {
    project: Option<String>,
    /// Only requests with a token that was made for this client.
    client: Option<String>,
    method: Option<String>,
    /// A glob over the path below `/v1`: `*` is one segment or a part of one, `**` anything.
    path: Option<String>,
    /// Only requests that are not GET.
    mutating: bool,
    /// The first match that is spoiled, from 1.
    nth: u64,
    /// How many matches are spoiled; `None`: all from `nth` on.
    count: Option<u64>,
    /// The part of those that is spoiled, by chance; `None`: each.
    share: Option<f64>,
}

/// How the body of an error looks.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum BodyForm {
    Json,
    Html,
    Empty,
    Truncated,
}

#[derive(Clone)]
pub(crate) enum Spoil {
    Error {
        error: Box<ErrorReply>,
    },
    HoldBeforeCommit,
    HoldAfterCommit,
    LoseBeforeCommit,
    LoseAfterCommit,
    /// It commits, and the answer cannot be read.
    Reply {
        form: BodyForm,
    },
    Late {
        delay_ms: i64,
    },
    Action(Twist),
}

#[derive(Clone)]
pub(crate) struct ErrorReply {
    error: ApiError,
    form: BodyForm,
}

impl ErrorReply {
    pub(crate) fn response(&self) -> SimResponse {
        self.form.spoil(self.error.clone().into_response())
    }
}

impl BodyForm {
    /// The same answer in this form.
    pub(crate) fn spoil(self, mut response: SimResponse) -> SimResponse {
        match self {
            Self::Json => {}
            Self::Empty => {
                response.body = Bytes::new();
                response.headers.clear();
            }
            Self::Truncated => response.body = response.body.slice(..response.body.len() / 2),
            Self::Html => {
                let text = format!("<html><body><h1>{}</h1></body></html>", response.status.as_u16());
                response.body = Bytes::from(text);
                response.headers = vec![("content-type".to_owned(), "text/html".to_owned())];
            }
        }
        response
    }

    fn parse(input: &mut Input, default: Self) -> Self {
        match input.text("body_form").as_deref() {
            None => default,
            Some("json") => Self::Json,
            Some("html") => Self::Html,
            Some("empty") => Self::Empty,
            Some("truncated") => Self::Truncated,
            Some(_) => {
                input.reject("body_form", "must be one of json, html, empty, truncated");
                default
            }
        }
    }
}

struct Rule {
    id: u64,
    matcher: Matcher,
    /// Decides for rules with a share.
    chance: Rng,
    spoil: Spoil,
    /// The rule as it was given.
    given: Value,
    hits: u64,
    fired: u64,
}

#[derive(Default)]
pub(crate) struct Faults {
    rules: Vec<Rule>,
    last_id: u64,
}

/// Whether a path matches a glob.
pub(crate) fn glob(pattern: &str, path: &str) -> bool {
    fn matches(pattern: &[u8], path: &[u8]) -> bool {
        match pattern {
            [] => path.is_empty(),
            [b'*', b'*', rest @ ..] => (0..=path.len()).any(|at| matches(rest, &path[at..])),
            [b'*', rest @ ..] => {
                let end = path.iter().position(|byte| *byte == b'/').unwrap_or(path.len());
                (0..=end).any(|at| matches(rest, &path[at..]))
            }
            [first, rest @ ..] => path.first() == Some(first) && matches(rest, &path[1..]),
        }
    }
    matches(below_v1(pattern).as_bytes(), path.as_bytes())
}

impl Matcher {
    fn parse(mut input: Input) -> Result<Self, ApiError> {
        let count = input.integer("count").unwrap_or(1);
        let share = input.get("share").cloned().map(|share| share.as_f64().unwrap_or(-1.0));
        if share.is_some_and(|share| !(0.0..=1.0).contains(&share)) {
            input.reject("share", "must be a number from 0 (none) to 1 (all)");
        }
        let matcher = Self {
            project: input.text("project"),
            client: input.text("client"),
            method: input.text("method").map(|method| method.to_uppercase()),
            path: input.text("path"),
            mutating: input.flag("mutating").unwrap_or(false),
            nth: u64::try_from(input.integer("nth").unwrap_or(1)).unwrap_or(0),
            count: u64::try_from(count).ok().filter(|count| *count > 0),
            share,
        };
        if matcher.nth == 0 || count < 0 {
            input.reject("nth", "must be 1 or more, and count 0 (all) or more");
        }
        input.check()?;
        Ok(matcher)
    }

    fn matches(&self, grant: &Grant, request: &SimRequest) -> bool {
        self.project.as_ref().is_none_or(|name| *name == grant.project)
            && self.client.as_ref().is_none_or(|name| grant.client.as_ref() == Some(name))
            && self.method.as_ref().is_none_or(|method| *method == request.method.as_str())
            && (!self.mutating || request.method != http::Method::GET)
            && self.path.as_ref().is_none_or(|pattern| glob(pattern, below_v1(&request.path)))
    }
}

impl Spoil {
    fn parse(mut input: Input) -> Result<Self, ApiError> {
        let kind = input.required_text("type");
        let (code, message) = (input.text("code"), input.text("message"));
        let spoil = match kind.as_str() {
            "error" => Self::Error { error: Box::new(parse_error(&mut input, code, message)) },
            "hold_before_commit" => Self::HoldBeforeCommit,
            "hold_after_commit" => Self::HoldAfterCommit,
            "lose_reply_before_commit" => Self::LoseBeforeCommit,
            "lose_reply_after_commit" => Self::LoseAfterCommit,
            "spoil_reply" => Self::Reply { form: BodyForm::parse(&mut input, BodyForm::Truncated) },
            "late_commit" => Self::Late { delay_ms: input.integer("delay_ms").unwrap_or(5_000) },
            "stuck_action" => Self::Action(Twist::Stuck),
            "action_error" => Self::Action(Twist::Fail {
                code: code.unwrap_or_else(|| "action_failed".to_owned()),
                message: message.unwrap_or_else(|| "Action failed".to_owned()),
            }),
            _ => {
                input.reject(
                    "type",
                    "must be one of error, hold_before_commit, hold_after_commit, lose_reply_before_commit, \
                     lose_reply_after_commit, spoil_reply, late_commit, stuck_action, action_error",
                );
                Self::HoldBeforeCommit
            }
        };
        input.check()?;
        Ok(spoil)
    }
}

fn parse_error(input: &mut Input, code: Option<String>, message: Option<String>) -> ErrorReply {
    let status = input.integer("status").and_then(|status| u16::try_from(status).ok()).unwrap_or(500);
    if StatusCode::from_u16(status).is_err() {
        input.reject("status", "must be an HTTP status");
    }
    let form = BodyForm::parse(input, BodyForm::Json);
    let code = code.unwrap_or_else(|| "server_error".to_owned());
    let message = message.unwrap_or_else(|| format!("injected {code}"));
    let mut error = ApiError::new(status, &code, message);
    error.details = input.get("details").cloned().map(Box::new);
    ErrorReply { error, form }
}

impl Faults {
    /// Adds a rule given as `{"match": {…}, "effect": {"type": …}}`.
    pub(crate) fn add(&mut self, given: Map<String, Value>) -> Result<u64, ApiError> {
        let mut input = Input::new(given.clone());
        let matcher = input.object("match").unwrap_or_else(|| Input::new(Map::new()));
        let effect =
            input.object("effect").ok_or_else(|| ApiError::invalid("effect", "must be an object with a type"))?;
        let seed = input.integer("seed").unwrap_or(1);
        input.check()?;
        let (matcher, spoil) = (Matcher::parse(matcher)?, Spoil::parse(effect)?);
        self.last_id += 1;
        let chance = Rng::new(seed.cast_unsigned());
        self.rules.push(Rule {
            id: self.last_id,
            matcher,
            chance,
            spoil,
            given: Value::Object(given),
            hits: 0,
            fired: 0,
        });
        Ok(self.last_id)
    }

    /// Counts a request against every rule and returns the first that spoils it.
    pub(crate) fn strike(&mut self, grant: &Grant, request: &SimRequest) -> Option<(u64, Spoil)> {
        let mut struck = None;
        for rule in self.rules.iter_mut().filter(|rule| rule.matcher.matches(grant, request)) {
            rule.hits += 1;
            // Decided for every hit, so that another rule does not shift what this one spoils.
            let chosen = rule.matcher.share.is_none_or(|share| rule.chance.unit() < share);
            let due =
                chosen && rule.hits >= rule.matcher.nth && rule.matcher.count.is_none_or(|count| rule.fired < count);
            if due && struck.is_none() {
                rule.fired += 1;
                struck = Some((rule.id, rule.spoil.clone()));
            }
        }
        struck
    }

    pub(crate) fn remove(&mut self, id: u64) -> bool {
        let before = self.rules.len();
        self.rules.retain(|rule| rule.id != id);
        self.rules.len() < before
    }

    pub(crate) fn contains(&self, id: u64) -> bool {
        self.rules.iter().any(|rule| rule.id == id)
    }

    pub(crate) fn clear(&mut self) {
        self.rules.clear();
    }

    /// Every rule with its counters and the requests it holds.
    pub(crate) fn json(&self, held_by: impl Fn(u64) -> Vec<u64>) -> Vec<Value> {
        let rule = |rule: &Rule| {
            json!({
                "id": rule.id, "match": rule.given["match"], "effect": rule.given["effect"],
                "hits": rule.hits, "fired": rule.fired, "held": held_by(rule.id),
            })
        };
        self.rules.iter().map(rule).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_glob_matches_segments_and_tails() {
        for (pattern, path, expected) in [
            ("/servers", "/servers", true),
            ("/v1/servers", "/servers", true),
            ("/servers", "/servers/1", false),
            ("/servers/*", "/servers/1", true),
            ("/servers/*", "/servers/1/actions/poweron", false),
            ("/servers/*/actions/power*", "/servers/1/actions/poweron", true),
            ("/servers/**", "/servers/1/actions/poweron", true),
            ("**", "/anything", true),
            ("", "/x", false),
        ] {
            assert_eq!(glob(pattern, path), expected, "{pattern} on {path}");
        }
    }
}
