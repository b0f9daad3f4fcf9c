//! Tokens that hold, and attacks that do not. Keys are made here and nowhere else.

mod changing_keys;

use std::{
    collections::{BTreeMap, VecDeque},
    fs,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use http::header::AUTHORIZATION;
use ring::{
    hmac,
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _},
};
use seca_api::Timestamp;
use serde_json::{Value, json};
use tokio::sync::Notify;
use url::Url;

use super::*;

const NOW: i64 = 1_700_000_000;

struct At(i64);

impl Clock for At {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.0 * 1000)
    }
}

fn base64url(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

#[expect(clippy::disallowed_methods, reason = "test keys are made at run time")]
fn random() -> SystemRandom {
    SystemRandom::new()
}

/// The first test installs it, the others find it.
fn install() {
    if RING.install_default().is_err() {}
}

enum Signer {
    Ed25519(Ed25519KeyPair),
    P256(EcdsaKeyPair),
}

impl Signer {
    fn ed25519() -> Self {
        let document = Ed25519KeyPair::generate_pkcs8(&random()).unwrap();
        Self::Ed25519(Ed25519KeyPair::from_pkcs8(document.as_ref()).unwrap())
    }

    fn p256() -> Self {
        let document = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random()).unwrap();
        let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, document.as_ref(), &random());
        Self::P256(key.unwrap())
    }

    fn algorithm(&self) -> &'static str {
        match self {
            Self::Ed25519(_) => "EdDSA",
            Self::P256(_) => "ES256",
        }
    }

    fn jwk(&self, kid: Option<&str>) -> Value {
        let mut jwk = match self {
            Self::Ed25519(key) => json!({"kty": "OKP", "crv": "Ed25519", "x": base64url(key.public_key())}),
            Self::P256(key) => {
                let point = key.public_key().as_ref();
                json!({"kty": "EC", "crv": "P-256", "x": base64url(&point[1..33]), "y": base64url(&point[33..])})
            }
        };
        if let Some(kid) = kid {
            jwk["kid"] = json!(kid);
        }
        jwk
    }

    fn sign_text(&self, header: &str, claims: &str) -> String {
        let message = format!("{}.{}", base64url(header), base64url(claims));
        let signature = match self {
            Self::Ed25519(key) => key.sign(message.as_bytes()).as_ref().to_vec(),
            Self::P256(key) => key.sign(&random(), message.as_bytes()).unwrap().as_ref().to_vec(),
        };
        format!("{message}.{}", base64url(signature))
    }

    fn sign(&self, header: &Value, claims: &Value) -> String {
        self.sign_text(&header.to_string(), &claims.to_string())
    }

    /// A good token of the issuer `corp`.
    fn token(&self, kid: Option<&str>) -> String {
        let mut header = json!({"alg": self.algorithm(), "typ": "JWT"});
        if let Some(kid) = kid {
            header["kid"] = json!(kid);
        }
        self.sign(&header, &good_claims())
    }
}

fn good_claims() -> Value {
    json!({"iss": "https://corp.example.org", "aud": "seca", "sub": "ada", "exp": NOW + 60})
}

/// Answers as it is told: with the next answer of the queue, and with the last one from then on.
#[derive(Default)]
struct Answers {
    queue: Mutex<VecDeque<Result<Value, String>>>,
    last: Mutex<Option<Result<Value, String>>>,
    asked: AtomicUsize,
    /// Held fetches wait for it.
    hold: Mutex<Option<Arc<Notify>>>,
}

