//! A page read quickly: most of its rows are written like the first one.
//!
//! What differs from that is read in full, row by row. Where the page is not what it should be, nothing is read at all:
//! the full reader says what is wrong with it.

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::super::list::MOST_ROWS;
use super::super::number;
use super::super::pattern::{Kind, Pattern, Use, length, without_blanks};
use super::super::stats::Row;
use super::line::{Entity, Given, Line};
use super::numbers::{Actions, Block, Part, State, Tally, Traffic};
use super::rows::{Body, Count, Page, Reading};
use super::wire::{Raw, SUCCESS};

/// Patterns of one page. A page whose rows are written in more ways than that is read in full.
const MOST_SHAPES: usize = 4;

/// Rows of a full page, and the bytes of a short one: memory for as many rows as there probably are is reserved at once.
const USUAL_ROWS: usize = 500;
const SHORT_ROW_BYTES: usize = 512;

/// Where the values of a row are found.
type Cells<'a> = [&'a str; CELLS];

const YEAR: usize = 0;
const MONTH: usize = 1;
const DAY: usize = 2;
const HOUR: usize = 3;
const COUNTRY: usize = 4;
/// Five of them.
const SUBS: usize = 5;
/// Five of each entity.
const ENTITIES: usize = 10;
const VIEWS: usize = 25;
const RAW: usize = 26;
const UNIQ: usize = 27;
const CHARGE: usize = 28;
const REVENUE: usize = 29;
/// The counts of the states, then those of states that are not known here.
const COUNTS: usize = 30;
const CELLS: usize = 40;

const ENTITY_NAMES: [&str; 3] = ["affiliate", "offer", "advertiser"];
const ENTITY_MEMBERS: [&str; 5] = ["id", "title", "login", "name", "email"];
const SUB_NAMES: [&str; 5] = ["sub1", "sub2", "sub3", "sub4", "sub5"];
const STATES: [(&str, State); 5] = [
    ("total", State::Total),
    ("confirmed", State::Confirmed),
    ("pending", State::Pending),
    ("declined", State::Declined),
    ("hold", State::Hold),
];

/// How rows are written, and what they have.
struct Shape<'a> {
    pattern: Pattern<'a>,
    has: Has<'a>,
}

/// What rows of one shape have, be it empty.
#[derive(Default)]
struct Has<'a> {
    slice: bool,
    entities: [bool; 3],
    traffic: bool,
    actions: bool,
    /// All states, in their order: the known ones by their place among those.
    states: Vec<(Option<usize>, &'a str)>,
    /// The cells that are filled.
    cells: Vec<usize>,
}

impl<'a> Has<'a> {
    /// What is done with what stands somewhere in a row.
    fn take(&mut self, path: &[&'a str], kind: Kind) -> Use {
        let place = |names: &[&str], name: &str| names.iter().position(|known| *known == name);
        let cell = match (path, kind) {
            ([], Kind::Object) => return Use::Nothing,
            (["slice"], Kind::Object) => return found(&mut self.slice),
            (["traffic"], Kind::Object) => return found(&mut self.traffic),
            (["actions"], Kind::Object) => return found(&mut self.actions),
            (["slice", name], kind) => match (place(&ENTITY_NAMES, name), kind) {
                (Some(entity), Kind::Object) => return self.entities.get_mut(entity).map_or(Use::Unfit, found),
                (Some(_), _) => return Use::Unfit,
                (None, Kind::Value) => slice_cell(name),
                (None, _) if slice_cell(name).is_some() => return Use::Unfit,
                (None, _) => None,
            },
            (["slice", entity, member], kind) => match (place(&ENTITY_NAMES, entity), place(&ENTITY_MEMBERS, member)) {
                (Some(_), Some(_)) if kind != Kind::Value => return Use::Unfit,
                (Some(entity), Some(member)) => Some(ENTITIES + entity * ENTITY_MEMBERS.len() + member),
                _ => None,
            },
            (["views"], Kind::Value) => Some(VIEWS),
            (["traffic", "raw"], Kind::Value) => Some(RAW),
            (["traffic", "uniq"], Kind::Value) => Some(UNIQ),
            (["actions", state], Kind::Object) => {
                let known = STATES.iter().position(|(name, _)| name == state);
                self.states.push((known, state));
                return Use::Nothing;
            }
            (["actions", "confirmed", "charge"], Kind::Value) => Some(CHARGE),
            (["actions", "confirmed", "revenue"], Kind::Value) => Some(REVENUE),
            // Of the state that was entered last.
            (["actions", _, "count"], Kind::Value) => Some(COUNTS + self.states.len().saturating_sub(1)),
            (
                []
                | ["slice" | "traffic" | "actions" | "views"]
                | ["traffic", "raw" | "uniq"]
                | ["actions", _]
                | ["actions", _, "count"]
                | ["actions", "confirmed", "charge" | "revenue"],
                _,
            ) => return Use::Unfit,
            _ => None,
        };
        match cell {
            Some(cell) if cell < CELLS => {
                self.cells.push(cell);
                Use::Cell(cell)
            }
            Some(_) => Use::Unfit,
            None => Use::Nothing,
        }
    }

    /// Whether rows of this shape can be told from each other by their cells.
    fn is_whole(&self) -> bool {
        let counts = (0..self.states.len()).all(|place| self.cells.contains(&(COUNTS + place)));
        self.slice && counts
    }
}

fn found(is_there: &mut bool) -> Use {
    *is_there = true;
    Use::Nothing
}

fn slice_cell(name: &str) -> Option<usize> {
    match name {
        "year" => Some(YEAR),
        "month" => Some(MONTH),
        "day" => Some(DAY),
        "hour" => Some(HOUR),
        "country" => Some(COUNTRY),
        _ => SUB_NAMES.iter().position(|known| *known == name).map(|place| SUBS + place),
    }
}

impl<'a> Shape<'a> {
    /// The shape of a row that the full reader has read.
    fn of(row: &'a str) -> Option<Self> {
        let mut has = Has::default();
        let pattern = Pattern::of(row, |path, kind| has.take(path, kind))?;
        has.is_whole().then_some(Self { pattern, has })
    }

