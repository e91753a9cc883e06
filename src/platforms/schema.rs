//! JSON Schemas of settings and credentials: the same documents draw the form and check what is posted.
//!
//! They have only the members that every library of forms knows, and no `$schema`: the default validators of rjsf and
//! JSON Forms refuse any that names the dialect, which is 2020-12. What else a form needs stands beside them, see
//! [`FieldEntry`].

use std::ops::Deref;

use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::{Map, Value, json};
use utoipa::ToSchema;

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
    /// A public page that says more.
    pub(super) help_url: Option<&'static str>,
}

/// What a form says beside a field, and what no schema has a place for.
#[derive(Debug, Clone, serde::Serialize, ToSchema)]
pub struct FieldEntry {
    /// Which field of the create body.
    #[schema(example = "/credentials/api_key")]
    pub pointer: String,
    /// Where the user finds the value.
    pub help: &'static str,
    /// A public page that says more.
    #[schema(required, format = "uri")]
    pub help_url: Option<&'static str>,
    /// What to say where the value does not fit.
    #[schema(example = "Enter the API key: at most 1000 characters.")]
    pub message: String,
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
            help_url: None,
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

    /// The same field with a public page of the platform that shows where the value is found.
    pub(super) const fn explained_at(mut self, page: &'static str) -> Self {
        self.help_url = Some(page);
        self
    }

    /// What a form says beside the field, in the part of the body that it belongs to.
    pub(super) fn entry(&self, part: &str) -> FieldEntry {
        let message = match (self.choices, self.pattern) {
            ([], None) => format!("Enter the {}: at most {} characters.", self.title, self.max_length),
            ([], Some(_)) => format!("Enter the {} in the form of {}.", self.title, self.example),
            (choices, _) => format!("Choose one of {}.", choices.join(", ")),
        };
        let pointer = format!("/{part}/{}", self.key);
        FieldEntry { pointer, help: self.description, help_url: self.help_url, message }
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
.matching("^[A-Za-z]{3}$");

/// The schema of an object with certain fields. Its JSON has them in the order in which a person fills them in.
#[derive(Debug, Clone)]
pub struct Schema {
    value: Value,
    order: Vec<&'static str>,
}

impl Deref for Schema {
    type Target = Value;

    fn deref(&self) -> &Value {
        &self.value
    }
}

impl Serialize for Schema {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let members = self.value.as_object();
        let mut map = serializer.serialize_map(members.map(Map::len))?;
        for (key, member) in members.into_iter().flatten() {
            match member.as_object().filter(|_| key == "properties") {
                Some(properties) => map.serialize_entry(key, &Ordered { properties, order: &self.order })?,
                None => map.serialize_entry(key, member)?,
            }
        }
        map.end()
    }
}

/// Properties in an order of their own. A map of serde_json sorts its members, and other things rely on that.
struct Ordered<'a> {
    properties: &'a Map<String, Value>,
    order: &'a [&'static str],
}

impl Serialize for Ordered<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.order.iter().filter_map(|key| Some((key, self.properties.get(*key)?))))
    }
}

/// The schema of an object with exactly these fields, required ones first.
pub(super) fn object(title: &str, fields: &[Field]) -> Schema {
    let properties: Map<String, Value> = fields.iter().map(|field| (field.key.to_owned(), property(field))).collect();
    let (required, optional): (Vec<&Field>, Vec<&Field>) = fields.iter().partition(|field| field.required);
    let required: Vec<&'static str> = required.into_iter().map(|field| field.key).collect();
    let value = json!({
        "type": "object",
        "title": title,
        "properties": properties,
        "required": required,
        "additionalProperties": false,
    });
    let order = required.into_iter().chain(optional.into_iter().map(|field| field.key)).collect();
    Schema { value, order }
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

#[cfg(test)]
mod tests {
    use super::*;

    const ID: Field = Field::text("z_id", "Id", "In the panel.", "1");
    const KEY: Field = Field::secret("a_key", "Key", "In the panel.", "x");

    #[test]
    fn fields_stand_in_the_order_they_are_filled_in_and_required_ones_first() {
        let json = serde_json::to_string(&object("Credentials", &[CURRENCY, ID, KEY])).expect("JSON");
        let places: Vec<Option<usize>> =
            ["z_id", "a_key", "currency"].iter().map(|key| json.find(&format!("\"{key}\":{{"))).collect();
        assert!(places.iter().all(Option::is_some) && places.is_sorted(), "{json}");
    }

    #[test]
    fn the_ordered_schema_is_the_one_that_checks() {
        let schema = object("Credentials", &[ID, KEY, CURRENCY]);
        let written: Value = serde_json::from_str(&serde_json::to_string(&schema).expect("JSON")).expect("JSON");
        assert_eq!(written, *schema);
        assert!(written.get("$schema").is_none());
    }

    #[test]
    fn what_a_form_says_needs_no_pattern() {
        assert_eq!(CURRENCY.entry("settings").message, "Enter the Currency in the form of USD.");
        assert_eq!(KEY.entry("credentials").message, "Enter the Key: at most 1000 characters.");
        assert_eq!(KEY.entry("credentials").pointer, "/credentials/a_key");
    }
}
