//! That every platform has its parts, and that the fixtures which no platform's own tests read are read as they say.

use std::path::{Path, PathBuf};

use affzero_connections::outbound::error::ErrorKind;
use affzero_connections::platforms::stats::{Dimension, Metric, MetricValue, Row};
use affzero_connections::platforms::verification::FailureCode;
use affzero_connections::platforms::{ConnectionType, Pair, Platform};
use jiff::civil::date;

use crate::road::{TIMEOUT, Table, range};
use crate::stage::Stage;
use crate::support::samples;
use crate::support::tracker::{Reply, Request, Tracker};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let folder = std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    folder.map(|entry| entry.expect("an entry").path()).collect()
}

fn name(path: &Path) -> &str {
    path.file_name().and_then(|name| name.to_str()).expect("a name")
}

/// Whether a folder has a module of this name, as one file or as several.
fn is_module(folder: &str, name: &str) -> bool {
    let folder = root().join(folder);
    folder.join(name).with_extension("rs").is_file() || folder.join(name).join("mod.rs").is_file()
}

/// The text of every Rust file in a folder and the folders in it.
fn texts(folder: &Path) -> String {
    let text = |path: PathBuf| match path.extension() {
        _ if path.is_dir() => texts(&path),
        Some(kind) if kind == "rs" => std::fs::read_to_string(path).expect("a test"),
        _ => String::new(),
    };
    entries(folder).into_iter().map(text).collect()
}

/// Platforms that call somebody; Demo calls nobody.
fn called() -> impl Iterator<Item = Pair> {
    Pair::ALL.into_iter().filter(|pair| pair.platform() != Platform::Demo)
}

#[test]
fn every_platform_folder_has_pairs_a_simulator_and_tests_of_its_own() {
    let folders: Vec<PathBuf> =
        entries(&root().join("src/platforms")).into_iter().filter(|path| path.join("catalogue.rs").is_file()).collect();
    assert_eq!(folders.len(), Platform::ALL.len());
    for folder in &folders {
        let key = name(folder);
        let platform: Platform = key.parse().unwrap_or_else(|()| panic!("no platform is named {key}"));
        assert!(Pair::ALL.into_iter().any(|pair| pair.platform() == platform), "{key} has no pair");
        assert!(is_module("tests/it/platforms", key), "{key} has no tests of its own");
        assert!(platform == Platform::Demo || is_module("tests/support", key), "{key} has no simulator");
    }
}

#[test]
fn every_pair_has_fixtures_whose_source_is_named() {
    for pair in called() {
        let folder = root().join("tests/fixtures").join(pair.platform().key()).join(pair.connection_type().key());
        let files = entries(&folder);
        for part in ["SOURCE.md", "stats_ok.", "stats_empty.", "rejected."] {
            assert!(files.iter().any(|file| name(file).starts_with(part)), "{} has no {part}", folder.display());
        }
        let source = std::fs::read_to_string(folder.join("SOURCE.md")).expect("a text");
        assert!(source.contains("Composed by hand") || source.contains("Recorded"), "{}", folder.display());
    }
}

#[test]
fn every_fixture_is_read_by_a_test() {
    let texts = texts(&root().join("tests/it"));
    for pair in called() {
        let kind = format!("fixtures/{}/{}", pair.platform().key(), pair.connection_type().key());
        for file in entries(&root().join("tests").join(&kind)) {
            let path = format!("{kind}/{}", name(&file));
            assert!(name(&file) == "SOURCE.md" || texts.contains(&path), "no test reads {path}");
        }
    }
}

macro_rules! fixture {
    ($path:literal) => {
        include_str!(concat!("../", $path))
    };
}

/// A tracker that answers calls whose path ends so with these texts, and all others as it always does.
struct Reciting {
    otherwise: Box<dyn Tracker>,
    texts: Vec<(&'static str, u16, &'static str)>,
}

impl Tracker for Reciting {
    fn answer(&self, request: &Request) -> Reply {
        let page = request.param("page").and_then(|page| page.parse::<usize>().ok()).unwrap_or(1);
        let mut texts = self.texts.iter().filter(|(path, ..)| request.path.ends_with(path));
        match texts.clone().nth(page - 1).or(texts.next_back()) {
            // Nobody here waits that long, so nothing is repeated.
            Some((_, status, text)) => {
                Reply::text(*status, "application/json", *text).with_header("retry-after", "3600")
            }
            None => self.otherwise.answer(request),
        }
    }
}

