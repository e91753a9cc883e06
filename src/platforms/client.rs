//! An account that is opened: what every platform's client promises, and what is done through it.

use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;
use futures_util::StreamExt;
use http::Extensions;
use parking_lot::Mutex;
use uuid::Uuid;

use super::calendar::{self, Zone};
use super::kind::{Credentials, Gateways, Pair, Platform, Settings};
use super::stats::{Batch, DayOfConversion, Report, StatsQuery, Terms, Warning, WarningCode};
use super::verification::{self, Detected, Subject, Verification};
use super::zone_changes;
use crate::metrics;
use crate::outbound::error::{ErrorKind, PlatformError};
use crate::outbound::{MARK, Transport, Upstream};

/// One outside account, ready to be asked.
///
/// What every client promises:
/// - `verify` only reads, and its last call is the smallest real report, judged by the parser that `stats` uses.
/// - Rows have one value for each of the query's dimensions, in that order.
/// - Days and hours are in the query's zone, both ends of the range included; where the platform cannot do that the
///   report says so in a warning, or is refused.
/// - A report is whole or ends in an error. All pages are read, and what the platform says of its totals and counts
///   is held against the rows.
/// - Metrics mean what [`Metric`](super::stats::Metric) says; what the platform does not report is `None`.
/// - No credential appears in an error, a log line or `Debug`.
#[async_trait]
pub trait PlatformClient: Send + Sync {
    /// Proves that reports can be read.
    async fn verify(&self) -> Result<Detected, PlatformError>;

    /// Plans and starts a report. An impossible query is refused here, before anything is read.
    async fn stats<'a>(&'a self, query: &'a StatsQuery) -> Result<Report<'a>, PlatformError>;

    /// The zone that the days of a report really are in; `None` where nobody knows the account's.
    fn zone_of<'a>(&'a self, query: &'a StatsQuery) -> Option<&'a Zone> {
        Some(&query.zone)
    }

    /// The zone whose days the platform counts by its own tables of zones, where it is not handed instants.
    fn counts_days_in<'a>(&'a self, query: &'a StatsQuery) -> Option<&'a Zone> {
        Some(&query.zone)
    }

    /// What the key's user may be shown less than, where the last verification found a user with limited rights.
    fn limits_of_user(&self) -> Option<&'static str> {
        None
    }

    /// On which day a conversion counts, where the connection's settings decide that and not the platform.
    fn day_of_conversion(&self) -> Option<DayOfConversion> {
        None
    }
}

/// What a connection is opened with.
pub struct Account {
    /// Its id; a dry run has one too, made up for the occasion.
    pub connection: Uuid,
    /// Its settings.
    pub settings: Settings,
    /// Its secrets.
    pub credentials: Credentials,
    /// What the last good verification found out.
    pub detected: Detected,
}

/// An opened connection: the platform's client, and the road its calls take.
pub struct Client {
    pub(super) pair: Pair,
    pub(super) subject: Subject,
    pub(super) upstream: Upstream,
    pub(super) platform: Box<dyn PlatformClient>,
}

impl Client {
    /// Which platform and type it speaks to.
    pub fn pair(&self) -> Pair {
        self.pair
    }

    /// The road its calls take, with its counters.
    pub fn upstream(&self) -> &Upstream {
        &self.upstream
    }

    /// What the days of a report are.
    pub fn terms(&self, query: &StatsQuery) -> Terms {
        let by_catalogue = || self.pair.entry().day_of_conversion;
        Terms {
            zone: self.platform.zone_of(query).cloned(),
            day_of_conversion: self.platform.day_of_conversion().unwrap_or_else(by_catalogue),
        }
    }

