//! Rows of JSON that are written like a row before them.
//!
//! A row is values (numbers, texts, `true`, `false` and `null`) and glue between them: brackets, names, colons, commas and
//! blanks. The rows of one answer nearly always share their glue to the letter. Where it is known, a row is read by
//! comparing the glue and finding the end of each value: no name is looked up, nothing is copied, and a value that nobody
//! reads costs no more than its length.
//!
//! A row that differs anywhere, or is no JSON, is not read here at all. It is for the full reader to read or to refuse it.

/// The deepest row that a pattern is made of, and the most values and the longest list of names that it has.
const MOST_DEPTH: usize = 8;
const MOST_VALUES: usize = 256;
const MOST_NAMES: usize = 64;

/// What stands somewhere in a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A number, a text, `true`, `false` or `null`.
    Value,
    Object,
    Array,
}

/// What is done with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Use {
    /// A value is found in this cell.
    Cell(usize),
    /// Nobody reads it. The values in an object or an array are asked about one by one.
    Nothing,
    /// The full reader reads such rows.
    Unfit,
}

/// How a row is written.
pub(super) struct Pattern<'a> {
    steps: Vec<Step<'a>>,
    /// What follows the last value.
    end: &'a str,
}

/// Glue, and where the value behind it is found.
struct Step<'a> {
    glue: Glue<'a>,
    /// Out of range for a value that nobody reads.
    cell: usize,
}

/// What stands between two values.
struct Glue<'a> {
    text: &'a [u8],
    /// The first bytes, and which of them there are.
    start: u128,
    mask: u128,
}

/// Bytes that are looked at at once.
const AT_ONCE: usize = size_of::<u128>();

impl<'a> Glue<'a> {
    fn new(text: &'a str) -> Self {
        let text = text.as_bytes();
        let mut start = [0; AT_ONCE];
        start.iter_mut().zip(text).for_each(|(byte, glue)| *byte = *glue);
        let mask = u128::MAX.checked_shr(8 * AT_ONCE.saturating_sub(text.len()) as u32).unwrap_or_default();
        Self { text, start: u128::from_le_bytes(start), mask }
    }

    /// What follows it, where a text begins with it. Most glue is as short as what is looked at at once.
    fn strip<'t>(&self, text: &'t [u8]) -> Option<&'t [u8]> {
        if let Some(start) = text.first_chunk()
            && self.text.len() <= AT_ONCE
        {
            let is_same = (u128::from_le_bytes(*start) ^ self.start) & self.mask == 0;
            return is_same.then(|| text.get(self.text.len()..))?;
        }
        text.strip_prefix(self.text)
    }
}

/// Of a value that nobody reads.
const NO_CELL: usize = usize::MAX;

impl<'a> Pattern<'a> {
    /// The pattern of a row that is valid JSON. `of` says what is done with what stands under a path of names, which has
    /// none for the row itself and for the elements of an array that of the array.
    pub(super) fn of(row: &'a str, of: impl FnMut(&[&'a str], Kind) -> Use) -> Option<Self> {
        let mut learner = Learner { rest: row, glue_from: row, of, path: Vec::new(), depth: 0, steps: Vec::new() };
        learner.value()?;
        let end = learner.glue_from;
        learner.rest.is_empty().then_some(Self { steps: learner.steps, end })
    }

    /// Reads the row that a text begins with, and returns what follows it. `None` where it is written in another way.
    ///
    /// Values are found in their cells as they are written. Cells that the pattern does not have are left alone.
    pub(super) fn read<'t>(&self, text: &'t str, cells: &mut [&'t str]) -> Option<&'t str> {
        let mut rest = text.as_bytes();
        for step in &self.steps {
            rest = step.glue.strip(rest)?;
            let behind = rest.get(length(rest)?..)?;
            if let Some(cell) = cells.get_mut(step.cell) {
                *cell = text.get(text.len() - rest.len()..text.len() - behind.len())?;
            }
            rest = behind;
        }
        text.get(text.len() - rest.len()..)?.strip_prefix(self.end)
    }
}

