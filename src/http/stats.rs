//! Live statistics.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Instant;

use actix_web::body::SizedStream;
use actix_web::http::header::{self, HeaderMap};
use actix_web::{HttpMessage, HttpRequest, HttpResponse, get, web};
use serde_json::json;
use uuid::Uuid;

use super::admission::Room;
use super::edge::{ApiError, is_head, request_id};
use super::extract::{Caller, OneConnection, ReadStats, text_header};
use super::files::{self, private};
use super::negotiation::{Accepts, Media, Offer, Table, Tables};
use super::params::{
    FileShape, IfChanged, MergedShape, Merging, PullHeaders, PullShape, StatsPaging, StatsQuestion, TableShape,
    WhichConnections,
};
use super::query::Query;
use super::question::{self, OfMany};
use super::shape::Shape;
use super::state::State;
use super::tags;
use super::types::{StatsAnswers, StatsLines, StatsPage};
use crate::connections::stats::file::{Content, FailureLine, File};
use crate::connections::stats::merged::{DescribeFailure, MergedFile, merged_name};
use crate::connections::stats::stream::{Form, Style};
use crate::connections::stats::{Answer, InRoom, Manner, Origin};
use crate::problem::{Code, Problem};

/// The most connections of one cross-connection question.
const MAX_CONNECTIONS: usize = 100;
/// The cache that replicas share, as it is called in `Cache-Status`.
const REPLICAS: &str = "affzero-replicas";
/// The longest automation id.
const MAX_AUTOMATION: usize = 200;

/// What can go wrong with a pull, beyond what can with any call.
const PULL_PROBLEMS: [Code; 14] = [
    Code::NotFound,
    Code::ConnectionDeleted,
    Code::UnsupportedQuery,
    Code::EgressBlocked,
    Code::CredentialsRejected,
    Code::InsufficientPermissions,
    Code::IpNotAllowed,
    Code::WrongPortal,
    Code::CredentialsUnreadable,
    Code::AccessBlocked,
    Code::UpstreamUnavailable,
    Code::UpstreamProtocolError,
    Code::UpstreamRateLimited,
    Code::UpstreamTimeout,
];

/// Pull statistics through one connection.
///
/// For example the last week by affiliate, best first:
/// `?group_by=affiliate&preset=last_7_days&timezone=Europe/Berlin&metrics=clicks,revenue&sort=-revenue`. Only one country:
/// `&filter[country]=DE`. Only rows of at least ten clicks: `&min[clicks]=10`. Beside the week before: `&compare=previous_week`.
/// Without `group_by` there is one row a currency.
///
/// JSON comes in pages: `next_cursor` of one is `cursor` of the next. `format=csv` and `format=ndjson` are all rows in one
/// file, also by `Accept`. `fresh=true` goes to the tracker whatever is kept; so does `Cache-Control: no-cache`, which
/// browsers send with `fetch(url, {cache: "no-store"})`. Either the table is whole or the call fails: no rows are ever left out.
#[utoipa::path(tag = "Stats", operation_id = "connection_stats",
    security(("bearer" = ["stats:read"])),
    params(OneConnection, StatsQuestion, StatsPaging, TableShape, FileShape, PullShape, PullHeaders, IfChanged),
    extensions(("x-problems" = json!(PULL_PROBLEMS))),
    responses(
        (status = 200, description = "A page as JSON, or all rows as NDJSON or CSV", content(
            (StatsPage = "application/json"), (StatsLines = "application/x-ndjson"), (String = "text/csv"),
        ), headers(
            ("ETag" = Option<String>, description = "Over the data; of pages only"),
            ("Age" = Option<u64>, description = "Seconds since it was pulled; of pages only"),
            ("Cache-Status" = Option<String>, description = "RFC 9211; of pages only"),
            ("Content-Disposition" = Option<String>, description = "The name to save it under; of CSV only"),
        )),
        (status = 304, description = "The data is the same as at the ETag sent", headers(
            ("ETag" = String, description = "Over the data"),
            ("Age" = u64, description = "Seconds since it was pulled"),
            ("Cache-Status" = String, description = "RFC 9211"),
        )),
    ))]
