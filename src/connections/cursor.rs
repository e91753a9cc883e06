//! Cursors: where a list goes on. Opaque to callers, and bound to what they were made for.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::digest::{SHA256, digest};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::input::InputCode;
use crate::problem::{FieldProblem, Problem};

/// The longest cursor that is looked at: it holds the ids of a row, and links carry long ones.
const MAX_LENGTH: usize = 16 * 1_024;

#[derive(Serialize, Deserialize)]
struct Envelope<T> {
    /// A fingerprint of the organisation and the query.
    of: String,
    /// The place.
    at: T,
}

/// A short fingerprint of what a cursor belongs to.
pub fn fingerprint(parts: &[&str]) -> String {
    let mut bytes = Vec::new();
    for part in parts {
        bytes.extend_from_slice(&(part.len() as u64).to_be_bytes());
        bytes.extend_from_slice(part.as_bytes());
    }
    let hash = digest(&SHA256, &bytes);
    URL_SAFE_NO_PAD.encode(hash.as_ref().get(..12).unwrap_or_default())
}

/// Writes a cursor.
pub fn encode<T: Serialize>(of: &str, at: T) -> Option<String> {
    let text = serde_json::to_vec(&Envelope { of: of.to_owned(), at }).ok()?;
    Some(URL_SAFE_NO_PAD.encode(text))
}

/// Reads a cursor back.
///
/// # Errors
/// One that is damaged, or was made for another organisation or query.
pub fn decode<T: DeserializeOwned>(of: &str, cursor: &str) -> Result<T, Problem> {
    if cursor.len() > MAX_LENGTH {
        return Err(damaged());
    }
    let text = URL_SAFE_NO_PAD.decode(cursor).map_err(|_| damaged())?;
    let envelope: Envelope<Value> = serde_json::from_slice(&text).map_err(|_| damaged())?;
    if envelope.of != of {
        return Err(refuse("The cursor belongs to another query. Start again without one."));
    }
    if holds_nul(&envelope.at) {
        return Err(damaged());
    }
    serde_json::from_value(envelope.at).map_err(|_| damaged())
}

/// What is said of a cursor that this service did not write.
pub fn damaged() -> Problem {
    refuse("The cursor is damaged. Start again without one.")
}

fn refuse(detail: &str) -> Problem {
    Problem::validation(vec![FieldProblem::new("/cursor", InputCode::InvalidCursor, detail)])
}

/// PostgreSQL takes no NUL in a text, so none was ever handed out.
fn holds_nul(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains('\0'),
        Value::Array(values) => values.iter().any(holds_nul),
        Value::Object(members) => members.values().any(holds_nul),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn cursors_come_back_for_their_own_query_only(name in "\\PC{0,40}", id in any::<i64>()) {
            let of = fingerprint(&["org", "query"]);
            let cursor = encode(&of, (name.clone(), id)).expect("a cursor");
            prop_assert_eq!(decode::<(String, i64)>(&of, &cursor).ok(), Some((name, id)));
            prop_assert!(decode::<(String, i64)>(&fingerprint(&["or", "gquery"]), &cursor).is_err());
        }

        #[test]
        fn any_text_is_refused_or_read_without_a_panic(text in "\\PC{0,200}") {
            let _ = decode::<(String, i64)>("x", &text);
        }
    }
}
