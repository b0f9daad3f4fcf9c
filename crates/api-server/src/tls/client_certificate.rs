//! A client certificate, judged anew for each request.
//!
//! Certificates are short-lived because nothing revokes them, and a connection may be kept for days. So what the
//! handshake verified is verified again, at the time of the request and by the authorities that are in effect then. It
//! is the handshake's own code, at the price of a signature for each link of the chain (some 0.1 ms); a reader of the
//! end alone would be a second opinion on certificates, and would not see the end of one between.

use std::{fmt, sync::Arc, time::Duration};

use rustls::{
    CertificateError, ServerConnection,
    pki_types::{CertificateDer, UnixTime},
};
use seca_api::Timestamp;

use super::{Tls, subject::common_name};

/// The client certificate that a request's connection presented and that was verified then; among the extensions of
/// the request.
#[derive(Clone)]
pub struct ClientCertificate {
    name: Arc<str>,
    chain: Arc<[CertificateDer<'static>]>,
    tls: Tls,
}

impl ClientCertificate {
    /// What a connection presented; none where that does not name anybody.
    pub(crate) fn of(connection: &ServerConnection, tls: &Tls) -> Option<Self> {
        let chain = connection.peer_certificates()?;
        let name = common_name(chain.first()?)?.into();
        let chain = chain.iter().map(|certificate| certificate.clone().into_owned()).collect();
        Some(Self { name, chain, tls: tls.clone() })
    }

    /// Its common name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether it holds at a moment.
    ///
    /// # Errors
    /// The error of rustls: it has ended, or one that signed it has, or its authority is none any more.
    pub fn verify(&self, now: Timestamp) -> Result<(), rustls::Error> {
        let unknown = || rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer);
        let clients = self.tls.clients().ok_or_else(unknown)?;
        let (certificate, between) = self.chain.split_first().ok_or_else(unknown)?;
        let now = Duration::from_millis(u64::try_from(now.as_millis()).unwrap_or_default());
        clients.verify_client_cert(certificate, between, UnixTime::since_unix_epoch(now)).map(drop)
    }
}

impl fmt::Debug for ClientCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ClientCertificate").field(&self.name).finish()
    }
}
