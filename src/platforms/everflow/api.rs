//! Calls to Everflow's API, and what its refusals mean.

use std::time::{Duration, Instant};

use reqwest::header::HeaderMap;
use secrecy::SecretString;
use serde::de::DeserializeOwned;
use url::Url;

use super::super::client::{Account, Platforms};
use super::super::kind::Settings;
use super::super::learned::{Learned, Sizes};
use super::super::stats::{Currency, Warning, WarningCode};
use super::super::words::speaks_of_addresses;
use super::parts::{STRIDES, Strides};
use super::portal::Portal;
use super::wire::{self, Profile, Timezone, Timezones};
use super::{EU, LIMITS, REGION, gateway};
use crate::outbound::error::{ErrorKind, PlatformError, Stage};
use crate::outbound::{Answer, Call, Upstream};

const KEY_HEADER: &str = "x-eflow-api-key";

/// The longest pause before a call is repeated that found the platform exhausted.
const PAUSE_MS: u64 = 250;

/// How long a quota is left alone that is nearly used up: it fills up again by the second.
const QUOTA_PAUSE: Duration = Duration::from_secs(1);

/// The API as one key sees it.
pub(super) struct Api {
    upstream: Upstream,
    base: String,
    key: SecretString,
    portal: Portal,
    in_eu: bool,
    /// The currency that the settings ask for, or that the last good verification found.
    currency: Option<Currency>,
    /// How many days it takes at once.
    strides: Sizes,
}

impl Api {
    pub(super) fn open(
        portal: Portal,
        account: &Account,
        platforms: &Platforms,
        upstream: Upstream,
    ) -> Result<Self, PlatformError> {
        let key = account.credentials.get("api_key").cloned().unwrap_or_default();
        Ok(Self {
            strides: platforms.kept::<Learned<Strides>>().of(&upstream, STRIDES),
            upstream,
            base: gateway(&account.settings, &platforms.gateways).trim_end_matches('/').to_owned(),
            key,
            portal,
            in_eu: account.settings.get(REGION).is_some_and(|region| region == EU),
            currency: known_currency(&account.settings, account.detected.currency.as_deref())?,
        })
    }

    pub(super) fn upstream(&self) -> &Upstream {
        &self.upstream
    }

    pub(super) fn strides(&self) -> &Sizes {
        &self.strides
    }

    pub(super) fn base(&self) -> &str {
        &self.base
    }

    pub(super) fn portal(&self) -> Portal {
        self.portal
    }

    /// `GET /v1/<path>`.
    pub(super) async fn get(&self, path: &str) -> Result<Answer, PlatformError> {
        let url = self.url(path)?;
        self.send(|| self.upstream.get(url.clone()).secret_header(KEY_HEADER, &self.key)).await
    }

    /// `POST /v1/<portal>/reporting/<path>`: a request, which changes nothing. `None` where the platform says twice
    /// that it is exhausted: it says so of requests that are too large too.
    pub(super) async fn report(
        &self,
        path: &str,
        request: &wire::ReportRequest<'_>,
    ) -> Result<Option<Answer>, PlatformError> {
        let url = self.url(&format!("{}/reporting/{path}", self.portal.segment()))?;
        let body = serde_json::to_vec(request)
            .map_err(|_| PlatformError::unsupported("The question cannot be written as JSON."))?;
        let answer = self
            .send(|| self.upstream.post_json(url.clone(), body.clone()).secret_header(KEY_HEADER, &self.key))
            .await?;
        match answer {
            answer if answer.status.is_success() => Ok(Some(answer)),
            answer if wire::is_exhausted(&answer.body) => Ok(None),
            answer => Err(self.refusal(&answer)),
        }
    }

    /// The time zones that have a number. The list is public, so the key stays here.
    pub(super) async fn timezones(&self) -> Result<Vec<Timezone>, PlatformError> {
        let url = self.url("meta/timezones")?;
        let answer = self.send(|| Ok(self.upstream.get(url.clone()))).await?;
        self.read::<Timezones>(&answer).map(|list| list.timezones)
    }

