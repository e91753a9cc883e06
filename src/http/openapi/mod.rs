//! The OpenAPI document: made from the handlers, completed from the catalogue.
//!
//! What the handlers cannot say in their annotations is put in here: the bodies that differ by platform, the columns
//! of tables, and the problems that every call may answer.

mod answers;
mod bodies;
mod parameters;
mod samples;
mod tables;
mod tree;

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, LazyLock};

use actix_web::http::header;
use actix_web::{App, HttpResponse, Resource, guard, web};
use serde::{Serialize, Serializer};
use serde_json::{Value, json};
use utoipa::OpenApi;
use utoipa_actix_web::AppExt;
use utoipa_swagger_ui::Config;

use self::tree::object_at;
use super::routes;
use super::types::{StatsMerged, StatsOfMany, StatsSummary};
use crate::auth::Scope;
use crate::connections::create::VerifyMode;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "affzero-connections",
        description = "Saved, verified and encrypted credentials for affiliate tracking platforms, and exact live statistics through them.\n\nMoney is a decimal string, ids are strings, and `null` means not known. Every error is a problem (RFC 9457) whose `type` is a page that explains it; the operation `explain_problem` lists all of them. Wherever there is GET there is HEAD.\n\nUnknown fields and parameters are refused; answers may get further members, so pass over those you do not know.",
        license(name = "Apache-2.0", identifier = "Apache-2.0"),
    ),
    servers((url = "/", description = "This server")),
    security(("bearer" = [])),
    components(schemas(StatsSummary, StatsOfMany, StatsMerged, Scope, VerifyMode)),
    tags(
        (name = "Platforms", description = "What can be connected, and what each platform can report"),
        (name = "Connections", description = "Saved credentials: add, verify, change, delete"),
        (name = "Stats", description = "Live statistics through connections"),
        (name = "Webhooks", description = "Receivers that are notified of events, signed as Standard Webhooks has it"),
        (name = "History", description = "Who did what, and what came of it"),
        (name = "Health", description = "For operators, and what problems mean"),
    )
)]
struct Document;

static DOCUMENT: LazyLock<String> = LazyLock::new(|| {
    let (order, mut document) = build();
    let mut take = |part: &str| document.get_mut(part).map(Value::take).unwrap_or_default();
    let mut paths = take("paths");
    let in_order = order.into_iter().map(|path| {
        let operations = paths.get_mut(&path).map(Value::take).unwrap_or_default();
        let operations = METHODS.iter().filter_map(|method| Some((*method, operations.get(method)?.clone()))).collect();
        (path, Members(operations))
    });
    let parts = Members(vec![
        ("openapi", Part::Whole(take("openapi"))),
        ("info", Part::Whole(take("info"))),
        ("servers", Part::Whole(take("servers"))),
        ("security", Part::Whole(take("security"))),
        ("tags", Part::Whole(take("tags"))),
        ("paths", Part::Paths(Members(in_order.collect()))),
        ("components", Part::Whole(take("components"))),
    ]);
    let mut text = serde_json::to_string_pretty(&parts).unwrap_or_default();
    text.push('\n');
    text
});

/// The order of a path's operations.
const METHODS: [&str; 4] = ["post", "get", "patch", "delete"];

/// A JSON object whose members keep their order: Swagger UI shows operations as they come.
struct Members<K, V>(Vec<(K, V)>);

impl<K: Serialize, V: Serialize> Serialize for Members<K, V> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(key, value)| (key, value)))
    }
}

/// A part of the document.
#[derive(Serialize)]
#[serde(untagged)]
enum Part {
    Whole(Value),
    Paths(Members<String, Members<&'static str, Value>>),
}

/// The files of Swagger UI.
const SWAGGER_ROUTE: &str = "/swagger-ui/{_:.*}";

/// The document, as it is checked in and served.
pub fn document() -> &'static str {
    &DOCUMENT
}

/// The methods of every documented path, and of Swagger UI.
pub(super) fn methods() -> &'static BTreeMap<String, Vec<String>> {
    static METHODS: LazyLock<BTreeMap<String, Vec<String>>> = LazyLock::new(|| {
        let (_, document) = build();
        let paths = document.get("paths").and_then(Value::as_object).cloned().unwrap_or_default();
        paths
            .into_iter()
            .map(|(path, item)| {
                let methods = item.as_object().map(|item| item.keys().map(|method| method.to_uppercase()).collect());
                (path, methods.unwrap_or_default())
            })
            .chain([(SWAGGER_ROUTE.to_owned(), vec!["GET".to_owned()])])
            .collect()
    });
    &METHODS
}

