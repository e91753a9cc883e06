//! Ratios of exact numbers: divided in whole numbers, rounded once.

use std::cmp::Ordering;

use num_bigint::{BigInt, Sign};
use rust_decimal::{Decimal, RoundingStrategy};

/// Places of a ratio.
const RATIO_PLACES: u32 = 6;

/// One number over another, to six places. `None` where either is unknown, and for a division by zero.
pub(super) fn ratio(over: Option<Decimal>, under: Option<Decimal>) -> Option<Decimal> {
    let (over, under) = (over?, under?);
    let quotient = quotient(over, under).or_else(|| {
        let quotient = over.checked_div(under)?;
        Some(quotient.round_dp_with_strategy(RATIO_PLACES, RoundingStrategy::MidpointNearestEven))
    })?;
    Some(shortest(quotient))
}

/// Divides in whole numbers and rounds once, half-even, to six places. `None` where the numbers are too long for that,
/// and for a division by zero.
fn quotient(over: Decimal, under: Decimal) -> Option<Decimal> {
    let (dividend, divisor) = (over.mantissa(), under.mantissa());
    let is_negative = (dividend < 0) != (divisor < 0);
    let power = |exponent| 10_u64.checked_pow(exponent).map(u128::from).or_else(|| 10_u128.checked_pow(exponent));
    // Of the places of both, only the difference counts.
    let places = RATIO_PLACES + under.scale();
    let dividend = dividend.unsigned_abs().checked_mul(power(places.saturating_sub(over.scale()))?)?;
    let divisor = divisor.unsigned_abs().checked_mul(power(over.scale().saturating_sub(places))?)?;
    let whole = match (u64::try_from(dividend), u64::try_from(divisor)) {
        (Ok(dividend), Ok(divisor)) => dividend.checked_div(divisor)?.into(),
        _ => dividend.checked_div(divisor)?,
    };
    let rest = dividend - whole * divisor;
    let is_nearer_to_next = match rest.cmp(&(divisor - rest)) {
        Ordering::Less => false,
        Ordering::Equal => whole % 2 != 0,
        Ordering::Greater => true,
    };
    let rounded = i128::try_from(whole).ok()? + i128::from(is_nearer_to_next);
    Decimal::try_from_i128_with_scale(if is_negative { -rounded } else { rounded }, RATIO_PLACES).ok()
}

/// One exact number over another.
pub type Fraction = (Decimal, Decimal);

/// How far `now` is from `then`, over the absolute value of `then`: to six places, rounded once at the end. `None` where
/// `then` is zero, where either is a division by zero, and where the outcome is too long for a decimal.
pub fn change(now: Fraction, then: Fraction) -> Option<Decimal> {
    let [a, b, c, d] = [now.0, now.1, then.0, then.1].map(|number| BigInt::from(number.mantissa()));
    let [places_a, places_b, places_c, places_d] = [now.0, now.1, then.0, then.1].map(|number| number.scale());
    let is_zero = |number: &BigInt| number.sign() == Sign::NoSign;
    if is_zero(&b) || is_zero(&c) || is_zero(&d) {
        return None;
    }
    let ten = BigInt::from(10);
    // (a/b - c/d) / |c/d| is (ad - cb) over b|c|, with the sign of d.
    let difference = &a * &d * ten.pow(places_b + places_c) - &c * &b * ten.pow(places_a + places_d);
    let difference = if d.sign() == Sign::Minus { -difference } else { difference } * ten.pow(RATIO_PLACES);
    let mut divisor = &b * BigInt::from(c.magnitude().clone()) * ten.pow(places_a + places_d);
    let difference = if divisor.sign() == Sign::Minus { -difference } else { difference };
    divisor = BigInt::from(divisor.magnitude().clone());
    let is_negative = difference.sign() == Sign::Minus;
    let size = BigInt::from(difference.magnitude().clone());
    let whole = &size / &divisor;
    let rest = size - &whole * &divisor;
    let is_nearer_to_next = match (&rest * 2_u8).cmp(&divisor) {
        Ordering::Less => false,
        Ordering::Equal => whole.bit(0),
        Ordering::Greater => true,
    };
    let rounded = i128::try_from(whole + i32::from(is_nearer_to_next)).ok()?;
    let change = Decimal::try_from_i128_with_scale(if is_negative { -rounded } else { rounded }, RATIO_PLACES).ok()?;
    Some(shortest(change))
}