    /// The body of an answer that should be good.
    pub(super) fn read<T: DeserializeOwned>(&self, answer: &Answer) -> Result<T, PlatformError> {
        if !answer.status.is_success() {
            return Err(self.refusal(answer));
        }
        serde_json::from_slice(&answer.body).map_err(|error| self.unreadable(answer, &error))
    }

    /// The account's own words about itself, `None` where the key may not read them.
    pub(super) async fn profile(&self, path: &str) -> Result<Option<Profile>, PlatformError> {
        let answer = self.get(path).await?;
        match answer.status.as_u16() {
            403 | 404 if !answer.is_html() => Ok(None),
            _ => self.read(&answer).map(Some),
        }
    }

    /// Whether the key works on the affiliates' side, by the one call or, where that does not exist, by the other.
    pub(super) async fn affiliate_side(&self) -> Result<Option<Profile>, PlatformError> {
        let network = self.get("affiliates/network").await?;
        match network.status.as_u16() {
            404 => self.profile("affiliates/affiliate").await,
            403 if !network.is_html() => Ok(None),
            _ => self.read(&network).map(Some),
        }
    }

    /// Whether the key works on the network's side.
    pub(super) async fn network_side(&self) -> Result<Option<Profile>, PlatformError> {
        let network = self.get("networks").await?;
        match network.status.as_u16() {
            403 if !network.is_html() => Ok(None),
            _ => self.read(&network).map(Some),
        }
    }

    /// What to ask amounts in: what the settings say, or the account's own default as `profile` finds it.
    pub(super) async fn currency(
        &self,
        profile: impl Future<Output = Result<Option<Profile>, PlatformError>>,
    ) -> Result<(Currency, Option<Warning>), PlatformError> {
        if let Some(currency) = self.currency {
            return Ok((currency, None));
        }
        if let Some(currency) = profile.await?.and_then(|profile| profile.currency()) {
            return Ok((currency, None));
        }
        let currency = "USD".parse().map_err(|()| PlatformError::unsupported("No currency is known."))?;
        let warning = Warning {
            code: WarningCode::CurrencyNotConfigured,
            detail: "Neither the connection nor the account names a currency, so Everflow was asked to convert all \
                     amounts into USD. Set settings.currency to have them in another."
                .to_owned(),
        };
        Ok((currency, Some(warning)))
    }

    /// The error that an answer other than a good one stands for.
    pub(super) fn refusal(&self, answer: &Answer) -> PlatformError {
        let host = self.upstream.host();
        let status = answer.status.as_u16();
        if wire::is_exhausted(&answer.body) {
            return self.exhausted();
        }
        if status >= 500 {
            return answer.failing(&host);
        }
        if answer.is_html() {
            return self.not_everflow();
        }
        let words = self.upstream.quote(&wire::complaint(&answer.body).unwrap_or_default());
        let said = if words.is_empty() { String::new() } else { format!(": “{words}”") };
        match status {
            401 | 403 if speaks_of_addresses(&words) => self.upstream.ip_not_allowed(format!(
                "{host} does not accept the key from this service's address ({status}{said})."
            )),
            401 => PlatformError::new(
                ErrorKind::CredentialsRejected,
                format!("{host} does not accept the key (401{said})."),
            )
            .hint(self.rejection_hint()),
            403 => PlatformError::new(
                ErrorKind::InsufficientPermissions,
                format!("{host} does not let this key read reports (403{said})."),
            )
            .hint(self.permission_hint()),
            404 => PlatformError::new(
                ErrorKind::NotThisPlatform,
                format!("{host} does not know the paths of Everflow's API (404{said})."),
            ),
            // It says so without a zone too, so it is no word on the request.
            400 if words.trim_end_matches('.').eq_ignore_ascii_case("internal error") => PlatformError::new(
                ErrorKind::Failing,
                format!("{host} failed inside and does not say why (400{said})."),
            )
            .at(Stage::Request)
            .hint("Try again; if it lasts, ask for a shorter range or fewer dimensions."),
            400 => PlatformError::unsupported(format!("{host} refuses the question (400{said})."))
                .hint("Check that settings.currency is a currency the network has; otherwise ask for a shorter range."),
            _ => PlatformError::bad_response(format!("{host} answered {status}{said}.")),
        }
    }

