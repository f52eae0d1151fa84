//! Which backend a request gets.

use entry_model::{Destination, Forward, PathRewrite, WeightedBackend};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::support::backend;

/// Shares of these weights, each of a backend whose port is its index.
fn forward(weights: &[u32]) -> Forward {
    let share = |(port, weight): (u16, &u32)| WeightedBackend {
        weight: *weight,
        destination: Destination::Backend(backend(port)),
    };
    Forward { backends: (0..).zip(weights).map(share).collect(), path: PathRewrite::Keep }
}

fn index(destination: Option<&Destination>) -> Option<usize> {
    match destination? {
        Destination::Backend(backend) => Some(backend.address.cluster_ip()?.port().into()),
        Destination::Status(status) => panic!("{status}"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Numbers that are as far apart from each other as can be stand for all of them.
    #[test]
    fn backend_gets_its_share(weights in vec(0..50_u32, 1..6)) {
        let (forward, all) = (forward(&weights), u64::from(weights.iter().sum::<u32>()));
        let mut counts = vec![0; weights.len()];
        for n in 0..all {
            // The middle of the n-th of `all` equal parts.
            let chance = u64::try_from(((u128::from(n) * 2 + 1) << 63) / u128::from(all)).expect("a part of all");
            counts[index(forward.destination(chance)).expect("a backend")] += 1;
        }
        prop_assert_eq!(counts, weights);
    }

    #[test]
    fn every_chance_has_a_backend_with_a_weight(weights in vec(0..u32::MAX, 0..6), chance: u64) {
        let found = index(forward(&weights).destination(chance));
        prop_assert_eq!(found.is_some(), weights.iter().any(|weight| *weight > 0));
        prop_assert!(found.is_none_or(|index| weights[index] > 0));
    }
}

#[test]
fn chances_are_shared_in_the_order_of_backends() {
    let forward = forward(&[0, 9, 1, 0]);
    assert_eq!(index(forward.destination(0)), Some(1));
    assert_eq!(index(forward.destination(u64::MAX)), Some(2));
    assert_eq!(forward.only_backend(), None);
}

#[test]
fn share_without_a_backend_is_answered_with_its_status() {
    let mut forward = forward(&[1, 1]);
    forward.backends[0].destination = Destination::Status(500);
    assert_eq!(forward.destination(0), Some(&Destination::Status(500)));
    assert_eq!(index(forward.destination(u64::MAX)), Some(1));
}
