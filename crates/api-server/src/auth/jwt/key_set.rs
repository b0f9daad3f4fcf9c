//! Public keys of an issuer: a JWK set (RFC 7517), or PEM.
//!
//! A set may hold keys that are not for us (other types, encryption): they are left out, as the RFC asks. A private
//! key is left out too, wherever it comes from: what it signed proves nothing.

mod pem;

use std::{
    fmt,
    fs::File,
    io::{self, Read as _},
    path::{Path, PathBuf},
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::DecodingKey;
use serde::{Deserialize, de::IgnoredAny};
use serde_json::{Value, json};

/// The most bytes of a set: of a file, and of what an issuer answers.
pub const SET_BYTES: usize = 1024 * 1024;

/// The most keys of a set that count.
const KEYS: usize = 64;

/// The most keys that one token is tried with.
const TRIES: usize = 4;

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
    /// Why keys were left out.
    left_out: Vec<String>,
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
        let unreadable = |error| KeyFileError::Unreadable(path.to_owned(), error);
        let mut bytes = Vec::new();
        File::open(path).map_err(unreadable)?.take(SET_BYTES as u64 + 1).read_to_end(&mut bytes).map_err(unreadable)?;
        let content = |rule: String| KeyFileError::Content(path.to_owned(), rule);
        if bytes.len() > SET_BYTES {
            return Err(content(format!("is longer than {SET_BYTES} bytes; a key set is shorter")));
        }
        let set = match bytes.trim_ascii_start().starts_with(b"-----") {
            true => Self::from_pem(&bytes),
            false => Self::from_json(&bytes),
        };
        let set = set.map_err(content)?;
        if set.keys.is_empty() {
            let why = if set.left_out.is_empty() { "it lists none".to_owned() } else { set.left_out.join("; ") };
            return Err(content(format!("holds no public key that can be used: {why}")));
        }
        set.left_out.iter().for_each(|why| tracing::warn!(path = %path.display(), why, "a key is left out"));
        Ok(set)
    }

    /// Reads a file to be published: a JWK set whose keys all can be used and have names.
    ///
    /// # Errors
    /// [`KeyFileError`].
    pub fn load_published(path: &Path) -> Result<Self, KeyFileError> {
        let set = Self::load(path)?;
        let content = |rule: String| KeyFileError::Content(path.to_owned(), rule);
        if !set.left_out.is_empty() {
            return Err(content(format!("must hold public keys alone: {}", set.left_out.join("; "))));
        }
        if set.keys.iter().any(|key| !matches!(key.id, KeyId::Named(_))) {
            return Err(content("must be a JWK set in which every key has a `kid`".to_owned()));
        }
        Ok(set)
    }

    /// Reads a JWK set.
    ///
    /// # Errors
    /// Completes a sentence about what it is not.
    pub fn from_json(bytes: &[u8]) -> Result<Self, String> {
        #[derive(Deserialize)]
        struct Set {
            keys: Vec<Value>,
        }
        let set: Set = serde_json::from_slice(bytes)
            .map_err(|_| "is neither a JWK set ({\"keys\":[…]}) nor PEM blocks `PUBLIC KEY`".to_owned())?;
        let mut keys = Self::default();
        for (at, jwk) in set.keys.into_iter().enumerate() {
            let key = if keys.keys.len() < KEYS { PublicKey::of_jwk(jwk) } else { Err("it is one too many") };
            match key {
                Ok(key) => keys.keys.push(key),
                Err(why) => keys.left_out.push(format!("keys[{at}]: {why}")),
            }
        }
        Ok(keys)
    }

    fn from_pem(bytes: &[u8]) -> Result<Self, String> {
        let text = std::str::from_utf8(bytes).map_err(|_| "is no text".to_owned())?;
        let keys = pem::public_keys(text)?.into_iter().take(TRIES).map(PublicKey::of_pem);
        Ok(Self { keys: keys.collect::<Result<_, _>>()?, left_out: Vec::new() })
    }

    /// Whether a token that names this key, or none, can be checked here.
    pub(crate) fn knows(&self, kid: Option<&str>) -> bool {
        self.keys.iter().any(|key| key.is_for(kid))
    }

    /// The keys to check a token with.
    pub(crate) fn candidates(&self, kid: Option<&str>, algorithm: Algorithm) -> impl Iterator<Item = &DecodingKey> {
        let keys = self.keys.iter().filter(move |key| key.is_for(kid) && key.algorithm == algorithm);
        keys.map(|key| &key.key).take(TRIES)
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

/// The members of a JWK that count.
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
}

impl PublicKey {
    /// # Errors
    /// Why it is not for us.
    fn of_jwk(jwk: Value) -> Result<Self, &'static str> {
        let jwk: Jwk = serde_json::from_value(jwk).map_err(|_| "it is no JWK")?;
        if jwk.d.is_some() {
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
        let set = KeySet::from_json(json!({"keys": [jwk]}).to_string().as_bytes()).unwrap();
        match expected {
            Ok(algorithm) => {
                assert_eq!(set.left_out, [""; 0], "{jwk}");
                assert!(set.keys.iter().all(|key| key.algorithm == algorithm), "{jwk}");
            }
            Err(part) => assert!(set.keys.is_empty() && set.left_out[0].contains(part), "{jwk}: {:?}", set.left_out),
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
        let unnamed = set(&vec![key(None); 40]);
        assert!(!unnamed.knows(Some("a")) && unnamed.knows(None));
        assert_eq!(unnamed.candidates(None, Algorithm::EdDSA).count(), TRIES);
        assert_eq!(unnamed.candidates(None, Algorithm::RS256).count(), 0);
        assert_eq!(set(&vec![key(None); 100]).count(), KEYS);
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