/// The sample of a pair whose tracker recites `texts`.
fn reciting(pair: Pair, variant: usize, texts: &[(&'static str, u16, &'static str)]) -> Stage {
    let mut sample = samples::of(pair, date(2026, 10, 31)).swap_remove(variant);
    let otherwise = sample.tracker.take().expect("a tracker that is called");
    Stage::play(sample, Some(Reciting { otherwise, texts: texts.to_vec() }), TIMEOUT)
}

async fn table(stage: &Stage, group_by: &[Dimension]) -> Table {
    stage.table(group_by, range(date(2026, 10, 30), date(2026, 10, 31)), "UTC").await
}

async fn refusal(stage: &Stage) -> ErrorKind {
    let days = range(date(2026, 10, 30), date(2026, 10, 31));
    stage.pull(&[Dimension::Date, Dimension::Offer], days, "UTC").await.expect_err("a refusal").kind
}

async fn rejection(stage: &Stage) -> FailureCode {
    stage.verify().await.failure.expect("a failure").code
}

/// The rows as a person would note them down: ids, last label, and the numbers in the order of the metrics.
fn lines(stage: &Stage, table: &Table) -> Vec<String> {
    let entry = stage.sample.pair.entry();
    let metrics = [
        Metric::Impressions,
        Metric::Clicks,
        Metric::UniqueClicks,
        Metric::Conversions,
        Metric::Approved,
        Metric::Hold,
        Metric::Revenue,
        Metric::Payout,
        Metric::Cost,
    ];
    let line = |row: &Row| {
        let ids = row.key.iter().map(|value| value.id.to_string());
        let label = row.key.last().map(|value| value.name.to_string());
        let numbers = metrics.iter().map(|metric| match row.metrics.get(*metric, entry.perspective) {
            Some(MetricValue::Integer(count)) => count.to_string(),
            Some(MetricValue::Decimal(amount)) => amount.to_string(),
            None => "-".to_owned(),
        });
        ids.chain(label).chain(numbers).collect::<Vec<_>>().join(" ")
    };
    table.rows.iter().map(line).collect()
}

const DAY_AND_OFFER: [Dimension; 2] = [Dimension::Date, Dimension::Offer];

#[tokio::test]
async fn the_fixtures_of_affise_are_read_as_they_say() {
    let report = "/3.0/stats/custom";
    let pages = [
        (report, 200, fixture!("fixtures/affise/admin/stats_ok.json")),
        (report, 200, fixture!("fixtures/affise/admin/stats_page_2.json")),
    ];
    let admin = reciting(Pair::AffiseAdmin, 0, &pages);
    assert_eq!(
        lines(&admin, &table(&admin, &DAY_AND_OFFER).await),
        [
            "2026-10-30 906 Sweepstake – DE 7446 2482 1976 62 35 10 177.0761 123.9524 -",
            "2026-10-31 906 Sweepstake – DE 0 120 97 0 0 0 0 0 -",
            "2026-10-31 908 Loans 9096 3032 2415 3 2 1 -12.5 -10 -"
        ]
    );
    let pages = [
        (report, 200, fixture!("fixtures/affise/affiliate/stats_ok.json")),
        (report, 200, fixture!("fixtures/affise/affiliate/stats_page_2.json")),
    ];
    let affiliate = reciting(Pair::AffiseAffiliate, 0, &pages);
    assert_eq!(
        lines(&affiliate, &table(&affiliate, &DAY_AND_OFFER).await),
        [
            "2026-10-30 906 Sweepstake – DE 7446 2482 1976 62 35 10 123.9524 - -",
            "2026-10-31 906 Sweepstake – DE 0 120 97 0 0 0 0 - -",
            "2026-10-31 908 Loans 9096 3032 2415 3 2 1 -10 - -"
        ]
    );

    for (pair, empty, rejected, throttled) in [
        (
            Pair::AffiseAdmin,
            fixture!("fixtures/affise/admin/stats_empty.json"),
            fixture!("fixtures/affise/admin/rejected.json"),
            fixture!("fixtures/affise/admin/rate_limited.json"),
        ),
        (
            Pair::AffiseAffiliate,
            fixture!("fixtures/affise/affiliate/stats_empty.json"),
            fixture!("fixtures/affise/affiliate/rejected.json"),
            fixture!("fixtures/affise/affiliate/rate_limited.json"),
        ),
    ] {
        assert!(table(&reciting(pair, 0, &[(report, 200, empty)]), &DAY_AND_OFFER).await.rows.is_empty());
        assert_eq!(rejection(&reciting(pair, 0, &[("", 401, rejected)])).await, FailureCode::CredentialsRejected);
        assert_eq!(refusal(&reciting(pair, 0, &[(report, 429, throttled)])).await, ErrorKind::RateLimited);
    }
}

