//! The OpenAPI document: made from the handlers, completed from the catalogue.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use actix_web::{App, HttpResponse, Resource, web};
use serde_json::{Map, Value, json};
use utoipa::OpenApi;
use utoipa_actix_web::AppExt;
use utoipa_swagger_ui::{Config, SwaggerUi};

use super::routes;
use crate::platforms::catalogue::{Availability, ConnectionTypeEntry};
use crate::platforms::{self, ConnectionType, Platform};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "affzero-connections",
        description = "Saved, verified and encrypted credentials for affiliate tracking platforms, and exact live statistics through them.\n\nMoney is a decimal string, ids are strings, and `null` means not known. Every error is a problem (RFC 9457) whose `type` is a page that explains it.",
        license(name = "Apache-2.0", identifier = "Apache-2.0"),
    ),
    servers((url = "/", description = "This server")),
    security(("bearer" = [])),
    tags(
        (name = "Platforms", description = "What can be connected, and what each platform can report"),
        (name = "Connections", description = "Saved credentials: add, verify, change, delete"),
        (name = "Stats", description = "Live statistics through connections"),
        (name = "Audit", description = "Who did what"),
        (name = "Health", description = "For operators"),
    )
)]
struct Document;

static DOCUMENT: LazyLock<String> = LazyLock::new(|| {
    let mut text = serde_json::to_string_pretty(&build()).unwrap_or_default();
    text.push('\n');
    text
});

/// The files of Swagger UI.
const SWAGGER_ROUTE: &str = "/swagger-ui/{_:.*}";

/// The document, as it is checked in and served.
#[must_use]
pub fn document() -> &'static str {
    &DOCUMENT
}

/// The methods of every documented path, and of Swagger UI.
pub(super) fn methods() -> BTreeMap<String, Vec<String>> {
    let document = build();
    let paths = document.get("paths").and_then(Value::as_object).cloned().unwrap_or_default();
    paths
        .into_iter()
        .map(|(path, item)| {
            let methods = item.as_object().map(|item| item.keys().map(|method| method.to_uppercase()).collect());
            (path, methods.unwrap_or_default())
        })
        .chain([(SWAGGER_ROUTE.to_owned(), vec!["GET".to_owned()])])
        .collect()
}

fn build() -> Value {
    let (_, document) = App::new().into_utoipa_app().openapi(Document::openapi()).configure(routes).split_for_parts();
    let mut document = serde_json::to_value(document).unwrap_or_default();
    if let Some(components) = object_at(&mut document, "/components") {
        components.insert(
            "securitySchemes".to_owned(),
            json!({ "bearer": { "type": "http", "scheme": "bearer", "bearerFormat": "JWT",
                "description": "Scopes: `connections:read`, `connections:write`, `stats:read`. A service's token has `org:any` and names the organisation in `X-Org-Id`." } }),
        );
    }
    if let Some(schemas) = object_at(&mut document, "/components/schemas") {
        for (name, name_required) in [("ConnectionCreate", true), ("ConnectionTry", false)] {
            let (union, variants) = union(name, name_required);
            schemas.insert(name.to_owned(), union);
            schemas.extend(variants);
        }
    }
    for (path, schema) in [("/api/v1/connections", "ConnectionCreate"), ("/api/v1/connections/verify", "ConnectionTry")]
    {
        let place = format!("/paths/{}/post/requestBody/content/application~1json", path.replace('/', "~1"));
        if let Some(content) = object_at(&mut document, &place) {
            content.insert("schema".to_owned(), json!({ "$ref": format!("#/components/schemas/{schema}") }));
            content.insert("examples".to_owned(), examples());
        }
    }
    document
}

fn object_at<'a>(document: &'a mut Value, pointer: &str) -> Option<&'a mut Map<String, Value>> {
    document.pointer_mut(pointer)?.as_object_mut()
}

/// One schema per available platform, told apart by `platform`, so that a typed client refuses a misspelt one.
fn union(prefix: &str, name_required: bool) -> (Value, Map<String, Value>) {
    let mut variants = Map::new();
    let mut mapping = Map::new();
    for entry in platforms::entries().iter().filter(|entry| entry.status == Availability::Available) {
        let name = format!("{prefix}{}", pascal(entry.platform.key()));
        mapping.insert(entry.platform.key().to_owned(), json!(format!("#/components/schemas/{name}")));
        variants.insert(name, variant(entry.platform, &entry.connection_types, name_required));
    }
    let refs: Vec<Value> = mapping.values().map(|reference| json!({ "$ref": reference })).collect();
    let union = json!({ "oneOf": refs, "discriminator": { "propertyName": "platform", "mapping": mapping } });
    (union, variants)
}

