//! Lines of snippets that keep someone out: whom they keep out here.

use entry_model::{
    Acceptance, Action, AddressRange, Ingress, Kind, PathRewrite, Reason, Request, RoutingDecision, Rule, UrlText,
};
use entry_translate::Translation;

use crate::support::{Objects, assert_verdict, backend, exact, ingress, object, prefix, service, texts, to, with_rule};

const CONFIGURATION: &str = "nginx.ingress.kubernetes.io/configuration-snippet";
const SERVER: &str = "nginx.ingress.kubernetes.io/server-snippet";

fn with(mut ingress: Ingress, annotation: &str, text: &str) -> Ingress {
    ingress.meta.annotations.insert(annotation.to_owned(), text.to_owned());
    ingress
}

fn web(annotation: &str, text: &str) -> Ingress {
    with(with_rule("web", Some("a.example"), vec![prefix("/")]), annotation, text)
}

fn built(ingresses: impl IntoIterator<Item = Ingress>) -> Translation {
    let objects = Objects::new().service(service("web")).service(service("api"));
    ingresses.into_iter().fold(objects, Objects::ingress).translate()
}

fn found<'a>(built: &'a Translation, host: &'a str, path: &'a str) -> Option<&'a Rule> {
    match built.routes.find(&Request { host, path, ..Request::default() }) {
        RoutingDecision::Rule(rule) => Some(rule),
        _ => None,
    }
}

/// The status that is answered without a backend; 200 if a backend is asked.
fn status(built: &Translation, path: &str) -> u16 {
    match found(built, "a.example", path).map(|rule| &rule.action) {
        Some(Action::Forward(_)) => 200,
        Some(Action::Redirect(redirect)) => redirect.status,
        Some(Action::Respond(status)) => *status,
        Some(Action::Answer(answer)) => answer.status(),
        None => 404,
    }
}

#[track_caller]
fn assert_statuses(built: &Translation, expected: &[(&str, u16)]) {
    for (path, expected) in expected {
        assert_eq!(status(built, path), *expected, "{path}\n{}", built.routes);
    }
}

#[test]
fn line_that_may_keep_someone_out_closes() {
    let many: String = (0..17).map(|number| format!("location /p{number} {{ return 410; }}\n")).collect();
    for line in [
        "if ($request_method !~ ^(GET|HEAD)$) { return 405; }",
        "if ($http_x_api_key != \"s3cret\") { return 400; }",
        "if ($http_x_api_key != \"s3cret\") { return 429; }",
        "if ($cookie_auth = \"\") { return 302 https://login.example; }",
        "if ($bad) { rewrite ^ /denied last; }",
        "if ($request_method = POST) { return 204; }",
        "if ($request_method = OPTIONS) { return 204; deny all; }",
        "location ~ /(?!x) { return 503; }",
        "location ~* \"/admin(\" { return 405; }",
        &many,
        "rewrite ^/secret /denied last;",
        "rewrite ^/secret /secret/denied redirect;",
        "rewrite ^/a /b redirect; location ~ x { deny all; }",
        "rewrite ^/a /b redirect; rewrite ^/abc /d redirect;",
        "rewrite ^(/a)$ /b redirect; rewrite ^/a.* /d redirect;",
        "return 403; rewrite ^/a /b redirect;",
        "return 302 https://login.example?rd=$http_x;",
        "return 302 https://$http_x/;",
        "return 301 https://$host$request_uri;",
        "return 200 $http_cookie;",
        "return 100 text;",
        "return text;",
        "include /etc/nginx/deny.conf;",
        "rewrite_by_lua_block { ngx.exit(403) }",
        "access_by_lua_block { ngx.exit(403) }",
        "rewrite_by_lua_block { if x then ngx.exit(403); end }",
        "access_by_lua_file /x.lua;",
        "js_access main.access;",
        "proxy_ssl_verify on;",
        "proxy_ssl_trusted_certificate /ca.pem;",
        "limit_req zone=a burst=5;",
        "limit_conn a 5;",
        "allow 10.0.0.0/8;",
        "satisfy any;",
        "auth_basic \"x\";",
        "proxy_pass_request_headers off;",
        "proxy_set_body x;",
        "a_directive_of_tomorrow on;",
        "more_clear_input_headers \"X-Admin*\";",
        "add_header X",
        "} server { listen 81;",
    ] {
        for annotation in [CONFIGURATION, SERVER] {
            let built = built([web(annotation, line)]);
            assert_statuses(&built, &[("/", 503), ("/any", 503)]);
            let verdict = &built.verdicts[&object(Kind::Ingress, "web")];
            assert_eq!(verdict.acceptance(), Acceptance::Partial, "{line}");
            assert!(verdict.findings()[0].message.starts_with("Requests are answered 503"), "{line}: {verdict:#?}");
        }
    }
}

