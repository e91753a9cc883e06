//! What a failed TLS handshake died of, in the words of those who can fix it.

use rustls::{AlertDescription, CertificateError, Error};
use url::Url;

use super::certificate::{CertificateFault, CertificateFaults};
use super::host::host_of;
use super::tls::Handshake;
use crate::outbound::error::{ErrorKind, Owner, PlatformError};

pub(super) const CLIENT_CERTIFICATE_HINT: &str = "Ask the tracker's administrator for an API address that needs no client certificate: this service has none to show.";

/// Why there is no TLS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum TlsFault {
    /// The server's certificate is refused here.
    Certificate(CertificateFaults),
    /// What answers on this port does not speak TLS.
    NoTls,
    /// The server speaks TLS that is too old, or only with ciphers that nobody should use.
    NoCommonVersion,
    /// The server says that it has no host of this name.
    UnknownName,
    /// The server wants a certificate of ours.
    ClientCertificate,
    /// The connection was closed or reset in the middle.
    HungUp,
    /// The connection was made and then nothing came.
    Silent,
    /// Something rarer.
    Broken,
}

impl TlsFault {
    /// The fault behind an error of rustls.
    pub(super) fn of(error: &Error, handshake: &Handshake) -> Self {
        match error {
            Error::InvalidCertificate(CertificateError::Other(other)) => {
                other.0.downcast_ref::<CertificateFaults>().cloned().map_or(Self::Broken, Self::Certificate)
            }
            // Refused by the server's own key or signature: no property of the certificate.
            Error::InvalidCertificate(_) | Error::NoCertificatesPresented => {
                Self::Certificate(CertificateFaults { first: CertificateFault::Invalid, also: Vec::new() })
            }
            Error::InvalidMessage(_) if handshake.is_pending() => Self::NoTls,
            Error::PeerIncompatible(_) => Self::NoCommonVersion,
            Error::AlertReceived(AlertDescription::CertificateRequired) => Self::ClientCertificate,
            // Before TLS 1.3 there is no alert of its own for a client without a certificate.
            Error::AlertReceived(_) if handshake.wants_certificate() => Self::ClientCertificate,
            Error::AlertReceived(AlertDescription::UnrecognisedName) => Self::UnknownName,
            Error::AlertReceived(
                AlertDescription::ProtocolVersion
                | AlertDescription::HandshakeFailure
                | AlertDescription::InsufficientSecurity,
            ) => Self::NoCommonVersion,
            _ => Self::Broken,
        }
    }

    /// The error that the caller gets; `quote` makes the names in a certificate safe to show.
    pub(super) fn report(&self, url: &Url, quote: impl Fn(&str) -> String) -> PlatformError {
        let detail = format!("TLS with {} failed: {}.", host_of(url), quote(&self.reason()));
        let mut error = PlatformError::new(ErrorKind::TlsFailed, detail).hint(self.hint());
        error.owner = self.owner();
        error.lasts = !self.may_pass();
        error
    }

    fn reason(&self) -> String {
        match self {
            Self::Certificate(faults) => return faults.to_string(),
            Self::NoTls => "what answers on this port does not speak TLS",
            Self::NoCommonVersion => "there is no common version of TLS (1.2 or 1.3 is needed), or no common cipher",
            Self::UnknownName => "the server says that it has no host of this name (wrong name)",
            Self::ClientCertificate => "the server demands a client certificate",
            Self::HungUp => "the server hung up during the handshake",
            Self::Silent => "the server accepted the connection and then was silent during the handshake",
            Self::Broken => "the server broke off the handshake",
        }
        .to_owned()
    }

    const fn hint(&self) -> &'static str {
        match self {
            Self::Certificate(faults) => faults.first.hint(),
            Self::NoTls => {
                "Check the port in the address; if it is right, ask the tracker's administrator to set up TLS there."
            }
            Self::NoCommonVersion => {
                "Ask the tracker's administrator to allow TLS 1.2 or 1.3 with current ciphers on the server."
            }
            Self::UnknownName => {
                "Check the host name for typing mistakes; if it is right, the tracker's administrator has to add it to the \
                 server's certificates."
            }
            Self::ClientCertificate => CLIENT_CERTIFICATE_HINT,
            Self::HungUp | Self::Silent => {
                "Check the port in the address; if it is right, ask the tracker's administrator whether a firewall or \
                 proxy in front of the tracker cuts this service off."
            }
            Self::Broken => "Ask the tracker's administrator to check the TLS settings of the server.",
        }
    }

    /// The user can act on what stands in the address, the tracker's administrator on everything else.
    const fn owner(&self) -> Option<Owner> {
        match self {
            Self::Certificate(faults) if matches!(faults.first, CertificateFault::WrongName(_)) => Some(Owner::You),
            Self::NoTls | Self::UnknownName => Some(Owner::You),
            _ => None,
        }
    }

    /// Whether a second try can end otherwise.
    const fn may_pass(&self) -> bool {
        matches!(self, Self::HungUp | Self::Silent | Self::Broken)
    }
}
