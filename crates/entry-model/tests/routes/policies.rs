//! Policies are values, each there once.

use std::sync::Arc;

use entry_model::{Host, HostName, Match, Policies, Policy, PolicyId, Routes};

use crate::support::rule;

fn policy(max_body_bytes: u64) -> Policy {
    Policy { max_body_bytes: Some(max_body_bytes), ..Policy::default() }
}

#[test]
fn policy_keeps_its_id_while_others_come_and_go() {
    let mut policies = Policies::default();
    let ids: Vec<PolicyId> = (0..4).map(|bytes| policies.intern(&policy(bytes))).collect();
    assert_eq!(policies.intern(&policy(2)), ids[2]);
    policies.retain(|id| id == ids[1] || id == ids[3]);
    assert_eq!(policies.len(), 2);
    assert_eq!((policies.get(ids[0]), &policies[ids[0]]), (None, &Policy::default()));
    // A number that is free is used again, and never that of another.
    let new = policies.intern(&policy(9));
    assert!(new == ids[0] || new == ids[2]);
    for (bytes, id) in [(1, ids[1]), (3, ids[3]), (9, new)] {
        assert_eq!(policies.intern(&policy(bytes)), id);
        assert_eq!(policies[id], policy(bytes));
    }
    assert_eq!(policies.iter().count(), policies.len());
}

#[test]
fn routes_are_equal_whatever_ids_their_policies_have() {
    let routes = |order: &[u64], bytes: u64| {
        let mut policies = Policies::default();
        for bytes in order {
            policies.intern(&policy(*bytes));
        }
        let mut rule = rule("a", Match::any());
        rule.policy = policies.intern(&policy(bytes));
        let hosts = [(HostName::Any, Arc::new(Host { rules: vec![rule].into(), ..Host::default() }))].into();
        Routes { hosts, policies, ..Routes::default() }
    };
    assert_eq!(routes(&[1, 2], 2), routes(&[2, 3], 2));
    assert_ne!(routes(&[1, 2], 2), routes(&[2, 1], 1));
}
