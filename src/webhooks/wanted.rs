//! Which events a webhook is for.

use utoipa::ToSchema;

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
#[derive(ToSchema)]
#[schema(as = WantedEventType)]
#[expect(dead_code, reason = "describes the keys")]
pub(crate) enum WantedEvent {
    #[schema(rename = "connection.verified")]
    Verified,
    #[schema(rename = "connection.failing")]
    Failing,
    #[schema(rename = "connection.recovered")]
    Recovered,
    #[schema(rename = "connection.unreachable")]
    Unreachable,
    #[schema(rename = "connection.reachable")]
    Reachable,
    #[schema(rename = "connection.expiring")]
    Expiring,
    #[schema(rename = "connection.deleted")]
    Deleted,
    /// All of them, also those of later versions.
    #[schema(rename = "*")]
    All,
}

/// A type of event that is delivered.
#[derive(ToSchema)]
#[schema(as = DeliveredEventType)]
#[expect(dead_code, reason = "describes the keys")]
pub(crate) enum DeliveredEvent {
    #[schema(rename = "connection.verified")]
    Verified,
    #[schema(rename = "connection.failing")]
    Failing,
    #[schema(rename = "connection.recovered")]
    Recovered,
    #[schema(rename = "connection.unreachable")]
    Unreachable,
    #[schema(rename = "connection.reachable")]
    Reachable,
    #[schema(rename = "connection.expiring")]
    Expiring,
    #[schema(rename = "connection.deleted")]
    Deleted,
    /// Sent on request.
    #[schema(rename = "webhook.test")]
    Test,
}

#[cfg(test)]
mod tests {
    use utoipa::PartialSchema;

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

    #[test]
    fn the_document_names_the_keys_that_are_taken_and_sent() {
        let schema = serde_json::to_value(WantedEvent::schema()).expect("a schema");
        assert_eq!(schema["enum"], serde_json::json!(Wanted::keys()));
        let schema = serde_json::to_value(DeliveredEvent::schema()).expect("a schema");
        let sent: Vec<&str> = EventType::ALL.into_iter().map(EventType::key).chain([TEST]).collect();
        assert_eq!(schema["enum"], serde_json::json!(sent));
    }
}
