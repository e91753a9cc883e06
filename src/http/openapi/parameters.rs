//! What all parameters have in common, and those that no annotation can describe.

use serde_json::{Map, Value, json};

use super::tree::object_at;
use crate::platforms::stats::{Dimension, Metric};

/// Nothing, or ids with commas between them, in which commas and backslashes have a backslash before them.
const IDS: &str = r"^(([^,\\]|\\[,\\])+(,([^,\\]|\\[,\\])+)*)?$";

/// What all parameters have in common, and the one that all calls with a token have.
pub(super) fn complete(operation: &mut Map<String, Value>, with_token: bool) {
    if with_token {
        let organisation = json!({
            "name": "X-Org-Id", "in": "header", "required": false, "example": "acme",
            "description": "The organisation, from internal services; a token that belongs to one need not name it. Letters beyond ASCII are sent as UTF-8, or percent-encoded after `UTF-8''`",
            "schema": { "type": "string", "minLength": 1, "maxLength": 128, "pattern": "^[!-~]([ -~]*[!-~])?$" },
        });
        let parameters = operation.entry("parameters").or_insert_with(|| json!([]));
        if let Some(parameters) = parameters.as_array_mut() {
            parameters.push(organisation);
        }
    }
    let Some(parameters) = operation.get_mut("parameters").and_then(Value::as_array_mut) else { return };
    one_for_each(parameters);
    for parameter in parameters.iter_mut().filter_map(Value::as_object_mut) {
        if let Some(schema) = parameter.get_mut("schema") {
            no_null(schema);
            spell_out_ids(schema);
        }
        example(parameter);
    }
}

/// Puts a plain parameter for each dimension in the place of `filter`, and for each metric in that of `min` and `max`: few
/// clients write an object into a query as `filter[country]=DE`.
fn one_for_each(parameters: &mut Vec<Value>) {
    for (name, of_each) in [("filter", filters as fn() -> Vec<Value>), ("min", least), ("max", most)] {
        let place = parameters.iter().position(|parameter| parameter.get("name").is_some_and(|known| known == name));
        if let Some(place) = place {
            parameters.splice(place..=place, of_each());
        }
    }
}

fn least() -> Vec<Value> {
    bounds("min", "at least", "0")
}

fn most() -> Vec<Value> {
    bounds("max", "at most", "1000000")
}

fn bounds(name: &str, which: &str, example: &str) -> Vec<Value> {
    let bound = |metric: Metric| {
        json!({
            "name": format!("{name}[{metric}]"), "in": "query", "required": false,
            "description": format!("Only rows whose `{metric}` is {which} this; a row that does not know it never is"),
            "schema": { "type": "string", "pattern": "^-?[0-9]{1,20}([.][0-9]{1,8})?$" },
            "example": example,
        })
    };
    Metric::ALL.map(bound).into()
}

fn filters() -> Vec<Value> {
    let filter = |dimension: Dimension| {
        let key = dimension.key();
        let mut filter = json!({
            "name": format!("filter[{key}]"), "in": "query", "required": false,
            "description": format!(
                "Only these ids of the dimension `{key}`, comma-separated or repeated; nothing is the rows without one. A \
                 comma in an id is written `\\,`, a backslash `\\\\`"
            ),
            "schema": { "type": "string", "pattern": IDS },
        });
        if let (Some(filter), Some(example)) = (filter.as_object_mut(), super::samples::id_of(dimension)) {
            filter.insert("example".to_owned(), example.into());
        }
        filter
    };
    Dimension::ALL.map(filter).into()
}

/// Swagger UI knows no field for a list of a format, and complains of it on the console.
fn spell_out_ids(schema: &mut Value) {
    let Some(items) = object_at(schema, "/items") else { return };
    if items.get("format").is_some_and(|format| format == "uuid") {
        items.remove("format");
        items.insert("pattern".to_owned(), json!("^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$"));
    }
}

/// Swagger UI fills in every `example`, so what is filled in must work together. What may be left out only shows its
/// example. `preset` stays, because a question needs its days, and `group_by`, because most questions do.
fn example(parameter: &mut Map<String, Value>) {
    let name = parameter.get("name").and_then(Value::as_str).unwrap_or_default();
    if name == "preset" || name == "group_by" || parameter.get("required") == Some(&Value::Bool(true)) {
        return;
    }
    let Some(example) = parameter.remove("example") else { return };
    match parameter.get_mut("schema").and_then(Value::as_object_mut) {
        // Beside a reference, as 2020-12 allows.
        Some(schema) => schema.insert("examples".to_owned(), json!([example])),
        None => parameter.insert("example".to_owned(), example),
    };
}

/// Takes `null` out of a schema, and says whether it was there: what stands in an address or a header is never `null`.
pub(super) fn no_null(schema: &mut Value) -> bool {
    if let Some(choices) = schema.as_object_mut().and_then(|schema| schema.remove("oneOf")) {
        let of_values =
            choices.as_array().into_iter().flatten().find(|choice| choice.get("type").is_none_or(|one| one != "null"));
        if let (Some(schema), Some(of_values)) = (schema.as_object_mut(), of_values.and_then(Value::as_object)) {
            schema.extend(of_values.clone());
        }
        return true;
    }
    let Some(types) = schema.get("type").and_then(Value::as_array) else { return false };
    let left: Vec<Value> = types.iter().filter(|one| *one != "null").cloned().collect();
    if left.len() == types.len() {
        return false;
    }
    if let (Some(schema), Some(only)) = (schema.as_object_mut(), left.into_iter().next()) {
        schema.insert("type".to_owned(), only);
    }
    true
}
