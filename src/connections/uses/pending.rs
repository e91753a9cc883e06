//! What one organisation's uses come to until they are written.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use uuid::Uuid;

use crate::clock::now_micros;
use crate::connections::Actor;

/// The audit trail has one event at the first use in this time, and one at its end.
pub(super) const HOUR: Duration = Duration::from_secs(3_600);
/// In this time a connection takes up so many automations that it does not know. Beyond that a pull works, and its use
/// counts under no automation.
const MINUTE: Duration = Duration::from_secs(60);
const NEWCOMERS: u32 = 60;
/// Uses, and hours of the audit trail, that wait to be written. More are not noted while the database is away.
const MOST: usize = 10_000;
/// What one transaction writes at most.
pub(super) const BATCH: usize = 200;

/// How a use ends that brought its statistics.
pub(super) const OK: &str = "ok";

/// One use of a connection.
pub(super) struct Use<'a> {
    pub(super) actor: &'a Actor,
    pub(super) connection: Uuid,
    pub(super) automation: Option<&'a str>,
    pub(super) outcome: &'static str,
}

/// The first and the last use, in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Times {
    pub(super) first: i64,
    pub(super) last: i64,
}

impl Times {
    fn joined(self, other: Self) -> Self {
        Self { first: self.first.min(other.first), last: self.last.max(other.last) }
    }
}

/// The last use, and the last pull that worked, in microseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) used: Option<i64>,
    pub(super) worked: Option<i64>,
}

impl Seen {
    fn joined(self, other: Self) -> Self {
        Self { used: self.used.max(other.used), worked: self.worked.max(other.worked) }
    }
}

/// Something to write.
#[derive(Debug, Clone)]
pub(super) enum Item {
    /// When a connection was used last, and when it was last seen to work.
    Connection { connection: Uuid, seen: Seen },
    /// When an automation used a connection.
    Automation { connection: Uuid, automation: String, times: Times },
    /// What the audit trail says of a use.
    Event(Used),
}

/// An event of the audit trail.
#[derive(Debug, Clone)]
pub(super) struct Used {
    pub(super) actor: Actor,
    pub(super) connection: Uuid,
    pub(super) outcome: &'static str,
    pub(super) at: i64,
    pub(super) what: What,
}

/// What the event says.
#[derive(Debug, Clone)]
pub(super) enum What {
    /// The first use of an hour.
    First { automation: Option<String> },
    /// How many there were in an hour that is over.
    Hour { since: i64, count: u64 },
}

