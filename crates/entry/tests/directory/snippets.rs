//! Locations that snippets deny, and headers that they cannot set.

use testbed::http;

use crate::common::{Bench, CLASS, backend, eventually, ingress, programs, service};

/// An Ingress with a snippet and others, one in a line.
fn web(port: u16, annotations: &str) -> String {
    let lines: String = annotations.lines().map(|line| format!("    nginx.ingress.kubernetes.io/{line}\n")).collect();
    ingress("web", "a.example", "one", port, None)
        .replace("metadata: { name: web }", &format!("metadata:\n  name: web\n  annotations:\n{lines}"))
}

fn statuses<const N: usize>(bench: &Bench, paths: [&str; N]) -> [u16; N] {
    paths.map(|path| http::get(bench.http, "a.example", path, "").map_or(0, |answer| answer.status))
}

#[test]
fn location_that_a_snippet_denies_is_denied() {
    let port = backend("one");
    for program in programs() {
        let bench = Bench::new(&program);
        bench.write("all.yaml", &format!("{CLASS}---\n{}", service("one", port)));
        let deny = "server-snippet: 'location ^~ /app/admin { deny all; } location = /app { return 410; }'";
        bench.write("web.yaml", &web(port, deny));
        let entry = bench.start(&["run"]);
        let paths = ["/", "/app/x", "/app", "/app/admin", "/app/admin/x", "/app/admin.php", "/app//%61dmin"];
        eventually("denied", || statuses(&bench, paths) == [200, 200, 410, 403, 403, 403, 403]);
        // Beside patterns it is so, too, whose texts are longer.
        let patterns =
            web(port, &format!("use-regex: 'true'\n{deny}")).replace("path: /,", "path: '/(app|api)/?(.*)',");
        bench.write("web.yaml", &patterns);
        eventually("denied", || statuses(&bench, paths) == [404, 200, 410, 403, 403, 403, 403]);
        // What is not followed is not open.
        bench.write("web.yaml", &web(port, "server-snippet: 'if ($http_x_key != secret) { return 400; }'"));
        eventually("closed", || statuses(&bench, ["/", "/app", "/app/admin"]) == [503; 3]);
        entry.terminate();
    }
}
