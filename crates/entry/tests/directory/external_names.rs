//! Services of the type `ExternalName` behind an Ingress.

use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::common::{Bench, CLASS, backend, backend_on, eventually, ingress, programs};

/// How long it may take until a name is looked up again.
const LOOKED_UP_AGAIN: Duration = Duration::from_mins(2);

/// A Service in a namespace, with the rest of its specification, and who may send requests to it.
fn service(name: &str, namespace: &str, spec: &str, from: &str) -> String {
    let annotations =
        if from.is_empty() { String::new() } else { format!(", annotations: {{ sparrow/requests-from: {from} }}") };
    format!(
        "---\napiVersion: v1\nkind: Service\nmetadata: {{ name: {name}, namespace: {namespace}{annotations} }}\nspec: {{ {spec} }}\n"
    )
}

#[test]
fn external_name_leads_to_a_service_that_agrees_and_nowhere_else() {
    let port = backend("auth");
    let (own, ports) =
        (format!("clusterIP: 127.0.0.1, ports: [{{ port: {port} }}]"), format!("ports: [{{ port: {port} }}]"));
    let external = |name: &str, to: &str| {
        service(name, "default", &format!("type: ExternalName, externalName: {to}, {ports}"), "")
    };
    let rejected = [
        "127.0.0.1",
        "127.0.0.2",
        "localhost",
        "10.1.2.3",
        "169.254.169.254",
        "closed.auth.svc",
        "localhost.",
        "\"[::1]\"",
        "www.example.com",
    ];
    let mut objects = vec![
        CLASS.to_owned(),
        service("open", "auth", &own, "default"),
        service("closed", "auth", &own, ""),
        external("to-open", "open.auth.svc.cluster.local"),
        service("without-port", "default", "type: ExternalName, externalName: open.auth.svc", ""),
        format!("---\n{}", ingress("open", "open.example", "to-open", port, None)),
        format!("---\n{}", ingress("without-port", "without-port.example", "without-port", port, None)),
    ];
    for (number, name) in rejected.iter().enumerate() {
        let (service, host) = (format!("to-{number}"), format!("rejected-{number}.example"));
        objects.push(external(&service, name));
        objects.push(format!("---\n{}", ingress(&service, &host, &service, port, None)));
    }
    for program in programs() {
        let bench = Bench::new(&program);
        bench.write("all.yaml", &objects.concat());
        let entry = bench.start(&["run"]);
        for host in ["open.example", "without-port.example"] {
            eventually("served", || bench.asks(host, "/x") == (200, "auth".to_owned()));
        }
        for (number, name) in rejected.iter().enumerate() {
            assert_eq!(bench.asks(&format!("rejected-{number}.example"), "/").0, 503, "{name}");
        }
        // Who no longer agrees gets nothing more.
        bench.write(
            "all.yaml",
            &objects.concat().replace("sparrow/requests-from: default", "sparrow/requests-from: other"),
        );
        eventually("closed", || bench.asks("open.example", "/x").0 == 503);
        entry.terminate();
    }
}

/// Where the file of hosts is that the test below changes.
const HOSTS_VARIABLE: &str = "SPARROW_TEST_HOSTS";

/// A name leads to addresses that are nobody's on this machine. So this runs in a network of its own, in which they are the machine's, and with a
/// file of hosts of its own, by which names are looked up there.
#[test]
fn name_in_dns_leads_to_addresses_that_may_be_reached() {
    let directory = tempfile::tempdir().unwrap();
    let hosts = directory.path().join("hosts");
    fs::write(&hosts, "").unwrap();
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "unshare", "--net", "--mount"]).env(HOSTS_VARIABLE, &hosts);
    if !rustix::process::geteuid().is_root() {
        command.args(["--user", "--map-root-user"]);
    }
    let network = "ip link set lo up; ip addr add 10.20.0.1/32 dev lo; ip route add local 192.0.2.0/24 dev lo
        mount --bind \"$SPARROW_TEST_HOSTS\" /etc/hosts; exec \"$0\" \"$@\"";
    let output = command
        .args(["sh", "-ec", network])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "--ignored", "--nocapture", "external_names::in_a_network_of_its_own"])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("1 passed"), "{text}{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
#[ignore = "run by the test above, in its own network"]
fn in_a_network_of_its_own() {
    // Were it another network, requests would leave this machine.
    let routes = fs::read_to_string("/proc/net/route").unwrap();
    assert!(routes.lines().skip(1).all(|route| route.starts_with("lo\t")), "{routes}");
    // It stays the same file, which is bound.
    let hosts = std::env::var_os(HOSTS_VARIABLE).unwrap();
    let resolve = |public: &str| {
        let lines =
            format!("{public} public.example.com.\n10.20.0.1 private.example.com.\n127.0.0.1 own.example.com.\n");
        fs::write(&hosts, lines).unwrap();
    };
    let port = backend_on(TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap(), "outside");
    let names = ["public", "without-ports", "private", "own", "unknown"];
    let objects: String = names
        .iter()
        .map(|name| {
            let (to, ports) = match *name {
                "without-ports" => ("public", String::new()),
                name => (name, format!(", ports: [{{ name: http, port: {port} }}]")),
            };
            let spec = format!("type: ExternalName, externalName: {to}.example.com{ports}");
            let host = format!("{name}.example");
            [service(name, "default", &spec, ""), format!("---\n{}", ingress(name, &host, name, port, None))].concat()
        })
        .collect();
    let statuses = |bench: &Bench| names.map(|name| bench.asks(&format!("{name}.example"), "/x").0);
    for program in programs() {
        resolve("192.0.2.7");
        let mut bench = Bench::new(&program);
        bench.write("all.yaml", &[CLASS, &objects].concat());
        let entry = bench.start(&["run"]);
        eventually("public addresses are reached", || statuses(&bench) == [200, 200, 503, 503, 503]);
        entry.terminate();
        bench.flag("--external-name-ranges", "10.20.0.0/16,127.0.0.0/8".to_owned());
        let entry = bench.start(&["run"]);
        eventually("private addresses of a range are reached", || statuses(&bench) == [200, 200, 200, 503, 503]);
        // What a name is looked up as later may be no other.
        resolve("127.0.0.1");
        let begun = Instant::now();
        while statuses(&bench) != [503, 503, 200, 503, 503] {
            assert!(begun.elapsed() < LOOKED_UP_AGAIN, "{:?}", statuses(&bench));
            sleep(Duration::from_millis(200));
        }
        entry.terminate();
    }
}
