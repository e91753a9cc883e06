//! JSON that may hold secrets: its texts are wiped when it is dropped.

use std::fmt;
use std::ops::Deref;

use ring::digest::{Context, SHA256};
use serde_json::{Map, Value};
use zeroize::{Zeroize, Zeroizing};

/// A value whose texts are wiped when it is dropped. The names of fields are not: they are no secrets.
#[derive(Default, PartialEq, Eq)]
pub struct Wiped(Value);

impl From<Value> for Wiped {
    fn from(value: Value) -> Self {
        Self(value)
    }
}

impl From<Map<String, Value>> for Wiped {
    fn from(members: Map<String, Value>) -> Self {
        Self(Value::Object(members))
    }
}

impl Deref for Wiped {
    type Target = Value;

    fn deref(&self) -> &Value {
        &self.0
    }
}

/// Says nothing of what is inside.
impl fmt::Debug for Wiped {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Wiped(…)")
    }
}

impl Drop for Wiped {
    fn drop(&mut self) {
        wipe(&mut self.0);
    }
}

impl Wiped {
    /// The members of an object; there are none in anything else.
    pub(super) fn members(&self) -> impl Iterator<Item = (&String, &Value)> {
        self.0.as_object().into_iter().flatten()
    }

    /// Puts a member into an object. What it replaces is wiped.
    pub(super) fn put(&mut self, key: String, value: Value) {
        if let Value::Object(members) = &mut self.0 {
            drop(members.insert(key, value).map(Self));
        }
    }

    /// Takes a member out of an object, and wipes it.
    pub(super) fn remove(&mut self, key: &str) {
        if let Value::Object(members) = &mut self.0 {
            drop(members.remove(key).map(Self));
        }
    }

    /// The texts of an object, taken out of it: nothing of them is copied.
    pub(super) fn into_texts(mut self) -> Vec<(String, String)> {
        let Value::Object(members) = std::mem::take(&mut self.0) else { return Vec::new() };
        members
            .into_iter()
            .filter_map(|(key, value)| match value {
                Value::String(text) => Some((key, text)),
                other => {
                    drop(Self(other));
                    None
                }
            })
            .collect()
    }

    /// The SHA-256 of what it says, however it was written: no copy of it is made. Members of objects are sorted.
    pub(super) fn digest(&self) -> Zeroizing<[u8; 32]> {
        struct Digest(Context);
        impl std::io::Write for Digest {
            fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
                self.0.update(bytes);
                Ok(bytes.len())
            }
            fn flush(&mut self) -> std::io::Result<()> {
                Ok(())
            }
        }
        let mut text = Digest(Context::new(&SHA256));
        // A value that was read can be written, and this writer takes everything.
        let _ = serde_json::to_writer(&mut text, &self.0);
        let mut digest = Zeroizing::new([0; 32]);
        digest.copy_from_slice(text.0.finish().as_ref());
        digest
    }
}

fn wipe(value: &mut Value) {
    match value {
        Value::String(text) => text.zeroize(),
        Value::Array(values) => values.iter_mut().for_each(wipe),
        Value::Object(members) => members.values_mut().for_each(wipe),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_text_is_wiped_however_deep_it_is() {
        let mut value = json!({"key": "canary", "deep": [["canary", {"er": "canary"}], 7, null, true]});
        wipe(&mut value);
        assert_eq!(value, json!({"key": "", "deep": [["", {"er": ""}], 7, null, true]}));
    }

    #[test]
    fn what_is_wiped_says_nothing_of_itself() {
        assert_eq!(format!("{:?}", Wiped::from(json!({"key": "canary"}))), "Wiped(…)");
    }

    #[test]
    fn the_same_body_has_the_same_digest_in_whatever_order_it_came() {
        let read = |text: &str| Wiped::from(serde_json::from_str::<Value>(text).expect("JSON"));
        let one = read(r#"{"a": 1, "b": {"c": "x", "d": [true]}}"#).digest();
        assert_eq!(one, read(r#"{"b":{"d":[true],"c":"\u0078"},"a":1}"#).digest());
        assert_ne!(one, read(r#"{"a": 1, "b": {"c": "y", "d": [true]}}"#).digest());
    }

    #[test]
    fn members_are_put_taken_out_and_read() {
        let mut members = Wiped::from(Map::new());
        for (key, value) in [("a", json!("one")), ("a", json!("two")), ("b", json!(3)), ("c", json!("four"))] {
            members.put(key.to_owned(), value);
        }
        members.remove("c");
        assert_eq!(members.members().count(), 2);
        assert_eq!(members.into_texts(), [("a".to_owned(), "two".to_owned())]);
    }
}
