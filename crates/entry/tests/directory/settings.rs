//! Settings for all, of a `ConfigMap` that is followed.

use std::fs;

use testbed::http;

use crate::common::{Bench, backend, debian, eventually, programs, service, until};

/// A `ConfigMap` of settings, whose values are quoted.
fn settings(values: &[(&str, &str)]) -> String {
    config_map("settings", values)
}

fn config_map(name: &str, values: &[(&str, &str)]) -> String {
    let data: String = values.iter().map(|(key, value)| format!("  {key}: {value:?}\n")).collect();
    format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}, namespace: sparrow}}\ndata:\n{data}")
}

#[test]
fn config_map_of_settings_is_followed_and_a_broken_value_harms_nothing() {
    let port = backend("one");
    for program in programs() {
        let mut bench = Bench::new(&program);
        bench.flag("--config", "sparrow/settings".to_owned());
        bench.flag("--max-body-bytes", "10".to_owned());
        bench.write("shop.yaml", &service("shop", port));
        let entry = bench.start(&["run"]);
        bench.answers("/shop", 200, "one");
        entry.says("There is no such ConfigMap");
        let post = |length: usize| {
            let body = "x".repeat(length);
            let head =
                format!("POST /shop HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n");
            http::exchange(bench.http, head + &body).map_or(0, |answer| answer.status)
        };
        let header = |name: &str| bench.get("any.example", "/shop").map(|answer| answer.header(name).to_owned());
        assert_eq!((post(10), post(11)), (200, 413), "the flag");
        // It goes over the flag.
        let headers = config_map("headers", &[("X-Own", "$request_method")]);
        bench.write("headers.yaml", &headers);
        bench.write("settings.yaml", &settings(&[("proxy-body-size", "20"), ("add-headers", "sparrow/headers")]));
        eventually("the ConfigMap", || (post(20), post(21)) == (200, 413));
        eventually("a header", || header("X-Own").as_deref() == Some("GET"));
        bench.write("headers.yaml", &config_map("headers", &[("X-Own", "new")]));
        eventually("another header", || header("X-Own").as_deref() == Some("new"));
        // A value that cannot be used: the one before it stays, and the others are in force.
        bench.write(
            "settings.yaml",
            &settings(&[("proxy-body-size", "20 MB"), ("block-user-agents", "evil"), ("use-gzp", "x")]),
        );
        let evil =
            || http::get(bench.http, "any.example", "/shop", "User-Agent: evil\r\n").map_or(0, |answer| answer.status);
        eventually("another key", || evil() == 403);
        assert_eq!((post(20), post(21)), (200, 413), "the value before");
        entry.says("data[proxy-body-size]");
        let page =
            until("the page", || entry.admin("/").map(|page| page.text()).filter(|page| page.contains("use-gzp")));
        assert!(page.contains("<td>proxy-body-size</td><td>20 MB</td><td>before: 20</td>"), "{page}");
        // What nginx rejects is put aside, and routes go on changing.
        bench.write("settings.yaml", &settings(&[("proxy-body-size", "30"), ("ssl-ciphers", "NONE-SUCH")]));
        bench.write("blog.yaml", &service("blog", port));
        bench.answers("/blog", 200, "one");
        bench.remove("settings.yaml");
        eventually("the flag again", || (post(10), post(11), evil()) == (200, 413, 200));
        entry.terminate();
    }
}

#[test]
fn settings_that_nginx_rejects_are_put_aside() {
    let port = backend("one");
    for program in programs() {
        let mut bench = Bench::new(&program).with_https();
        bench.flag("--config", "sparrow/settings".to_owned());
        bench.write("shop.yaml", &service("shop", port));
        bench.write("settings.yaml", &settings(&[("hide-headers", "Backend")]));
        let entry = bench.start(&["run"]);
        let hidden = || bench.get("any.example", "/shop").is_some_and(|answer| answer.header("Backend").is_empty());
        eventually("hidden", hidden);
        bench.write("settings.yaml", &settings(&[("ssl-ciphers", "NONE-SUCH"), ("hide-headers", "Other")]));
        entry.says("nginx rejects the settings");
        bench.write("blog.yaml", &service("blog", port));
        eventually("the others go on", || bench.asks("any.example", "/blog").0 == 200);
        assert!(hidden(), "what nginx took last stays");
        bench.write("settings.yaml", &settings(&[("hide-headers", "Other")]));
        eventually("corrected", || !hidden());
        entry.terminate();
    }
}