#[get("/connections/{id}/stats")]
pub(super) async fn of_one(
    caller: Caller<ReadStats>,
    state: web::Data<State>,
    Accepts { media, .. }: Accepts<Table>,
    at: web::Path<OneConnection>,
    query: Query,
    request: HttpRequest,
) -> Result<HttpResponse, ApiError> {
    let id = at.id()?;
    let longest = state.connections.longest_deadline();
    let (question, shape) = question::read_shaped(&query.0, media == Media::Json, longest)?;
    let manner = manner(request.headers(), &shape)?;
    let form = match media {
        Media::Json => {
            let (answer, origin) = state.connections.stats(&caller.actor, id, question, &manner).await?;
            return Ok(page(&request, &answer, origin));
        }
        Media::Ndjson => Form::Ndjson,
        Media::Csv => Form::Csv,
    };
    if is_head(&request) {
        // What a pull would cost is not spent on headers that are known without it.
        let name = state.connections.file_name(&caller.actor, id, question, &manner, form).await?;
        let nothing = Content::Stream(Box::pin(futures_util::stream::empty()));
        return Ok(files::send(&request, form, File { name, content: nothing }));
    }
    let style = style(&request, form, &shape);
    let file = state.connections.file(&caller.actor, id, question, &manner, style, failure_line(&request)).await?;
    Ok(files::send(&request, form, file))
}

fn style(request: &HttpRequest, form: Form, shape: &Shape) -> Style {
    let whole = form == Form::Csv || files::is_without_chunks(request);
    Style { form, bom: shape.bom, summary: shape.summary, whole }
}

/// What a failing stream of this request says in its last line.
fn failure_line(request: &HttpRequest) -> FailureLine {
    let (instance, request_id) = (request.path().to_owned(), request_id(request));
    Box::new(move |problem: &Problem| {
        let mut line =
            serde_json::to_vec(&json!({ "problem": problem.body(&instance, &request_id) })).unwrap_or_default();
        line.push(b'\n');
        line
    })
}

fn page(request: &HttpRequest, answer: &Arc<Answer>, origin: Origin) -> HttpResponse {
    let left = answer.fresh_until.saturating_duration_since(Instant::now()).as_secs();
    let cache = match origin {
        Origin::Hit => format!("affzero; hit; ttl={left}"),
        Origin::Replica { shared, left, stored } => {
            format!("{REPLICAS}; hit; ttl={}, {}", left.as_secs(), forwarded("uri-miss", stored, shared))
        }
        Origin::Pulled { forced, shared, stored, offered } => {
            let why = if forced { "request" } else { "uri-miss" };
            let own = forwarded(why, stored, shared);
            match offered {
                None => own,
                Some(true) => format!("{REPLICAS}; fwd={why}; stored, {own}"),
                Some(false) => format!("{REPLICAS}; fwd={why}, {own}"),
            }
        }
    };
    let unchanged = request
        .headers()
        .get(header::IF_NONE_MATCH)
        .and_then(|tags| tags.to_str().ok())
        .is_some_and(|tags| tags::matches(tags, &answer.etag));
    let mut response = private(if unchanged { HttpResponse::NotModified() } else { HttpResponse::Ok() });
    response
        .insert_header((header::ETAG, answer.etag.as_str()))
        .insert_header(("cache-status", cache))
        .insert_header((header::AGE, answer.fetched_at.elapsed().as_secs().to_string()));
    if unchanged {
        return response.finish();
    }
    response.content_type(Media::Json.name()).body(answer.body.clone())
}

/// What the cache of this process says of a request that it passed on (RFC 9211).
fn forwarded(why: &str, stored: bool, shared: bool) -> String {
    let shared = if shared { "; collapsed" } else { "" };
    let stored = if stored { "; stored" } else { "" };
    format!("affzero; fwd={why}{stored}{shared}")
}

pub(super) fn manner(headers: &HeaderMap, shape: &Shape) -> Result<Manner, Problem> {
    let no_cache = headers
        .get_all(header::CACHE_CONTROL)
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|directive| directive.trim().eq_ignore_ascii_case("no-cache"));
    let automation = match text_header(headers, "x-automation-id")?.map(str::trim) {
        None | Some("") => None,
        Some(id) if id.len() <= MAX_AUTOMATION => Some(id.to_owned()),
        Some(_) => {
            let detail = format!("X-Automation-Id has at most {MAX_AUTOMATION} characters.");
            return Err(Problem::new(Code::MalformedRequest, detail));
        }
    };
    let deadline = shape.deadline.map(|deadline| Instant::now() + deadline);
    Ok(Manner { no_cache: no_cache || shape.fresh, automation, own_deadline: shape.deadline, deadline })
}