#[tokio::test]
async fn the_fixtures_of_binom_are_read_as_they_say() {
    let (v2, v1) = (0, 2);
    let offers = "/stats/offer";
    let stage = reciting(Pair::BinomAdmin, v2, &[(offers, 200, fixture!("fixtures/binom/admin/stats_ok.json"))]);
    assert_eq!(
        lines(&stage, &table(&stage, &[Dimension::Offer]).await),
        ["43 Sweeps - 284 274 35 - - 432.09845 - 9.006492", "41 Loans „DE“ - 230 225 16 - - 197.53072 - 7.29399"]
    );
    let stage = reciting(Pair::BinomAdmin, v2, &[(offers, 200, fixture!("fixtures/binom/admin/stats_empty.json"))]);
    assert!(table(&stage, &[Dimension::Offer]).await.rows.is_empty());
    let stage = reciting(Pair::BinomAdmin, v2, &[("", 401, fixture!("fixtures/binom/admin/rejected.json"))]);
    assert_eq!(rejection(&stage).await, FailureCode::CredentialsRejected);

    let panel = "/panel.php";
    let stage = reciting(Pair::BinomAdmin, v1, &[(panel, 200, fixture!("fixtures/binom/admin/v1_stats_ok.json"))]);
    assert_eq!(
        lines(&stage, &table(&stage, &[Dimension::Offer]).await),
        ["41 Loans - 2038 1999 16 5 6 1197.53072 - 7.29399", "42 Loans - 180 176 19 6 7 234.56773 - 5.70834"]
    );
    let stage = reciting(Pair::BinomAdmin, v1, &[(panel, 200, fixture!("fixtures/binom/admin/v1_stats_empty.json"))]);
    assert!(table(&stage, &[Dimension::Offer]).await.rows.is_empty());
    let stage = reciting(Pair::BinomAdmin, v1, &[(panel, 200, fixture!("fixtures/binom/admin/v1_rejected.json"))]);
    assert_eq!(rejection(&stage).await, FailureCode::CredentialsRejected);
}

