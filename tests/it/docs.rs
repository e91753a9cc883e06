//! What the README and the documents say is done here as they say it.
//!
//! Every `sh` block of a document runs in one bash session, in the order of the page, in a folder of its own. There,
//! `cargo run` and `affzero-connections` are the binary under test; with nothing more to do than serve they go to the
//! background, as in another terminal. Ports 8080 and 9090 stand for free ones. A `json` block behind an `sh` block must
//! have the shape of what that block printed, `…` standing for what was left out; the lines of a `text` block must be among what it printed, but for their numbers
//! and blanks.
//!
//! A block that cannot run here is preceded by a comment that says why: `<!-- not run: … -->`. One that wants a
//! PostgreSQL database in `DATABASE_URL` is preceded by `<!-- needs PostgreSQL -->` and runs where the tests have one.

use std::fmt::Write as _;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use affzero_connections::platforms::Pair;
use diesel::connection::SimpleConnection;
use diesel::{Connection, PgConnection};
use serde_json::Value;
use tempfile::TempDir;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// Documents whose blocks run in a stage of their own.
const RUN_ELSEWHERE: [(&str, &str); 2] =
    [("docs/reading-the-files.md", ".ci/run files"), ("docs/service-to-service.md", ".ci/run contract")];

/// Commands in running text that stand in no block: they name something rather than ask to run it.
const ONLY_NAMED: [&str; 5] = [".ci/run", ".ci/run files", ".ci/run proxies", ".ci/run test", ".ci/run webhooks"];

/// How the names begin of the variables that cargo sets for a test, and of those that the build script has it set.
const SET_BY_CARGO: [&str; 7] =
    ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_", "CARGO_CRATE_", "CARGO_PRIMARY_", "OUT_DIR", "AFFZERO_COMMIT"];

/// What stands in for `cargo`, and for the installed program.
const CARGO: &str = r#"#!/usr/bin/env bash
set -euo pipefail
command=${1:-}
[ "$#" -eq 0 ] || shift
case "$command" in
run) ;;
test) exit 0 ;; # This is it.
*) echo "the test of the documents does not know 'cargo $command'" >&2 && exit 64 ;;
esac
while [ "$#" -gt 0 ]; do
    case "$1" in
    -q | --quiet | --locked) shift ;;
    --) shift && break ;;
    --example) example=$2 && shift 2 ;;
    *) break ;;
    esac
done
[ -n "${example:-}" ] || exec affzero-connections "$@"
"$DOCS_CARGO" build --quiet --locked --offline --manifest-path "$DOCS_ROOT/Cargo.toml" $DOCS_PROFILE --example "$example"
exec in-the-background "Ctrl-C stops" "$DOCS_EXAMPLES/$example"
"#;
const PROGRAM: &str = r#"#!/usr/bin/env bash
[ "${1:-serve}" = serve ] || exec "$DOCS_BINARY" "$@"
exec in-the-background "serving on" "$DOCS_BINARY" serve
"#;
const BACKGROUND: &str = r#"#!/usr/bin/env bash
ready=$1
shift
log=$(mktemp "$DOCS_STATE/log.XXXXXX")
"$@" >"$log" 2>&1 </dev/null 3>&- &
echo "$!" >>"$DOCS_STATE/pids"
for _ in $(seq 600); do
    grep -q "$ready" "$log" && exit 0
    kill -0 "$!" 2>/dev/null || break
    sleep 0.1
done
echo "'$*' did not get ready:" >&2
cat "$log" >&2
exit 1
"#;

/// A fenced block of a document.
#[derive(Debug, Clone)]
struct Block {
    line: usize,
    language: String,
    text: String,
    /// The comment right before it.
    comment: Option<String>,
}

impl Block {
    fn reason_not_to_run(&self) -> Option<&str> {
        self.comment.as_deref()?.strip_prefix("not run:").map(str::trim)
    }

    fn needs_postgres(&self) -> bool {
        self.comment.as_deref() == Some("needs PostgreSQL")
    }
}

