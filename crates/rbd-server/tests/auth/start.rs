//! What a start is rejected for.

use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};

use crate::support::BINARY;

/// Ended when dropped.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What it says until it serves or ends, and whether it serves. No Ceph is needed for either.
fn start(arguments: &[&str]) -> (bool, String) {
    // A Ceph configuration that names no monitors: it starts, and never connects.
    let child = Command::new(BINARY)
        .args(["serve", "--admin", "127.0.0.1:0", "--ceph-conf", "/dev/null"])
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut child = Ended(child);
    let mut said = String::new();
    for line in BufReader::new(child.0.stderr.take().unwrap()).lines() {
        let line = line.unwrap();
        said += &line;
        said.push('\n');
        if line.contains("\"serving\"") {
            return (true, said);
        }
    }
    assert!(!child.0.wait().unwrap().success());
    (false, said)
}

#[test]
fn service_open_to_the_network_needs_authentication() {
    for address in ["0.0.0.0:0", "[::]:0"] {
        let (served, said) = start(&["--listen", address]);
        assert!(!served, "{said}");
        assert!(said.contains("--anyone-may-delete-everything") && said.contains("--auth tokens"), "{said}");
    }
    let (served, said) = start(&["--listen", "0.0.0.0:0", "--anyone-may-delete-everything"]);
    assert!(served, "{said}");
    let (served, said) = start(&["--listen", "127.0.0.1:0"]);
    assert!(served, "{said}");
    let file = crate::support::TokensFile::new();
    let (served, said) = start(&["--listen", "0.0.0.0:0", "--auth", "tokens", "--tokens-file", &file.text()]);
    assert!(served && said.contains("in the clear"), "{said}");
}

#[test]
fn flags_and_files_that_cannot_work_fail_the_start() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str, content: &str| {
        let path = directory.path().join(name);
        std::fs::write(&path, content).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let broken = path("broken.json", r#"{"tokens":[{"name":"a"}]}"#);
    let empty = path("empty.json", r#"{"tokens":[]}"#);
    let text = path("text", "no PEM");
    // A port that is taken, so that nothing of this could serve by mistake.
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let listen = taken.local_addr().unwrap().to_string();
    for (arguments, says) in [
        (&["--auth", "tokens"][..], "--tokens-file"),
        (&["--auth", "tokens", "--tokens-file", "/nonexistent"], "/nonexistent cannot be read"),
        (&["--auth", "tokens", "--tokens-file", &broken], "broken.json: tokens[0]: missing field `hash` at line 1"),
        (&["--auth", "none", "--tokens-file", &empty], "--tokens-file is for --auth tokens"),
        (&["--auth", "none", "--kubeconfig", &empty], "--kubeconfig is for --auth kubernetes"),
        (&["--auth", "kubernetes"], "--kubeconfig FILE"),
        (&["--auth", "kubernetes", "--kubeconfig", "/nonexistent"], "--kubeconfig /nonexistent"),
        (&["--tls-cert", &text], "--tls-key"),
        (&["--tls-cert", &text, "--tls-key", &text], "holds no certificate"),
        (&["--audit-log", "/nonexistent/log"], "--audit-log /nonexistent/log"),
    ] {
        let mut all = vec!["--listen", &listen];
        all.extend(arguments);
        let (served, said) = start(&all);
        assert!(!served && said.contains(says), "{arguments:?}: {said}");
    }
}
