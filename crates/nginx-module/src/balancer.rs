//! Which endpoint of a backend a request gets, by what this worker knows of them.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use route_table::{Backend, Endpoint};

use crate::key_choice::{KeyChoice, names_endpoint, rank};

/// Most endpoints that are tried for a request.
pub const MAX_TRIES: usize = 3;
/// After so many failures in a row an endpoint gets no requests for a while. `max_fails` of nginx.conf has the same.
const MAX_FAILURES: u32 = 3;
/// How long that is. So is `fail_timeout` of nginx.conf.
const REST: Duration = Duration::from_secs(10);
/// Of so many backends and endpoints something is remembered. When there are more, all is forgotten: each begins anew.
const MAX_REMEMBERED: usize = 16_384;

/// The endpoints that a request may get, in the order in which they are tried.
pub type Tries = [Option<SocketAddr>; MAX_TRIES];

/// Sends requests round the endpoints of each backend, and past those that fail.
#[derive(Debug, Default)]
pub struct Balancer {
    /// How many requests a backend has got, counted from anywhere: workers do not go round in step.
    turns: HashMap<Arc<str>, u64>,
    /// Endpoints that failed when they were tried last.
    failing: HashMap<SocketAddr, Failures>,
    /// How many requests endpoints have now, of backends with several. One without any is not in it.
    busy: HashMap<SocketAddr, u32>,
}

/// Which endpoint a request gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// The next one.
    InTurn,
    /// The one with the fewest requests for its weight; of several the next one.
    FewestFirst,
}

/// What is remembered of an endpoint that fails.
#[derive(Debug, Clone, Copy, Default)]
struct Failures {
    in_a_row: u32,
    /// Until then it gets no requests.
    out_until: Option<Instant>,
}

impl Balancer {
    /// The endpoints for the next request of a backend: round all that have a weight, in proportion to it. Those that failed too
    /// often come last; if that are all, the first of them gets it. `chance` is any number. The clock is only
    /// asked if there is a choice.
    pub fn choose(&mut self, backend: &Backend, order: Order, chance: u64, now: impl FnOnce() -> Instant) -> Tries {
        let endpoints = &*backend.endpoints;
        if let [only] = endpoints {
            return [Some(only.address), None, None];
        }
        let now = now();
        let turn = self.next_turn(&backend.name, chance);
        let is_out = |endpoint: &Endpoint| self.is_out(endpoint.address, now);
        let weight_of_rest: u64 = endpoints.iter().filter(|endpoint| !is_out(endpoint)).map(weight).sum();
        let total = if weight_of_rest > 0 { weight_of_rest } else { endpoints.iter().map(weight).sum() };
        let counts = |endpoint: &Endpoint| weight_of_rest == 0 || !is_out(endpoint);
        let Some(mut left) = turn.checked_rem(total) else { return Tries::default() };
        let first = endpoints.iter().position(|endpoint| {
            let own = if counts(endpoint) { weight(endpoint) } else { 0 };
            let is_it = left < own;
            left = left.saturating_sub(own);
            is_it
        });
        let (before, from) = endpoints.split_at(first.unwrap_or(0));
        let round = from.iter().chain(before).filter(|endpoint| endpoint.weight > 0);
        let (good, others) =
            (round.clone().filter(|endpoint| counts(endpoint)), round.filter(|endpoint| !counts(endpoint)));
        let mut tries = Tries::default();
        if order == Order::InTurn || self.busy.is_empty() {
            fill(&mut tries, good.chain(others));
        } else {
            fill(&mut tries, self.fewest(good).into_iter().flatten().chain(others));
        }
        tries
    }

    /// The endpoints for a request that a key leads to one of, and whether one of them is the one that its client names. Those that failed
    /// too often come last.
    pub fn choose_by_key(
        &mut self,
        backend: &Backend,
        choice: &KeyChoice<'_>,
        now: impl FnOnce() -> Instant,
    ) -> (Tries, bool) {
        let endpoints = &*backend.endpoints;
        let is_named = |endpoint: &&Endpoint| names_endpoint(choice.named, endpoint.address);
        if let [only] = endpoints {
            return ([Some(only.address), None, None], is_named(&only));
        }
        let mut ranked = rank(endpoints, choice);
        let named = if choice.named.is_empty() { None } else { ranked.iter().position(is_named) };
        if let Some(place) = named {
            ranked[..=place].rotate_right(1);
        }
        let now = if self.failing.is_empty() { None } else { Some(now()) };
        let is_out = |endpoint: &&&Endpoint| now.is_some_and(|now| self.is_out(endpoint.address, now));
        let mut tries = Tries::default();
        fill(
            &mut tries,
            ranked.iter().filter(|endpoint| !is_out(endpoint)).chain(ranked.iter().filter(is_out)).copied(),
        );
        (tries, named.is_some())
    }

