//! The form in which a table passes from one replica to another.
//!
//! Integers are as short as they are small, decimals are their digits and their scale, so that nothing is ever rounded.
//! Totals are not written: they come out of the rows. A change of what is written here changes [`FORM`] too.

use std::borrow::Cow;
use std::str::FromStr;
use std::time::{Duration, Instant};

use compact_str::CompactString;
use jiff::Timestamp;
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::table::{ConnectionRef, Memory, Orders, Source, Table};
use super::tally::Tally;
use crate::platforms::calendar::Zone;
use crate::platforms::stats::{
    Against, Batch, Check, DayOfConversion, DimensionValue, Key, Metrics, Perspective, Row, Terms, Warning,
};

/// Tables of another form are not found at all.
pub(super) const FORM: &str = "2";

#[derive(Serialize, Deserialize)]
struct Packed<'a> {
    lifetime_ms: u64,
    version: i64,
    id: [u8; 16],
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(borrow)]
    platform: Cow<'a, str>,
    #[serde(borrow)]
    connection_type: Cow<'a, str>,
    perspective: u8,
    #[serde(borrow)]
    zone: Option<Cow<'a, str>>,
    day_of_conversion: DayOfConversion,
    pulled_at_micros: i64,
    fetched_at_nanos: i128,
    upstream_calls: u32,
    duration_ms: u64,
    #[serde(borrow)]
    checks: Vec<(Against, Option<Cow<'a, str>>)>,
    #[serde(borrow)]
    warnings: Vec<(Cow<'a, str>, Cow<'a, str>)>,
    #[serde(borrow)]
    rows: Vec<PackedRow<'a>>,
}

#[derive(Serialize, Deserialize)]
struct PackedRow<'a> {
    /// Ids, and names where they differ.
    #[serde(borrow)]
    key: Vec<(Cow<'a, str>, Option<Cow<'a, str>>)>,
    #[serde(borrow)]
    currency: Option<Cow<'a, str>>,
    counts: [Option<i64>; 8],
    money: [Option<(i128, u32)>; 3],
}

/// Writes a table that counts for `lifetime` from now on.
pub(super) fn pack(table: &Table, lifetime: Duration) -> Option<Vec<u8>> {
    let ConnectionRef { id, name, platform, connection_type } = &table.connection;
    let packed = Packed {
        lifetime_ms: u64::try_from(lifetime.as_millis()).ok()?,
        version: table.version,
        id: id.into_bytes(),
        name: name.into(),
        platform: platform.key().into(),
        connection_type: connection_type.key().into(),
        perspective: match table.perspective {
            Perspective::Network => 0,
            Perspective::Affiliate => 1,
            Perspective::MediaBuyer => 2,
        },
        zone: table.terms.zone.as_ref().map(|zone| zone.name().into()),
        day_of_conversion: table.terms.day_of_conversion,
        pulled_at_micros: table.pulled_at_micros,
        fetched_at_nanos: table.fetched_at.as_nanosecond(),
        upstream_calls: table.source.upstream_calls,
        duration_ms: table.source.duration_ms,
        checks: table
            .tally
            .checks()
            .iter()
            .map(|check| (check.against, check.mismatch.as_deref().map(Cow::from)))
            .collect(),
        warnings: table
            .tally
            .given_warnings()
            .iter()
            .map(|warning| (warning.code.key().into(), warning.detail.as_str().into()))
            .collect(),
        rows: table.rows.iter().map(pack_row).collect(),
    };
    postcard::to_allocvec(&packed).ok()
}

fn pack_row(row: &Row) -> PackedRow<'_> {
    let key = row
        .key
        .iter()
        .map(|DimensionValue { id, name }| (Cow::from(id.as_str()), (name != id).then(|| Cow::from(name.as_str()))));
    let m = &row.metrics;
    let money = |amount: Option<Decimal>| amount.map(|amount| (amount.mantissa(), amount.scale()));
    PackedRow {
        key: key.collect(),
        currency: row.currency.as_ref().map(|code| code.as_str().into()),
        counts: [m.impressions, m.clicks, m.unique_clicks, m.conversions, m.approved, m.pending, m.rejected, m.hold],
        money: [money(m.revenue), money(m.payout), money(m.cost)],
    }
}

