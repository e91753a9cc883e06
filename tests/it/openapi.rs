//! The OpenAPI document against the service: what it promises is what is answered.

use std::collections::{BTreeMap, BTreeSet};

use affzero_connections::connections::draft::Draft;
use affzero_connections::http::openapi;
use affzero_connections::platforms;
use affzero_connections::platforms::catalogue::Availability;
use affzero_connections::problem::Code;
use affzero_connections::tenancy::Plan;
use jsonschema::Validator;
use serde_json::{Value, json};

use crate::app::{Answer, TestApp};

const OPEN: [&str; 3] = ["healthz", "readyz", "explain_problem"];
/// Answered whatever is asked of them.
const PROBES: [&str; 2] = ["healthz", "readyz"];

fn document() -> Value {
    serde_json::from_str(openapi::document()).expect("the document is JSON")
}

/// A validator of a schema of the document.
fn validator(document: &Value, schema: &Value) -> Validator {
    // The references of the document start at its root, so its components go with the schema.
    let whole = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "allOf": [schema],
        "components": document["components"],
    });
    jsonschema::options().should_validate_formats(true).build(&whole).expect("a schema")
}

#[track_caller]
fn assert_valid(validator: &Validator, value: &Value, what: &str) {
    let errors: Vec<String> =
        validator.iter_errors(value).map(|error| format!("{}: {error}", error.instance_path())).collect();
    assert!(errors.is_empty(), "{what}: {errors:#?}\n{value:#}");
}

/// What stands at a reference, or the value itself.
fn resolve<'a>(document: &'a Value, value: &'a Value) -> &'a Value {
    match value["$ref"].as_str() {
        Some(reference) => document.pointer(&reference[1..]).expect("a reference that leads somewhere"),
        None => value,
    }
}

/// The document with every object closed: what it does not name must not be answered. The document itself leaves them
/// open, so that answers may get further members.
fn closed(document: &Value) -> Value {
    fn close(value: &mut Value, in_all_of: bool) {
        match value {
            Value::Object(schema) => {
                if schema.contains_key("allOf") {
                    schema.insert("unevaluatedProperties".to_owned(), json!(false));
                } else if schema.contains_key("properties") && !in_all_of {
                    schema.entry("additionalProperties").or_insert(json!(false));
                }
                schema.iter_mut().for_each(|(key, value)| match value {
                    Value::Array(branches) if key == "allOf" => {
                        branches.iter_mut().for_each(|branch| close(branch, true))
                    }
                    value => close(value, false),
                });
            }
            Value::Array(items) => items.iter_mut().for_each(|item| close(item, false)),
            _ => {}
        }
    }
    let mut closed = document.clone();
    let members = closed["components"]["schemas"]["ProblemMembers"].take();
    close(&mut closed, false);
    closed["components"]["schemas"]["ProblemMembers"] = members;
    closed
}

/// Every operation: path, method, content.
fn operations(document: &Value) -> Vec<(&str, &str, &Value)> {
    let paths = document["paths"].as_object().expect("paths");
    paths
        .iter()
        .flat_map(|(path, item)| {
            let methods = item.as_object().expect("methods").iter();
            methods.map(move |(method, operation)| (path.as_str(), method.as_str(), operation))
        })
        .collect()
}

/// Calls `visit` with every value inside, itself included, and the key it stands under.
fn walk<'a>(key: &'a str, value: &'a Value, visit: &mut impl FnMut(&'a str, &'a Value)) {
    visit(key, value);
    match value {
        Value::Object(members) => members.iter().for_each(|(key, value)| walk(key, value, visit)),
        Value::Array(items) => items.iter().for_each(|item| walk("", item, visit)),
        _ => {}
    }
}

#[test]
fn the_checked_in_document_is_the_generated_one() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/openapi/openapi.json");
    let checked_in = std::fs::read_to_string(path).expect("openapi/openapi.json");
    assert!(
        checked_in == openapi::document(),
        "openapi/openapi.json is stale; refresh it: cargo run -- openapi > openapi/openapi.json"
    );
}

#[test]
fn the_document_is_openapi_3_1_and_every_reference_leads_somewhere() {
    let document = document();
    assert!(document["openapi"].as_str().expect("a version").starts_with("3.1."));
    let mut references = BTreeSet::new();
    walk("", &document, &mut |key, value| {
        if let ("$ref", Some(reference)) = (key, value.as_str()) {
            references.insert(reference);
        }
    });
    for mapping in ["ConnectionCreate", "ConnectionTry"] {
        let mapping = &document["components"]["schemas"][mapping]["discriminator"]["mapping"];
        references.extend(mapping.as_object().expect("a mapping").values().filter_map(Value::as_str));
    }
    assert!(references.len() > 20);
    for reference in references {
        let pointer = reference.strip_prefix('#').unwrap_or_else(|| panic!("{reference} leaves the document"));
        assert!(document.pointer(pointer).is_some(), "{reference} leads nowhere");
    }
    for name in document["components"]["schemas"].as_object().expect("schemas").keys() {
        validator(&document, &json!({"$ref": format!("#/components/schemas/{name}")}));
    }
}