fn read(path: &str) -> String {
    std::fs::read_to_string(Path::new(ROOT).join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The README, and everything under `docs`.
fn documents() -> Vec<String> {
    let mut found = vec!["README.md".to_owned()];
    let mut folders = vec![PathBuf::from("docs")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(Path::new(ROOT).join(&folder)).expect("a folder") {
            let entry = entry.expect("an entry");
            let path = folder.join(entry.file_name());
            if entry.path().is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "md") {
                found.push(path.display().to_string());
            }
        }
    }
    found.sort();
    found
}

fn blocks(text: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut comment = None;
    let mut lines = text.lines().enumerate();
    while let Some((number, line)) = lines.next() {
        let Some(language) = line.trim_start().strip_prefix("```") else {
            if !line.trim().is_empty() {
                let inside = line.trim().strip_prefix("<!--").and_then(|rest| rest.strip_suffix("-->"));
                comment = inside.map(|inside| inside.trim().to_owned());
            }
            continue;
        };
        let mut body = String::new();
        for (_, line) in lines.by_ref().take_while(|(_, line)| line.trim() != "```") {
            body.push_str(line);
            body.push('\n');
        }
        blocks.push(Block { line: number + 1, language: language.to_owned(), text: body, comment: comment.take() });
    }
    blocks
}

/// A PostgreSQL database for one page; gone when dropped.
struct Database {
    url: String,
    name: String,
    server: String,
}

impl Database {
    fn make() -> Option<Self> {
        let server = std::env::var("TEST_DATABASE_URL").ok()?;
        let name = format!("docs_{}", uuid::Uuid::now_v7().simple());
        let mut connection = PgConnection::establish(&server).expect("the PostgreSQL server of the tests");
        connection.batch_execute(&format!("CREATE DATABASE {name}")).expect("a database");
        let (base, _) = server.split_once('?').unwrap_or((&server, ""));
        let (host, _) = base.rsplit_once('/').expect("a database in the URL");
        Some(Self { url: format!("{host}/{name}"), name, server })
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        if let Ok(mut connection) = PgConnection::establish(&self.server) {
            let _ = connection.batch_execute(&format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name));
        }
    }
}

/// A reader of one page who does all it says.
struct DocsReader {
    folder: TempDir,
    state: TempDir,
    ports: [u16; 2],
    database: Option<Database>,
}

impl DocsReader {
    fn new() -> Self {
        let reader = Self {
            folder: TempDir::new().expect("a folder"),
            state: TempDir::new().expect("a folder"),
            ports: free_ports(),
            database: Database::make(),
        };
        let bin = reader.state.path().join("bin");
        std::fs::create_dir(&bin).expect("a folder");
        for (name, script) in [("cargo", CARGO), ("affzero-connections", PROGRAM), ("in-the-background", BACKGROUND)] {
            std::fs::write(bin.join(name), script).expect("a script");
            std::fs::set_permissions(bin.join(name), std::fs::Permissions::from_mode(0o755)).expect("a mode");
        }
        reader
    }

    /// Runs blocks in one session; gives what each of them printed.
    fn run(&self, page: &str, blocks: &[&Block]) -> Vec<String> {
        let output = |place: usize| self.state.path().join(format!("block-{place}"));
        let mut script = "set -euo pipefail\n".to_owned();
        if self.database.is_some() {
            script.push_str("DATABASE_URL=$DOCS_POSTGRES affzero-connections migrate\n");
        }
        for (place, block) in blocks.iter().enumerate() {
            let text = self.with_ports(&block.text);
            let (before, after) = match block.needs_postgres() {
                true => ("export DATABASE_URL=$DOCS_POSTGRES\n", "unset DATABASE_URL\n"),
                false => ("", ""),
            };
            let place = output(place).display().to_string();
            writeln!(script, "exec >'{place}'\necho '# line {}' >&2\n{before}{text}\n{after}", block.line)
                .expect("text");
        }
        let binary = Path::new(env!("CARGO_BIN_EXE_affzero-connections"));
        let target = binary.parent().expect("a folder");
        let path = format!("{}:{}", self.state.path().join("bin").display(), std::env::var("PATH").expect("a PATH"));
        let mut bash = Command::new("bash");
        // What cargo sets for this test would make another cargo build its world anew.
        for (name, _) in std::env::vars_os() {
            let name = name.to_string_lossy().into_owned();
            if SET_BY_CARGO.iter().any(|own| name.starts_with(own)) {
                bash.env_remove(name);
            }
        }
        let done = bash
            .args(["-c", &script])
            .current_dir(self.folder.path())
            .env_remove("DATABASE_URL")
            .env("PATH", path)
            .env("BIND_ADDR", format!("127.0.0.1:{}", self.ports[0]))
            .env("DOCS_BINARY", binary)
            .env("DOCS_EXAMPLES", target.join("examples"))
            .env("DOCS_PROFILE", if target.ends_with("release") { "--release" } else { "" })
            .env("DOCS_CARGO", env!("CARGO"))
            .env("DOCS_ROOT", ROOT)
            .env("DOCS_STATE", self.state.path())
            .env("DOCS_POSTGRES", self.database.as_ref().map_or("", |database| database.url.as_str()))
            .stdin(Stdio::null())
            .output()
            .expect("bash");
        let printed: Vec<String> =
            (0..blocks.len()).map(|place| std::fs::read_to_string(output(place)).unwrap_or_default()).collect();
        let said = String::from_utf8_lossy(&done.stderr);
        assert!(done.status.success(), "{page}, the last of these lines: {said}\n{}", printed.join("---\n"));
        printed
    }