/// Connection, user, whether that is a service, and how the use ended: whatever the automations are called.
type HourKey = (Uuid, String, bool, &'static str);

/// An hour that is not over.
struct Hour {
    actor: Actor,
    since: i64,
    count: u64,
}

/// How many automations a connection did not know within a minute.
struct Minute {
    began: Instant,
    newcomers: u32,
}

/// What waits to be written.
pub(super) struct Pending {
    connections: HashMap<Uuid, Seen>,
    automations: HashMap<(Uuid, String), Times>,
    events: VecDeque<Used>,
    hours: HashMap<HourKey, Hour>,
    /// The hours in the order in which they began.
    order: VecDeque<(Instant, HourKey)>,
    minutes: HashMap<Uuid, Minute>,
    batch: usize,
    /// Held while a batch is written: anyone who waits for it finds everything written that was used before.
    pub(super) turn: Arc<tokio::sync::Mutex<()>>,
}

impl Default for Pending {
    fn default() -> Self {
        Self {
            connections: HashMap::new(),
            automations: HashMap::new(),
            events: VecDeque::new(),
            hours: HashMap::new(),
            order: VecDeque::new(),
            minutes: HashMap::new(),
            batch: BATCH,
            turn: Arc::default(),
        }
    }
}

impl Pending {
    /// Whether the connection may take up one more automation that it does not know.
    pub(super) fn admit(&mut self, connection: Uuid, now: Instant) -> bool {
        let minute = self.minutes.entry(connection).or_insert(Minute { began: now, newcomers: 0 });
        if now.saturating_duration_since(minute.began) >= MINUTE {
            *minute = Minute { began: now, newcomers: 0 };
        }
        minute.newcomers = minute.newcomers.saturating_add(1);
        minute.newcomers <= NEWCOMERS
    }

    /// Notes a use. One that the tracker refused only counts in the audit trail.
    pub(super) fn note(&mut self, used: &Use<'_>, now: Instant) {
        let at = now_micros();
        self.count(used, now, at);
        if used.outcome != OK {
            return;
        }
        self.see(used.connection, Seen { used: Some(at), worked: None });
        if let Some(automation) = used.automation {
            self.join(used.connection, automation.to_owned(), Times { first: at, last: at });
        }
    }

    /// Notes that a connection was used, or was seen to work.
    pub(super) fn see(&mut self, connection: Uuid, seen: Seen) {
        let is_full = self.connections.len() >= MOST;
        match self.connections.entry(connection) {
            Entry::Occupied(mut known) => *known.get_mut() = known.get().joined(seen),
            Entry::Vacant(_) if is_full => {}
            Entry::Vacant(place) => drop(place.insert(seen)),
        }
    }

    fn join(&mut self, connection: Uuid, automation: String, times: Times) {
        let is_full = self.automations.len() >= MOST;
        match self.automations.entry((connection, automation)) {
            Entry::Occupied(mut known) => *known.get_mut() = known.get().joined(times),
            Entry::Vacant(_) if is_full => {}
            Entry::Vacant(place) => drop(place.insert(times)),
        }
    }

    /// Counts a use in the audit trail.
    fn count(&mut self, used: &Use<'_>, now: Instant, at: i64) {
        let Use { actor, connection, automation, outcome } = *used;
        let key = (connection, actor.subject.clone(), actor.via_service, outcome);
        self.end_hours(now);
        if let Some(hour) = self.hours.get_mut(&key) {
            hour.count += 1;
            return;
        }
        if self.hours.len() >= MOST || self.events.len() >= MOST {
            return;
        }
        self.order.push_back((now, key.clone()));
        self.hours.insert(key, Hour { actor: actor.clone(), since: at, count: 1 });
        let what = What::First { automation: automation.map(str::to_owned) };
        self.events.push_back(Used { actor: actor.clone(), connection, outcome, at, what });
    }

    /// Ends the hours that are over. The event of one single use has said everything already.
    pub(super) fn end_hours(&mut self, now: Instant) {
        while let Some((_, key)) = self.order.pop_front_if(|(began, _)| now.saturating_duration_since(*began) >= HOUR) {
            self.end_hour(&key);
        }
    }

    /// Ends all hours, over or not.
    pub(super) fn end_all_hours(&mut self) {
        while let Some((_, key)) = self.order.pop_front() {
            self.end_hour(&key);
        }
    }

    fn end_hour(&mut self, key: &HourKey) {
        let Some(Hour { actor, since, count }) = self.hours.remove(key) else { return };
        if count > 1 && self.events.len() < 2 * MOST {
            let (connection, outcome) = (key.0, key.3);
            let what = What::Hour { since, count };
            self.events.push_back(Used { actor, connection, outcome, at: now_micros(), what });
        }
    }

    /// Forgets what no longer matters; says whether nothing is left.
    pub(super) fn tidy(&mut self, now: Instant) -> bool {
        self.end_hours(now);
        self.minutes.retain(|_, minute| now.saturating_duration_since(minute.began) < MINUTE);
        self.is_written() && self.hours.is_empty() && self.minutes.is_empty() && Arc::strong_count(&self.turn) == 1
    }

    /// Whether nothing waits to be written.
    pub(super) fn is_written(&self) -> bool {
        self.connections.is_empty() && self.automations.is_empty() && self.events.is_empty()
    }

    /// Takes out what the next transaction writes.
    pub(super) fn take(&mut self) -> Vec<Item> {
        let mut items = Vec::new();
        let connections: Vec<Uuid> = self.connections.keys().take(self.batch).copied().collect();
        for connection in connections {
            items.extend(self.connections.remove(&connection).map(|seen| Item::Connection { connection, seen }));
        }
        let automations: Vec<_> = self.automations.keys().take(self.batch - items.len()).cloned().collect();
        for key in automations {
            let times = self.automations.remove(&key);
            let (connection, automation) = key;
            items.extend(times.map(|times| Item::Automation { connection, automation, times }));
        }
        let events = self.events.len().min(self.batch - items.len());
        items.extend(self.events.drain(..events).map(Item::Event));
        items
    }

    /// Puts back what could not be written yet.
    pub(super) fn put_back(&mut self, items: impl IntoIterator<Item = Item, IntoIter: DoubleEndedIterator>) {
        for item in items.into_iter().rev() {
            match item {
                Item::Connection { connection, seen } => {
                    let known = self.connections.entry(connection).or_default();
                    *known = known.joined(seen);
                }
                Item::Automation { connection, automation, times } => self.join(connection, automation, times),
                // In front, so that what happened first is written first.
                Item::Event(event) => self.events.push_front(event),
            }
        }
    }

    /// The next batch is smaller, since one of this size failed.
    pub(super) fn shrink(&mut self, failed: usize) {
        self.batch = (failed / 2).max(1);
    }

    /// The next batch may be larger again.
    pub(super) fn grow(&mut self) {
        self.batch = (self.batch * 2).min(BATCH);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn actor(subject: &str) -> Actor {
        Actor {
            organisation: "acme".parse().expect("an organisation"),
            plan: None,
            subject: subject.to_owned(),
            via_service: false,
            address: None,
            request_id: "request".to_owned(),
        }
    }

    fn note(pending: &mut Pending, actor: &Actor, automation: &str, outcome: &'static str, now: Instant) {
        pending.note(&Use { actor, connection: Uuid::nil(), automation: Some(automation), outcome }, now);
    }

    fn all(pending: &mut Pending) -> Vec<Item> {
        std::iter::from_fn(|| Some(pending.take()).filter(|items| !items.is_empty())).flatten().collect()
    }

    fn events(pending: &mut Pending) -> Vec<(String, &'static str, Option<u64>)> {
        let events = all(pending).into_iter().filter_map(|item| match item {
            Item::Event(Used { actor, outcome, what: What::First { .. }, .. }) => Some((actor.subject, outcome, None)),
            Item::Event(Used { actor, outcome, what: What::Hour { count, .. }, .. }) => {
                Some((actor.subject, outcome, Some(count)))
            }
            _ => None,
        });
        events.collect()
    }

    #[test]
    fn an_hour_of_uses_is_two_events_whatever_the_automations_are_called() {
        let (mut pending, began) = (Pending::default(), Instant::now());
        let (ann, bob) = (actor("ann"), actor("bob"));
        for n in 0..500 {
            note(&mut pending, &ann, &format!("made up {n}"), OK, began + Duration::from_secs(n));
        }
        note(&mut pending, &bob, "weekly", OK, began);
        note(&mut pending, &bob, "weekly", "credentials_rejected", began);
        let first = |subject: &str, outcome| (subject.to_owned(), outcome, None);
        assert_eq!(events(&mut pending), [first("ann", OK), first("bob", OK), first("bob", "credentials_rejected")]);
        pending.end_hours(began + HOUR);
        assert_eq!(events(&mut pending), [("ann".to_owned(), OK, Some(500))]);
        note(&mut pending, &ann, "weekly", OK, began + HOUR);
        assert_eq!(events(&mut pending), [first("ann", OK)], "the next hour begins with the next use");
        assert!(pending.tidy(began + HOUR * 2), "nothing is kept of an hour that is over");
    }

    #[test]
    fn a_connection_takes_up_sixty_new_automations_a_minute() {
        let (mut pending, now) = (Pending::default(), Instant::now());
        let mut admitted = |connection, now| (0..100).filter(|_| pending.admit(connection, now)).count();
        assert_eq!(admitted(Uuid::from_u128(1), now), 60);
        assert_eq!(admitted(Uuid::from_u128(2), now), 60);
        assert_eq!(admitted(Uuid::from_u128(1), now + MINUTE / 2), 0);
        assert_eq!(admitted(Uuid::from_u128(1), now + MINUTE), 60);
    }

    #[test]
    fn a_batch_is_small_and_halved_when_it_fails() {
        let (mut pending, now) = (Pending::default(), Instant::now());
        for n in 0..1_000 {
            note(&mut pending, &actor("ann"), &format!("made up {n}"), OK, now);
        }
        let mut sizes = Vec::new();
        for _ in 0..9 {
            let batch = pending.take();
            sizes.push(batch.len());
            pending.shrink(batch.len());
            pending.put_back(batch);
        }
        assert_eq!(sizes, [200, 100, 50, 25, 12, 6, 3, 1, 1]);
        pending.grow();
        assert_eq!(pending.take().len(), 2);
        assert_eq!(all(&mut pending).len(), 1_000, "one connection, a thousand automations and one event, two taken");
    }

    #[test]
    fn what_is_put_back_is_joined_with_what_came_meanwhile() {
        let (mut pending, now) = (Pending::default(), Instant::now());
        let ann = actor("ann");
        note(&mut pending, &ann, "weekly", OK, now);
        let batch = pending.take();
        note(&mut pending, &ann, "weekly", OK, now);
        note(&mut pending, &actor("bob"), "weekly", OK, now);
        pending.put_back(batch);
        let items = all(&mut pending);
        let subjects: Vec<_> = items
            .iter()
            .filter_map(|item| match item {
                Item::Event(event) => Some(event.actor.subject.as_str()),
                _ => None,
            })
            .collect();
        assert_eq!((items.len(), subjects), (4, vec!["ann", "bob"]));
        assert!(pending.is_written());
    }

    #[test]
    fn what_waits_is_bounded() {
        let (mut pending, now) = (Pending::default(), Instant::now());
        for n in 0..u128::try_from(MOST).expect("a size") + 10 {
            let (actor, automation) = (actor(&n.to_string()), n.to_string());
            let connection = Uuid::from_u128(n);
            let used = Use { actor: &actor, connection, automation: Some(&automation), outcome: OK };
            pending.note(&used, now);
        }
        assert_eq!(all(&mut pending).len(), 3 * MOST);
    }
}
