//! What a token claims, judged. Pure: the signature is another matter, and whoever calls checks it before the verdict
//! counts.
//!
//! Claims narrow and never grant: what a caller may do is up to roles. So a claim that is read and has a type that was
//! not expected is refused, because what it meant to take away is unknown.

use std::{collections::BTreeSet, fmt, time::Duration};

use control_plane::service::{Caller, Within};
use seca_api::{Timestamp, json, names::is_printable};
use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor, value::MapAccessDeserializer},
};
use serde_json::{Value, value::RawValue};

use super::{Fault, issuers::Issuer};

/// How far the clocks of issuer and verifier may be apart: `exp` and `nbf` count that much later and sooner.
pub const LEEWAY: Duration = Duration::from_secs(30);

/// The most characters of a subject, and of a `jti`.
const TEXT_CHARS: usize = 128;

/// The year 10000, beyond which no time can be written.
const END_OF_TIME: f64 = 253_402_300_800.0;

/// The claims that are read, each as it stands. A claim that stands there twice is refused, and so is a member of
/// `scope`, which is kept as text until then.
#[derive(Debug, Default, Deserialize)]
#[serde(remote = "Self")]
pub(crate) struct Claims {
    #[serde(default, deserialize_with = "given")]
    iss: Option<Value>,
    #[serde(default, deserialize_with = "given")]
    sub: Option<Value>,
    #[serde(default, deserialize_with = "given")]
    aud: Option<Value>,
    #[serde(default, deserialize_with = "given")]
    exp: Option<Value>,
    #[serde(default, deserialize_with = "given")]
    nbf: Option<Value>,
    #[serde(default, deserialize_with = "given")]
    jti: Option<Value>,
    #[serde(default, deserialize_with = "given")]
    tenants: Option<Value>,
    #[serde(default, deserialize_with = "given")]
    scope: Option<Box<RawValue>>,
}

/// An object alone: what serde derives would take a list, too, claim by claim.
impl<'de> Deserialize<'de> for Claims {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Claims;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of claims")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Claims, A::Error> {
                Claims::deserialize(MapAccessDeserializer::new(map))
            }
        }
        deserializer.deserialize_map(Object)
    }
}

/// Tells `null` from absent.
fn given<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

impl Claims {
    /// Who says so.
    pub(crate) fn issuer(&self) -> Result<&str, Fault> {
        self.iss.as_ref().and_then(Value::as_str).ok_or(Fault::Claim("iss", "a string"))
    }

    /// Whom a token of this issuer stands for, now. `qualified`: the subject begins with the issuer's name.
    pub(crate) fn judge(&self, issuer: &Issuer, qualified: bool, now: Timestamp) -> Result<Caller, Fault> {
        if self.issuer()? != issuer.issuer {
            return Err(Fault::Issuer);
        }
        let audience = strings_or_one(self.aud.as_ref()).ok_or(Fault::Claim("aud", "a string or a list of strings"))?;
        if audience.is_disjoint(&issuer.audience) {
            return Err(Fault::Audience);
        }
        let expires_at = self.expires_at()?;
        if now >= expires_at {
            return Err(Fault::Expired);
        }
        if now < self.valid_from()? {
            return Err(Fault::NotYet);
        }
        Ok(Caller {
            subject: self.subject(qualified.then_some(issuer.name.as_str()))?,
            within: self.within(issuer)?,
            token_id: self.token_id()?,
            expires_at: Some(expires_at),
        })
    }

    /// With the leeway: the moment from which this token is refused here; at the latest the end of the year 9999.
    fn expires_at(&self) -> Result<Timestamp, Fault> {
        let exp = self.exp.as_ref().and_then(date).ok_or(Fault::Claim("exp", "there, as seconds since 1970"))?;
        Ok(exp.plus(LEEWAY))
    }

    fn valid_from(&self) -> Result<Timestamp, Fault> {
        let Some(nbf) = &self.nbf else { return Ok(Timestamp::from_millis(i64::MIN)) };
        let nbf = date(nbf).ok_or(Fault::Claim("nbf", "seconds since 1970"))?;
        Ok(Timestamp::from_millis(nbf.as_millis() - LEEWAY.as_millis() as i64))
    }