    /// The error of an answer that says it is good and cannot be read.
    pub(super) fn unreadable(&self, answer: &Answer, error: &serde_json::Error) -> PlatformError {
        if answer.is_html() {
            return self.not_everflow();
        }
        // The parser's own words name fields and places, and at most a value of the tracker's.
        let reason = self.upstream.quote(&error.to_string());
        PlatformError::bad_response(format!("The answer of {} is not as expected: {reason}.", self.upstream.host()))
    }

    fn not_everflow(&self) -> PlatformError {
        PlatformError::new(
            ErrorKind::NotThisPlatform,
            format!("{} answers with a web page instead of Everflow's API.", self.upstream.host()),
        )
    }

    fn rejection_hint(&self) -> String {
        let (this, other) = if self.in_eu { ("eu", "us") } else { ("us", "eu") };
        format!(
            "Copy the key again from {} and check that it has not been revoked and is not bound to other addresses. \
             It was tried in the region {this} only: if the account is hosted in the other, set the region to {other}.",
            self.portal.key_place()
        )
    }

    fn permission_hint(&self) -> &'static str {
        match self.portal {
            Portal::Network => {
                "Under Control Center → Security → API Keys, let the key read reporting and check its allowed \
                 addresses. Keys of advertisers and of the marketplace do not work here."
            }
            Portal::Affiliate => {
                "Ask the network to let this affiliate's key read reports and to check its allowed addresses. Keys of \
                 advertisers and of the marketplace do not work here."
            }
        }
    }

    fn url(&self, path: &str) -> Result<Url, PlatformError> {
        Url::parse(&format!("{}/v1/{path}", self.base))
            .map_err(|_| PlatformError::new(ErrorKind::InvalidUrl, "The configured Everflow gateway is no address."))
    }

    /// Sends a call, and once more if the platform says that it was exhausted for the moment.
    async fn send(&self, call: impl Fn() -> Result<Call, PlatformError>) -> Result<Answer, PlatformError> {
        let answer = self.send_once(call()?).await?;
        if answer.status.is_success() || !wire::is_exhausted(&answer.body) {
            return Ok(answer);
        }
        tokio::time::sleep(Duration::from_millis(fastrand::u64(0..=PAUSE_MS))).await;
        self.send_once(call()?).await
    }

    /// Everflow's code 8, where nothing smaller is left to ask for.
    pub(super) fn exhausted(&self) -> PlatformError {
        PlatformError::new(
            ErrorKind::RateLimited,
            format!("{} says that its resources are exhausted for the moment.", self.upstream.host()),
        )
        .at(Stage::Request)
    }

    /// Sends a call, and holds its answer back for a moment where the quota is nearly used up. Everything else that
    /// asks for the same network draws on that quota too, so only the platform's own count of it can be relied on.
    async fn send_once(&self, call: Call) -> Result<Answer, PlatformError> {
        let answer = call.send().await?;
        if is_quota_low(&answer.headers) {
            let left = self.upstream.deadline().saturating_duration_since(Instant::now());
            tokio::time::sleep(QUOTA_PAUSE.min(left)).await;
        }
        Ok(answer)
    }
}

/// Whether what is left of the quota could be used up by the calls that run at the same time.
fn is_quota_low(headers: &HeaderMap) -> bool {
    headers
        .get("x-ratelimit-remaining")
        .and_then(|remaining| remaining.to_str().ok()?.trim().parse::<usize>().ok())
        .is_some_and(|remaining| remaining < LIMITS.most_at_once())
}

fn known_currency(settings: &Settings, detected: Option<&str>) -> Result<Option<Currency>, PlatformError> {
    match settings.get("currency") {
        Some(code) => code
            .parse()
            .map(Some)
            .map_err(|()| PlatformError::unsupported("settings.currency is no ISO 4217 code, such as USD.")),
        None => Ok(detected.and_then(|code| code.parse().ok())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quota_is_low_before_it_is_used_up() {
        let low = |remaining: &'static str| {
            is_quota_low(&HeaderMap::from_iter([(
                "x-ratelimit-remaining".parse().expect("a name"),
                remaining.parse().expect("a value"),
            )]))
        };
        assert!(low("0") && low("7"));
        assert!(!low("8") && !low("29") && !low("many") && !is_quota_low(&HeaderMap::new()));
    }
}