/// Reads a table that counts for `left` more; `None` if it is none.
pub(super) fn unpack(bytes: &[u8], left: Duration) -> Option<Table> {
    let packed: Packed<'_> = postcard::from_bytes(bytes).ok()?;
    let mut batch = Batch {
        still_to_come: 0,
        rows: packed.rows.into_iter().map(unpack_row).collect::<Option<_>>()?,
        checks: packed
            .checks
            .into_iter()
            .map(|(against, mismatch)| Check { against, mismatch: mismatch.map(Cow::into_owned) })
            .collect(),
        warnings: packed
            .warnings
            .into_iter()
            .map(|(code, detail)| Some(Warning { code: code.parse().ok()?, detail: detail.into_owned() }))
            .collect::<Option<_>>()?,
    };
    let mut tally = Tally::default();
    tally.add(&mut batch);
    // How old it is, by the one clock that counts its lifetime down.
    let age = Duration::from_millis(packed.lifetime_ms).saturating_sub(left);
    let now = Instant::now();
    Some(Table {
        connection: ConnectionRef {
            id: Uuid::from_bytes(packed.id),
            name: packed.name.into_owned(),
            platform: packed.platform.parse().ok()?,
            connection_type: packed.connection_type.parse().ok()?,
        },
        rows: batch.rows,
        tally,
        fetched_at: Timestamp::from_nanosecond(packed.fetched_at_nanos).ok()?,
        whole_at: now.checked_sub(age).unwrap_or(now),
        source: Source { upstream_calls: packed.upstream_calls, duration_ms: packed.duration_ms },
        perspective: match packed.perspective {
            0 => Perspective::Network,
            1 => Perspective::Affiliate,
            2 => Perspective::MediaBuyer,
            _ => return None,
        },
        terms: Terms {
            zone: packed.zone.map(|name| Zone::find(&name).ok_or(())).transpose().ok()?,
            day_of_conversion: packed.day_of_conversion,
        },
        pulled_at_micros: packed.pulled_at_micros,
        version: packed.version,
        orders: Orders::default(),
        memory: Memory::default(),
    })
}

