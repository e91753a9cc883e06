//! The OpenAPI document against the service: what it promises is what is answered.

use std::collections::BTreeSet;

use affzero_connections::http::openapi;
use affzero_connections::platforms;
use affzero_connections::platforms::catalogue::Availability;
use affzero_connections::tenancy::Plan;
use jsonschema::Validator;
use serde_json::{Value, json};

use crate::app::{Answer, TestApp};

const OPEN: [&str; 3] = ["healthz", "readyz", "explain_problem"];

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
    assert_eq!(document["security"], json!([{"bearer": []}]));
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
            assert!(operation.get("security").is_none_or(|security| *security == json!([{"bearer": []}])), "{id}");
            let problem = &operation["responses"]["default"]["content"]["application/problem+json"]["schema"];
            assert_eq!(problem["$ref"], "#/components/schemas/Problem", "{id} may answer a problem");
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
            assert_eq!(variant["properties"]["platform"]["const"], platform.as_str());
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
        json!({"name": "Try", "platform": "affise", "connection_type": "admin"}),
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
            if let Some(example) = parameter.get("example") {
                assert_valid(
                    &validator(&document, &parameter["schema"]),
                    example,
                    &format!("{method} {path} {}", parameter["name"]),
                );
                checked += 1;
            }
        }
        let bodies = operation["requestBody"]["content"].as_object().into_iter().flatten();
        for (kind, content) in bodies {
            let validator = validator(&document, &content["schema"]);
            for (name, example) in content["examples"].as_object().into_iter().flatten() {
                assert_valid(&validator, &example["value"], &format!("{method} {path} {kind} {name}"));
                checked += 1;
            }
        }
    }
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

#[tokio::test(flavor = "multi_thread")]
async fn the_example_of_demo_works_when_pasted() {
    let app = TestApp::start().await;
    let user = app.user("acme", Plan::Pro);
    let document = document();
    for (path, status) in [("/api/v1/connections/verify", 200), ("/api/v1/connections", 201)] {
        let example =
            &document["paths"][path]["post"]["requestBody"]["content"]["application/json"]["examples"]["demo"];
        user.post(path, &example["value"]).await.ok(status);
    }
}

/// Asserts that an answer is one that the document has.
#[track_caller]
fn assert_documented(document: &Value, path: &str, method: &str, answer: &Answer) {
    let what = format!("{method} {path} {}", answer.status);
    let responses = &document["paths"][path][method]["responses"];
    let status = answer.status.to_string();
    let response = responses.get(&status).or_else(|| responses.get("default")).unwrap_or_else(|| panic!("{what}"));
    let Some(contents) = response.get("content").and_then(Value::as_object) else {
        assert!(answer.text.is_empty(), "{what} has a body: {}", answer.text);
        return;
    };
    let kind = answer.header("content-type").and_then(|kind| kind.split(';').next()).unwrap_or_default();
    let content = contents.get(kind).unwrap_or_else(|| panic!("{what} answers {kind}"));
    if kind.ends_with("json") && kind != "application/x-ndjson" {
        assert_valid(&validator(document, &content["schema"]), &answer.json(), &what);
    }
    for name in response.get("headers").and_then(Value::as_object).into_iter().flat_map(|headers| headers.keys()) {
        let only_on_json = kind == "application/json";
        assert!(!only_on_json || name == "Idempotency-Replayed" || answer.header(name).is_some(), "{what}: no {name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_operation_answers_what_the_document_says() {
    let app = TestApp::start().await;
    let user = app.user("acme", Plan::Pro);
    let document = document();
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
    let all = user.get("/api/v1/stats?group_by=date&preset=yesterday").await;
    let all = check("/api/v1/stats", "get", all, 200).json();
    assert_eq!((all["results"].as_array().map(Vec::len), all["failures"].as_array().map(Vec::len)), (Some(1), Some(1)));

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
