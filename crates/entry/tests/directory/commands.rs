//! The commands that end by themselves: `generate`, `check`, `render`.

use std::fs;
use std::process::{Command, Stdio};

use crate::common::{Bench, CLASS, backend, debian, free, ingress, programs, service};

#[test]
fn generate_offers_a_configuration_and_ends() {
    let port = backend("one");
    for program in programs() {
        let bench = Bench::new(&program);
        bench.write("shop.yaml", &service("shop", free().port()));
        bench.ends(0, &["generate"]);
        let first = bench.offered();
        bench.ends(0, &["generate"]);
        assert_eq!(bench.offered(), first);
        bench.write("shop.yaml", &service("shop", port));
        bench.ends(0, &["generate"]);
        assert_eq!(bench.offered(), first, "of a route nothing is there");
        // What is written before nginx runs is what it starts with.
        let entry = bench.start(&["nginx"]);
        assert_eq!(bench.live(), first);
        bench.answers("/shop", 200, "one");
        entry.terminate();
    }
}

#[test]
fn failed_command_exits_with_2_and_says_why() {
    let bench = Bench::new(&debian());
    let missing = bench.path("objects");
    fs::remove_dir(&missing).unwrap();
    for command in ["generate", "watch", "run", "render", "check"] {
        let (out, err) = bench.ends(2, &[command]);
        assert!(out.is_empty() && err.contains(missing.to_str().unwrap()), "{out}{err}");
        assert_eq!(err.matches("os error 2").count(), 1, "{err}");
    }
    fs::create_dir(&missing).unwrap();
    for command in ["generate", "nginx", "run", "render"] {
        let mut other = Bench::new(&debian());
        other.flag("--nginx", other.path("nowhere").display().to_string());
        let (_, err) = other.ends(2, &[command]);
        assert!(err.contains(other.path("nowhere").to_str().unwrap()), "{err}");
    }
    let (_, err) = bench.ends(2, &["generate", "--unknown"]);
    assert!(err.contains("--unknown"), "{err}");
    let (_, err) = bench.ends(2, &["render", "--diff"]);
    assert!(err.contains("nothing is live on this volume"), "{err}");
}

#[test]
fn zone_has_the_addresses_that_clients_reach() {
    let mut bench = Bench::new(&debian());
    bench.write("web.yaml", &format!("{CLASS}---\n{}", ingress("web", "web.example", "shop", 80, None)));
    bench.write(
        "node.yaml",
        "apiVersion: v1\nkind: Node\nmetadata: { name: a, labels: { role: entry } }\nstatus: { addresses: [\
         { type: InternalIP, address: 192.0.2.1 }, { type: InternalIP, address: \"2001:db8::1\" }] }\n",
    );
    bench.write(
        "lb.yaml",
        "apiVersion: v1\nkind: Service\nmetadata: { name: lb, namespace: sparrow }\nspec: { ports: [{ port: 80 }] }\n\
         status: { loadBalancer: { ingress: [{ ip: 198.51.100.7 }, { hostname: lb.example }] } }\n",
    );
    let (zone, _) = bench.ends(0, &["render", "--zone"]);
    assert_eq!(zone, "web.example. 60 IN A 192.0.2.1\nweb.example. 60 IN AAAA 2001:db8::1\n");
    bench.flag("--publish-service", "sparrow/lb".to_owned());
    let (zone, _) = bench.ends(0, &["render", "--zone"]);
    assert_eq!(zone, "web.example. 60 IN A 198.51.100.7\nweb.example. 60 IN CNAME lb.example.\n");
}