#[test]
fn check_tells_what_of_a_config_map_is_not_followed() {
    let mut bench = Bench::new(&debian());
    bench.flag("--config", "sparrow/settings".to_owned());
    bench.write(
        "settings.yaml",
        &settings(&[("http-snippet", "gzip_disable 444;"), ("use-forwarded-headers", "true"), ("use-gzip", "true")]),
    );
    let (out, _) = bench.ends(1, &["check"]);
    for part in
        ["ConfigMap sparrow/settings: Partial: data[http-snippet]: Unsupported", "data[use-forwarded-headers]: Invalid"]
    {
        assert!(out.contains(part), "{out}");
    }
    assert!(!out.contains("use-gzip"), "{out}");
    let (rendered, _) = bench.ends(0, &["render"]);
    assert!(rendered.contains("gzip on;") && !rendered.contains("444"), "{rendered}");
}

#[test]
fn snippet_that_keeps_someone_out_starts_nothing_and_changes_nothing() {
    let port = backend("one");
    for program in programs() {
        let mut bench = Bench::new(&program);
        bench.flag("--config", "sparrow/settings".to_owned());
        bench.write("shop.yaml", &service("shop", port));
        let guard = ("server-snippet", "deny 192.0.2.0/24;");
        bench.write("settings.yaml", &settings(&[guard]));
        let told = "ConfigMap sparrow/settings: Rejected: data[server-snippet]: Unsupported";
        assert!(bench.ends(1, &["check"]).0.contains(told));
        assert!(bench.ends(2, &["render"]).1.contains("may keep someone out"));
        let entry = bench.start_unready(&["run"]);
        entry.says("may keep someone out");
        assert_eq!(bench.asks("any.example", "/shop").0, 0, "nothing is served");
        // Without the line it starts, and with it again all stays as it is but routes.
        bench.write("settings.yaml", &settings(&[("hide-headers", "Backend")]));
        entry.wait_ready();
        let hidden = || bench.get("any.example", "/shop").is_some_and(|answer| answer.header("Backend").is_empty());
        eventually("hidden", hidden);
        bench.write("settings.yaml", &settings(&[guard, ("hide-headers", "Other")]));
        entry.says("data[server-snippet]");
        bench.write("blog.yaml", &service("blog", port));
        eventually("the others go on", || bench.asks("any.example", "/blog").0 == 200);
        assert!(hidden(), "what nginx took last stays");
        entry.terminate();
    }
}

#[test]
fn settings_of_flags_have_the_same_keys() {
    let port = backend("one");
    let mut bench = Bench::new(&debian());
    bench.write("shop.yaml", &service("shop", port));
    bench.flag("--set", "log-format-upstream=$request_method $status $ingress_name".to_owned());
    let log = bench.path("access");
    bench.flag("--access-log", log.display().to_string());
    let entry = bench.start(&["run"]);
    bench.answers("/shop", 200, "one");
    until("logged", || fs::read_to_string(&log).ok().filter(|text| text.starts_with("GET 200 shop\n")));
    entry.terminate();
    for (value, part) in [
        ("keep-alive=75s", "--set keep-alive"),
        ("main-snippet=daemon on;", "no text of nginx's configuration language"),
        ("keepalive=75", "neither ingress-nginx nor this entry"),
        ("add-headers=a/b", "--config names"),
        ("keep-alive", "KEY=VALUE"),
    ] {
        let mut bench = Bench::new(&debian());
        bench.flag("--set", value.to_owned());
        let output = bench.command(&["render"]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && said.contains(part), "{said}");
    }
}

#[test]
fn log_has_the_fields_that_are_chosen() {
    let port = backend("one");
    for program in programs() {
        let mut bench = Bench::new(&program);
        bench.write("shop.yaml", &service("shop", port));
        bench.flag("--access-log-fields", "route,status,host".to_owned());
        let log = bench.path("access");
        bench.flag("--access-log", log.display().to_string());
        let entry = bench.start(&["run"]);
        bench.answers("/shop", 200, "one");
        let line = "{\"route\":\"Service default/shop\",\"status\":200,\"host\":\"any.example\"}\n";
        until("logged", || fs::read_to_string(&log).ok().filter(|text| text.contains(line)));
        entry.terminate();
    }
}
