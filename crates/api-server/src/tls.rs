//! TLS of a listener: certificate and key from files, taken anew when these change, and who presents a client
//! certificate.
//!
//! Files are looked at every second rather than watched: it costs three looks, needs no library, and sees what
//! Kubernetes and ACME clients do (a link that is turned, a file that is moved) like everything else.

mod client_certificate;
mod subject;
mod validity;

use std::{
    io::{self, Read as _},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use rustls::{
    RootCertStore, ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    server::{NoServerSessionStorage, WebPkiClientVerifier, danger::ClientCertVerifier},
};
use tokio::{sync::watch, task::spawn_blocking, time::interval};
use zeroize::Zeroizing;

use settings::{
    changes::{LastRead, Look, Stamp},
    files::{PrivateFileError, open_private, open_regular},
};

pub use client_certificate::ClientCertificate;

/// Among the extensions of a request whose connection is encrypted by us.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Encrypted;

/// The files of a listener's TLS, in PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate, followed by those between it and a root.
    pub certificate: PathBuf,
    /// Its private key, which only its owner may read.
    pub key: PathBuf,
    /// The authorities whose client certificates count; none: nobody is asked for one.
    pub client_ca: Option<PathBuf>,
}

/// The files of a listener's TLS cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// One of them cannot be read.
    #[error("{path} cannot be read: {1}", path = .0.display())]
    Unreadable(PathBuf, io::Error),
    /// Others than its owner may read the key.
    #[error("{path} has mode {mode:04o}, so others may read the key: chmod 600 {path}", path = .0.display(), mode = .1)]
    Exposed(PathBuf, u32),
    /// It holds nothing of the kind.
    #[error("{path} holds no {1}", path = .0.display())]
    Empty(PathBuf, &'static str),
    /// What it holds is not understood.
    #[error("{path} cannot be used: {1}", path = .0.display())]
    Content(PathBuf, String),
    /// The key is another certificate's.
    #[error("{key} is not the key of the certificate in {certificate}", key = .0.display(), certificate = .1.display())]
    Mismatch(PathBuf, PathBuf),
}

/// TLS of a listener. Clones share what is in effect.
#[derive(Clone)]
pub struct Tls(Arc<Shared>);

struct Shared {
    files: TlsFiles,
    current: watch::Sender<InEffect>,
    seen: Mutex<LastRead<[Option<Stamp>; 3]>>,
}

/// What the files amount to.
struct InEffect {
    config: Arc<ServerConfig>,
    /// When its certificate ends, in seconds since 1970.
    ends: Option<i64>,
    /// Judges client certificates, where they are asked for.
    clients: Option<Arc<dyn ClientCertVerifier>>,
}

/// How often the files are looked at.
const INTERVAL: Duration = Duration::from_secs(1);

impl Tls {
    /// Reads the files.
    ///
    /// # Errors
    /// [`TlsError`].
    pub fn load(files: TlsFiles) -> Result<Self, TlsError> {
        let seen = LastRead::new(files.look());
        let current = watch::Sender::new(files.read()?);
        Ok(Self(Arc::new(Shared { files, current, seen: Mutex::new(seen) })))
    }

    /// What new connections use.
    pub(crate) fn current(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.0.current.borrow().config)
    }

    /// When the certificate in effect ends, in seconds since 1970; none: it does not tell.
    #[must_use]
    pub fn ends(&self) -> Option<i64> {
        self.0.current.borrow().ends
    }

    /// Who judges client certificates now.
    fn clients(&self) -> Option<Arc<dyn ClientCertVerifier>> {
        self.0.current.borrow().clients.clone()
    }

    /// Looks at the files.
    pub(crate) fn refresh(&self) -> Look<(), TlsError> {
        let look = self.0.files.look();
        let mut seen = self.0.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.look(look, || self.0.files.read().map(|read| drop(self.0.current.send_replace(read))))
    }

    /// Takes the files anew whenever they change. Never ends.
    pub(crate) async fn follow(self) {
        let mut ticks = interval(INTERVAL);
        loop {
            ticks.tick().await;
            let tls = self.clone();
            let certificate = self.0.files.certificate.display();
            match spawn_blocking(move || tls.refresh()).await {
                Ok(Look::Unchanged) | Err(_) => {}
                Ok(Look::Taken(())) => tracing::info!(%certificate, "the certificate files changed and are in effect"),
                Ok(Look::Kept(error)) => tracing::error!(
                    %certificate, error = &error as &dyn std::error::Error,
                    "the certificate files changed and cannot be used; those before stay in effect"
                ),
            }
        }
    }
}

impl TlsFiles {
    fn look(&self) -> [Option<Stamp>; 3] {
        [Stamp::of(&self.certificate), Stamp::of(&self.key), self.client_ca.as_deref().and_then(Stamp::of)]
    }

    fn read(&self) -> Result<InEffect, TlsError> {
        let provider = Arc::new(ring::default_provider());
        let refuse = |error: rustls::Error| match error {
            rustls::Error::InconsistentKeys(_) => TlsError::Mismatch(self.key.clone(), self.certificate.clone()),
            error => TlsError::Content(self.certificate.clone(), error.to_string()),
        };
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(refuse)?;
        let clients = self.client_ca.as_deref().map(|path| client_verifier(path, provider)).transpose()?;
        let builder = match &clients {
            None => builder.with_no_client_auth(),
            Some(clients) => builder.with_client_cert_verifier(Arc::clone(clients)),
        };
        let chain = certificates(&self.certificate)?;
        let ends = chain.first().and_then(validity::end);
        let mut config = builder.with_single_cert(chain, private_key(&self.key)?).map_err(refuse)?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        if clients.is_some() {
            // A resumed session skips the verification: it would outlive the certificate. There is no ticketer either.
            config.session_storage = Arc::new(NoServerSessionStorage {});
            config.send_tls13_tickets = 0;
        }
        Ok(InEffect { config: Arc::new(config), ends, clients })
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let unreadable = |error| TlsError::Unreadable(path.to_owned(), error);
    let mut pem = Vec::new();
    open_regular(path).map_err(unreadable)?.read_to_end(&mut pem).map_err(unreadable)?;
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    let certificates = certificates.map_err(|error| TlsError::Content(path.to_owned(), error.to_string()))?;
    if certificates.is_empty() {
        return Err(TlsError::Empty(path.to_owned(), "certificate in PEM"));
    }
    Ok(certificates)
}

/// What is wrong with its content is not repeated: it may be a part of the key.
fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    let unreadable = |error| TlsError::Unreadable(path.to_owned(), error);
    let mut file = open_private(path).map_err(|error| match error {
        PrivateFileError::Unreadable(error) => unreadable(error),
        PrivateFileError::Exposed(mode) => TlsError::Exposed(path.to_owned(), mode),
    })?;
    let mut pem = Zeroizing::new(Vec::new());
    file.read_to_end(&mut pem).map_err(unreadable)?;
    PrivateKeyDer::from_pem_slice(&pem)
        .map_err(|_| TlsError::Empty(path.to_owned(), "private key in PEM that is not encrypted"))
}

/// A client may come without a certificate, as health checks do; one that is shown must be good.
fn client_verifier(
    path: &Path,
    provider: Arc<rustls::crypto::CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
    let refuse = |error: &dyn std::error::Error| TlsError::Content(path.to_owned(), error.to_string());
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path)? {
        roots.add(certificate).map_err(|error| refuse(&error))?;
    }
    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
        .allow_unauthenticated()
        .build()
        .map_err(|error| refuse(&error))
}

#[cfg(test)]
#[path = "tls_tests.rs"]
mod tests;
