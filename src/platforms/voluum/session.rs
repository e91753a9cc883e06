//! Sessions: what an access key buys, and what opens the reports.
//!
//! A session lives about four hours. All calls of an account in this process share one, and it is replaced once,
//! however many calls find it dead at the same moment: a login that ends while others wait for it serves them too.
//! A token is never written anywhere.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use moka::sync::Cache;
use parking_lot::Mutex as PlainMutex;
use ring::digest;
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use tokio::sync::Mutex;
use url::Url;
use zeroize::Zeroizing;

use super::super::kind::Credentials;
use super::request::Habits;
use super::wire;
use crate::outbound::Upstream;
use crate::outbound::error::{ErrorKind, PlatformError};

/// How many accounts are remembered.
const MOST_ACCOUNTS: u64 = 10_000;
/// Longer than any session lives.
const FORGET_AFTER: Duration = Duration::from_secs(6 * 60 * 60);
/// How long before its stated end a session is replaced.
const MARGIN: Duration = Duration::from_secs(5 * 60);

/// The sessions of this process, by account.
#[derive(Clone)]
pub(super) struct Sessions {
    known: Cache<Fingerprint, Arc<Known>>,
}

/// A digest of gateway and access key.
type Fingerprint = [u8; 32];

/// What this process knows of one account.
#[derive(Default)]
struct Known {
    slot: Mutex<Slot>,
    /// Logins that have ended. Read without the slot, to know whether one ended while a call waited for it.
    logins: AtomicU64,
    habits: PlainMutex<Habits>,
}

#[derive(Default)]
struct Slot {
    session: Option<Session>,
    /// What the last login met with, if that is the account's own doing and so true for every other call.
    refusal: Option<Refused>,
}

struct Refused {
    error: PlatformError,
    login: u64,
}

struct Session {
    ticket: Ticket,
    renew_at: Option<Instant>,
}

impl Session {
    fn is_live(&self) -> bool {
        self.renew_at.is_none_or(|at| Instant::now() < at)
    }
}

/// A session's token, and the number of the login it came from.
#[derive(Clone)]
pub(super) struct Ticket {
    pub(super) token: SecretString,
    login: u64,
}

impl Default for Sessions {
    fn default() -> Self {
        Self { known: Cache::builder().max_capacity(MOST_ACCOUNTS).time_to_idle(FORGET_AFTER).build() }
    }
}

/// One connection's way to its account's session.
pub(super) struct Keeper {
    known: Arc<Known>,
    access_id: SecretString,
    access_key: SecretString,
    login: Url,
    upstream: Upstream,
}

impl Keeper {
    /// # Errors
    /// Credentials that lack a part.
    pub(super) fn open(
        sessions: &Sessions,
        gateway: &str,
        login: Url,
        credentials: &Credentials,
        upstream: Upstream,
    ) -> Result<Self, PlatformError> {
        let part = |field: &str| {
            credentials.get(field).cloned().ok_or_else(|| {
                PlatformError::new(
                    ErrorKind::CredentialsRejected,
                    "The access key is incomplete: it has an ID and a secret.",
                )
            })
        };
        let (access_id, access_key) = (part("access_key_id")?, part("access_key")?);
        let known = sessions.known.get_with(fingerprint(gateway, &access_id, &access_key), Arc::default);
        Ok(Self { known, access_id, access_key, login, upstream })
    }

    /// The account's session, from a login only if there is none.
    pub(super) async fn current(&self) -> Result<Ticket, PlatformError> {
        self.obtain(self.logins(), true).await
    }

    /// The session after one that was found dead.
    pub(super) async fn after(&self, dead: &Ticket) -> Result<Ticket, PlatformError> {
        self.obtain(dead.login, false).await
    }

    /// A session that proves the credentials: from a login that ends after this call began.
    pub(super) async fn proven(&self) -> Result<Ticket, PlatformError> {
        self.obtain(self.logins(), false).await
    }

    /// The outcome of a login later than `since`, made now if nobody else has made it. An earlier session that is
    /// not over yet serves too, if `any_live` says so.
    async fn obtain(&self, since: u64, any_live: bool) -> Result<Ticket, PlatformError> {
        let timeout = self.upstream.deadline().saturating_duration_since(Instant::now());
        let mut slot = tokio::time::timeout(timeout, self.known.slot.lock()).await.map_err(|_| {
            PlatformError::new(ErrorKind::Timeout, format!("{} did not open a session in time.", self.upstream.host()))
        })?;
        if let Some(refusal) = slot.refusal.as_ref().filter(|refusal| refusal.login > since) {
            return Err(refusal.error.clone());
        }
        let serves = |session: &&Session| session.ticket.login > since || (any_live && session.is_live());
        if let Some(session) = slot.session.as_ref().filter(serves) {
            self.upstream.conceal(&session.ticket.token);
            return Ok(session.ticket.clone());
        }
        let outcome = self.log_in().await;
        let login = self.known.logins.fetch_add(1, Ordering::AcqRel) + 1;
        match outcome {
            Ok(opened) => {
                let ticket = Ticket { token: opened.token, login };
                self.upstream.conceal(&ticket.token);
                let renew_at = opened.expires.and_then(renewal);
                *slot = Slot { session: Some(Session { ticket: ticket.clone(), renew_at }), refusal: None };
                Ok(ticket)
            }
            Err(error) => {
                if error.kind.is_refusal() || error.kind == ErrorKind::RateLimited {
                    *slot = Slot { session: None, refusal: Some(Refused { error: error.clone(), login }) };
                }
                Err(error)
            }
        }
    }

