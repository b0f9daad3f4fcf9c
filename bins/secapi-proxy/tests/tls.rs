//! The proxy as a process with TLS on both listeners, and with rates: that the settings reach what they set.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stderr, missing_docs)]

mod common;

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path, process::Command, sync::Arc};

use common::{
    PATIENCE, binary, http, life,
    process::Process,
    proxy::{ADMIN_TOKEN, BEARER, REGION, Setup, TENANT},
    sim::Sim,
    until,
};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};
use seca_client::{SecaClient, client_trusting, seca_api::WorkspaceSpec};
use tokio::{task::JoinSet, time::timeout};

const UNUSED: &str = "http://127.0.0.1:9/v1";

/// An authority, and what it signs.
struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    /// A certificate and its key, in PEM.
    fn sign(&self, common_name: &str, usage: ExtendedKeyUsagePurpose) -> (String, String) {
        let mut params = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, common_name);
        params.extended_key_usages = vec![usage];
        let key = KeyPair::generate().unwrap();
        (params.signed_by(&key, &self.0).unwrap().pem(), key.serialize_pem())
    }

    /// A client that trusts it and comes with a certificate of its own.
    fn client(&self, name: &str) -> reqwest::Client {
        let (certificate, key) = self.sign(name, ExtendedKeyUsagePurpose::ClientAuth);
        let certificate = CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap();
        let mut roots = rustls::RootCertStore::empty();
        roots.add(self.0.der().clone()).unwrap();
        let tls = rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_client_auth_cert(vec![certificate], PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap())
            .unwrap();
        reqwest::Client::builder().tls_backend_preconfigured(tls).no_proxy().timeout(PATIENCE).build().unwrap()
    }
}

/// Writes a certificate and its key, and gives their paths.
fn write(folder: &Path, (certificate, key): (String, String)) -> [String; 2] {
    let paths = ["cert.pem", "key.pem"].map(|name| folder.join(name));
    fs::write(&paths[0], certificate).unwrap();
    fs::write(&paths[1], key).unwrap();
    fs::set_permissions(&paths[1], fs::Permissions::from_mode(0o600)).unwrap();
    paths.map(|path| path.display().to_string())
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_operators_and_the_provisioner_meet_over_tls() {
    let (folder, authority) = (tempfile::tempdir().unwrap(), Authority::new());
    let [certificate, key] = write(folder.path(), authority.sign("server", ExtendedKeyUsagePurpose::ServerAuth));
    let authority_file = folder.path().join("ca.pem");
    fs::write(&authority_file, authority.0.pem()).unwrap();
    let authority_file = authority_file.display().to_string();
    let sim = Sim::start(folder.path(), 0.0).await;
    let mut proxy = Setup::new(folder.path(), &sim.endpoint())
        .with("SECA_TLS_CERT_FILE", &certificate)
        .with("SECA_TLS_KEY_FILE", &key)
        .with("SECA_ADMIN_TLS_CERT_FILE", &certificate)
        .with("SECA_ADMIN_TLS_KEY_FILE", &key)
        .with("SECA_ADMIN_TLS_CLIENT_CA_FILE", &authority_file)
        .serve()
        .await;
    assert!(proxy.public.starts_with("https://") && proxy.admin.starts_with("https://"), "{}", proxy.process.stdout());

    let mut provisioner = Command::new(binary("token-provisioner"));
    provisioner.env_clear().envs([
        ("SECA_ADMIN_TOKEN", ADMIN_TOKEN),
        ("SECA_ADMIN_BASE_URL", &proxy.admin),
        ("SECA_CA_FILE", &authority_file),
        ("SECA_TOKEN_PROVISIONER_HETZNER_TOKEN", &sim.token),
        ("SECA_TOKEN_PROVISIONER_INTERVAL", "100ms"),
    ]);
    let _provisioner = Process::start("token-provisioner", folder.path(), &mut provisioner);

    // Connecting reads where the providers answer, so the URLs that are advertised are called, too.
    let client = client_trusting(&proxy.public, authority.0.pem().as_bytes()).unwrap();
    let seca = SecaClient::with_client(client, &proxy.public, TENANT, REGION, Some(BEARER.into())).await.unwrap();
    seca.workspaces().put(life::WORKSPACE, WorkspaceSpec::default()).await.unwrap();
    seca.workspaces().wait_active(life::WORKSPACE, life::wait()).await.unwrap();

    let orphans = format!("{}/admin/v1/orphans", proxy.admin);
    let answer = authority.client("ops@example.org").get(&orphans).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    let named = async || proxy.process.output().contains("subject=\"ops@example.org\"").then_some(());
    until("the operator's name in the log", PATIENCE, named).await;
    let stranger = client_trusting(&proxy.admin, authority.0.pem().as_bytes()).unwrap();
    assert_eq!(stranger.get(&orphans).send().await.unwrap().status(), 401);
    assert_eq!(proxy.stop().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_setting_of_tls_that_does_not_hold_ends_it_with_2_and_a_sentence() {
    let folder = tempfile::tempdir().unwrap();
    let setup = Setup::new(folder.path(), UNUSED).with("SECA_TLS_CERT_FILE", "/nowhere");
    for (setup, part) in [
        (setup.clone(), "SECA_TLS_CERT_FILE is set without SECA_TLS_KEY_FILE"),
        (setup.with("SECA_TLS_KEY_FILE", "/nowhere"), "/nowhere cannot be read"),
    ] {
        let (code, text) = setup.run(&["serve"]);
        assert_eq!(code, Some(2), "{text}");
        assert!(text.contains(part) && text.trim_end().lines().count() == 1, "{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn writes_over_the_rate_of_the_settings_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let setup = Setup::new(folder.path(), UNUSED).with("SECA_WRITE_RATE", "1").with("SECA_WRITE_BURST", "1");
    let mut proxy = setup.serve().await;
    let path = format!("{}/providers/seca.workspace/v1/tenants/{TENANT}/workspaces/none", proxy.public);
    let client = http();
    let mut writes = JoinSet::new();
    // Ten are under way all the time: more than one a second serves and five seconds let wait.
    let refused = async {
        loop {
            while writes.len() < 10 {
                writes.spawn(client.delete(&path).bearer_auth(BEARER).send());
            }
            let answer = writes.join_next().await.expect("ten are under way").unwrap().unwrap();
            if answer.status() == 429 {
                return answer;
            }
            assert_eq!(answer.status(), 404);
        }
    };
    let refused = timeout(PATIENCE, refused).await.expect("one is refused");
    assert_eq!(refused.headers()["retry-after"], "1");
    // A stop lets those that wait go at once.
    assert_eq!(proxy.stop().await, Some(0));
}
