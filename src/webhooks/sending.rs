//! One attempt: signed, sent, and what came of it in words that name no host.

use std::time::{Duration, Instant};

use bytes::Bytes;
use jiff::Timestamp;
use url::Url;
use uuid::Uuid;

use super::rows::WebhookDeliveryRow;
use super::secret::{self, Secret};
use crate::clock::millis;
use crate::outbound::error::{ErrorKind, PlatformError};
use crate::outbound::{Parcel, Transport};
use crate::webhooks::view::DeliveryOutcome;

/// The longest error that is remembered, in characters.
const MAX_ERROR: usize = 300;

/// Something to be sent: where to, signed with what, and what.
pub(super) struct Letter {
    pub(super) url: Url,
    pub(super) secrets: Vec<Secret>,
    pub(super) event: String,
    pub(super) body: Bytes,
}

/// What came of it.
#[derive(Debug, Clone)]
pub(super) struct Attempt {
    /// The receiver's status, if it answered.
    pub(super) status: Option<u16>,
    /// Why it was not taken.
    pub(super) error: Option<String>,
    /// How long the receiver asks to be left alone.
    pub(super) retry_after: Option<Duration>,
    pub(super) took: Duration,
}

impl Attempt {
    /// One that did not get as far as the receiver.
    pub(super) fn without_answer(error: &str) -> Self {
        Self { status: None, error: Some(error.to_owned()), retry_after: None, took: Duration::ZERO }
    }

    pub(super) fn is_delivered(&self) -> bool {
        self.error.is_none()
    }

    /// As it is remembered.
    pub(super) fn row(
        &self,
        webhook: &str,
        (event_id, event_type): (&str, &str),
        attempt: i64,
        outcome: DeliveryOutcome,
        now: i64,
    ) -> WebhookDeliveryRow {
        WebhookDeliveryRow {
            id: Uuid::now_v7().to_string(),
            webhook_id: webhook.to_owned(),
            event_id: event_id.to_owned(),
            event_type: event_type.to_owned(),
            attempt,
            outcome: outcome.key().to_owned(),
            status: self.status.map(i64::from),
            duration_ms: i64::try_from(millis(self.took)).unwrap_or(i64::MAX),
            error: self.error.clone(),
            created_at: now,
        }
    }
}

/// Signs a letter and sends it, once.
pub(super) async fn send(transport: &Transport, letter: Letter, timeout: Duration) -> Attempt {
    let Letter { url, secrets, event, body } = letter;
    // The receiver's clock is to agree with ours, not with the database's.
    let timestamp = Timestamp::now().as_second();
    let headers = vec![
        ("webhook-signature", secret::signatures(&secrets, &event, timestamp, &body)),
        ("webhook-timestamp", timestamp.to_string()),
        ("webhook-id", event),
    ];
    let parcel = Parcel { url, headers, body, timeout };
    let started = Instant::now();
    let outcome = transport.deliver(&parcel).await;
    let took = started.elapsed();
    match outcome {
        Ok(receipt) => {
            let is_taken = (200..300).contains(&receipt.status);
            let error = (!is_taken).then(|| format!("The receiver answered {}.", receipt.status));
            Attempt { status: Some(receipt.status), error, retry_after: receipt.retry_after, took }
        }
        Err(error) => Attempt { status: None, error: Some(in_words(&error, &parcel.url)), retry_after: None, took },
    }
}

/// Why a receiver was not reached. Its name is private, and stays sealed with the address.
fn in_words(error: &PlatformError, url: &Url) -> String {
    let words = match error.kind {
        ErrorKind::Redirected => "The receiver redirects, and redirects are not followed.".to_owned(),
        ErrorKind::EgressBlocked => {
            "The address is not one this service may call: only public hosts over https, unless the operator allows more."
                .to_owned()
        }
        ErrorKind::DnsFailed => "The receiver's host name does not resolve.".to_owned(),
        ErrorKind::Timeout => "The receiver did not answer in time.".to_owned(),
        _ => match url.host_str() {
            Some(host) if !host.is_empty() => {
                let with_port = url.port().map(|port| format!("{host}:{port}"));
                let detail = with_port.map_or(error.detail.clone(), |name| error.detail.replace(&name, "the receiver"));
                detail.replace(host, "the receiver")
            }
            _ => error.detail.clone(),
        },
    };
    let words: String = words.chars().take(MAX_ERROR).collect();
    match words.strip_prefix("the receiver") {
        Some(rest) => format!("The receiver{rest}"),
        None => words,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_names_no_host() {
        let url: Url = "https://hooks.example.com:8443/a".parse().expect("an address");
        let text_of = |kind, detail: &str| in_words(&PlatformError::new(kind, detail), &url);
        assert_eq!(
            text_of(ErrorKind::ConnectFailed, "hooks.example.com:8443 does not accept connections."),
            "The receiver does not accept connections."
        );
        assert_eq!(
            text_of(ErrorKind::TlsFailed, "The certificate of hooks.example.com has expired."),
            "The certificate of the receiver has expired."
        );
        let redirect = text_of(ErrorKind::Redirected, "hooks.example.com:8443 redirects to https://elsewhere.example.");
        assert_eq!(redirect, "The receiver redirects, and redirects are not followed.");
        assert!(text_of(ErrorKind::BadResponse, &"ä".repeat(1_000)).chars().count() <= MAX_ERROR);
    }
}
