//! Keitaro: a tracker for media buyers that runs on its owner's own server.
//!
//! Follows the vendor's Admin API reference (`POST /report/build`), its user documentation, and what public clients
//! read and send. What those leave open is found out by asking, and anything but a proven reading is an error.
//!
//! What is odd:
//! - Some versions want `grouping` and `metrics`, some `dimensions` and `measures`, and no page says which (`panel`).
//! - One column that a version does not have refuses the whole report (`panel`). How days and hours are spelled is on
//!   no record (`time`), nor is whether paging is heeded (`reading`).
//! - A user with limited rights gets smaller numbers and no hint; only `GET /users`, which administrators alone may
//!   read, tells the two apart.
//! - On which day a conversion counts is a setting of the panel, and so is the currency. No answer names either: the
//!   catalogue says the one, `settings.currency` the other.
//! - Filters on times are compared in UTC whatever the zone of the range is, so none is ever used.

mod catalogue;
mod columns;
pub(super) mod descriptor;
mod panel;
mod reading;
mod refusal;
mod report;
mod request;
mod time;
mod total;
mod wire;

use async_trait::async_trait;
use url::Url;

use self::panel::{PAGE_ROWS, Pages, Panel};
use self::report::CONCURRENCY;
use self::request::Dialect;
use super::address;
use super::client::{Account, PlatformClient, Platforms};
use super::kind::{ConnectionType, FieldError, Settings};
use super::learned::Learned;
use super::stats::{Currency, Report, StatsQuery};
use super::verification::Detected;
use crate::outbound::error::{ErrorKind, PlatformError, Stage};
use crate::outbound::{self, Allowance, Limits, Upstream};
#[cfg(fuzzing)]
pub(super) use wire::fuzz;

/// It is somebody's live tracking server, and one report can keep it busy.
const LIMITS: Limits = Limits { origin: Allowance::of(CONCURRENCY), account: Allowance::of(CONCURRENCY) };

/// A status is the panel's word only where the body has its one shape.
const DIALECT: outbound::Dialect = outbound::Dialect {
    is_own_refusal: |answer| wire::error(&answer.body).is_some(),
    knows_wrong_keys: true,
    is_gateway: false,
};

/// Whose key it is, as a verification remembers it.
const ADMINISTRATOR: &str = "an administrator's key";
const LIMITED_USER: &str = "a limited user's key";

/// Brings the address down to the panel's origin: every path of the API is known, so whatever was pasted after it goes.
fn normalise(settings: &mut Settings) -> Result<(), Vec<FieldError>> {
    if let Some(url) = settings.get_mut("base_url") {
        *url = address::normalise("base_url", url, |_| String::new()).map_err(|error| vec![error])?;
    }
    Ok(())
}

/// The owner of a panel, or one of its users with a key.
struct AdminClient {
    panel: Panel,
    currency: Option<Currency>,
    /// Whose key it is, where the last verification found out.
    account: Option<String>,
}

impl AdminClient {
    fn open(mut account: Account, upstream: Upstream, platforms: &Platforms) -> Result<Self, PlatformError> {
        let base = account.settings.remove("base_url").filter(|base| Url::parse(base).is_ok()).ok_or_else(|| {
            PlatformError::new(ErrorKind::InvalidUrl, "The connection's address is missing or cannot be read.")
        })?;
        let key = account.credentials.remove("api_key").ok_or_else(|| {
            PlatformError::new(ErrorKind::CredentialsRejected, "The connection has no API key.").hint(refusal::KEY_HINT)
        })?;
        let pages = platforms.kept::<Learned<Pages>>().of(&upstream, PAGE_ROWS);
        let dialect = account.detected.platform_version.as_deref().and_then(Dialect::find);
        Ok(Self {
            panel: Panel::new(upstream, &base, key, dialect, pages),
            currency: account.settings.get("currency").and_then(|code| code.parse().ok()),
            account: account.detected.account,
        })
    }

    /// Whether a key that may not read reports may read anything.
    async fn explain(&self, error: PlatformError) -> PlatformError {
        if error.kind == ErrorKind::InsufficientPermissions && self.panel.lists("campaigns").await == Some(true) {
            return error.at(Stage::Authorize).hint(refusal::REPORTS_HINT);
        }
        error
    }
}

#[async_trait]
impl PlatformClient for AdminClient {
    async fn verify(&self) -> Result<Detected, PlatformError> {
        self.panel.upstream().enter(Stage::Request);
        if let Err(error) = Box::pin(report::prove(&self.panel)).await {
            return Err(self.explain(error).await);
        }
        self.panel.upstream().enter(Stage::Authorize);
        let account = match self.panel.lists("users").await {
            Some(true) => Some(ADMINISTRATOR.to_owned()),
            Some(false) => Some(LIMITED_USER.to_owned()),
            None => self.account.clone(),
        };
        Ok(Detected {
            connection_type: Some(ConnectionType::Admin),
            platform_version: self.panel.dialect().map(|dialect| dialect.key().to_owned()),
            account,
            ..Detected::default()
        })
    }

    async fn stats<'a>(&'a self, query: &'a StatsQuery) -> Result<Report<'a>, PlatformError> {
        report::start(&self.panel, query, self.currency).await
    }

    fn limits_of_user(&self) -> Option<&'static str> {
        (self.account.as_deref() == Some(LIMITED_USER)).then_some(
            "The key belongs to a user with limited rights. Keitaro leaves out what that user may not see without saying \
             so. Use an administrator's key for whole numbers.",
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pasted_addresses_come_down_to_the_panel() {
        for pasted in [
            "https://panel.example.com/admin/#!/campaigns/",
            "panel.example.com/admin_api/v1",
            "https://Panel.Example.com/",
            "https://panel.example.com/admin/?object=reports",
        ] {
            let mut settings = Settings::from([("base_url".to_owned(), pasted.to_owned())]);
            normalise(&mut settings).expect("an address");
            assert_eq!(settings["base_url"], "https://panel.example.com", "{pasted}");
        }
    }
}
