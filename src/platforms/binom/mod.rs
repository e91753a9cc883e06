//! Binom: a tracker that runs on its owner's own server, in two generations that share no call.
//!
//! Follows Binom's public API pages and recorded answers of both generations. v1 is one PHP file, named differently on
//! every installation, that answers JSON when the key stands in the query; v2 is a REST API below `/public/api/v1`
//! (that number is the API's, not the product's) which takes the key in a header. Which one it is nobody has to know:
//! [`AdminClient`] finds out, and a verification remembers it.
//!
//! What is odd about both:
//! - Sums by offer or by network are smaller than sums by campaign, because clicks that never reached an offer belong
//!   to none. The two are never held against each other.
//! - No row names a currency; the connection's own setting does, or nothing.
//! - Columns that the key's user may not see are missing from the answers. They are `None`, and a warning says so.

mod catalogue;
mod countries;
pub(super) mod descriptor;
mod limits;
mod report;
mod v1;
mod v2;
mod windows;
mod wire;

use async_trait::async_trait;
use secrecy::{ExposeSecret, SecretString};
use url::Url;

use super::address;
use super::calendar::Zone;
use super::client::{Account, PlatformClient, Platforms};
use super::kind::{ConnectionType, FieldError, Settings};
use super::learned::{Facts, Learned, Sizes};
use super::stats::{Currency, Report, StatsQuery};
use super::verification::Detected;
use crate::outbound::error::{ErrorKind, PlatformError, Stage};
use crate::outbound::{Dialect, Upstream};

/// How its own answers are told from those of something in front of it.
const DIALECT: Dialect = Dialect { is_own_refusal: wire::is_own_refusal, knows_wrong_keys: false, is_gateway: false };

/// Reads any bytes as every answer, and any text as the name of a day or an hour.
#[cfg(fuzzing)]
pub(super) fn fuzz(body: &[u8]) {
    wire::fuzz(body);
    if let Ok(name) = std::str::from_utf8(body) {
        v2::fuzz_names(name);
    }
}

/// Brings the address into the form it is stored in.
fn normalise(settings: &mut Settings) -> Result<(), Vec<FieldError>> {
    if let Some(url) = settings.get_mut("base_url") {
        *url = address::normalise("base_url", url, installation).map_err(|error| vec![error])?;
    }
    Ok(())
}

/// The part of a pasted path that belongs to the installation.
///
/// v1's panel file is kept whatever its name, since every installation chooses its own; what follows it is not. The
/// pages people paste instead (the click handler, v2's panel, its API and the API's documentation) are cut off.
fn installation(path: &str) -> String {
    let mut kept = Vec::new();
    for segment in path.split('/').filter(|segment| !segment.is_empty()) {
        if matches!(segment, "public" | "panel" | "api" | "click.php") {
            break;
        }
        kept.push(segment);
        if is_php(segment) {
            break;
        }
    }
    kept.join("/")
}

fn is_php(path: &str) -> bool {
    path.ends_with(".php")
}

/// Takes a key out of what v1's settings page shows around it: `&api_key=…`.
fn unpaste(mut account: Account) -> Account {
    if let Some(key) = account.credentials.get_mut("api_key") {
        let pasted = key.expose_secret().trim();
        if let Some(bare) = pasted.trim_start_matches(['?', '&']).strip_prefix("api_key=") {
            *key = SecretString::from(bare.trim().to_owned());
        }
    }
    account
}

/// The generations of Binom, as a verification remembers them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Generation {
    V1,
    V2,
}

impl Generation {
    const fn key(self) -> &'static str {
        match self {
            Self::V1 => "v1",
            Self::V2 => "v2",
        }
    }

    fn find(key: &str) -> Option<Self> {
        [Self::V1, Self::V2].into_iter().find(|generation| generation.key() == key)
    }
}

/// An installation whose generation is known.
enum Tracker {
    V1(v1::Panel),
    V2(Box<v2::Api>),
}