#[test]
fn rewrite_of_a_pattern_is_for_all_paths_of_a_server_alone() {
    let lines = "rewrite ^/old/(.*)$ /new/$1 permanent; rewrite ^/abc https://b.example/ redirect;";
    let served = built([web(SERVER, lines)]);
    for (path, is_redirected) in [("/old/x", true), ("/abcd", true), ("/old", false), ("/x/old/y", false)] {
        let action = found(&served, "a.example", path).map(|rule| &rule.action);
        assert_eq!(matches!(action, Some(Action::Redirect(_))), is_redirected, "{path}");
    }
    assert_eq!(served.verdicts[&object(Kind::Ingress, "web")].acceptance(), Acceptance::Accepted);
    assert_statuses(&built([web(CONFIGURATION, lines)]), &[("/", 503), ("/old/x", 503)]);
}

#[test]
fn finding_says_what_to_write_instead() {
    let built = built([web(SERVER, "limit_req zone=a; allow 10.0.0.0/8; deny all;")]);
    let field = format!("metadata.annotations[{SERVER}]");
    assert_verdict(
        &built,
        &object(Kind::Ingress, "web"),
        Acceptance::Partial,
        &[(
            &field,
            Reason::Unsupported,
            "\"allow\" (instead: `whitelist-source-range` or `denylist-source-range`), \"limit_req\" (instead: `limit-rps` or `limit-rpm`)",
        )],
    );
}

#[test]
fn line_that_keeps_nobody_out_is_lost_alone() {
    for line in [
        "keepalive_timeout 5s;",
        "send_timeout 5s;",
        "gzip on;",
        "gzip_types text/css;",
        "proxy_cache own;",
        "add_header X-Root $document_root;",
        "add_header X-Cookie $http_cookie;",
        "sub_filter a b;",
        "real_ip_header X-Forwarded-For;",
        "if ($request_uri ~ x) { set $a b; }",
        "if ($request_uri ~ x) { add_header X y; expires 1h; }",
        "if ($request_method = 'OPTIONS') { add_header X y; return 204; }",
        "location @named { return 403; }",
        "auth_request_set $user $http_x_user;",
        "ssl_protocols TLSv1.3;",
    ] {
        let built = built([web(CONFIGURATION, line)]);
        assert_statuses(&built, &[("/", 200)]);
        assert_eq!(built.verdicts[&object(Kind::Ingress, "web")].acceptance(), Acceptance::Partial, "{line}");
    }
    let built = built([web(CONFIGURATION, "ssl_protocols TLSv1.2 TLSv1.3; proxy_pass_request_headers on;")]);
    assert_eq!(built.verdicts[&object(Kind::Ingress, "web")].acceptance(), Acceptance::Accepted);
}

#[test]
fn refusal_of_all_is_followed() {
    for (lines, expected) in [
        ("return 503;", 503),
        ("return 405;", 405),
        ("return 429 slowly;", 429),
        ("return 444;", 403),
        ("deny all; return 301 https://b.example$request_uri;", 301),
        ("return 410; deny all;", 410),
        ("return 403; return 301 https://b.example;", 403),
    ] {
        let built = built([web(SERVER, lines)]);
        assert_statuses(&built, &[("/", expected), ("/x", expected)]);
        assert_eq!(built.verdicts[&object(Kind::Ingress, "web")].acceptance(), Acceptance::Accepted, "{lines}");
    }
}

