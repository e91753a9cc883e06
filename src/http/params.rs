//! The parameters of calls, as the document describes them. What reads them is in [`super::listing`] and,
//! for statistics, in [`super::question`]: strictly, and all that is wrong at once.

#![expect(dead_code, reason = "these types describe; what is sent is read from the query string and the headers")]

use std::collections::BTreeSet;

use utoipa::IntoParams;
use uuid::Uuid;

use super::types::{ColumnOrder, ConnectionOrder};
use super::{listing, question};
use crate::connections::Status;
use crate::connections::action::Action;
use crate::connections::create::VerifyMode;
use crate::connections::stats::compare::Comparison;
use crate::platforms::calendar::Preset;
use crate::platforms::stats::{Dimension, Metric};
use crate::platforms::{ConnectionType, Platform};

/// Which part of a list.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Paging {
    /// Entries of one page
    #[param(minimum = 1, maximum = 100, default = json!(listing::DEFAULT_LIMIT), example = 25)]
    limit: Option<u32>,
    /// `next_cursor` of the page before
    cursor: Option<String>,
}

/// Whether a new connection is verified before it is saved.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Saving {
    /// `required` verifies before saving; `deferred` saves at once and verifies in the background
    #[param(default = "required", example = "required")]
    verify: Option<VerifyMode>,
}

/// Which connections, in which order.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct ListOfConnections {
    /// Only this platform
    #[param(example = "demo")]
    platform: Option<Platform>,
    /// Only this type
    #[param(example = "admin")]
    connection_type: Option<ConnectionType>,
    /// Only this health
    #[param(example = "active")]
    status: Option<Status>,
    /// Only names that contain this, whatever the letter case
    #[param(max_length = 100, pattern = "^[^\\u0000-\\u001F\\u007F-\\u009F]*$", example = "demo")]
    q: Option<String>,
    /// The order, with a leading `-` for the reverse
    #[param(default = "-created_at", example = "-created_at")]
    sort: Option<ConnectionOrder>,
}

/// The question of a statistics request.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct StatsQuestion {
    /// Up to 3 dimensions of the catalogue, comma-separated or repeated; without one there is one row a currency
    #[param(style = Form, explode = false, max_items = 3, example = json!(["affiliate", "date"]))]
    group_by: Option<BTreeSet<Dimension>>,
    /// A named range, computed in `timezone`; this, or `from` and `to`
    #[param(example = "last_7_days")]
    preset: Option<Preset>,
    /// The first local day (with `to`, instead of `preset`)
    #[param(format = Date, example = "2025-01-01")]
    from: Option<String>,
    /// The last local day, included (with `from`)
    #[param(format = Date, example = "2025-01-31")]
    to: Option<String>,
    /// IANA zone of days and hours
    #[param(format = "iana-time-zone", default = "UTC", pattern = "^[A-Za-z0-9_+/-]+$", example = "Europe/Berlin")]
    timezone: Option<String>,
    /// Stands for `filter[<dimension>]`, one parameter of each
    filter: Option<String>,
    /// Stands for `min[<metric>]`, one parameter of each
    min: Option<String>,
    /// Stands for `max[<metric>]`, one parameter of each
    max: Option<String>,
    /// Only rows with a dimension whose name or id contains this, whatever the letter case
    #[param(max_length = 200, example = "nord")]
    search: Option<String>,
    /// Puts beside each row and total what it was in other days, and how far it is from that
    #[param(example = "previous_week")]
    compare: Option<Comparison>,
    /// Only these metrics, comma-separated or repeated, in this order; all if it is left out
    #[param(style = Form, explode = false, min_items = 1, example = json!(["clicks", "conversions", "revenue"]))]
    metrics: Option<BTreeSet<Metric>>,
    /// A grouped dimension or a metric, with a leading `-` for descending; by the dimensions if it is left out
    #[param(example = "-revenue")]
    sort: Option<ColumnOrder>,
    /// Rows of one page
    #[param(minimum = 1, maximum = 1000, default = json!(question::DEFAULT_LIMIT), example = 100)]
    limit: Option<u32>,
}

/// How the table of several connections is written.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct MergedShape {
    /// A page as JSON, or with `merge` all rows as a file; wins over `Accept`
    #[param(inline, example = "json")]
    format: Option<AnswerFormat>,
}

/// How the answers of several connections are put together.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Merging {
    /// Whether the answer is one table; only then are there `cursor`, other formats than JSON, and `sort=connection`
    #[param(default = false, example = true)]
    merge: Option<bool>,
    /// Whether a file may lack the connections that could not answer
    #[param(default = false, example = true)]
    allow_partial: Option<bool>,
}