impl Answers {
    fn then(&self, answer: Result<&[Value], &str>) {
        let answer = answer.map(|keys| json!({"keys": keys})).map_err(str::to_owned);
        self.queue.lock().unwrap().push_back(answer);
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

#[async_trait]
impl JwksFetcher for Answers {
    async fn fetch(&self, url: &Url, limit: usize) -> Result<Vec<u8>, String> {
        assert_eq!((url.as_str(), limit), ("https://corp.example.org/jwks.json", 1024 * 1024));
        self.asked.fetch_add(1, Ordering::SeqCst);
        let hold = self.hold.lock().unwrap().clone();
        if let Some(hold) = hold {
            hold.notified().await;
        }
        let next = self.queue.lock().unwrap().pop_front();
        let mut last = self.last.lock().unwrap();
        if next.is_some() {
            *last = next;
        }
        last.clone().unwrap_or(Err("refused".to_owned())).map(|set| set.to_string().into_bytes())
    }
}

fn start(issuers: &Value, answers: &Arc<Answers>, folder: &Path) -> Jwt {
    install();
    let issuers = Issuers::parse(&json!({"issuers": issuers}).to_string(), folder).unwrap();
    let fetcher: Arc<dyn JwksFetcher> = answers.clone();
    Jwt::start(&issuers, &fetcher, Arc::new(At(NOW))).unwrap()
}

fn remote(answers: &Arc<Answers>) -> Jwt {
    let issuer = json!({
        "name": "corp", "issuer": "https://corp.example.org", "audience": "seca", "algorithms": ["EdDSA", "ES256"],
        "jwks_url": "https://corp.example.org/jwks.json",
    });
    start(&json!([issuer]), answers, Path::new(""))
}

/// Over a key file with this content.
fn over_file(content: &str, algorithms: &[&str]) -> Jwt {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("keys"), content).unwrap();
    let issuer = json!({
        "name": "corp", "issuer": "https://corp.example.org", "audience": "seca", "algorithms": algorithms,
        "keys_file": "keys",
    });
    start(&json!([issuer]), &Arc::default(), folder.path())
}

fn over_keys(keys: &[Value]) -> Jwt {
    over_file(&json!({"keys": keys}).to_string(), &["EdDSA", "ES256"])
}

fn subject(result: Result<Caller, AuthError>) -> Result<String, AuthError> {
    result.map(|caller| caller.subject)
}

#[track_caller]
fn assert_unavailable(result: Result<Caller, AuthError>) {
    let Err(AuthError::Unavailable(cause)) = &result else { panic!("{result:?}") };
    assert!(cause.contains("the issuer `corp` cannot be fetched"), "{cause}");
}

#[tokio::test]
async fn every_algorithm_and_every_form_of_key_file_holds() {
    for signer in [Signer::ed25519(), Signer::p256()] {
        let jwt = over_keys(&[signer.jwk(Some("a")), Signer::p256().jwk(Some("b"))]);
        assert_eq!(subject(jwt.verify(&signer.token(Some("a"))).await).as_deref(), Ok("ada"));
        assert_eq!(jwt.verify(&signer.token(Some("b"))).await, Err(Fault::Signature.into()));
        assert_eq!(jwt.verify(&signer.token(Some("c"))).await, Err(Fault::UnknownKey.into()));
        assert_eq!(jwt.verify(&signer.token(None)).await, Err(Fault::UnknownKey.into()));

        let unnamed = over_keys(&[Signer::ed25519().jwk(None), Signer::p256().jwk(None), signer.jwk(None)]);
        assert_eq!(subject(unnamed.verify(&signer.token(None)).await).as_deref(), Ok("ada"));
        assert_eq!(unnamed.verify(&signer.token(Some("a"))).await, Err(Fault::UnknownKey.into()));
    }
    // PEM has no names: it stands for all of the issuer's tokens.
    let Signer::Ed25519(key) = Signer::ed25519() else { unreachable!() };
    let info = [&[0x30, 0x2a, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 3, 0x21, 0], key.public_key().as_ref()].concat();
    let text = base64::engine::general_purpose::STANDARD.encode(info);
    let pem = over_file(&format!("-----BEGIN PUBLIC KEY-----\n{text}\n-----END PUBLIC KEY-----\n"), &["EdDSA"]);
    let signer = Signer::Ed25519(key);
    for kid in [None, Some("a")] {
        assert_eq!(subject(pem.verify(&signer.token(kid)).await).as_deref(), Ok("ada"));
    }
}

#[test]
fn rs256_agrees_with_the_example_of_rfc_7515() {
    install();
    // Appendix A.2: the public key, and a token that was signed with it.
    let n = "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ";
    let message = "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
    let signature = "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw";
    let set = json!({"keys": [{"kty": "RSA", "n": n, "e": "AQAB"}]}).to_string();
    let keys = KeySet::from_json(set.as_bytes()).unwrap();
    let check = |token: String| check_signature(&token, &keys, None, Algorithm::RS256);
    assert_eq!(check(format!("{message}.{signature}")), Ok(()));
    assert_eq!(check(format!("{message}.{}", signature.replacen('c', "d", 1))), Err(Fault::Signature));
    assert_eq!(check(format!("{}.{signature}", message.replacen("Jq", "Jr", 1))), Err(Fault::Signature));
}

#[tokio::test]
async fn attacks_on_the_header_are_refused() {
    let signer = Signer::ed25519();
    let public = signer.jwk(Some("a"));
    let jwt = over_keys(std::slice::from_ref(&public));
    let check = async |header: Value, expected: Result<(), Fault>| {
        let result = jwt.verify(&signer.sign(&header, &good_claims())).await.map(drop);
        assert_eq!(result, expected.map_err(AuthError::from), "{header}");
    };
    check(json!({"alg": "EdDSA", "kid": "a"}), Ok(())).await;
    check(json!({"alg": "EdDSA", "kid": "a", "typ": "at+JWT"}), Ok(())).await;
    check(json!({"alg": "EdDSA", "kid": "a", "typ": "application/at+jwt"}), Ok(())).await;
    for typ in ["dpop+jwt", "logout+jwt", "JOSE"] {
        check(json!({"alg": "EdDSA", "kid": "a", "typ": typ}), Err(Fault::Type)).await;
    }
    for alg in ["none", "None", "NONE", "", "Ed448"] {
        check(json!({"alg": alg, "kid": "a"}), Err(Fault::Form)).await;
    }
    for alg in ["HS256", "RS256", "PS256", "ES384"] {
        check(json!({"alg": alg, "kid": "a"}), Err(Fault::Algorithm)).await;
    }
    // Agreed with the issuer, and not what the key is.
    check(json!({"alg": "ES256", "kid": "a"}), Err(Fault::Signature)).await;
    for crit in [json!([]), json!(["b64"]), json!(["exp"])] {
        check(json!({"alg": "EdDSA", "kid": "a", "crit": crit, "b64": false}), Err(Fault::Critical)).await;
    }
    check(json!({"alg": "EdDSA", "kid": "a", "crit": "b64"}), Err(Fault::Form)).await;
    for kid in ["../../etc/passwd", "/dev/null", "a' OR 'a'='a", "a\u{0}", "A", "https://evil.example.org/a"] {
        check(json!({"alg": "EdDSA", "kid": kid}), Err(Fault::UnknownKey)).await;
    }
    check(json!({"alg": "EdDSA", "kid": 7}), Err(Fault::Form)).await;
    check(json!({"alg": ["EdDSA"], "kid": "a"}), Err(Fault::Form)).await;
    check(json!({"kid": "a"}), Err(Fault::Form)).await;

    // The attacker's own key, wherever the header says that it is.
    let attacker = Signer::ed25519();
    for header in [
        json!({"alg": "EdDSA", "kid": "a", "jwk": attacker.jwk(Some("a"))}),
        json!({"alg": "EdDSA", "kid": "a", "jku": "https://evil.example.org/jwks.json"}),
        json!({"alg": "EdDSA", "kid": "a", "x5u": "https://evil.example.org/cert", "x5c": ["AAAA"]}),
    ] {
        let result = jwt.verify(&attacker.sign(&header, &good_claims())).await;
        assert_eq!(result, Err(Fault::Signature.into()), "{header}");
    }
    // The public key as the secret of an HMAC.
    let message = format!(
        "{}.{}",
        base64url(json!({"alg": "HS256", "kid": "a"}).to_string()),
        base64url(good_claims().to_string())
    );
    for secret in [public["x"].as_str().unwrap().as_bytes().to_vec(), public.to_string().into_bytes()] {
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &secret), message.as_bytes());
        let result = jwt.verify(&format!("{message}.{}", base64url(tag))).await;
        assert_eq!(result, Err(Fault::Algorithm.into()));
    }
    for header in [r#"{"alg":"none","alg":"EdDSA","kid":"a"}"#, r#"{"alg":"EdDSA","kid":"b","kid":"a"}"#] {
        let result = jwt.verify(&signer.sign_text(header, &good_claims().to_string())).await;
        assert_eq!(result, Err(Fault::Form.into()), "{header}");
    }
}