#[test]
fn every_operation_is_named_tagged_summed_up_and_locked() {
    let document = document();
    let scopes = document["components"]["schemas"]["Scope"]["enum"].as_array().expect("scopes");
    let scheme = &document["components"]["securitySchemes"]["bearer"];
    assert_eq!((scheme["type"].as_str(), scheme["scheme"].as_str()), (Some("http"), Some("bearer")));
    let tags: Vec<&str> =
        document["tags"].as_array().expect("tags").iter().filter_map(|tag| tag["name"].as_str()).collect();
    let mut ids = BTreeSet::new();
    for (path, method, operation) in operations(&document) {
        let id = operation["operationId"].as_str().unwrap_or_else(|| panic!("{method} {path} has no id"));
        assert!(ids.insert(id), "{id} is there twice");
        assert!(operation["summary"].as_str().is_some_and(|summary| summary.ends_with('.')), "{id}");
        let tagged = operation["tags"].as_array().expect("tags");
        assert!(!tagged.is_empty() && tagged.iter().all(|tag| tags.contains(&tag.as_str().expect("a tag"))), "{id}");
        if OPEN.contains(&id) {
            assert_eq!(operation["security"], json!([{}]), "{id} needs no token");
        } else {
            let needed = operation["security"][0]["bearer"].as_array();
            let needed = needed.or(document["security"][0]["bearer"].as_array()).expect("a token is needed");
            assert!(needed.iter().all(|scope| scopes.contains(scope)), "{id}");
        }
        let parameters = operation["parameters"].as_array().cloned().unwrap_or_default();
        let in_path: BTreeSet<&str> = parameters
            .iter()
            .filter(|parameter| parameter["in"] == "path")
            .map(|parameter| parameter["name"].as_str().expect("a name"))
            .collect();
        let named: BTreeSet<&str> =
            path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}')).collect();
        assert_eq!(in_path, named, "{id}");
        assert!(parameters.iter().all(|parameter| parameter["description"].is_string()), "{id}");
    }
}

/// The codes that an operation may answer, by status.
fn codes<'a>(document: &'a Value, operation: &'a Value) -> BTreeMap<&'a str, Vec<&'a str>> {
    let responses = operation["responses"].as_object().expect("responses").iter();
    responses
        .filter_map(|(status, response)| {
            let content = &resolve(document, response)["content"]["application/problem+json"];
            let codes = content["schema"]["allOf"][1]["properties"]["code"]["enum"].as_array()?;
            Some((status.as_str(), codes.iter().filter_map(Value::as_str).collect()))
        })
        .collect()
}

#[test]
fn every_operation_names_its_problems() {
    let document = document();
    let mut named = BTreeSet::new();
    for (path, method, operation) in operations(&document) {
        let id = operation["operationId"].as_str().expect("an id");
        let by_status = codes(&document, operation);
        assert!(operation["responses"].get("default").is_none(), "{id} says what it answers");
        for (status, codes) in &by_status {
            for slug in codes {
                let code = Code::ALL.iter().find(|code| code.slug() == *slug).expect("a code");
                assert_eq!(code.status().to_string(), *status, "{id}");
                named.insert(*slug);
            }
        }
        let has = |status: &str| by_status.contains_key(status);
        assert_eq!(has("401") && has("403") && has("429") && has("422"), !OPEN.contains(&id), "{id}");
        assert_eq!(has("500") && has("503") && has("400"), !PROBES.contains(&id), "{id}");
        assert_eq!(has("413") && has("415"), operation.get("requestBody").is_some(), "{id}");
        assert!(has("404") || !path.contains('{'), "{id}");
        // A file of several connections fails as the first of them does.
        let of_one = path.contains("/connections/{id}") && method != "delete";
        assert_eq!(has("410"), of_one || id == "stats", "{id}");
    }
    let all: BTreeSet<&str> = Code::ALL.iter().map(|code| code.slug()).collect();
    let missing: Vec<_> = all.difference(&named).collect();
    assert_eq!(missing, [&"method_not_allowed"], "what no operation answers");
}

