//! A volume that certificates fill: the newest are put aside, and all else goes on.

use std::fs;

use rcgen::{CertificateParams, DnType, KeyPair};

use crate::common::tls::{Certificate, curl, secret};
use crate::common::{Bench, CLASS, backend, eventually, ingress, programs, service};

/// A certificate for a host with nearly as long a chain as is taken. Its name is in it twice, and base64 adds a third.
fn large(host: &str) -> Certificate {
    let mut more = CertificateParams::new(Vec::new()).unwrap();
    more.distinguished_name.push(DnType::OrganizationName, "x".repeat(10_000));
    let more = more.self_signed(&KeyPair::generate().unwrap()).unwrap();
    let own = Certificate::new(host);
    Certificate { pem: format!("{}{}", own.pem, more.pem()), key: own.key }
}

#[test]
fn full_volume_costs_only_the_newest_certificates() {
    let port = backend("one");
    let good = Certificate::new("good.example");
    let large: Vec<_> = (0..20).map(|n| large(&format!("h{n}.example"))).collect();
    let created = |text: &str, n: usize| {
        text.replacen(
            "metadata: { name:",
            &format!("metadata: {{ creationTimestamp: \"2026-01-01T00:00:{n:02}Z\", name:"),
            1,
        )
    };
    for program in programs() {
        let bench = Bench::new(&program).with_https();
        let web = ingress("good", "good.example", "one", port, Some("good"));
        bench.write("all.yaml", &format!("{CLASS}---\n{}---\n{web}", service("one", port)));
        bench.write("good.yaml", &created(&secret("good", &good), 0));
        let volume = bench.path("volume");
        fs::create_dir(&volume).unwrap();
        // In a mount namespace of its own, with which it ends.
        let mount = format!("mount -t tmpfs -o size=400k tmpfs {} && exec \"$@\"", volume.display());
        let mut by = vec!["unshare", "--mount"];
        if !rustix::process::geteuid().is_root() {
            by.extend(["--user", "--map-root-user"]);
        }
        by.extend(["sh", "-c", &mount, "sh"]);
        let start = || bench.start_by(&by, &["run"]);
        let entry = start();
        entry.wait_ready();
        assert_eq!(curl(&bench, "good.example", &good), Ok("one".to_owned()));
        for (n, certificate) in large.iter().enumerate() {
            let name = format!("h{n}");
            let text = created(&secret(&name, certificate), n + 1);
            let web = ingress(&name, &format!("{name}.example"), "one", port, Some(&name));
            bench.write(&format!("{name}.yaml"), &format!("{text}---\n{web}"));
        }
        bench.write("more.yaml", &service("more", port));
        let served = |n: usize| curl(&bench, &format!("h{n}.example"), &large[n]) == Ok("one".to_owned());
        let all_is_well = || {
            eventually("changes go live", || bench.asks("any.example", "/more").0 == 200);
            eventually("the oldest are served", || served(0) && served(3));
            // Nothing of theirs is in the clear.
            eventually("the newest are not", || bench.asks("h19.example", "/").0 == 308 && !served(19));
            assert_eq!(curl(&bench, "good.example", &good), Ok("one".to_owned()));
        };
        all_is_well();
        entry.says("the volume of this entry has no room for it, and it is among the newest");
        entry.terminate();
        // A new pod, whose volume is empty, is ready too.
        let entry = start();
        entry.wait_ready();
        all_is_well();
        assert_eq!(entry.metric("offer_failing").to_string(), "0");
        entry.terminate();
    }
}
