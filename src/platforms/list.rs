//! Lists in trackers' answers, bounded while they are read.
//!
//! The bytes of an answer are bounded by the transport. What they become in memory is not: a row of thirty bytes takes
//! more than a kilobyte once it is read.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{Error, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

/// Rows of one answer. The largest honest one, Everflow's, has ten thousand.
pub(super) const MOST_ROWS: usize = 20_000;

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
    fn what_is_no_list_is_refused() {
        assert!(serde_json::from_str::<Rows<u8>>("{}").is_err());
    }
}
