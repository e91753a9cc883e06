//! The answer where no route is.

use std::collections::BTreeMap;

use actix_web::dev::{Path, ResourceDef};
use actix_web::http::header::{self, HeaderValue};
use actix_web::{HttpRequest, HttpResponse, ResponseError, web};

use super::edge::ApiError;
use crate::problem::{Code, Problem};

/// The methods of every address that there is.
pub(super) struct Methods(Vec<(ResourceDef, Vec<String>)>);

impl Methods {
    /// By path, as a route is written.
    pub(super) fn of(paths: &BTreeMap<String, Vec<String>>) -> Self {
        Self(paths.iter().map(|(path, methods)| (ResourceDef::new(path.as_str()), methods.clone())).collect())
    }

    /// Those of an address, if there is one. Wherever there is GET there is HEAD.
    fn at(&self, path: &str) -> Option<String> {
        let (_, methods) = self.0.iter().find(|(route, _)| route.capture_match_info(&mut Path::new(path)))?;
        let head = methods.iter().any(|method| method == "GET").then_some("HEAD");
        Some(methods.iter().map(String::as_str).chain(head).collect::<Vec<_>>().join(", "))
    }
}

/// Distinguishes a wrong method from a wrong address.
pub(super) async fn no_route(request: HttpRequest) -> HttpResponse {
    let Some(allow) = request.app_data::<web::Data<Methods>>().and_then(|methods| methods.at(request.path())) else {
        return ApiError(Problem::new(Code::NotFound, "There is nothing at this address.")).error_response();
    };
    let problem = Problem::new(Code::MethodNotAllowed, format!("This address knows {allow} only."));
    let mut response = ApiError(problem).error_response();
    if let Ok(allow) = HeaderValue::from_str(&allow) {
        response.headers_mut().insert(header::ALLOW, allow);
    }
    response
}
