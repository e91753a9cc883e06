//! The pages that explain problems, and the answer to addresses there are none of.

use std::sync::LazyLock;

use actix_web::dev::{Path, ResourceDef};
use actix_web::{HttpRequest, HttpResponse, get, http::header, web};

use super::edge::ApiError;
use super::openapi;
use crate::problem::{Code, Problem};

/// Explain a problem type.
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

/// Tells a wrong method from a wrong address: the document knows every route.
pub(super) async fn no_route(request: HttpRequest) -> HttpResponse {
    static ROUTES: LazyLock<Vec<(ResourceDef, Vec<String>)>> = LazyLock::new(|| {
        openapi::methods().into_iter().map(|(path, methods)| (ResourceDef::new(path), methods)).collect()
    });
    let known = ROUTES.iter().find(|(route, _)| route.capture_match_info(&mut Path::new(request.path())));
    let error: actix_web::Error = match known {
        Some((_, methods)) => {
            // Wherever there is GET there is HEAD.
            let head = methods.iter().any(|method| method == "GET").then_some("HEAD");
            let allow = methods.iter().map(String::as_str).chain(head).collect::<Vec<_>>().join(", ");
            let problem = Problem::new(Code::MethodNotAllowed, format!("This address knows {allow} only."));
            let mut response = actix_web::ResponseError::error_response(&ApiError(problem));
            if let Ok(allow) = header::HeaderValue::from_str(&allow) {
                response.headers_mut().insert(header::ALLOW, allow);
            }
            return response;
        }
        None => ApiError(Problem::new(Code::NotFound, "There is nothing at this address.")).into(),
    };
    error.as_response_error().error_response()
}