#[test]
fn location_is_denied_with_all_that_begins_like_it() {
    let text = "location /admin { deny all; } location ~~ x { } ";
    assert_statuses(&built([web(SERVER, text)]), &[("/", 503)]);
    let text = "location /admin { deny all; } location /.ht { return 404; } location = /one { deny all; }";
    let built = built([web(SERVER, text)]);
    assert_statuses(
        &built,
        &[
            ("/admin", 403),
            ("/admin/x", 403),
            ("/admin.php", 403),
            ("/administrator", 403),
            ("/.htaccess", 404),
            ("/one", 403),
            ("/one/x", 200),
            ("/adm", 200),
            ("/a/admin", 200),
        ],
    );
    assert_eq!(built.verdicts[&object(Kind::Ingress, "web")].acceptance(), Acceptance::Accepted);
}

#[test]
fn location_of_an_expression_is_denied_before_all_else() {
    let text = r"location ~ /\.(git|ht) { deny all; } location ~* \.php$ { return 404; } location ~ ^/old/ { proxy_pass http://x; }";
    let denied = with(with_rule("web", Some("a.example"), vec![prefix("/"), exact("/x.php")]), SERVER, text);
    let longer = with_rule("api", Some("a.example"), vec![prefix("/a/very/long/path/of/another")]);
    let all = built([denied, longer]);
    assert_statuses(
        &all,
        &[
            ("/", 200),
            ("/.git/config", 403),
            ("/a/very/long/path/of/another/.htaccess", 403),
            ("/a/very/long/path/of/another", 200),
            ("/x.PHP", 404),
            ("/x.php", 404),
            ("/x.php5", 200),
            ("/old/x", 503),
            ("/older", 200),
        ],
    );
    // A challenge of a certificate authority is served, as nginx takes a whole path before an expression.
    let solver = "/.well-known/acme-challenge/token";
    let dots = with(with_rule("web", Some("a.example"), vec![prefix("/")]), SERVER, r"location ~ /\. { deny all; }");
    for path in [exact(solver), prefix(solver)] {
        let with_solver = built([dots.clone(), with_rule("api", Some("a.example"), vec![path])]);
        assert_statuses(
            &with_solver,
            &[(solver, 200), ("/.well-known/x", 403), ("/.well-known/acme-challenge/other", 403)],
        );
    }
    // Hosts without a name are others', too.
    let without_host =
        built([with(with_rule("web", None, vec![prefix("/web")]), SERVER, "location ~ x { deny all; }")]);
    let closed = without_host.routes.find(&Request { path: "/web", ..Request::default() });
    assert!(
        matches!(closed, RoutingDecision::Rule(rule) if rule.action == Action::UNAVAILABLE),
        "{}",
        without_host.routes
    );
}

#[test]
fn location_of_a_fixed_path_that_is_not_followed_closes_that_path() {
    let text = "location /admin { return 302 $http_x; } location /x { auth_basic y; } location /y { return 302 /login; } location = /z { return 200 z; }";
    let built = built([web(SERVER, text)]);
    assert_statuses(&built, &[("/admin", 503), ("/admin/x", 503), ("/x", 503), ("/", 200)]);
    // What is answered is so with all that begins like it, since that may keep someone out.
    assert_statuses(&built, &[("/y", 302), ("/y/x", 302), ("/y.php", 302), ("/z", 200), ("/z/x", 200)]);
    let text_of = |path| matches!(found(&built, "a.example", path).map(|rule| &rule.action), Some(Action::Answer(_)));
    assert!(text_of("/z") && !text_of("/z/x"));
    let field = format!("metadata.annotations[{SERVER}]");
    let expected = [(&*field, Reason::Unsupported, "answered 503, since these are not followed: \"/admin\", \"/x\"")];
    assert_verdict(&built, &object(Kind::Ingress, "web"), Acceptance::Partial, &expected);
}

#[test]
fn denied_location_stands_before_the_path_of_its_object() {
    let denied = "is answered by a location of a snippet of this Ingress";
    for (path, location, open) in [
        (prefix("/admin"), "/admin", "/"),
        (exact("/admin"), "/admin", "/"),
        (exact("/admin"), "= /admin", "/admin/x"),
        (prefix("/admin/"), "/admin", "/"),
    ] {
        let text = format!("location {location} {{ deny all; }}");
        let built = built([with(with_rule("web", Some("a.example"), vec![path, prefix("/")]), SERVER, &text)]);
        assert_statuses(&built, &[("/admin", 403), (open, 200)]);
        let site = "spec.rules[0].http.paths[0].path";
        let expected = [(site, Reason::Conflicted, denied)];
        assert_verdict(&built, &object(Kind::Ingress, "web"), Acceptance::Partial, &expected);
    }
    let built = built([web(SERVER, "location / { deny all; }")]);
    assert_statuses(&built, &[("/", 403), ("/x", 403)]);
}

