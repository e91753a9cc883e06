//! Repeatable chance.
//!
//! The generator is SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014): a few
//! lines of integer arithmetic whose results are the same on every machine and in every version of this service. It is
//! kept here because the numbers of a past day must never change, which no library of random numbers promises.

use uuid::Uuid;

/// The odd number nearest to 2⁶⁴ divided by the golden ratio.
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// Dice that always fall the same way for the same connection and subject.
#[derive(Debug, Clone, Copy)]
pub(super) struct Dice(u64);

impl Dice {
    /// The dice of one connection.
    pub(super) fn of(connection: Uuid) -> Self {
        let (high, low) = connection.as_u64_pair();
        Self(mix(high)).about(low)
    }

    /// Dice of their own for one subject; what other dice are rolled for has no influence on them.
    pub(super) fn about(self, subject: u64) -> Self {
        Self(mix(self.0 ^ mix(subject.wrapping_add(GOLDEN))))
    }

    /// The next roll: a number from 0 to below `sides`.
    pub(super) fn roll(&mut self, sides: u32) -> i64 {
        // The upper half of the product is an even spread over the sides without a division.
        let scaled = (self.next() >> 32) * u64::from(sides);
        (scaled >> 32).cast_signed()
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(GOLDEN);
        mix(self.0)
    }
}

fn mix(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_generator_gives_the_published_sequence() {
        let mut dice = Dice(1_234_567);
        let sequence: Vec<u64> = (0..3).map(|_| dice.next()).collect();
        assert_eq!(sequence, [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423]);
    }

    proptest! {
        #[test]
        fn a_roll_stays_on_the_die(seed in any::<u128>(), subject in any::<u64>(), sides in 1u32..) {
            let roll = Dice::of(Uuid::from_u128(seed)).about(subject).roll(sides);
            prop_assert!((0..i64::from(sides)).contains(&roll));
        }
    }
}
