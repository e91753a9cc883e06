//! One shape for both of CAKE's formats.
//!
//! Networks answer the same report as JSON or as XML, and not always in the format that was asked for or that the
//! header names. The first byte of the body decides which parser reads it (`parse`), and everything after it sees
//! names (in lower case, without namespaces), texts and nothing else. Numbers stay the text they were written as.

use std::fmt;

use compact_str::CompactString;

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
    /// Whether it held what its format forbids, as far as its reader had to see to that.
    pub(super) is_repaired: bool,
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
