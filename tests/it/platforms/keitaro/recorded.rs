//! Answers as panels give them.

use super::*;

/// Recites answers, one after another, the last one for ever.
struct Reciting(std::sync::Mutex<Vec<(u16, String)>>);

impl Reciting {
    fn start<'a>(answers: impl IntoIterator<Item = (u16, &'a str)>) -> Simulator {
        let mut answers: Vec<(u16, String)> =
            answers.into_iter().map(|(status, text)| (status, text.to_owned())).collect();
        answers.reverse();
        Simulator::start(Self(std::sync::Mutex::new(answers)))
    }
}

impl Tracker for Reciting {
    fn answer(&self, _: &Request) -> Reply {
        let mut answers = self.0.lock().expect("no panic");
        let (status, text) =
            if answers.len() > 1 { answers.pop() } else { answers.last().cloned() }.expect("an answer");
        Reply::text(status, "application/json", text)
    }
}

macro_rules! fixture {
    ($name:literal) => {
        include_str!(concat!("../../../", $name))
    };
}

#[actix_web::test]
async fn the_fixtures_are_read_as_they_say() {
    let ok = fixture!("fixtures/keitaro/admin/stats_ok.json");
    let total = fixture!("fixtures/keitaro/admin/total.json");
    let question = ReportCase::by(&[DAY, Campaign], date(2026, 11, 16), date(2026, 11, 17), "Europe/Madrid");
    let table = question.ask(&road(&Reciting::start([(200, ok), (200, total)]))).await.expect("a report");
    let lines: Vec<String> = table
        .rows
        .iter()
        .map(|row| {
            let Metrics { clicks, unique_clicks, conversions, approved, pending, rejected, revenue, cost, .. } =
                row.metrics;
            let counts =
                [clicks, unique_clicks, conversions, approved, pending, rejected].map(Option::unwrap_or_default);
            let [revenue, cost] =
                [revenue, cost].map(|amount| amount.map_or_else(|| "-".to_owned(), |it| it.to_string()));
            format!("{} {} {} {counts:?} {revenue} {cost}", row.key[0].id, row.key[1].id, row.key[1].name)
        })
        .collect();
    assert_eq!(
        lines,
        [
            "2026-11-16 12 Spring push [1034, 861, 9, 4, 4, 1] 176.50 88.1200",
            "2026-11-16 31 Nutra – DE [20, 19, 0, 0, 0, 0] 0 0.0000000000000568434188608080",
            "2026-11-17 40 40 [3, 3, 1, 0, 0, 0] - 0.3",
        ]
    );
    assert_eq!(table.mismatches, Vec::<String>::new());

    let empty = fixture!("fixtures/keitaro/admin/stats_empty.json");
    let table = question.ask(&road(&Reciting::start([(200, empty)]))).await.expect("a report");
    assert!(table.rows.is_empty());

    for (status, text, expected) in [
        (401, fixture!("fixtures/keitaro/admin/rejected.json"), ErrorKind::CredentialsRejected),
        (402, fixture!("fixtures/keitaro/admin/no_api.json"), ErrorKind::InsufficientPermissions),
        (406, fixture!("fixtures/keitaro/admin/not_accepted.json"), ErrorKind::BadResponse),
    ] {
        let refused = question.ask(&road(&Reciting::start([(status, text)]))).await.expect_err("a refusal");
        assert_eq!(refused.kind, expected, "{refused}");
    }

    let unknown = fixture!("fixtures/keitaro/admin/unknown_column.json");
    let simulator = Reciting::start([(400, unknown), (200, ok), (200, total)]);
    let table = question.ask(&road(&simulator)).await.expect("a report");
    assert_eq!(table.codes(), ["columns_hidden"]);
    assert!(table.rows.iter().all(|row| row.metrics.rejected.is_none()));
    let metrics = body(&simulator.requests()[1])["metrics"].clone();
    assert!(!metrics.as_array().expect("a list").contains(&json!("rejected")));
}

/// A page of a report by campaign, in the panel's own shape.
fn page(total: usize, rows: &[(u32, i64)]) -> String {
    let rows: Vec<Value> = rows
        .iter()
        .map(|(id, clicks)| {
            json!({
                "campaign_id": id, "campaign": "A", "clicks": clicks, "campaign_unique_clicks": clicks, "conversions": 0,
                "sales": 0, "leads": 0, "rejected": 0, "revenue": 0, "cost": 0,
            })
        })
        .collect();
    json!({"rows": rows, "total": total}).to_string()
}

#[actix_web::test]
async fn rows_that_move_while_pages_are_read_are_counted_once_and_warned_of() {
    let question = ReportCase::by(&[Campaign], day(24), day(24), "UTC");
    // The sum is asked for once the first page has shown how; then the second page, into which a row was pushed.
    let answers =
        [page(3, &[(1, 10), (3, 30)]), page(1, &[(0, 90)]), page(4, &[(3, 30), (4, 50)]), page(1, &[(0, 92)])];
    let simulator = Reciting::start(answers.iter().map(|text| (200, text.as_str())));
    let table = question.ask(&road(&simulator)).await.expect("a report");
    assert_eq!(table.rows.iter().filter_map(|row| row.metrics.clicks).collect::<Vec<_>>(), [10, 30, 50]);
    assert_eq!(table.mismatches, Vec::<String>::new());
    assert_eq!(table.codes(), ["data_moved"]);
    // A page that repeats a row while nothing has moved has lost another.
    let answers = [page(4, &[(1, 10), (3, 30)]), page(1, &[(0, 90)]), page(4, &[(3, 30), (4, 50)])];
    let simulator = Reciting::start(answers.iter().map(|text| (200, text.as_str())));
    let error = question.ask(&road(&simulator)).await.expect_err("a row is missing");
    assert_eq!(error.kind, ErrorKind::Inconsistent, "{error}");
}

#[actix_web::test]
async fn numbers_that_are_none_and_days_that_were_not_asked_for_are_errors() {
    let row = |change: &dyn Fn(&mut Value)| {
        let mut answer: Value = serde_json::from_str(fixture!("fixtures/keitaro/admin/stats_ok.json")).expect("JSON");
        change(&mut answer["rows"][0]);
        answer.to_string()
    };
    let question = ReportCase::by(&[DAY, Campaign], date(2026, 11, 16), date(2026, 11, 17), "Europe/Madrid");
    for (answer, expected) in [
        (row(&|row| row["clicks"] = json!("NaN")), ErrorKind::BadResponse),
        (row(&|row| row["revenue"] = json!("1,034.00 €")), ErrorKind::BadResponse),
        (row(&|row| row["day"] = json!("2026-11-15")), ErrorKind::Inconsistent),
        (row(&|row| row["campaign_id"] = json!({"id": 1})), ErrorKind::BadResponse),
    ] {
        let error = question.ask(&road(&Reciting::start([(200, answer.as_str())]))).await.expect_err("no report");
        assert_eq!(error.kind, expected, "{answer}: {error}");
    }
}