    fn subject(&self, issuer: Option<&str>) -> Result<String, Fault> {
        let sub = self.sub.as_ref().and_then(Value::as_str).unwrap_or_default();
        let subject = issuer.map_or_else(|| sub.to_owned(), |name| format!("{name}:{sub}"));
        if sub.is_empty() || !is_printable(&subject, TEXT_CHARS) { Err(Fault::Subject) } else { Ok(subject) }
    }

    fn token_id(&self) -> Result<Option<String>, Fault> {
        let Some(jti) = &self.jti else { return Ok(None) };
        let jti = jti.as_str().filter(|jti| is_printable(jti, TEXT_CHARS));
        jti.map(|jti| Some(jti.to_owned())).ok_or(Fault::Claim("jti", "1 to 128 printable characters"))
    }

    fn within(&self, issuer: &Issuer) -> Result<Within, Fault> {
        let gate = match &self.tenants {
            Some(names) => Some(strings(names).ok_or(Fault::Claim("tenants", "a list of tenant names"))?),
            None => None,
        };
        let scope = match self.scope.as_deref().map(RawValue::get) {
            None => Scope::default(),
            // OAuth's: words that mean something between the issuer and its clients.
            Some(text) if text.starts_with('"') => Scope::default(),
            Some(text) => Scope::parse(text).ok_or(Fault::Claim("scope", Scope::RULE))?,
        };
        let tenants = [issuer.tenants.clone(), gate, scope.tenants].into_iter().flatten();
        Ok(Within { tenants: tenants.reduce(|a, b| &a & &b), regions: scope.regions, workspaces: scope.workspaces })
    }
}

/// A cap that whoever asked for the token put on it.
#[derive(Default)]
struct Scope {
    tenants: Option<BTreeSet<String>>,
    regions: Option<BTreeSet<String>>,
    workspaces: Option<BTreeSet<String>>,
}

impl Scope {
    const RULE: &str = "an object of `tenants`, `regions` and `workspaces`, each once and a list of names";

    /// None for anything else, also for a dimension that is not known here, or that stands there twice: it would have
    /// narrowed.
    fn parse(text: &str) -> Option<Self> {
        let mut known = Self::default();
        for (name, value) in json::object(text.as_bytes()).ok()?.as_object()? {
            let dimension = match name.as_str() {
                "tenants" => &mut known.tenants,
                "regions" => &mut known.regions,
                "workspaces" => &mut known.workspaces,
                _ => return None,
            };
            *dimension = Some(strings(value)?);
        }
        Some(known)
    }
}

fn strings(value: &Value) -> Option<BTreeSet<String>> {
    value.as_array()?.iter().map(|item| item.as_str().map(str::to_owned)).collect()
}

fn strings_or_one(value: Option<&Value>) -> Option<BTreeSet<String>> {
    match value? {
        Value::String(one) => Some(BTreeSet::from([one.clone()])),
        several => strings(several),
    }
}

