//! Which events a webhook is for.

use std::borrow::Cow;

use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{ObjectBuilder, Schema, Type};
use utoipa::{PartialSchema, ToSchema};

use crate::connections::events::EventType;

/// Stands for all events, also those of later versions.
const ALL: &str = "*";

/// The type of a test event. It is in no feed, and nobody can ask for it.
pub(super) const TEST: &str = "webhook.test";

/// The events that a webhook is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Wanted {
    All,
    Some(Vec<EventType>),
}

impl Wanted {
    /// What may stand in a list of events.
    pub(super) fn keys() -> Vec<&'static str> {
        EventType::ALL.into_iter().map(EventType::key).chain([ALL]).collect()
    }

    /// Reads a list of events. `None` where one of them is unknown, or where there is none.
    pub(super) fn of<'a>(keys: impl IntoIterator<Item = &'a str>) -> Option<Self> {
        let mut types = Vec::new();
        let mut is_all = false;
        for key in keys {
            if key == ALL {
                is_all = true;
            } else {
                let one = EventType::ALL.into_iter().find(|event| event.key() == key)?;
                if !types.contains(&one) {
                    types.push(one);
                }
            }
        }
        if is_all {
            return Some(Self::All);
        }
        (!types.is_empty()).then_some(Self::Some(types))
    }

    /// As they are shown.
    pub(super) fn shown(&self) -> Vec<&'static str> {
        match self {
            Self::All => vec![ALL],
            Self::Some(types) => types.iter().map(|event| event.key()).collect(),
        }
    }

    /// As they are stored.
    pub(super) fn stored(&self) -> String {
        self.shown().join(" ")
    }

    /// Reads what is stored. A type of a later version is not known here, and not sent by this one.
    pub(super) fn read(stored: &str) -> Self {
        if stored == ALL {
            return Self::All;
        }
        let known = |key: &str| EventType::ALL.into_iter().find(|event| event.key() == key);
        Self::Some(stored.split(' ').filter_map(known).collect())
    }
}

/// A type of event that a webhook can be for, or `*`.
pub enum WantedEvent {}

/// A type of event that is delivered.
pub(crate) enum DeliveredEvent {}

/// The schema of a text that is one of these.
fn one_of(keys: impl IntoIterator<Item = &'static str>, description: &str) -> RefOr<Schema> {
    ObjectBuilder::new().schema_type(Type::String).enum_values(Some(keys)).description(Some(description)).into()
}

impl PartialSchema for WantedEvent {
    fn schema() -> RefOr<Schema> {
        one_of(Wanted::keys(), "A type of event that a webhook can be for, or `*`.")
    }
}

impl ToSchema for WantedEvent {
    fn name() -> Cow<'static, str> {
        "WantedEventType".into()
    }
}

impl PartialSchema for DeliveredEvent {
    fn schema() -> RefOr<Schema> {
        let keys = EventType::ALL.into_iter().map(EventType::key).chain([TEST]);
        one_of(keys, "A type of event that is delivered.")
    }
}

impl ToSchema for DeliveredEvent {
    fn name() -> Cow<'static, str> {
        "DeliveredEventType".into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_read_without_repetitions_and_a_star_is_all() {
        let read = |keys: &[&str]| Wanted::of(keys.iter().copied());
        let two = read(&["connection.failing", "connection.recovered", "connection.failing"]).expect("known");
        assert_eq!(two.shown(), ["connection.failing", "connection.recovered"]);
        assert_eq!(Wanted::read(&two.stored()), two);
        assert_eq!(read(&["connection.failing", "*"]), Some(Wanted::All));
        assert_eq!(Wanted::read("*"), Wanted::All);
        assert_eq!((read(&[]), read(&["connection.fails"]), read(&[TEST])), (None, None, None));
        assert_eq!(Wanted::read("connection.later connection.failing"), Wanted::Some(vec![EventType::Failing]));
    }
}
