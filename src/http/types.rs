//! Bodies that only HTTP knows.

use std::net::IpAddr;

use serde::Serialize;
use utoipa::ToSchema;

use crate::connections::stats::Failure;
use crate::connections::stats::echo::QueryEcho;
use crate::connections::stats::layout::ColumnInfo;
use crate::connections::stats::merged::MergedPart;
use crate::connections::stats::table::{ConnectionRef, Source};
use crate::connections::stats::tally::Integrity;
use crate::connections::{AuditEventView, AutomationView, ConnectionView};
use crate::platforms;
use crate::platforms::calendar::Preset;
use crate::platforms::catalogue::PlatformEntry;
use crate::platforms::causes::{self, FailureCodeEntry};
use crate::platforms::currency::{self, CurrencyEntry};
use crate::platforms::stats::Warning;
use crate::platforms::verification::Verification;
use crate::webhooks::view::{DeliveryView, WebhookView};
use crate::webhooks::wanted::WantedEvent;

/// The catalogue.
#[derive(Serialize, ToSchema)]
pub(super) struct Catalogue {
    /// All platforms.
    #[schema(value_type = Vec<PlatformEntry>)]
    pub(super) data: &'static [PlatformEntry],
    /// The presets that statistics take.
    #[schema(example = json!(["today", "last_7_days"]))]
    pub(super) presets: Vec<Preset>,
    /// What they are called.
    #[schema(value_type = std::collections::BTreeMap<String, String>, example = json!({"today": "Today"}))]
    pub(super) preset_labels: Labels,
    /// The causes of failed verifications.
    pub(super) failure_codes: Vec<FailureCodeEntry>,
    /// The currencies that `settings.currency` takes.
    #[schema(value_type = Vec<CurrencyEntry>)]
    pub(super) currencies: &'static [CurrencyEntry],
    /// The addresses that trackers see this service come from, for people who have to allow them; empty if the operator
    /// has not named them.
    #[schema(value_type = Vec<String>, example = json!(["192.0.2.10"]))]
    pub(super) egress_addresses: Vec<IpAddr>,
    /// Always `null`: the catalogue has one page.
    #[schema(required)]
    pub(super) next_cursor: Option<String>,
}

impl Catalogue {
    /// The catalogue of a service that is seen to come from these addresses.
    pub(super) fn of(egress_addresses: Vec<IpAddr>) -> Self {
        Self {
            data: platforms::entries(),
            presets: Preset::ALL.to_vec(),
            preset_labels: Labels(&Preset::ALL),
            failure_codes: causes::all(),
            currencies: currency::all(),
            egress_addresses,
            next_cursor: None,
        }
    }
}

/// Presets and what they are called, in their order.
pub(super) struct Labels(&'static [Preset]);

impl Serialize for Labels {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|preset| (preset.key(), preset.label())))
    }
}

/// A page of statistics.
#[derive(ToSchema)]
#[schema(as = StatsPage)]
#[expect(dead_code, reason = "describes what the statistics module writes by hand, row by row")]
pub(super) struct StatsPage {
    /// Of which connection.
    connection: ConnectionRef,
    /// The question as it was answered.
    query: QueryEcho,
    /// The columns of `rows`, in order.
    columns: Vec<ColumnInfo>,
    /// The rows of this page.
    #[schema(example = json!([{"affiliate": {"id": "5000", "name": "Affiliate A"}, "clicks": 123, "revenue": "1505.1875", "currency": "USD", "impressions": null}]))]
    rows: Vec<StatsRow>,
    /// What all rows of the table add up to, by currency.
    #[schema(example = json!([{"currency": "USD", "clicks": 999, "revenue": "20150.25"}]))]
    totals: Vec<StatsTotals>,
    /// Rows of the whole table.
    #[schema(example = 9)]
    row_count: u64,
    /// Asks for the next page; `null` on the last.
    #[schema(required)]
    next_cursor: Option<String>,
    /// When the table was whole.
    #[schema(value_type = String, format = DateTime)]
    fetched_at: String,
    /// Where it came from.
    source: Source,
    /// What the platform's own totals say.
    integrity: Integrity,
    /// What should be known about the numbers.
    warnings: Vec<Warning>,
}

/// Statistics of several connections.
#[derive(ToSchema)]
#[schema(as = StatsOfMany)]
#[expect(dead_code, reason = "describes what the handler writes from finished answers")]
pub(super) struct StatsOfMany {
    /// One answer for each connection that could give one.
    results: Vec<StatsPage>,
    /// The connections that could not, and why.
    failures: Vec<Failure>,
}

/// One table of several connections.
#[derive(ToSchema)]
#[schema(as = StatsMerged)]
#[expect(dead_code, reason = "describes what the statistics module writes by hand, row by row")]
pub(super) struct StatsMerged {
    /// The connections that the rows are of, each with what there is to say of its own.
    connections: Vec<MergedPart>,
    /// The question as it was answered.
    query: QueryEcho,
    /// The columns of `rows`, in order.
    columns: Vec<ColumnInfo>,
    /// The rows of this page, each with its `connection`.
    rows: Vec<StatsRow>,
    /// What all rows of the table add up to, by currency; `null` where the part of one connection is not known.
    totals: Vec<StatsTotals>,
    /// Rows of the whole table.
    #[schema(example = 9)]
    row_count: u64,
    /// Asks for the next page; `null` on the last.
    #[schema(required)]
    next_cursor: Option<String>,
    /// The connections that could not answer, and why.
    failures: Vec<Failure>,
}

/// The answers of several connections, or one table of them.
#[derive(ToSchema)]
pub(super) struct StatsAnswers {}