/// A NumericDate (RFC 7519), which may have a fraction.
fn date(value: &Value) -> Option<Timestamp> {
    let seconds = value.as_f64().filter(|seconds| (0.0..END_OF_TIME).contains(seconds))?;
    Some(Timestamp::from_millis((seconds * 1000.0) as i64))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::jwt::{issuers::KeyLocation, key_set::Algorithm};

    const NOW: i64 = 1_700_000_000;

    fn issuer(tenants: Option<&[&str]>) -> Issuer {
        Issuer {
            name: "corp".to_owned(),
            issuer: "https://id.example.org".to_owned(),
            audience: set(&["seca", "seca-2"]),
            algorithms: BTreeSet::from([Algorithm::EdDSA]),
            keys: KeyLocation::File("keys.json".into()),
            tenants: tenants.map(set),
        }
    }

    fn set(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    fn claims(changes: &Value) -> Claims {
        let mut claims =
            json!({"iss": "https://id.example.org", "aud": "seca", "exp": NOW + 60, "sub": "ada", "jti": "id-1"});
        for (name, value) in changes.as_object().unwrap() {
            match value.as_str() {
                Some("-") => drop(claims.as_object_mut().unwrap().shift_remove(name)),
                _ => claims[name] = value.clone(),
            }
        }
        serde_json::from_value(claims).unwrap()
    }

    fn judge(changes: &Value) -> Result<Caller, Fault> {
        claims(changes).judge(&issuer(None), false, Timestamp::from_millis(NOW * 1000))
    }

    #[track_caller]
    fn check(changes: Value, expected: Result<(), Fault>) {
        assert_eq!(judge(&changes).map(drop), expected, "{changes}");
    }

    #[test]
    fn a_good_token_is_a_caller() {
        let caller = judge(&json!({})).unwrap();
        let expires_at = Some(Timestamp::from_millis((NOW + 90) * 1000));
        let expected = Caller { token_id: Some("id-1".to_owned()), expires_at, ..Caller::new("ada") };
        assert_eq!(caller, expected);
        assert_eq!(judge(&json!({"jti": "-"})).unwrap().token_id, None);
    }

    #[test]
    fn issuer_and_audience_must_be_ours() {
        check(json!({"iss": "https://id.example.org/"}), Err(Fault::Issuer));
        check(json!({"iss": ["https://id.example.org"]}), Err(Fault::Claim("iss", "a string")));
        check(json!({"iss": "-"}), Err(Fault::Claim("iss", "a string")));
        check(json!({"aud": "seca-2"}), Ok(()));
        check(json!({"aud": ["other", "seca"]}), Ok(()));
        check(json!({"aud": ["other"]}), Err(Fault::Audience));
        check(json!({"aud": []}), Err(Fault::Audience));
        check(json!({"aud": "Seca"}), Err(Fault::Audience));
        for wrong in [json!("-"), json!(null), json!(["seca", 7]), json!({"seca": true})] {
            check(json!({"aud": wrong}), Err(Fault::Claim("aud", "a string or a list of strings")));
        }
    }

    #[test]
    fn time_has_a_leeway_and_an_end_is_required() {
        let exp = Fault::Claim("exp", "there, as seconds since 1970");
        check(json!({"exp": NOW - 29}), Ok(()));
        check(json!({"exp": NOW as f64 - 29.5}), Ok(()));
        check(json!({"exp": NOW - 30}), Err(Fault::Expired));
        check(json!({"exp": 0}), Err(Fault::Expired));
        check(json!({"exp": NOW + 100 * 365 * 86_400}), Ok(()));
        // With the leeway they would end where no time can be written.
        for last in [json!(253_402_300_770_i64), json!(253_402_300_799_i64), json!(253_402_300_799.9)] {
            let end = judge(&json!({"exp": last})).unwrap().expires_at.unwrap();
            assert_eq!(end.to_string(), "9999-12-31T23:59:59.999Z", "{last}");
        }
        check(json!({"exp": 253_402_300_800_i64}), Err(exp));
        for wrong in [json!("-"), json!(null), json!("1700000060"), json!(-1), json!(1e30), json!([1]), json!(true)] {
            check(json!({"exp": wrong}), Err(exp));
        }
        let huge: Claims =
            serde_json::from_str(r#"{"iss":"https://id.example.org","aud":"seca","exp":1e999}"#).unwrap();
        assert_eq!(huge.judge(&issuer(None), false, Timestamp::default()), Err(exp));
        check(json!({"nbf": NOW + 30}), Ok(()));
        check(json!({"nbf": NOW + 31}), Err(Fault::NotYet));
        check(json!({"nbf": "soon"}), Err(Fault::Claim("nbf", "seconds since 1970")));
        check(json!({"nbf": null}), Err(Fault::Claim("nbf", "seconds since 1970")));
    }

    #[test]
    fn a_subject_is_printable_and_of_its_issuer_where_there_are_several() {
        for wrong in [json!("-"), json!(null), json!(7), json!(""), json!("a\nb"), json!("x".repeat(129))] {
            check(json!({"sub": wrong}), Err(Fault::Subject));
        }
        check(json!({"sub": "ü".repeat(128)}), Ok(()));
        let qualified = |sub: &str| {
            let now = Timestamp::from_millis(NOW * 1000);
            claims(&json!({"sub": sub})).judge(&issuer(None), true, now).map(|caller| caller.subject)
        };
        assert_eq!(qualified("ada").as_deref(), Ok("corp:ada"));
        // The name has no colon, so that the first one ends it: never another issuer's subject.
        assert_eq!(qualified("iam:admin").as_deref(), Ok("corp:iam:admin"));
        assert_eq!(qualified(&"x".repeat(123)).map(|subject| subject.len()), Ok(128));
        assert_eq!(qualified(&"x".repeat(124)), Err(Fault::Subject));
        assert_eq!(qualified(""), Err(Fault::Subject));
    }

    #[test]
    fn an_id_is_a_printable_string() {
        for wrong in [json!(null), json!(7), json!(""), json!("a\u{0}"), json!("x".repeat(129))] {
            check(json!({"jti": wrong}), Err(Fault::Claim("jti", "1 to 128 printable characters")));
        }
    }

    /// What an issuer may, what a token claims, and the tenants, regions and workspaces that are left.
    type Narrowing<'a> = (Option<&'a [&'a str]>, Value, [Option<&'a [&'a str]>; 3]);

    #[test]
    fn claims_only_narrow() {
        let table: [Narrowing<'_>; 11] = [
            (None, json!({}), [None, None, None]),
            (Some(&["a", "b"]), json!({}), [Some(&["a", "b"]), None, None]),
            (None, json!({"tenants": ["a", "c"]}), [Some(&["a", "c"]), None, None]),
            (Some(&["a", "b"]), json!({"tenants": ["a", "c"]}), [Some(&["a"]), None, None]),
            (Some(&["a", "b"]), json!({"tenants": ["c"]}), [Some(&[]), None, None]),
            (Some(&["a"]), json!({"tenants": ["*"]}), [Some(&[]), None, None]),
            (None, json!({"tenants": []}), [Some(&[]), None, None]),
            (None, json!({"tenants": ["a", "b"], "scope": {"tenants": ["b", "c"]}}), [Some(&["b"]), None, None]),
            (None, json!({"scope": {"regions": ["fsn1"], "workspaces": []}}), [None, Some(&["fsn1"]), Some(&[])]),
            (Some(&["a"]), json!({"scope": {}}), [Some(&["a"]), None, None]),
            (None, json!({"scope": "openid tenants:all", "roles": ["admin"]}), [None, None, None]),
        ];
        for (tenants, changes, expected) in table {
            let caller = claims(&changes).judge(&issuer(tenants), false, Timestamp::from_millis(NOW * 1000));
            let Within { tenants, regions, workspaces } = caller.unwrap().within;
            assert_eq!([tenants, regions, workspaces], expected.map(|names| names.map(set)), "{changes}");
        }
    }

    #[test]
    fn a_claim_of_an_unexpected_type_is_refused_and_not_ignored() {
        for wrong in [json!("dev"), json!(null), json!(["dev", 7]), json!({"dev": true}), json!(true)] {
            check(json!({"tenants": wrong}), Err(Fault::Claim("tenants", "a list of tenant names")));
        }
        for wrong in [
            json!(null),
            json!(["read"]),
            json!(7),
            json!({"tenants": "dev"}),
            json!({"regions": null}),
            json!({"workspaces": [1]}),
            json!({"networks": ["a"]}),
        ] {
            check(json!({"scope": wrong}), Err(Fault::Claim("scope", Scope::RULE)));
        }
    }

    #[test]
    fn a_claim_that_stands_there_twice_is_refused() {
        for twice in ["sub", "exp", "scope", "tenants"] {
            let text = format!(r#"{{"{twice}": "a", "{twice}": "b"}}"#);
            assert!(serde_json::from_str::<Claims>(&text).is_err(), "{twice}");
        }
        for scope in [
            r#"{"tenants":["prod"],"tenants":["dev"]}"#,
            r#"{"tenants":["prod"],"ten\u0061nts":["dev"]}"#,
            r#"{"regions":["fsn1"],"tenants":["prod"],"regions":[]}"#,
            r#"{"$serde_json::private::RawValue":"{\"tenants\":[\"prod\"],\"tenants\":[\"dev\"]}"}"#,
        ] {
            let text = format!(
                r#"{{"iss": "https://id.example.org", "aud": "seca", "exp": {NOW}, "sub": "ada", "scope": {scope}}}"#
            );
            let claims: Claims = serde_json::from_str(&text).unwrap();
            let now = Timestamp::from_millis(NOW * 1000);
            let expected = Err(Fault::Claim("scope", Scope::RULE));
            assert_eq!(claims.judge(&issuer(None), false, now), expected, "{scope}");
        }
    }
}
