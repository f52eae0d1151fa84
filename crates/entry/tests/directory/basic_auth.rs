//! Passwords of Secrets: followed, and shown to nobody.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use testbed::http;

use crate::common::{Bench, CLASS, backend, eventually, ingress, programs, service};

/// Hashes of `secret`.
const APR1: &str = "$apr1$saltsalt$LrttParrLPdxvgutaSXWJ0";
const SHA: &str = "{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=";

fn users(data: &str) -> String {
    format!("apiVersion: v1\nkind: Secret\nmetadata: {{ name: users }}\nstringData: {{ {data} }}\n")
}

fn protected(port: u16, annotations: &str) -> String {
    let all = annotations.split(';').map(|one| format!("nginx.ingress.kubernetes.io/{}", one.trim()));
    let all = all.collect::<Vec<_>>().join(", ");
    ingress("web", "a.example", "one", port, None)
        .replace("{ name: web }", &format!("{{ name: web, annotations: {{ {all} }} }}"))
}

/// What is answered to a user and a password, in base64.
fn status(bench: &Bench, login: &str) -> u16 {
    let headers = if login.is_empty() { String::new() } else { format!("Authorization: Basic {login}\r\n") };
    http::get(bench.http, "a.example", "/", &headers).map_or(0, |answer| answer.status)
}

/// `a:secret`, `b:secret`, `a:wrong`.
const A: &str = "YTpzZWNyZXQ=";
const B: &str = "YjpzZWNyZXQ=";
const WRONG: &str = "YTp3cm9uZw==";

#[test]
fn users_of_a_secret_get_in_and_follow_it() {
    let port = backend("one");
    for program in programs() {
        let bench = Bench::new(&program);
        bench.write("all.yaml", &format!("{CLASS}---\n{}", service("one", port)));
        bench.write("web.yaml", &protected(port, "auth-type: basic; auth-secret: users; auth-realm: Shop"));
        let entry = bench.start(&["run"]);
        // Without the Secret nobody gets in.
        eventually("closed", || status(&bench, A) == 503);
        entry.says("There is no Secret default/users");
        bench.write("users.yaml", &users(&format!("auth: 'a:{APR1}'")));
        eventually("a gets in", || status(&bench, A) == 200);
        eventually("others do not", || [status(&bench, ""), status(&bench, B), status(&bench, WRONG)] == [401; 3]);
        // Another user, in the other format.
        bench.write("users.yaml", &users(&format!("b: '{SHA}'")));
        bench.write(
            "web.yaml",
            &protected(port, "auth-type: basic; auth-secret: default/users; auth-secret-type: auth-map"),
        );
        eventually("b gets in", || [status(&bench, A), status(&bench, B)] == [401, 200]);
        // Nobody gets in where it is not known who may.
        bench.write("users.yaml", &users("b: hidden"));
        eventually("closed", || [status(&bench, ""), status(&bench, B)] == [503; 2]);
        entry.terminate();
    }
}

#[test]
fn passwords_are_in_no_output_and_in_files_that_others_cannot_read() {
    let port = backend("one");
    for program in programs() {
        let bench = Bench::new(&program);
        let expensive = "$2y$31$abcdefghijklmnopqrstuuqflPDzB6gcMhKa1rZqKiun2YGL5sa2u";
        bench.write("all.yaml", &format!("{CLASS}---\n{}", service("one", port)));
        bench.write(
            "users.yaml",
            &users(&format!("auth: \"a:{APR1}\\nb:{{PLAIN}}Hidden1\\nc:Hidden2\\nd:{expensive}\"")),
        );
        bench.write("web.yaml", &protected(port, "auth-type: basic; auth-secret: users"));
        let entry = bench.start_by(&["env", "SPARROW_ENTRY_LOG=trace"], &["run"]);
        eventually("a gets in", || status(&bench, A) == 200);
        let mut shown = entry.log();
        for command in [&["check"][..], &["check", "--json"], &["render"], &["render", "--routes"]] {
            let output = bench.command(command);
            shown += &String::from_utf8_lossy(&[output.stdout, output.stderr].concat());
        }
        for path in ["/", "/metrics"] {
            shown += &entry.admin(path).unwrap().text();
        }
        for hidden in [APR1, "Hidden1", "Hidden2", expensive] {
            assert!(!shown.contains(hidden), "{hidden}");
        }
        assert!(shown.contains("takes too long"), "it is said what is wrong with the Secret");
        let files = files_of_passwords(&bench.path("volume"));
        assert!(!files.is_empty());
        for file in files {
            assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o007, 0, "{}", file.display());
        }
        entry.terminate();
    }
}

fn files_of_passwords(volume: &Path) -> Vec<std::path::PathBuf> {
    let revisions = std::fs::read_dir(volume.join("generations")).unwrap();
    let directories = revisions.filter_map(|revision| std::fs::read_dir(revision.ok()?.path().join("passwords")).ok());
    directories.flatten().map(|file| file.unwrap().path()).collect()
}