    fn with_ports(&self, text: &str) -> String {
        let [api, metrics] = self.ports;
        text.replace(":8080", &format!(":{api}")).replace(":9090", &format!(":{metrics}"))
    }
}

impl Drop for DocsReader {
    fn drop(&mut self) {
        let pids = std::fs::read_to_string(self.state.path().join("pids")).unwrap_or_default();
        for pid in pids.lines() {
            let _ = Command::new("sh").args(["-c", &format!("kill -KILL {pid}")]).stderr(Stdio::null()).status();
        }
    }
}

fn free_ports() -> [u16; 2] {
    // Both are held until both are known, so that they differ.
    let held = [0, 1].map(|_| TcpListener::bind("127.0.0.1:0").expect("a port"));
    held.map(|listener| listener.local_addr().expect("an address").port())
}

/// A sample as JSON: an ellipsis outside of strings becomes a value, or a member, that stands for what is left out.
fn with_ellipses(sample: &str) -> String {
    let mut json = String::new();
    let mut nesting = Vec::new();
    let (mut in_string, mut escaped, mut previous) = (false, false, ' ');
    for letter in sample.chars() {
        if in_string {
            in_string = letter != '"' || escaped;
            escaped = letter == '\\' && !escaped;
        } else {
            match letter {
                '{' | '[' => nesting.push(letter),
                '}' | ']' => drop(nesting.pop()),
                '"' => in_string = true,
                '…' => {
                    json.push_str("\"…\"");
                    if nesting.last() == Some(&'{') && previous != ':' {
                        json.push_str(":\"…\"");
                    }
                    continue;
                }
                _ => {}
            }
            if !letter.is_whitespace() {
                previous = letter;
            }
        }
        json.push(letter);
    }
    json
}

/// Whether `real` has the shape of a sample.
fn fits(sample: &Value, real: &Value, place: &str) -> Result<(), String> {
    let wrong = || Err(format!("{place}: the document shows {sample}, and there is {real}"));
    match (sample, real) {
        (Value::String(text), _) if text == "…" => Ok(()),
        (Value::Object(shown), Value::Object(there)) => {
            let may_have_more = shown.contains_key("…");
            if let Some(more) = there.keys().find(|key| !may_have_more && !shown.contains_key(*key)) {
                return Err(format!("{place}: the document does not show `{more}`"));
            }
            shown.iter().filter(|(key, _)| *key != "…").try_for_each(|(key, value)| match there.get(key) {
                Some(real) => fits(value, real, &format!("{place}/{key}")),
                None => Err(format!("{place}: there is no `{key}`")),
            })
        }
        (Value::Array(shown), Value::Array(there)) => {
            let may_have_more = shown.last().is_some_and(|last| last == "…");
            let count = shown.len() - usize::from(may_have_more);
            if there.len() < count || (there.len() > count && !may_have_more) {
                return Err(format!("{place}: the document shows {count} entries, and there are {}", there.len()));
            }
            let pairs = shown.iter().zip(there).take(count).enumerate();
            pairs.into_iter().try_for_each(|(at, (shown, there))| fits(shown, there, &format!("{place}/{at}")))
        }
        (Value::String(_), Value::String(_))
        | (Value::Number(_), Value::Number(_))
        | (Value::Bool(_), Value::Bool(_))
        | (Value::Null, Value::Null) => Ok(()),
        _ => wrong(),
    }
}

