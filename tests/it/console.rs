//! The console as it is served, and what is at the address where everything begins.

use std::collections::BTreeSet;
use std::path::Path;

use affzero_connections::tenancy::Plan;
use serde_json::Value;
use tempfile::TempDir;

use crate::app::{KEYS, SECRET, TestApp};
use crate::process::{Service, run};

fn folder() -> TempDir {
    TempDir::new().expect("a folder")
}

/// The files of the console, as they lie in the repository.
fn files() -> BTreeSet<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("console");
    let entries = std::fs::read_dir(folder).expect("the console");
    entries.map(|entry| entry.expect("an entry").file_name().into_string().expect("text")).collect()
}

fn read(name: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("console").join(name)).expect("a file")
}

#[tokio::test(flavor = "multi_thread")]
async fn every_file_of_the_console_is_served_as_what_it_is_and_asked_for_again_costs_nothing() {
    let app = TestApp::start().await;
    for name in files() {
        let path = format!("/console/{name}");
        let answer = app.anonymous("GET", &path).await;
        assert_eq!((answer.status, answer.text == read(&name)), (200, true), "{path}");
        let kind = match name.rsplit('.').next() {
            Some("html") => "text/html; charset=utf-8",
            Some("css") => "text/css; charset=utf-8",
            Some("js") => "text/javascript; charset=utf-8",
            _ => "image/svg+xml",
        };
        assert_eq!(answer.header("content-type"), Some(kind), "{path}");
        assert_eq!(answer.header("cache-control"), Some("no-cache"), "{path}");
        let tag = answer.header("etag").expect("a tag");
        for sent in [tag.to_owned(), format!("W/{tag}")] {
            let again = app.send("GET", &path, &[("if-none-match", &sent)], None).await;
            assert_eq!((again.status, again.text.as_str(), again.header("etag")), (304, "", Some(tag)), "{path}");
        }
        let other = app.send("GET", &path, &[("if-none-match", "\"other\"")], None).await;
        assert_eq!(other.status, 200, "{path}");
    }
    let page = app.anonymous("GET", "/console/").await;
    assert_eq!((page.status, page.text == read("index.html")), (200, true));
    for path in ["/console/nothing.js", "/console/index", "/console/a/b", "/console/..%2fCargo.toml", "/console/%00"] {
        app.anonymous("GET", path).await.problem(404, "not_found");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_console_may_run_its_own_scripts_and_ask_this_service_and_nothing_else() {
    let app = TestApp::start().await;
    for name in files().into_iter().chain([String::new()]) {
        let answer = app.anonymous("GET", &format!("/console/{name}")).await;
        let policy = answer.header("content-security-policy").expect("a policy");
        let parts: BTreeSet<&str> = policy.split(';').map(str::trim).collect();
        for part in [
            "default-src 'none'",
            "script-src 'self'",
            "style-src 'self'",
            "img-src 'self'",
            "connect-src 'self'",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
            "require-trusted-types-for 'script'",
            "trusted-types 'none'",
        ] {
            assert!(parts.contains(part), "{part}: {policy}");
        }
        assert!(!policy.contains("unsafe") && !policy.contains("data:") && !policy.contains('*'), "{policy}");
        assert_eq!(answer.header("referrer-policy"), Some("no-referrer"));
    }
}

#[test]
fn no_file_of_the_console_names_a_platform_or_fetches_anything_from_outside() {
    let titles = affzero_connections::platforms::entries().iter().map(|entry| entry.title.to_lowercase());
    let names: Vec<String> = titles.collect();
    for file in files() {
        let text = read(&file).to_lowercase();
        // `demo_used` is a member of the plan's use.
        let words: BTreeSet<&str> = text.split(|letter: char| !letter.is_alphanumeric() && letter != '_').collect();
        for name in &names {
            assert!(!words.contains(name.as_str()), "{file} names {name}");
        }
        // The name of a vocabulary is no address.
        let outside = text.replace("http://www.w3.org/2000/svg", "");
        assert!(!outside.contains("http:") && !outside.contains("https:") && !outside.contains("//cdn"), "{file}");
    }
    let page = read("index.html");
    assert!(!page.contains("style=") && !page.contains("<style") && !page.contains("onclick"));
    assert!(page.matches("<script").all(|_| page.contains("<script type=\"module\" src=\"console.js\"></script>")));
    assert_eq!(page.matches("<script").count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_begins_at_the_console_or_without_it_at_a_page_of_links() {
    let app = TestApp::start().await;
    for (path, status) in [("/", 307), ("/console", 308)] {
        let answer = app.anonymous("GET", path).await;
        assert_eq!((answer.status, answer.header("location")), (status, Some("/console/")), "{path}");
        app.anonymous("POST", path).await.problem(405, "method_not_allowed");
    }
    let without = TestApp::with(&[("CONSOLE", "false")]).await;
    let links = without.anonymous("GET", "/").await;
    assert_eq!((links.status, links.header("content-type")), (200, Some("text/html; charset=utf-8")));
    assert!(!links.text.contains("console"), "{}", links.text);
    let addresses: Vec<&str> = links.text.split("href=\"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
    assert!(addresses.len() >= 3, "{addresses:?}");
    for address in addresses {
        assert_eq!(without.anonymous("GET", &format!("/{address}")).await.status, 200, "{address}");
    }
    let user = without.user("acme", Plan::Pro);
    for path in ["/console", "/console/", "/console/console.js"] {
        user.get(path).await.problem(404, "not_found");
        without.anonymous("POST", path).await.problem(404, "not_found");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_of_development_has_an_address_of_the_console_that_carries_a_token() {
    let folder = folder();
    let service = Service::start(folder.path(), &[]);
    let address = service.wait_for("console: ");
    let (page, token) = address.split_once("#token=").expect("a token behind the #");
    assert_eq!(page, format!("{}/console/", service.url));
    assert_eq!(service.send("", "GET", "/console/", None).await.status, 200);
    assert_eq!(service.send(token, "GET", "/api/v1/usage", None).await.ok(200)["plan"], "business");
    assert!(service.stop().0.success());

    let without = Service::start(folder.path(), &[("CONSOLE", "false")]);
    without.wait_for("valid for a day): ");
    without.send("", "GET", "/console/", None).await.problem(404, "not_found");
    let (_, written) = without.stop();
    assert!(!written.contains("/console/#"), "{written}");
}

#[tokio::test(flavor = "multi_thread")]
async fn production_serves_the_console_only_where_it_is_asked_to_and_logs_no_token() {
    let folder = folder();
    let production = [("APP_ENV", "production"), ("AUTH_JWT_SECRET", SECRET), ("CREDENTIALS_KEYS", KEYS)];
    for (switch, status) in [(None, 404), (Some("true"), 200)] {
        for format in ["json", "pretty"] {
            let switch = switch.map(|value| ("CONSOLE", value));
            let variables: Vec<_> = production.into_iter().chain(switch).chain([("LOG_FORMAT", format)]).collect();
            let service = Service::start(folder.path(), &variables);
            assert_eq!(service.send("", "GET", "/console/", None).await.status, status);
            let (_, written) = service.stop();
            assert!(!written.contains("token=") && !written.contains("eyJ"), "{written}");
            assert_eq!(written.contains("/console/\""), switch.is_some() && format == "json", "{written}");
        }
    }
}

#[test]
fn a_key_set_of_an_issuer_leaves_the_console_without_a_token_of_its_own() {
    let folder = folder();
    let jwks = ("AUTH_JWKS_URL", "https://login.example.com/.well-known/jwks.json");
    let service = Service::start(folder.path(), &[jwks]);
    assert_eq!(service.wait_for("console: "), format!("{}/console/", service.url));
    let (_, written) = service.stop();
    assert!(!written.contains("token="), "{written}");
}

#[test]
fn the_config_command_shows_whether_there_is_a_console() {
    let folder = folder();
    for (variables, shown, source) in [
        (vec![], "true", "default"),
        (vec![("CONSOLE", "false")], "false", "environment"),
        (vec![("APP_ENV", "production"), ("AUTH_JWT_SECRET", SECRET), ("CREDENTIALS_KEYS", KEYS)], "false", "default"),
    ] {
        let output = run(folder.path(), &["config", "--json"], &variables);
        let settings: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        let console = settings.as_array().and_then(|all| all.iter().find(|one| one["name"] == "CONSOLE"));
        let console = console.expect("the variable");
        assert_eq!((console["value"].as_str(), console["source"].as_str()), (Some(shown), Some(source)));
    }
    let output = run(folder.path(), &["config"], &[("CONSOLE", "maybe")]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("CONSOLE: must be true or false"), "{said}");
}
