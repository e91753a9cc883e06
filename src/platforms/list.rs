//! Lists and objects in trackers' answers, bounded while they are read.
//!
//! The bytes of an answer are bounded by the transport. What they become in memory is not: a row of thirty bytes takes
//! more than a kilobyte once it is read.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{Error, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

/// Rows of one answer. The largest honest one, Everflow's, has ten thousand.
pub(super) const MOST_ROWS: usize = 20_000;

/// Members of one object whose names are not all known. The largest honest one, a row of Binom's, has some hundred.
pub(super) const MOST_MEMBERS: usize = 1_000;

/// A list of at most `MOST` elements; a longer one is no honest answer.
pub(super) fn at_most<'de, const MOST: usize, T, D>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    T: Deserialize<'de>,
    D: Deserializer<'de>,
{
    deserializer.deserialize_seq(AtMost::<MOST, T>(PhantomData))
}

/// A list of rows, bounded, where the list is all there is.
#[derive(Deserialize)]
#[serde(bound(deserialize = "T: Deserialize<'de>"))]
pub(super) struct Rows<T, const MOST: usize = MOST_ROWS>(
    #[serde(deserialize_with = "at_most::<MOST, _, _>")] pub(super) Vec<T>,
);

struct AtMost<const MOST: usize, T>(PhantomData<T>);

impl<'de, const MOST: usize, T: Deserialize<'de>> Visitor<'de> for AtMost<MOST, T> {
    type Value = Vec<T>;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "a list of at most {MOST} elements")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Self::Value, A::Error> {
        let mut all = Vec::new();
        while let Some(element) = elements.next_element()? {
            if all.len() == MOST {
                return Err(A::Error::invalid_length(MOST + 1, &self));
            }
            all.push(element);
        }
        Ok(all)
    }
}

/// The members of an object, bounded, where their names are not all known. Of several with one name the last counts.
pub(super) struct Members<T, const MOST: usize = MOST_MEMBERS>(pub(super) BTreeMap<String, T>);

impl<'de, T: Deserialize<'de>, const MOST: usize> Deserialize<'de> for Members<T, MOST> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(MembersAtMost::<MOST, T>(PhantomData)).map(Self)
    }
}

struct MembersAtMost<const MOST: usize, T>(PhantomData<T>);

impl<'de, const MOST: usize, T: Deserialize<'de>> Visitor<'de> for MembersAtMost<MOST, T> {
    type Value = BTreeMap<String, T>;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "an object of at most {MOST} members")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
        let mut all = BTreeMap::new();
        let mut count = 0;
        while let Some((name, value)) = members.next_entry()? {
            if count == MOST {
                return Err(A::Error::invalid_length(MOST + 1, &self));
            }
            count += 1;
            all.insert(name, value);
        }
        Ok(all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_read_up_to_its_bound_and_no_further() {
        let list = |length: usize| format!("[{}1]", "1,".repeat(length - 1));
        let read = |length| serde_json::from_str::<Rows<u8>>(&list(length)).map(|rows| rows.0.len());
        assert_eq!(read(MOST_ROWS).expect("a list"), MOST_ROWS);
        let error = read(MOST_ROWS + 1).expect_err("a bound").to_string();
        assert!(error.contains("a list of at most 20000 elements"), "{error}");
    }

    #[test]
    fn an_object_is_read_up_to_its_bound_and_no_further() {
        let object = |members: usize| {
            let members: Vec<String> = (0..members).map(|number| format!("\"{number}\":{number}")).collect();
            format!("{{{}}}", members.join(","))
        };
        let read = |members| serde_json::from_str::<Members<u32>>(&object(members)).map(|members| members.0.len());
        assert_eq!(read(MOST_MEMBERS).expect("an object"), MOST_MEMBERS);
        let error = read(MOST_MEMBERS + 1).expect_err("a bound").to_string();
        assert!(error.contains("an object of at most 1000 members"), "{error}");
        let repeated = format!("{{{}\"a\":1}}", "\"a\":1,".repeat(MOST_MEMBERS));
        assert!(serde_json::from_str::<Members<u32>>(&repeated).is_err(), "one name over and over");
        assert!(serde_json::from_str::<Members<u32>>("[]").is_err());
    }

    #[test]
    fn what_is_no_list_is_refused() {
        assert!(serde_json::from_str::<Rows<u8>>("{}").is_err());
    }
}