    /// Reads the row that a text begins with, and what follows it.
    fn read<'t>(&self, text: &'t str) -> Option<(Line<'t>, &'t str)> {
        let mut cells: Cells<'t> = [""; CELLS];
        let rest = self.pattern.read(text, &mut cells)?;
        Some((self.line(&cells)?, rest))
    }

    fn line<'t>(&self, cells: &Cells<'t>) -> Option<Line<'t>> {
        let [year, month, day, hour, country, sub1, sub2, sub3, sub4, sub5, ..] = cells;
        let (_, entities) = cells.split_at_checked(ENTITIES)?;
        let mut entities = entities.chunks_exact(ENTITY_MEMBERS.len()).zip(self.has.entities).map(|(cells, has)| {
            let [id, title, login, name, email] = cells else { return None };
            let [id, title, login, name, email] = [id, title, login, name, email].map(|cell| written(cell));
            has.then_some(Entity { id, title, login, name, email })
        });
        let slice = Given {
            year: count(year)?,
            month: count(month)?,
            day: count(day)?,
            hour: count(hour)?,
            affiliate: entities.next()?,
            offer: entities.next()?,
            advertiser: entities.next()?,
            country: present(country),
            sub1: present(sub1),
            sub2: present(sub2),
            sub3: present(sub3),
            sub4: present(sub4),
            sub5: present(sub5),
        };
        let cell = |at: usize| cells.get(at).copied();
        let traffic = Traffic { raw: count(cell(RAW)?)?, uniq: count(cell(UNIQ)?)? };
        let mut actions = Actions::default();
        for ((known, _), cell) in self.has.states.iter().zip(cells.get(COUNTS..)?) {
            let count = count(cell)?;
            let state = known.and_then(|place| STATES.get(place)).map_or(State::Other, |(_, state)| *state);
            actions.put(&state, Some(Tally { count }));
            if let State::Confirmed = state {
                let [charge, revenue] = [cells.get(CHARGE)?, cells.get(REVENUE)?].map(|cell| written(cell));
                actions.confirmed = Some(Block { count, charge, revenue });
            }
        }
        let (traffic, actions) = (self.has.traffic.then_some(traffic), self.has.actions.then_some(actions));
        Some(Line { slice, traffic: Part(traffic), actions: Part(actions), views: count(cell(VIEWS)?)? })
    }
}

/// A count, or that there is none; the outer `None` is for the full reader to explain.
fn count(cell: &str) -> Option<Option<i64>> {
    if cell.is_empty() { Some(None) } else { number::count_of(cell).ok() }
}

fn present(cell: &str) -> Option<Raw<'_>> {
    (!cell.is_empty()).then_some(Raw(cell))
}

fn written(cell: &str) -> Option<Raw<'_>> {
    present(cell).filter(|_| cell != "null")
}