fn json_fits(sample: &str, printed: &str) -> Result<(), String> {
    let sample = serde_json::from_str(&with_ellipses(sample)).map_err(|error| format!("the sample: {error}"))?;
    let real = serde_json::from_str(printed).map_err(|error| format!("no JSON was printed ({error}): {printed}"))?;
    fits(&sample, &real, "")
}

/// The first lines and the last one, where lines between them are left out.
fn lines_fit(sample: &str, printed: &str) -> Result<(), String> {
    let shown: Vec<&str> = sample.lines().collect();
    let there: Vec<&str> = printed.lines().collect();
    let gap = shown.iter().position(|line| line.trim() == "…").unwrap_or(shown.len());
    let (head, tail) = (&shown[..gap], shown.get(gap + 1..).unwrap_or_default());
    let is_whole = gap < shown.len() || there.len() == shown.len();
    if there.len() < head.len() + tail.len() || !is_whole {
        return Err(format!("the document shows {} lines, and there are {}", shown.len(), there.len()));
    }
    let last = there.get(there.len() - tail.len()..).unwrap_or_default();
    head.iter().zip(&there).chain(tail.iter().zip(last)).try_for_each(|(shown, there)| json_fits(shown, there))
}

fn words_fit(sample: &str, printed: &str) -> Result<(), String> {
    sample.lines().filter(|line| line.trim() != "…" && !line.trim().is_empty()).try_for_each(|line| {
        let found = printed.lines().any(|printed| without_numbers(printed) == without_numbers(line));
        if found { Ok(()) } else { Err(format!("no line is as `{line}`: {printed}")) }
    })
}

/// The words of a line. A number, which differs from machine to machine, is one whatever it is.
fn without_numbers(line: &str) -> String {
    let mut kept = String::new();
    for letter in line.split_whitespace().collect::<Vec<_>>().join(" ").chars() {
        match letter.is_ascii_digit() {
            true if kept.ends_with('#') => {}
            true => kept.push('#'),
            false => kept.push(letter),
        }
    }
    kept
}

/// Does everything that a page says.
fn follow(page: &str) {
    let all = blocks(&read(page));
    let reader = DocsReader::new();
    let runs = |block: &&Block| {
        let has_database = !block.needs_postgres() || reader.database.is_some();
        block.language == "sh" && block.reason_not_to_run().is_none() && has_database
    };
    let running: Vec<&Block> = all.iter().filter(runs).collect();
    let printed = reader.run(page, &running);
    for pair in all.windows(2) {
        let [command, sample] = pair else { continue };
        let Some(place) = running.iter().position(|block| block.line == command.line) else { continue };
        let outcome = match sample.language.as_str() {
            "json" => json_fits(&sample.text, &printed[place]),
            "jsonl" => lines_fit(&sample.text, &printed[place]),
            "text" => words_fit(&sample.text, &printed[place]),
            _ => Ok(()),
        };
        outcome.unwrap_or_else(|problem| panic!("{page}:{}: {problem}\n{}", sample.line, printed[place]));
    }
}

#[test]
fn every_command_of_the_readme_does_what_it_says() {
    follow("README.md");
}

#[test]
fn every_command_of_the_documents_does_what_they_say() {
    let elsewhere = |page: &String| RUN_ELSEWHERE.iter().any(|(other, _)| other == page);
    for page in documents().into_iter().filter(|page| page != "README.md" && !elsewhere(page)) {
        if blocks(&read(&page)).iter().any(|block| block.language == "sh") {
            follow(&page);
        }
    }
}

