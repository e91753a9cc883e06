//! The pages that explain problems.

use actix_web::{HttpResponse, get, http::header, web};

use super::edge::ApiError;
use crate::problem::{Code, Problem};

/// Explain a problem type.
///
/// The address that stands in `type` of every problem, for example `/problems/validation_failed`.
#[utoipa::path(tag = "Health", operation_id = "explain_problem", security(()),
    params(("code" = Code, Path, description = "The problem's code", example = "validation_failed")),
    extensions(("x-problems" = json!([Code::MalformedRequest, Code::NotFound, Code::Internal, Code::Overloaded, Code::ShuttingDown]))),
    responses((status = 200, description = "A page about the problem", body = String, content_type = "text/html")))]
#[get("/problems/{code}")]
pub(super) async fn page(slug: web::Path<String>) -> Result<HttpResponse, ApiError> {
    let code = Code::ALL.iter().find(|code| code.slug() == slug.as_str());
    let Some(code) = code else {
        return Err(Problem::new(Code::NotFound, "There is no problem with this code.").into());
    };
    Ok(HttpResponse::Ok()
        .content_type("text/html; charset=utf-8")
        .insert_header((header::CACHE_CONTROL, "public, max-age=3600"))
        .body(explain(*code)))
}

pub(super) fn explain(code: Code) -> String {
    let text = code.explanation().replace('&', "&amp;").replace('<', "&lt;");
    format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>{title}</title>\
         <style>body{{font:1.1rem/1.5 system-ui,sans-serif;max-width:40rem;margin:4rem auto;padding:0 1rem}}</style>\
         <h1>{title}</h1><p>HTTP status {status}, code <code>{slug}</code></p><p>{text}</p></html>",
        title = code.title(),
        status = code.status(),
        slug = code.slug(),
    )
}
