//! Shares of requests, by a number that each request has of its own.
//!
//! The number is `$request_id`, which nginx makes of random bytes and writes with hexadecimal digits. A share is for the numbers below a
//! bound that are not below that of the share before it, as [`entry_model::Forward::destination`] has it.

use entry_model::{Forward, WeightedBackend};

use crate::token::Pattern;

/// How many digits of the number count: as many as the model's number has.
const DIGITS: u32 = 16;

/// The shares of a rule that get requests at all, each with the bound of its numbers; none for the last, which gets the rest.
pub fn shares(forward: &Forward) -> Vec<(Option<u64>, &WeightedBackend)> {
    let all: u128 = forward.backends.iter().map(|share| u128::from(share.weight)).sum();
    let mut end = 0;
    let weighted = forward.backends.iter().filter(|share| share.weight > 0);
    let bounded = weighted.map(|share| {
        end += u128::from(share.weight);
        // Of the last it is more than any number, so there is no bound.
        (u64::try_from((end << 64).div_ceil(all)).ok(), share)
    });
    bounded.collect()
}

/// Adds what matches the first digits of a number below a bound.
pub fn below(pattern: Pattern, bound: u64) -> Pattern {
    let digits: Vec<u32> =
        (0..DIGITS).rev().map(|place| u32::try_from(bound >> (4 * place) & 0xf).unwrap_or(0)).collect();
    let hex = |digit: u32| char::from_digit(digit, 16).unwrap_or('0').to_string();
    let mut pattern = pattern.own("(?:");
    let mut before = String::new();
    for digit in digits {
        if digit > 0 {
            pattern = pattern
                .literal(&before)
                .own(if digit > 10 { "[0-9a-" } else { "[0-" })
                .literal(&hex(digit - 1))
                .own("]|");
        }
        before.push_str(&hex(digit));
    }
    // No number has this.
    pattern.own("x)")
}

#[cfg(test)]
mod tests {
    use entry_model::{Destination, PathRewrite};
    use proptest::prelude::*;

    use super::*;

    fn forward(weights: &[u32]) -> Forward {
        let share = |(number, weight): (usize, &u32)| WeightedBackend {
            weight: *weight,
            destination: Destination::Status(u16::try_from(number).unwrap()),
        };
        Forward { backends: weights.iter().enumerate().map(share).collect(), path: PathRewrite::Keep }
    }

    fn is_below(number: u64, bound: u64) -> bool {
        let pattern = below(Pattern::default().own("^"), bound).token().unwrap();
        let pattern = regex::Regex::new(pattern.as_str().trim_matches('"')).unwrap();
        pattern.is_match(&format!("{number:016x}0123456789abcdef"))
    }

    proptest! {
        #[test]
        fn digits_below_a_bound_match(number in any::<u64>(), bound in any::<u64>(), near in 0..3_u64) {
            prop_assert_eq!(is_below(number, bound), number < bound);
            let near = bound.saturating_add(near).saturating_sub(1);
            prop_assert_eq!(is_below(near, bound), near < bound);
        }

        #[test]
        fn shares_are_those_of_the_model(weights in prop::collection::vec(prop_oneof![0..4_u32, any::<u32>()], 0..5), chance in any::<u64>()) {
            let forward = forward(&weights);
            let found = shares(&forward).into_iter().find(|(bound, _)| bound.is_none_or(|bound| is_below(chance, bound)));
            prop_assert_eq!(found.map(|(_, share)| &share.destination), forward.destination(chance));
        }
    }
}