#[test]
fn longer_path_than_a_denied_location_is_served() {
    let paths = vec![prefix("/"), prefix("/api/public"), exact("/api/one")];
    let built = built([
        with(with_rule("web", Some("a.example"), paths), SERVER, "location /api { deny all; }"),
        with_rule("other", Some("a.example"), vec![prefix("/api/other")]),
    ]);
    assert_statuses(
        &built,
        &[("/api", 403), ("/api/x", 403), ("/api/public/x", 200), ("/api/one", 200), ("/api/other", 200)],
    );
}

#[test]
fn denied_location_stands_before_patterns() {
    let mut web = with_rule("web", Some("a.example"), vec![prefix("/app(/|$)(.*)"), prefix("/v[0-9]/x")]);
    web.meta.annotations = texts([
        ("nginx.ingress.kubernetes.io/use-regex", "true"),
        (SERVER, "location ^~ /app/admin { deny all; } location = /v1/x { deny all; }"),
    ]);
    let other = with_rule("other", Some("a.example"), vec![prefix("/app/admin/of/other"), exact("/app/admin/one")]);
    let built = built([web, other]);
    assert_statuses(
        &built,
        &[
            ("/app/admin", 403),
            ("/app/admin/of/other", 403),
            ("/app/admin/one", 403),
            ("/app/x", 200),
            ("/v1/x", 403),
            ("/v1/x/y", 200),
            ("/v2/x", 200),
        ],
    );
}

#[test]
fn denied_location_stands_before_patterns_of_others() {
    let web =
        with(with_rule("web", Some("a.example"), vec![prefix("/x")]), SERVER, "location /app/admin { deny all; }");
    let other = with_rule("other", Some("a.example"), vec![prefix("/app/[a-z]+/[a-z]+/[a-z]+")]);
    let built = built([web, with(other, "nginx.ingress.kubernetes.io/use-regex", "true")]);
    assert_statuses(&built, &[("/app/admin/a/b", 403), ("/app/a/b/c", 200)]);
}

#[test]
fn denied_root_stands_before_its_redirect() {
    let web = web(SERVER, "location = / { deny all; }");
    let built = built([with(web, "nginx.ingress.kubernetes.io/app-root", "/app")]);
    assert_statuses(&built, &[("/", 403), ("/app", 200)]);
    let field = "metadata.annotations[nginx.ingress.kubernetes.io/app-root]";
    let expected = [(field, Reason::Conflicted, "is answered by a snippet of Ingress shop/web")];
    assert_verdict(&built, &object(Kind::Ingress, "web"), Acceptance::Partial, &expected);
}

#[test]
fn denied_location_of_another_object_stands_before_the_same_path() {
    let api = with_rule("api", Some("a.example"), vec![to(exact("/admin"), "api")]);
    let built = built([api, web(SERVER, "location = /admin { deny all; }")]);
    assert_statuses(&built, &[("/admin", 403)]);
    let site = "spec.rules[0].http.paths[0].path";
    let expected = [(site, Reason::Conflicted, "is answered by a snippet of Ingress shop/web")];
    assert_verdict(&built, &object(Kind::Ingress, "api"), Acceptance::Rejected, &expected);
}

