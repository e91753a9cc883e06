//! One row as it comes.
//!
//! The server is written in PHP: an empty object comes as `[]`, and numbers may stand in quotes. An entity that was
//! removed from the network comes as `null`.

use std::fmt;

use jiff::civil::Date;
use rust_decimal::Decimal;
use serde::de::value::MapAccessDeserializer;
use serde::de::{IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::super::kind::ConnectionType;
use super::super::number;
use super::super::stats::{Metrics, SubId};
use super::numbers::{Actions, Block, Part, Traffic};
use super::wire::Raw;

/// One row as it comes.
#[derive(Deserialize)]
pub(super) struct Line<'a> {
    #[serde(borrow)]
    pub(super) slice: Given<'a>,
    #[serde(default)]
    pub(super) traffic: Part<Traffic>,
    #[serde(borrow, default)]
    pub(super) actions: Part<Actions<'a>>,
    #[serde(default, deserialize_with = "number::count")]
    pub(super) views: Option<i64>,
}

/// The slices of a row. A missing entity differs from a `null` one.
#[derive(Deserialize)]
pub(super) struct Given<'a> {
    #[serde(default, deserialize_with = "number::count")]
    pub(super) year: Option<i64>,
    #[serde(default, deserialize_with = "number::count")]
    pub(super) month: Option<i64>,
    #[serde(default, deserialize_with = "number::count")]
    pub(super) day: Option<i64>,
    #[serde(default, deserialize_with = "number::count")]
    pub(super) hour: Option<i64>,
    #[serde(borrow, default, deserialize_with = "described")]
    pub(super) affiliate: Option<Entity<'a>>,
    #[serde(borrow, default, deserialize_with = "described")]
    pub(super) offer: Option<Entity<'a>>,
    #[serde(borrow, default, deserialize_with = "described")]
    pub(super) advertiser: Option<Entity<'a>>,
    #[serde(borrow, default, deserialize_with = "present")]
    pub(super) country: Option<Raw<'a>>,
    #[serde(borrow, default, deserialize_with = "present")]
    pub(super) sub1: Option<Raw<'a>>,
    #[serde(borrow, default, deserialize_with = "present")]
    pub(super) sub2: Option<Raw<'a>>,
    #[serde(borrow, default, deserialize_with = "present")]
    pub(super) sub3: Option<Raw<'a>>,
    #[serde(borrow, default, deserialize_with = "present")]
    pub(super) sub4: Option<Raw<'a>>,
    #[serde(borrow, default, deserialize_with = "present")]
    pub(super) sub5: Option<Raw<'a>>,
}

/// An affiliate, offer or advertiser.
#[derive(Default, Deserialize)]
pub(super) struct Entity<'a> {
    #[serde(borrow)]
    pub(super) id: Option<Raw<'a>>,
    #[serde(borrow)]
    pub(super) title: Option<Raw<'a>>,
    #[serde(borrow)]
    pub(super) login: Option<Raw<'a>>,
    #[serde(borrow)]
    pub(super) name: Option<Raw<'a>>,
    #[serde(borrow)]
    pub(super) email: Option<Raw<'a>>,
}

/// An entity, and an empty one for whatever stands in its place.
pub(super) fn described<'de: 'a, 'a, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Entity<'a>>, D::Error> {
    deserializer.deserialize_any(Anything).map(Some)
}

fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Raw<'de>>, D::Error> {
    Raw::deserialize(deserializer).map(Some)
}

impl<'a> Given<'a> {
    pub(super) fn sub(&self, number: SubId) -> Option<Raw<'a>> {
        match number.number() {
            1 => self.sub1,
            2 => self.sub2,
            3 => self.sub3,
            4 => self.sub4,
            5 => self.sub5,
            _ => None,
        }
    }

    pub(super) fn date(&self) -> Option<Date> {
        let year = i16::try_from(self.year?).ok()?;
        Date::new(year, i8::try_from(self.month?).ok()?, i8::try_from(self.day?).ok()?).ok()
    }
}

/// Reads an entity out of anything.
struct Anything;

impl<'de> Visitor<'de> for Anything {
    type Value = Entity<'de>;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("anything")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        Entity::deserialize(MapAccessDeserializer::new(map))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Entity::default())
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Entity::default())
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
        Ok(Entity::default())
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
        Ok(Entity::default())
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
        Ok(Entity::default())
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
        Ok(Entity::default())
    }

    fn visit_str<E>(self, _: &str) -> Result<Self::Value, E> {
        Ok(Entity::default())
    }
}

impl<'a> Line<'a> {
    /// The row's numbers.
    ///
    /// Nothing was left out of the question, so a row without conversions has zeros wherever a block is missing; in
    /// a row with conversions a missing block is not known.
    pub(super) fn metrics(&self, portal: ConnectionType) -> Result<Metrics, serde_json::Error> {
        let mut metrics = Metrics {
            impressions: self.views,
            clicks: self.traffic.0.as_ref().and_then(|traffic| traffic.raw),
            unique_clicks: self.traffic.0.as_ref().and_then(|traffic| traffic.uniq),
            ..Metrics::default()
        };
        let Some(actions) = &self.actions.0 else { return Ok(metrics) };
        metrics.conversions = actions.conversions();
        let without_conversions = metrics.conversions == Some(0);
        let count = |tally: Option<Option<i64>>| tally.unwrap_or(without_conversions.then_some(0));
        metrics.approved = count(actions.confirmed.as_ref().map(|block| block.count));
        metrics.pending = count(actions.pending.map(|tally| tally.count));
        metrics.rejected = count(actions.declined.map(|tally| tally.count));
        metrics.hold = count(actions.hold.map(|tally| tally.count));
        let amount = |field: fn(&Block<'a>) -> Option<Raw<'a>>| match &actions.confirmed {
            Some(block) => field(block).map_or(Ok(None), |Raw(json)| number::decimal_of(json)),
            None => Ok(without_conversions.then_some(Decimal::ZERO)),
        };
        match portal {
            ConnectionType::Admin => {
                metrics.revenue = amount(|block| block.charge)?;
                metrics.payout = amount(|block| block.revenue)?;
            }
            ConnectionType::Affiliate => metrics.revenue = amount(|block| block.revenue)?,
        }
        Ok(metrics)
    }
}
