//! The bodies that are posted: one schema per platform, made of the schemas that the catalogue publishes.

use serde_json::{Map, Value, json};

use super::tree::{define, object_at};
use crate::connections::draft::MAX_NAME;
use crate::platforms::catalogue::{Availability, ConnectionTypeEntry, PlatformEntry};
use crate::platforms::{self, ConnectionType, Platform};

/// What a setting is: what is pasted around it is cut off, and no control character is left inside.
const SETTING: &str = "^[\\s\\u0000-\\u001F\\u007F-\\u009F]*[^\\s\\u0000-\\u001F\\u007F-\\u009F]([^\\u0000-\\u001F\\u007F-\\u009F]*[^\\s\\u0000-\\u001F\\u007F-\\u009F])?[\\s\\u0000-\\u001F\\u007F-\\u009F]*$";

/// What a key is: visible ASCII, whatever is pasted around it.
const KEY: &str = "^[\\s\\u0000-\\u001F\\u007F-\\u009F]*[!-~]+[\\s\\u0000-\\u001F\\u007F-\\u009F]*$";

/// Something to be seen, and no control characters.
const NAME: &str =
    "^[^\\u0000-\\u001F\\u007F-\\u009F]*[^\\s\\u0000-\\u001F\\u007F-\\u009F][^\\u0000-\\u001F\\u007F-\\u009F]*$";

/// Defines the bodies and gives them examples.
pub(super) fn complete(document: &mut Value) {
    for (name, name_required) in [("ConnectionCreate", true), ("ConnectionTry", false)] {
        let (union, variants) = union(name, name_required);
        define(document, variants);
        define(document, [(name.to_owned(), union)]);
    }
    define(document, [("ConnectionPatch".to_owned(), patch())]);
    for path in ["/api/v1/connections", "/api/v1/connections/verify"] {
        let place = format!("/paths/{}/post/requestBody/content/application~1json", path.replace('/', "~1"));
        if let Some(content) = object_at(document, &place) {
            content.insert("examples".to_owned(), examples());
        }
    }
    if let Some(content) = object_at(document, "/paths/~1api~1v1~1webhooks/post/requestBody/content/application~1json")
    {
        content.insert("examples".to_owned(), webhook_examples());
    }
    for kind in ["application~1merge-patch+json", "application~1json"] {
        for (path, examples) in [("connections", patch_examples()), ("webhooks", webhook_patch_examples())] {
            let place = format!("/paths/~1api~1v1~1{path}~1{{id}}/patch/requestBody/content/{kind}");
            if let Some(content) = object_at(document, &place) {
                content.insert("examples".to_owned(), examples);
            }
        }
    }
    for name in ["WebhookCreate", "WebhookPatch"] {
        if let Some(schema) = object_at(document, &format!("/components/schemas/{name}")) {
            schema.insert("additionalProperties".to_owned(), json!(false));
        }
    }
}

fn available() -> impl Iterator<Item = &'static PlatformEntry> {
    platforms::entries().iter().filter(|entry| entry.status == Availability::Available)
}

fn name() -> Value {
    json!({ "type": "string", "minLength": 1, "maxLength": MAX_NAME, "pattern": NAME,
        "description": "Unique in the organisation, whatever its letter case.", "examples": ["Brand A"] })
}

fn expiry() -> Value {
    json!({ "type": "string", "format": "date",
        "description": "The last day on which the key is good, to its end in UTC.", "examples": ["2027-03-31"] })
}

/// One schema per available platform, told apart by `platform`, so that a typed client refuses a misspelt one.
fn union(prefix: &str, name_required: bool) -> (Value, Map<String, Value>) {
    let mut variants = Map::new();
    let mut mapping = Map::new();
    for entry in available() {
        let name = format!("{prefix}{}", capitalised(entry.platform.key()));
        mapping.insert(entry.platform.key().to_owned(), json!(format!("#/components/schemas/{name}")));
        variants.insert(name, variant(entry.platform, &entry.connection_types, name_required));
    }
    let refs: Vec<Value> = mapping.values().map(|reference| json!({ "$ref": reference })).collect();
    let union = json!({ "oneOf": refs, "discriminator": { "propertyName": "platform", "mapping": mapping } });
    (union, variants)
}

fn variant(platform: Platform, types: &[ConnectionTypeEntry], name_required: bool) -> Value {
    let settings = merged(types.iter().map(|entry| &*entry.settings_schema));
    let credentials = merged(types.iter().map(|entry| &*entry.credentials_schema));
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
    let mut properties = json!({
        "name": name(),
        "platform": { "type": "string", "enum": [platform.key()] },
        "connection_type": { "type": "string", "enum": kinds },
        "settings": settings,
        "credentials": credentials,
        "credentials_expire_at": expiry(),
    });
    for (key, property) in properties.as_object_mut().into_iter().flatten() {
        if !required.contains(&key.as_str()) {
            or_null(property);
        }
    }
    let mut variant = json!({
        "type": "object", "properties": properties, "required": required, "additionalProperties": false,
    });
    let mut refused: Vec<Value> = types.iter().flat_map(|entry| foreign_settings(entry, types)).collect();
    let refused = if refused.len() > 1 { Some(json!({ "anyOf": refused })) } else { refused.pop() };
    if let (Some(variant), Some(refused)) = (variant.as_object_mut(), refused) {
        variant.insert("not".to_owned(), refused);
    }
    variant
}