#[test]
fn paths_that_cannot_be_denied_are_closed() {
    let deny = "location /admin { deny all; }";
    let mut all = with(ingress("web"), SERVER, deny);
    all.default_backend = Some(backend("web"));
    let built_default = built([all]);
    assert_statuses(&built_default, &[("/admin", 503), ("/", 503)]);
    let expected = [("spec.defaultBackend", Reason::Unsupported, "write a rule with the path `/` instead")];
    assert_verdict(&built_default, &object(Kind::Ingress, "web"), Acceptance::Partial, &expected);

    let patterns = with_rule("web", None, vec![prefix("/app(/|$)(.*)"), prefix("/v[0-9]/x")]);
    let patterns = with(patterns, "nginx.ingress.kubernetes.io/use-regex", "true");
    let built_patterns = built([with(patterns, SERVER, "location ^~ /app/admin { deny all; }")]);
    assert_statuses(&built_patterns, &[("/app/admin/x", 503), ("/app/x", 503)]);

    let nameless = built([with(with_rule("web", None, vec![prefix("/")]), SERVER, deny)]);
    assert_statuses(&nameless, &[("/admin", 403), ("/administrator", 503), ("/x", 503)]);
    let part = "spec.rules[0].http.paths[0].path";
    let expected = [(part, Reason::Unsupported, "name a host, or end the denied path with `/`")];
    assert_verdict(&nameless, &object(Kind::Ingress, "web"), Acceptance::Partial, &expected);

    let deny = "location /admin/ { deny all; }";
    let nameless = built([with(with_rule("web", None, vec![prefix("/")]), SERVER, deny)]);
    assert_statuses(&nameless, &[("/admin/x", 403), ("/administrator", 200), ("/x", 200)]);
}

#[test]
fn addresses_that_may_ask_are_followed_for_the_paths_of_the_object() {
    let lines = "deny 10.1.0.0/16; allow 10.0.0.0/8; deny all;";
    let of = |annotations: &[(&str, &str)]| {
        let web = annotations.iter().fold(web(CONFIGURATION, lines), |web, (name, value)| with(web, name, value));
        let built = built([web]);
        assert_statuses(&built, &[("/", 200)]);
        assert_eq!(built.verdicts[&object(Kind::Ingress, "web")].acceptance(), Acceptance::Accepted);
        let access = &built.routes.policy(found(&built, "a.example", "/").unwrap()).access;
        let join = |ranges: &[AddressRange]| ranges.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
        (access.allowed.as_deref().map(join), join(&access.denied))
    };
    let known = |allowed: Option<&str>, denied: &str| (allowed.map(str::to_owned), denied.to_owned());
    assert_eq!(of(&[]), known(Some("10.0.0.0/8"), "10.1.0.0/16"));
    // Annotations come first, as there.
    let (allow, deny) = ("sparrow/allow-source-ranges", "nginx.ingress.kubernetes.io/denylist-source-range");
    assert_eq!(of(&[(allow, "192.0.2.0/24")]), known(Some("192.0.2.0/24"), "10.1.0.0/16"));
    assert_eq!(of(&[(allow, "0.0.0.0/0,::/0")]), known(None, "10.1.0.0/16"));
    assert_eq!(of(&[(deny, "192.0.2.1")]), known(Some("10.0.0.0/8"), "10.1.0.0/16 192.0.2.1"));
    // What others of the host serve is left to them, which a snippet of a server would not do.
    assert_statuses(&built([web(SERVER, lines)]), &[("/", 503)]);
}

#[test]
fn server_snippet_is_for_all_paths_of_its_host() {
    for (lines, expected, acceptance) in [
        ("allow 10.0.0.0/8; deny 10.1.0.0/16; deny all;", 503, Acceptance::Partial),
        ("auth_basic x;", 503, Acceptance::Partial),
        ("deny all", 503, Acceptance::Partial),
        ("deny all;", 403, Acceptance::Accepted),
        ("return 301 https://b.example$request_uri;", 301, Acceptance::Accepted),
    ] {
        let solver = "/.well-known/acme-challenge/token";
        let api = || with_rule("api", Some("a.example"), vec![to(prefix("/api"), "api"), to(exact(solver), "api")]);
        let elsewhere = with_rule("elsewhere", Some("b.example"), vec![prefix("/")]);
        let built_host = built([web(SERVER, lines), api(), elsewhere]);
        assert_statuses(&built_host, &[("/", expected), ("/api", expected), (solver, 200)]);
        assert!(matches!(found(&built_host, "b.example", "/").unwrap().action, Action::Forward(_)));
        let verdict = &built_host.verdicts[&object(Kind::Ingress, "api")];
        assert_eq!(verdict.acceptance(), acceptance, "{verdict:#?}");
        let message = &verdict.findings()[0].message;
        assert!(message.starts_with("The server-snippet of Ingress shop/web "), "{message}");
        // The other kind is for the paths of its own object.
        let built_paths = built([web(CONFIGURATION, lines), api()]);
        assert_statuses(&built_paths, &[("/", expected), ("/api", 200)]);
    }
}