/// All rows, one JSON object a line, and the summary last.
#[derive(ToSchema)]
pub(super) struct StatsLines {}

/// The last line of a stream that came to its end.
#[derive(ToSchema)]
#[schema(as = StatsSummary)]
#[expect(dead_code, reason = "describes what the statistics module writes")]
pub(super) struct StatsSummary {
    /// The question as it was answered.
    query: QueryEcho,
    /// What all rows add up to, by currency.
    totals: Vec<StatsTotals>,
    /// How many rows there were.
    #[schema(example = 9)]
    row_count: u64,
    /// What the platform's own totals say.
    integrity: Integrity,
    /// What should be known about the numbers.
    warnings: Vec<Warning>,
}

/// A row. The real schema, like those below, comes from the dimensions and metrics there are.
#[derive(ToSchema)]
pub(super) struct StatsRow {}

/// Totals of one currency.
#[derive(ToSchema)]
pub(super) struct StatsTotals {}

/// A column to sort a table by.
#[derive(ToSchema)]
pub(super) struct ColumnOrder {}

/// A column to sort connections by.
#[derive(ToSchema)]
pub(super) struct ConnectionOrder {}

/// What of the service is up.
#[derive(Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum HealthStatus {
    /// The process is alive.
    Ok,
    /// Requests are welcome.
    Ready,
    /// Requests should go elsewhere.
    NotReady,
}

/// Whether the service is up.
#[derive(Serialize, ToSchema)]
pub(super) struct Health {
    /// In one word.
    pub(super) status: HealthStatus,
    /// What was looked at.
    #[schema(value_type = std::collections::BTreeMap<String, String>)]
    pub(super) checks: std::collections::BTreeMap<&'static str, &'static str>,
    /// For each check that stands in the way, why.
    #[serde(skip_serializing_if = "std::collections::BTreeMap::is_empty")]
    #[schema(value_type = std::collections::BTreeMap<String, String>, required = false)]
    pub(super) reasons: std::collections::BTreeMap<&'static str, &'static str>,
}

/// The body of a create call. The real schema, one variant per platform, comes from the catalogue.
#[derive(ToSchema)]
#[schema(as = ConnectionCreate)]
pub(super) struct ConnectionCreate {}

/// The body of a dry run: a create body whose name may be left out.
#[derive(ToSchema)]
#[schema(as = ConnectionTry)]
pub(super) struct ConnectionTry {}

/// A JSON merge patch of a connection. The real schema has the fields of all platforms.
#[derive(ToSchema)]
#[schema(as = ConnectionPatch)]
pub(super) struct ConnectionPatch {}

/// The body of a create call for a webhook.
#[derive(ToSchema)]
#[schema(as = WebhookCreate)]
#[expect(dead_code, reason = "describes what the drafts of webhooks read")]
pub(super) struct WebhookCreate {
    /// Where events are sent: a public https address. It may not hold a user name or a password.
    #[schema(
        max_length = 2048,
        pattern = "^[ ]*[Hh][Tt][Tt][Pp][Ss]?://",
        example = "https://hooks.example.com/affzero"
    )]
    url: String,
    /// Which events; all of them by default.
    #[schema(min_items = 1, max_items = 50, example = json!(["connection.failing", "connection.recovered"]))]
    events: Option<Vec<WantedEvent>>,
    /// Whether events are sent, which is so by default.
    #[schema(example = true)]
    active: Option<bool>,
    /// What it is for.
    #[schema(
        max_length = 200,
        pattern = "^[^\\u0000-\\u001F\\u007F-\\u009F]*$",
        example = "Alerts of the operations team"
    )]
    description: Option<String>,
}

/// A JSON merge patch of a webhook.
#[derive(ToSchema)]
#[schema(as = WebhookPatch)]
#[expect(dead_code, reason = "describes what the drafts of webhooks read")]
pub(super) struct WebhookPatch {
    /// Where events are sent.
    #[schema(
        required = false,
        nullable = false,
        max_length = 2048,
        pattern = "^[ ]*[Hh][Tt][Tt][Pp][Ss]?://",
        example = "https://hooks.example.com/affzero"
    )]
    url: Option<String>,
    /// Which events.
    #[schema(required = false, nullable = false, min_items = 1, max_items = 50, example = json!(["*"]))]
    events: Option<Vec<WantedEvent>>,
    /// Whether events are sent. `true` resumes what was paused.
    #[schema(required = false, nullable = false, example = true)]
    active: Option<bool>,
    /// What it is for; `null` takes it away.
    #[schema(
        max_length = 200,
        pattern = "^[^\\u0000-\\u001F\\u007F-\\u009F]*$",
        example = "Alerts of the operations team"
    )]
    description: Option<String>,
}

/// Describes the pages of lists; [`crate::connections::Page`] is what is written.
macro_rules! pages {
    ($($(#[$doc:meta])* $name:ident of $entry:ty;)*) => {$(
        $(#[$doc])*
        #[derive(ToSchema)]
        #[expect(dead_code, reason = "describes a page of these entries")]
        pub(super) struct $name {
            /// The entries.
            data: Vec<$entry>,
            /// Asks for the next page; `null` on the last.
            #[schema(required)]
            next_cursor: Option<String>,
        }
    )*};
}

pages! {
    /// A page of connections.
    ConnectionPage of ConnectionView;
    /// A page of verifications.
    VerificationPage of Verification;
    /// A page of automations.
    AutomationPage of AutomationView;
    /// A page of audit events.
    AuditEventPage of AuditEventView;
    /// A page of webhooks.
    WebhookPage of WebhookView;
    /// A page of attempts to deliver events.
    WebhookDeliveryPage of DeliveryView;
}