#[test]
fn invalid_value_of_a_flag_is_reported_with_the_flag() {
    for (flag, value, expected) in [
        ("--read-timeout", "0s", "from 1ms to 720h"),
        ("--connect-timeout", "500us", "from 1ms to 720h"),
        ("--keepalive-timeout", "0s", "from 1ms to 720h"),
        ("--worker-shutdown-timeout", "721h", "from 1ms to 720h"),
        ("--worker-connections", "0", "16..=1000000"),
        ("--workers", "0", "1..=65535"),
        ("--publish-service", "nginx-kit", "expected NAMESPACE/NAME"),
        ("--publish-service", "sparrow/", "expected NAMESPACE/NAME"),
        ("--public-https-port", "0", "1..=65535"),
        ("--proxy-protocol", "true", "--proxy-protocol: it needs trusted proxies"),
        ("--runtime", "/nowhere/$host", "--runtime: \"/nowhere/$host/control.sock\" cannot be written"),
        ("--user", "a;b", "--user: \"a;b\" is not the name of a user"),
        ("--access-log", "requests", "--access-log: \"requests\" cannot be written"),
    ] {
        let mut bench = Bench::new(&debian());
        bench.flag(flag, value.to_owned());
        let (_, err) = bench.ends(2, &["render"]);
        assert!(err.contains(flag) && err.contains(expected), "{flag} {value}: {err}");
    }
}

#[test]
fn command_rejects_flags_of_others_and_ignores_their_variables() {
    let mut bench = Bench::new(&debian());
    let (_, err) = bench.ends(2, &["check", "--drain-delay", "1s"]);
    assert!(err.contains("unexpected argument '--drain-delay'"), "{err}");
    let (help, _) = bench.ends(0, &["check", "--help"]);
    assert!(help.contains("--strict") && help.contains("--from") && !help.contains("--drain-delay"), "{help}");
    bench.flag("--drain-delay", "soon".to_owned());
    bench.ends(0, &["render"]);
    let (_, err) = bench.ends(2, &["nginx"]);
    assert!(err.contains("--drain-delay"), "{err}");
}

#[test]
fn check_reports_ingresses_without_class_and_fails_if_strict() {
    let bench = Bench::new(&debian());
    let named =
        |name: &str| ingress(name, "web.example", "shop", 81, None).replace("ClassName: sparrow", "ClassName: other");
    bench.write("web.yaml", &named("web"));
    let line = "1 Ingress has no class that this entry serves: default/web\n";
    assert_eq!(bench.ends(0, &["check"]).0, format!("{line}0 objects, 0 not served as asked for\n"));
    assert_eq!(bench.ends(0, &["check", "--json"]), ("{}\n".to_owned(), line.to_owned()));
    bench.ends(1, &["check", "--strict"]);
    let many: Vec<String> = (10..25).map(|number| named(&format!("web{number}"))).collect();
    bench.write("web.yaml", &many.join("---\n"));
    let (out, _) = bench.ends(0, &["check"]);
    assert!(out.starts_with("15 Ingresses have no class that this entry serves: default/web10, "), "{out}");
    assert!(out.contains("default/web19 and 5 more\n"), "{out}");
    bench.remove("web.yaml");
    // Served as asked for, and there is something to say of it: which of its ports was taken.
    let ports = "ports: [{ port: 81, name: a }, { port: 82, name: b }]";
    bench.write("shop.yaml", &service("shop", 81).replace("ports: [{ port: 81 }]", ports));
    let (out, _) = bench.ends(0, &["check"]);
    assert!(out.contains("Service default/shop: Accepted: spec.ports: "), "{out}");
    bench.ends(1, &["check", "--strict"]);
}

