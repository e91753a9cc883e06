//! What every operation may answer beside success: its own problems, which the handler names in `x-problems`, and those
//! that any call like it meets. Also what all answers and parameters have in common.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::object_at;
use crate::problem::Code;

/// An answer of at most so many problems has a name, under which operations share it.
const SHARED: usize = 2;

/// Completes every operation, and defines the answers they share.
pub(super) fn complete(document: &mut Value) {
    let mut shared = Map::new();
    let paths = object_at(document, "/paths").into_iter().flat_map(Map::values_mut);
    for operation in paths.filter_map(Value::as_object_mut).flat_map(Map::values_mut).filter_map(Value::as_object_mut) {
        let codes = codes(operation);
        describe(operation, &codes, &mut shared);
        parameters(operation);
    }
    if let Some(components) = object_at(document, "/components") {
        components.insert("responses".to_owned(), Value::Object(shared));
        components.insert(
            "headers".to_owned(),
            json!({
                "RequestId": { "description": "The id of the request: the one sent, or a new one. It finds the request in the logs.",
                    "required": true, "schema": { "type": "string" }, "example": "0199a2b4-0000-7000-8000-000000000000" },
                "RetryAfter": { "description": "Seconds to wait before trying again.", "required": true,
                    "schema": { "type": "integer", "minimum": 0 }, "example": 30 },
                "MayRetryAfter": { "description": "Seconds to wait before trying again, where that is known.",
                    "schema": { "type": "integer", "minimum": 0 }, "example": 30 },
                "Challenge": { "description": "How to authenticate.", "required": true, "schema": { "type": "string" } },
            }),
        );
    }
}

fn is_open(operation: &Map<String, Value>) -> bool {
    operation.get("security").is_some_and(|security| *security == json!([{}]))
}

/// The problems of an operation: its own, and those that follow from what kind of call it is.
fn codes(operation: &mut Map<String, Value>) -> Vec<Code> {
    let own = operation.remove("x-problems").unwrap_or_default();
    let names: Vec<&str> = own.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let has_body = operation.contains_key("requestBody");
    let answers_json = operation.get("responses").is_none_or(|responses| responses.get("204").is_none());
    let with_token = !is_open(operation);
    Code::ALL
        .iter()
        .copied()
        .filter(|code| {
            names.contains(&code.slug())
                || match code {
                    Code::MalformedRequest
                    | Code::Unauthorized
                    | Code::Forbidden
                    | Code::ValidationFailed
                    | Code::RateLimited
                    | Code::Internal
                    | Code::Overloaded
                    | Code::ShuttingDown => with_token,
                    Code::NotAcceptable => with_token && answers_json,
                    Code::PayloadTooLarge | Code::UnsupportedMediaType => has_body,
                    _ => false,
                }
        })
        .collect()
}

/// Puts the problems into the operation's responses, by status.
fn describe(operation: &mut Map<String, Value>, codes: &[Code], shared: &mut Map<String, Value>) {
    let mut by_status: BTreeMap<u16, Vec<Code>> = BTreeMap::new();
    for code in codes {
        by_status.entry(code.status()).or_default().push(*code);
    }
    let Some(responses) = operation.get_mut("responses").and_then(Value::as_object_mut) else { return };
    for response in responses.values_mut().filter_map(Value::as_object_mut) {
        headers(response);
    }
    for (status, codes) in by_status {
        let mut response = problem(status, &codes);
        if codes.len() <= SHARED {
            let name = codes.iter().map(|code| pascal(code.slug())).collect::<Vec<_>>().join("Or");
            let reference = json!({ "$ref": format!("#/components/responses/{name}") });
            shared.insert(name, std::mem::replace(&mut response, reference));
        }
        responses.insert(status.to_string(), response);
    }
}

/// Every answer names its request. A header that is described as one that may be missing is not required.
fn headers(response: &mut Map<String, Value>) {
    let Some(headers) = response.entry("headers").or_insert_with(|| json!({})).as_object_mut() else { return };
    for header in headers.values_mut().filter_map(Value::as_object_mut) {
        let schema = header.get_mut("schema");
        let required = !schema.is_some_and(no_null);
        header.insert("required".to_owned(), Value::Bool(required));
    }
    headers.insert("X-Request-Id".to_owned(), json!({ "$ref": "#/components/headers/RequestId" }));
}