/// The same number without zeros at its end.
pub(super) fn shortest(number: Decimal) -> Decimal {
    let (Ok(mut digits @ (1.. | ..=-1)), mut scale) = (i64::try_from(number.mantissa()), number.scale()) else {
        return number.normalize();
    };
    while scale > 0 && digits % 10 == 0 {
        digits /= 10;
        scale -= 1;
    }
    Decimal::new(digits, scale)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn division_in_whole_numbers_is_division(
            over in any::<i32>(), under in any::<i32>(), scales in (0u32..10, 0u32..10), size in 0u32..32,
        ) {
            let (over, under) = (Decimal::new((over >> size).into(), scales.0), Decimal::new(under.into(), scales.1));
            let expected = over
                .checked_div(under)
                .map(|exact| exact.round_dp_with_strategy(RATIO_PLACES, RoundingStrategy::MidpointNearestEven));
            prop_assert_eq!(quotient(over, under), expected);
        }

        // Where the quotient is long, a decimal's own division rounds it, and rounding it twice is not exact.
        #[test]
        fn a_long_quotient_is_the_nearest_one_there_is(
            over in any::<i64>(), under in any::<i64>(), scales in (0u32..=28, 0u32..=28),
            sizes in (0u32..64, 0u32..64),
        ) {
            let (over, under) = (over >> sizes.0, under >> sizes.1);
            let quotient = quotient(Decimal::new(over, scales.0), Decimal::new(under, scales.1));
            // Both are multiplied by the same, so only the difference of their places counts.
            let places = RATIO_PLACES + scales.1;
            let whole = |number: i64, places: u32| {
                u128::from(number.unsigned_abs()).checked_mul(10_u128.checked_pow(places)?)
            };
            let dividend = whole(over, places.saturating_sub(scales.0));
            let divisor = whole(under, scales.0.saturating_sub(places)).filter(|divisor| *divisor > 0);
            let short = dividend.zip(divisor).filter(|(dividend, divisor)| dividend / divisor < 1 << 95);
            match (quotient, short) {
                (Some(quotient), Some((dividend, divisor))) => {
                    prop_assert_eq!(quotient.scale(), RATIO_PLACES);
                    let digits = quotient.mantissa().unsigned_abs();
                    let off = dividend.abs_diff(digits * divisor);
                    let other = divisor.checked_sub(off).expect("the nearest");
                    prop_assert!(off < other || (off == other && digits % 2 == 0), "{over} / {under}");
                    prop_assert!(digits == 0 || quotient.is_sign_negative() == ((over < 0) != (under < 0)));
                }
                (quotient, short) => {
                    prop_assert!(short.is_none() && (quotient.is_none() || under != 0), "{over} / {under}");
                }
            }
        }

        #[test]
        fn the_shortest_form_is_what_is_left_without_zeros(
            digits in any::<i128>(), size in 32u32..128, zeros in 0u32..9, scale in 0u32..=28,
        ) {
            let digits = (digits >> size).saturating_mul(10_i128.pow(zeros));
            if let Ok(number) = Decimal::try_from_i128_with_scale(digits, scale) {
                prop_assert_eq!(shortest(number).to_string(), number.normalize().to_string());
            }
        }
    }

    proptest! {
        #[test]
        fn a_change_is_the_nearest_to_the_difference_of_two_fractions(
            numbers in proptest::array::uniform4(-1_000_000i64..1_000_000), scales in proptest::array::uniform4(0u32..4),
        ) {
            let [a, b, c, d] = std::array::from_fn(|place| Decimal::new(numbers[place], scales[place]));
            let outcome = change((a, b), (c, d));
            if b.is_zero() || c.is_zero() || d.is_zero() {
                prop_assert_eq!(outcome, None);
            } else {
                // Held against the definition, multiplied out: what is off is at most half of the last place.
                let change = outcome.expect("a change");
                let sign = if d.is_sign_negative() { -Decimal::ONE } else { Decimal::ONE };
                let off = (a * d - c * b) * sign - change * b * c.abs();
                prop_assert!(off.abs() <= Decimal::new(5, 7) * (b * c).abs(), "{a}/{b} against {c}/{d}: {change}");
            }
        }
    }

    #[test]
    fn a_change_is_relative_to_what_was_and_rounded_half_even_at_the_end() {
        let one = Decimal::ONE;
        let of = |now: &str, then: &str| {
            change((now.parse().expect("a number"), one), (then.parse().expect("a number"), one))
                .map(|change| change.to_string())
        };
        assert_eq!(of("150", "100").as_deref(), Some("0.5"));
        assert_eq!(of("0", "100").as_deref(), Some("-1"));
        assert_eq!(of("5", "-10").as_deref(), Some("1.5"));
        assert_eq!(of("5", "0"), None);
        assert_eq!(of("2000001", "2000000").as_deref(), Some("0"));
        assert_eq!(of("2000003", "2000000").as_deref(), Some("0.000002"));
        assert_eq!(of("79228162514264337593543950335", "0.0000000000000000000000000001"), None);
    }

    #[test]
    fn a_residue_at_the_last_place_is_not_rounded_away_before_it_counts() {
        // 1.5e-6 and a little more over 3: nearer to 0.000001 than to nothing.
        let revenue = Decimal::from_i128_with_scale(15_000_000_000_000_000_000_001, 28);
        assert_eq!(quotient(revenue, Decimal::from(3)), Some(Decimal::new(1, RATIO_PLACES)));
    }

    #[test]
    fn numbers_too_long_to_divide_whole_are_divided_all_the_same() {
        assert_eq!(quotient(Decimal::MAX, Decimal::ONE), None);
        assert_eq!(ratio(Some(Decimal::MAX), Some(Decimal::MAX)), Some(Decimal::ONE));
        assert_eq!(ratio(Some(Decimal::ONE), Some(Decimal::ZERO)), None);
    }
}
