//! Which endpoints a key of a request leads to: each has a score for each key, and those with the best are asked (rendezvous hashing, Thaler
//! and Ravishankar, 1998).
//!
//! An endpoint that goes leaves its keys to the next ones of each, and one that comes takes its share from all; no other key moves. What
//! decides are the key and the addresses alone: so all workers and replicas decide the same, whatever the order in the table is.

use std::net::{IpAddr, SocketAddr};

use entry_model::EndpointName;
use route_table::{Endpoint, KeyHasher};

/// By what an endpoint is chosen.
#[derive(Debug, Clone, Copy, Default)]
pub struct KeyChoice<'a> {
    /// What requests have in common that get the same endpoint.
    pub key: &'a [u8],
    /// Among so many endpoints, which are the same for the same key, each request gets any; the best alone if it is 0.
    pub subset: usize,
    /// What the client says that its endpoint is called; empty if it says nothing.
    pub named: &'a [u8],
    /// Any number.
    pub chance: u64,
}

/// Whether a text is the name of an endpoint.
pub fn names_endpoint(text: &[u8], address: SocketAddr) -> bool {
    text.len() == EndpointName::LEN && EndpointName::of(address).as_bytes() == text
}

/// All endpoints with a weight in the order in which they are asked.
pub fn rank<'a>(endpoints: &'a [Endpoint], choice: &KeyChoice<'_>) -> Vec<&'a Endpoint> {
    // The hash of a long key is taken once. No secret is in it: replicas have to agree.
    let mut of_key = KeyHasher::new([0, 0]);
    of_key.write(choice.key);
    let key = of_key.finish_with(0);
    let weighted = endpoints.iter().filter(|endpoint| endpoint.weight > 0);
    let mut scored: Vec<_> = weighted.map(|endpoint| (cost(key, endpoint), endpoint)).collect();
    scored.sort_unstable_by(|(one, of_one), (other, of_other)| {
        one.total_cmp(other).then_with(|| of_one.address.cmp(&of_other.address))
    });
    let mut ranked: Vec<_> = scored.into_iter().map(|(_, endpoint)| endpoint).collect();
    let few = choice.subset.min(ranked.len());
    if few > 1 {
        let first = usize::try_from(choice.chance >> 33).unwrap_or(0) % few;
        ranked[..few].rotate_left(first);
    }
    ranked
}

/// How far an endpoint is from a key: the least is the best. In proportion to its weight it is the best of so many keys.
fn cost(key: u64, endpoint: &Endpoint) -> f64 {
    let mut hasher = KeyHasher::new([key, 0]);
    match endpoint.address.ip() {
        IpAddr::V4(ip) => hasher.write(&ip.octets()),
        IpAddr::V6(ip) => hasher.write(&ip.octets()),
    }
    let [high, low] = endpoint.address.port().to_be_bytes();
    hasher.write(&[high]);
    let hash = u32::try_from(hasher.finish_with(low) >> 32).unwrap_or(u32::MAX);
    // From 0 to 1, neither of them.
    let point = (f64::from(hash) + 0.5) / (f64::from(u32::MAX) + 1.0);
    -point.ln() / f64::from(endpoint.weight)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn endpoint(number: u8, weight: u32) -> Endpoint {
        Endpoint { address: ([10, 1, 0, number], 80).into(), weight }
    }

    fn endpoints(numbers: impl IntoIterator<Item = u8>) -> Vec<Endpoint> {
        numbers.into_iter().map(|number| endpoint(number, 1)).collect()
    }

    fn by(key: &[u8]) -> KeyChoice<'_> {
        KeyChoice { key, ..KeyChoice::default() }
    }

    fn addresses(ranked: &[&Endpoint]) -> Vec<SocketAddr> {
        ranked.iter().map(|endpoint| endpoint.address).collect()
    }

    /// How many of 3,000 keys each endpoint gets, by its place.
    fn shares(endpoints: &[Endpoint]) -> BTreeMap<u8, u32> {
        let mut counts = BTreeMap::new();
        for key in 0..3_000_u32 {
            let first = rank(endpoints, &by(&key.to_be_bytes()))[0];
            let IpAddr::V4(ip) = first.address.ip() else { panic!("{first:?}") };
            *counts.entry(ip.octets()[3]).or_default() += 1;
        }
        counts
    }

    #[test]
    fn keys_are_spread_in_proportion_to_weights() {
        let counts = shares(&endpoints(0..3));
        assert!(counts.len() == 3 && counts.values().all(|count| (900..1_100).contains(count)), "{counts:?}");
        let counts = shares(&[endpoint(0, 1), endpoint(1, 0), endpoint(2, 3)]);
        assert!(counts.len() == 2 && (2_150..2_350).contains(&counts[&2]), "{counts:?}");
    }

    #[test]
    fn score_of_a_key_is_the_same_in_every_build() {
        let ranked = rank(&[], &by(b"shop"));
        assert!(ranked.is_empty());
        let all = endpoints(0..5);
        let order = |key: &[u8]| -> Vec<u8> {
            rank(&all, &by(key)).iter().map(|endpoint| endpoint.address.to_string().as_bytes()[7] - b'0').collect()
        };
        assert_eq!([order(b""), order(b"shop")], [[2, 1, 3, 4, 0], [0, 1, 4, 2, 3]]);
    }

    #[test]
    fn text_names_an_endpoint_only_if_it_is_its_name() {
        let address: SocketAddr = ([10, 1, 0, 1], 80).into();
        let name = EndpointName::of(address);
        assert!(names_endpoint(name.as_bytes(), address));
        assert!(!names_endpoint(name.as_bytes(), ([10, 1, 0, 1], 81).into()));
        for text in [&b""[..], b"0", &[0; 16], &[b'a'; 8192], &name.as_bytes().to_ascii_uppercase()] {
            assert!(!names_endpoint(text, address));
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        /// The others stay in their order when one goes, so only its keys move, and when it comes again they come back.
        #[test]
        fn keys_move_only_from_and_to_an_endpoint_that_goes_or_comes(
            key: Vec<u8>,
            mut all in Just((0..20).collect::<Vec<u8>>()).prop_shuffle(),
        ) {
            let sorted = endpoints(0..20);
            let shuffled = endpoints(all.iter().copied());
            let before = addresses(&rank(&shuffled, &by(&key)));
            prop_assert_eq!(&before, &addresses(&rank(&sorted, &by(&key))), "the order of the table does not matter");
            let gone = all.pop().map(|number| endpoint(number, 1).address);
            let after = addresses(&rank(&endpoints(all), &by(&key)));
            let expected: Vec<_> = before.into_iter().filter(|address| Some(*address) != gone).collect();
            prop_assert_eq!(after, expected);
        }

        /// The subset is what the key says, and the request what in it comes first.
        #[test]
        fn subset_of_a_key_has_the_same_endpoints_in_any_order(key: Vec<u8>, subset in 0..7_usize, chance: u64) {
            let all = endpoints(0..5);
            let best = addresses(&rank(&all, &by(&key)));
            let mut chosen = addresses(&rank(&all, &KeyChoice { key: &key, subset, chance, named: b"" }));
            let few = subset.clamp(1, 5);
            prop_assert_eq!(&chosen[few..], &best[few..]);
            let mut in_subset = best[..few].to_vec();
            in_subset.sort_unstable();
            chosen.truncate(few);
            chosen.sort_unstable();
            prop_assert_eq!(chosen, in_subset);
        }
    }
}