/// Takes `null` out of a schema of one type, and says whether it was there.
fn no_null(schema: &mut Value) -> bool {
    let Some(types) = schema.get("type").and_then(Value::as_array) else { return false };
    let left: Vec<Value> = types.iter().filter(|one| *one != "null").cloned().collect();
    if left.len() == types.len() {
        return false;
    }
    if let (Some(schema), Some(only)) = (schema.as_object_mut(), left.into_iter().next()) {
        schema.insert("type".to_owned(), only);
    }
    true
}

/// The answer of a status with these problems.
fn problem(status: u16, codes: &[Code]) -> Value {
    let slugs: Vec<&str> = codes.iter().map(|code| code.slug()).collect();
    let lines: Vec<String> = codes.iter().map(|code| format!("`{}`: {}", code.slug(), code.explanation())).collect();
    let mut headers = json!({ "X-Request-Id": { "$ref": "#/components/headers/RequestId" } });
    let mut add = |name: &str, reference: &str| {
        if let Some(headers) = headers.as_object_mut() {
            headers.insert(name.to_owned(), json!({ "$ref": format!("#/components/headers/{reference}") }));
        }
    };
    match status {
        401 => add("WWW-Authenticate", "Challenge"),
        429 | 503 => add("Retry-After", "RetryAfter"),
        409 | 502 => add("Retry-After", "MayRetryAfter"),
        _ => {}
    }
    json!({
        "description": lines.join("\n\n"),
        "headers": headers,
        "content": { "application/problem+json": {
            "schema": { "allOf": [
                { "$ref": "#/components/schemas/Problem" },
                { "type": "object", "required": ["status", "code"], "properties": {
                    "status": { "type": "integer", "const": status },
                    "code": { "type": "string", "enum": slugs },
                } },
            ] },
            "examples": super::samples::of_problems(codes),
        } },
    })
}

fn pascal(slug: &str) -> String {
    slug.split('_').map(super::bodies::capitalised).collect()
}

/// What all parameters have in common, and the one that all calls with a token have.
fn parameters(operation: &mut Map<String, Value>) {
    if !is_open(operation) {
        let organisation = json!({
            "name": "X-Org-Id", "in": "header", "required": false, "example": "acme",
            "description": "The organisation, from internal services; a token that belongs to one need not name it",
            "schema": { "type": "string", "minLength": 1, "maxLength": 128, "pattern": "^[!-~]([ -~]*[!-~])?$" },
        });
        let parameters = operation.entry("parameters").or_insert_with(|| json!([]));
        if let Some(parameters) = parameters.as_array_mut() {
            parameters.push(organisation);
        }
    }
    let parameters = operation.get_mut("parameters").and_then(Value::as_array_mut).into_iter().flatten();
    for parameter in parameters.filter_map(Value::as_object_mut) {
        if let Some(schema) = parameter.get_mut("schema") {
            no_null(schema);
            spell_out_ids(schema);
        }
        example(parameter);
    }
}

/// Swagger UI knows no field for a list of a format, and complains of it on the console.
fn spell_out_ids(schema: &mut Value) {
    let Some(items) = object_at(schema, "/items") else { return };
    if items.get("format").is_some_and(|format| format == "uuid") {
        items.remove("format");
        items.insert("pattern".to_owned(), json!("^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$"));
    }
}

/// Swagger UI fills in every `example`, so what is filled in must work together. What may be left out only shows its
/// example. `preset` stays, because a question needs its days, and so does the empty `filter`: without one Swagger UI makes
/// up ids that nobody has.
fn example(parameter: &mut Map<String, Value>) {
    let name = parameter.get("name").and_then(Value::as_str).unwrap_or_default();
    if ["preset", "filter"].contains(&name) || parameter.get("required") == Some(&Value::Bool(true)) {
        return;
    }
    let Some(example) = parameter.remove("example") else { return };
    match parameter.get_mut("schema").and_then(Value::as_object_mut) {
        // Beside a reference, as 2020-12 allows.
        Some(schema) => schema.insert("examples".to_owned(), json!([example])),
        None => parameter.insert("example".to_owned(), example),
    };
}
