//! The default backend for all: what no rule takes, and pages of errors.

use std::io::Write as _;
use std::net::{Ipv4Addr, TcpListener};

use testbed::http;

use crate::common::{Bench, CLASS, backend, eventually, ingress, programs};

/// A Service of a namespace, without annotations and label, at this port of 127.0.0.1.
fn plain_service(namespace: &str, name: &str, port: u16) -> String {
    format!(
        "apiVersion: v1\nkind: Service\nmetadata: {{ name: {name}, namespace: {namespace} }}\nspec:\n  clusterIP: 127.0.0.1\n  \
         ports: [{{ port: {port} }}]\n"
    )
}

/// A backend whose answers are errors, the status the last segment of the path.
fn failing() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    http::serve_connections(listener, |mut connection| {
        while let Some(request) = connection.request()? {
            let status = request.target().rsplit('/').next().unwrap_or_default().to_owned();
            write!(connection, "HTTP/1.1 {status} Own\r\nBackend: failing\r\nContent-Length: 3\r\n\r\nown")?;
        }
        Ok(())
    });
    port
}

#[test]
fn default_backend_for_all_gets_what_no_rule_takes_as_soon_as_it_exists() {
    let (port, pages) = (backend("shop"), backend("pages"));
    for program in programs() {
        let mut bench = Bench::new(&program);
        bench.flag("--default-backend", format!("infra/pages:{pages}"));
        bench.write("class.yaml", CLASS);
        bench.write("web.yaml", &plain_service("default", "web", port));
        let shop = ingress("shop", "shop.example", "web", port, None).replace("path: /,", "path: /shop,");
        bench.write("shop.yaml", &shop);
        let entry = bench.start(&["run"]);
        let asked = |host: &str, path: &str| {
            let answer = bench.get(host, path);
            answer.map_or((0, String::new()), |answer| (answer.status, answer.header("Backend").to_owned()))
        };
        let is = |host: &str, path: &str, status: u16, by: &str| asked(host, path) == (status, by.to_owned());
        eventually("the rule", || is("shop.example", "/shop", 200, "shop"));
        assert!(is("other.example", "/", 404, "") && is("shop.example", "/x", 404, ""), "nobody is there yet");
        entry.says("There is no Service infra/pages");
        bench.write("pages.yaml", &plain_service("infra", "pages", pages));
        eventually("an unknown host", || is("other.example", "/a/b?c", 200, "pages"));
        eventually("an unknown path", || is("shop.example", "/x", 200, "pages"));
        eventually("the rule stays", || is("shop.example", "/shop/x", 200, "shop"));
        // What an Ingress says of its host, or of all, counts more.
        bench.write("all.yaml", &ingress("all", "shop.example", "web", port, None));
        eventually("all of the host", || is("shop.example", "/x", 200, "shop"));
        eventually("others go on", || is("other.example", "/", 200, "pages"));
        let catch_all = format!(
            "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {{ name: rest }}\nspec:\n  ingressClassName: sparrow\n  \
             defaultBackend: {{ service: {{ name: web, port: {{ number: {port} }} }} }}\n"
        );
        bench.write("rest.yaml", &catch_all);
        eventually("the rest", || is("other.example", "/", 200, "shop"));
        bench.remove("rest.yaml");
        eventually("the default backend again", || is("other.example", "/", 200, "pages"));
        bench.remove("pages.yaml");
        eventually("nobody again", || is("other.example", "/", 404, ""));
        entry.terminate();
    }
}

#[test]
fn default_backend_for_all_makes_pages_of_errors_under_their_status() {
    let (port, pages) = (failing(), backend("pages"));
    for program in programs() {
        let mut bench = Bench::new(&program);
        bench.flag("--config", "sparrow/settings".to_owned());
        let settings = |values: &str| {
            bench.write(
                "settings.yaml",
                &format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: settings, namespace: sparrow}}\ndata: {values}\n"),
            );
        };
        bench.write("class.yaml", CLASS);
        bench.write("web.yaml", &plain_service("default", "web", port));
        bench.write("pages.yaml", &plain_service("infra", "pages", pages));
        bench.write("plain.yaml", &ingress("plain", "plain.example", "web", port, None));
        let own = ingress("own", "own.example", "web", port, None).replace(
            "metadata: { name: own }",
            "metadata: { name: own, annotations: { nginx.ingress.kubernetes.io/custom-http-errors: \"418\" } }",
        );
        bench.write("own.yaml", &own);
        settings("{}");
        let entry = bench.start(&["run"]);
        let is = |host: &str, path: &str, status: u16, by: &str| {
            bench.get(host, path).is_some_and(|answer| answer.status == status && answer.header("Backend") == by)
        };
        eventually("no pages", || is("plain.example", "/500", 500, "failing"));
        entry.says("no default backend is named");
        assert!(is("own.example", "/418", 418, "failing"));
        settings(&format!("{{ default-backend: \"infra/pages:{pages}\", custom-http-errors: \"404,500\" }}"));
        // Each of them by new workers: the old ones may answer some requests more.
        eventually("pages for all", || {
            is("plain.example", "/500", 500, "pages") && is("plain.example", "/404", 404, "pages")
        });
        eventually("no others", || is("plain.example", "/418", 418, "failing"));
        eventually("its own statuses", || is("own.example", "/418", 418, "pages"));
        eventually("in place of those for all", || is("own.example", "/500", 500, "failing"));
        eventually("what no rule takes", || is("other.example", "/", 200, "pages"));
        settings(&format!(
            "{{ default-backend: \"infra/pages:{pages}\", custom-http-errors: \"500\", disable-proxy-intercept-errors: \"true\" }}"
        ));
        eventually("errors of backends go through", || is("plain.example", "/500", 500, "failing"));
        eventually("but where they are asked for", || is("own.example", "/418", 418, "pages"));
        settings("{}");
        eventually("no pages again", || is("own.example", "/418", 418, "failing") && is("other.example", "/", 404, ""));
        entry.terminate();
    }
}