/// What may be left out may be `null` as well. Generators stumble over a `null` within an `enum`.
fn or_null(property: &mut Value) {
    if property.get("enum").is_some() {
        *property = json!({ "anyOf": [property.take(), { "type": "null" }] });
    } else if let Some(members) = property.as_object_mut()
        && let Some(one) = members.get("type").cloned()
    {
        members.insert("type".to_owned(), json!([one, "null"]));
    }
}

/// Bodies of this connection type, each with a setting that only other types of the platform have.
fn foreign_settings(entry: &ConnectionTypeEntry, types: &[ConnectionTypeEntry]) -> Vec<Value> {
    let keys = |entry: &ConnectionTypeEntry| -> Vec<String> {
        let settings = entry.settings_schema.get("properties").and_then(Value::as_object);
        settings.map(|settings| settings.keys().cloned().collect()).unwrap_or_default()
    };
    let own = keys(entry);
    let foreign = types.iter().flat_map(keys).filter(|key| !own.contains(key));
    foreign
        .map(|key| {
            let settings = json!({ "type": "object", "properties": { (key.as_str()): {} }, "required": [key] });
            json!({
                "properties": { "connection_type": { "enum": [entry.connection_type] }, "settings": settings },
                "required": ["connection_type", "settings"],
            })
        })
        .collect()
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
    for property in object_at(&mut merged, "/properties").into_iter().flat_map(Map::values_mut) {
        if let Some(text) = property.as_object_mut().filter(|text| !text.contains_key("enum")) {
            let pattern = if text.contains_key("writeOnly") { KEY } else { SETTING };
            text.entry("pattern").or_insert_with(|| json!(pattern));
        }
    }
    merged
}

/// A merge patch: which fields a connection has depends on its platform, so that it may name those of any.
fn patch() -> Value {
    let types = || available().flat_map(|entry| &entry.connection_types);
    let settings = changes(types().map(|entry| &*entry.settings_schema), "Settings to change; `null` takes one away.");
    let credentials =
        changes(types().map(|entry| &*entry.credentials_schema), "Secrets to change; `null` takes one away.");
    json!({
        "type": "object",
        "description": "A JSON merge patch (RFC 7396) of a connection.",
        "properties": {
            "name": name(), "settings": settings, "credentials": credentials, "credentials_expire_at": {
                "type": ["string", "null"], "format": "date", "description":
                    "The last day on which the key is good; `null` takes it away, and so does a change of `credentials` that \
                     does not name it.",
            },
        },
        "additionalProperties": false,
    })
}

fn changes<'a>(schemas: impl Iterator<Item = &'a Value>, description: &str) -> Value {
    let keys = schemas.filter_map(|schema| schema.get("properties")?.as_object()).flatten();
    let properties: Map<String, Value> = keys
        .map(|(key, property)| {
            let mut change = json!({ "type": ["string", "null"] });
            if let (Some(change), Some(true)) =
                (change.as_object_mut(), property.get("writeOnly").and_then(Value::as_bool))
            {
                change.insert("writeOnly".to_owned(), json!(true));
                change.insert("format".to_owned(), json!("password"));
            }
            (key.clone(), change)
        })
        .collect();
    json!({ "type": "object", "description": description, "properties": properties, "additionalProperties": false })
}

/// Changes of a Demo connection, and one of another.
fn patch_examples() -> Value {
    json!({
        "another_name": { "summary": "Another name", "value": { "name": "Demo network (renamed)" } },
        "failing_tracker": { "summary": "Demo: see a failing tracker", "value": { "settings": { "scenario": "down" } } },
        "renewed_secret": { "summary": "A renewed API key", "value": { "credentials": { "api_key": "0123456789abcdef0123456789abcdef" } } },
    })
}

fn webhook_examples() -> Value {
    json!({
        "failures": { "summary": "What fails, and what works again", "value": {
            "url": "https://hooks.example.com/affzero", "events": ["connection.failing", "connection.recovered"],
            "description": "Alerts of the operations team" } },
        "all_events": { "summary": "Every event", "value": { "url": "https://hooks.example.com/affzero" } },
    })
}

fn webhook_patch_examples() -> Value {
    json!({
        "resume": { "summary": "Resume what was paused", "value": { "active": true } },
        "other_events": { "summary": "Other events", "value": { "events": ["connection.expiring"] } },
    })
}

/// Bodies that work when pasted, Demo first; the others show where the real values go.
fn examples() -> Value {
    let mut examples = Map::new();
    examples.insert(
        // What is first in the alphabet is what Swagger UI starts with.
        "0_demo".to_owned(),
        json!({ "summary": "Demo: works at once", "value": { "name": "Demo network", "platform": "demo", "connection_type": "admin" } }),
    );
    for entry in available().filter(|entry| entry.platform != Platform::Demo) {
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

/// With its first letter in upper case.
pub(super) fn capitalised(key: &str) -> String {
    let mut letters = key.chars();
    letters.next().map(|first| first.to_ascii_uppercase()).into_iter().chain(letters).collect()
}