    /// Those with the fewest requests for their weight, from the fewest; of several the first.
    fn fewest<'a>(&self, endpoints: impl Iterator<Item = &'a Endpoint>) -> [Option<&'a Endpoint>; MAX_TRIES] {
        let mut fewest: [Option<(u64, &'a Endpoint)>; MAX_TRIES] = [None; MAX_TRIES];
        for endpoint in endpoints {
            let requests = u64::from(self.busy.get(&endpoint.address).copied().unwrap_or(0));
            let mut moved = Some((requests, endpoint));
            for place in &mut fewest {
                let is_before = match (&moved, &*place) {
                    (Some((requests, endpoint)), Some((others, other))) => {
                        requests * weight(other) < others * weight(endpoint)
                    }
                    (moved, None) => moved.is_some(),
                    (None, _) => false,
                };
                if is_before {
                    std::mem::swap(place, &mut moved);
                }
            }
        }
        fewest.map(|found| found.map(|(_, endpoint)| endpoint))
    }

    /// An endpoint has a request more.
    pub fn begin(&mut self, address: SocketAddr) {
        *self.busy.entry(address).or_default() += 1;
    }

    /// It has one less.
    pub fn end(&mut self, address: SocketAddr) {
        if let Some(requests) = self.busy.get_mut(&address) {
            *requests -= 1;
            if *requests == 0 {
                self.busy.remove(&address);
            }
        }
    }

    /// An endpoint has answered.
    pub fn note_success(&mut self, address: SocketAddr) {
        if !self.failing.is_empty() {
            self.failing.remove(&address);
        }
    }

    /// An endpoint could not be reached, or broke off. Whether it gets no requests from now on.
    pub fn note_failure(&mut self, address: SocketAddr, now: Instant) -> bool {
        if self.failing.len() >= MAX_REMEMBERED {
            self.failing.clear();
        }
        let was_out = self.is_out(address, now);
        let failures = self.failing.entry(address).or_default();
        failures.in_a_row = failures.in_a_row.saturating_add(1);
        if failures.in_a_row < MAX_FAILURES {
            return false;
        }
        failures.out_until = Some(now + REST);
        !was_out
    }

    fn is_out(&self, address: SocketAddr, now: Instant) -> bool {
        let failures = if self.failing.is_empty() { None } else { self.failing.get(&address) };
        failures.and_then(|failures| failures.out_until).is_some_and(|until| now < until)
    }

    fn next_turn(&mut self, name: &Arc<str>, chance: u64) -> u64 {
        if let Some(turn) = self.turns.get_mut(name) {
            *turn = turn.wrapping_add(1);
            return *turn;
        }
        if self.turns.len() >= MAX_REMEMBERED {
            self.turns.clear();
        }
        // Its upper half is what is random.
        let turn = chance >> 33;
        self.turns.insert(Arc::clone(name), turn);
        turn
    }
}

fn fill<'a>(tries: &mut Tries, endpoints: impl Iterator<Item = &'a Endpoint>) {
    for (place, endpoint) in tries.iter_mut().zip(endpoints) {
        *place = Some(endpoint.address);
    }
}

