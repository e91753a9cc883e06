//! The schemas of tables, made of the dimensions and metrics there are.

use serde_json::{Map, Value, json};

use super::tree::define;
use crate::connections::stats::layout::CONNECTION;
use crate::platforms::cycle::Cycle;
use crate::platforms::stats::{Dimension, Metric, MetricType};

/// Defines rows, totals and orders.
pub(super) fn complete(document: &mut Value) {
    let schemas = [
        ("StatsRow", row()),
        ("StatsTotals", totals()),
        ("StatsLines", lines()),
        ("StatsAnswers", answers()),
        ("ColumnOrder", order(columns())),
        ("ConnectionOrder", order(["name", "created_at", "updated_at", "credentials_expire_at"].into_iter())),
    ];
    define(document, schemas.map(|(name, schema)| (name.to_owned(), schema)));
}

/// Whatever a table can be sorted by.
fn columns() -> impl Iterator<Item = &'static str> {
    let dimensions = Dimension::ALL.map(Dimension::key).into_iter().chain([CONNECTION]);
    dimensions.chain(Metric::ALL.map(Metric::key))
}

fn row() -> Value {
    let value = |partial: Option<Value>| {
        let mut properties = json!({
            "id": { "type": "string", "description": "The id at the platform; empty for rows without one." },
            "name": { "type": "string", "description": "What people call it." },
        });
        let mut required = vec!["id", "name"];
        if let (Some(properties), Some(partial)) = (properties.as_object_mut(), partial) {
            properties.insert("partial".to_owned(), partial);
            required.push("partial");
        }
        json!({ "type": "object", "properties": properties, "required": required })
    };
    let dimensions = Dimension::ALL.map(|dimension| {
        let partial = Cycle::of(dimension)
            .map(|_| json!({ "type": "boolean", "description": "Whether the range cuts it, or it is not over." }));
        (dimension.key().to_owned(), value(partial))
    });
    let mut columns: Map<String, Value> =
        dimensions.into_iter().chain([(CONNECTION.to_owned(), value(None))]).collect();
    columns.extend(metrics());
    columns.extend(compared());
    json!({
        "type": "object",
        "description": "A row: the dimensions grouped by, and the metrics asked for. Money is in the row's currency, and `null` is not known. Lines of NDJSON have `previous_clicks` and `change_clicks` in the place of `previous` and `change`.",
        "properties": columns,
        "required": ["currency"],
    })
}

fn totals() -> Value {
    json!({
        "type": "object",
        "description": "What the rows of one currency add up to. Currencies are never added together.",
        "properties": metrics().into_iter().chain(compared()).collect::<Map<_, _>>(),
        "required": ["currency"],
    })
}

/// What stands beside a row or a total where the question compares.
fn compared() -> [(String, Value); 2] {
    let of_now: Map<String, Value> = metrics().into_iter().filter(|(key, _)| key != "currency").collect();
    let ratio = json!({ "type": ["string", "null"], "format": "decimal", "pattern": "^-?[0-9]+([.][0-9]+)?$" });
    let changes: Map<String, Value> = of_now.keys().map(|key| (key.clone(), ratio.clone())).collect();
    [
        ("previous", "The metrics in the days compared with.", of_now),
        ("change", "How far each metric is from what it was, over the absolute value of that.", changes),
    ]
    .map(|(key, description, properties)| {
        (key.to_owned(), json!({ "type": "object", "description": description, "properties": properties }))
    })
}

fn answers() -> Value {
    json!({
        "description": "The answers of several connections, or one table of them where `merge=true`.",
        "oneOf": [
            { "$ref": "#/components/schemas/StatsOfMany" }, { "$ref": "#/components/schemas/StatsMerged" },
        ],
    })
}

fn metrics() -> Vec<(String, Value)> {
    let metric = |metric: Metric| {
        let schema = match metric.metric_type() {
            MetricType::Integer => json!({ "type": ["integer", "null"], "format": "int64" }),
            MetricType::Money | MetricType::Ratio => {
                json!({ "type": ["string", "null"], "format": "decimal", "pattern": "^-?[0-9]+([.][0-9]+)?$" })
            }
        };
        (metric.key().to_owned(), schema)
    };
    let currency = json!({ "type": ["string", "null"], "pattern": "^[A-Z]{3}$", "description": "ISO 4217." });
    Metric::ALL.into_iter().map(metric).chain([("currency".to_owned(), currency)]).collect()
}

/// OpenAPI 3.1 has no word for a body of many documents: `contentSchema` says what each of its lines is.
fn lines() -> Value {
    let member = |name: &str, schema: &str| {
        json!({
            "type": "object",
            "properties": { name: { "$ref": format!("#/components/schemas/{schema}") } },
            "required": [name],
        })
    };
    json!({
        "type": "string",
        "description": "All rows, one JSON object a line, then a line `summary`. A stream that fails ends with a line `problem` instead, and without its terminating chunk.",
        "contentMediaType": "application/x-ndjson",
        "contentSchema": { "anyOf": [
            member("summary", "StatsSummary"), member("problem", "Problem"), { "$ref": "#/components/schemas/StatsRow" },
        ] },
    })
}

fn order<'a>(columns: impl Iterator<Item = &'a str>) -> Value {
    let both: Vec<String> = columns.flat_map(|column| [column.to_owned(), format!("-{column}")]).collect();
    json!({ "type": "string", "enum": both, "description": "A column, with a leading `-` for the reverse." })
}
