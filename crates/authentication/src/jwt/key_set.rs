//! Public keys of an issuer: a JWK set (RFC 7517), or PEM.
//!
//! A set may hold keys that are not for us (other types, encryption): they are left out, as the RFC asks. A private
//! key is left out too, wherever it comes from: what it signed proves nothing. A set of which all is left out is a
//! mistake, and the former one goes on; an empty list is a statement, and counts.

mod pem;

use std::{
    fmt,
    io::{self, Read as _},
    path::{Path, PathBuf},
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::DecodingKey;
use serde::{Deserialize, de::IgnoredAny};
use serde_json::{Value, json, value::RawValue};

use settings::files::open_regular;

/// The most bytes of a set: of a file, and of what an issuer answers.
pub const SET_BYTES: usize = 1024 * 1024;

/// The most keys of a set that count.
const KEYS: usize = 64;

/// The most keys that one token is tried with, and so the most of one algorithm and one id.
const TRIES: usize = 4;

/// Of how many keys that are left out it is known why.
const REASONS: usize = 8;

/// How a token may be signed. Nothing else is known here: no `none`, no shared secrets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
pub enum Algorithm {
    /// Ed25519.
    EdDSA,
    /// ECDSA over P-256 with SHA-256.
    ES256,
    /// RSA PKCS #1 v1.5 with SHA-256, keys of 2048 to 8192 bits.
    RS256,
}

impl Algorithm {
    pub(crate) const fn named(self) -> jsonwebtoken::Algorithm {
        match self {
            Self::EdDSA => jsonwebtoken::Algorithm::EdDSA,
            Self::ES256 => jsonwebtoken::Algorithm::ES256,
            Self::RS256 => jsonwebtoken::Algorithm::RS256,
        }
    }
}

/// Which tokens a key is tried with.
#[derive(Clone, Debug, PartialEq, Eq)]
enum KeyId {
    /// Those that name it.
    Named(String),
    /// Those that name none.
    Unnamed,
    /// All: PEM has no names, and whoever gave the file meant this issuer's tokens.
    Any,
}

/// A public key.
#[derive(Clone)]
struct PublicKey {
    id: KeyId,
    /// The one algorithm that its type allows.
    algorithm: Algorithm,
    key: DecodingKey,
    /// Its public members, as JWK.
    jwk: Value,
}

/// The keys of an issuer.
#[derive(Clone, Default)]
pub struct KeySet {
    keys: Vec<PublicKey>,
    left_out: LeftOut,
}

/// The keys of a set that do not count. How many there are is up to the issuer: few of them are remembered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct LeftOut {
    count: usize,
    /// Where the first ones stand, and why they are left out.
    first: Vec<(usize, &'static str)>,
}

/// A key file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// It cannot be read.
    #[error("the key file {path} cannot be read: {1}", path = .0.display())]
    Unreadable(PathBuf, io::Error),
    /// Its content does not follow the rules.
    #[error("the key file {path} {1}", path = .0.display())]
    Content(PathBuf, String),
}

impl KeySet {
    /// Reads a file of public keys: a JWK set, or PEM blocks `PUBLIC KEY`.
    ///
    /// # Errors
    /// [`KeyFileError`]; also when no key can be used.
    pub fn load(path: &Path) -> Result<Self, KeyFileError> {
        let set = Self::read(path)?;
        if set.keys.is_empty() {
            let rule = "holds no public key that can be used: it lists none".to_owned();
            return Err(KeyFileError::Content(path.to_owned(), rule));
        }
        Ok(set)
    }

    /// Reads a file of public keys that is followed, and logs what of it does not count. Unlike at the start it may
    /// list none, so that the last key can be withdrawn.
    ///
    /// # Errors
    /// [`KeyFileError`].
    pub(super) fn follow(path: &Path) -> Result<Self, KeyFileError> {
        let set = Self::read(path)?;
        set.warn(&path.display().to_string());
        Ok(set)
    }