/// The owner of a Binom installation, or a user with a key of its own.
struct AdminClient {
    upstream: Upstream,
    base: String,
    key: SecretString,
    pages: Sizes,
    times: v2::Known,
    currency: Option<Currency>,
    remembered: Option<Generation>,
    /// Whose key it is, where the last verification found out.
    account: Option<String>,
}

impl AdminClient {
    fn open(mut account: Account, upstream: Upstream, platforms: &Platforms) -> Result<Self, PlatformError> {
        let base = account.settings.remove("base_url").filter(|base| Url::parse(base).is_ok()).ok_or_else(|| {
            PlatformError::new(ErrorKind::InvalidUrl, "The connection's address is missing or cannot be read.")
        })?;
        let key = account.credentials.remove("api_key").ok_or_else(|| {
            PlatformError::new(ErrorKind::CredentialsRejected, "The connection has no API key.").hint(v2::KEY_HINT)
        })?;
        Ok(Self {
            pages: platforms.kept::<Learned<v2::Pages>>().of(&upstream, v2::PAGE_ROWS),
            times: platforms.kept::<Facts<v2::Names>>().of(&upstream),
            upstream,
            base,
            key,
            currency: account.settings.get("currency").and_then(|code| code.parse().ok()),
            remembered: account.detected.platform_version.as_deref().and_then(Generation::find),
            account: account.detected.account,
        })
    }

    fn api(&self) -> v2::Api {
        v2::Api::new(self.upstream.clone(), &self.base, self.key.clone(), self.pages.clone(), self.times.clone())
    }

    /// The panel whose file the address names.
    fn named_panel(&self) -> Option<v1::Panel> {
        is_php(&self.base).then(|| v1::Panel::new(self.upstream.clone(), self.base.clone(), true, self.key.clone()))
    }

    /// The tracker, as the last verification found it.
    async fn recall(&self) -> Result<Tracker, PlatformError> {
        match self.remembered {
            Some(Generation::V2) => Ok(Tracker::V2(Box::new(self.api()))),
            Some(Generation::V1) => match self.named_panel() {
                Some(panel) => Ok(Tracker::V1(panel)),
                None => self.guess_panel().await.map(Tracker::V1),
            },
            None => self.detect().await.map(|(tracker, _)| tracker),
        }
    }

    /// Finds out which generation answers, and as whom the key is known.
    ///
    /// v2 is asked first unless the address names a PHP file: its key travels in a header, so a wrong guess leaves no
    /// key in anybody's access log.
    async fn detect(&self) -> Result<(Tracker, Option<String>), PlatformError> {
        if let Some(panel) = self.named_panel() {
            panel.greet().await?;
            return Ok((Tracker::V1(panel), None));
        }
        let api = self.api();
        // Trackers redirect paths they do not know, so a redirect alone does not rule v1 out.
        let redirect = match api.greet().await {
            Ok(v2::Greeting::Binom { user }) => return Ok((Tracker::V2(Box::new(api)), user)),
            Ok(v2::Greeting::Stranger) => None,
            Err(error) if error.kind == ErrorKind::Redirected => Some(error),
            Err(error) => return Err(error),
        };
        match self.guess_panel().await {
            Ok(panel) => Ok((Tracker::V1(panel), None)),
            Err(error) if error.kind == ErrorKind::NotThisPlatform => Err(redirect.unwrap_or(error)),
            Err(error) => Err(error),
        }
    }

    /// Finds v1's panel at the two places it may stand in without a name of its own.
    async fn guess_panel(&self) -> Result<v1::Panel, PlatformError> {
        for file in ["/", "/index.php"] {
            let address = format!("{}{file}", self.base);
            let panel = v1::Panel::new(self.upstream.clone(), address, false, self.key.clone());
            match panel.greet().await {
                Ok(()) => return Ok(panel),
                Err(error) if is_strange(&error) => {}
                Err(error) => return Err(error),
            }
        }
        Err(PlatformError::new(
            ErrorKind::NotThisPlatform,
            format!("{} answers, but neither as Binom v2 nor as the panel of Binom v1.", self.upstream.host()),
        )
        .hint(v1::ADDRESS_HINT))
    }
}