#[test]
fn generators_meet_nothing_they_stumble_over() {
    let document = document();
    walk("", &document, &mut |key, value| {
        assert_ne!(key, "const", "{value}: a list of one value instead");
        if key == "enum" {
            let values = value.as_array().expect("values");
            assert!(values.iter().all(|value| !value.is_null()), "{values:?}");
        }
        assert_ne!((key, value.as_str()), ("style", Some("deepObject")));
    });
    for (path, method, operation) in operations(&document) {
        for parameter in operation["parameters"].as_array().into_iter().flatten() {
            let schema = parameter["schema"].to_string();
            assert!(!schema.contains("null"), "{method} {path} {}: {schema}", parameter["name"]);
        }
        for response in operation["responses"].as_object().expect("responses").values() {
            for (name, header) in resolve(&document, response)["headers"].as_object().into_iter().flatten() {
                assert!(!resolve(&document, header)["example"].is_null(), "{method} {path} {name} has no example");
            }
        }
    }
    let metrics = &document["components"]["schemas"]["StatsRow"]["properties"];
    assert_eq!((&metrics["clicks"]["format"], &metrics["revenue"]["format"]), (&json!("int64"), &json!("decimal")));
}

#[test]
fn every_operation_says_how_it_is_used_and_with_which_scope() {
    let document = document();
    for (path, method, operation) in operations(&document) {
        let description = operation["description"].as_str().unwrap_or_else(|| panic!("{method} {path}"));
        let (first, last) = description
            .split_once(
                "

",
            )
            .unwrap_or_else(|| panic!("{method} {path}: {description}"));
        assert!(!first.is_empty() && last.contains("token"), "{method} {path}: {description}");
        if let Some(scope) = operation["security"][0]["bearer"][0].as_str() {
            assert!(description.contains(&format!("`{scope}`")), "{method} {path}: {description}");
        }
    }
}

#[test]
fn the_codes_of_fields_and_the_defaults_of_parameters_are_listed() {
    let document = document();
    let codes = document["components"]["schemas"]["FieldCode"]["enum"].as_array().expect("codes");
    for code in ["required", "out_of_range", "unknown_parameter", "credentials_rejected"] {
        assert!(codes.contains(&json!(code)), "{code}");
    }
    let defaults: BTreeMap<&str, &Value> = operations(&document)
        .iter()
        .flat_map(|(_, _, operation)| operation["parameters"].as_array().into_iter().flatten())
        .filter_map(|parameter| Some((parameter["name"].as_str()?, parameter["schema"].get("default")?)))
        .collect();
    for (name, default) in [
        ("limit", json!(25)),
        ("sort", json!("-created_at")),
        ("timezone", json!("UTC")),
        ("verify", json!("required")),
    ] {
        assert_eq!(defaults.get(name), Some(&&default), "{name}");
    }
}

#[test]
fn operations_come_in_the_order_in_which_a_user_meets_them() {
    let places = |needles: &[&str]| -> Vec<usize> {
        needles.iter().map(|needle| openapi::document().find(needle).unwrap_or_else(|| panic!("{needle}"))).collect()
    };
    let parts = ["\"info\"", "\"tags\"", "\"paths\"", "\"components\""];
    let ids = [
        "list_platforms",
        "show_platform",
        "create_connection",
        "list_connections",
        "try_connection",
        "show_connection",
        "update_connection",
        "delete_connection",
        "verify_connection",
        "show_usage",
        "connection_stats",
        "\"stats\"",
        "dimension_values",
        "create_webhook",
        "list_webhooks",
        "show_webhook",
        "update_webhook",
        "delete_webhook",
        "test_webhook",
        "rotate_webhook_secret",
        "list_webhook_deliveries",
        "list_verifications",
        "list_automations",
        "list_events",
        "list_audit_events",
        "explain_problem",
        "healthz\"",
        "readyz\"",
    ];
    let ids: Vec<String> = ids.iter().map(|id| format!("\"operationId\": \"{}", id.trim_start_matches('"'))).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    assert_eq!(ids.len(), operations(&document()).len());
    assert!(places(&parts).is_sorted() && places(&ids).is_sorted(), "{:?}", places(&ids));
}

#[tokio::test(flavor = "multi_thread")]
async fn each_operation_needs_the_scope_it_names() {
    let app = TestApp::start().await;
    let document = document();
    let scopes = ["connections:read", "connections:write", "stats:read"];
    for (path, method, operation) in operations(&document) {
        if OPEN.contains(&operation["operationId"].as_str().expect("an id")) {
            continue;
        }
        let needed = operation["security"][0]["bearer"].as_array().cloned().unwrap_or_default();
        let path = path.replace("{id}", "01990000-0000-7000-8000-000000000000").replace("{platform}", "demo");
        for scope in scopes {
            let user = app.user_with_scope("acme", Plan::Pro, scope);
            let answer = user.send(&method.to_uppercase(), &path, &[], None).await;
            if needed.is_empty() || needed.contains(&json!(scope)) {
                assert_ne!(answer.status, 403, "{method} {path} with {scope}");
            } else {
                let problem = answer.problem(403, "forbidden");
                assert_eq!(needed, [problem["scope"].clone()], "{method} {path} with {scope}");
            }
        }
    }
}