#[test]
fn header_that_cannot_be_set_is_taken_out_of_requests() {
    for (line, expected) in [
        ("proxy_set_header X-User $remote_user;", vec![("X-User", "")]),
        ("grpc_set_header X-User $remote_user;", vec![("X-User", "")]),
        ("proxy_set_header X-Forwarded-Team $team;", vec![("X-Forwarded-Team", "")]),
        ("more_set_input_headers \"X-Tenant: $tenant\" \"X-B: c\";", vec![("X-Tenant", ""), ("X-B", "c")]),
        ("more_set_input_headers -r \"X-Tenant: a\";", vec![("X-Tenant", "")]),
        ("more_clear_input_headers -t text/plain X-A;", vec![("X-A", "")]),
        ("if ($x) { more_set_input_headers \"X-Tenant: a\"; }", vec![("X-Tenant", "")]),
    ] {
        let built = built([web(CONFIGURATION, line)]);
        let rule = found(&built, "a.example", "/").unwrap();
        let set = &built.routes.policy(rule).request_headers.set;
        let set: Vec<_> = set.iter().map(|field| (field.name(), field.value().to_string())).collect();
        let expected: Vec<_> = expected.iter().map(|(name, value): &(_, &str)| (*name, (*value).to_owned())).collect();
        assert_eq!(set, expected, "{line}");
        assert_statuses(&built, &[("/", 200)]);
        let verdict = &built.verdicts[&object(Kind::Ingress, "web")];
        assert_eq!(verdict.acceptance(), Acceptance::Partial, "{line}");
        assert!(verdict.findings()[0].message.contains("the header is taken out of requests"), "{verdict:#?}");
    }
    for line in ["proxy_set_header X-A $http_x_a;", "proxy_set_header Cookie $http_cookie;"] {
        let built = built([web(CONFIGURATION, line)]);
        let rule = found(&built, "a.example", "/").unwrap();
        assert!(built.routes.policy(rule).request_headers.set.is_empty(), "{line}");
        assert_eq!(built.verdicts[&object(Kind::Ingress, "web")].acceptance(), Acceptance::Accepted, "{line}");
    }
}

#[test]
fn header_that_an_annotation_sets_stays() {
    let web = web(CONFIGURATION, "proxy_set_header X-Tenant $tenant;");
    let built = built([with(web, "sparrow/request-headers", "X-Tenant: shop")]);
    let rule = found(&built, "a.example", "/").unwrap();
    assert_eq!(built.routes.policy(rule).request_headers.set[0].value().to_string(), "shop");
}

#[test]
fn rewrite_of_one_path_redirects_that_path() {
    let snippet = "rewrite ^(/dashboard)$ $1/ redirect;";
    let at = |path| with_rule("web", Some("a.example"), vec![prefix(path)]);
    for annotation in [CONFIGURATION, SERVER] {
        let built = built([with(at("/dashboard"), annotation, snippet)]);
        assert_statuses(&built, &[("/dashboard", 302), ("/dashboard/", 200), ("/dashboard/x", 200)]);
        assert_verdict(&built, &object(Kind::Ingress, "web"), Acceptance::Accepted, &[]);
    }
    let exact_too = with_rule("web", Some("a.example"), vec![exact("/dashboard"), prefix("/dashboard")]);
    let both = built([with(exact_too, CONFIGURATION, snippet)]);
    assert_statuses(&both, &[("/dashboard", 302), ("/dashboard/x", 200)]);
    assert_verdict(&both, &object(Kind::Ingress, "web"), Acceptance::Accepted, &[]);
    // Nobody comes there by this Ingress; by `server-snippet` whoever comes to the host does.
    let other = || with_rule("other", Some("a.example"), vec![to(prefix("/"), "api")]);
    assert_statuses(&built([other(), with(at("/x"), CONFIGURATION, snippet)]), &[("/dashboard", 200)]);
    assert_statuses(&built([other(), with(at("/x"), SERVER, snippet)]), &[("/dashboard", 302)]);
    let pattern = with(at("/dashboard(/|$)(.*)"), "nginx.ingress.kubernetes.io/rewrite-target", "/$2");
    let stripped = built([with(pattern, CONFIGURATION, snippet)]);
    assert_statuses(&stripped, &[("/dashboard", 302), ("/dashboard/x", 200)]);
    for closing in ["rewrite ^/old/(.*)$ /new/$1 permanent;", "return 403; rewrite ^(/a)$ $1/ redirect;"] {
        assert_ne!(status(&built([web(CONFIGURATION, closing)]), "/old/x"), 200, "{closing}");
    }
}