impl Reading {
    /// Reads an answer, or says what is wrong with it.
    pub(super) fn page(&self, body: &[u8]) -> Result<Page, String> {
        // Looked through once as a whole, which takes less than text by text. What stands in texts that nobody reads is
        // no reason to refuse an answer.
        let read = match std::str::from_utf8(body) {
            Ok(text) => match self.quickly(text) {
                Some(read) => Ok(read),
                None => self.in_full(text),
            },
            Err(_) => self.body(serde_json::Deserializer::from_slice(body)),
        };
        let Body { status, rows, pagination } = read.map_err(|error| error.to_string())?;
        if status != Some(SUCCESS) {
            return Err("`status` does not say success".to_owned());
        }
        let whole = |number: Option<i64>| number.and_then(|number| u64::try_from(number).ok());
        Ok(Page {
            rows,
            number: whole(pagination.page),
            per_page: whole(pagination.per_page).filter(|size| *size > 0).ok_or("`pagination.per_page` is missing")?,
            total: whole(pagination.total_count).ok_or("`pagination.total_count` is missing")?,
            has_next: pagination.next_page.is_some(),
        })
    }

    /// Reads a page, if it is one.
    pub(super) fn quickly(&self, text: &str) -> Option<Body> {
        read(self, text)
    }
}

fn read(reading: &Reading, text: &str) -> Option<Body> {
    let room = text.len().div_ceil(SHORT_ROW_BYTES).min(USUAL_ROWS);
    let (mut status, mut rows, mut pagination) = (None, None, None);
    let mut rest = without_blanks(text).strip_prefix('{')?;
    loop {
        let (name, value) = member(rest)?;
        rest = match name {
            "\"stats\"" if rows.is_none() => {
                let (read, rest) = read_rows(reading, value, room)?;
                rows = Some(read);
                rest
            }
            "\"stats\"" => return None,
            "\"status\"" => {
                let (Count(count), rest) = one(value)?;
                status = count;
                rest
            }
            "\"pagination\"" => {
                let (read, rest) = one(value)?;
                pagination = Some(read);
                rest
            }
            // What it says is not sure before it is unescaped.
            name if name.contains('\\') => return None,
            _ => one::<IgnoredAny>(value)?.1,
        };
        rest = without_blanks(rest);
        match rest.strip_prefix(',') {
            Some(behind) => rest = behind,
            None => break,
        }
    }
    let end = rest.strip_prefix('}')?;
    without_blanks(end).is_empty().then_some(Body { status, rows: rows?, pagination: pagination? })
}

fn read_rows<'a>(reading: &Reading, text: &'a str, room: usize) -> Option<(Vec<Row>, &'a str)> {
    let mut rest = without_blanks(text).strip_prefix('[')?;
    let mut rows = Vec::with_capacity(room);
    let mut shapes: Vec<Shape<'a>> = Vec::new();
    if let Some(end) = without_blanks(rest).strip_prefix(']') {
        return Some((rows, end));
    }
    loop {
        rest = without_blanks(rest);
        let (line, behind) = match shapes.iter().find_map(|shape| shape.read(rest)) {
            Some(read) => read,
            None => {
                let (line, behind) = one::<Line<'a>>(rest)?;
                if shapes.len() < MOST_SHAPES {
                    let row = rest.get(..rest.len().checked_sub(behind.len())?)?;
                    shapes.extend(Shape::of(row));
                }
                (line, behind)
            }
        };
        if rows.len() == MOST_ROWS {
            return None;
        }
        rows.push(reading.row(&line).ok()?);
        rest = without_blanks(behind);
        match (rest.strip_prefix(','), rest.strip_prefix(']')) {
            (Some(next), _) => rest = next,
            (None, Some(end)) => return Some((rows, end)),
            (None, None) => return None,
        }
    }
}

/// A name in its quotes, and the value behind it.
fn member(text: &str) -> Option<(&str, &str)> {
    let text = without_blanks(text);
    let (name, rest) = text.split_at_checked(length(text.as_bytes())?)?;
    Some((name.starts_with('"').then_some(name)?, without_blanks(rest).strip_prefix(':')?))
}

