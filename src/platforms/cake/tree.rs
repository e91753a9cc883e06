//! One shape for both of CAKE's formats.
//!
//! Networks answer the same report as JSON or as XML, and not always in the format that was asked for or that the
//! header names. The first byte of the body decides which parser reads it, and everything after this module sees
//! names (in lower case, without namespaces), texts and nothing else. Numbers stay the text they were written as.

use std::fmt;

use compact_str::{CompactString, ToCompactString};
use serde::Deserialize;
use serde::de::{Deserializer, Error, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::super::list::Rows;
use super::xml;

/// How deep an answer may be nested. Reports go five levels down.
pub(super) const MAX_DEPTH: usize = 24;

/// How many values an answer may hold. Ten thousand rows of the widest report hold half as many.
pub(super) const MAX_NODES: usize = 1_500_000;

/// What is left of the values that an answer may hold.
pub(super) struct Room(usize);

impl Default for Room {
    fn default() -> Self {
        Self(MAX_NODES)
    }
}

impl Room {
    /// Takes room for one more value.
    pub(super) fn take(&mut self) -> Result<(), Malformed> {
        self.0 = self.0.checked_sub(1).ok_or(Malformed("the body holds more values than any report"))?;
        Ok(())
    }
}

/// A body that is no answer of CAKE's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Malformed(pub(super) &'static str);

impl fmt::Display for Malformed {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.0)
    }
}

/// A value of either format.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Node {
    /// `null`, or an element with `xsi:nil`.
    Null,
    /// A text, or a number or boolean as it is written.
    Text(CompactString),
    /// A JSON list. XML has none: there, rows are members of the same name.
    List(Vec<Self>),
    /// Named members, in order.
    Object(Fields),
}

/// Named members, in order; names are in lower case and, in XML, may repeat.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Fields(pub(super) Vec<(CompactString, Node)>);

/// A whole answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Document {
    /// The local name of XML's root element, in lower case; empty for JSON.
    pub(super) root: CompactString,
    /// What is inside.
    pub(super) content: Node,
}

impl Fields {
    /// The first member of this name.
    pub(super) fn get(&self, name: &str) -> Option<&Node> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, node)| node)
    }

    /// The text of the first of these names that has one; blank and null count as absent.
    pub(super) fn text(&self, names: &[&str]) -> Option<&str> {
        names.iter().find_map(|name| match self.get(name)? {
            Node::Text(text) => Some(text.trim()).filter(|text| !text.is_empty()),
            Node::Null | Node::List(_) | Node::Object(_) => None,
        })
    }
}

/// Reads a body by what it starts with.
pub(super) fn parse(body: &[u8]) -> Result<Document, Malformed> {
    let text = std::str::from_utf8(body).map_err(|_| Malformed("the body is not UTF-8"))?;
    let text = text.trim_start_matches('\u{feff}').trim();
    match text.as_bytes().first() {
        Some(b'<') => xml::parse(text),
        Some(b'{' | b'[') => {
            let raw: &RawValue = serde_json::from_str(text).map_err(|_| Malformed("the body is not valid JSON"))?;
            Ok(Document { root: CompactString::default(), content: json(raw, 0, &mut Room::default())? })
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
