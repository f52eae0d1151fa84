//! What becomes of paths, and where clients are sent.

use entry_model::{Match, PathMatch, PathRewrite, Redirect, Request, Scheme, UrlPart, UrlText, UrlVariable};
use proptest::prelude::*;

use crate::support::pattern;

fn prefix(path: &str) -> PathMatch {
    PathMatch::Prefix(path.to_owned())
}

/// The table of the Gateway API's `ReplacePrefixMatch`.
#[test]
fn prefix_is_replaced_as_the_gateway_api_has_it() {
    for (path, matched, replacement, expected) in [
        ("/foo/bar", "/foo", "/xyz", "/xyz/bar"),
        ("/foo/bar", "/foo", "/xyz/", "/xyz/bar"),
        ("/foo/bar", "/foo/", "/xyz", "/xyz/bar"),
        ("/foo/bar", "/foo/", "/xyz/", "/xyz/bar"),
        ("/foo", "/foo", "/xyz", "/xyz"),
        ("/foo/", "/foo", "/xyz", "/xyz/"),
        ("/foo/bar", "/foo", "", "/bar"),
        ("/foo/", "/foo", "", "/"),
        ("/foo", "/foo", "", "/"),
        ("/foo/", "/foo", "/", "/"),
        ("/foo", "/foo", "/", "/"),
        ("/a/b", "/", "/x", "/x/a/b"),
    ] {
        let rewrite = PathRewrite::replace_prefix(replacement);
        assert_eq!(rewrite.apply(&prefix(matched), path), expected, "{path} {matched} {replacement}");
    }
    assert_eq!(PathRewrite::replace_prefix("/"), PathRewrite::StripPrefix);
}

#[test]
fn exact_path_is_its_own_prefix() {
    let exact = PathMatch::Exact("/a/b".to_owned());
    for (rewrite, expected) in [
        (PathRewrite::Keep, "/a/b"),
        (PathRewrite::StripPrefix, "/"),
        (PathRewrite::replace_prefix("/x"), "/x"),
        (PathRewrite::ReplaceFull("/y".to_owned()), "/y"),
    ] {
        assert_eq!(rewrite.apply(&exact, "/a/b"), expected, "{rewrite:?}");
    }
}

#[test]
fn regex_rewrite_substitutes_its_groups() {
    let text = "^/app(/|$)(.*)";
    let rewrite = PathRewrite::Regex { pattern: pattern(text), template: "/$2".to_owned() };
    for (path, expected) in [("/app/a/b", "/a/b"), ("/app", "/"), ("/application", "/application")] {
        assert_eq!(rewrite.apply(&PathMatch::Regex(pattern(text)), path), expected);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// To take a prefix off and to put it before again is to do nothing, but for a final slash of the prefix alone.
    #[test]
    fn prefix_that_is_taken_off_can_be_put_back(matched in "(/[a-c]{1,2}){1,2}", rest in "(/[a-c]{0,2}){0,3}") {
        let path = format!("{matched}{rest}");
        let stripped = PathRewrite::StripPrefix.apply(&prefix(&matched), &path).into_owned();
        prop_assert!(stripped.starts_with('/'));
        let back = PathRewrite::replace_prefix(&matched).apply(&prefix("/"), &stripped).into_owned();
        prop_assert_eq!(back, if rest.is_empty() { format!("{path}/") } else { path });
    }
}

#[test]
fn redirect_keeps_what_it_does_not_change() {
    let same = || Redirect { status: 302, scheme: None, host: None, port: None, path: PathRewrite::Keep };
    let request = Request { host: "a.example", path: "/a b/c", query: "x=1", ..Request::default() };
    let matched = Match::path(prefix("/a b"));
    for (redirect, port, expected) in [
        (same(), 80, "http://a.example/a%20b/c?x=1"),
        (same(), 8080, "http://a.example:8080/a%20b/c?x=1"),
        (Redirect { scheme: Some(Scheme::Https), ..same() }, 8080, "https://a.example/a%20b/c?x=1"),
        (
            Redirect { port: Some(8443), scheme: Some(Scheme::Https), ..same() },
            80,
            "https://a.example:8443/a%20b/c?x=1",
        ),
        (Redirect { host: Some("b.example".to_owned()), ..same() }, 80, "http://b.example/a%20b/c?x=1"),
        (Redirect { path: PathRewrite::replace_prefix("/x"), ..same() }, 80, "http://a.example/x/c?x=1"),
    ] {
        assert_eq!(redirect.location(&matched, &request, port), expected, "{redirect:?}");
    }
    let bare = Request { query: "", ..request };
    assert_eq!(same().location(&matched, &bare, 80), "http://a.example/a%20b/c");
}

#[test]
fn parts_of_a_request_stand_in_the_target_of_a_redirect() {
    let request = Request { host: "a.example", path: "/a b", query: "x=1&y", ..Request::default() };
    let located = |variable, request: &Request<'_>| {
        let parts = vec![UrlPart::Text("/rd=".to_owned()), UrlPart::Variable(variable)];
        let path = PathRewrite::ReplaceTarget(UrlText(parts));
        let redirect = Redirect { status: 302, scheme: None, host: None, port: None, path };
        redirect.location(&Match::any(), request, 80)
    };
    for (variable, expected) in [
        (UrlVariable::Host, "a.example"),
        (UrlVariable::HostAndPort, "a.example"),
        (UrlVariable::Scheme, "http"),
        (UrlVariable::Method, "GET"),
        (UrlVariable::Target, "/a%20b?x=1&y"),
        (UrlVariable::EscapedTarget, "/a%2520b?x=1%26y"),
        (UrlVariable::Path, "/a%20b"),
        (UrlVariable::QuestionMark, "?"),
        (UrlVariable::Query, "x=1&y"),
    ] {
        assert_eq!(located(variable, &request), format!("http://a.example/rd={expected}"), "{variable:?}");
    }
    let bare = Request { query: "", ..request };
    assert_eq!(located(UrlVariable::QuestionMark, &bare), "http://a.example/rd=");
}
