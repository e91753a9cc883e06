//! XML into [`Node`]s.
//!
//! Names lose their namespace prefix, because the generations of the API differ in nothing else; an element with
//! child elements is an object, any other a text. A document type is refused, and an entity stands for what XML or HTML
//! has it stand for or else for itself, so nothing in here can expand.
//!
//! Networks put names into it that XML forbids: control characters, references to them, `&nbsp;`, a bare `&`. They cost
//! nothing but themselves.

use std::borrow::Cow;

use compact_str::CompactString;
use quick_xml::Reader;
use quick_xml::events::{BytesRef, BytesStart, Event};

use super::tree::{Document, Fields, MAX_DEPTH, Malformed, Node, Room};
use crate::outbound::MARK;

/// A text with a mark in place of what XML forbids, and whether there was nothing of the kind.
fn legible(text: &str) -> (Cow<'_, str>, bool) {
    if text.contains(is_forbidden) {
        let marked = text.chars().map(|letter| if is_forbidden(letter) { MARK } else { letter });
        return (Cow::Owned(marked.collect()), false);
    }
    (Cow::Borrowed(text), true)
}

const INVALID: Malformed = Malformed("the body is not valid XML");

/// An element whose end has not been read yet.
struct Open {
    name: CompactString,
    nil: bool,
    text: CompactString,
    children: Vec<(CompactString, Node)>,
}

impl Open {
    fn of(start: &BytesStart<'_>) -> Result<Self, Malformed> {
        let mut nil = false;
        for attribute in start.attributes() {
            let attribute = attribute.map_err(|_| INVALID)?;
            let is_nil = attribute.key.local_name().as_ref() == "nil";
            nil |= is_nil && matches!(attribute.value.as_ref(), "true" | "1");
        }
        let name = start.local_name().as_ref().to_lowercase().into();
        Ok(Self { name, nil, text: CompactString::default(), children: Vec::new() })
    }

    fn close(self) -> Result<(CompactString, Node), Malformed> {
        let node = if self.nil {
            Node::Null
        } else if self.children.is_empty() {
            Node::Text(self.text)
        } else if self.text.trim().is_empty() {
            Node::Object(Fields(self.children))
        } else {
            return Err(Malformed("the XML mixes text and elements"));
        };
        Ok((self.name, node))
    }
}

/// Reads one document.
pub(super) fn parse(text: &str) -> Result<Document, Malformed> {
    let mut reader = Reader::from_str(text);
    reader.config_mut().allow_dangling_amp = true;
    let mut is_repaired = false;
    let mut open: Vec<Open> = Vec::new();
    let mut root: Option<Document> = None;
    let mut room = Room::default();
    loop {
        let closed = match reader.read_event().map_err(|_| INVALID)? {
            Event::Start(start) => {
                if open.len() >= MAX_DEPTH {
                    return Err(Malformed("the XML is nested too deeply"));
                }
                open.push(Open::of(&start)?);
                None
            }
            Event::Empty(start) => Some(Open::of(&start)?.close()?),
            Event::End(_) => Some(open.pop().ok_or(INVALID)?.close()?),
            Event::Text(text) => {
                let text = text.xml10_content();
                let (text, is_clean) = legible(&text);
                is_repaired |= !is_clean || text.starts_with('&');
                append(&mut open, &text)?;
                None
            }
            Event::CData(text) => {
                let text = text.xml10_content();
                let (text, is_clean) = legible(&text);
                is_repaired |= !is_clean;
                append(&mut open, &text)?;
                None
            }
            Event::GeneralRef(entity) => {
                let (text, is_known) = resolve(&entity);
                is_repaired |= !is_known;
                append(&mut open, &text)?;
                None
            }
            Event::DocType(_) => return Err(Malformed("the XML has a document type")),
            Event::Decl(_) | Event::PI(_) | Event::Comment(_) => None,
            Event::Eof => break,
        };
        if let Some((name, node)) = closed {
            room.take()?;
            match open.last_mut() {
                Some(parent) => parent.children.push((name, node)),
                None if root.is_none() => root = Some(Document { root: name, content: node, is_repaired: false }),
                None => return Err(INVALID),
            }
        }
    }
    let root = root.filter(|_| open.is_empty()).ok_or(INVALID)?;
    Ok(Document { is_repaired, ..root })
}

