//! An example of every answer: without one Swagger UI makes one up.
//!
//! They are made by what makes the answers themselves, so that they are never of another shape.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use actix_web::http::StatusCode;
use jiff::civil::Date;
use jiff::{Timestamp, ToSpan};
use serde::Serialize;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::tree::object_at;
use crate::auth::Scope;
use crate::connections::events::{EventConnection, EventData, EventPage, EventReason, EventType, EventView};
use crate::connections::health::{HealthView, Source as HealthSource};
use crate::connections::stats::Failure;
use crate::connections::stats::echo::QueryEcho;
use crate::connections::stats::layout::Layout;
use crate::connections::stats::page;
use crate::connections::stats::query::Asked;
use crate::connections::stats::table::{ConnectionRef, Memory, Orders, Source, Table};
use crate::connections::stats::tally::Tally;
use crate::connections::stats::values::{DimensionValues, SeenIn, SeenValue};
use crate::connections::{
    AuditEventView, AutomationView, ConnectionView, Page, SecretHint, Status, Usage, create, draft, idempotency,
    service, update, verdict,
};
use crate::http::negotiation::{Media, not_acceptable};
use crate::http::query::Query;
use crate::http::types::Catalogue;
use crate::http::{admission, edge, extract, health, limits, listing, problems, question};
use crate::outbound::Timings;
use crate::outbound::error::{ErrorKind, PlatformError};
use crate::platforms::calendar::Zone;
use crate::platforms::stats::{
    Against, Batch, Check, DayOfConversion, Dimension, DimensionValue, Metrics, Perspective, Row, Terms,
};
use crate::platforms::verification::{self, Detected, FailureCode, StageStatus, Verification};
use crate::platforms::{self, ConnectionType, Pair, Platform, causes};
use crate::problem::{Code, Problem};
use crate::shared::Standing;
use crate::tenancy::Plan;
use crate::vault::VaultError;
use crate::webhooks::edit;
use crate::webhooks::view::{DeliveryOutcome, DeliveryView, TestView, WebhookView, WebhookWithSecret};

/// The connection of all examples, as in those of parameters.
const ID: &str = "01990000-0000-7000-8000-000000000000";
/// The webhook of all examples, and its secret.
const WEBHOOK: &str = "01990000-0000-7000-8000-000000000001";
const SECRET: &str = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
const NAME: &str = "Brand A";
const HOST: &str = "brand-a.affise.com";
pub(super) const CHALLENGE: &str = edge::CHALLENGE;
const REQUEST: &str = "0199a2b4-0000-7000-8000-000000000000";
/// 2026-11-23, 09:30 UTC: a Monday.
const NOW: i64 = 1_795_426_200;

/// Puts an example beside every successful answer, and beside those of health that are none.
pub(super) fn complete(document: &mut Value) {
    let paths = object_at(document, "/paths").into_iter().flat_map(Map::iter_mut);
    for (path, operations) in paths {
        for operation in operations.as_object_mut().into_iter().flat_map(Map::values_mut) {
            for (status, response) in object_at(operation, "/responses").into_iter().flat_map(Map::iter_mut) {
                for (kind, content) in object_at(response, "/content").into_iter().flat_map(Map::iter_mut) {
                    let name = content.pointer("/schema/$ref").and_then(Value::as_str).unwrap_or_default();
                    let example = example(path, status, kind, name.rsplit('/').next().unwrap_or_default());
                    if let (Some(content), Some(example)) = (content.as_object_mut(), example) {
                        content.insert("example".to_owned(), example);
                    }
                }
            }
        }
    }
}

/// The examples of an answer with these problems, by code: of those that people meet.
pub(super) fn of_problems(codes: &[Code]) -> Map<String, Value> {
    let met = codes.iter().filter(|code| are_met(**code));
    met.map(|code| {
        let value = value(occurrence(*code).body(&path_of(*code), REQUEST));
        (code.slug().to_owned(), json!({ "summary": code.title(), "value": value }))
    })
    .collect()
}

/// Whether a person who fills in a form or asks for statistics meets this problem. What only a faulty program, or any
/// call at all, may meet is named, and explained in one table.
fn are_met(code: Code) -> bool {
    !matches!(
        code,
        Code::MalformedRequest
            | Code::Forbidden
            | Code::MethodNotAllowed
            | Code::NotAcceptable
            | Code::PayloadTooLarge
            | Code::UnsupportedMediaType
            | Code::RequestInProgress
            | Code::IdempotencyKeyReused
            | Code::RateLimited
            | Code::Internal
            | Code::Overloaded
            | Code::ShuttingDown
    )
}