    /// Plans and starts a report.
    ///
    /// # Errors
    /// What the platform, or the road to it, refuses.
    pub async fn stats<'a>(&'a self, query: &'a StatsQuery) -> Result<Report<'a>, PlatformError> {
        let Report { unique_keys, mut batches } = self.platform.stats(query).await?;
        let counted = self.platform.counts_days_in(query);
        let doubt = counted.and_then(|zone| zone_tables_may_differ(self.pair.platform(), zone, query));
        let batches = Box::pin(async_stream::try_stream! {
            while let Some(batch) = batches.next().await {
                let mut batch = batch?;
                if self.upstream.has_repaired() {
                    clean_ids(query, &mut batch)?;
                }
                yield batch;
            }
            if let Some(detail) = self.platform.limits_of_user() {
                let warning = Warning { code: WarningCode::DataMayBeLimited, detail: detail.to_owned() };
                yield Batch { warnings: vec![warning], ..Batch::default() };
            }
            if let Some(doubt) = doubt {
                yield Batch { warnings: vec![doubt], ..Batch::default() };
            }
            if self.upstream.has_repaired() {
                yield Batch { warnings: vec![text_repaired(self.pair.platform())], ..Batch::default() };
            }
        });
        Ok(Report { unique_keys, batches })
    }
}

/// A text that is only shown may have been repaired, and so may an id that is one. Any other id must not: rows of two
/// entities could become those of one.
fn clean_ids(query: &StatsQuery, batch: &mut Batch) -> Result<(), PlatformError> {
    for row in &mut batch.rows {
        for (dimension, value) in query.dimensions.iter().zip(&mut row.key) {
            if dimension.is_named_by_id() {
                value.id.retain(|letter| letter != MARK);
            } else if value.id.contains([MARK, char::REPLACEMENT_CHARACTER]) {
                let detail = "An id in the tracker's answer holds characters that no id can have.";
                return Err(PlatformError::bad_response(detail));
            }
        }
    }
    Ok(())
}

fn zone_tables_may_differ(platform: Platform, zone: &Zone, query: &StatsQuery) -> Option<Warning> {
    let days = zone_changes::days_concerned(zone, query.range)?;
    Some(Warning {
        code: WarningCode::ZoneTablesDiffer,
        detail: format!(
            "The rules of {} changed between the time zone tables {} and {}. {} does not say which it counts by. If by the \
             older, the days from {} to {} begin and end at another hour than here.",
            zone.name(),
            zone_changes::OLD,
            calendar::zone_tables(),
            platform.title(),
            days.from(),
            days.to()
        ),
    })
}

fn text_repaired(platform: Platform) -> Warning {
    Warning {
        code: WarningCode::TextRepaired,
        detail: format!(
            "A name in the answers of {} holds half a character or control characters; names are shown without them.",
            platform.title()
        ),
    }
}

/// What all clients of a process share.
#[derive(Clone)]
pub struct Platforms {
    /// The only way out.
    pub transport: Transport,
    /// Fixed addresses.
    pub gateways: Arc<Gateways>,
    /// What the platforms keep in memory, each under a type of its own.
    kept: Arc<Mutex<Extensions>>,
}

impl Platforms {
    /// What all clients share, with nothing learned yet.
    pub fn new(transport: Transport, gateways: Gateways) -> Self {
        for platform in Platform::ALL {
            metrics::upstream(platform.key());
        }
        Self { transport, gateways: Arc::new(gateways), kept: Arc::default() }
    }

    /// What a platform keeps in memory for all its connections, such as sessions or a list of zones. Clones of it have
    /// to share what they hold.
    pub(super) fn kept<T: Clone + Default + Send + Sync + 'static>(&self) -> T {
        self.kept.lock().get_or_insert_default::<T>().clone()
    }

    /// The same, used for one tenant: its calls take their turns beside those of all others.
    pub fn on_behalf_of(&self, tenant: u64) -> Self {
        Self { transport: self.transport.on_behalf_of(tenant), ..self.clone() }
    }
}

/// Verifies through `client`, within [`VERIFICATION_DEADLINE`](verification::VERIFICATION_DEADLINE), and reports by stages.
pub async fn verify(client: &Client) -> Verification {
    let started = Instant::now();
    let reading = async {
        client.upstream().preflight().await?;
        client.platform.verify().await
    };
    let outcome = tokio::time::timeout_at(client.upstream().deadline().into(), reading).await.unwrap_or_else(|_| {
        let detail = format!("{} did not answer everything in time.", client.upstream().host());
        Err(PlatformError::new(ErrorKind::Timeout, detail))
    });
    let outcome = outcome.map(|detected| detected.quoted(client.upstream()));
    verification::report(client.subject, outcome, &client.upstream().timings(), started.elapsed())
}
