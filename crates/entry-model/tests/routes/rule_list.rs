//! Lists of rules of which one was made of the other.

use entry_model::{Match, PathMatch, Rule, RuleList};
use proptest::prelude::*;

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
    after[1].origin.key = before[2].origin.key.clone();
    assert_eq!(unshared(&after, &before), [vec!["/c"], vec!["/b"]]);
    assert_eq!(before, list(&["/a", "/b", "/c"]), "the other is as it was");
    let mut longer = before.clone();
    longer.push(before[1].clone());
    assert_eq!(unshared(&longer, &before), [vec!["/b".to_owned()], vec![]]);
    assert!(longer.iter().eq([0, 1, 1, 2].map(|index| &before[index])));
    for rule in longer.iter_mut() {
        rule.origin.key = before[0].origin.key.clone();
    }
    assert_eq!(longer.iter().filter(|rule| rule.origin == before[0].origin).count(), 4);
    assert_eq!(before, list(&["/a", "/b", "/c"]), "the other is as it was");
}

#[test]
fn rules_stand_as_they_are_tried_in_whichever_order_they_come() {
    let sorted = list(&["/longer", "/a", "/b"]);
    assert_eq!(list(&["/a", "/longer", "/b"]), sorted);
    assert!(sorted.iter().map(|rule| rule.matches.path.text()).eq(["/longer", "/a", "/b"]));
    assert_eq!(sorted.first(), Some(&sorted[0]));
    assert_ne!(list(&["/a", "/b"]), list(&["/a"]));
    // Of those that are tried alike the first is tried first.
    let alike = |name: &str| rule(name, Match::any());
    let mut list = RuleList::from(vec![alike("first"), alike("second")]);
    list.push(alike("third"));
    assert!(list.iter().map(|rule| &*rule.origin.key.name).eq(["first", "second", "third"]));
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
        after[index].origin.key = before[1].origin.key.clone();
        assert_eq!(unshared(&before, &after), [vec![paths[index].to_owned()], vec!["/1001".to_owned()]]);
        let mut longer = before.clone();
        longer.push(before[index].clone());
        assert_eq!(longer.len(), 1001);
        assert_eq!(unshared(&longer, &before), [vec![paths[index].to_owned()], vec![]]);
        assert!(longer != before && after != before);
    }
    for path in paths.iter().copied().chain(["/", "/0", "/1000a", "/9"]) {
        let place = PathMatch::Prefix(path.to_owned());
        let of_path: Vec<_> = before.at_place_of(&place).collect();
        assert!(
            of_path.iter().map(|rule| rule.matches.path.text()).eq(paths.iter().copied().filter(|one| *one == path))
        );
    }
}

#[test]
fn list_grows_and_shrinks_at_one_place() {
    let paths: Vec<String> = (1000..2000).map(|number| format!("/{number}")).collect();
    let (mut grown, all): (_, Vec<_>) = (list(&["/1", "/longer"]), list(&["/1", "/longer"]).iter().cloned().collect());
    for path in &paths {
        grown.push(list(&[path])[0].clone());
    }
    let both: Vec<&str> = ["/1", "/longer"].into_iter().chain(paths.iter().map(String::as_str)).collect();
    assert_eq!(grown, list(&both));
    while grown.len() > 2 {
        grown.remove(grown.len() / 2);
    }
    assert!(grown.iter().eq(&all));
    grown.remove(1);
    grown.remove(0);
    assert!(grown.is_empty() && grown == RuleList::new());
}

proptest! {
    #[test]
    fn list_to_which_rules_come_and_from_which_they_go_is_as_one_made_of_the_rest(
        changes in proptest::collection::vec((0..200_u32, any::<proptest::sample::Index>(), 0..3_u8), 1..100),
        many in 0..700_u32,
    ) {
        let at = |name: &str, path: u32| rule(name, Match::path(PathMatch::Prefix(format!("/{path}"))));
        let mut list: RuleList = (0..many).map(|number| at("first", number % 200)).collect();
        let mut rules: Vec<Rule> = list.iter().cloned().collect();
        for (number, (path, index, kind)) in changes.into_iter().enumerate() {
            let before = list.clone();
            let (mut came, mut went) = (Vec::new(), Vec::new());
            if rules.is_empty() || kind == 0 {
                let name = format!("{number}");
                let rule = at(&name, path);
                let place = rules.partition_point(|one| one.matches.precedence(&rule.matches).is_le());
                rules.insert(place, rule.clone());
                list.push(rule);
                came.push(name);
            } else if kind == 1 {
                let index = index.index(rules.len());
                rules[index].origin = crate::support::object(&format!("{number}"));
                went.push(list[index].origin.key.name.clone());
                list[index] = rules[index].clone();
                came.push(format!("{number}"));
            } else {
                let index = index.index(rules.len());
                went.push(rules.remove(index).origin.key.name.clone());
                list.remove(index);
            }
            prop_assert_eq!(list.len(), rules.len());
            prop_assert_eq!(list == before, came == went);
            let [listed, gone] = unshared(&list, &before);
            // Those that are tried alike may count as differing, too: their order does.
            prop_assert!(came.iter().all(|name| listed.contains(name)) && went.iter().all(|name| gone.contains(name)));
            let alike = rules.iter().filter(|one| *one.matches.path.text() == format!("/{path}")).count();
            prop_assert!(kind != 0 || listed.len() <= alike && gone.len() <= alike);
        }
        prop_assert!(list.iter().eq(&rules));
        prop_assert!((0..rules.len()).all(|index| list[index] == rules[index]));
        prop_assert_eq!(list, rules.into_iter().collect::<RuleList>());
    }
}