/// The paths in the order of the routes, and the document.
fn build() -> (Vec<String>, Value) {
    let (_, document) = App::new().into_utoipa_app().openapi(Document::openapi()).configure(routes).split_for_parts();
    let mut order: Vec<String> = document.paths.paths.keys().cloned().collect();
    let mut document = serde_json::to_value(document).unwrap_or_default();
    order.sort_by_key(|path| group_of(&document, path));
    if let Some(components) = object_at(&mut document, "/components") {
        components.insert(
            "securitySchemes".to_owned(),
            json!({ "bearer": { "type": "http", "scheme": "bearer", "bearerFormat": "JWT",
                "description": "The scopes that a call needs stand beside it. A service's token also has `org:any`, and names the organisation in `X-Org-Id`." } }),
        );
    }
    bodies::complete(&mut document);
    tables::complete(&mut document);
    field_codes(&mut document);
    samples::complete(&mut document);
    answers::complete(&mut document);
    (order, document)
}

/// One list of the codes of fields, whichever of the two it comes from.
fn field_codes(document: &mut Value) {
    let Some(schemas) = object_at(document, "/components/schemas") else { return };
    let input = schemas.remove("InputCode").unwrap_or_default();
    let failures = schemas.get("FailureCode").cloned().unwrap_or_default();
    let lists = [&input, &failures].into_iter().filter_map(|schema| schema.get("enum")?.as_array());
    let codes: BTreeSet<&str> = lists.flatten().filter_map(Value::as_str).collect();
    let description = "What is wrong with a field: its form, or what came of trying it.";
    let schema = json!({ "type": "string", "enum": codes, "description": description });
    schemas.insert("FieldCode".to_owned(), schema);
}

/// The place of a path's group among the document's tags.
fn group_of(document: &Value, path: &str) -> Option<usize> {
    let operation = document.get("paths")?.get(path)?.as_object()?.values().next()?;
    let group = operation.get("tags")?.get(0)?;
    document.get("tags")?.as_array()?.iter().position(|tag| tag.get("name") == Some(group))
}

/// `/api-docs/openapi.json`
pub(super) fn document_route() -> Resource {
    web::resource("/api-docs/openapi.json")
        .route(web::get().to(|| async { HttpResponse::Ok().content_type("application/json").body(document()) }))
}

/// What Swagger UI is styled with beside its own sheet.
pub(super) fn swagger_style() -> Resource {
    web::resource("/swagger-ui/index.css").route(
        web::get().to(|| async { HttpResponse::Ok().content_type("text/css").body(include_str!("swagger.css")) }),
    )
}

/// `/swagger-ui` leads to `/swagger-ui/`.
pub(super) fn swagger_redirect() -> Resource {
    web::resource("/swagger-ui").route(
        web::get()
            .to(|| async { HttpResponse::PermanentRedirect().insert_header(("location", "/swagger-ui/")).finish() }),
    )
}

/// Swagger UI, from files inside the binary, whose bytes are served where they are. The base layout has no field for
/// another document, and no badge of a validator elsewhere.
pub(super) fn swagger_ui() -> Resource {
    web::resource(SWAGGER_ROUTE).guard(guard::Get()).to(swagger_file)
}

async fn swagger_file(path: web::Path<String>) -> HttpResponse {
    static CONFIG: LazyLock<Arc<Config<'static>>> = LazyLock::new(|| {
        let config = Config::from("/api-docs/openapi.json")
            .use_base_layout()
            // It warns of every operation id with an underscore.
            .deep_linking(false)
            .default_models_expand_depth(0)
            .persist_authorization(true)
            .try_it_out_enabled(true)
            .display_request_duration(true);
        Arc::new(config)
    });
    let Ok(Some(file)) = utoipa_swagger_ui::serve(&path, Arc::clone(&CONFIG)) else {
        return HttpResponse::NotFound().finish();
    };
    let mut response = HttpResponse::Ok();
    if file.gzpipped {
        response.insert_header((header::CONTENT_ENCODING, header::ContentEncoding::Gzip));
    }
    let bytes = match file.bytes {
        Cow::Borrowed(bytes) => web::Bytes::from_static(bytes),
        Cow::Owned(bytes) => bytes.into(),
    };
    response.content_type(file.content_type).body(bytes)
}