fn unpack_row(row: PackedRow<'_>) -> Option<Row> {
    let key: Key = row
        .key
        .into_iter()
        .map(|(id, name)| {
            let name = CompactString::from(name.as_deref().unwrap_or(&id));
            DimensionValue { id: CompactString::from(id), name }
        })
        .collect();
    let money = |amount: Option<(i128, u32)>| match amount {
        None => Some(None),
        Some((digits, scale)) => Decimal::try_from_i128_with_scale(digits, scale).ok().map(Some),
    };
    let [impressions, clicks, unique_clicks, conversions, approved, pending, rejected, hold] = row.counts;
    let [revenue, payout, cost] = row.money;
    Some(Row {
        key,
        currency: row.currency.as_deref().map(FromStr::from_str).transpose().ok()?,
        metrics: Metrics {
            impressions,
            clicks,
            unique_clicks,
            conversions,
            approved,
            pending,
            rejected,
            hold,
            revenue: money(revenue)?,
            payout: money(payout)?,
            cost: money(cost)?,
        },
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::platforms::stats::WarningCode;
    use crate::platforms::{ConnectionType, Platform};

    const LIFETIME: Duration = Duration::from_secs(900);

    fn table(rows: Vec<Row>) -> Table {
        let mut batch = Batch {
            rows,
            still_to_come: 0,
            checks: vec![
                Check { against: Against::SameSource, mismatch: None },
                Check { against: Against::Independent, mismatch: Some("100 against 99.".to_owned()) },
            ],
            warnings: vec![Warning { code: WarningCode::CountsRounded, detail: "Rounded.".to_owned() }],
        };
        let mut tally = Tally::default();
        tally.add(&mut batch);
        Table {
            connection: ConnectionRef {
                id: Uuid::from_u128(7),
                name: "Märkte".to_owned(),
                platform: Platform::Affise,
                connection_type: ConnectionType::Affiliate,
            },
            rows: batch.rows,
            tally,
            fetched_at: Timestamp::new(1_800_000_000, 123_456_789).expect("a time"),
            whole_at: Instant::now(),
            source: Source { upstream_calls: 3, duration_ms: 120 },
            perspective: Perspective::MediaBuyer,
            terms: Terms { zone: Zone::find("Asia/Kolkata"), day_of_conversion: DayOfConversion::Click },
            pulled_at_micros: 1_799_999_999_000_001,
            version: 4,
            orders: Orders::default(),
            memory: Memory::default(),
        }
    }

    fn decimal() -> impl Strategy<Value = Decimal> {
        let most = 79_228_162_514_264_337_593_543_950_335_i128;
        (-most..=most, 0_u32..=28).prop_map(|(digits, scale)| Decimal::from_i128_with_scale(digits, scale))
    }

    fn row() -> impl Strategy<Value = Row> {
        let key = proptest::collection::vec(("\\PC{0,40}", "\\PC{0,40}", any::<bool>()), 0..4);
        let counts = proptest::array::uniform8(proptest::option::of(any::<i64>()));
        let money = proptest::array::uniform3(proptest::option::of(decimal()));
        (key, proptest::option::of("[A-Z]{3}"), counts, money).prop_map(|(key, currency, counts, money)| Row {
            key: key
                .into_iter()
                .map(|(id, name, plain)| DimensionValue {
                    name: if plain { id.as_str().into() } else { name.into() },
                    id: id.into(),
                })
                .collect(),
            currency: currency.map(|code| code.parse().expect("a currency")),
            metrics: Metrics {
                impressions: counts[0],
                clicks: counts[1],
                unique_clicks: counts[2],
                conversions: counts[3],
                approved: counts[4],
                pending: counts[5],
                rejected: counts[6],
                hold: counts[7],
                revenue: money[0],
                payout: money[1],
                cost: money[2],
            },
        })
    }

    proptest! {
        #[test]
        fn a_table_comes_back_to_the_last_digit(rows in proptest::collection::vec(row(), 0..20)) {
            let table = table(rows);
            let packed = pack(&table, LIFETIME).expect("packed");
            let back = unpack(&packed, Duration::from_secs(890)).expect("a table");
            let age = back.whole_at.elapsed();
            prop_assert!(age >= Duration::from_secs(10) && age < Duration::from_secs(20), "{age:?}");
            // Zeros of different scale are equal, and so are 1.50 and 1.5: what is written must not differ either.
            for (own, other) in back.rows.iter().zip(&table.rows) {
                prop_assert_eq!(format!("{own:?}"), format!("{other:?}"));
            }
            prop_assert_eq!(
                format!("{:?}", Table { whole_at: table.whole_at, ..back }),
                format!("{table:?}")
            );
        }

        #[test]
        fn garbage_is_no_table(garbage in any::<Vec<u8>>()) {
            let _ = unpack(&garbage, LIFETIME);
        }
    }

    #[test]
    fn a_small_row_takes_few_bytes_and_the_form_has_not_changed() {
        let row = Row {
            key: std::iter::once(DimensionValue::plain("71")).collect(),
            currency: "USD".parse().ok(),
            metrics: Metrics { clicks: Some(123), revenue: "1505.1875".parse().ok(), ..Metrics::default() },
        };
        let empty = pack(&table(vec![]), LIFETIME).expect("packed").len();
        let packed = pack(&table(vec![row]), LIFETIME).expect("packed");
        let tail: String = packed[empty - 1..].iter().map(|byte| format!("{byte:02x}")).collect();
        // One row: its key, currency, eight counts and three amounts. Where this differs, FORM has to as well.
        assert_eq!(tail, "01010237310001035553440001f60100000000000001c6b1ad0e040000");
        assert_eq!(FORM, "2");
    }
}