#[tokio::test]
async fn the_fixtures_of_everflow_are_read_as_they_say() {
    let (report, summary) = ("/entity/table", "/entity/summary");
    let texts = [
        (report, 200, fixture!("fixtures/everflow/admin/stats_ok.json")),
        (summary, 200, fixture!("fixtures/everflow/admin/summary.json")),
    ];
    let admin = reciting(Pair::EverflowAdmin, 0, &texts);
    assert_eq!(
        lines(&admin, &table(&admin, &DAY_AND_OFFER).await),
        [
            "2026-10-30 301 Sweepstake – DE 473 240 231 19 19 4 332.22 204.78 20.3",
            "2026-10-31 302 Loans 0 89 89 5 5 0 124.97 35.93 0"
        ]
    );
    let texts = [(report, 200, fixture!("fixtures/everflow/affiliate/stats_ok.json"))];
    let affiliate = reciting(Pair::EverflowAffiliate, 0, &texts);
    assert_eq!(
        lines(&affiliate, &table(&affiliate, &DAY_AND_OFFER).await),
        [
            "2026-10-30 301 Sweepstake – DE 473 240 231 19 19 4 204.78 - -",
            "2026-10-31 302 Loans 0 89 89 5 5 0 35.93 - -"
        ]
    );

    for (pair, empty, rejected, wrong_portal, throttled) in [
        (
            Pair::EverflowAdmin,
            fixture!("fixtures/everflow/admin/stats_empty.json"),
            fixture!("fixtures/everflow/admin/rejected.json"),
            fixture!("fixtures/everflow/admin/wrong_portal.json"),
            fixture!("fixtures/everflow/admin/rate_limited.json"),
        ),
        (
            Pair::EverflowAffiliate,
            fixture!("fixtures/everflow/affiliate/stats_empty.json"),
            fixture!("fixtures/everflow/affiliate/rejected.json"),
            fixture!("fixtures/everflow/affiliate/wrong_portal.json"),
            fixture!("fixtures/everflow/affiliate/rate_limited.json"),
        ),
    ] {
        // A summary of nothing beside an empty table; the real one would not agree.
        let nothing = [(report, 200, empty), (summary, 200, "{}")];
        let days = range(date(2026, 10, 30), date(2026, 10, 31));
        let read = reciting(pair, 0, &nothing).pull(&DAY_AND_OFFER, days, "UTC").await.expect("a table");
        assert!(read.rows.is_empty());
        assert_eq!(rejection(&reciting(pair, 0, &[("", 401, rejected)])).await, FailureCode::CredentialsRejected);
        // This portal's own calls recite; the other portal knows the key.
        let own: &[&'static str] = match pair.connection_type() {
            ConnectionType::Admin => &["/v1/networks", report],
            ConnectionType::Affiliate => &["/v1/affiliates/network", "/v1/affiliates/affiliate", report],
        };
        let texts: Vec<_> = own.iter().map(|path| (*path, 403, wrong_portal)).collect();
        let stage = reciting(pair, 0, &texts);
        let other = stage.sample.other_portal.clone().expect("credentials of the other portal");
        let failure = stage.verify_with(&other).await.failure.expect("a failure");
        assert_eq!(failure.code, FailureCode::WrongPortal);
        assert_eq!(refusal(&reciting(pair, 0, &[(report, 429, throttled)])).await, ErrorKind::RateLimited);
    }
}

#[tokio::test]
async fn the_fixtures_of_tune_are_read_as_they_say() {
    let path = "/Apiv3/json";
    // The variant that does not have to see first how days are moved.
    let admin = reciting(Pair::TuneAdmin, 1, &[(path, 200, fixture!("fixtures/tune/admin/stats_ok.json"))]);
    assert_eq!(
        lines(&admin, &table(&admin, &DAY_AND_OFFER).await),
        [
            "2026-10-30 12 Spring loan – „DE“ 0 1034 861 9 - - 176.5 126.5 -",
            "2026-10-31 12 Spring loan – „DE“ 40 7 7 1 - - 5 3.3333 -",
            "2026-10-31 14 14 0 0 0 -194 - - -2910 -1940 -"
        ]
    );
    let affiliate = reciting(Pair::TuneAffiliate, 0, &[(path, 200, fixture!("fixtures/tune/affiliate/stats_ok.json"))]);
    assert_eq!(
        lines(&affiliate, &table(&affiliate, &DAY_AND_OFFER).await),
        ["2026-10-30 12 Spring loan 0 1034 861 9 - - 126.5 - -", "2026-10-31 unknown Unknown 3 2 2 0 - - 0 - -"]
    );

    for (pair, empty, rejected) in [
        (
            Pair::TuneAdmin,
            fixture!("fixtures/tune/admin/stats_empty.json"),
            fixture!("fixtures/tune/admin/rejected.json"),
        ),
        (
            Pair::TuneAffiliate,
            fixture!("fixtures/tune/affiliate/stats_empty.json"),
            fixture!("fixtures/tune/affiliate/rejected.json"),
        ),
    ] {
        assert!(table(&reciting(pair, 0, &[(path, 200, empty)]), &DAY_AND_OFFER).await.rows.is_empty());
        assert_eq!(rejection(&reciting(pair, 0, &[(path, 200, rejected)])).await, FailureCode::CredentialsRejected);
    }
    let unknown = fixture!("fixtures/tune/admin/unknown_network.json");
    assert_eq!(rejection(&reciting(Pair::TuneAdmin, 0, &[(path, 200, unknown)])).await, FailureCode::NotThisPlatform);
    let forbidden = fixture!("fixtures/tune/admin/forbidden.json");
    let stage = reciting(Pair::TuneAdmin, 0, &[(path, 200, forbidden)]);
    assert_eq!(rejection(&stage).await, FailureCode::InsufficientPermissions);
}
