//! TLS towards trackers: whom this service trusts, and how far a handshake came.
//!
//! Trusted are the built-in authorities and those of `EGRESS_CA_FILE`. A certificate that rustls refuses is looked at once
//! more (`certificate`), for it calls five different faults an unknown issuer.
//!
//! How far a handshake came is watched from inside: the HTTP client reports neither that TCP was connected nor that the
//! server asked for a certificate of ours, and a server that hangs up then looks like one that is not there. rustls asks
//! its session store when a handshake begins and its verifier when the server has proven itself; both run in the task
//! of the call, so a task-local record is the call's own.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{
    ClientSessionMemoryCache, ClientSessionStore, ResolvesClientCert, Resumption, Tls12ClientSessionValue,
    Tls13ClientSessionValue, WebPkiServerVerifier,
};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::VerifierBuilderError;
use rustls::sign::CertifiedKey;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, NamedGroup, OtherError, RootCertStore,
    SignatureScheme,
};

use super::certificate;

/// Sessions that are remembered, as rustls does by default.
const SESSIONS: usize = 256;

/// TLS that trusts the built-in authorities and these.
pub(super) fn config(authorities: &[CertificateDer<'static>]) -> Result<ClientConfig, Error> {
    let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    for authority in authorities {
        roots.add(authority.clone())?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let roots = Arc::new(roots);
    let library = WebPkiServerVerifier::builder_with_provider(Arc::clone(&roots), Arc::clone(&provider))
        .build()
        .map_err(|error: VerifierBuilderError| Error::General(error.to_string()))?;
    let verifier = Verifier { library, roots, as_they_are: authorities.to_vec() };
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_client_cert_resolver(Arc::new(NoCertificate));
    config.resumption = Resumption::store(Arc::new(Sessions(ClientSessionMemoryCache::new(SESSIONS))));
    Ok(config)
}

/// How far a call's handshake came.
#[derive(Debug, Default)]
pub(super) struct Handshake {
    began: AtomicBool,
    server_is_proven: AtomicBool,
    wants_certificate: AtomicBool,
}

tokio::task_local! {
    static WATCHED: Arc<Handshake>;
}

impl Handshake {
    /// Runs a call and records its handshake, if it makes one.
    pub(super) async fn watch<T>(call: impl Future<Output = T>) -> (T, Arc<Self>) {
        let handshake = Arc::new(Self::default());
        let outcome = WATCHED.scope(Arc::clone(&handshake), call).await;
        (outcome, handshake)
    }

    /// Whether the connection was made and TLS begun.
    pub(super) fn began(&self) -> bool {
        self.began.load(Ordering::Relaxed)
    }

    /// Whether the server has not yet shown its certificate.
    pub(super) fn is_pending(&self) -> bool {
        self.began() && !self.server_is_proven.load(Ordering::Relaxed)
    }

    /// Whether the server asked for a certificate of ours. There is none.
    pub(super) fn wants_certificate(&self) -> bool {
        self.wants_certificate.load(Ordering::Relaxed)
    }
}

/// Outside of a call nobody wants to know.
fn record(step: impl FnOnce(&Handshake) -> &AtomicBool) {
    let _ = WATCHED.try_with(|handshake| step(handshake).store(true, Ordering::Relaxed));
}

/// rustls' own verifier, which says precisely what it refused.
#[derive(Debug)]
struct Verifier {
    library: Arc<WebPkiServerVerifier>,
    roots: Arc<RootCertStore>,
    /// Certificates that the operator trusts. One that is an authority and a server's at the same time, as openssl makes
    /// them by default, is no server's to the library.
    as_they_are: Vec<CertificateDer<'static>>,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let refusal = match self.library.verify_server_cert(certificate, intermediates, name, ocsp_response, now) {
            Err(Error::InvalidCertificate(refusal)) => refusal,
            outcome => return outcome,
        };
        if self.as_they_are.iter().any(|trusted| trusted == certificate)
            && certificate::is_only_an_authority_too(&refusal, certificate, name)
        {
            return Ok(ServerCertVerified::assertion());
        }
        let faults = certificate::faults(&refusal, certificate, intermediates, name, &self.roots, now);
        Err(CertificateError::Other(OtherError(Arc::new(faults))).into())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let valid = self.library.verify_tls12_signature(message, certificate, signed)?;
        record(|handshake| &handshake.server_is_proven);
        Ok(valid)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let valid = self.library.verify_tls13_signature(message, certificate, signed)?;
        record(|handshake| &handshake.server_is_proven);
        Ok(valid)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.library.supported_verify_schemes()
    }
}

/// Never a certificate of ours, but a record that one was wanted.
#[derive(Debug)]
struct NoCertificate;

impl ResolvesClientCert for NoCertificate {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        record(|handshake| &handshake.wants_certificate);
        None
    }

    fn has_certs(&self) -> bool {
        false
    }
}

/// rustls' own session store, which it asks first of all in each handshake.
struct Sessions(ClientSessionMemoryCache);

impl fmt::Debug for Sessions {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Sessions")
    }
}

impl ClientSessionStore for Sessions {
    fn set_kx_hint(&self, name: ServerName<'static>, group: NamedGroup) {
        self.0.set_kx_hint(name, group);
    }

    fn kx_hint(&self, name: &ServerName<'_>) -> Option<NamedGroup> {
        record(|handshake| &handshake.began);
        self.0.kx_hint(name)
    }

    fn set_tls12_session(&self, name: ServerName<'static>, session: Tls12ClientSessionValue) {
        self.0.set_tls12_session(name, session);
    }

    fn tls12_session(&self, name: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        proven_before(self.0.tls12_session(name))
    }

    fn remove_tls12_session(&self, name: &ServerName<'static>) {
        self.0.remove_tls12_session(name);
    }

    fn insert_tls13_ticket(&self, name: ServerName<'static>, ticket: Tls13ClientSessionValue) {
        self.0.insert_tls13_ticket(name, ticket);
    }

    fn take_tls13_ticket(&self, name: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        proven_before(self.0.take_tls13_ticket(name))
    }
}

/// A server that a session is resumed with has proven itself when that began, and does not do so again.
fn proven_before<T>(session: Option<T>) -> Option<T> {
    if session.is_some() {
        record(|handshake| &handshake.server_is_proven);
    }
    session
}
