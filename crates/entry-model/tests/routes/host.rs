//! Names of hosts, and listeners.

use entry_model::{HostName, ListenerId, ListenerSet};

#[test]
fn longer_host_patterns_come_before_shorter_ones() {
    let candidates = |host: &str| HostName::candidates(host).map(|name| name.to_string()).collect::<Vec<_>>();
    assert_eq!(candidates("a.b.example"), ["a.b.example", "*.b.example", "**.b.example", "**.example", "*"]);
    assert_eq!(candidates("example"), ["example", "*"]);
    // An empty label is none.
    assert_eq!(candidates(".example"), [".example", "*"]);
    assert_eq!(candidates(""), ["", "*"]);
}

#[test]
fn only_host_patterns_are_wildcards() {
    let name = || "a".to_owned();
    let kinds = [HostName::Exact(name()), HostName::OneLabel(name()), HostName::Suffix(name()), HostName::Any];
    assert_eq!(kinds.map(|kind| kind.is_wildcard()), [false, true, true, false]);
}

#[test]
fn listener_set_has_the_listeners_put_in() {
    let some = ListenerSet::from_iter([ListenerId(1), ListenerId(63), ListenerId(64)]);
    let of = |set: ListenerSet| (0..=u8::MAX).filter(|id| set.contains(ListenerId(*id))).collect::<Vec<_>>();
    assert_eq!(of(some), [1, 63]);
    assert_eq!(of(some.union(ListenerSet::from_iter([ListenerId(2)]))), [1, 2, 63]);
    assert_eq!((of(ListenerSet::NONE).len(), of(ListenerSet::ALL).len()), (0, 64));
}