#[test]
fn condition_on_the_host_redirects_that_host() {
    let snippet = "if ($host = 'a.example') { return 301 https://b.example$request_uri; }";
    let mut both = with_rule("web", Some("a.example"), vec![prefix("/")]);
    both.rules.extend(with_rule("web", Some("b.example"), vec![prefix("/")]).rules);
    let translated = built([with(both.clone(), CONFIGURATION, snippet)]);
    assert_statuses(&translated, &[("/", 301), ("/x", 301)]);
    let of_b = found(&translated, "b.example", "/").map(|rule| &rule.action);
    assert!(matches!(of_b, Some(Action::Forward(_))), "{of_b:?}");
    assert_verdict(&translated, &object(Kind::Ingress, "web"), Acceptance::Accepted, &[]);
    // What the host is called is not known, or others have it too.
    for host in [None, Some("*.example")] {
        let mut open = both.clone();
        open.rules[1].host = host.map(str::to_owned);
        assert_statuses(&built([with(open, CONFIGURATION, snippet)]), &[("/", 503)]);
    }
    // Of the server it is for paths of others too.
    let other = with_rule("other", Some("a.example"), vec![to(prefix("/other"), "api")]);
    let of_server = built([with(both.clone(), SERVER, snippet), other]);
    assert_statuses(&of_server, &[("/", 301), ("/other", 301)]);
    assert!(matches!(found(&of_server, "b.example", "/").map(|rule| &rule.action), Some(Action::Forward(_))));
    let aliased = with(both, "nginx.ingress.kubernetes.io/server-alias", "c.example");
    assert_statuses(&built([with(aliased, CONFIGURATION, snippet)]), &[("/", 503)]);
}

#[test]
fn condition_on_the_scheme_redirects_to_https() {
    let snippet = "if ($http_x_forwarded_proto = 'http') { return 301 https://$host$request_uri; }";
    let redirects = |ingress: Ingress| {
        let translated = built([ingress]);
        let rule = translated.routes.rules().next().unwrap();
        (rule.action == Action::UNAVAILABLE, translated.routes.policy(rule).redirect_to_https)
    };
    assert_eq!(redirects(web(CONFIGURATION, snippet)), (false, true));
    let unless = with(web(CONFIGURATION, snippet), "nginx.ingress.kubernetes.io/ssl-redirect", "false");
    assert_eq!(redirects(unless), (false, true), "it stands beside the annotation there");
    let own = with(web(CONFIGURATION, snippet), "sparrow/ssl-redirect", "false");
    assert_eq!(redirects(own), (true, false));
    assert!(redirects(web(SERVER, snippet)).0, "other Ingresses of the host would not be redirected");
}

#[test]
fn redirect_of_all_may_lead_to_a_path_of_the_same_host() {
    let translated = built([web(CONFIGURATION, "return 302 /login;")]);
    let Some(Action::Redirect(redirect)) = found(&translated, "a.example", "/x").map(|rule| &rule.action) else {
        panic!("{}", translated.routes)
    };
    assert_eq!((redirect.status, redirect.host.as_deref()), (302, None));
    assert_eq!(redirect.path, PathRewrite::ReplaceTarget(UrlText::from_text("/login")));
    assert_statuses(&built([web(CONFIGURATION, "return 302 //evil.example/;")]), &[("/", 503)]);
}

#[test]
fn denied_path_is_not_redirected() {
    let snippet = "location = /a { deny all; } rewrite ^(/a)$ $1/ redirect; rewrite ^(/b)$ $1/ redirect;";
    assert_statuses(&built([web(SERVER, snippet)]), &[("/a", 403), ("/b", 302), ("/c", 200)]);
}