#[test]
fn what_is_not_run_says_why() {
    let mut reasons = Vec::new();
    for page in documents() {
        for block in blocks(&read(&page)) {
            if let Some(reason) = block.reason_not_to_run() {
                assert!(reason.len() > 10, "{page}:{}: say why", block.line);
                println!("{page}:{}: {reason}", block.line);
                reasons.push((page.clone(), reason.to_owned()));
            }
            let odd = ["bash", "shell", "console", "zsh"].contains(&block.language.as_str());
            assert!(!odd, "{page}:{}: commands stand in `sh` blocks, so that they are run", block.line);
        }
    }
    let own =
        |page: &str| reasons.iter().filter(|(of, _)| of == page).map(|(_, reason)| reason.as_str()).collect::<Vec<_>>();
    assert!(own("README.md").iter().all(|reason| reason.starts_with("needs Docker")), "{reasons:?}");
    assert_eq!(own("docs/operations.md").len(), 3, "{reasons:?}");
}

#[test]
fn a_command_in_running_text_stands_in_a_block_too() {
    let pages = documents();
    let in_blocks: String = pages
        .iter()
        .flat_map(|page| blocks(&read(page)))
        .filter(|block| block.language == "sh")
        .map(|block| block.text)
        .collect();
    let tools = [
        "cargo ",
        "docker ",
        "affzero-connections ",
        "openssl ",
        "sqlite3 ",
        "pg_dump ",
        "pg_restore ",
        "curl ",
        ".ci/run",
    ];
    for page in ["README.md", "docs/operations.md"] {
        let text = read(page);
        let prose = text.split("```").step_by(2).collect::<String>();
        for span in prose.split('`').skip(1).step_by(2) {
            let is_command = tools.iter().any(|tool| span.starts_with(tool));
            assert!(
                !is_command || ONLY_NAMED.contains(&span) || in_blocks.contains(span),
                "{page}: `{span}` stands in no block, so nothing runs it"
            );
        }
    }
}

/// The anchor of a heading, as the usual renderers make it.
fn anchor(heading: &str) -> String {
    let kept = heading.to_lowercase().replace(['`', '*'], "");
    let kept = kept.chars().filter(|letter| letter.is_alphanumeric() || matches!(letter, ' ' | '-' | '_'));
    kept.collect::<String>().trim().replace(' ', "-")
}

#[test]
fn links_between_documents_lead_somewhere() {
    let mut pages = documents();
    pages.extend(["CHANGELOG.md", "SECURITY.md", "fuzz/README.md", "migrations/README.md"].map(str::to_owned));
    let mut followed = 0;
    for page in &pages {
        let text = read(page);
        let prose: String = text.split("```").step_by(2).collect();
        let links = prose.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        let images = prose.split("src=\"").skip(1).filter_map(|rest| rest.split('"').next());
        for link in links.chain(images).filter(|link| !link.contains("://")) {
            let (file, fragment) = link.split_once('#').unwrap_or((link, ""));
            let folder = Path::new(page).parent().expect("a folder");
            let target = if file.is_empty() { PathBuf::from(page) } else { folder.join(file) };
            let whole = Path::new(ROOT).join(&target);
            assert!(whole.exists(), "{page}: {link} leads nowhere");
            if !fragment.is_empty() {
                let target = std::fs::read_to_string(whole).expect("a page");
                let headings = target.lines().filter(|line| line.starts_with('#'));
                let mut anchors = headings.map(|line| anchor(line.trim_start_matches('#').trim()));
                assert!(anchors.any(|anchor| anchor == fragment), "{page}: {link} has no such heading");
            }
            followed += 1;
        }
    }
    assert!(followed >= 15, "{followed}");
}

/// The rows of the README's table of platforms, as the catalogue has them.
fn platforms() -> Vec<String> {
    let row = |pair: Pair| {
        let keys: Vec<String> = pair.entry().dimensions.iter().map(|dimension| dimension.key.to_string()).collect();
        let (subs, others): (Vec<_>, Vec<_>) = keys.into_iter().partition(|key| key.starts_with("sub"));
        // Nobody reads ten of them.
        let subs = match (subs.first(), subs.last()) {
            (Some(first), Some(last)) if first != last => Some(format!("{first}…{last}")),
            (only, _) => only.cloned(),
        };
        let dimensions = others.into_iter().chain(subs).collect::<Vec<_>>().join(", ");
        format!("| {} | {} | {dimensions} |", pair.platform().title(), pair.connection_type())
    };
    Pair::ALL.into_iter().map(row).collect()
}

