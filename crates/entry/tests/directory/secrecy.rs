//! Private keys are shown to nobody, however broken the Secret is that they are in.

use crate::common::secrecy::{Broken, Traces};
use crate::common::tls::{Certificate, secret};
use crate::common::{Bench, CLASS, Program, backend, debian, eventually, ingress, programs, service};

/// A directory with every broken Secret, each named by an Ingress of its own.
fn broken(program: &Program, port: u16, own: &Certificate) -> Bench {
    let bench = Bench::new(program).with_https();
    bench.write("all.yaml", &format!("{CLASS}---\n{}", service("one", port)));
    for (name, text) in Broken::all(own).manifests {
        bench.write(&format!("{name}.yaml"), &text);
        bench.write(&format!("{name}-j.json"), &text);
        bench.write(&format!("{name}-web.yaml"), &ingress(&name, &format!("{name}.example"), "one", port, Some(&name)));
    }
    bench
}

#[test]
fn no_command_prints_a_part_of_a_key() {
    let own = Certificate::new("any.example");
    let traces = Traces::of([&own]);
    let bench = broken(&debian(), backend("one"), &own);
    for command in [
        &["check"][..],
        &["check", "--json"],
        &["check", "--strict"],
        &["render"],
        &["render", "--routes"],
        &["render", "--zone"],
        &["generate"],
    ] {
        let output = bench.command(command);
        for (what, bytes) in [("standard output", output.stdout), ("standard error", output.stderr)] {
            traces.assert_none(&format!("{what} of {command:?}"), &String::from_utf8(bytes).unwrap());
        }
    }
    traces.assert_none("nginx.conf", &bench.offered());
}

#[test]
fn no_log_or_admin_page_shows_a_part_of_a_key() {
    for program in programs() {
        let [own, renewed] = ["any.example", "any.example"].map(Certificate::new);
        let port = backend("one");
        let traces = Traces::of([&own, &renewed]);
        let bench = broken(&program, port, &own);
        bench.write("good.yaml", &ingress("good", "any.example", "one", port, Some("good")));
        bench.write("good-secret.yaml", &secret("good", &own));
        let entry = bench.start_by(&["env", "SPARROW_ENTRY_LOG=trace"], &["run"]);
        eventually("served", || [301, 308].contains(&bench.asks("any.example", "/").0));
        // Renewals that go wrong.
        for (n, (crt, key)) in Broken::contents(&renewed).into_iter().enumerate().step_by(37) {
            let broken = Certificate { pem: crt, key };
            bench.write("good-secret.yaml", &secret("good", &broken));
            bench.write("more.yaml", &service(&format!("more{n}"), port));
            eventually("followed", || bench.asks("other.example", &format!("/more{n}")).0 == 200);
        }
        for path in ["/", "/metrics", "/readyz", "/healthz"] {
            let answer = entry.admin(path).unwrap();
            traces.assert_none(path, &format!("{:?}{}", answer.headers, answer.text()));
        }
        let log = entry.log();
        assert!(log.matches("cannot be used").count() > 100, "nothing was logged that could show any");
        traces.assert_none("the log", &log.replace(&bench.path("").display().to_string(), ""));
        entry.terminate();
    }
}

#[test]
fn search_finds_parts_of_a_key() {
    let own = Certificate::new("any.example");
    let traces = Traces::of([&own]);
    let body: String = own.key.lines().filter(|line| !line.starts_with('-')).collect();
    let numbers = format!("{:?}", &body.as_bytes()[100..104]);
    for shown in [own.key.as_str(), &body[100..108], numbers.as_str()] {
        assert!(traces.in_text(&format!("a word: {shown}. And more")).is_some(), "{shown}");
    }
    traces.assert_none("a message", "Secret default/a cannot be used: tls.key is not the key of the first certificate");
}