/// Takes a row apart.
struct Learner<'a, F> {
    rest: &'a str,
    /// The same from where the glue begins that is being read.
    glue_from: &'a str,
    of: F,
    path: Vec<&'a str>,
    depth: usize,
    steps: Vec<Step<'a>>,
}

impl<'a, F: FnMut(&[&'a str], Kind) -> Use> Learner<'a, F> {
    fn value(&mut self) -> Option<()> {
        self.skip_blanks();
        match self.rest.as_bytes().first()? {
            b'{' => self.object(),
            b'[' => self.array(),
            _ => self.scalar(),
        }
    }

    fn object(&mut self) -> Option<()> {
        self.enter(Kind::Object)?;
        self.take('{')?;
        let mut names = Vec::new();
        while !self.ends_with('}', names.is_empty())? {
            let (name, rest) = self.rest.split_at_checked(length(self.rest.as_bytes())?)?;
            let name = name.strip_prefix('"')?.strip_suffix('"')?;
            // What a name says is known without unescaping it, and no name comes twice.
            if name.contains('\\') || names.contains(&name) || names.len() == MOST_NAMES {
                return None;
            }
            names.push(name);
            self.rest = rest;
            self.skip_blanks();
            self.take(':')?;
            self.path.push(name);
            self.value()?;
            self.path.pop();
        }
        self.depth -= 1;
        Some(())
    }

    fn array(&mut self) -> Option<()> {
        self.enter(Kind::Array)?;
        self.take('[')?;
        let mut is_empty = true;
        while !self.ends_with(']', is_empty)? {
            is_empty = false;
            self.value()?;
        }
        self.depth -= 1;
        Some(())
    }

    fn scalar(&mut self) -> Option<()> {
        let cell = match (self.of)(&self.path, Kind::Value) {
            Use::Cell(cell) => cell,
            Use::Nothing => NO_CELL,
            Use::Unfit => return None,
        };
        let glue = self.glue_from.get(..self.glue_from.len().checked_sub(self.rest.len())?)?;
        if self.steps.len() == MOST_VALUES {
            return None;
        }
        self.steps.push(Step { glue: Glue::new(glue), cell });
        self.rest = self.rest.get(length(self.rest.as_bytes())?..)?;
        self.glue_from = self.rest;
        Some(())
    }

    /// Goes into an object or array, where it is not too deep and means something that is read here.
    fn enter(&mut self, kind: Kind) -> Option<()> {
        self.depth += 1;
        (self.depth <= MOST_DEPTH && (self.of)(&self.path, kind) == Use::Nothing).then_some(())
    }

    /// Whether an object or array ends here; otherwise what stands before its next element is passed.
    fn ends_with(&mut self, bracket: char, is_first: bool) -> Option<bool> {
        self.skip_blanks();
        if let Some(rest) = self.rest.strip_prefix(bracket) {
            self.rest = rest;
            return Some(true);
        }
        if !is_first {
            self.take(',')?;
            self.skip_blanks();
        }
        Some(false)
    }

    fn take(&mut self, letter: char) -> Option<()> {
        self.rest = self.rest.strip_prefix(letter)?;
        Some(())
    }

    fn skip_blanks(&mut self) {
        self.rest = without_blanks(self.rest);
    }
}

/// A text without the blanks of JSON at its start.
pub(super) fn without_blanks(text: &str) -> &str {
    text.trim_start_matches([' ', '\n', '\r', '\t'])
}

/// How long the value is that a text begins with; `None` where it begins with none.
pub(super) fn length(text: &[u8]) -> Option<usize> {
    match text.first()? {
        b'"' => string_length(text),
        b'-' | b'0'..=b'9' => number_length(text),
        b'n' => text.starts_with(b"null").then_some(4),
        b't' => text.starts_with(b"true").then_some(4),
        b'f' => text.starts_with(b"false").then_some(5),
        _ => None,
    }
}

