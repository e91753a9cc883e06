//! JSON Schemas of settings and credentials: the same documents draw the form and check what is posted.

use jsonschema::Validator;
use serde_json::{Map, Value, json};

/// One text field of a form.
#[derive(Debug, Clone, Copy)]
pub(super) struct Field {
    /// The JSON key.
    pub(super) key: &'static str,
    /// The label.
    pub(super) title: &'static str,
    /// Where the user finds the value.
    pub(super) description: &'static str,
    /// A value that shows the form it has; for secrets an obviously made-up one.
    pub(super) example: &'static str,
    /// Whether the form must have it.
    pub(super) required: bool,
    /// Whether it is write-only.
    pub(super) secret: bool,
    /// The allowed values, if they are few.
    pub(super) choices: &'static [&'static str],
    /// What stands if it is left out.
    pub(super) default: Option<&'static str>,
    /// A regular expression of the whole value.
    pub(super) pattern: Option<&'static str>,
    /// The longest value, in characters.
    pub(super) max_length: u32,
}

impl Field {
    /// A required plain text of at most 500 characters.
    pub(super) const fn text(
        key: &'static str,
        title: &'static str,
        description: &'static str,
        example: &'static str,
    ) -> Self {
        Self {
            key,
            title,
            description,
            example,
            required: true,
            secret: false,
            choices: &[],
            default: None,
            pattern: None,
            max_length: 500,
        }
    }

    /// A required secret; opaque, only its length is bounded.
    pub(super) const fn secret(
        key: &'static str,
        title: &'static str,
        description: &'static str,
        example: &'static str,
    ) -> Self {
        let mut field = Self::text(key, title, description, example);
        field.secret = true;
        field.max_length = 1000;
        field
    }

    /// The same field, optional.
    pub(super) const fn optional(mut self) -> Self {
        self.required = false;
        self
    }

    /// The same field with a fixed set of values, the default first.
    pub(super) const fn one_of(mut self, choices: &'static [&'static str], default: &'static str) -> Self {
        self.choices = choices;
        self.default = Some(default);
        self
    }

    /// The same field with a pattern.
    pub(super) const fn matching(mut self, pattern: &'static str) -> Self {
        self.pattern = Some(pattern);
        self
    }
}

/// The optional currency that every platform but Demo takes.
pub(super) const CURRENCY: Field = Field::text(
    "currency",
    "Currency",
    "The currency this account reports in (ISO 4217). Fill it in where the tracker does not say; it labels the amounts and converts nothing.",
    "USD",
)
.optional()
.matching("^[A-Z]{3}$");

/// The schema of an object with exactly these fields.
pub(super) fn object(title: &str, fields: &[Field]) -> Value {
    let properties: Map<String, Value> = fields.iter().map(|field| (field.key.to_owned(), property(field))).collect();
    let required: Vec<&str> = fields.iter().filter(|field| field.required).map(|field| field.key).collect();
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "title": title,
        "properties": properties,
        "required": required,
        "additionalProperties": false,
    })
}

/// What checks objects against one of these schemas.
pub(super) fn compile(schema: &Value) -> Validator {
    match jsonschema::validator_for(schema) {
        Ok(validator) => validator,
        Err(error) => unreachable!("the schemas made above are valid: {error}"),
    }
}

fn property(field: &Field) -> Value {
    let mut property = json!({
        "type": "string",
        "title": field.title,
        "description": field.description,
        "examples": [field.example],
        "minLength": 1,
        "maxLength": field.max_length,
    });
    if let Value::Object(members) = &mut property {
        if field.secret {
            members.insert("writeOnly".to_owned(), json!(true));
            members.insert("format".to_owned(), json!("password"));
        }
        if !field.choices.is_empty() {
            members.insert("enum".to_owned(), json!(field.choices));
        }
        if let Some(default) = field.default {
            members.insert("default".to_owned(), json!(default));
        }
        if let Some(pattern) = field.pattern {
            members.insert("pattern".to_owned(), json!(pattern));
        }
    }
    property
}