/// Which values of a dimension.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct WhichValues {
    /// Only ids and names that contain this, whatever the letter case
    #[param(max_length = 200, example = "nord")]
    q: Option<String>,
    /// The most values
    #[param(minimum = 1, maximum = 100, default = json!(question::DEFAULT_VALUES), example = 25)]
    limit: Option<u32>,
    /// IANA zone of the days
    #[param(format = "iana-time-zone", default = "UTC", pattern = "^[A-Za-z0-9_+/-]+$", example = "Europe/Berlin")]
    timezone: Option<String>,
}

/// Where the table of one connection goes on.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct StatsPaging {
    /// `next_cursor` of the page before
    cursor: Option<String>,
}

/// How a table is written.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct TableShape {
    /// A page as JSON, or all rows as a file; wins over `Accept`
    #[param(inline, example = "csv")]
    format: Option<AnswerFormat>,
}

/// How a file begins and ends.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct FileShape {
    /// Whether CSV begins with a byte-order mark, by which Excel knows UTF-8
    #[param(default = false, example = true)]
    bom: Option<bool>,
    /// Whether NDJSON ends with a line `{"summary": …}`
    #[param(default = true, example = false)]
    summary: Option<bool>,
}

/// How fresh an answer is, and how long it may take.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct PullShape {
    /// Whether to go to the tracker whatever is kept
    #[param(default = false, example = true)]
    fresh: Option<bool>,
    /// This request's own deadline in milliseconds; `STATS_DEADLINE_MS` at most, and if it is left out
    #[param(minimum = 1000, example = 20000)]
    deadline_ms: Option<u32>,
}

/// A format of statistics.
#[derive(utoipa::ToSchema)]
#[schema(rename_all = "lowercase")]
pub(super) enum AnswerFormat {
    Json,
    Ndjson,
    Csv,
}

/// Which connections are asked.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct WhichConnections {
    /// The connections; all of the organisation's if there is none
    #[param(max_items = 100, example = json!(["01990000-0000-7000-8000-000000000000"]))]
    connection_id: Option<Vec<Uuid>>,
}

/// Which audit events.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct WhichAuditEvents {
    /// Only this connection
    #[param(example = "01990000-0000-7000-8000-000000000000")]
    connection_id: Option<Uuid>,
    /// Only this action
    #[param(example = "connection.deleted")]
    action: Option<Action>,
    /// Only what this token's subject did
    #[param(max_length = 255, pattern = "^[^\\u0000-\\u001F\\u007F-\\u009F]*$", example = "user-1")]
    actor: Option<String>,
    /// The first day, in UTC
    #[param(format = Date, example = "2026-11-01")]
    from: Option<String>,
    /// The last day, in UTC
    #[param(format = Date, example = "2026-11-30")]
    to: Option<String>,
}

/// How a pull is made, and for whom.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
pub(super) struct PullHeaders {
    /// `no-cache` goes to the tracker whatever is kept
    #[param(rename = "Cache-Control", example = "no-cache")]
    cache_control: Option<String>,
    /// Names the calling automation, for the connection's list of automations
    #[param(rename = "X-Automation-Id", max_length = 200, pattern = "^[ -~]*$", example = "weekly-payout-mail")]
    automation: Option<String>,
}

/// What the caller has already.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
pub(super) struct IfChanged {
    /// The ETag of an earlier answer; the same data is then answered with 304
    #[param(rename = "If-None-Match", example = "\"0123456789abcdef\"")]
    if_none_match: Option<String>,
}

/// Which version a change is made for.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
pub(super) struct IfUnchanged {
    /// The ETag that the change was made for; another version is then answered with 412
    #[param(rename = "If-Match", pattern = "^[ -~]*$", example = "\"1\"")]
    if_match: Option<String>,
}

/// How a request is told from its repetition.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
pub(super) struct Repetition {
    /// Repeating a request with the same key and body within 24 hours creates nothing new
    #[param(
        rename = "Idempotency-Key",
        min_length = 1,
        max_length = 255,
        pattern = "^[!-~]+$",
        example = "add-demo-network-1"
    )]
    idempotency_key: Option<String>,
}

/// The plan that an internal service names.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
pub(super) struct NamedPlan {
    /// The organisation's plan, from internal services only
    #[param(rename = "X-Org-Plan", example = "pro")]
    plan: Option<crate::tenancy::Plan>,
}
