//! The numbers of a row: its clicks, and its conversions by state.
//!
//! The server is written in PHP: an empty object comes as `[]`, and numbers may stand in quotes.

use std::fmt;
use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::super::number;
use super::wire::Raw;

/// The clicks of a row.
#[derive(Default, Deserialize)]
pub(super) struct Traffic {
    #[serde(default, deserialize_with = "number::count")]
    pub(super) raw: Option<i64>,
    #[serde(default, deserialize_with = "number::count")]
    pub(super) uniq: Option<i64>,
}

/// The conversions of one state.
#[derive(Clone, Copy, Default, Deserialize)]
pub(super) struct Tally {
    #[serde(default, deserialize_with = "number::count")]
    pub(super) count: Option<i64>,
}

/// The same with their money, which is parsed only where it is used, because some of it has no meaning under an
/// affiliate's key.
#[derive(Default, Deserialize)]
pub(super) struct Block<'a> {
    #[serde(default, deserialize_with = "number::count")]
    pub(super) count: Option<i64>,
    #[serde(borrow)]
    pub(super) charge: Option<Raw<'a>>,
    #[serde(borrow)]
    pub(super) revenue: Option<Raw<'a>>,
}

/// An object, an empty one written as `[]`, or nothing.
pub(super) struct Part<T>(pub(super) Option<T>);

impl<T> Default for Part<T> {
    fn default() -> Self {
        Self(None)
    }
}

impl<'de, T: Default + Deserialize<'de>> Deserialize<'de> for Part<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(PartVisitor(PhantomData)).map(Self)
    }
}

struct PartVisitor<T>(PhantomData<T>);

impl<'de, T: Default + Deserialize<'de>> Visitor<'de> for PartVisitor<T> {
    type Value = Option<T>;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("an object or an empty array")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        T::deserialize(MapAccessDeserializer::new(map)).map(Some)
    }

    /// What is left over in the array is refused by the reader of it.
    fn visit_seq<A: SeqAccess<'de>>(self, _: A) -> Result<Self::Value, A::Error> {
        Ok(Some(T::default()))
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }
}

/// The blocks of a row by state.
#[derive(Default)]
pub(super) struct Actions<'a> {
    total: Option<Tally>,
    pub(super) confirmed: Option<Block<'a>>,
    pub(super) pending: Option<Tally>,
    pub(super) declined: Option<Tally>,
    pub(super) hold: Option<Tally>,
    /// The sum of all states, also of those with names not known here; the inner one is `None` where one has no count.
    sum_of_states: Option<Option<i64>>,
    /// Whether there is any state at all, be it an empty one.
    is_filled: bool,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(field_identifier, rename_all = "snake_case")]
pub(super) enum State {
    Total,
    Confirmed,
    Pending,
    Declined,
    Hold,
    #[serde(other)]
    Other,
}

impl<'de: 'a, 'a> Deserialize<'de> for Actions<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ActionsVisitor)
    }
}

struct ActionsVisitor;

impl<'de> Visitor<'de> for ActionsVisitor {
    type Value = Actions<'de>;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("conversions by state")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut actions = Actions::default();
        while let Some(state) = map.next_key()? {
            if let State::Confirmed = state {
                let Part(block) = map.next_value::<Part<Block<'de>>>()?;
                actions.put(&state, block.as_ref().map(|block| Tally { count: block.count }));
                actions.confirmed = block;
            } else {
                let Part(tally) = map.next_value()?;
                actions.put(&state, tally);
            }
        }
        Ok(actions)
    }
}

impl Actions<'_> {
    pub(super) fn put(&mut self, state: &State, tally: Option<Tally>) {
        self.is_filled = true;
        if !matches!(state, State::Total)
            && let Some(tally) = tally
        {
            let sum = self.sum_of_states.unwrap_or(Some(0));
            self.sum_of_states = Some(sum.zip(tally.count).and_then(|(sum, count)| sum.checked_add(count)));
        }
        match state {
            State::Total => self.total = tally,
            State::Pending => self.pending = tally,
            State::Declined => self.declined = tally,
            State::Hold => self.hold = tally,
            State::Confirmed | State::Other => {}
        }
    }

    /// All conversions: the total if there is one, else the sum of all states. A row without any block has none.
    pub(super) fn conversions(&self) -> Option<i64> {
        match &self.total {
            Some(total) => total.count.or(self.sum_of_states.flatten()),
            None if self.is_filled => self.sum_of_states.flatten(),
            None => Some(0),
        }
    }
}
