//! What every operation may answer beside success: its own problems, which the handler names in `x-problems`, and those
//! that any call like it meets. Also what all answers have in common, and the scope that an operation needs.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::parameters;
use super::tree::object_at;
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
        name_scope(operation);
        table_of_problems(operation);
        parameters::complete(operation, !is_open(operation));
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
                "Challenge": { "description": "How to authenticate.", "required": true, "schema": { "type": "string" },
                    "example": super::samples::CHALLENGE },
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
    let of_table = headers.contains_key("Age");
    for (name, header) in headers.iter_mut() {
        let Some(header) = header.as_object_mut() else { continue };
        let schema = header.get_mut("schema");
        let required = !schema.is_some_and(parameters::no_null);
        header.insert("required".to_owned(), Value::Bool(required));
        let description = header.get("description").and_then(Value::as_str).unwrap_or_default();
        if let Some(example) = super::samples::header(name, description, of_table) {
            header.insert("example".to_owned(), example);
        }
    }
    headers.insert("X-Request-Id".to_owned(), json!({ "$ref": "#/components/headers/RequestId" }));
}

/// The answer of a status with these problems.
fn problem(status: u16, codes: &[Code]) -> Value {
    let slugs: Vec<&str> = codes.iter().map(|code| code.slug()).collect();
    let lines: Vec<String> = codes.iter().map(|code| format!("{} (`{}`)", code.title(), code.slug())).collect();
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
    let mut content = json!({
            "schema": { "allOf": [
                { "$ref": "#/components/schemas/Problem" },
                { "type": "object", "required": ["status", "code"], "properties": {
                    "status": { "type": "integer", "enum": [status] },
                    "code": { "type": "string", "enum": slugs },
                } },
            ] },
    });
    let examples = super::samples::of_problems(codes);
    if let Some(content) = content.as_object_mut().filter(|_| !examples.is_empty()) {
        content.insert("examples".to_owned(), Value::Object(examples));
    }
    json!({
        "description": lines.join(", or "),
        "headers": headers,
        "content": { "application/problem+json": content },
    })
}

/// The scope, in words: Swagger UI does not show it.
fn name_scope(operation: &mut Map<String, Value>) {
    let scope = operation.get("security").and_then(|security| security.pointer("/0/bearer/0")).and_then(Value::as_str);
    let needed = match scope {
        _ if is_open(operation) => "Needs no token.".to_owned(),
        Some(scope) => format!("Needs a token with the scope `{scope}`."),
        None => "Needs a token, of any scope.".to_owned(),
    };
    append(operation, &needed);
}

/// All problems in one table, where problems are explained: elsewhere a status and a code are enough.
fn table_of_problems(operation: &mut Map<String, Value>) {
    if operation.get("operationId").is_none_or(|id| id != "explain_problem") {
        return;
    }
    let rows =
        Code::ALL.iter().map(|code| format!("| {} | `{}` | {} |", code.status(), code.slug(), code.explanation()));
    let table: Vec<String> = ["| status | code | what it means |", "| --- | --- | --- |"]
        .map(str::to_owned)
        .into_iter()
        .chain(rows)
        .collect();
    append(operation, &table.join("\n"));
}

/// Adds a paragraph to an operation's description.
fn append(operation: &mut Map<String, Value>, paragraph: &str) {
    let before = operation.get("description").and_then(Value::as_str).unwrap_or_default();
    let whole = if before.is_empty() { paragraph.to_owned() } else { format!("{before}\n\n{paragraph}") };
    operation.insert("description".to_owned(), whole.into());
}

fn pascal(slug: &str) -> String {
    slug.split('_').map(super::bodies::capitalised).collect()
}