/// An example of a header that is described so; `of_table` in an answer with statistics.
pub(super) fn header(name: &str, description: &str, of_table: bool) -> Option<Value> {
    Some(match name {
        "ETag" if of_table => "\"0123456789abcdef\"".into(),
        "ETag" => "\"1.9b2f04c17d5e3a86\"".into(),
        "Location" if description.contains("webhook") => format!("/api/v1/webhooks/{WEBHOOK}").into(),
        "Location" => format!("/api/v1/connections/{ID}").into(),
        "Idempotency-Replayed" => "true".into(),
        "Age" => 12.into(),
        "Cache-Status" => "affzero; hit; ttl=48".into(),
        "Content-Disposition" => "attachment; filename=\"Brand-A_2026-11-16_2026-11-22_Europe-Berlin.csv\"".into(),
        _ => return None,
    })
}

/// An id of a dimension, where it is the same in every account.
pub(super) const fn id_of(dimension: Dimension) -> Option<&'static str> {
    match dimension {
        Dimension::Hour => Some("12"),
        Dimension::Country => Some("DE"),
        Dimension::Date
        | Dimension::Week
        | Dimension::Month
        | Dimension::Sub(_)
        | Dimension::Affiliate
        | Dimension::Offer
        | Dimension::Advertiser
        | Dimension::Campaign
        | Dimension::TrafficSource
        | Dimension::AffiliateNetwork => None,
    }
}

fn example(path: &str, status: &str, kind: &str, schema: &str) -> Option<Value> {
    let page = |entry: Value| value(Page { data: vec![entry], next_cursor: None });
    Some(match (schema, kind) {
        ("Catalogue", _) => {
            let data = platforms::entries();
            let demo = data.iter().position(|entry| entry.platform == Platform::Demo).unwrap_or_default();
            let data = data.get(demo..=demo).unwrap_or_default();
            let whole = Catalogue::of(vec![IpAddr::V4(Ipv4Addr::new(192, 0, 2, 10))]);
            let currencies = whole.currencies.get(..2).unwrap_or_default();
            let failure_codes = whole.failure_codes.iter().take(2).copied().collect();
            value(Catalogue { data, currencies, failure_codes, ..whole })
        }
        ("PlatformEntry", _) => value(platforms::entry(Platform::Demo)),
        ("Connection", _) => value(connection()),
        ("ConnectionPage", _) => page(value(connection())),
        ("Verification", _) => value(verified()),
        ("VerificationPage", _) => page(value(verified())),
        ("Usage", _) => value(usage()),
        ("AutomationPage", _) => page(value(automation())),
        ("AuditEventPage", _) => page(value(audit_event())),
        ("EventPage", _) => {
            value(EventPage { data: vec![event()], next_cursor: "eyJvZiI6IiJ9".to_owned(), has_more: false })
        }
        ("Webhook", _) => value(webhook()),
        ("WebhookWithSecret", _) => value(WebhookWithSecret::new(webhook(), SECRET.into())),
        ("WebhookPage", _) => page(value(webhook())),
        ("WebhookDeliveryPage", _) => page(value(delivery())),
        ("WebhookTest", _) => value(TestView { delivered: true, status: Some(204), duration_ms: 84, error: None }),
        ("StatsPage", _) => stats(),
        ("StatsAnswers", _) => json!({ "results": [stats()], "failures": [failure()] }),
        ("StatsLines", _) => lines().into(),
        ("DimensionValues", _) => value(values()),
        ("Health", _) => value(match (path, status) {
            ("/healthz", _) => health::alive(),
            (_, "200") => health::readiness(false, Standing::Unused, BTreeMap::new()),
            _ => health::readiness(true, Standing::Ok, BTreeMap::from([("database", health::NO_DATABASE)])),
        }),
        (_, "text/csv") => csv().into(),
        (_, "text/html") => problems::explain(Code::ValidationFailed).into(),
        _ => return None,
    })
}

fn value(shown: impl Serialize) -> Value {
    serde_json::to_value(shown).unwrap_or_default()
}

fn now() -> Timestamp {
    Timestamp::from_second(NOW).unwrap_or_default()
}

fn id() -> Uuid {
    ID.parse().unwrap_or_default()
}

