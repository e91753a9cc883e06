//! A body of either format, read by what it starts with.

use std::fmt;

use compact_str::{CompactString, ToCompactString};
use serde::Deserialize;
use serde::de::{Deserializer, Error, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::super::list::Rows;
use super::tree::{Document, Fields, MAX_DEPTH, MAX_NODES, Malformed, Node, Room};
use super::xml;

/// Reads a body by what it starts with.
pub(super) fn parse(body: &[u8]) -> Result<Document, Malformed> {
    let text = std::str::from_utf8(body).map_err(|_| Malformed("the body is not UTF-8"))?;
    let text = text.trim_start_matches('\u{feff}').trim();
    match text.as_bytes().first() {
        Some(b'<') => xml::parse(text),
        Some(b'{' | b'[') => {
            let raw: &RawValue = serde_json::from_str(text).map_err(|_| Malformed("the body is not valid JSON"))?;
            let content = json(raw, 0, &mut Room::default())?;
            Ok(Document { root: CompactString::default(), content, is_repaired: false })
        }
        _ => Err(Malformed("the body is neither JSON nor XML")),
    }
}

fn json(raw: &RawValue, depth: usize, room: &mut Room) -> Result<Node, Malformed> {
    room.take()?;
    if depth > MAX_DEPTH {
        return Err(Malformed("the JSON is nested too deeply"));
    }
    let text = raw.get();
    let invalid = |_| Malformed("the body is not valid JSON");
    match text.as_bytes().first() {
        Some(b'{') => {
            let Members(members) = serde_json::from_str(text).map_err(invalid)?;
            let fields = members
                .into_iter()
                .map(|(name, raw)| Ok((name.to_lowercase().into(), json(raw, depth + 1, room)?)))
                .collect::<Result<_, Malformed>>()?;
            Ok(Node::Object(Fields(fields)))
        }
        Some(b'[') => {
            let items: Rows<&RawValue, MAX_NODES> = serde_json::from_str(text).map_err(invalid)?;
            items.0.into_iter().map(|raw| json(raw, depth + 1, room)).collect::<Result<_, _>>().map(Node::List)
        }
        Some(b'"') => serde_json::from_str::<String>(text).map(|text| Node::Text(text.into())).map_err(invalid),
        Some(b'n') => Ok(Node::Null),
        _ => Ok(Node::Text(text.to_compact_string())),
    }
}

/// An object's members in order, each still unread.
struct Members<'a>(Vec<(String, &'a RawValue)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;

        impl<'de> Visitor<'de> for InOrder {
            type Value = Members<'de>;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::with_capacity(map.size_hint().unwrap_or(16));
                while let Some(member) = map.next_entry()? {
                    if members.len() == MAX_NODES {
                        return Err(A::Error::custom("too many members"));
                    }
                    members.push(member);
                }
                Ok(Members(members))
            }
        }

        deserializer.deserialize_map(InOrder)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn escape(text: &str) -> String {
        text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
    }

    proptest! {
        #[test]
        fn no_body_makes_a_parser_panic(body in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse(&body);
        }

        #[test]
        fn nothing_that_looks_like_markup_makes_a_parser_panic(
            body in "(<[a-z:/?!]{0,6}|>|&#?[a-z0-9]{0,4};?|\\]\\]>|<!\\[CDATA\\[| xsi:nil=\"true\"|[\\[{}\\],:\"]|null|1|\\PC){0,60}",
        ) {
            let _ = parse(body.as_bytes());
        }

        #[test]
        fn the_same_row_is_the_same_in_both_formats(
            values in proptest::collection::vec(proptest::option::of("[ -~äöü€]{0,12}"), 1..8),
        ) {
            let names: Vec<String> = (0..values.len()).map(|place| format!("Field_{place}")).collect();
            let members: Vec<String> = names.iter().zip(&values).map(|(name, value)| {
                format!("{}:{}", serde_json::json!(name), serde_json::json!(value))
            }).collect();
            let json = format!("{{{}}}", members.join(","));
            let elements: String = names.iter().zip(&values).map(|(name, value)| match value {
                Some(text) => format!("<x:{name}>{}</x:{name}>", escape(text)),
                None => format!("<{name} xsi:nil=\"true\" />"),
            }).collect();
            let xml = format!("<?xml version=\"1.0\"?><r xmlns:x=\"u\">{elements}</r>");
            prop_assert_eq!(parse(json.as_bytes())?.content, parse(xml.as_bytes())?.content);
        }
    }

    impl From<Malformed> for TestCaseError {
        fn from(malformed: Malformed) -> Self {
            Self::fail(malformed.0)
        }
    }

    #[test]
    fn numbers_stay_the_text_they_are() {
        let document = parse(br#"{"Revenue": 412.5000, "ok": true, "none": null}"#).expect("JSON");
        let Node::Object(fields) = document.content else { panic!("an object") };
        assert_eq!(fields.text(&["revenue"]), Some("412.5000"));
        assert_eq!(fields.text(&["ok"]), Some("true"));
        assert_eq!(fields.get("none"), Some(&Node::Null));
    }

    #[test]
    fn nesting_is_bounded_in_both_formats() {
        let lists = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        assert!(parse(lists.as_bytes()).is_err());
        let elements = format!("{}{}", "<a>".repeat(100_000), "</a>".repeat(100_000));
        assert!(parse(elements.as_bytes()).is_err());
    }
}