fn variant(platform: Platform, types: &[ConnectionTypeEntry], name_required: bool) -> Value {
    let settings = merged(types.iter().map(|entry| &entry.settings_schema));
    let credentials = merged(types.iter().map(|entry| &entry.credentials_schema));
    let kinds: Vec<&str> = types.iter().map(|entry| entry.connection_type.key()).collect();
    let mut required = vec!["platform"];
    if name_required {
        required.insert(0, "name");
    }
    if types.len() > 1 && platform != Platform::Demo {
        required.push("connection_type");
    }
    let demands =
        |schema: &Value| schema.get("required").and_then(Value::as_array).is_some_and(|keys| !keys.is_empty());
    if demands(&settings) {
        required.push("settings");
    }
    if demands(&credentials) {
        required.push("credentials");
    }
    json!({
        "type": "object",
        "properties": {
            "name": { "type": "string", "minLength": 1, "maxLength": 100, "description": "Unique in the organisation, whatever its letter case.", "examples": ["Brand A"] },
            "platform": { "type": "string", "const": platform.key() },
            "connection_type": { "type": "string", "enum": kinds },
            "settings": settings,
            "credentials": credentials,
        },
        "required": required,
        "additionalProperties": false,
    })
}

/// The schema of a field that several connection types have: all their properties, and what every one of them requires.
fn merged<'a>(schemas: impl Iterator<Item = &'a Value>) -> Value {
    let mut merged = Value::Null;
    for schema in schemas {
        if merged.is_null() {
            merged = schema.clone();
            continue;
        }
        if let (Some(into), Some(from)) =
            (object_at(&mut merged, "/properties"), schema.get("properties").and_then(Value::as_object))
        {
            for (key, property) in from {
                into.entry(key.clone()).or_insert_with(|| property.clone());
            }
        }
        let also = schema.get("required").and_then(Value::as_array).cloned().unwrap_or_default();
        if let Some(required) = merged.pointer_mut("/required").and_then(Value::as_array_mut) {
            required.retain(|key| also.contains(key));
        }
    }
    if let Some(members) = merged.as_object_mut() {
        members.remove("$schema");
    }
    merged
}

/// Bodies that work when pasted, Demo first; the others show where the real values go.
fn examples() -> Value {
    let mut examples = Map::new();
    examples.insert(
        "demo".to_owned(),
        json!({ "summary": "Demo: works at once", "value": { "name": "Demo network", "platform": "demo", "connection_type": "admin" } }),
    );
    for entry in platforms::entries().iter().filter(|entry| entry.status == Availability::Available) {
        if entry.platform == Platform::Demo {
            continue;
        }
        for kind in &entry.connection_types {
            let key = format!("{}_{}", entry.platform.key(), kind.connection_type.key());
            let value = json!({
                "name": format!("My {} {}", entry.title, match kind.connection_type { ConnectionType::Admin => "network", ConnectionType::Affiliate => "account" }),
                "platform": entry.platform,
                "connection_type": kind.connection_type,
                "settings": example_of(&kind.settings_schema),
                "credentials": example_of(&kind.credentials_schema),
            });
            examples.insert(key, json!({ "summary": format!("{} ({})", entry.title, kind.title), "value": value }));
        }
    }
    Value::Object(examples)
}

fn example_of(schema: &Value) -> Value {
    let required = schema.get("required").and_then(Value::as_array).cloned().unwrap_or_default();
    let members = required
        .iter()
        .filter_map(Value::as_str)
        .filter_map(|key| Some((key.to_owned(), schema.pointer(&format!("/properties/{key}/examples/0"))?.clone())))
        .collect();
    Value::Object(members)
}

fn pascal(key: &str) -> String {
    let mut letters = key.chars();
    letters.next().map(|first| first.to_ascii_uppercase()).into_iter().chain(letters).collect()
}

/// `/api-docs/openapi.json`
pub(super) fn document_route() -> Resource {
    web::resource("/api-docs/openapi.json")
        .route(web::get().to(|| async { HttpResponse::Ok().content_type("application/json").body(document()) }))
}

/// `/swagger-ui` leads to `/swagger-ui/`.
pub(super) fn swagger_redirect() -> Resource {
    web::resource("/swagger-ui").route(
        web::get()
            .to(|| async { HttpResponse::PermanentRedirect().insert_header(("location", "/swagger-ui/")).finish() }),
    )
}

/// Swagger UI, from files inside the binary.
pub(super) fn swagger_ui() -> SwaggerUi {
    let config = Config::from("/api-docs/openapi.json")
        .persist_authorization(true)
        .try_it_out_enabled(true)
        .display_request_duration(true);
    SwaggerUi::new(SWAGGER_ROUTE).config(config)
}