/// Pull the same statistics through several connections at once.
///
/// For example `?group_by=date&preset=yesterday` asks all connections of the organisation in parallel. The answer is 200 with
/// `results` of those that answered, and `failures` that say why the others did not.
///
/// `merge=true` makes one table of them: `?merge=true&group_by=offer&preset=last_week&sort=-revenue`. Each row then begins
/// with its `connection`, totals are over all of them by currency, and `format=csv` and `format=ndjson` work too. A CSV
/// file that would lack a connection is refused, unless `allow_partial=true`.
#[utoipa::path(tag = "Stats", operation_id = "stats",
    security(("bearer" = ["stats:read"])),
    params(WhichConnections, Merging, StatsQuestion, StatsPaging, MergedShape, FileShape, PullShape, PullHeaders),
    extensions(("x-problems" = json!(PULL_PROBLEMS))),
    responses(
        (status = 200, description = "The answers and the failures, or one table of them", content(
            (StatsAnswers = "application/json"), (StatsLines = "application/x-ndjson"), (String = "text/csv"),
        ), headers(
            ("Content-Disposition" = Option<String>, description = "The name to save it under; of CSV only"),
        )),
    ))]
#[get("/stats")]
pub(super) async fn of_many(
    caller: Caller<ReadStats>,
    state: web::Data<State>,
    Accepts { media, .. }: Accepts<Tables>,
    query: Query,
    request: HttpRequest,
) -> Result<HttpResponse, ApiError> {
    let longest = state.connections.longest_deadline();
    let offered = Tables::media(request.query_string());
    let asked = question::read_of_many(&query.0, (media, offered), MAX_CONNECTIONS, longest)?;
    let manner = manner(request.headers(), &asked.shape)?;
    if asked.is_merged {
        return merged(&caller, &state, media, asked, &manner, &request).await;
    }
    let answers = state.connections.stats_of_many(&caller.actor, asked.ids, &asked.question, &manner).await?;
    let mut results = Vec::new();
    let mut failures = Vec::new();
    for (id, answer) in answers {
        match answer {
            Ok(answer) => results.push(answer),
            Err(problem) => failures.push(failure(&request, id, &problem)),
        }
    }
    let mut parts = vec![web::Bytes::from_static(b"{\"results\":[")];
    let mut rooms = Vec::new();
    for (place, InRoom { answer, room }) in results.into_iter().enumerate() {
        if place > 0 {
            parts.push(web::Bytes::from_static(b","));
        }
        parts.push(answer.body.clone());
        rooms.push(room);
    }
    parts.push(web::Bytes::from_static(b"],\"failures\":"));
    parts.push(serde_json::to_vec(&failures).map_err(Problem::internal)?.into());
    parts.push(web::Bytes::from_static(b"}"));
    // One after the other, where they are: together they may be many times as large as each.
    let size = parts.iter().map(|part| part.len() as u64).sum();
    let parts = futures_util::stream::iter(parts.into_iter().map(Ok::<_, Infallible>));
    request.extensions_mut().insert(Room(rooms));
    Ok(private(HttpResponse::Ok()).content_type(Media::Json.name()).body(SizedStream::new(size, parts)))
}

/// One table of several connections.
async fn merged(
    caller: &Caller<ReadStats>,
    state: &State,
    media: Media,
    OfMany { question, ids, shape, is_partial_allowed, .. }: OfMany,
    manner: &Manner,
    request: &HttpRequest,
) -> Result<HttpResponse, ApiError> {
    let (instance, request_id) = (request.path().to_owned(), request_id(request));
    let describe_failure: DescribeFailure =
        Box::new(move |id, problem| report_failure(&instance, &request_id, id, problem));
    let form = match media {
        Media::Json => {
            let page = state.connections.merged_page(&caller.actor, ids, question, manner, &describe_failure).await?;
            return Ok(private(HttpResponse::Ok()).content_type(Media::Json.name()).body(page));
        }
        Media::Ndjson => Form::Ndjson,
        Media::Csv => Form::Csv,
    };
    if is_head(request) {
        // As of one connection, nothing is pulled for headers that are known without it.
        let nothing = Content::Stream(Box::pin(futures_util::stream::empty()));
        return Ok(files::send(request, form, File { name: merged_name(question, form), content: nothing }));
    }
    let style = style(request, form, &shape);
    let written = MergedFile { style, is_partial_allowed, failure_line: failure_line(request), describe_failure };
    let file = state.connections.merged_file(&caller.actor, ids, question, manner, written).await?;
    Ok(files::send(request, form, file))
}

/// A connection that could not answer, as it is reported.
fn failure(request: &HttpRequest, id: Uuid, problem: &Problem) -> serde_json::Value {
    report_failure(request.path(), &request_id(request), id, problem)
}

fn report_failure(instance: &str, request_id: &str, id: Uuid, problem: &Problem) -> serde_json::Value {
    if let Some(cause) = &problem.cause {
        tracing::error!(problem.code = problem.code.slug(), cause = ?cause, "a connection's statistics failed");
    }
    json!({ "connection_id": id, "problem": problem.body(instance, request_id) })
}
