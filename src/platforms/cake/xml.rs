//! XML into [`Node`]s.
//!
//! Names lose their namespace prefix, because the generations of the API differ in nothing else; an element with
//! child elements is an object, any other a text. A document type is refused and so is every entity but XML's own
//! five, so nothing in here can expand.

use compact_str::CompactString;
use quick_xml::Reader;
use quick_xml::events::{BytesRef, BytesStart, Event};

use super::tree::{Document, Fields, MAX_DEPTH, Malformed, Node, Room};

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
                append(&mut open, &text.xml10_content())?;
                None
            }
            Event::CData(text) => {
                append(&mut open, &text.xml10_content())?;
                None
            }
            Event::GeneralRef(entity) => {
                append(&mut open, resolve(&entity)?.encode_utf8(&mut [0; 4]))?;
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
                None if root.is_none() => root = Some(Document { root: name, content: node }),
                None => return Err(INVALID),
            }
        }
    }
    if open.is_empty() { root.ok_or(INVALID) } else { Err(INVALID) }
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

fn resolve(entity: &BytesRef<'_>) -> Result<char, Malformed> {
    if let Some(character) = entity.resolve_char_ref().map_err(|_| INVALID)? {
        return Ok(character);
    }
    match &**entity {
        "amp" => Ok('&'),
        "lt" => Ok('<'),
        "gt" => Ok('>'),
        "quot" => Ok('"'),
        "apos" => Ok('\''),
        _ => Err(Malformed("the XML refers to an entity of its own")),
    }
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
    fn document_types_and_entities_are_refused() {
        for hostile in [
            r#"<!DOCTYPE r [<!ENTITY a "b">]><r>&a;</r>"#,
            r#"<!DOCTYPE r SYSTEM "http://example.com/x.dtd"><r/>"#,
            "<r>&a;</r>",
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
