//! What is sent to receivers of webhooks: by the same road as calls to trackers, and with nothing of theirs.
//!
//! The address is checked and pinned, no redirect is followed, and the time is bounded. Places, pace, breaker and retries
//! are not those of trackers: a webhook that is aimed at a tracker's gateway takes nothing away from the tracker's callers,
//! and learns nothing from them. Only the status of an answer counts; of its body no more is read than lets the connection
//! be used again.

use std::time::{Duration, Instant};

use bytes::Bytes;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use url::Url;

use super::error::PlatformError;
use super::faults::{classify, redirected, timed_out};
use super::retry;
use super::tls::Handshake;
use super::transport::{Transport, plain};

/// The most of an answer's body that is read, in bytes.
const MAX_BODY: usize = 16 * 1024;

/// Something to be sent, once.
#[derive(Debug, Clone)]
pub struct Parcel {
    /// Where to.
    pub url: Url,
    /// What stands beside the body: names in lower case.
    pub headers: Vec<(&'static str, String)>,
    /// JSON.
    pub body: Bytes,
    /// The longest that it may take until the answer is there, looking up the name included.
    pub timeout: Duration,
}

/// What a receiver answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Receipt {
    /// The status, which is no redirect.
    pub status: u16,
    /// How long the receiver asks to be left alone.
    pub retry_after: Option<Duration>,
}

impl Transport {
    /// Whether an address may be called at all, as far as can be known before.
    ///
    /// # Errors
    /// It may not be, or its name does not resolve.
    pub async fn check(&self, url: &Url) -> Result<(), PlatformError> {
        self.state().check(url).await
    }

    /// Sends a parcel, once.
    ///
    /// # Errors
    /// An address that may not be called, no answer in time, or a redirect.
    pub async fn deliver(&self, parcel: &Parcel) -> Result<Receipt, PlatformError> {
        let Parcel { url, headers, body, timeout } = parcel;
        let deadline = Instant::now() + *timeout;
        let checked = tokio::time::timeout(*timeout, self.state().check(url)).await;
        checked.map_err(|_| timed_out(url, None))??;
        let left = deadline.saturating_duration_since(Instant::now());
        let clients = self.state().receiver(url);
        let request = clients
            .own()?
            .post(url.clone())
            .headers(fields(headers))
            .header("content-type", "application/json")
            .body(body.clone())
            .timeout(left);
        let (response, handshake) = Handshake::watch(request.send()).await;
        let mut response = response.map_err(|error| classify(&error, url, &handshake, plain))?;
        if response.status().is_redirection() {
            return Err(redirected(url, response.headers(), plain));
        }
        let receipt =
            Receipt { status: response.status().as_u16(), retry_after: retry::retry_after(response.headers()) };
        // Whatever becomes of the body: the receiver has said what there is to know.
        let mut read = 0;
        while let Ok(Some(chunk)) = response.chunk().await {
            read += chunk.len();
            if read > MAX_BODY {
                break;
            }
        }
        Ok(receipt)
    }
}

fn fields(headers: &[(&'static str, String)]) -> HeaderMap {
    let field = |(name, value): &(&'static str, String)| {
        Some((HeaderName::from_static(name), HeaderValue::from_str(value).ok()?))
    };
    headers.iter().filter_map(field).collect()
}