    fn read(path: &Path) -> Result<Self, KeyFileError> {
        let unreadable = |error| KeyFileError::Unreadable(path.to_owned(), error);
        let mut bytes = Vec::new();
        open_regular(path)
            .map_err(unreadable)?
            .take(SET_BYTES as u64 + 1)
            .read_to_end(&mut bytes)
            .map_err(unreadable)?;
        let content = |rule: String| KeyFileError::Content(path.to_owned(), rule);
        if bytes.len() > SET_BYTES {
            return Err(content(format!("is longer than {SET_BYTES} bytes; a key set is shorter")));
        }
        let set = match bytes.trim_ascii_start().starts_with(b"-----") {
            true => Self::from_pem(&bytes),
            false => Self::from_json(&bytes),
        };
        set.map_err(content)
    }

    /// Reads a file to be published: a JWK set whose keys all can be used and have names.
    ///
    /// # Errors
    /// [`KeyFileError`].
    pub fn load_published(path: &Path) -> Result<Self, KeyFileError> {
        let set = Self::load(path)?;
        let content = |rule: String| KeyFileError::Content(path.to_owned(), rule);
        if set.left_out.count > 0 {
            return Err(content(format!("must hold public keys alone: {}", set.left_out)));
        }
        if set.keys.iter().any(|key| !matches!(key.id, KeyId::Named(_))) {
            return Err(content("must be a JWK set in which every key has a `kid`".to_owned()));
        }
        Ok(set)
    }

    /// Reads a JWK set. It may be empty, and of a longer one the first keys count.
    ///
    /// # Errors
    /// Completes a sentence about what it is not; also when it lists keys and none can be used.
    pub fn from_json(bytes: &[u8]) -> Result<Self, String> {
        #[derive(Deserialize)]
        struct Set<'a> {
            #[serde(borrow)]
            keys: Vec<&'a RawValue>,
        }
        let set: Set<'_> = serde_json::from_slice(bytes)
            .map_err(|_| "is neither a JWK set ({\"keys\":[…]}) nor PEM blocks `PUBLIC KEY`".to_owned())?;
        let mut keys = Self::default();
        for (at, jwk) in set.keys.into_iter().enumerate() {
            if let Err(why) = keys.add_jwk(jwk.get()) {
                keys.left_out.add(at, why);
            }
        }
        if keys.keys.is_empty() && keys.left_out.count > 0 {
            return Err(format!("holds no public key that can be used: {}", keys.left_out));
        }
        Ok(keys)
    }

    /// # Errors
    /// Why it is left out.
    fn add_jwk(&mut self, text: &str) -> Result<(), &'static str> {
        if self.keys.len() == KEYS {
            return Err("64 keys stand before it, and no more count");
        }
        let key = PublicKey::of_jwk(text)?;
        if self.is_full_for(&key) {
            return Err("4 keys of its algorithm and `kid`, or without one, stand before it; give it one of its own");
        }
        self.keys.push(key);
        Ok(())
    }

    fn from_pem(bytes: &[u8]) -> Result<Self, String> {
        let text = std::str::from_utf8(bytes).map_err(|_| "is no text".to_owned())?;
        let mut keys = Self::default();
        for key in pem::public_keys(text)? {
            let key = PublicKey::of_pem(key)?;
            if keys.is_full_for(&key) {
                return Err(format!(
                    "holds more than {TRIES} keys for {:?}: PEM has no ids, so each token is tried with each of them, and with {TRIES} at most; put them into a JWK set in which each has a `kid`",
                    key.algorithm
                ));
            }
            keys.keys.push(key);
        }
        Ok(keys)
    }

    /// Whether a token that this key is for is tried with as many already.
    fn is_full_for(&self, key: &PublicKey) -> bool {
        let alike = self.keys.iter().filter(|other| other.id == key.id && other.algorithm == key.algorithm);
        alike.count() >= TRIES
    }

    /// Logs what does not count of a set that came from there.
    pub(super) fn warn(&self, from: &str) {
        if self.keys.is_empty() {
            tracing::warn!(from, "an issuer lists no keys, so none of its tokens holds");
        }
        if self.left_out.count > 0 {
            tracing::warn!(from, left_out = %self.left_out, "keys of an issuer are left out");
        }
    }

    /// Whether [`Self::warn`] says the same of both.
    pub(super) fn warns_like(&self, other: &Self) -> bool {
        self.keys.is_empty() == other.keys.is_empty() && self.left_out == other.left_out
    }

    /// Whether a token that names this key, or none, can be checked here.
    pub(crate) fn knows(&self, kid: Option<&str>) -> bool {
        self.keys.iter().any(|key| key.is_for(kid))
    }

    /// The keys to check a token with.
    pub(crate) fn candidates(&self, kid: Option<&str>, algorithm: Algorithm) -> impl Iterator<Item = &DecodingKey> {
        let keys = self.keys.iter().filter(move |key| key.is_for(kid) && key.algorithm == algorithm);
        keys.map(|key| &key.key)
    }

    /// How many keys there are.
    pub fn count(&self) -> usize {
        self.keys.len()
    }

    /// The set as JSON: public members alone.
    pub fn to_json(&self) -> String {
        json!({"keys": self.keys.iter().map(|key| &key.jwk).collect::<Vec<_>>()}).to_string()
    }
}

