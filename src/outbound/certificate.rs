//! What is wrong with a server's certificate that was refused, for the people who have to replace it.
//!
//! Several things can be wrong at once; the one that the user can act on comes first. Nothing here decides whether a
//! certificate is trusted, but for one that the operator trusts as it is.

use std::fmt;
use std::time::Duration;

use jiff::Timestamp;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, RootCertStore};
use webpki::{EndEntityCert, KeyUsage};

/// Names of a certificate that are listed.
const MOST_NAMES: usize = 3;
/// Marks of certificates that a public authority issued: where to fetch the issuer's own (authority information access,
/// CA issuers), and the proof that it was logged (signed certificate timestamps). Object identifiers, as DER writes them.
const PUBLIC_MARKS: [&[u8]; 2] = [
    &[0x06, 0x08, 0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x30, 0x02],
    &[0x06, 0x0a, 0x2b, 0x06, 0x01, 0x04, 0x01, 0xd6, 0x79, 0x02, 0x04, 0x02],
];

/// One fault of a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum CertificateFault {
    /// It is for these names, and the host is none of them.
    WrongName(Vec<String>),
    /// It was good until this day.
    Expired(String),
    /// It is good from this day on.
    NotYetValid(String),
    /// It vouches for itself.
    SelfSigned,
    /// The server does not send the certificates between its own and the authority's.
    IncompleteChain,
    /// Nobody here knows the authority.
    UnknownAuthority,
    /// Its issuer is unknown: whether an authority, or one in between that should have been sent, cannot be seen.
    UnknownIssuer,
    /// Something else, rare enough to need a look at it.
    Invalid,
}

/// All that is wrong with a certificate, first what the user can act on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct CertificateFaults {
    pub(super) first: CertificateFault,
    pub(super) also: Vec<CertificateFault>,
}

impl std::error::Error for CertificateFaults {}

impl fmt::Display for CertificateFaults {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "its certificate {}", self.first)?;
        self.also.iter().try_for_each(|fault| write!(out, "; it also {fault}"))
    }
}

impl fmt::Display for CertificateFault {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::WrongName(names) if names.is_empty() => out.write_str("has the wrong name: it names no host at all"),
            Self::WrongName(names) => write!(out, "has the wrong name: it is for {}", names.join(", ")),
            Self::Expired(day) => write!(out, "has expired (on {day})"),
            Self::NotYetValid(day) => write!(out, "is not yet valid (it will be on {day})"),
            Self::SelfSigned => out.write_str("is self-signed, so nobody vouches for it"),
            Self::IncompleteChain => out.write_str(
                "comes with an incomplete chain: the server does not send the intermediate certificate of its issuer",
            ),
            Self::UnknownAuthority => out.write_str("is from an unknown authority, which is not trusted here"),
            Self::UnknownIssuer => out.write_str(
                "is from an unknown authority, or its chain is incomplete because the server does not send the \
                 intermediate certificate of its issuer",
            ),
            Self::Invalid => out.write_str("is not valid for a server"),
        }
    }
}

impl CertificateFault {
    /// The one next step.
    pub(super) const fn hint(&self) -> &'static str {
        match self {
            Self::WrongName(_) => {
                "Enter the host name that the certificate is for; if this host is right, ask the tracker's administrator \
                 for a certificate with its name."
            }
            Self::Expired(_) => "Ask the tracker's administrator to renew the certificate; then verify again.",
            Self::NotYetValid(_) => {
                "Ask the tracker's administrator to check the dates of the certificate and the server's clock."
            }
            Self::SelfSigned => {
                "Ask the tracker's administrator for a certificate of a public authority, or the operator of this service \
                 to trust this one (EGRESS_CA_FILE)."
            }
            Self::IncompleteChain => {
                "Ask the tracker's administrator to have the server send its intermediate certificates too (often a file \
                 called fullchain)."
            }
            Self::UnknownAuthority => {
                "Ask the operator of this service to trust that authority (EGRESS_CA_FILE), or the tracker's administrator \
                 for a certificate of a public one."
            }
            Self::UnknownIssuer => {
                "Ask the tracker's administrator to have the server send its intermediate certificates too; if the \
                 authority is a private one, ask the operator of this service to trust it (EGRESS_CA_FILE)."
            }
            Self::Invalid => "Ask the tracker's administrator to replace the certificate; then verify again.",
        }
    }
}