#[test]
fn the_create_body_is_told_apart_by_platform_and_its_secrets_are_write_only() {
    let document = document();
    let schemas = &document["components"]["schemas"];
    for name in ["ConnectionCreate", "ConnectionTry"] {
        let union = &schemas[name];
        assert_eq!(union["discriminator"]["propertyName"], "platform");
        let mapping = union["discriminator"]["mapping"].as_object().expect("a mapping");
        let available: BTreeSet<&str> = platforms::entries()
            .iter()
            .filter(|entry| entry.status == Availability::Available)
            .map(|entry| entry.platform.key())
            .collect();
        assert_eq!(mapping.keys().map(String::as_str).collect::<BTreeSet<_>>(), available);
        assert_eq!(union["oneOf"].as_array().expect("variants").len(), available.len());
        for (platform, reference) in mapping {
            let variant = document.pointer(&reference.as_str().expect("a reference")[1..]).expect("a variant");
            assert_eq!(variant["properties"]["platform"]["enum"], json!([platform]));
            assert_eq!(variant["additionalProperties"], false);
            let secrets = variant["properties"]["credentials"]["properties"].as_object();
            for (key, secret) in secrets.into_iter().flatten() {
                assert_eq!(secret["writeOnly"], true, "{platform} {key}");
            }
        }
    }
}

#[test]
fn a_typed_client_refuses_what_the_service_refuses() {
    let document = document();
    let create = validator(&document, &json!({"$ref": "#/components/schemas/ConnectionCreate"}));
    assert!(create.is_valid(&json!({"name": "Try", "platform": "demo"})));
    for bad in [
        json!({"name": "Try", "platform": "dmeo"}),
        json!({"platform": "demo"}),
        json!({"name": "Try", "platform": "demo", "api_kye": "x"}),
        json!({"name": "Try", "platform": "demo", "settings": {"scenario": "on_fire"}}),
        json!({"name": "", "platform": "demo"}),
        json!({"name": " ", "platform": "demo"}),
        json!({"name": "Try", "platform": "affise", "connection_type": "admin"}),
        json!({"name": "Try", "platform": "cake", "connection_type": "admin", "settings": {"domain": "a", "affiliate_id": "1"}, "credentials": {"api_key": "x"}}),
    ] {
        assert!(!create.is_valid(&bad), "{bad}");
    }
    let dry_run = validator(&document, &json!({"$ref": "#/components/schemas/ConnectionTry"}));
    assert!(dry_run.is_valid(&json!({"platform": "demo"})));
}

#[test]
fn examples_fit_the_schemas_they_stand_beside() {
    let document = document();
    let mut checked = 0;
    for (path, method, operation) in operations(&document) {
        for parameter in operation["parameters"].as_array().into_iter().flatten() {
            for example in examples_of(&document, parameter) {
                let what = format!("{method} {path} {}", parameter["name"]);
                assert_valid(&validator(&document, &parameter["schema"]), example, &what);
                checked += 1;
            }
        }
        let bodies = operation["requestBody"]["content"].as_object().into_iter().flatten();
        for (kind, content) in bodies {
            let validator = validator(&document, &content["schema"]);
            for (name, example) in content["examples"].as_object().into_iter().flatten() {
                assert_valid(&validator, &example["value"], &format!("{method} {path} {kind} {name}"));
                if method == "post" && path.contains("/connections") {
                    Draft::read(&example["value"], true).unwrap_or_else(|problem| panic!("{name}: {problem:?}"));
                }
                checked += 1;
            }
        }
    }
    checked += check_examples_of_answers(&document);
    for (name, schema) in document["components"]["schemas"].as_object().expect("schemas") {
        walk(name, schema, &mut |key, schema| {
            if key == "properties" {
                return;
            }
            let listed = schema.get("examples").and_then(Value::as_array).into_iter().flatten();
            let single = schema.get("example").filter(|_| schema.get("type").is_some());
            for example in listed.chain(single) {
                assert_valid(&validator(&document, schema), example, &format!("{name} {key}"));
                checked += 1;
            }
        });
    }
    assert!(checked > 40, "only {checked} examples were found");
}

/// Problems that only a faulty program, or any call at all, may meet.
const UNMET: [&str; 11] = [
    "malformed_request",
    "forbidden",
    "not_acceptable",
    "payload_too_large",
    "unsupported_media_type",
    "request_in_progress",
    "idempotency_key_reused",
    "rate_limited",
    "internal",
    "overloaded",
    "shutting_down",
];