#[tokio::test]
async fn what_is_no_token_or_a_changed_one_is_refused() {
    let signer = Signer::ed25519();
    let jwt = over_keys(&[signer.jwk(Some("a"))]);
    let good = signer.token(Some("a"));
    assert!(jwt.verify(&good).await.is_ok());
    let [header, claims, signature] = good.split('.').collect::<Vec<_>>()[..] else { panic!() };
    let other = base64url(good_claims().to_string().replace("ada", "eve"));
    let table = [
        (String::new(), Fault::Form),
        ("opaque".to_owned(), Fault::Form),
        (format!("{header}.{claims}"), Fault::Form),
        (format!("{good}.{signature}"), Fault::Form),
        (format!("{header}.{claims}."), Fault::Signature),
        (format!("{header}.{claims}.{}", base64url([0; 64])), Fault::Signature),
        (format!("{header}.{other}.{signature}"), Fault::Signature),
        (format!("{good}=="), Fault::Signature),
        (format!("{header}=.{claims}.{signature}"), Fault::Form),
        (format!("{header}.{}.{signature}", base64url("[]")), Fault::Form),
        (format!("{header}.{}.{signature}", base64url("{\"a\":".repeat(2000))), Fault::TooLong),
        (format!("{header}.{}.{signature}", base64url("[".repeat(3000))), Fault::Form),
        ("x".repeat(TOKEN_BYTES + 1), Fault::TooLong),
    ];
    for (token, fault) in table {
        assert_eq!(jwt.verify(&token).await, Err(fault.into()), "{token}");
    }
    let twice = good_claims().to_string().replacen('{', r#"{"sub":"eve","#, 1);
    let token = signer.sign_text(r#"{"alg":"EdDSA","kid":"a"}"#, &twice);
    assert_eq!(jwt.verify(&token).await, Err(Fault::Form.into()));
}

#[tokio::test]
async fn one_bearer_token_is_expected_and_no_second_one() {
    let signer = Signer::ed25519();
    let jwt = over_keys(&[signer.jwk(Some("a"))]);
    let value = format!("Bearer {}", signer.token(Some("a")));
    let authenticate = async |values: &[&str]| {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(AUTHORIZATION, value.parse().unwrap());
        }
        subject(jwt.authenticate(&headers).await)
    };
    assert_eq!(authenticate(&[]).await, Err(AuthError::Missing));
    assert_eq!(authenticate(&[&value]).await.as_deref(), Ok("ada"));
    assert_eq!(authenticate(&[&value, &value]).await, Err(AuthError::Malformed));
    assert_eq!(authenticate(&[&format!("{value}, {value}")]).await, Err(AuthError::Malformed));
}

#[tokio::test]
async fn an_issuer_speaks_for_itself_alone() {
    let folder = tempfile::tempdir().unwrap();
    let signers = BTreeMap::from([("corp", Signer::ed25519()), ("iam", Signer::p256())]);
    let mut issuers = Vec::new();
    for (name, signer) in &signers {
        fs::write(folder.path().join(name), json!({"keys": [signer.jwk(Some("a"))]}).to_string()).unwrap();
        issuers.push(json!({
            "name": name, "issuer": format!("https://{name}.example.org"), "audience": "seca",
            "algorithms": [signer.algorithm()], "keys_file": name,
        }));
    }
    let jwt = start(&json!(issuers), &Arc::default(), folder.path());
    let token = |signer: &str, iss: &str, sub: &str| {
        let mut claims = good_claims();
        (claims["iss"], claims["sub"]) = (json!(format!("https://{iss}.example.org")), json!(sub));
        signers[signer].sign(&json!({"alg": signers[signer].algorithm(), "kid": "a"}), &claims)
    };
    assert_eq!(subject(jwt.verify(&token("corp", "corp", "admin")).await).as_deref(), Ok("corp:admin"));
    assert_eq!(subject(jwt.verify(&token("iam", "iam", "admin")).await).as_deref(), Ok("iam:admin"));
    assert_eq!(subject(jwt.verify(&token("iam", "iam", "corp:admin")).await).as_deref(), Ok("iam:corp:admin"));
    // In another's name, with its own key; the algorithm is not even the other's.
    assert_eq!(jwt.verify(&token("iam", "corp", "admin")).await, Err(Fault::Algorithm.into()));
    assert_eq!(jwt.verify(&token("corp", "nobody", "admin")).await, Err(Fault::Issuer.into()));
}

/// The claims that eu-sovereign-cloud/iam puts into its personal access tokens: ES256, an audience list, a term of
/// 100 years where none was asked for.
#[tokio::test]
async fn a_personal_access_token_of_the_iam_service_holds() {
    let signer = Signer::p256();
    let jwt = over_keys(&[signer.jwk(Some("4be0643f1d98573b"))]);
    let exp = NOW + 100 * 365 * 86_400;
    let claims = json!({
        "iss": "https://corp.example.org", "sub": "ada@example.org", "aud": ["seca"], "exp": exp, "nbf": NOW,
        "iat": NOW, "jti": "9f86d081884c7d65", "scope": {"tenants": ["dev"], "workspaces": ["demo"]},
        "tenants": ["dev", "prod"],
    });
    let header = json!({"alg": "ES256", "kid": "4be0643f1d98573b", "typ": "JWT"});
    let caller = jwt.verify(&signer.sign(&header, &claims)).await.unwrap();
    let only = |name: &str| Some([name.to_owned()].into());
    assert_eq!((caller.subject.as_str(), caller.token_id.as_deref()), ("ada@example.org", Some("9f86d081884c7d65")));
    assert_eq!((caller.within.tenants, caller.within.workspaces), (only("dev"), only("demo")));
    assert_eq!(caller.expires_at, Some(Timestamp::from_millis(exp * 1000).plus(LEEWAY)));
}