impl fmt::Debug for KeySet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.keys.iter().map(|key| (&key.id, key.algorithm))).finish()
    }
}

impl LeftOut {
    fn add(&mut self, at: usize, why: &'static str) {
        self.count += 1;
        if self.first.len() < REASONS {
            self.first.push((at, why));
        }
    }
}

impl fmt::Display for LeftOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let first: Vec<_> = self.first.iter().map(|(at, why)| format!("keys[{at}]: {why}")).collect();
        f.write_str(&first.join("; "))?;
        match self.count - self.first.len() {
            0 => Ok(()),
            more => write!(f, "; and {more} more"),
        }
    }
}

/// The members of a JWK that count. One that stands there twice makes it none.
#[derive(Deserialize)]
struct Jwk {
    kty: String,
    kid: Option<String>,
    alg: Option<String>,
    r#use: Option<String>,
    key_ops: Option<Vec<String>>,
    crv: Option<String>,
    x: Option<String>,
    y: Option<String>,
    n: Option<String>,
    e: Option<String>,
    d: Option<IgnoredAny>,
    p: Option<IgnoredAny>,
    q: Option<IgnoredAny>,
    dp: Option<IgnoredAny>,
    dq: Option<IgnoredAny>,
    qi: Option<IgnoredAny>,
    oth: Option<IgnoredAny>,
    k: Option<IgnoredAny>,
}

impl Jwk {
    /// Whether it has a member that is secret (RFC 7518, 6.2.2, 6.3.2 and 6.4.1): from some of them the rest follows.
    fn is_private(&self) -> bool {
        [&self.d, &self.p, &self.q, &self.dp, &self.dq, &self.qi, &self.oth, &self.k].into_iter().any(Option::is_some)
    }
}