/// Every answer with a body has an example, one for each of the problems that people meet, and with no member that is
/// not documented. Returns how many there are.
fn check_examples_of_answers(document: &Value) -> usize {
    let closed = closed(document);
    let mut checked = 0;
    for (path, method, operation) in operations(&closed) {
        for (status, response) in operation["responses"].as_object().expect("responses") {
            let contents = resolve(&closed, response)["content"].as_object().into_iter().flatten();
            for (kind, content) in contents {
                let what = format!("{method} {path} {status} {kind}");
                let of_problems = content["examples"].as_object().into_iter().flatten();
                let named: BTreeMap<&str, &Value> =
                    of_problems.map(|(name, example)| (name.as_str(), &example["value"])).collect();
                let listed = content["schema"]["allOf"][1]["properties"]["code"]["enum"].as_array();
                for code in listed.into_iter().flatten().filter_map(Value::as_str).filter(|code| !UNMET.contains(code))
                {
                    assert_eq!(named.get(code).map(|example| &example["code"]), Some(&json!(code)), "{what}");
                }
                let all: Vec<&Value> = named.into_values().chain(content.get("example")).collect();
                assert!(!all.is_empty() || kind == "application/problem+json", "{what} has no example");
                let validator = validator(&closed, &content["schema"]);
                all.iter().for_each(|example| assert_valid(&validator, example, &what));
                checked += all.len();
                if kind == "application/x-ndjson" {
                    let line = self::validator(&closed, &resolve(&closed, &content["schema"])["contentSchema"]);
                    let lines = content["example"].as_str().expect("text").lines();
                    lines.for_each(|text| assert_valid(&line, &serde_json::from_str(text).expect("a line"), &what));
                }
            }
        }
    }
    checked
}

/// Asserts that an answer is one that the document has.
#[track_caller]
fn assert_documented(document: &Value, path: &str, method: &str, answer: &Answer) {
    let what = format!("{method} {path} {}", answer.status);
    let responses = &document["paths"][path][method]["responses"];
    let response = responses.get(answer.status.to_string()).unwrap_or_else(|| panic!("{what} is not documented"));
    let response = resolve(document, response);
    for (name, header) in response["headers"].as_object().expect("headers") {
        let header = resolve(document, header);
        match answer.header(name) {
            Some(value) if header["schema"]["type"] == "integer" => {
                assert!(value.parse::<u64>().is_ok(), "{what}: {value}")
            }
            Some(_) => {}
            None => assert_ne!(header["required"], true, "{what}: no {name}"),
        }
    }
    let Some(contents) = response.get("content").and_then(Value::as_object) else {
        assert!(answer.text.is_empty(), "{what} has a body: {}", answer.text);
        return;
    };
    let kind = answer.header("content-type").and_then(|kind| kind.split(';').next()).unwrap_or_default();
    let content = contents.get(kind).unwrap_or_else(|| panic!("{what} answers {kind}"));
    match kind {
        "application/x-ndjson" => {
            let line = &resolve(document, &content["schema"])["contentSchema"];
            let validator = validator(document, line);
            for line in answer.text.lines() {
                assert_valid(&validator, &serde_json::from_str(line).expect("a line"), &what);
            }
        }
        kind if kind.ends_with("json") => {
            assert_valid(&validator(document, &content["schema"]), &answer.json(), &what);
        }
        _ => {}
    }
}

/// All examples of a parameter, those that Swagger UI fills in first.
fn examples_of<'a>(document: &'a Value, parameter: &'a Value) -> Vec<&'a Value> {
    let schema = &parameter["schema"];
    let shown = schema.get("examples").or(resolve(document, schema).get("examples"));
    parameter.get("example").into_iter().chain(shown.and_then(Value::as_array).into_iter().flatten()).collect()
}

/// A parameter as it is sent: the pairs of a query, or the one value of a path or header.
fn written(parameter: &Value, value: &Value) -> Vec<(String, String)> {
    let name = parameter["name"].as_str().expect("a name");
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    match value {
        Value::Object(members) => members.iter().map(|(key, value)| (format!("{name}[{key}]"), text(value))).collect(),
        Value::Array(items) if parameter["explode"] == false => {
            vec![(name.to_owned(), items.iter().map(text).collect::<Vec<_>>().join(","))]
        }
        Value::Array(items) => items.iter().map(|item| (name.to_owned(), text(item))).collect(),
        value => vec![(name.to_owned(), text(value))],
    }
}