/// The value that a text begins with, and what follows it.
fn one<'a, T: Deserialize<'a>>(text: &'a str) -> Option<(T, &'a str)> {
    let mut values = serde_json::Deserializer::from_str(text).into_iter::<T>();
    let value = values.next()?.ok()?;
    Some((value, text.get(values.byte_offset()..)?))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use jiff::civil::date;
    use proptest::prelude::*;

    use super::super::super::calendar::DateRange;
    use super::super::super::kind::ConnectionType;
    use super::super::rows::Slice;
    use super::*;

    fn reading(portal: ConnectionType) -> Reading {
        let window = DateRange::new(date(2026, 9, 1), date(2026, 9, 30)).expect("a range");
        let slices = Arc::from([Slice::Date, Slice::Affiliate, Slice::Country]);
        Reading { slices, window, portal, currency: None }
    }

    fn quick(text: &str) -> Option<Vec<Row>> {
        read(&reading(ConnectionType::Admin), text).map(|body| body.rows)
    }

    fn full(text: &str) -> Option<Vec<Row>> {
        reading(ConnectionType::Admin).in_full(text).ok().map(|body| body.rows)
    }

    fn page(rows: &[String]) -> String {
        let rows = rows.join(",\n");
        format!(
            r#"{{"status": 1, "stats": [{rows}], "pagination": {{"per_page": 500, "total_count": 1}}, "x": [{{}}]}}"#
        )
    }

    fn row(day: u8, affiliate: &str, actions: &str) -> String {
        format!(
            r#"{{"slice": {{"year": 2026, "month": "9", "day": {day}, "affiliate": {affiliate}, "country": "DE"}},
            "traffic": {{"raw": "184{day}", "uniq": 16}}, "actions": {actions}, "views": {day}, "ratio": "1:NaN"}}"#
        )
    }

    const AFFILIATE: &str = r#"{"id": 71, "title": "", "login": "n\u00f6rd \/", "email": "a@b.example", "name": null}"#;
    const STATES: &str = r#"{"total": {"revenue": 1, "null": 3, "count": 41},
        "confirmed": {"revenue": 191190.40796039, "charge": "339894.05859619", "earning": "?", "count": 30},
        "hold": {"count": 0}, "not_found": {"count": 1}}"#;

    #[test]
    fn a_page_of_rows_that_look_alike_is_read_quickly_and_as_in_full() {
        let rows: Vec<String> = (1..=9).map(|day| row(day, AFFILIATE, STATES)).collect();
        let text = page(&rows);
        let read = quick(&text).expect("a page");
        assert_eq!(Some(&read), full(&text).as_ref());
        assert_eq!(
            read.iter().map(|row| row.metrics.impressions).collect::<Vec<_>>(),
            (1..=9).map(Some).collect::<Vec<_>>()
        );
        assert!(Shape::of(&rows[0]).is_some_and(|shape| rows.iter().all(|row| shape.read(row).is_some())));
    }

    #[test]
    fn a_row_of_another_shape_is_read_in_full_and_those_behind_it_quickly_again() {
        let alike = row(1, AFFILIATE, STATES);
        for (affiliate, actions) in [
            ("null", STATES),
            ("[]", "[]"),
            (AFFILIATE, "{}"),
            (r#"{"title": "x"}"#, "null"),
            (AFFILIATE, r#"{"total": null, "confirmed": {"count": 1}}"#),
            (AFFILIATE, r#"{"total": {}, "hold": {"count": 1}}"#),
            (AFFILIATE, r#"{"confirmed": {"count": 4}, "declined": {"count": 2}, "new": {"count": 1}}"#),
        ] {
            let other = row(2, affiliate, actions);
            let text = page(&[alike.clone(), other.clone(), alike.clone(), other]);
            let read = quick(&text).expect("a page");
            assert_eq!(Some(read), full(&text), "{affiliate} {actions}");
        }
    }

    #[test]
    fn a_page_with_something_wrong_is_left_to_the_full_reader() {
        let good = row(1, AFFILIATE, STATES);
        for (from, to) in [
            ("\"day\": 1", "\"day\": 31"),
            ("\"raw\": \"1841\"", "\"raw\": \"many\""),
            ("\"raw\": \"1841\"", "\"raw\": 1841, \"raw\": 1841"),
            ("\"slice\"", "\"slices\""),
            ("339894.05859619", "ten"),
        ] {
            let text = page(&[good.clone(), good.replacen(from, to, 1)]);
            assert!(quick(&text).is_none() && full(&text).is_none(), "{to}");
        }
        for text in ["", "{}", "[]", r#"{"stats": [], "stats": []}"#, r#"{"stats": [}"#] {
            assert!(quick(text).is_none(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_read_quickly_is_what_is_read_in_full(
            places in prop::collection::vec((1u8..31, 0usize..4, 0usize..5), 1..6),
            at in 0usize..2_000,
            length in 0usize..40,
            patch in prop::sample::select(vec![
                "", "", "null", "[]", "{}", "-1", "1e999", "\"\"", "\"x\"", "99999999999999999999", ",", "\\", "\u{0}", "\"count\":2,",
            ]),
        ) {
            let affiliates = [AFFILIATE, "null", r#"{"id": "5"}"#, "7"];
            let actions = [STATES, "[]", r#"{"total": {"count": 0}}"#, r#"{"confirmed": {"count": 1, "charge": 2}}"#, "null"];
            let row = |(day, affiliate, states): &(u8, usize, usize)| row(*day, affiliates[*affiliate], actions[*states]);
            let mut text = page(&places.iter().map(row).collect::<Vec<_>>());
            let start = at.min(text.len());
            text.replace_range(start..(start + length).min(text.len()), patch);
            if let Some(read) = quick(&text) {
                prop_assert_eq!(Some(read), full(&text));
            }
        }
    }
}
