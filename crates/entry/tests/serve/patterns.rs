//! Rules for patterns, and paths that become others: what was sent, and what the backend saw or the status.

use std::fs;

use entry_model::{
    Action, PathMatch, PathRewrite, Pattern, Protocol, Redirect, Request, Routes, RoutingDecision, Rule, Scheme,
    UrlPart, UrlText, UrlVariable,
};

use super::path_cases::Seen;
use super::support::{
    Echo as _, Nginx, backend, binaries, exact, forward, prefix, routes, rule, speaking, with_rewrite,
};

fn pattern(text: &str) -> Pattern {
    pattern_engine::compile(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn regex(text: &str) -> PathMatch {
    PathMatch::Regex(pattern(text))
}

fn replace(text: &str, template: &str) -> PathRewrite {
    PathRewrite::Regex { pattern: pattern(text), template: template.to_owned() }
}

/// Sent, and which backend saw what; or the status.
const CASES: &[(&str, Seen)] = &[
    // A pattern comes before prefixes, the longest first, and an exact path before all.
    ("/only", Ok(("only", "/only"))),
    ("/only/x", Ok(("root", "/only/x"))),
    ("/keep/a", Ok(("keep", "/keep/a"))),
    ("/keep", Ok(("keep", "/keep"))),
    ("/keep/deep.js", Ok(("script", "/keep/deep.js"))),
    ("/strip/deep.js?v=1", Ok(("script", "/strip/deep.js?v=1"))),
    ("/strip/a%2Fb//c?d", Ok(("strip", "/a%2Fb//c?d"))),
    ("/strip", Ok(("strip", "/"))),
    ("/slash/", Ok(("only", "/slash/"))),
    ("/slash", Ok(("root", "/slash"))),
    ("/CASE/abc", Ok(("case", "/CASE/abc"))),
    ("/case/9", Ok(("root", "/case/9"))),
    // What a pattern takes off; what was sent stays as it was.
    ("/api", Ok(("api", "/"))),
    ("/api?x=1", Ok(("api", "/?x=1"))),
    ("/api?", Ok(("api", "/?"))),
    ("/api/", Ok(("api", "/"))),
    ("/api/a%2Fb/c;d%20e?f=/../g", Ok(("api", "/a%2Fb/c;d%20e?f=/../g"))),
    ("/api/%E4%BD%A0//x", Ok(("api", "/%E4%BD%A0//x"))),
    ("/api/$host${uri}$1", Ok(("api", "/$host${uri}$1"))),
    ("/apis", Ok(("root", "/apis"))),
    // A question mark of a template is a part of the path.
    ("/user/7/posts/x", Ok(("user", "/by-user/x/of/7%3F"))),
    ("/user/7/posts/x?y", Ok(("user", "/by-user/x/of/7%3F?y"))),
    ("/part/old/old", Ok(("part", "/part/new/old"))),
    // The pattern of the rewrite matches nothing.
    ("/part/x", Ok(("part", "/part/x"))),
    ("/full/a/b?c", Ok(("full", "/one%20%24x%22;/two?c"))),
    ("/swap/a%2Fb?c", Ok(("swap", "/other%20one/a%2Fb?c"))),
    ("/swap", Ok(("swap", "/other%20one"))),
    ("/exactly?a", Ok(("swap", "/elsewhere?a"))),
    // What matched is not what would be forwarded.
    ("/%61pi/x", Err(400)),
    ("//api/x", Err(400)),
    ("/api%2Fx", Err(400)),
    ("/sw%61p/x", Err(400)),
    ("/full/%2e%2e/x", Err(400)),
    ("/api/../x", Err(400)),
    ("/api/..%2fx", Err(400)),
    ("/strip/x#y", Err(400)),
    // A rewrite makes no dot segment, and no part of a host.
    ("/glue../admin", Err(400)),
    ("/glue.%2e/admin", Err(400)),
    ("/gluex/admin", Ok(("glue", "/x/admin"))),
    ("/hostile/@evil.example/", Err(400)),
];

fn rules() -> Vec<Rule> {
    let to = |name: &'static str, path: PathMatch, rewrite: PathRewrite| {
        with_rewrite(forward(path, backend(name), false), rewrite)
    };
    let only = backend("only");
    vec![
        forward(exact("/only"), only, false),
        forward(exact("/slash/"), only, false),
        to("swap", exact("/exactly"), PathRewrite::ReplaceFull("/elsewhere".to_owned())),
        to("user", regex("^/user/([0-9]+)/posts/(.*)"), replace("^/user/([0-9]+)/posts/(.*)", "/by-user/$2/of/$1?")),
        to("hostile", regex("^/hostile/(.*)$"), replace("^/hostile/(.*)$", "$1")),
        to("api", regex("^/api(/|$)(.*)"), replace("^/api(/|$)(.*)", "/$2")),
        to("case", regex("(?i)^/case/[a-z]+$"), PathRewrite::StripPrefix),
        to("part", regex("^/part/.+"), replace("o(.)d", "new")),
        to("script", regex("(?:\\.js)$"), PathRewrite::Keep),
        to("glue", regex("^/glue(.*)"), replace("^/glue(.*)", "/$1")),
        to("full", regex("^/full/"), PathRewrite::ReplaceFull("/one $x\";/two".to_owned())),
        forward(prefix("/strip"), backend("strip"), true),
        to("swap", prefix("/swap"), PathRewrite::ReplacePrefix("/other one".to_owned())),
        forward(prefix("/keep"), backend("keep"), false),
        forward(prefix("/"), backend("root"), true),
    ]
}

#[test]
fn pattern_is_matched_and_replaced_in_the_path_as_it_was_sent() {
    let routes = routes([("*", rules())]);
    for binary in binaries() {
        let nginx = Nginx::start(&binary, &routes, |_| {});
        for (sent, expected) in CASES {
            let answer = nginx.get("any.example", sent, "");
            let found =
                if answer.status == 200 { Ok((answer.header("Backend"), answer.target())) } else { Err(answer.status) };
            assert_eq!(found, *expected, "{sent} with {}", binary.version);
        }
    }
}

#[test]
fn nginx_tries_patterns_as_routes_find_decides() {
    let names = ["a", "b", "c", "d", "e"];
    let backends = names.map(|name| (name, backend(name)));
    let to = |name: &str, path: PathMatch| {
        forward(path, backends.iter().find(|(found, _)| *found == name).unwrap().1, false)
    };
    let mut hosts = vec![
        vec![
            to("a", regex("^/[ab]+/[0-9]{2,3}$")),
            to("b", regex("(?i)^/A")),
            to("c", regex("b")),
            to("d", prefix("/")),
        ],
        vec![
            to("a", exact("/b")),
            to("b", regex("^/(?:a|ab)(c|bcd)?$")),
            to("c", prefix("/a/b")),
            to("d", prefix("/a")),
        ],
        vec![to("a", regex("^/a.*?/b")), to("e", regex("^/a[^/]*/[^b]*$")), to("b", regex("^/.{3}$"))],
        vec![to("a", regex("^/x\\.y\\?$|^/\\$[$]")), to("b", regex("\\bb\\b")), to("c", regex("^/[^a-c]"))],
    ];
    for rules in &mut hosts {
        rules.sort_by(|one, two| one.matches.precedence(&two.matches));
    }
    let [one, two, three, four] = hosts.try_into().unwrap();
    let routes = routes([("one", one), ("two", two), ("three", three), ("four", four)]);
    let paths = [
        "/", "/a", "/A", "/b", "/ab/12", "/ab/1234", "/a/b", "/a/b/", "/abcd", "/ac", "/acd", "/xyz", "/x.y", "/xay",
        "/$$", "/a/c", "/a/c/b", "/b-b", "/d", "/a/b/12", "/ba/123/", "/c/x.b",
    ];
    for binary in binaries() {
        let nginx = Nginx::start(&binary, &routes, |_| {});
        for host in ["one", "two", "three", "four"] {
            for path in paths {
                let request = Request { scheme: Scheme::Http, host, path, ..Request::default() };
                let expected = match routes.find(&request) {
                    RoutingDecision::Rule(Rule { action: Action::Forward(forward), .. }) => {
                        let address = forward.only_backend().unwrap().address.cluster_ip();
                        backends.iter().find(|(_, found)| Some(*found) == address).unwrap().0
                    }
                    _ => "",
                };
                let answer = nginx.get(host, path, "");
                assert_eq!(answer.header("Backend"), expected, "{host} {path} with {}", binary.version);
                assert_eq!(answer.status, if expected.is_empty() { 404 } else { 200 }, "{host} {path}");
            }
        }
    }
}

/// -8 and -47 are the errors of PCRE and PCRE2 when a limit is reached: nginx itself runs no pattern of a rule.
#[test]
fn hostile_pattern_costs_one_answer_and_no_worker() {
    let hostile = [
        ("nested", "^/nested/(a?){60}(a){60}b$".to_owned()),
        ("many", "^/many/.*a.*a.*a.*a.*a.*b$".to_owned()),
        ("choices", format!("^/choices/{}c$", "(?:a|aa)?".repeat(50))),
    ];
    let mut rules: Vec<_> = hostile
        .iter()
        .map(|(name, text)| {
            let rewrite = replace(text, "/$1$0");
            with_rewrite(forward(regex(text), backend(name), false), rewrite)
        })
        .collect();
    rules.push(forward(prefix("/"), backend("root"), false));
    let routes = routes([("*", rules)]);
    for binary in binaries() {
        let nginx = Nginx::start(&binary, &routes, |_| {});
        for (name, _) in &hostile {
            // Without a limit each would take years: the client here gives up after seconds.
            let sent = format!("/{name}/{}", "a".repeat(4000));
            let status = nginx.get("any.example", &sent, "").status;
            assert!([200, 500].contains(&status), "{name}: {status} with {}", binary.version);
            assert_eq!(nginx.get("any.example", "/x", "").header("Backend"), "root");
        }
        let log = fs::read_to_string(&nginx.settings.error_log).unwrap();
        let is_limit = |line: &str| [" failed: -8 on", " failed: -47 on"].iter().any(|error| line.contains(error));
        assert!(!log.lines().any(is_limit), "a limit was reached: {log}");
        assert!(!log.contains("exited on signal"), "{log}");
    }
}

#[test]
fn redirect_keeps_what_was_sent() {
    let elsewhere = |path| Redirect { status: 301, scheme: None, host: None, port: None, path };
    let to = |matched: PathMatch, redirect: Redirect| rule(matched, Action::Redirect(redirect), "some");
    let full = |path: &str| PathRewrite::ReplaceFull(path.to_owned());
    let other = |path| Redirect { host: Some("other.example".to_owned()), ..elsewhere(path) };
    let routes = routes([(
        "*",
        vec![
            to(prefix("/fixed"), elsewhere(PathRewrite::ReplaceTarget(UrlText::from_text("/a%2Fb?c=$d#e")))),
            to(exact("/"), Redirect { status: 302, ..elsewhere(full("/app")) }),
            to(prefix("/old"), elsewhere(PathRewrite::ReplacePrefix("/new".to_owned()))),
            to(prefix("/strip"), Redirect { status: 307, ..elsewhere(PathRewrite::StripPrefix) }),
            to(prefix("/keep"), Redirect { scheme: Some(Scheme::Https), ..other(PathRewrite::Keep) }),
            to(prefix("/port"), Redirect { port: Some(8080), status: 308, ..other(PathRewrite::Keep) }),
            to(prefix("/default"), Redirect { port: Some(80), status: 303, ..other(PathRewrite::Keep) }),
            to(prefix("/tls"), Redirect { port: Some(443), ..other(PathRewrite::Keep) }),
            rule(prefix("/teapot"), Action::Respond(418), "some"),
            rule(prefix("/nothing"), Action::Respond(404), "some"),
            rule(prefix("/empty"), Action::Respond(204), "some"),
        ],
    )]);
    for binary in binaries() {
        let nginx = Nginx::start(&binary, &routes, |_| {});
        for (sent, status, location) in [
            ("/", 302, "http://any.example/app"),
            ("/?a=b", 302, "http://any.example/app?a=b"),
            ("/fixed/a?b", 301, "http://any.example/a%2Fb?c=%24d#e"),
            ("/old/a%20b?c", 301, "http://any.example/new/a%20b?c"),
            ("/old", 301, "http://any.example/new"),
            ("/strip/x", 307, "http://any.example/x"),
            ("/strip", 307, "http://any.example/"),
            ("/keep/a?b=%2F", 301, "https://other.example/keep/a?b=%2F"),
            ("/port/a", 308, "http://other.example:8080/port/a"),
            ("/default/a", 303, "http://other.example/default/a"),
            ("/tls/a", 301, "http://other.example:443/tls/a"),
            ("/?", 302, "http://any.example/app?"),
            ("/old/a%2Fb//c;d%3Be?", 301, "http://any.example/new/a%2Fb//c;d%3Be?"),
            ("/old/a%3Fb%23?c=%20+%26", 301, "http://any.example/new/a%3Fb%23?c=%20+%26"),
            ("/old/%0d%0aX:y?%0d%0aZ:%20z", 301, "http://any.example/new/%0d%0aX:y?%0d%0aZ:%20z"),
            ("/old/%e4%bd%a0%25%41", 301, "http://any.example/new/%e4%bd%a0%25%41"),
            ("/strip//x.example/%2F", 307, "http://any.example//x.example/%2F"),
            ("/strip?a=%2F", 307, "http://any.example/?a=%2F"),
            ("/fixed", 301, "http://any.example/a%2Fb?c=%24d#e"),
            ("/%6fld/x", 400, ""),
            ("/old/%2e%2e/x", 400, ""),
            ("/keep/../x", 400, ""),
            ("/teapot", 418, ""),
            ("/nothing/x", 404, ""),
            ("/empty", 204, ""),
        ] {
            let answer = nginx.get("any.example", sent, "");
            assert_eq!(
                (answer.status, answer.header("Location")),
                (status, location),
                "{sent} with {}",
                binary.version
            );
        }
        assert!(!nginx.get("any.example", "/teapot", "").text().contains("nginx"));
    }
}

#[test]
fn redirect_has_parts_of_the_request_as_they_were_sent() {
    let to = |path: PathMatch, host: Option<&str>, text: &str| {
        let parts = text.split_inclusive('}').flat_map(|piece| {
            let (text, name) = piece.split_once("${").unwrap_or((piece, ""));
            let variable = UrlVariable::NAMES.into_iter().find(|(known, _)| name.strip_suffix('}') == Some(known));
            let text = Some(UrlPart::Text(text.to_owned())).filter(|_| !text.is_empty());
            text.into_iter().chain(variable.map(|(_, variable)| UrlPart::Variable(variable)))
        });
        let path_of_redirect = PathRewrite::ReplaceTarget(UrlText(parts.collect()));
        let host = host.map(str::to_owned);
        let redirect = Redirect { status: 302, scheme: None, host, port: None, path: path_of_redirect };
        rule(path, Action::Redirect(redirect), "some")
    };
    let sign_in = "/sign?rd=${scheme}://${http_host}${escaped_request_uri}&m=${request_method}";
    let routes = routes([(
        "*",
        vec![
            to(prefix("/sign"), Some("auth.example"), sign_in),
            to(prefix("/moved"), None, "${request_uri}#$"),
            to(regex("^/by/[0-9]+$"), Some("other.example"), "/${host}${uri}${is_args}${args}"),
        ],
    )]);
    for binary in binaries() {
        for trusts in [false, true] {
            let nginx = Nginx::start(&binary, &routes, |settings| {
                settings.trusted = trusts.then(|| "127.0.0.0/8".parse().unwrap()).into_iter().collect();
            });
            let forwarded = "X-Forwarded-Host: outer.example:8443\r\nX-Forwarded-Proto: https\r\n";
            let outside = if trusts { "https://outer.example:8443" } else { "http://Any.example:81" };
            let scheme = if trusts { "https" } else { "http" };
            for (sent, status, location) in [
                ("/sign", 302, format!("{scheme}://auth.example/sign?rd={outside}/sign&m=GET")),
                ("/sign/%61+?b&c", 302, format!("{scheme}://auth.example/sign?rd={outside}/sign/%2561%2B?b%26c&m=GET")),
                ("/moved/a%0d%0aX:y?", 302, format!("{scheme}://any.example/moved/a%0d%0aX:y?#%24")),
                ("/by/12?a=%2F", 302, format!("{scheme}://other.example/any.example/by/12?a=%2F")),
                ("/by/12", 302, format!("{scheme}://other.example/any.example/by/12")),
                ("/by/%31", 400, String::new()),
                ("/%73ign", 400, String::new()),
            ] {
                let answer = nginx.get("Any.example:81", sent, forwarded);
                let found = (answer.status, answer.header("Location").to_owned());
                assert_eq!(found, (status, location), "{sent} with {}, trusted: {trusts}", binary.version);
            }
        }
    }
}

#[test]
fn redirect_by_pattern_leads_to_the_same_path_elsewhere() {
    let redirect = Redirect {
        status: 302,
        scheme: Some(Scheme::Https),
        host: Some("other.example".to_owned()),
        port: None,
        path: replace("^/a/(.*)$", "/b/$1"),
    };
    let routes: Routes = routes([("*", vec![rule(regex("^/a/"), Action::Redirect(redirect), "some")])]);
    for binary in binaries() {
        let nginx = Nginx::start(&binary, &routes, |_| {});
        let location = |sent: &str| nginx.get("any.example", sent, "").header("Location").to_owned();
        assert_eq!(location("/a/x%2Fy?z"), "https://other.example/b/x%2Fy?z");
        assert_eq!(location("/a/%0d%0aX:y"), "https://other.example/b/%0d%0aX:y");
        assert_eq!(nginx.get("any.example", "/A/x", "").status, 404);
    }
}

#[test]
fn grpc_path_is_rewritten_as_any_other() {
    let h2 = super::support::NginxBackend::start(&super::support::newest(), |address| {
        format!("server {{ listen {address} http2; location / {{ return 200 $request_uri; }} }}")
    });
    let rules = vec![
        speaking(
            with_rewrite(forward(regex("^/api/(.*)"), h2.address, false), replace("^/api/(.*)", "/x/$1")),
            Protocol::Http2,
        ),
        speaking(
            with_rewrite(forward(prefix("/p"), h2.address, false), PathRewrite::ReplacePrefix("/q".to_owned())),
            Protocol::Http2,
        ),
        speaking(forward(regex("^/keep/"), h2.address, false), Protocol::Http2),
    ];
    let routes = routes([("*", rules)]);
    for binary in binaries() {
        let nginx = Nginx::start(&binary, &routes, |_| {});
        for (sent, seen) in [
            ("/api/a.B/c?d=e", "/x/a.B/c?d=e"),
            ("/api/a%2Fb//c", "/x/a%2Fb//c"),
            ("/p/a", "/q/a"),
            ("/p", "/q"),
            ("/keep/a%2Fb", "/keep/a%2Fb"),
        ] {
            let answer = nginx.get("any.example", sent, "");
            assert_eq!((answer.status, answer.text()), (200, seen.into()), "{sent} with {}", binary.version);
        }
    }
}

/// nginx's `rewrite` counted captures wrongly.
#[test]
fn cve_2026_42945_and_cve_2026_9256_no_rewrite_directive_has_captures_of_a_pattern() {
    let routes = routes([("*", rules())]);
    for binary in binaries() {
        let nginx = Nginx::start(&binary, &routes, |_| {});
        let config = nginx.config();
        let rewrites: Vec<_> = config.lines().map(str::trim).filter(|line| line.starts_with("rewrite ")).collect();
        assert!(rewrites.iter().all(|line| !line.contains("sparrow_group_")), "{rewrites:?}");
        // What is captured may be long, and have whatever is escaped in a URI.
        let rest = "%25%3F+&?".repeat(300);
        let (path, query) = rest.split_once('?').unwrap();
        let answer = nginx.get("any.example", &format!("/api/{rest}"), "");
        assert_eq!((answer.status, answer.target()), (200, &*format!("/{path}?{query}")), "{}", binary.version);
    }
}

/// nginx's `map` took captures of one pattern for those of another.
#[test]
fn cve_2026_42533_no_map_runs_a_pattern_of_a_rule() {
    let routes = routes([("*", rules())]);
    for binary in binaries() {
        let nginx = Nginx::start(&binary, &routes, |_| {});
        let config = nginx.config();
        assert!(!config.contains("by-user") && !config.contains("posts"), "{config}");
        // The groups of one request are not those of the one before.
        for (sent, seen) in [("/user/7/posts/x", "/by-user/x/of/7%3F"), ("/api/y", "/y"), ("/part/x", "/part/x")] {
            assert_eq!(nginx.get("any.example", sent, "").target(), seen, "{sent}");
        }
    }
}