/// Sends an operation as somebody would who presses "Try it out" and then gives `extra` parameters too, through a
/// Demo connection that is new.
async fn try_out(
    app: &TestApp,
    (path, method, operation): (&str, &str, &Value),
    organisation: &str,
    extra: &[(&Value, &Value)],
    body: Option<&Value>,
) -> Answer {
    let user = app.user_with_scope("any", Plan::Pro, "org:any connections:read connections:write stats:read");
    let me = [("x-org-id", organisation), ("x-org-plan", "pro")];
    let demo = json!({"name": format!("Demo {}", uuid::Uuid::now_v7()), "platform": "demo"});
    let id = if path == "/api/v1/connections" && method == "post" {
        String::new()
    } else {
        let created = user.send("POST", "/api/v1/connections", &me, Some(&demo)).await.ok(201);
        created["id"].as_str().expect("an id").to_owned()
    };
    let webhook = if path.contains("/webhooks/") {
        let created = user.send("POST", "/api/v1/webhooks", &me, Some(&json!({"url": "http://127.0.0.1:1/"}))).await;
        created.ok(201)["id"].as_str().expect("an id").to_owned()
    } else {
        String::new()
    };
    let given = |name: &str| extra.iter().any(|(parameter, _)| parameter["name"] == name);
    let filled = operation["parameters"].as_array().into_iter().flatten().filter_map(|parameter| {
        // Two days instead of the preset.
        let replaced = given(parameter["name"].as_str()?) || parameter["name"] == "preset" && given("from");
        let first = parameter.get("example")?;
        (!replaced).then_some((parameter, first))
    });
    let (mut path, mut query, mut headers) = (path.to_owned(), form_urlencoded::Serializer::new(String::new()), vec![]);
    for (parameter, value) in filled.chain(extra.iter().copied()) {
        for (name, value) in written(parameter, value) {
            // Which ids there are, no document can know.
            let value = value.replace("01990000-0000-7000-8000-000000000000", &id);
            let value = value.replace("01990000-0000-7000-8000-000000000001", &webhook);
            match parameter["in"].as_str() {
                Some("path") => path = path.replace(&format!("{{{name}}}"), &value),
                Some("query") => drop(query.append_pair(&name, &value)),
                _ => headers.push((name.to_ascii_lowercase(), value)),
            }
        }
    }
    let mut sent: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    sent.extend(me.iter().filter(|(name, _)| !headers.iter().any(|(given, _)| given == name)));
    user.send(&method.to_uppercase(), &format!("{path}?{}", query.finish()), &sent, body).await
}