#[test]
fn the_readme_lists_every_platform_with_its_dimensions() {
    let text = read("README.md");
    let table = text.split("| platform | connection type | dimensions |\n").nth(1).expect("the table");
    let mut shown: Vec<&str> = table.lines().skip(1).take_while(|line| line.starts_with('|')).collect();
    let mut real = platforms();
    let ready_to_paste = real.join("\n");
    shown.sort_unstable();
    real.sort_unstable();
    assert_eq!(shown, real, "the rows of the table are:\n{ready_to_paste}");
}

/// The names in the metrics table of the operations guide.
fn documented_metrics() -> Vec<String> {
    let text = read("docs/operations.md");
    let rows = text.lines().filter_map(|line| line.strip_prefix("| `"));
    let names = rows.filter_map(|row| row.split('`').next());
    let mut names: Vec<String> =
        names.filter(|name| name.starts_with("affzero_") || name.starts_with("process_")).map(str::to_owned).collect();
    names.sort();
    names
}

#[tokio::test(flavor = "multi_thread")]
async fn the_table_of_metrics_is_what_is_served() {
    use crate::process::Service;
    let folder = TempDir::new().expect("a folder");
    let service = Service::start(folder.path(), &[("METRICS_ADDR", "127.0.0.1:0")]);
    let address = service.wait_for("metrics: ");
    let scrape = async || {
        let answer = crate::app::client().get(&address).send().await.expect("an answer");
        answer.text().await.expect("text")
    };
    service.send("", "GET", "/healthz", None).await.ok(200);
    // The background notes its first success within seconds.
    let text = crate::connections::eventually("the background has worked", async || {
        let text = scrape().await;
        text.contains("affzero_background_last_success").then_some(text)
    })
    .await;
    let mut served: Vec<String> = text
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE "))
        .filter_map(|rest| rest.split(' ').next())
        .map(str::to_owned)
        .collect();
    served.sort();
    assert_eq!(documented_metrics(), served);
    let alerts = read("docs/alerts.yml");
    for word in alerts.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_') {
        let base = ["_bucket", "_count", "_sum"].iter().find_map(|part| word.strip_suffix(part)).unwrap_or(word);
        if word.starts_with("affzero_") || word.starts_with("process_") {
            assert!(served.iter().any(|name| name == base || name == word), "docs/alerts.yml: {word}");
        }
    }
}

#[test]
fn samples_are_compared_by_shape() {
    let real = r#"{"a":"x","b":[1,2],"c":{"d":null}}"#;
    for good in [
        r#"{ "a": "y", "b": [ 7, … ], "c": { … } }"#,
        r#"{ "a": …, … }"#,
        r#"{ "a": "…", "b": [9, 9], "c": { "d": null } }"#,
    ] {
        assert_eq!(json_fits(good, real), Ok(()), "{good}");
    }
    for bad in [
        r#"{ "a": "y" }"#,
        r#"{ "a": 1, … }"#,
        r#"{ "x": …, … }"#,
        r#"{ "b": [1], … }"#,
        r#"{ "b": [1, 2, 3, …], … }"#,
        r#"{ "c": { "d": "e" }, … }"#,
        r#"{ "a": "#,
    ] {
        assert!(json_fits(bad, real).is_err(), "{bad}");
    }
    assert_eq!(lines_fit("{\"a\": 1}\n…\n{\"s\": {…}}\n", "{\"a\":2}\n{\"a\":3}\n{\"s\":{\"x\":1}}\n"), Ok(()));
    assert!(lines_fit("{\"a\": 1}\n", "{\"a\":2}\n{\"a\":3}\n").is_err());
    assert!(words_fit("ok  disk  7 MiB, version 3.51\n", "ok    clock\nok    disk   60265 MiB, version 3.9\n").is_ok());
    for other in [
        "ok  disk  MiB, version 3",
        "ok  disk  7 MiB",
        "ok  disk  7 KiB, version 3.5",
        "warn  disk  7 MiB, version 3.5",
    ] {
        assert!(words_fit(other, "ok    disk   60265 MiB, version 3.9\n").is_err(), "{other}");
    }
}
