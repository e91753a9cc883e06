//! The schemas of tables, made of the dimensions and metrics there are.

use serde_json::{Map, Value, json};

use super::tree::define;
use crate::platforms::stats::{Dimension, Metric, MetricType};

/// Defines rows, totals and orders.
pub(super) fn complete(document: &mut Value) {
    let schemas = [
        ("StatsRow", row()),
        ("StatsTotals", totals()),
        ("StatsLines", lines()),
        ("ColumnOrder", order(Dimension::ALL.map(Dimension::key).into_iter().chain(Metric::ALL.map(Metric::key)))),
        ("ConnectionOrder", order(["name", "created_at", "updated_at"].into_iter())),
    ];
    define(document, schemas.map(|(name, schema)| (name.to_owned(), schema)));
}

fn row() -> Value {
    let value = json!({
        "type": "object",
        "properties": {
            "id": { "type": "string", "description": "The id at the platform." },
            "name": { "type": "string", "description": "What people call it." },
        },
        "required": ["id", "name"],
    });
    let dimensions = Dimension::ALL.map(|dimension| (dimension.key().to_owned(), value.clone()));
    let mut columns: Map<String, Value> = dimensions.into_iter().collect();
    columns.extend(metrics());
    json!({
        "type": "object",
        "description": "A row: the dimensions grouped by, and the metrics asked for. Money is in the row's currency, and `null` is not known.",
        "properties": columns,
        "required": ["currency"],
    })
}

fn totals() -> Value {
    json!({
        "type": "object",
        "description": "What the rows of one currency add up to. Currencies are never added together.",
        "properties": metrics().into_iter().collect::<Map<_, _>>(),
        "required": ["currency"],
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