/// Everything that can be seen to be wrong with a refused certificate.
pub(super) fn faults(
    refusal: &CertificateError,
    certificate: &CertificateDer<'_>,
    intermediates: &[CertificateDer<'_>],
    name: &ServerName<'_>,
    roots: &RootCertStore,
    now: UnixTime,
) -> CertificateFaults {
    let mut found = Vec::new();
    if let Ok(leaf) = EndEntityCert::try_from(certificate) {
        found.extend(wrong_name(&leaf, name));
        found.extend(wrong_time(refusal));
        found.extend(untrusted(&leaf, intermediates, roots, now));
    } else {
        found.extend(wrong_time(refusal));
    }
    let mut found = found.into_iter();
    match (found.next(), refusal) {
        (Some(first), _) => CertificateFaults { first, also: found.collect() },
        (None, CertificateError::UnknownIssuer) => {
            CertificateFaults { first: CertificateFault::UnknownIssuer, also: Vec::new() }
        }
        (None, _) => CertificateFaults { first: CertificateFault::Invalid, also: Vec::new() },
    }
}

/// Whether nothing is wrong with a certificate but that it is marked as an authority's. Its time has been looked at
/// before that, its name has not.
pub(super) fn is_only_an_authority_too(
    refusal: &CertificateError,
    certificate: &CertificateDer<'_>,
    name: &ServerName<'_>,
) -> bool {
    let CertificateError::Other(other) = refusal else { return false };
    other.0.downcast_ref::<webpki::Error>() == Some(&webpki::Error::CaUsedAsEndEntity)
        && EndEntityCert::try_from(certificate).is_ok_and(|leaf| leaf.verify_is_valid_for_subject_name(name).is_ok())
}

/// A certificate without any name is wrong too, but that is not what its owner has to hear first: see `untrusted`.
fn wrong_name(leaf: &EndEntityCert<'_>, name: &ServerName<'_>) -> Option<CertificateFault> {
    match leaf.verify_is_valid_for_subject_name(name) {
        Err(webpki::Error::CertNotValidForName(context)) => {
            // Written as `DnsName("tracker.example")` or `IpAddress(192.0.2.1)`.
            let plain = |name: &String| {
                let inside = name.split_once('(').map_or(name.as_str(), |(_, rest)| rest.trim_end_matches(')'));
                inside.trim_matches('"').to_owned()
            };
            let names: Vec<String> = context.presented.iter().map(plain).take(MOST_NAMES).collect();
            (!names.is_empty() || leaf.issuer() != leaf.subject()).then_some(CertificateFault::WrongName(names))
        }
        _ => None,
    }
}

fn wrong_time(refusal: &CertificateError) -> Option<CertificateFault> {
    match refusal {
        CertificateError::ExpiredContext { not_after, .. } => Some(CertificateFault::Expired(day(*not_after))),
        CertificateError::NotValidYetContext { not_before, .. } => {
            Some(CertificateFault::NotYetValid(day(*not_before)))
        }
        _ => None,
    }
}

fn day(time: UnixTime) -> String {
    let time = Timestamp::UNIX_EPOCH.checked_add(Duration::from_secs(time.as_secs()));
    time.map(|time| time.strftime("%Y-%m-%d").to_string()).unwrap_or_default()
}

/// Follows the names of the issuers upwards through what the server sent.
fn untrusted(
    leaf: &EndEntityCert<'_>,
    intermediates: &[CertificateDer<'_>],
    roots: &RootCertStore,
    now: UnixTime,
) -> Option<CertificateFault> {
    let is_root = |name: &[u8]| roots.roots.iter().any(|root| root.subject.as_ref() == name);
    let sent: Vec<EndEntityCert<'_>> =
        intermediates.iter().filter_map(|certificate| EndEntityCert::try_from(certificate).ok()).collect();
    if is_self_signed(leaf, now) {
        return Some(CertificateFault::SelfSigned);
    }
    let (mut top, mut steps) = (leaf, 0);
    while top.issuer() != top.subject() && !is_root(top.issuer()) {
        match sent.iter().find(|issuer| issuer.subject() == top.issuer()) {
            Some(issuer) if steps < sent.len() => (top, steps) = (issuer, steps + 1),
            _ => {
                let is_public = PUBLIC_MARKS.iter().any(|mark| contains(&leaf.der(), mark));
                return Some(match (steps, is_public) {
                    (_, true) => CertificateFault::IncompleteChain,
                    (0, false) => CertificateFault::UnknownIssuer,
                    (_, false) => CertificateFault::UnknownAuthority,
                });
            }
        }
    }
    (!is_root(top.issuer())).then_some(CertificateFault::UnknownAuthority)
}

/// By its names, unless its key shows that an issuer of the same name signed it.
fn is_self_signed(leaf: &EndEntityCert<'_>, now: UnixTime) -> bool {
    let der = leaf.der();
    let Ok(anchor) = webpki::anchor_from_trusted_cert(&der) else { return false };
    let anchors = [anchor];
    let algorithms = rustls::crypto::ring::default_provider().signature_verification_algorithms.all;
    let by_itself = leaf.verify_for_usage(algorithms, &anchors, &[], now, KeyUsage::server_auth(), None, None);
    leaf.issuer() == leaf.subject()
        && !matches!(by_itself, Err(webpki::Error::UnknownIssuer | webpki::Error::InvalidSignatureForPublicKey))
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}
