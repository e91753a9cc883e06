//! The console: pages for people, out of files inside the binary. They ask the API what any other caller could ask.

use std::sync::LazyLock;

use actix_web::http::header::{self, HeaderValue};
use actix_web::{HttpRequest, HttpResponse, web};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::digest::{SHA256, digest};

use super::edge::{ApiError, CONSOLE};
use super::tags;
use crate::problem::{Code, Problem};

/// Its files, as the route is written.
const ROUTE: &str = "/console/{file:[^/]*}";

/// A file of the console.
struct File {
    name: &'static str,
    kind: &'static str,
    bytes: &'static [u8],
    /// Its content's tag: a new version of the service is seen at the next visit, and nothing is sent twice until then.
    tag: String,
}

/// The files, each with its media type.
macro_rules! files {
    ($($name:literal: $kind:ident,)*) => {
        vec![$(File {
            name: $name,
            kind: $kind,
            bytes: include_bytes!(concat!("../../console/", $name)),
            tag: tag_of(include_bytes!(concat!("../../console/", $name))),
        }),*]
    };
}

const PAGE: &str = "text/html; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const PICTURE: &str = "image/svg+xml";

static FILES: LazyLock<Vec<File>> = LazyLock::new(|| {
    files! {
        "index.html": PAGE,
        "style.css": STYLE,
        "icon.svg": PICTURE,
        "answer.js": SCRIPT,
        "catalogue.js": SCRIPT,
        "cells.js": SCRIPT,
        "chart.js": SCRIPT,
        "connections.js": SCRIPT,
        "console.js": SCRIPT,
        "draw.js": SCRIPT,
        "events.js": SCRIPT,
        "filters.js": SCRIPT,
        "form.js": SCRIPT,
        "numbers.js": SCRIPT,
        "question.js": SCRIPT,
        "service.js": SCRIPT,
        "statistics.js": SCRIPT,
        "table.js": SCRIPT,
        "verification.js": SCRIPT,
        "webhooks.js": SCRIPT,
    }
});

/// The page that stands where everything begins, without the console.
const LINKS: &str = include_str!("links.html");

fn tag_of(bytes: &[u8]) -> String {
    let sum = digest(&SHA256, bytes);
    format!("\"{}\"", URL_SAFE_NO_PAD.encode(sum.as_ref().get(..15).unwrap_or_default()))
}

/// Adds the console's addresses, and what `/` leads to.
pub(super) fn routes(is_served: bool) -> impl FnOnce(&mut web::ServiceConfig) {
    move |config| {
        if is_served {
            config
                .service(web::resource("/").get(|| async { lead(HttpResponse::TemporaryRedirect()) }))
                .service(web::resource("/console").get(|| async { lead(HttpResponse::PermanentRedirect()) }))
                .service(web::resource(ROUTE).get(file));
        } else {
            config.service(web::resource("/").get(links));
        }
    }
}

fn lead(mut response: actix_web::HttpResponseBuilder) -> HttpResponse {
    response.insert_header((header::LOCATION, CONSOLE)).finish()
}

async fn links() -> HttpResponse {
    HttpResponse::Ok().content_type("text/html; charset=utf-8").body(LINKS)
}

async fn file(request: HttpRequest, name: web::Path<String>) -> Result<HttpResponse, ApiError> {
    let name = if name.is_empty() { "index.html" } else { name.as_str() };
    let Some(file) = FILES.iter().find(|file| file.name == name) else {
        return Err(Problem::new(Code::NotFound, "The console has no such file.").into());
    };
    let known = request.headers().get(header::IF_NONE_MATCH).and_then(|tags| tags.to_str().ok());
    let is_known = known.is_some_and(|sent| tags::matches(sent, &file.tag));
    let mut response = if is_known { HttpResponse::NotModified() } else { HttpResponse::Ok() };
    response
        .insert_header((header::CACHE_CONTROL, HeaderValue::from_static("no-cache")))
        .insert_header((header::ETAG, file.tag.as_str()));
    Ok(if is_known { response.finish() } else { response.content_type(file.kind).body(file.bytes) })
}