/// Asserts that an answer is of use: it succeeds, and where there are rows or entries, there are some.
#[track_caller]
fn assert_of_use(answer: &Answer, what: &str) {
    assert!(matches!(answer.status, 200..=204), "{what}: {} {}", answer.status, answer.text);
    if answer.header("content-type") == Some("application/json") {
        let body = answer.json();
        for rows in [&body["rows"], &body["results"]] {
            assert!(rows.as_array().is_none_or(|rows| !rows.is_empty()), "{what}: {body}");
        }
        let filtered = what.contains("list_connections") || what.contains("list_platforms");
        assert!(!filtered || body["data"].as_array().is_some_and(|data| !data.is_empty()), "{what}: {body}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_example_works_with_demo() {
    let app = TestApp::start().await;
    let document = document();
    let mut tried = 0;
    for (path, method, operation) in operations(&document) {
        let id = operation["operationId"].as_str().expect("an id");
        let bodies = operation["requestBody"]["content"].as_object().into_iter().flat_map(|content| content.values());
        // The first is what Swagger UI fills in.
        let bodies: Vec<&Value> = bodies
            .map(|content| content["examples"].as_object().expect("examples"))
            .flat_map(|examples| examples.iter().enumerate())
            .filter(|(place, (name, _))| *place == 0 || *name == "failing_tracker")
            .map(|(_, (_, example))| &example["value"])
            .collect();
        for (place, body) in bodies.iter().enumerate() {
            let answer = try_out(&app, (path, method, operation), &format!("{id}-body-{place}"), &[], Some(body)).await;
            assert_of_use(&answer, &format!("{id} {body}"));
            tried += 1;
        }
        let body = bodies.first().copied();
        let answer = try_out(&app, (path, method, operation), &format!("{id}-filled"), &[], body).await;
        assert_of_use(&answer, &format!("{id} as it is filled in"));
        let parameters: Vec<&Value> = operation["parameters"].as_array().into_iter().flatten().collect();
        for parameter in &parameters {
            let name = parameter["name"].as_str().expect("a name");
            let examples = examples_of(&document, parameter);
            // Only a page before knows its cursor, and only an account its ids.
            let is_unknown =
                name == "cursor" || name.starts_with("filter[") && !["filter[country]", "filter[hour]"].contains(&name);
            assert_eq!(examples.is_empty(), is_unknown, "{id} {name}");
            for (place, example) in examples.into_iter().enumerate() {
                let mut extra = vec![(*parameter, example)];
                if let "from" | "to" = name {
                    let both = parameters.iter().filter(|other| other["name"] == "from" || other["name"] == "to");
                    extra = both.map(|day| (*day, examples_of(&document, day)[0])).collect();
                }
                let named = if name == "X-Org-Id" { example.as_str().map(str::to_owned) } else { None };
                let organisation = named.unwrap_or_else(|| format!("{id}-{name}-{place}"));
                let answer = try_out(&app, (path, method, operation), &organisation, &extra, body).await;
                assert_of_use(&answer, &format!("{id} {name} {example}"));
                tried += 1;
            }
        }
    }
    assert!(tried > 60, "only {tried} examples were tried");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_operation_answers_what_the_document_says() {
    let app = TestApp::start().await;
    let user = app.user("acme", Plan::Pro);
    let document = closed(&document());
    let mut seen = BTreeSet::new();
    let mut check = |path: &'static str, method: &'static str, answer: Answer, status: u16| {
        assert_eq!(answer.status, status, "{method} {path}: {}", answer.text);
        assert_documented(&document, path, method, &answer);
        if status < 400 {
            seen.insert((path, method));
        }
        answer
    };
    for (path, platform) in [("/healthz", ""), ("/readyz", "")] {
        check(path, "get", app.anonymous("GET", &format!("{path}{platform}")).await, 200);
    }
    check("/problems/{code}", "get", app.anonymous("GET", "/problems/internal").await, 200);
    check("/problems/{code}", "get", app.anonymous("GET", "/problems/nothing").await, 404);
    check("/api/v1/platforms", "get", user.get("/api/v1/platforms").await, 200);
    for entry in platforms::entries() {
        let path = format!("/api/v1/platforms/{}", entry.platform.key());
        check("/api/v1/platforms/{platform}", "get", user.get(&path).await, 200);
    }
    check("/api/v1/platforms/{platform}", "get", user.get("/api/v1/platforms/nothing").await, 404);
    check("/api/v1/usage", "get", user.get("/api/v1/usage").await, 200);
    check("/api/v1/usage", "get", app.anonymous("GET", "/api/v1/usage").await, 401);

    let create = "/api/v1/connections";
    let body = json!({"name": "Try", "platform": "demo"});
    let created = check(create, "post", user.post(create, &body).await, 201).json();
    check(create, "post", user.post(create, &body).await, 409);
    check(create, "post", user.post(create, &json!({"name": 1, "nope": 2})).await, 422);
    let unreachable = json!({"name": "Away", "platform": "affise", "connection_type": "admin", "settings": {"base_url": "http://127.0.0.1:1"}, "credentials": {"api_key": "0123456789abcdef0123"}});
    check(create, "post", user.post(create, &unreachable).await, 422);
    let deferred = user.post("/api/v1/connections?verify=deferred", &unreachable).await;
    let away = check(create, "post", deferred, 201).json()["id"].as_str().expect("an id").to_owned();
    check("/api/v1/connections/verify", "post", user.post("/api/v1/connections/verify", &body).await, 200);
    check("/api/v1/connections/verify", "post", user.post("/api/v1/connections/verify", &unreachable).await, 200);

    let id = created["id"].as_str().expect("an id");
    let one = format!("/api/v1/connections/{id}");
    check("/api/v1/connections/{id}", "get", user.get(&one).await, 200);
    check("/api/v1/connections/{id}", "patch", user.patch(&one, &json!({"name": "Renamed"})).await, 200);
    check("/api/v1/connections/{id}", "patch", user.patch(&one, &json!({"name": 7})).await, 422);
    let stale = user.send("PATCH", &one, &[("if-match", "\"99\"")], Some(&json!({"name": "Again"}))).await;
    check("/api/v1/connections/{id}", "patch", stale, 412);
    let verify = user.send("POST", &format!("{one}/verify"), &[], None).await;
    check("/api/v1/connections/{id}/verify", "post", verify, 200);

    let question = "group_by=affiliate,date&preset=last_7_days&limit=3";
    let stats = format!("{one}/stats?{question}");
    let path = "/api/v1/connections/{id}/stats";
    let automation = [("x-automation-id", "automation-7")];
    let page = check(path, "get", user.send("GET", &stats, &automation, None).await, 200);
    let etag = page.header("etag").expect("a tag").to_owned();
    check(path, "get", user.send("GET", &stats, &[("if-none-match", &etag)], None).await, 304);
    for kind in ["application/x-ndjson", "text/csv"] {
        let whole = format!("{one}/stats?group_by=date&preset=last_7_days");
        check(path, "get", user.send("GET", &whole, &[("accept", kind)], None).await, 200);
    }
    check(path, "get", user.get(&format!("{one}/stats?group_by=nothing&preset=today")).await, 422);
    check(path, "get", user.send("GET", &stats, &[("accept", "image/png")], None).await, 406);
    check(path, "get", user.get(&format!("/api/v1/connections/{away}/stats?{question}")).await, 502);
    let compared = format!("{one}/stats?group_by=week&preset=last_month&compare=previous_year&min[clicks]=1");
    check(path, "get", user.get(&compared).await, 200);
    let values = "/api/v1/connections/{id}/dimensions/{dimension}/values";
    check(values, "get", user.get(&format!("{one}/dimensions/sub1/values?limit=2")).await, 200);
    check(values, "get", user.get(&format!("{one}/dimensions/date/values")).await, 422);
    let merged = user.get("/api/v1/stats?merge=true&group_by=date&preset=yesterday").await;
    check("/api/v1/stats", "get", merged, 200);
    let all = user.get("/api/v1/stats?group_by=date&preset=yesterday").await;
    let all = check("/api/v1/stats", "get", all, 200).json();
    assert_eq!((all["results"].as_array().map(Vec::len), all["failures"].as_array().map(Vec::len)), (Some(1), Some(1)));

    let webhooks = "/api/v1/webhooks";
    let hook = check(webhooks, "post", user.post(webhooks, &json!({"url": "http://127.0.0.1:1/"})).await, 201).json();
    check(webhooks, "post", user.post(webhooks, &json!({"url": "http://10.0.0.1/"})).await, 422);
    check(webhooks, "post", user.post(webhooks, &json!({"events": []})).await, 422);
    check(webhooks, "get", user.get("/api/v1/webhooks?limit=1").await, 200);
    let (of_hook, hook) = ("/api/v1/webhooks/{id}", format!("{webhooks}/{}", hook["id"].as_str().expect("an id")));
    check(of_hook, "get", user.get(&hook).await, 200);
    check(of_hook, "patch", user.patch(&hook, &json!({"events": ["connection.failing"]})).await, 200);
    let stale = user.send("PATCH", &hook, &[("if-match", "\"99\"")], Some(&json!({"active": false}))).await;
    check(of_hook, "patch", stale, 412);
    let tested = user.send("POST", &format!("{hook}/test"), &[], None).await;
    check("/api/v1/webhooks/{id}/test", "post", tested, 200);
    let rotated = user.send("POST", &format!("{hook}/rotate-secret"), &[], None).await;
    check("/api/v1/webhooks/{id}/rotate-secret", "post", rotated, 200);
    check("/api/v1/webhooks/{id}/deliveries", "get", user.get(&format!("{hook}/deliveries")).await, 200);
    check(of_hook, "delete", user.delete(&hook).await, 204);
    check(of_hook, "get", user.get(&hook).await, 404);

    app.connections.flush_uses().await;
    let automations = user.get(&format!("{one}/automations")).await;
    let automations = check("/api/v1/connections/{id}/automations", "get", automations, 200);
    assert_eq!(automations.json()["data"].as_array().map(Vec::len), Some(1));
    let verifications = user.get(&format!("{one}/verifications")).await;
    check("/api/v1/connections/{id}/verifications", "get", verifications, 200);
    check("/api/v1/connections", "get", user.get("/api/v1/connections?limit=1").await, 200);
    check("/api/v1/connections", "get", user.get("/api/v1/connections?limit=x").await, 422);
    check("/api/v1/connections/{id}", "delete", user.delete(&one).await, 204);
    check("/api/v1/connections/{id}", "get", user.get(&one).await, 410);
    check("/api/v1/audit-events", "get", user.get("/api/v1/audit-events").await, 200);
    let events = check("/api/v1/events", "get", user.get("/api/v1/events").await, 200).json();
    assert_eq!(events["data"].as_array().map(Vec::len), Some(1), "{events}");

    let documented: BTreeSet<_> = operations(&document).iter().map(|(path, method, _)| (*path, *method)).collect();
    assert_eq!(seen, documented, "every operation has been tried");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_served_document_is_the_checked_in_one() {
    let app = TestApp::start().await;
    let served = app.anonymous("GET", "/api-docs/openapi.json").await;
    assert_eq!(served.header("content-type"), Some("application/json"));
    assert!(served.text == openapi::document());
}

#[tokio::test(flavor = "multi_thread")]
async fn swagger_ui_comes_from_the_binary_alone() {
    let app = TestApp::start().await;
    let redirect = app.anonymous("GET", "/swagger-ui").await;
    assert_eq!((redirect.status, redirect.header("location")), (308, Some("/swagger-ui/")));
    let index = app.anonymous("GET", "/swagger-ui/").await;
    let files = [
        "swagger-initializer.js",
        "swagger-ui-bundle.js",
        "swagger-ui-standalone-preset.js",
        "swagger-ui.css",
        "index.css",
    ];
    for file in files {
        assert!(index.text.contains(file), "{file}");
        let answer = app.anonymous("GET", &format!("/swagger-ui/{file}")).await;
        assert_eq!(answer.status, 200, "{file}");
        let kind = answer.header("content-type").unwrap_or_default();
        assert!(kind.contains(if file.ends_with("css") { "css" } else { "javascript" }), "{file}: {kind}");
    }
    let initializer = app.anonymous("GET", "/swagger-ui/swagger-initializer.js").await;
    assert!(initializer.text.contains("/api-docs/openapi.json"), "{}", initializer.text);
    for text in [&index.text, &initializer.text] {
        assert!(!text.contains("http://") && !text.contains("https://") && !text.contains("\"//"), "{text}");
    }
    let policy = index.header("content-security-policy").expect("a policy");
    assert!(policy.contains("default-src 'self'") && !policy.contains("http"), "{policy}");
    app.anonymous("GET", "/swagger-ui/nothing.js").await.problem(404, "not_found");
}
