//! Paths: what was sent, and what the backend saw or the status.

use entry_model::Protocol;

use super::support::{Echo as _, Nginx, backend, binaries, exact, forward, prefix, routes, speaking};

/// The backend and the target that it saw, or the status.
type Seen = Result<(&'static str, &'static str), u16>;

/// Sent, and which backend saw what; or the status.
const TABLE: &[(&str, Seen)] = &[
    ("/volume/api/v1/pools", Ok(("strip", "/api/v1/pools"))),
    ("/volume/api/v1/pools/?a=/../b&c=%2e%2e/", Ok(("strip", "/api/v1/pools/?a=/../b&c=%2e%2e/"))),
    ("/volume", Ok(("strip", "/"))),
    ("/volume?x=1", Ok(("strip", "/?x=1"))),
    ("/volume?", Ok(("strip", "/?"))),
    ("/volume/", Ok(("strip", "/"))),
    ("/volume/?", Ok(("strip", "/?"))),
    ("/volume/a/", Ok(("strip", "/a/"))),
    ("/volume/a+b&c=d!'(*)@:,$", Ok(("strip", "/a+b&c=d!'(*)@:,$"))),
    ("/volume/a?b?c%23=%2F../", Ok(("strip", "/a?b?c%23=%2F../"))),
    ("/volume/a%3fb?c", Ok(("strip", "/a%3fb?c"))),
    ("/volume/a%2Fb?", Ok(("strip", "/a%2Fb?"))),
    ("/volume/?x=1", Ok(("strip", "/?x=1"))),
    ("/volumes", Ok(("root", "/volumes"))),
    ("/volumes/a", Ok(("root", "/volumes/a"))),
    ("/Volume/a", Ok(("root", "/Volume/a"))),
    ("/volume/a%2Fb", Ok(("strip", "/a%2Fb"))),
    ("/volume/a%252Fb", Ok(("strip", "/a%252Fb"))),
    ("/volume/x//y", Ok(("strip", "/x//y"))),
    ("/volume//y", Ok(("strip", "//y"))),
    ("/volume/a;b%3Bc", Ok(("strip", "/a;b%3Bc"))),
    ("/volume/%E4%BD%A0", Ok(("strip", "/%E4%BD%A0"))),
    ("/volume/你", Ok(("strip", "/你"))),
    ("/volume/a%20b%3Fc", Ok(("strip", "/a%20b%3Fc"))),
    ("/volume/$host${uri}", Ok(("strip", "/$host${uri}"))),
    ("/volume/.well-known/...", Ok(("strip", "/.well-known/..."))),
    ("/volume/a%0d%0aX:y", Ok(("strip", "/a%0d%0aX:y"))),
    ("/volume/exact", Ok(("only", "/"))),
    ("/volume/exact?q", Ok(("only", "/?q"))),
    ("/volume/exact/", Ok(("strip", "/exact/"))),
    ("/keep/a%2Fb//c;d", Ok(("keep", "/keep/a%2Fb//c;d"))),
    ("/keep", Ok(("keep", "/keep"))),
    ("/keep?x", Ok(("keep", "/keep?x"))),
    ("/keep/deep/a", Ok(("strip", "/a"))),
    ("/keep/deeper", Ok(("keep", "/keep/deeper"))),
    ("/only", Ok(("only", "/only"))),
    ("/only?x=%2F", Ok(("only", "/only?x=%2F"))),
    ("/only/", Ok(("root", "/only/"))),
    ("/%E9%BA%BB%20%E9%9B%80$host/x", Ok(("strip", "/x"))),
    ("/%e9%ba%bb%20%e9%9b%80%24host/x", Ok(("strip", "/x"))),
    ("/麻%20雀$host", Ok(("strip", "/"))),
    // The same path without its final slash is another one, which nginx does not lead there.
    ("/slash/", Ok(("only", "/slash/"))),
    ("/slash/?a", Ok(("only", "/slash/?a"))),
    ("/slash", Ok(("root", "/slash"))),
    ("/slash?a=%2F", Ok(("root", "/slash?a=%2F"))),
    ("/sl%61sh", Ok(("root", "/sl%61sh"))),
    ("//slash", Ok(("root", "//slash"))),
    ("/slash//", Ok(("only", "/slash//"))),
    ("/volume/slash", Ok(("strip", "/slash"))),
    ("/volume/sl%61sh?a", Ok(("strip", "/sl%61sh?a"))),
    ("/volume/slash/", Ok(("only", "/"))),
    ("/vol%75me/slash", Err(400)),
    ("/keep/slash/", Ok(("only", "/keep/slash/"))),
    ("/keep/slash", Ok(("keep", "/keep/slash"))),
    ("/", Ok(("root", "/"))),
    // A whole URL, and one without a path.
    ("http://any.example/only", Ok(("only", "/only"))),
    ("http://any.example?x=1", Ok(("root", "/?x=1"))),
    ("http://any.example", Ok(("root", "/"))),
    ("/?a", Ok(("root", "/?a"))),
    ("/a//b", Ok(("root", "/a//b"))),
    ("//a", Ok(("root", "//a"))),
    // What was matched is not what would be forwarded.
    ("//volume/a", Err(400)),
    ("/%76olume/a", Err(400)),
    ("/volume%2Fa", Err(400)),
    ("/volum%65", Err(400)),
    ("/volume/exact%2f", Ok(("strip", "/exact%2f"))),
    ("/volume/exac%74", Err(400)),
    ("/volume//exact", Err(400)),
    ("/sparrow-raw-path-0", Ok(("root", "/sparrow-raw-path-0"))),
    ("/keep//deep/a", Err(400)),
    ("/kee%70/a", Err(400)),
    ("//only", Err(400)),
    ("/volume/../keep", Err(400)),
    ("/volume/./a", Err(400)),
    ("/volume/a/..", Err(400)),
    ("/volume/..?x", Err(400)),
    ("/volume/%2e%2e/keep", Err(400)),
    ("/volume/.%2E/keep", Err(400)),
    ("/volume/..%2fkeep", Err(400)),
    ("/volume%2f..%2Fkeep", Err(400)),
    ("/volume/..;/keep", Err(400)),
    ("/volume/..%3bx/keep", Err(400)),
    ("/volume/..\\keep", Err(400)),
    ("/volume\\..\\keep", Err(400)),
    ("/volume/%5c..%5Ckeep", Err(400)),
    ("/volume/a#/../b", Err(400)),
    ("/..", Err(400)),
    ("/volume/a%00", Err(400)),
];