impl PublicKey {
    /// # Errors
    /// Why it is not for us.
    fn of_jwk(text: &str) -> Result<Self, &'static str> {
        let jwk: Jwk = serde_json::from_str(text).map_err(|_| "it is no JWK")?;
        // A shared secret has no public members that could be taken.
        if jwk.is_private() && jwk.kty != "oct" {
            return Err("it is a private key, which belongs to its owner alone; take its public members");
        }
        if jwk.r#use.as_deref().is_some_and(|r#use| r#use != "sig")
            || jwk.key_ops.as_ref().is_some_and(|ops| !ops.iter().any(|op| op == "verify"))
        {
            return Err("it is not for signatures");
        }
        let (algorithm, names) = match (jwk.kty.as_str(), jwk.crv.as_deref()) {
            // RFC 9864 gave EdDSA with this curve the curve's name.
            ("OKP", Some("Ed25519")) => (Algorithm::EdDSA, ["EdDSA", "Ed25519"]),
            ("EC", Some("P-256")) => (Algorithm::ES256, ["ES256"; 2]),
            ("RSA", _) => (Algorithm::RS256, ["RS256"; 2]),
            _ => return Err("it is of another type than Ed25519, P-256 and RSA"),
        };
        if jwk.alg.as_deref().is_some_and(|alg| !names.contains(&alg)) {
            return Err("its `alg` is none of EdDSA, ES256 and RS256, or not that of its type");
        }
        let id = jwk.kid.map_or(KeyId::Unnamed, KeyId::Named);
        match algorithm {
            Algorithm::EdDSA => Self::ed25519(id, &member(jwk.x.as_ref())?),
            Algorithm::ES256 => Self::p256(id, &member(jwk.x.as_ref())?, &member(jwk.y.as_ref())?),
            Algorithm::RS256 => Self::rsa(id, &member(jwk.n.as_ref())?, &member(jwk.e.as_ref())?),
        }
    }

    fn of_pem(key: pem::Key) -> Result<Self, String> {
        match key {
            pem::Key::Ed25519(x) => Self::ed25519(KeyId::Any, &x),
            pem::Key::P256(x, y) => Self::p256(KeyId::Any, &x, &y),
            pem::Key::Rsa(n, e) => Self::rsa(KeyId::Any, &n, &e),
        }
        .map_err(|why| format!("holds a key that cannot be used: {why}"))
    }

    fn ed25519(id: KeyId, x: &[u8]) -> Result<Self, &'static str> {
        if x.len() != 32 {
            return Err("an Ed25519 key has 32 bytes");
        }
        let jwk = json!({"kty": "OKP", "crv": "Ed25519", "x": base64url(x)});
        Ok(Self::new(id, Algorithm::EdDSA, DecodingKey::from_ed_der(x), jwk))
    }

    fn p256(id: KeyId, x: &[u8], y: &[u8]) -> Result<Self, &'static str> {
        if x.len() != 32 || y.len() != 32 {
            return Err("a P-256 key has two coordinates of 32 bytes");
        }
        let point = [&[4], x, y].concat();
        let jwk = json!({"kty": "EC", "crv": "P-256", "x": base64url(x), "y": base64url(y)});
        Ok(Self::new(id, Algorithm::ES256, DecodingKey::from_ec_der(&point), jwk))
    }

    fn rsa(id: KeyId, n: &[u8], e: &[u8]) -> Result<Self, &'static str> {
        let n = &n[n.iter().take_while(|byte| **byte == 0).count()..];
        // Longer ones would only cost time, shorter ones can be factored.
        if !(256..=1024).contains(&n.len()) || n[0] < 0x80 && n.len() == 256 || !(1..=8).contains(&e.len()) {
            return Err("an RSA key has 2048 to 8192 bits, and an exponent of up to 8 bytes");
        }
        let jwk = json!({"kty": "RSA", "n": base64url(n), "e": base64url(e)});
        Ok(Self::new(id, Algorithm::RS256, DecodingKey::from_rsa_raw_components(n, e), jwk))
    }

    fn new(id: KeyId, algorithm: Algorithm, key: DecodingKey, mut jwk: Value) -> Self {
        jwk["alg"] = json!(format!("{algorithm:?}"));
        jwk["use"] = json!("sig");
        if let KeyId::Named(kid) = &id {
            jwk["kid"] = json!(kid);
        }
        Self { id, algorithm, key, jwk }
    }

    fn is_for(&self, kid: Option<&str>) -> bool {
        match &self.id {
            KeyId::Named(id) => kid == Some(id),
            KeyId::Unnamed => kid.is_none(),
            KeyId::Any => true,
        }
    }
}

fn member(text: Option<&String>) -> Result<Vec<u8>, &'static str> {
    text.and_then(|text| URL_SAFE_NO_PAD.decode(text).ok()).ok_or("its members must be base64url")
}

