//! Pages of other origins: those that are configured may call this service from a browser, and the others learn why not.

use actix_cors::Cors;
use actix_web::body::{BoxBody, EitherBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::Method;
use actix_web::http::header::{self, HeaderMap};
use actix_web::middleware::Next;
use actix_web::{Error, ResponseError, web};

use super::edge::ApiError;
use super::state::State;
use crate::problem::{Code, Problem};

const METHODS: [&str; 4] = ["GET", "POST", "PATCH", "DELETE"];

/// The most of an origin that is quoted, in bytes.
const MAX_QUOTED: usize = 200;

/// Exact origins only; without any, no CORS header is ever sent.
pub(super) fn cors(origins: &[String]) -> Cors {
    let cors = Cors::default()
        .allowed_methods(METHODS)
        // Whatever is asked for is allowed: `X-*` cannot be listed, and no header grants anything by itself.
        .allow_any_header()
        .expose_headers([
            "etag",
            "location",
            "retry-after",
            "cache-status",
            "age",
            "x-request-id",
            "idempotency-replayed",
        ])
        .max_age(3_600)
        // An origin that is not listed gets its answer without CORS headers; the browser does the rest.
        .block_on_origin_mismatch(false);
    origins.iter().fold(cors, |cors, origin| cors.allowed_origin(origin))
}

/// Answers a preflight that cannot be granted, in words: to a browser every refusal looks the same.
///
/// # Errors
/// What comes after it cannot answer.
pub(super) async fn explain_preflights<B: MessageBody + 'static>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<EitherBody<B, BoxBody>>, Error> {
    let state = request.app_data::<web::Data<State>>();
    let origins = state.map(|state| state.cors_origins.as_slice()).unwrap_or_default();
    let refusal = (request.method() == Method::OPTIONS).then(|| refusal(request.headers(), origins)).flatten();
    match refusal {
        Some(problem) => Ok(request.into_response(ApiError(problem).error_response()).map_into_right_body()),
        None => Ok(next.call(request).await?.map_into_left_body()),
    }
}

/// Why a preflight is not granted; `None` if it is, or if this is none.
fn refusal(headers: &HeaderMap, origins: &[String]) -> Option<Problem> {
    let origin = headers.get(header::ORIGIN)?;
    let method = headers.get(header::ACCESS_CONTROL_REQUEST_METHOD)?;
    if !origins.iter().any(|known| known.as_bytes() == origin.as_bytes()) {
        let shown = origin.to_str().ok().filter(|origin| origin.len() <= MAX_QUOTED).unwrap_or("this origin");
        return Some(
            Problem::new(Code::Forbidden, format!("Pages of {shown} may not call this service."))
                .hint("Ask the operator of this service to add the origin to CORS_ALLOWED_ORIGINS."),
        );
    }
    let is_known = METHODS.iter().any(|known| known.as_bytes() == method.as_bytes());
    let detail = || format!("Pages of other origins may use {} only.", METHODS.join(", "));
    (!is_known).then(|| Problem::new(Code::MalformedRequest, detail()))
}