fn weight(endpoint: &Endpoint) -> u64 {
    endpoint.weight.into()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use entry_model::Protocol;

    use super::*;

    fn address(number: u8) -> SocketAddr {
        ([10, 1, 0, number], 80).into()
    }

    /// A backend whose endpoints have these weights, the first with the number 0.
    fn backend(weights: &[u32]) -> Backend {
        let endpoint = |(number, weight): (u8, &u32)| Endpoint { address: address(number), weight: *weight };
        let endpoints = (0..).zip(weights).map(endpoint).collect();
        Backend { name: "http://shop/web:80".into(), protocol: Protocol::Http, keep_alive: true, endpoints }
    }

    /// How many of so many requests each endpoint gets first, by its number.
    fn firsts(balancer: &mut Balancer, backend: &Backend, requests: usize, now: Instant) -> BTreeMap<u8, usize> {
        let mut counts = BTreeMap::new();
        for _ in 0..requests {
            let Some(SocketAddr::V4(first)) = balancer.choose(backend, Order::InTurn, 5 << 33, || now)[0] else {
                panic!("none")
            };
            *counts.entry(first.ip().octets()[3]).or_default() += 1;
        }
        counts
    }

    #[test]
    fn requests_go_round_by_weight_from_any_beginning() {
        let now = Instant::now();
        for (weights, expected) in [
            (&[1, 1, 1][..], &[(0, 10), (1, 10), (2, 10)][..]),
            (&[1, 0, 4], &[(0, 6), (2, 24)]),
            (&[0, 3], &[(1, 30)]),
        ] {
            let counts = firsts(&mut Balancer::default(), &backend(weights), 30, now);
            assert_eq!(counts, expected.iter().copied().collect(), "{weights:?}");
        }
        let begins =
            |chance: u64| Balancer::default().choose(&backend(&[1, 1, 1, 1]), Order::InTurn, chance << 33, || now)[0];
        assert_eq!([0, 1, 6].map(begins), [0, 1, 2].map(|number| Some(address(number))));
        assert_eq!(Balancer::default().choose(&backend(&[]), Order::InTurn, 7, || now), [None; 3]);
        assert_eq!(Balancer::default().choose(&backend(&[0, 0]), Order::InTurn, 7, || now), [None; 3]);
    }

    #[test]
    fn next_tries_are_other_endpoints() {
        let (mut balancer, now) = (Balancer::default(), Instant::now());
        for weights in [&[1, 1][..], &[1, 1, 1], &[1, 0, 2, 1, 1]] {
            let backend = backend(weights);
            for _ in 0..20 {
                let tries: Vec<_> = balancer.choose(&backend, Order::InTurn, 0, || now).into_iter().flatten().collect();
                let weighted = weights.iter().filter(|weight| **weight > 0).count();
                assert_eq!(tries.len(), weighted.min(MAX_TRIES));
                assert!(tries.iter().enumerate().all(|(at, one)| !tries[..at].contains(one)), "{tries:?}");
            }
        }
    }

    #[test]
    fn endpoint_rests_after_three_failures_in_a_row() {
        let (mut balancer, now, backend) = (Balancer::default(), Instant::now(), backend(&[1, 1, 1]));
        let fail = |balancer: &mut Balancer, number| balancer.note_failure(address(number), now);
        assert!(!fail(&mut balancer, 0) && !fail(&mut balancer, 0));
        balancer.note_success(address(0));
        assert!(!fail(&mut balancer, 0) && !fail(&mut balancer, 0), "they are not in a row");
        assert_eq!(firsts(&mut balancer, &backend, 30, now).len(), 3);
        assert!(fail(&mut balancer, 0) && !fail(&mut balancer, 0), "it is told once");
        assert_eq!(firsts(&mut balancer, &backend, 30, now), [(1, 15), (2, 15)].into(), "all others get its share");
        let last = balancer.choose(&backend, Order::InTurn, 0, || now)[2];
        assert_eq!(last, Some(address(0)), "it is the last one that is tried");
        // It is tried again, and one failure more is enough.
        let later = now + REST;
        assert_eq!(firsts(&mut balancer, &backend, 30, later).len(), 3);
        assert!(balancer.note_failure(address(0), later));
        assert_eq!(firsts(&mut balancer, &backend, 30, later).len(), 2);
        balancer.note_success(address(0));
        assert_eq!(firsts(&mut balancer, &backend, 30, later).len(), 3);
    }

    #[test]
    fn all_are_tried_when_all_rest() {
        let (mut balancer, now, backend) = (Balancer::default(), Instant::now(), backend(&[1, 1]));
        for number in [0, 0, 0, 1, 1, 1] {
            balancer.note_failure(address(number), now);
        }
        assert_eq!(firsts(&mut balancer, &backend, 30, now), [(0, 15), (1, 15)].into());
        assert_eq!(balancer.choose(&backend, Order::InTurn, 0, || now).into_iter().flatten().count(), 2);
    }

    #[test]
    fn endpoint_with_the_fewest_requests_for_its_weight_gets_the_next() {
        let (mut balancer, now) = (Balancer::default(), Instant::now());
        let three = backend(&[1, 1, 2]);
        let choose =
            |balancer: &mut Balancer, backend: &Backend| balancer.choose(backend, Order::FewestFirst, 0, || now);
        let mut counts = BTreeMap::new();
        for _ in 0..40 {
            let first = choose(&mut balancer, &three)[0].expect("an endpoint");
            balancer.begin(first);
            *counts.entry(first).or_insert(0) += 1;
        }
        assert_eq!(counts, [(address(0), 10), (address(1), 10), (address(2), 20)].into(), "none of them has ended");
        for _ in 0..4 {
            balancer.end(address(1));
        }
        for _ in 0..4 {
            let tries = choose(&mut balancer, &three);
            assert_eq!(tries[0], Some(address(1)));
            assert!(tries[1..].iter().all(|other| other.is_some_and(|other| other != address(1))), "{tries:?}");
            balancer.begin(address(1));
        }
        // One that fails gets none, however few it has.
        for _ in 0..MAX_FAILURES {
            balancer.note_failure(address(1), now);
        }
        for _ in 0..10 {
            balancer.end(address(1));
        }
        let tries = choose(&mut balancer, &three);
        assert!(tries[0] != Some(address(1)) && tries[2] == Some(address(1)), "{tries:?}");
        for number in [0, 2] {
            (0..20).for_each(|_| balancer.end(address(number)));
        }
        assert!(balancer.busy.is_empty(), "what ended is remembered nowhere");
        let quiet = backend(&[1, 1]);
        let mut balancer = Balancer::default();
        let firsts: Vec<_> = (0..4).map(|_| choose(&mut balancer, &quiet)[0]).collect();
        assert_eq!(firsts[..2], firsts[2..]);
        assert_ne!(firsts[0], firsts[1], "where all have the same they get requests in turn");
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let (mut balancer, now) = (Balancer::default(), Instant::now());
        for number in 0..2 * u32::try_from(MAX_REMEMBERED).expect("a small number") {
            let address: SocketAddr = (std::net::Ipv4Addr::from(number), 80).into();
            balancer.note_failure(address, now);
            let name = number.to_string().into();
            balancer.choose(&Backend { name, ..backend(&[1, 1]) }, Order::InTurn, 0, || now);
        }
        assert!(balancer.failing.len() <= MAX_REMEMBERED && balancer.turns.len() <= MAX_REMEMBERED);
    }
}