fn connection() -> ConnectionView {
    let secret = SecretHint { hint: Some("…9f3c".to_owned()), updated_at: now() };
    ConnectionView {
        id: id(),
        name: NAME.to_owned(),
        platform: Platform::Affise,
        connection_type: ConnectionType::Admin,
        settings: BTreeMap::from([("base_url".to_owned(), format!("https://{HOST}"))]),
        credentials: BTreeMap::from([("api_key".to_owned(), secret)]),
        status: Status::Active,
        counts_toward_limit: Platform::Affise.counts_toward_limit(),
        version: 1,
        credentials_expire_at: Some(Date::constant(2027, 3, 31)),
        health: HealthView {
            since: Some(now()),
            reason: None,
            warning: None,
            last_success_at: Some(now()),
            last_checked_at: Some(now()),
            next_check_at: Timestamp::from_second(NOW + 24_000).ok(),
        },
        last_verification: Some(verified()),
        last_used_at: None,
        created_at: now(),
        updated_at: now(),
        created_by: "user-1".to_owned(),
    }
}

fn verified() -> Verification {
    let found = Detected { connection_type: Some(ConnectionType::Admin), ..Detected::default() };
    judged(Ok(found))
}

/// What a verification says of an outcome.
fn judged(outcome: Result<Detected, PlatformError>) -> Verification {
    let mut report =
        verification::report(Pair::AffiseAdmin.subject(), outcome, &Timings::default(), Duration::from_millis(84));
    report.checked_at = now();
    // What stands behind the request is known from its answer, and takes no time of its own.
    for (stage, took) in report.stages.iter_mut().zip([3, 11, 24, 46]) {
        stage.duration_ms = (stage.status != StageStatus::Skipped).then_some(took);
    }
    report
}

fn usage() -> Usage {
    Usage { plan: Plan::Pro, limit: 3, used: 1, remaining: 2, over_limit: false, demo_used: 1 }
}

fn automation() -> AutomationView {
    AutomationView { automation_id: "weekly-payout-mail".to_owned(), first_used_at: now(), last_used_at: now() }
}

fn event() -> EventView {
    let data = EventData {
        status: Status::Failing,
        reason: Some(EventReason {
            code: FailureCode::CredentialsRejected,
            owner: verification::Owner::You,
            hint: causes::about(FailureCode::CredentialsRejected).hint.to_owned(),
            source: HealthSource::Pull,
        }),
        since: Some(now()),
        automations: vec![automation().automation_id],
        credentials_expire_at: None,
        days_left: None,
    };
    EventView {
        id: id(),
        sequence: 1,
        event_type: EventType::Failing.key().to_owned(),
        created_at: now(),
        connection: EventConnection {
            id: id(),
            name: NAME.to_owned(),
            platform: Platform::Affise.key().to_owned(),
            connection_type: ConnectionType::Admin.key().to_owned(),
        },
        data: value(data),
    }
}

fn webhook() -> WebhookView {
    WebhookView {
        id: WEBHOOK.parse().unwrap_or_default(),
        url: "https://hooks.example.com/affzero".to_owned(),
        events: vec![EventType::Failing.key(), EventType::Recovered.key()],
        active: true,
        paused_reason: None,
        description: Some("Alerts of the operations team".to_owned()),
        created_at: now(),
    }
}

fn delivery() -> DeliveryView {
    DeliveryView {
        id: id(),
        event_id: id(),
        event_type: EventType::Failing.key().to_owned(),
        attempt: 1,
        at: now(),
        outcome: DeliveryOutcome::Retrying,
        status: Some(503),
        duration_ms: 84,
        error: Some("The receiver answered 503.".to_owned()),
    }
}

fn audit_event() -> AuditEventView {
    AuditEventView {
        id: id(),
        at: now(),
        action: "connection.created".to_owned(),
        outcome: "ok".to_owned(),
        actor: "user-1".to_owned(),
        connection_id: Some(id()),
        address: Some("192.0.2.7".to_owned()),
        request_id: Some(REQUEST.to_owned()),
        detail: json!({ "platform": Platform::Affise, "connection_type": ConnectionType::Admin, "status": Status::Active }),
    }
}

/// The question of the tables below.
fn asked() -> Option<Asked> {
    let pairs = [
        ("group_by", "affiliate"),
        ("preset", "last_7_days"),
        ("timezone", "Europe/Berlin"),
        ("metrics", "clicks,conversions,revenue,cr"),
    ];
    let pairs = pairs.map(|(key, value)| (key.to_owned(), value.to_owned()));
    Some(question::read(&pairs, true).ok()?.at(now()))
}

fn rows() -> Vec<Row> {
    let row = |id: &str, name: &str, clicks, conversions, revenue: &str| Row {
        key: std::iter::once(DimensionValue::new(id, name)).collect(),
        currency: "USD".parse().ok(),
        metrics: Metrics {
            clicks: Some(clicks),
            conversions: Some(conversions),
            revenue: revenue.parse().ok(),
            ..Metrics::default()
        },
    };
    vec![row("5000", "Affiliate A", 1_230, 41, "1505.1875"), row("5001", "Affiliate B", 310, 9, "228.5")]
}