fn base64url(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const X: &str = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";

    #[track_caller]
    fn check(jwk: &Value, expected: Result<Algorithm, &str>) {
        let set = KeySet::from_json(json!({"keys": [jwk]}).to_string().as_bytes());
        match expected {
            Ok(algorithm) => assert_eq!(set.unwrap().keys[0].algorithm, algorithm, "{jwk}"),
            Err(part) => {
                let rule = set.unwrap_err();
                assert!(rule.contains("can be used: keys[0]: ") && rule.contains(part), "{jwk}: {rule}");
            }
        }
    }

    #[test]
    fn keys_that_are_not_for_us_are_left_out_and_say_why() {
        let rsa = base64url(&[0xff; 256]);
        check(&json!({"kty": "OKP", "crv": "Ed25519", "x": X}), Ok(Algorithm::EdDSA));
        check(&json!({"kty": "OKP", "crv": "Ed25519", "x": X, "alg": "Ed25519", "use": "sig"}), Ok(Algorithm::EdDSA));
        check(&json!({"kty": "EC", "crv": "P-256", "x": X, "y": X, "key_ops": ["verify"]}), Ok(Algorithm::ES256));
        check(&json!({"kty": "RSA", "n": rsa, "e": "AQAB", "alg": "RS256"}), Ok(Algorithm::RS256));
        check(&json!({"kty": "RSA", "n": rsa, "e": "AQAB", "alg": "HS256"}), Err("alg"));
        check(&json!({"kty": "RSA", "n": rsa, "e": "AQAB", "alg": "RS512"}), Err("alg"));
        check(&json!({"kty": "RSA", "n": base64url(&[0xff; 128]), "e": "AQAB"}), Err("2048"));
        check(&json!({"kty": "RSA", "n": base64url(&[0xff; 4096]), "e": "AQAB"}), Err("8192"));
        check(&json!({"kty": "oct", "k": X}), Err("type"));
        check(&json!({"kty": "EC", "crv": "P-384", "x": X, "y": X}), Err("type"));
        check(&json!({"kty": "OKP", "crv": "Ed25519", "x": X, "use": "enc"}), Err("signatures"));
        check(&json!({"kty": "OKP", "crv": "Ed25519", "x": X, "d": X}), Err("private"));
        for secret in ["d", "p", "q", "dp", "dq", "qi", "oth", "k"] {
            check(&json!({"kty": "RSA", "n": rsa, "e": "AQAB", secret: X}), Err("private"));
        }
        check(&json!({"kty": "OKP", "crv": "Ed25519", "x": "AAAA"}), Err("32 bytes"));
        check(&json!({"kty": "OKP", "crv": "Ed25519", "x": "not base64!"}), Err("base64url"));
        check(&json!({"kty": "OKP", "crv": "Ed25519"}), Err("base64url"));
        check(&json!({"kid": "a"}), Err("no JWK"));
        check(&json!({"kty": "OKP", "crv": "Ed25519", "x": X, "kid": 7}), Err("no JWK"));
        check(&json!("key"), Err("no JWK"));
    }

    #[test]
    fn a_named_key_is_for_tokens_that_name_it_and_an_unnamed_one_for_those_that_name_none() {
        let key = |kid: Option<&str>| json!({"kty": "OKP", "crv": "Ed25519", "x": X, "kid": kid});
        let set = |keys: &[Value]| KeySet::from_json(json!({"keys": keys}).to_string().as_bytes()).unwrap();
        let named = set(&[key(Some("a"))]);
        assert!(named.knows(Some("a")) && !named.knows(Some("b")) && !named.knows(None));
        let unnamed = set(&[key(None), key(None)]);
        assert!(!unnamed.knows(Some("a")) && unnamed.knows(None));
        assert_eq!(unnamed.candidates(None, Algorithm::EdDSA).count(), 2);
        assert_eq!(unnamed.candidates(None, Algorithm::RS256).count(), 0);
    }

    #[test]
    fn a_jwk_that_says_a_thing_twice_is_none() {
        for twice in [r#""kid":"a","kid":"b""#, r#""x":"AAAA""#, r#""use":"enc","use":"sig""#] {
            let set = format!(r#"{{"keys":[{{"kty":"OKP","crv":"Ed25519","x":"{X}",{twice}}}]}}"#);
            assert!(KeySet::from_json(set.as_bytes()).unwrap_err().contains("no JWK"), "{twice}");
        }
    }

    #[test]
    fn what_does_not_count_of_a_set_is_known_and_takes_little_room() {
        let key = |kid: Option<String>| json!({"kty": "OKP", "crv": "Ed25519", "x": X, "kid": kid});
        let set = |keys: Vec<Value>| KeySet::from_json(json!({"keys": keys}).to_string().as_bytes());
        let many = set((0..KEYS + 3).map(|at| key(Some(at.to_string()))).collect()).unwrap();
        assert_eq!((many.count(), many.left_out.count), (KEYS, 3));
        assert!(many.left_out.to_string().starts_with("keys[64]: 64 keys stand before it"), "{}", many.left_out);
        for kid in [None, Some("a")] {
            let alike = set(vec![key(kid.map(str::to_owned)); TRIES + 1]).unwrap();
            assert_eq!(alike.candidates(kid, Algorithm::EdDSA).count(), TRIES);
            assert!(alike.left_out.to_string().starts_with("keys[4]: 4 keys of its algorithm"), "{}", alike.left_out);
        }
        let mut garbage = vec![json!(0); 10_000];
        let rule = set(garbage.clone()).unwrap_err();
        assert!(rule.contains("keys[7]: it is no JWK; and 9992 more") && rule.len() < 1_000, "{rule}");
        garbage.push(key(None));
        let mostly_garbage = set(garbage).unwrap();
        assert_eq!((mostly_garbage.count(), mostly_garbage.left_out.count), (1, 10_000));
        assert_eq!(mostly_garbage.left_out.first.len(), REASONS);
        assert_eq!(set(vec![]).unwrap().count(), 0);
    }

    /// A PEM block of an Ed25519 key.
    fn ed25519(x: u8) -> String {
        block(&[&[0x30, 0x2a, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 3, 0x21, 0], &[x; 32][..]].concat())
    }

    fn p256() -> String {
        let head = [0x30, 0x59, 0x30, 0x13, 6, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1, 6, 8, 0x2a];
        block(&[&head[..], &[0x86, 0x48, 0xce, 0x3d, 3, 1, 7, 3, 0x42, 0, 4], &[7; 64]].concat())
    }

    fn block(der: &[u8]) -> String {
        let text = base64::engine::general_purpose::STANDARD.encode(der);
        format!("-----BEGIN PUBLIC KEY-----\n{text}\n-----END PUBLIC KEY-----\n")
    }

    #[test]
    fn a_pem_file_holds_no_more_keys_of_an_algorithm_than_a_token_is_tried_with() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys.pem");
        let load = |blocks: Vec<String>| {
            std::fs::write(&path, blocks.concat()).unwrap();
            KeySet::load(&path).map_err(|error| error.to_string())
        };
        let four = || (0..4).map(ed25519);
        let set = load(four().chain([p256()]).collect()).unwrap();
        assert_eq!(set.candidates(Some("a"), Algorithm::EdDSA).count(), 4);
        assert_eq!(set.candidates(Some("a"), Algorithm::ES256).count(), 1, "the fifth key counts");
        let rule = load(four().chain([p256(), ed25519(9)]).collect()).unwrap_err();
        assert!(
            ["keys.pem holds more than 4 keys for EdDSA", "`kid`"].iter().all(|part| rule.contains(part)),
            "{rule}"
        );
    }

    #[test]
    fn a_file_to_publish_holds_named_public_keys_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("jwks.json");
        let published = |keys: Value| {
            std::fs::write(&path, json!({"keys": keys}).to_string()).unwrap();
            KeySet::load_published(&path).map(|set| set.to_json()).map_err(|error| error.to_string())
        };
        let good = json!({"kty": "OKP", "crv": "Ed25519", "x": X, "kid": "a", "note": "mine"});
        let text = published(json!([good])).unwrap();
        assert_eq!(
            serde_json::from_str::<Value>(&text).unwrap(),
            json!({"keys": [{"kty": "OKP", "crv": "Ed25519", "x": X, "alg": "EdDSA", "use": "sig", "kid": "a"}]})
        );
        assert!(published(json!([good, {"kty": "OKP", "crv": "Ed25519", "x": X}])).unwrap_err().contains("kid"));
        let mut private = good.clone();
        private["d"] = json!(X);
        assert!(published(json!([good, private])).unwrap_err().contains("private key"));
        assert!(published(json!([])).unwrap_err().contains("no public key"));
    }
}