/// Adds text to the innermost element; outside of the root there may be only blanks.
fn append(open: &mut [Open], text: &str) -> Result<(), Malformed> {
    match open.last_mut() {
        Some(element) => element.text.push_str(text),
        None if text.trim().is_empty() => {}
        None => return Err(INVALID),
    }
    Ok(())
}

/// What a reference stands for, and whether XML has it. One that nobody has declared is kept as it is written.
fn resolve(entity: &BytesRef<'_>) -> (Cow<'static, str>, bool) {
    let written: &str = entity;
    if let Some(number) = written.strip_prefix('#') {
        return match numbered(number) {
            Some(letter) if is_forbidden(letter) => (MARK.to_string().into(), false),
            Some(letter) => (letter.to_string().into(), true),
            None => (char::REPLACEMENT_CHARACTER.to_string().into(), false),
        };
    }
    match written {
        "amp" => ("&".into(), true),
        "lt" => ("<".into(), true),
        "gt" => (">".into(), true),
        "quot" => ("\"".into(), true),
        "apos" => ("'".into(), true),
        "nbsp" => ("\u{a0}".into(), false),
        other => (format!("&{other};").into(), false),
    }
}

/// The character of a reference by number, decimal or (after an `x`) hexadecimal.
fn numbered(number: &str) -> Option<char> {
    let number = match number.strip_prefix(['x', 'X']) {
        Some(digits) => u32::from_str_radix(digits, 16),
        None => number.parse(),
    };
    char::from_u32(number.ok()?)
}

/// Whether XML has no place for a character.
fn is_forbidden(letter: char) -> bool {
    letter < ' ' && !matches!(letter, '\t' | '\n' | '\r')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn namespaces_nil_and_empty_elements_are_understood() {
        let document = parse(
            r#"<r xmlns="u" xmlns:xsi="x"><a xmlns="API:id_name_store">4 &amp; <![CDATA[<2>]]>&#33;</a><b xsi:nil="true" /><c /></r>"#,
        )
        .expect("XML");
        let text = |text: &str| Node::Text(text.into());
        assert_eq!(document.root, "r");
        assert_eq!(
            document.content,
            Node::Object(Fields(vec![
                ("a".into(), text("4 & <2>!")),
                ("b".into(), Node::Null),
                ("c".into(), text(""))
            ]))
        );
    }

    #[test]
    fn what_xml_forbids_costs_nothing_but_itself() {
        for (xml, text, is_repaired) in [
            ("<r>a&#65;&#x42;&#9;</r>", "aAB\t", false),
            ("<r>a&#x0;b&#1;</r>", "a\u{fdd0}b\u{fdd0}", true),
            ("<r>a&#xD83D;</r>", "a\u{fffd}", true),
            ("<r>a&#x110000;&#;</r>", "a\u{fffd}\u{fffd}", true),
            ("<r>a&nbsp;b</r>", "a\u{a0}b", true),
            ("<r>a&euro;b</r>", "a&euro;b", true),
            ("<r>A & B</r>", "A & B", true),
            ("<r>A &</r>", "A &", true),
            ("<r>a\u{7}b</r>", "a\u{fdd0}b", true),
            ("<r><![CDATA[a\u{7}&nbsp;]]></r>", "a\u{fdd0}&nbsp;", true),
            ("<r>a &amp; b\n</r>", "a & b\n", false),
        ] {
            let document = parse(xml).expect(xml);
            assert_eq!((document.content, document.is_repaired), (Node::Text(text.into()), is_repaired), "{xml}");
        }
    }

    #[test]
    fn document_types_are_refused() {
        for hostile in [
            r#"<!DOCTYPE r [<!ENTITY a "b">]><r>&a;</r>"#,
            r#"<!DOCTYPE r SYSTEM "http://example.com/x.dtd"><r/>"#,
            "<r><a></r>",
            "<r/><r/>",
            "<r/>text",
            "<r>",
            "",
        ] {
            assert!(parse(hostile).is_err(), "{hostile}");
        }
    }
}
