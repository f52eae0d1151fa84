//! A template of the operator's own.

use std::num::NonZeroU16;

use entry_model::{Affinity, Balancing, HashPart, SessionCookie};
use nginx_conf::{TemplateError, render_template};

use super::balancing::{balanced, session, to_endpoints};
use super::support::{Binary, Echo as _, Nginx, backend, both, forward, free, object, prefix, routes, settings};
use super::x_accel_headers::saying;

/// Of the kind that there was before: a loop over the routes, and all the rest by hand.
const TEMPLATE: &str = r#"
worker_processes 1;
pid {{ settings.runtime }}/nginx.pid;
error_log {{ settings.error_log }};
{% if settings.user %}
user {{ settings.user }};
{% endif %}
events { worker_connections 64; }
http {
    access_log off;
    client_body_temp_path {{ settings.runtime }}/client_body;
    proxy_temp_path {{ settings.runtime }}/proxy;
    fastcgi_temp_path {{ settings.runtime }}/fastcgi;
    uwsgi_temp_path {{ settings.runtime }}/uwsgi;
    scgi_temp_path {{ settings.runtime }}/scgi;
    {{ control_server }}
    server {
        {% for address in settings.http %}
        listen {{ address }};
        {% endfor %}
        {% for route in routes %}
        location {{ route.path }} {
            proxy_pass http://{{ route.cluster_ip }}:{{ route.port }}/;
            proxy_redirect off;
            proxy_set_header Host $host;
            proxy_set_header X-Object "{{ route.namespace }}/{{ route.name }}";
        }
        {% endfor %}
    }
}
"#;

fn render(template: &str, routes: &entry_model::Routes) -> Result<String, TemplateError> {
    let binary = both().remove(0);
    let dir = tempfile::tempdir().unwrap();
    let revision = render_template(template, routes, &settings(&binary, dir.path()))?;
    Ok(String::from_utf8(revision.files["nginx.conf"].clone()).unwrap())
}

fn start(binary: &Binary, routes: &entry_model::Routes, template: &str) -> Nginx {
    Nginx::start_with(
        binary,
        routes,
        |_| {},
        |routes, settings| (render_template(template, routes, settings).unwrap(), None),
    )
}

#[test]
fn template_that_loops_over_routes_serves() {
    let mut spaced = forward(prefix("/b c;{}\"/"), backend("b"), true);
    spaced.origin = object("ev\"il; return 200 x;");
    let routes = routes([("*", vec![forward(prefix("/volume"), backend("a"), true), spaced])]);
    for binary in both() {
        let nginx = start(&binary, &routes, TEMPLATE);
        let answer = nginx.get("one.example", "/volume/api/v1/pools?x=1", "");
        // As the template's author wrote it.
        assert_eq!((answer.status, answer.target()), (200, "//api/v1/pools?x=1"));
        assert_eq!(answer.seen("X-Object"), Some("default/some"));
        let answer = nginx.get("one.example", "/b%20c;%7B%7D%22/x", "");
        assert_eq!(answer.seen("X-Object"), Some("default/ev\"il; return 200 x;"));
        assert_eq!(answer.header("Backend"), "b");
        let line = nginx.config().lines().position(|line| line.contains("location /volume ")).unwrap() + 1;
        let origin = nginx.revision.origins.iter().find(|origin| origin.first_line as usize == line).unwrap();
        assert_eq!(origin.object.key.name, "some");
    }
}

#[test]
fn template_error_names_the_line() {
    let address = free();
    let some = routes([("*", vec![forward(prefix("/a b$c"), address, true)])]);
    for (template, expected) in [
        ("\n{% for %}", "line 2 of the template: "),
        ("a;\n\n{{ nothing }};", "line 3 of the template: undefined value"),
        ("{{ routes }};", "line 1 of the template: invalid operation: a sequence is not one token"),
        (
            "x;\nlocation {% for route in routes %}{{ route.path }}{% endfor %} {}",
            "line 2 of the template: the value \"/a b$c\" cannot stand here: it has a character",
        ),
        ("# {{ settings.runtime }}", "cannot stand here: values have no place in comments"),
        ("http {}", "the template does not print `control_server`"),
        (
            "{% for a in range(100000) %}{% for a in range(100000) %}{% endfor %}{% endfor %}",
            "line 1 of the template: engine ran out of fuel",
        ),
        ("a \u{f8ff}0\u{f8ff};", "line 1 of the template: the character"),
    ] {
        let error = render(template, &some).unwrap_err().to_string();
        assert!(error.contains(expected), "{template}: {error}");
    }
    let long = format!("{{% for a in range(100000) %}}{}{{% endfor %}}", "x".repeat(200_000));
    assert!(matches!(render(&long, &some), Err(TemplateError::Failed { .. })));
    assert!(matches!(render(&"x".repeat(300_000), &some), Err(TemplateError::TooLarge(300_000))));
}

