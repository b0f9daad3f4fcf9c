//! The private key of an installation that issues its own tokens: an Ed25519 JWK in a file that only its owner may
//! read. Ed25519, because its keys are short, and its signatures need no randomness that could fail.

use std::{
    io::{self, Read as _},
    path::Path,
};

use ::settings::files::{PrivateFileError, create_private, open_private};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use control_plane::ports::Rng as _;
use ring::{
    digest::{SHA256, digest},
    signature::{Ed25519KeyPair, KeyPair as _},
};
use serde::Deserialize;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use crate::edge::SystemRng;

/// No key file is longer.
const FILE_BYTES: u64 = 64 * 1024;

/// A key that signs.
pub(super) struct SigningKey {
    pair: Ed25519KeyPair,
    /// Its thumbprint (RFC 7638): it follows from the key, so that nobody has to choose one.
    kid: String,
}

#[derive(Deserialize)]
struct PrivateJwk {
    kty: String,
    crv: String,
    x: String,
    d: String,
}

impl SigningKey {
    /// Makes a key and its file, which must not be there.
    ///
    /// # Errors
    /// A sentence.
    pub(super) fn generate(path: &Path, rng: &SystemRng) -> Result<Self, String> {
        let mut seed = Zeroizing::new([0; 32]);
        rng.fill(seed.as_mut());
        let pair = Ed25519KeyPair::from_seed_unchecked(seed.as_ref()).map_err(|_| "no key could be made".to_owned())?;
        let key = Self::of(pair);
        let d = Zeroizing::new(URL_SAFE_NO_PAD.encode(seed.as_ref()));
        let text = Zeroizing::new(format!(
            "{{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"alg\":\"EdDSA\",\"use\":\"sig\",\"kid\":\"{}\",\"x\":\"{}\",\"d\":\"{}\"}}\n",
            key.kid,
            key.x(),
            d.as_str()
        ));
        create(path, text.as_bytes())?;
        Ok(key)
    }

    /// Reads a key's file, which must be its owner's alone.
    ///
    /// # Errors
    /// A sentence, which repeats nothing of the file.
    pub(super) fn load(path: &Path) -> Result<Self, String> {
        let shown = path.display();
        let unreadable = |error: io::Error| {
            format!(
                "the key file {shown} cannot be read ({error}): it must be one that `secapi-proxy token keygen` made"
            )
        };
        let file = open_private(path).map_err(|error| match error {
            PrivateFileError::Unreadable(error) => unreadable(error),
            PrivateFileError::Exposed(mode) => format!(
                "the key file {shown} has mode {mode:04o}, so others may have read it: make another key with `secapi-proxy token keygen`, or chmod 600 {shown}"
            ),
        })?;
        let mut text = Zeroizing::new(String::new());
        file.take(FILE_BYTES).read_to_string(&mut text).map_err(unreadable)?;
        Self::parse(&text).ok_or_else(|| {
            format!("the key file {shown} holds no private Ed25519 JWK: it must be one that `secapi-proxy token keygen` made")
        })
    }

    fn parse(text: &str) -> Option<Self> {
        let jwk: PrivateJwk = serde_json::from_str(text).ok()?;
        let d = Zeroizing::new(jwk.d);
        if (jwk.kty.as_str(), jwk.crv.as_str()) != ("OKP", "Ed25519") {
            return None;
        }
        let seed = Zeroizing::new(URL_SAFE_NO_PAD.decode(d.as_bytes()).ok()?);
        let public = URL_SAFE_NO_PAD.decode(&jwk.x).ok()?;
        Ed25519KeyPair::from_seed_and_public_key(&seed, &public).ok().map(Self::of)
    }

    fn of(pair: Ed25519KeyPair) -> Self {
        let x = URL_SAFE_NO_PAD.encode(pair.public_key());
        let members = format!("{{\"crv\":\"Ed25519\",\"kty\":\"OKP\",\"x\":\"{x}\"}}");
        Self { pair, kid: URL_SAFE_NO_PAD.encode(digest(&SHA256, members.as_bytes())) }
    }

