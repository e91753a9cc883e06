//! Tables as files: their headers, and what HTTP/1.0 needs in place of chunks.

use std::sync::Arc;

use actix_web::http::{Version, header};
use actix_web::{HttpMessage, HttpRequest, HttpResponse, HttpResponseBuilder};
use futures_util::StreamExt;

use super::admission::Room;
use super::client_connections::ClientConnection;
use super::negotiation::Media;
use crate::connections::stats::file::{Body, Content, File};
use crate::connections::stats::stream::Form;

/// Whether the caller speaks HTTP/1.0, which knows no chunks: as a proxy does that was not configured otherwise.
pub(super) fn is_without_chunks(request: &HttpRequest) -> bool {
    request.version() < Version::HTTP_11
}

/// Answers with a file.
pub(super) fn send(request: &HttpRequest, form: Form, File { name, content }: File) -> HttpResponse {
    let mut response = private(HttpResponse::Ok());
    match form {
        Form::Ndjson => response.content_type(Media::Ndjson.name()),
        Form::Csv => response
            .content_type("text/csv; charset=utf-8; header=present")
            .insert_header((header::CONTENT_DISPOSITION, format!("attachment; filename=\"{name}\""))),
    };
    let body = match content {
        Content::Whole(bytes) => {
            request.extensions_mut().insert(Room(Vec::new()));
            return response.body(bytes);
        }
        Content::Stream(body) => body,
    };
    // nginx would hold rows back until it has a buffer full of them.
    response.insert_header(("x-accel-buffering", "no"));
    if !is_without_chunks(request) {
        return response.streaming(body);
    }
    response.force_close();
    let mut response = response.streaming(until_broken_off(request, body));
    response.head_mut().no_chunking(true);
    response
}

/// What is for its caller alone, and to be asked for again.
pub(super) fn private(mut response: HttpResponseBuilder) -> HttpResponseBuilder {
    response
        .insert_header((header::CACHE_CONTROL, "private, no-cache"))
        .insert_header((header::VARY, "accept, authorization, x-org-id"));
    response
}

/// A body that ends with its connection. One that fails resets it: an orderly end would make it look whole.
fn until_broken_off(request: &HttpRequest, body: Body) -> Body {
    let connection = request.conn_data::<Arc<ClientConnection>>().cloned();
    Box::pin(body.inspect(move |part| {
        if let (Err(_), Some(connection)) = (part, &connection) {
            connection.reset_when_closed();
        }
    }))
}