#[test]
fn object_with_a_misplaced_value_is_named() {
    let rule = |name: &str, path: &str| {
        let mut rule = forward(prefix(path), free(), true);
        rule.origin = object(name);
        rule
    };
    let fine = (0..50).map(|number| rule(&format!("fine{number}"), &format!("/fine{number}")));
    let bad =
        [rule("dollar", "/a$b"), rule("mark", "/\u{f8ff}0\u{f8ff}"), rule("space", "/a b"), rule("dollar", "/b$")];
    let all = routes([("*", fine.chain(bad).collect()), ("*.example", vec![rule("wild", "/")])]);
    let names = |template: &str| match render(&format!("{{{{ control_server }}}}{template}"), &all) {
        Err(TemplateError::Objects(objects)) => {
            objects.into_iter().map(|(object, why)| (object.key.name.clone(), why)).collect::<Vec<_>>()
        }
        other => panic!("{template}: {other:?}"),
    };
    let each = |body: &str| format!("{{% for route in routes %}}{body}\n{{% endfor %}}");
    let [(name, why)] = &names(&each("x {{ route.path }};"))[..] else { panic!() };
    assert_eq!(name, "dollar");
    assert!(why.contains("\"/a$b\" cannot stand here: it has a character that cannot be quoted"), "{why}");
    let only_names = |body: &str| names(&each(body)).into_iter().map(|(name, _)| name).collect::<Vec<_>>();
    // A value that a filter made is its object's too.
    assert_eq!(only_names("x http://{{ route.path ~ '/' }};"), ["dollar", "mark", "space"]);
    assert_eq!(only_names("{% if route.host != '*' %}x a.{{ route.host }};{% endif %}"), ["wild"]);
    assert_eq!(only_names("x {{ route.path | raw_token }};"), ["mark"]);
    // The template's own faults are nobody's, also where only some meet them.
    for template in [each("# {{ route.path }}"), each("x \\{{ route.path }};"), each("{{ route.no }}")] {
        let error = render(&format!("{{{{ control_server }}}}{template}"), &all).unwrap_err();
        assert!(!matches!(error, TemplateError::Objects(_)), "{template}: {error}");
    }
    // So is what fails only together.
    let together = "{% if routes | length > 2 %}x a{{ '$' }};{% endif %}";
    let error = render(&format!("{{{{ control_server }}}}{together}"), &all).unwrap_err();
    assert!(matches!(error, TemplateError::MisplacedValue { .. }), "{error}");
}

#[test]
fn raw_token_turns_quoting_off_for_one_value() {
    let some = routes([("*", vec![forward(prefix("/a b"), free(), true)])]);
    let template =
        "{{ control_server }}{% for route in routes %}x {{ route.path | raw_token }} {{ route.path }};{% endfor %}";
    let text = render(template, &some).unwrap();
    assert!(text.ends_with("x /a b \"/a b\";"), "{text}");
}

#[test]
fn template_ignores_x_accel_headers_unless_it_says_otherwise() {
    let evil = saying("X-Accel-Redirect: /other/x\r\n");
    let routes =
        routes([("*", vec![forward(prefix("/evil"), evil, true), forward(prefix("/other"), backend("other"), true)])]);
    let own = |line: &str| TEMPLATE.replace("access_log off;", &format!("access_log off;\n{line}"));
    for binary in both() {
        for (template, obeyed) in [
            (TEMPLATE.to_owned(), false),
            (own("# proxy_ignore_headers X-Accel-Expires;"), false),
            (own("proxy_ignore_headers X-Accel-Redirect;"), false),
            (own("proxy_ignore_headers X-Accel-Expires; # Redirect is wanted"), true),
        ] {
            let nginx = start(&binary, &routes, &template);
            let answer = nginx.get("one.example", "/evil/a", "");
            assert_eq!(answer.header("Backend") == "other", obeyed, "{template}");
        }
    }
}

#[test]
fn template_serves_services_with_sessions_and_hashes() {
    let with_upstreams = TEMPLATE
        .replace("{{ control_server }}", "{{ control_server }}\n{{ upstreams }}")
        .replace("http://{{ route.cluster_ip }}:{{ route.port }}/", "http://{{ route.upstream }}/");
    let size = NonZeroU16::new(2).unwrap();
    let persistent = SessionCookie { affinity: Affinity::Persistent, ..session() };
    for balancing in [
        Balancing::Session(Box::new(session())),
        Balancing::Session(Box::new(persistent)),
        Balancing::HashSubset(vec![HashPart::Host], size),
    ] {
        let routes = balanced(vec![to_endpoints("/app", false)], &balancing, &[backend("a"), backend("b")]);
        for binary in both() {
            let nginx = start(&binary, &routes, &with_upstreams);
            let answer = nginx.get("one.example", "/app", "");
            assert_eq!(answer.status, 200, "{balancing:?}\n{}", nginx.config());
        }
    }
}
