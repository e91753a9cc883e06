//! JSON as strictly as it can be read: no name stands twice in one object.
//!
//! Of two that do, some readers take the first and some the last. What checks a body before it comes here must not
//! have checked another than the one that counts.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use crate::connections::wiped::Wiped;

/// Reads a body.
///
/// # Errors
/// No JSON, or, as an error of the data, a name that stands twice in one object.
pub fn read(body: &[u8]) -> Result<Wiped, serde_json::Error> {
    serde_json::from_slice::<UniqueNames>(body).map(|UniqueNames(value)| value.into())
}

/// A value, and every object within it, in which each name stands once.
struct UniqueNames(Value);

impl<'de> Deserialize<'de> for UniqueNames {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(UniqueNamesVisitor).map(Self)
    }
}

struct UniqueNamesVisitor;

impl<'de> Visitor<'de> for UniqueNamesVisitor {
    type Value = Value;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    /// For a body to be refused by its fields' types: no request carries money.
    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        while let Some(UniqueNames(value)) = items.next_element()? {
            values.push(value);
        }
        Ok(values.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut values = Map::new();
        while let Some((name, UniqueNames(value))) = members.next_entry::<String, UniqueNames>()? {
            if values.insert(name, value).is_some() {
                return Err(A::Error::custom("a name stands there twice"));
            }
        }
        Ok(values.into())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_name_that_stands_twice_is_refused_wherever_it_is() {
        for twice in [r#"{"a":1,"a":1}"#, r#"{"a":1,"\u0061":2}"#, r#"[{"x":{"a":1,"b":2,"a":3}}]"#] {
            assert!(read(twice.as_bytes()).is_err_and(|error| error.is_data()), "{twice}");
        }
        assert!(read(br#"{"a":{"a":1},"b":{"a":1}}"#).is_ok());
        assert!(read(b"{").is_err_and(|error| !error.is_data()));
        assert!(read("[".repeat(1_000).as_bytes()).is_err_and(|error| !error.is_data()), "depth is bounded");
    }

    proptest! {
        #[test]
        fn everything_else_is_read_as_always(text in r#"(\[|\{|\]|\}|"[a-c]":?|,|-?[0-9]{1,20}(\.[0-9])?|null|true|false| ){0,12}"#) {
            if let Ok(value) = read(text.as_bytes()) {
                prop_assert_eq!(&*value, &serde_json::from_str::<Value>(&text).expect("JSON"));
            }
        }
    }
}