fn number_length(text: &[u8]) -> Option<usize> {
    text.first_chunk().and_then(short_number_length).or_else(|| any_number_length(text))
}

/// The same of a number without a sign and an exponent that ends within these bytes; `None` for all others.
fn short_number_length(text: &[u8; AT_ONCE]) -> Option<usize> {
    let bytes = u128::from_le_bytes(*text);
    let values = bytes ^ (ONES * u128::from(b'0'));
    // Of a digit the value is below ten: added to 118, it leaves the highest bit alone.
    let mut others = (((values & !HIGH) + ONES * 118) | values) & HIGH;
    let place = |marks: u128| (marks.trailing_zeros() / 8) as usize;
    let whole = place(others);
    let mut end = whole;
    if text.get(whole) == Some(&b'.') {
        others &= others.wrapping_sub(1);
        end = place(others);
        if end == whole + 1 {
            return None;
        }
    }
    let is_plain = whole == 1 || (whole > 1 && text.first() != Some(&b'0'));
    (is_plain && !matches!(text.get(end)?, b'e' | b'E')).then_some(end)
}

fn any_number_length(text: &[u8]) -> Option<usize> {
    let digits =
        |from: usize| text.get(from..)?.iter().position(|byte| !byte.is_ascii_digit()).filter(|count| *count > 0);
    let mut at = usize::from(text.first() == Some(&b'-'));
    at += if text.get(at) == Some(&b'0') { 1 } else { digits(at)? };
    if text.get(at) == Some(&b'.') {
        at += 1;
        at += digits(at)?;
    }
    if let Some(b'e' | b'E') = text.get(at) {
        at += 1;
        at += usize::from(matches!(text.get(at), Some(b'+' | b'-')));
        at += digits(at)?;
    }
    Some(at)
}

fn string_length(text: &[u8]) -> Option<usize> {
    let mut at = 1;
    loop {
        at += plain_length(text.get(at..)?);
        match text.get(at)? {
            b'"' => return Some(at + 1),
            b'\\' => match text.get(at + 1)? {
                b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => at += 2,
                b'u' if text.get(at + 2..at + 6)?.iter().all(u8::is_ascii_hexdigit) => at += 6,
                _ => return None,
            },
            // Control characters have to be escaped.
            _ => return None,
        }
    }
}

/// One in each byte, and the highest bit of each.
const ONES: u128 = u128::from_le_bytes([1; AT_ONCE]);
const HIGH: u128 = ONES << 7;

