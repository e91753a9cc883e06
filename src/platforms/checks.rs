//! What is posted, held against the fields of a form: it says what the published JSON Schema would say.

use regex::Regex;
use serde_json::Value;

use super::schema::Field;

/// What is wrong with a member of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// There is no such field.
    Unknown,
    /// It is not there.
    Missing,
    /// It is no text.
    NotText,
    /// It is an empty text.
    Empty,
    /// It has more characters than this.
    TooLong(u32),
    /// It is none of these.
    NotOneOf(&'static [&'static str]),
    /// It has not the form of this example.
    Form(&'static str),
}

/// The fields of an object, ready to check what is posted.
pub struct Checks {
    fields: Vec<(Field, Option<Regex>)>,
}

impl Checks {
    pub(super) fn of(fields: &[Field]) -> Self {
        let compile = |pattern| match Regex::new(pattern) {
            Ok(pattern) => pattern,
            Err(error) => unreachable!("the patterns of the catalogue are valid: {error}"),
        };
        Self { fields: fields.iter().map(|field| (*field, field.pattern.map(compile))).collect() }
    }

    /// The names of the fields.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        self.fields.iter().map(|(field, _)| field.key)
    }

    /// What is missing, and the first fault of each member.
    pub fn faults<'a>(&self, object: &'a Value) -> Vec<(&'a str, Fault)> {
        let required = self.fields.iter().map(|(field, _)| field).filter(|field| field.required);
        let missing = required.filter(|field| object.get(field.key).is_none()).map(|field| (field.key, Fault::Missing));
        let members = object.as_object().into_iter().flatten();
        let wrong = members.filter_map(|(key, value)| Some((key.as_str(), self.fault(key, value)?)));
        missing.chain(wrong).collect()
    }

    fn fault(&self, key: &str, value: &Value) -> Option<Fault> {
        let Some((field, pattern)) = self.fields.iter().find(|(field, _)| field.key == key) else {
            return Some(Fault::Unknown);
        };
        let Value::String(text) = value else { return Some(Fault::NotText) };
        let length = u32::try_from(text.chars().count()).unwrap_or(u32::MAX);
        if length == 0 {
            Some(Fault::Empty)
        } else if length > field.max_length {
            Some(Fault::TooLong(field.max_length))
        } else if !field.choices.is_empty() && !field.choices.contains(&text.as_str()) {
            Some(Fault::NotOneOf(field.choices))
        } else {
            pattern.as_ref().filter(|pattern| !pattern.is_match(text)).map(|_| Fault::Form(field.example))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use jsonschema::Validator;
    use jsonschema::error::ValidationErrorKind;
    use proptest::prelude::*;
    use proptest::sample::select;

    use super::super::kind::Pair;
    use super::*;

    /// The members that a schema finds fault with.
    fn found_by_schema(schema: &Value, object: &Value) -> BTreeSet<String> {
        let validator: Validator = jsonschema::validator_for(schema).expect("a schema");
        let faulty = |error: &jsonschema::ValidationError<'_>| match error.kind() {
            ValidationErrorKind::Required { property } => vec![property.as_str().expect("a name").to_owned()],
            ValidationErrorKind::AdditionalProperties { unexpected } => unexpected.clone(),
            _ => vec![error.instance_path().as_str().trim_start_matches('/').to_owned()],
        };
        validator.iter_errors(object).flat_map(|error| faulty(&error)).collect()
    }

    /// Values that fit a field, that nearly do, and that do not.
    fn value(examples: Vec<String>) -> impl Strategy<Value = Value> {
        prop_oneof![
            4 => select(examples).prop_map(Value::from),
            2 => "\\PC{0,12}|[A-Z]{2,4}\n?".prop_map(Value::from),
            1 => (499_usize..1_002).prop_map(|length| Value::from("é".repeat(length))),
            1 => select(vec![Value::Null, Value::from(7), Value::from(true), serde_json::json!([]), Value::from("")]),
        ]
    }

    fn object(names: Vec<String>, examples: Vec<String>) -> impl Strategy<Value = Value> {
        let name = prop_oneof![6 => select(names), 1 => "[a-z_]{1,8}"];
        proptest::collection::btree_map(name, value(examples), 0..6)
            .prop_map(|members| Value::Object(members.into_iter().collect()))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn the_checks_find_what_the_published_schema_finds(
            (pair, is_settings, object) in (select(Pair::ALL.to_vec()), any::<bool>()).prop_flat_map(|(pair, is_settings)| {
                let entry = pair.entry();
                let schema = if is_settings { &entry.settings_schema } else { &entry.credentials_schema };
                let properties = schema["properties"].as_object().expect("properties");
                let mut names: Vec<String> = properties.keys().cloned().collect();
                names.push("name".to_owned());
                let texts = |property: &Value| {
                    let all = [&property["examples"], &property["enum"]];
                    let texts = all.into_iter().filter_map(Value::as_array).flatten();
                    texts.filter_map(Value::as_str).map(str::to_owned).collect::<Vec<_>>()
                };
                let mut examples: Vec<String> = properties.values().flat_map(texts).collect();
                examples.push("USD".to_owned());
                object(names, examples).prop_map(move |object| (pair, is_settings, object))
            })
        ) {
            let (entry, schemas) = (pair.entry(), pair.schemas());
            let (schema, checks) = match is_settings {
                true => (&entry.settings_schema, &schemas.settings),
                false => (&entry.credentials_schema, &schemas.credentials),
            };
            let found: BTreeSet<String> = checks.faults(&object).into_iter().map(|(key, _)| key.to_owned()).collect();
            prop_assert_eq!(found, found_by_schema(schema, &object));
        }
    }
}