fn table() -> Table {
    let mut batch = Batch { checks: vec![Check { against: Against::SameSource, mismatch: None }], ..Batch::of(rows()) };
    let mut tally = Tally::default();
    tally.add(&mut batch);
    Table {
        connection: ConnectionRef {
            id: id(),
            name: NAME.to_owned(),
            platform: Platform::Affise,
            connection_type: ConnectionType::Admin,
        },
        rows: batch.rows,
        tally,
        fetched_at: now(),
        whole_at: Instant::now(),
        source: Source { upstream_calls: 1, duration_ms: 120 },
        perspective: Perspective::Network,
        terms: terms(),
        pulled_at_micros: 0,
        version: 1,
        orders: Orders::default(),
        memory: Memory::default(),
    }
}

fn terms() -> Terms {
    Terms { zone: Zone::find("Europe/Berlin"), day_of_conversion: DayOfConversion::Conversion }
}

fn stats() -> Value {
    asked()
        .and_then(|asked| serde_json::from_slice(&page::of_table(&table(), &asked, None, |_| None).body).ok())
        .unwrap_or_default()
}

/// What the question could be filtered by.
fn values() -> DimensionValues {
    let seen = |row: &Row| {
        let value = row.key.first()?;
        Some(SeenValue { id: value.id.to_string(), name: value.name.to_string(), clicks: row.metrics.clicks })
    };
    let query = asked().map(|asked| {
        let from = asked.today.saturating_sub(29.days());
        SeenIn { from: from.to_string(), to: asked.today.to_string(), timezone: asked.question.zone.name().to_owned() }
    });
    let query = query.unwrap_or(SeenIn { from: String::new(), to: String::new(), timezone: String::new() });
    DimensionValues { data: rows().iter().filter_map(seen).collect(), truncated: false, query, fetched_at: now() }
}

/// The same as lines.
fn lines() -> String {
    let Some(asked) = asked() else { return String::new() };
    let (table, layout) = (table(), Layout::of(&asked, Perspective::Network));
    let mut lines = Vec::new();
    for row in &table.rows {
        layout.write_line(row, None, &mut lines);
        lines.push(b'\n');
    }
    lines.extend_from_slice(&layout.plain_summary(&QueryEcho::of(&asked, &table.terms), &table.tally));
    lines.push(b'\n');
    String::from_utf8(lines).unwrap_or_default()
}

/// The same for a spreadsheet.
fn csv() -> String {
    let Some(asked) = asked() else { return String::new() };
    let (rows, layout) = (rows(), Layout::of(&asked, Perspective::Network));
    let records = std::iter::once(layout.csv_header()).chain(rows.iter().map(|row| layout.csv_fields(row, None)));
    // None of these fields has anything to quote.
    records.map(|record| record.join(",") + "\r\n").collect()
}

fn failure() -> Failure {
    let problem = occurrence(Code::CredentialsRejected).body("/api/v1/stats", REQUEST);
    Failure { connection_id: Uuid::from_u128(id().as_u128() + 1), problem: value(problem) }
}

/// The path of a request that may meet this problem.
fn path_of(code: Code) -> String {
    match code {
        Code::UnsupportedQuery
        | Code::EgressBlocked
        | Code::CredentialsRejected
        | Code::InsufficientPermissions
        | Code::IpNotAllowed
        | Code::WrongPortal
        | Code::CredentialsUnreadable
        | Code::AccessBlocked
        | Code::UpstreamUnavailable
        | Code::UpstreamProtocolError
        | Code::UpstreamRateLimited
        | Code::UpstreamTimeout => format!("/api/v1/connections/{ID}/stats"),
        Code::NotFound | Code::ConnectionDeleted | Code::VersionConflict | Code::SecretRequired => {
            format!("/api/v1/connections/{ID}")
        }
        Code::WebhookLimitReached => "/api/v1/webhooks".to_owned(),
        Code::MalformedRequest
        | Code::Unauthorized
        | Code::Forbidden
        | Code::MethodNotAllowed
        | Code::NotAcceptable
        | Code::PayloadTooLarge
        | Code::UnsupportedMediaType
        | Code::ConnectionLimitReached
        | Code::NameTaken
        | Code::RequestInProgress
        | Code::ValidationFailed
        | Code::VerificationFailed
        | Code::VerificationInconclusive
        | Code::IdempotencyKeyReused
        | Code::PlatformUnavailable
        | Code::RateLimited
        | Code::Internal
        | Code::Overloaded
        | Code::ShuttingDown => "/api/v1/connections".to_owned(),
    }
}