#[test]
fn check_reports_findings_and_exits_with_1() {
    let bench = Bench::new(&debian());
    bench.write("shop.yaml", &service("shop", 81));
    let (out, _) = bench.ends(0, &["check"]);
    assert_eq!(out, "1 object, 0 not served as asked for\n");
    let (out, _) = bench.ends(0, &["check", "--json"]);
    assert!(out.contains("\"Service default/shop\"") && out.contains("\"Accepted\""), "{out}");

    // Two that claim the same; something that is not done here; a file that is no manifest.
    let claims = "  annotations: { sparrow/path: /shop }\n";
    let twin = service("twin", 82).replace("  name: twin\n", &format!("  name: twin\n{claims}"));
    bench.write("twin.yaml", &twin);
    let unknown = "{ name: web, annotations: { nginx.ingress.kubernetes.io/stream-snippet: x } }";
    let web = ingress("web", "web.example", "shop", 81, None).replace("{ name: web }", unknown);
    bench.write("web.yaml", &format!("{CLASS}---\n{web}"));
    bench.write("broken.yaml", "kind: [Service\n");
    let (out, _) = bench.ends(1, &["check"]);
    for part in [
        "Service default/twin: Rejected: metadata.annotations[sparrow/path]: Conflicted: ",
        "Ingress default/web: Partial: metadata.annotations[nginx.ingress.kubernetes.io/stream-snippet]: Unsupported: ",
        "Manifest broken.yaml:1: Rejected: Invalid: ",
        "4 objects, 3 not served as asked for\n",
    ] {
        assert!(out.contains(part), "{part}: {out}");
    }
    let (json, _) = bench.ends(1, &["check", "--json"]);
    let verdicts: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(verdicts["Service default/twin"]["outcome"], "Rejected");
    assert_eq!(verdicts["Service default/twin"]["findings"][0]["reason"], "Conflicted");
    assert_eq!(verdicts["Ingress default/web"]["findings"][0]["reason"], "Unsupported");
    assert_eq!(verdicts["Service default/shop"]["outcome"], "Accepted");

    // The same in `render`, which prints the rest.
    let (out, err) = bench.ends(0, &["render", "--routes"]);
    assert_eq!(
        out,
        "web.example prefix / -> 127.0.0.1:81 http (Ingress default/web)\n\
         * prefix /shop -> 127.0.0.1:81 http strip (Service default/shop)\n"
    );
    assert!(err.contains("Service default/twin: Rejected: ") && err.contains("Manifest broken.yaml"), "{err}");
}

#[test]
fn render_diff_shows_what_would_change() {
    for program in programs() {
        let mut bench = Bench::new(&program);
        bench.write("shop.yaml", &service("shop", 81));
        let entry = bench.start(&["run"]);
        assert_eq!(bench.ends(0, &["render", "--diff"]).0, "");
        assert_eq!(bench.ends(0, &["render"]).0, bench.live());
        entry.terminate();
        // A route is none of it.
        bench.write("shop.yaml", &service("shop", 82));
        assert_eq!(bench.ends(0, &["render", "--diff"]).0, "");
        bench.flag("--read-timeout", "61s".to_owned());
        let (out, _) = bench.ends(1, &["render", "--diff"]);
        let changed = |sign: char, time: &str| out.lines().any(|line| line.starts_with(sign) && line.contains(time));
        assert!(changed('-', "60000ms") && changed('+', "61000ms"), "{out}");
        assert!(out.lines().count() < bench.live().lines().count() / 2, "only what changes: {out}");
    }
}

#[test]
fn flag_means_the_same_as_its_variable_and_wins() {
    let mut bench = Bench::new(&debian());
    bench.write("shop.yaml", &service("shop", 81));
    let (by_variables, _) = bench.ends(0, &["render"]);
    let flags: Vec<&str> = bench.flags().flat_map(|(name, value)| [name, value]).collect();
    let by_flags = Command::new(env!("CARGO_BIN_EXE_sparrow-entry"))
        .arg("render")
        .args(&flags)
        .env("SPARROW_ENTRY_WORKERS", "7")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert_eq!(String::from_utf8(by_flags.stdout).unwrap(), by_variables);
    // Several addresses, as in a flag that is repeated.
    bench.flag("--http", "127.0.0.1:8001,127.0.0.1:8002".to_owned());
    let (text, _) = bench.ends(0, &["render"]);
    assert!(text.contains("127.0.0.1:8001") && text.contains("127.0.0.1:8002"), "{text}");
    for (name, value) in [("--http", "here"), ("--service-selector", "x"), ("--access-log", "a b$c")] {
        let mut bench = Bench::new(&debian());
        bench.flag(name, value.to_owned());
        let (_, err) = bench.ends(2, &["render"]);
        assert!(err.contains(name), "{err}");
    }
}