    fn x(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.pair.public_key())
    }

    /// The public key, as a set of one.
    pub(super) fn jwks(&self) -> Value {
        let (kid, x) = (&self.kid, self.x());
        json!({"keys": [{"kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "use": "sig", "kid": kid, "x": x}]})
    }

    /// A token of these claims.
    pub(super) fn sign(&self, claims: &Value) -> String {
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let header = json!({"alg": "EdDSA", "typ": "JWT", "kid": self.kid});
        let message = format!("{}.{}", part(&header), part(claims));
        let signature = URL_SAFE_NO_PAD.encode(self.pair.sign(message.as_bytes()));
        format!("{message}.{signature}")
    }
}

/// Writes the file of a key, which must not be there.
fn create(path: &Path, content: &[u8]) -> Result<(), String> {
    let shown = path.display();
    create_private(path, content).map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => format!(
            "--out {shown} exists already: it must be a new file, because the tokens of an overwritten key would end, for example another-key.json"
        ),
        _ => format!("--out {shown} cannot be written ({error}): it must be a new file in a folder that is there, on a disk with room, for example key.json"),
    })
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt as _};

    use ring::signature::{ED25519, UnparsedPublicKey};

    use super::*;

    #[test]
    fn a_key_is_made_once_and_signs_when_it_is_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key.json");
        let made = SigningKey::generate(&path, &SystemRng::new()).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let before = fs::read(&path).unwrap();
        let sentence = SigningKey::generate(&path, &SystemRng::new()).err().unwrap();
        assert!(sentence.contains("exists already") && fs::read(&path).unwrap() == before, "{sentence}");

        let read = SigningKey::load(&path).unwrap();
        assert_eq!(read.jwks(), made.jwks());
        assert!(!made.jwks().to_string().contains("\"d\""));
        let token = read.sign(&json!({"sub": "ada"}));
        let (message, signature) = token.rsplit_once('.').unwrap();
        let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
        let public = UnparsedPublicKey::new(&ED25519, made.pair.public_key());
        assert!(public.verify(message.as_bytes(), &signature).is_ok());
    }

    #[test]
    fn a_key_file_that_cannot_be_used_says_why_and_repeats_nothing_of_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key.json");
        let load = || SigningKey::load(&path).err().unwrap();
        assert!(load().contains("cannot be read"));
        SigningKey::generate(&path, &SystemRng::new()).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        let jwk: Value = serde_json::from_str(&text).unwrap();
        let secret = jwk["d"].as_str().unwrap();
        let other = URL_SAFE_NO_PAD.encode([7; 32]);
        for broken in
            [text.replace("Ed25519", "X25519"), text.replace(secret, "AAAA"), text.replace(secret, &other), "{".into()]
        {
            fs::write(&path, &broken).unwrap();
            let sentence = load();
            assert!(sentence.contains("keygen") && !sentence.contains(secret), "{sentence}");
        }
        fs::write(&path, &text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        assert!(load().contains("chmod 600"));
    }

    #[test]
    fn the_key_id_is_the_thumbprint_of_rfc_8037() {
        // Appendix A.3: the public key of the example, and its thumbprint.
        let text = "{\"crv\":\"Ed25519\",\"kty\":\"OKP\",\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}";
        assert_eq!(
            URL_SAFE_NO_PAD.encode(digest(&SHA256, text.as_bytes())),
            "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"
        );
        let seed = [7; 32];
        let key = SigningKey::of(Ed25519KeyPair::from_seed_unchecked(&seed).unwrap());
        let expected = text.replace("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo", &key.x());
        assert_eq!(key.kid, URL_SAFE_NO_PAD.encode(digest(&SHA256, expected.as_bytes())));
    }
}