/// A case of each problem.
fn occurrence(code: Code) -> Problem {
    let pulled = |kind, detail: &str| Problem::from(PlatformError::new(kind, detail));
    match code {
        Code::MalformedRequest => match serde_json::from_str::<Value>("{ \"name\": ") {
            Err(error) => extract::unreadable_body(&error),
            Ok(_) => edge::bare(StatusCode::BAD_REQUEST),
        },
        Code::Unauthorized => extract::no_token(),
        Code::Forbidden => extract::out_of_scope(Scope::ConnectionsRead),
        Code::NotFound => Problem::no_connection(),
        Code::MethodNotAllowed => edge::bare(StatusCode::METHOD_NOT_ALLOWED),
        Code::NotAcceptable => not_acceptable(&[Media::Json]),
        Code::PayloadTooLarge => extract::too_large(),
        Code::UnsupportedMediaType => extract::not_json(),
        Code::ConnectionLimitReached => create::limit_reached(Plan::Pro, 3, 3),
        Code::WebhookLimitReached => edit::limit_reached(20, 20),
        Code::NameTaken => service::name_is_taken(),
        Code::RequestInProgress => idempotency::in_progress(),
        Code::ConnectionDeleted => service::deleted(),
        Code::VersionConflict => update::version_conflict(),
        Code::ValidationFailed => {
            let pairs = [("limit", "0"), ("status", "broken")].map(|(key, value)| (key.to_owned(), value.to_owned()));
            let refused = listing::connections(&Query(pairs.into())).err();
            refused.unwrap_or_else(|| Problem::internal("a limit of 0 was taken"))
        }
        Code::SecretRequired => update::secret_required(&["api_key"]),
        Code::VerificationFailed => {
            unverified(ErrorKind::CredentialsRejected, &format!("{HOST} does not accept the API key."))
        }
        Code::VerificationInconclusive => {
            unverified(ErrorKind::ConnectFailed, &format!("{HOST} does not accept connections."))
        }
        Code::IdempotencyKeyReused => idempotency::reused(),
        Code::UnsupportedQuery => {
            pulled(ErrorKind::Unsupported, "Affise does not group by hour and affiliate at once.")
        }
        Code::PlatformUnavailable => draft::coming_soon(Platform::Affise),
        Code::EgressBlocked => pulled(ErrorKind::EgressBlocked, "10.0.0.7 is not an address this service may call."),
        Code::CredentialsRejected => {
            pulled(ErrorKind::CredentialsRejected, &format!("{HOST} does not accept the API key."))
        }
        Code::InsufficientPermissions => pulled(
            ErrorKind::InsufficientPermissions,
            &format!("{HOST} accepts the API key, but does not let it read these statistics."),
        ),
        Code::IpNotAllowed => {
            pulled(ErrorKind::IpNotAllowed, &format!("{HOST} does not let this service's address in."))
        }
        Code::WrongPortal => pulled(ErrorKind::WrongPortal, &format!("{HOST} says that this is an affiliate's key.")),
        Code::CredentialsUnreadable => service::unreadable(&VaultError::Damaged),
        Code::RateLimited => limits::too_many(NonZeroU32::MIN.saturating_add(19), Duration::from_secs(1)),
        Code::Internal => Problem::internal(""),
        Code::AccessBlocked => pulled(
            ErrorKind::AccessBlocked,
            &format!(
                "Cloudflare's firewall in front of {HOST} blocks this service (error code 1020). It says nothing about the key."
            ),
        ),
        Code::UpstreamUnavailable => pulled(ErrorKind::ConnectFailed, &format!("{HOST} does not accept connections.")),
        Code::UpstreamProtocolError => {
            pulled(ErrorKind::BadResponse, &format!("{HOST} answers with something that is not JSON."))
        }
        Code::UpstreamRateLimited => pulled(ErrorKind::RateLimited, &format!("{HOST} asks to be called less often.")),
        Code::Overloaded => admission::overloaded(),
        Code::ShuttingDown => admission::shutting_down(),
        Code::UpstreamTimeout => pulled(ErrorKind::Timeout, &format!("{HOST} did not answer everything in time.")),
    }
}

fn unverified(kind: ErrorKind, detail: &str) -> Problem {
    let verification = judged(Err(PlatformError::new(kind, detail)));
    verdict::must_be_ok(&verification).err().unwrap_or_else(|| Problem::internal("a verification that went well"))
}