/// Whether whatever answered is nothing of Binom's.
fn is_strange(error: &PlatformError) -> bool {
    matches!(
        error.kind,
        ErrorKind::NotThisPlatform | ErrorKind::Redirected | ErrorKind::BadResponse
            // A web server that lists no folders.
            | ErrorKind::AccessBlocked
    )
}

#[async_trait]
impl PlatformClient for AdminClient {
    async fn verify(&self) -> Result<Detected, PlatformError> {
        self.upstream.enter(Stage::Request);
        let (tracker, account) = self.detect().await?;
        self.upstream.enter(Stage::Authorize);
        let generation = match &tracker {
            Tracker::V1(panel) => panel.prove_reporting().await.map(|()| Generation::V1),
            Tracker::V2(api) => api.prove_reporting().await.map(|()| Generation::V2),
        }?;
        Ok(Detected {
            connection_type: Some(ConnectionType::Admin),
            platform_version: Some(generation.key().to_owned()),
            account,
            ..Detected::default()
        })
    }

    fn limits_of_user(&self) -> Option<&'static str> {
        let is_limited = self.account.as_deref().is_some_and(|account| !wire::is_administrator(account));
        is_limited.then_some(
            "The key belongs to a user who is no administrator. Binom leaves out what that user may not see without saying \
             so. Use an administrator's key for whole numbers.",
        )
    }

    /// Both generations are asked at fixed offsets from UTC.
    fn counts_days_in<'a>(&'a self, _: &'a StatsQuery) -> Option<&'a Zone> {
        None
    }

    async fn stats<'a>(&'a self, query: &'a StatsQuery) -> Result<Report<'a>, PlatformError> {
        match self.recall().await? {
            Tracker::V1(panel) => v1::report(panel, query, self.currency).await,
            Tracker::V2(api) => v2::report(*api, query, self.currency).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn stored(pasted: &str) -> Option<String> {
        let mut settings = Settings::from([("base_url".to_owned(), pasted.to_owned())]);
        normalise(&mut settings).ok()?;
        settings.remove("base_url")
    }

    #[test]
    fn pasted_addresses_keep_the_installation_and_lose_the_page() {
        for (pasted, kept) in [
            ("https://trk.example.com/", "https://trk.example.com"),
            ("trk.example.com/public/api/v1/stats/campaign?limit=5", "https://trk.example.com"),
            ("https://trk.example.com/public", "https://trk.example.com"),
            ("https://trk.example.com/panel/campaigns#list", "https://trk.example.com"),
            ("https://trk.example.com/api/doc", "https://trk.example.com"),
            ("https://trk.example.com/click.php?key=abc", "https://trk.example.com"),
            ("http://10.0.0.7:8081/binom/public/api/v1", "http://10.0.0.7:8081/binom"),
            ("https://trk.example.com/panel.php?page=Campaigns", "https://trk.example.com/panel.php"),
            ("https://trk.example.com/b/jl8sn.php/x", "https://trk.example.com/b/jl8sn.php"),
        ] {
            assert_eq!(stored(pasted).as_deref(), Some(kept), "{pasted}");
        }
    }

    #[test]
    fn a_key_is_taken_out_of_what_the_settings_page_shows_around_it() {
        for pasted in ["abc123", " &api_key=abc123 ", "api_key=abc123", "?api_key=abc123"] {
            let mut account = unpaste(Account {
                connection: uuid::Uuid::nil(),
                settings: Settings::new(),
                credentials: [("api_key".to_owned(), SecretString::from(pasted))].into(),
                detected: Detected::default(),
            });
            let key = account.credentials.remove("api_key").expect("a key");
            assert_eq!(key.expose_secret().trim(), "abc123", "{pasted}");
        }
    }

    proptest! {
        #[test]
        fn an_address_in_stored_form_stays_as_it_is(path in "(/(public|panel|panel\\.php|api|doc|click\\.php|[a-z0-9%. ]{0,6})){0,5}/?") {
            if let Some(once) = stored(&format!("https://trk.example.com{path}")) {
                prop_assert_eq!(stored(&once), Some(once.clone()));
            }
        }
    }
}