    fn logins(&self) -> u64 {
        self.known.logins.load(Ordering::Acquire)
    }

    async fn log_in(&self) -> Result<wire::Opened, PlatformError> {
        let body = login_body(&self.access_id, &self.access_key)?;
        let answer = self
            .upstream
            .post_secret_json(self.login.clone(), body)
            .header("content-type", "application/json; charset=utf-8")
            .send()
            .await?;
        if !answer.status.is_success() {
            return Err(wire::login_refused(&answer, &self.upstream));
        }
        wire::opened(&answer, &self.upstream)
    }

    /// What the account has been seen to accept.
    pub(super) fn habits(&self) -> Habits {
        self.known.habits.lock().clone()
    }

    /// Remembers something the account accepts.
    pub(super) fn learn(&self, change: impl FnOnce(&mut Habits)) {
        change(&mut self.known.habits.lock());
    }
}

fn fingerprint(gateway: &str, access_id: &SecretString, access_key: &SecretString) -> Fingerprint {
    let mut hash = digest::Context::new(&digest::SHA256);
    for part in [gateway, access_id.expose_secret().trim(), access_key.expose_secret().trim()] {
        hash.update(&part.len().to_be_bytes());
        hash.update(part.as_bytes());
    }
    let mut fingerprint = Fingerprint::default();
    for (to, from) in fingerprint.iter_mut().zip(hash.finish().as_ref()) {
        *to = *from;
    }
    fingerprint
}

fn login_body(access_id: &SecretString, access_key: &SecretString) -> Result<Zeroizing<Vec<u8>>, PlatformError> {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Body<'a> {
        access_id: &'a str,
        access_key: &'a str,
    }
    let body = Body { access_id: access_id.expose_secret().trim(), access_key: access_key.expose_secret().trim() };
    // Large enough for every character escaped, so that no half-written copy is left behind in memory.
    let mut text = Zeroizing::new(Vec::with_capacity(64 + 6 * (body.access_id.len() + body.access_key.len())));
    serde_json::to_writer(&mut *text, &body)
        .map_err(|_| PlatformError::new(ErrorKind::CredentialsRejected, "The access key cannot be written as JSON."))?;
    Ok(text)
}

/// When to replace a session that ends at `expires`. A session that is over already, by this machine's clock, is used
/// until the platform refuses it: clocks differ.
fn renewal(expires: Timestamp) -> Option<Instant> {
    let life = Duration::try_from(expires.duration_since(Timestamp::now())).ok().filter(|life| !life.is_zero())?;
    Instant::now().checked_add(life - MARGIN.min(life / 2))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(text: &str) -> SecretString {
        SecretString::from(text.to_owned())
    }

    #[test]
    fn the_login_names_the_fields_as_voluum_does_and_escapes_what_stands_in_them() {
        let body = login_body(&secret(" id\" "), &secret("k\\ey\u{1}\n")).expect("a body");
        assert_eq!(std::str::from_utf8(&body).expect("text"), r#"{"accessId":"id\"","accessKey":"k\\ey\u0001"}"#);
    }

    #[test]
    fn accounts_are_told_apart_by_gateway_id_and_key() {
        let of = |gateway: &str, id: &str, key: &str| fingerprint(gateway, &secret(id), &secret(key));
        let one = of("https://a.example", "id", "key");
        assert_eq!(one, of("https://a.example", " id ", "key\n"));
        for other in [
            of("https://b.example", "id", "key"),
            of("https://a.example", "idk", "ey"),
            of("https://a.example", "id", "kez"),
        ] {
            assert_ne!(one, other);
        }
    }

    #[test]
    fn a_session_is_replaced_before_its_end_but_not_because_clocks_differ() {
        let hours = |hours: i64| Timestamp::now() + jiff::SignedDuration::from_hours(hours);
        assert!(renewal(hours(4)).is_some_and(|at| at > Instant::now() + Duration::from_secs(3 * 60 * 60)));
        assert!(renewal(hours(4)).is_some_and(|at| at < Instant::now() + Duration::from_secs(4 * 60 * 60 - 240)));
        assert!(renewal(Timestamp::now() + jiff::SignedDuration::from_secs(60)).is_some_and(|at| at > Instant::now()));
        assert!(renewal(hours(-1)).is_none());
    }
}