/// How many bytes of a JSON text stand for themselves.
fn plain_length(text: &[u8]) -> usize {
    let equals = |bytes: u128, byte: u8| {
        let differs = bytes ^ (ONES * u128::from(byte));
        differs.wrapping_sub(ONES) & !differs
    };
    let mut length = 0;
    let mut rest = text;
    // A borrow can only mark bytes above one that is rightly marked, so the lowest mark is right.
    while let Some((bytes, behind)) = rest.split_first_chunk() {
        let bytes = u128::from_le_bytes(*bytes);
        let control = bytes.wrapping_sub(ONES * 0x20) & !bytes;
        let marks = (equals(bytes, b'"') | equals(bytes, b'\\') | control) & HIGH;
        if marks != 0 {
            return length + (marks.trailing_zeros() / 8) as usize;
        }
        length += AT_ONCE;
        rest = behind;
    }
    length + rest.iter().take_while(|byte| !matches!(byte, b'"' | b'\\' | 0..0x20)).count()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::value::RawValue;

    use super::*;

    const ROW: &str =
        r#"{"id": 7, "name": "a \"b\" \u00e4", "of": {"clicks": -1.5e+3, "list": [1, [], {}]}, "on": true}"#;

    /// Cells for the id, the name and the clicks.
    fn pattern(row: &str) -> Option<Pattern<'_>> {
        Pattern::of(row, |path, kind| match (path, kind) {
            (["id"], Kind::Value) => Use::Cell(0),
            (["name"], Kind::Value) => Use::Cell(1),
            (["of", "clicks"], Kind::Value) => Use::Cell(2),
            (["of", "clicks"], _) => Use::Unfit,
            _ => Use::Nothing,
        })
    }

    fn read<'t>(pattern: &Pattern<'_>, text: &'t str) -> Option<([&'t str; 3], &'t str)> {
        let mut cells = [""; 3];
        let rest = pattern.read(text, &mut cells)?;
        Some((cells, rest))
    }

    #[test]
    fn a_row_written_like_another_is_read_to_its_end() {
        let pattern = pattern(ROW).expect("a pattern");
        let other = r#"{"id": null, "name": "x", "of": {"clicks": 0, "list": [22, [], {}]}, "on": "off"},{"#;
        assert_eq!(read(&pattern, ROW), Some((["7", r#""a \"b\" \u00e4""#, "-1.5e+3"], "")));
        assert_eq!(read(&pattern, other), Some((["null", r#""x""#, "0"], ",{")));
    }

    #[test]
    fn a_row_written_differently_is_not_read() {
        let pattern = pattern(ROW).expect("a pattern");
        for (from, to) in [
            ("\"id\": 7", "\"id\":7"),
            ("\"id\"", "\"ID\""),
            ("[]", "[2]"),
            ("{}", "null"),
            ("-1.5e+3", "{}"),
            ("-1.5e+3", "-01"),
            ("-1.5e+3", "1."),
            ("-1.5e+3", "1e"),
            ("-1.5e+3", "+1"),
            ("true", "truth"),
            ("\\u00e4", "\\u00g4"),
            ("\\u00e4", "\\x"),
            ("\\u00e4", "\n"),
        ] {
            assert_eq!(read(&pattern, &ROW.replacen(from, to, 1)), None, "{to}");
        }
        assert_eq!(read(&pattern, ROW.get(..ROW.len() - 1).expect("a start")), None);
    }

    #[test]
    fn a_row_that_may_mean_something_else_gives_no_pattern() {
        let deep = format!("{{\"a\": {}1{}}}", "[".repeat(MOST_DEPTH), "]".repeat(MOST_DEPTH));
        let many = format!("{{\"a\": [1{}]}}", ",1".repeat(MOST_VALUES));
        for row in [r#"{"id": 1, "id": 2}"#, r#"{"i\u0064": 1}"#, r#"{"of": {"clicks": []}}"#, "{", "{} ", &deep, &many]
        {
            assert!(pattern(row).is_none(), "{row}");
        }
    }

    proptest! {
        #[test]
        fn a_value_ends_where_a_full_reader_ends_it(
            text in "(\"|-?[0-9]|null|true|false)[\"\\\\u0-9a-f.eE+\\-\u{1} é,}]{0,24}",
        ) {
            let mut full = serde_json::Deserializer::from_str(&text).into_iter::<&RawValue>();
            let full = full.next().and_then(Result::ok).map(|value| value.get().len());
            // Behind it there may be anything here, and not everything there.
            if let Some(full) = full {
                prop_assert_eq!(length(text.as_bytes()).or(Some(text.len())), Some(full));
            } else if let Some(length) = length(text.as_bytes()) {
                let value = text.get(..length).expect("whole letters");
                prop_assert!(serde_json::from_str::<&RawValue>(value).is_ok(), "{}", value);
            }
        }

        #[test]
        fn any_text_is_a_pattern_or_none_without_a_panic(text in "[{}\\[\\]\":,a1\\\\ ]{0,60}") {
            let _ = pattern(&text).map(|pattern| read(&pattern, &text).is_some());
        }
    }
}
