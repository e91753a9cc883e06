//! Bodies that only HTTP knows.

use serde::Serialize;
use utoipa::ToSchema;

use crate::connections::stats::Failure;
use crate::connections::stats::table::{ColumnInfo, ConnectionRef, Integrity, QueryEcho, Source};
use crate::platforms::catalogue::PlatformEntry;
use crate::platforms::stats::Warning;

/// The catalogue.
#[derive(Serialize, ToSchema)]
pub(super) struct Catalogue {
    /// All platforms.
    #[schema(value_type = Vec<PlatformEntry>)]
    pub(super) data: &'static [PlatformEntry],
    /// The presets that statistics take.
    #[schema(example = json!(["today", "last_7_days"]))]
    pub(super) presets: Vec<&'static str>,
    /// Always `null`: the catalogue has one page.
    #[schema(required)]
    pub(super) next_cursor: Option<String>,
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
    /// The rows of this page: a dimension is `{id, name}`, a count an integer, money and ratios decimal strings, and
    /// `null` is not known.
    #[schema(value_type = Vec<Object>, example = json!([{"affiliate": {"id": "5000", "name": "Affiliate A"}, "clicks": 123, "revenue": "1505.1875", "currency": "USD", "impressions": null}]))]
    rows: Vec<serde_json::Value>,
    /// What all rows of the table add up to, by currency.
    #[schema(value_type = Vec<Object>, example = json!([{"currency": "USD", "clicks": 999, "revenue": "20150.25"}]))]
    totals: Vec<serde_json::Value>,
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

/// Whether the service is up.
#[derive(Serialize, ToSchema)]
pub(super) struct Health {
    /// `ok`, `ready` or `not_ready`.
    #[schema(example = "ok")]
    pub(super) status: &'static str,
    /// What was looked at.
    #[schema(value_type = std::collections::BTreeMap<String, String>)]
    pub(super) checks: std::collections::BTreeMap<&'static str, &'static str>,
}

/// The body of a create call. The real schema, one variant per platform, comes from the catalogue.
#[derive(ToSchema)]
#[schema(as = ConnectionCreate)]
pub(super) struct ConnectionCreate {}

/// The body of a dry run: a create body whose name may be left out.
#[derive(ToSchema)]
#[schema(as = ConnectionTry)]
pub(super) struct ConnectionTry {}

/// A JSON merge patch (RFC 7396) of a connection.
#[derive(ToSchema)]
#[schema(as = ConnectionPatch, example = json!({"name": "Brand A (new)"}))]
#[expect(dead_code, reason = "the patch is read from the JSON itself, against the platform's schemas")]
pub(super) struct ConnectionPatch {
    /// The new name.
    #[schema(min_length = 1, max_length = 100, required = false)]
    name: String,
    /// Settings to change; `null` takes one away.
    #[schema(required = false)]
    settings: std::collections::BTreeMap<String, Option<String>>,
    /// Secrets to change; `null` takes one away.
    #[schema(required = false, write_only)]
    credentials: std::collections::BTreeMap<String, Option<String>>,
}