#[test]
fn a_path_is_forwarded_as_it_was_sent() {
    let (strip, keep, only, root) = (backend("strip"), backend("keep"), backend("only"), backend("root"));
    let routes = routes([(
        "*",
        vec![
            forward(exact("/only"), only, false),
            forward(exact("/volume/exact"), only, true),
            forward(exact("/slash/"), only, false),
            forward(exact("/volume/slash/"), only, true),
            forward(exact("/keep/slash/"), only, false),
            forward(prefix("/volume"), strip, true),
            forward(prefix("/keep/deep"), strip, true),
            forward(prefix("/keep"), keep, false),
            forward(prefix("/麻 雀$host"), strip, true),
            forward(prefix("/"), root, true),
        ],
    )]);
    for binary in binaries() {
        let nginx = Nginx::start(&binary, &routes, |_| {});
        for (sent, expected) in TABLE {
            let answer = nginx.get("any.example", sent, "");
            let found =
                if answer.status == 200 { Ok((answer.header("Backend"), answer.target())) } else { Err(answer.status) };
            assert_eq!(found, *expected, "{sent} with {}", binary.version);
        }
        let prefix = |sent| nginx.get("a.example", sent, "").seen("X-Forwarded-Prefix").map(str::to_owned);
        assert_eq!(prefix("/volume/a").as_deref(), Some("/volume"));
        assert_eq!(prefix("/volume").as_deref(), Some("/volume"));
        assert_eq!(prefix("/%E9%BA%BB%20%E9%9B%80$host/x").as_deref(), Some("/%E9%BA%BB%20%E9%9B%80$host"));
        assert_eq!(prefix("/keep/a"), None);
    }
}

#[test]
fn without_its_final_slash_an_exact_path_is_what_the_other_rules_say() {
    let (exactly, h2) = (backend("exactly"), backend("unused"));
    let over_http2 = |rule| speaking(rule, Protocol::Http2);
    let rules = vec![
        forward(exact("/bar/"), exactly, false),
        forward(exact("/api/v1/"), exactly, true),
        over_http2(forward(exact("/grpc/x/"), h2, true)),
        forward(exact("/"), exactly, false),
    ];
    let mut with_default = routes([("*", rules.clone())]);
    with_default.default = Some(forward(prefix("/"), backend("default"), false));
    let without = routes([("*", rules)]);
    for binary in binaries() {
        for (routes, expected) in [(&without, 404), (&with_default, 200)] {
            let nginx = Nginx::start(&binary, routes, |_| {});
            for target in ["/bar", "/bar?x", "/api/v1", "/grpc/x", "/b%61r", "/bar/x"] {
                let answer = nginx.get("any.example", target, "");
                assert_eq!(answer.status, expected, "{target} with {}: {}", binary.version, answer.text());
                assert!(expected == 404 || answer.header("Backend") == "default", "{target}");
            }
            assert_eq!(nginx.get("any.example", "/bar/", "").header("Backend"), "exactly");
            assert_eq!(nginx.get("any.example", "/", "").header("Backend"), "exactly");
            assert_eq!(nginx.get("any.example", "http://any.example?x", "").header("Backend"), "exactly");
        }
    }
}
