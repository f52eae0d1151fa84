//! Lists of rules of which one was made of the other.

use entry_model::{Match, PathMatch, Rule, RuleList};

use crate::support::rule;

fn list(paths: &[&str]) -> RuleList {
    let to_rule = |path: &&str| rule(path, Match::path(PathMatch::Prefix((*path).to_owned())));
    paths.iter().map(to_rule).collect()
}

/// The origins of what is not shared.
fn unshared(one: &RuleList, other: &RuleList) -> [Vec<String>; 2] {
    let names = |rules: Vec<&std::sync::Arc<Rule>>| rules.iter().map(|rule| rule.origin.key.name.clone()).collect();
    one.unshared(other).map(names)
}

#[test]
fn list_that_was_made_of_another_shares_what_was_not_changed() {
    let before = list(&["/a", "/b", "/c"]);
    let mut after = before.clone();
    assert_eq!(unshared(&after, &before), [vec![], vec![]] as [Vec<String>; 2]);
    after[1] = after[2].clone();
    assert_eq!(unshared(&after, &before), [vec!["/c"], vec!["/b"]]);
    assert_eq!(before, list(&["/a", "/b", "/c"]), "the other is as it was");
    let mut longer = before.clone();
    longer.push(before[0].clone());
    longer.insert(0, before[2].clone());
    assert_eq!(unshared(&longer, &before), [vec!["/c", "/a", "/b", "/c", "/a"], vec!["/a", "/b", "/c"]]);
    longer = before.clone();
    longer.insert(1, before[2].clone());
    assert_eq!(unshared(&longer, &before), [vec!["/c".to_owned()], vec![]]);
    for rule in longer.iter_mut() {
        rule.origin.key = before[0].origin.key.clone();
    }
    assert_eq!(longer.iter().filter(|rule| rule.origin == before[0].origin).count(), 4);
    assert_eq!(before, list(&["/a", "/b", "/c"]), "the other is as it was");
}

#[test]
fn lists_are_equal_when_their_rules_are() {
    assert_eq!(list(&["/a", "/b"]), list(&["/a", "/b"]));
    assert_ne!(list(&["/a", "/b"]), list(&["/b", "/a"]));
    let mut sorted = list(&["/a", "/longer", "/b"]);
    sorted.sort();
    assert_eq!(sorted, list(&["/longer", "/a", "/b"]));
    assert_eq!(sorted.first().map(|rule| rule.origin.clone()), Some(sorted[0].origin.clone()));
}

#[test]
fn lists_of_many_rules_are_as_those_of_few() {
    let paths: Vec<String> = (1000..2000).map(|number| format!("/{number}")).collect();
    let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
    let before = list(&paths);
    assert_eq!(before.len(), 1000);
    assert!(before.iter().map(|rule| rule.matches.path.text()).eq(paths.iter().copied()));
    for index in [0, 127, 128, 500, 999] {
        let mut after = before.clone();
        after[index] = before[1].clone();
        let changed = if index == 1 { vec![] } else { vec![paths[index].to_owned()] };
        assert_eq!(unshared(&before, &after), [changed, vec!["/1001".to_owned()]]);
        let mut longer = before.clone();
        longer.insert(index, before[1].clone());
        assert_eq!(longer.len(), 1001);
        assert_eq!(unshared(&longer, &before), [vec!["/1001".to_owned()], vec![]]);
        assert!(longer != before && after != before);
    }
    for path in paths.iter().copied().chain(["/", "/0", "/1000a", "/9"]) {
        let of_path: Vec<_> =
            before.range(|rule| rule.matches.path.text() < path, |rule| rule.matches.path.text() == path).collect();
        assert!(
            of_path.iter().map(|rule| rule.matches.path.text()).eq(paths.iter().copied().filter(|one| *one == path))
        );
    }
}
