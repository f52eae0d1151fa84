//! TCP and UDP services of `ConfigMaps`.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream, UdpSocket};
use std::thread;
use std::time::Duration;

use crate::common::{Bench, PATIENCE, backend, eventually, free, programs, service};

/// A backend of connections that greets with its name.
fn greeting(name: &'static str) -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for mut connection in listener.incoming().flatten() {
            let _ = connection.write_all(format!("{name}\n").as_bytes());
        }
    });
    port
}

/// A backend of datagrams that answers with its name.
fn answering(name: &'static str) -> u16 {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = socket.local_addr().unwrap().port();
    thread::spawn(move || {
        while let Ok((_, from)) = socket.recv_from(&mut [0; 64]) {
            let _ = socket.send_to(name.as_bytes(), from);
        }
    });
    port
}

/// A Service without a route of its own.
fn hidden(name: &str, port: u16, protocol: &str) -> String {
    let exposed = "  labels: { sparrow/expose: \"true\" }\n";
    let with_protocol = format!("ports: [{{ port: {port}, protocol: {protocol} }}]");
    service(name, port).replace(exposed, "").replace(&format!("ports: [{{ port: {port} }}]"), &with_protocol)
}

fn config_map(name: &str, rows: &[(u16, String)]) -> String {
    let rows: String = rows.iter().map(|(port, row)| format!("  \"{port}\": \"{row}\"\n")).collect();
    format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{ name: {name} }}\ndata:\n{rows}")
}

/// Who greets at a port.
fn greeted(port: u16) -> Option<String> {
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    BufReader::new(stream).lines().next()?.ok()
}

/// Who answers a datagram at a port.
fn answered(port: u16) -> Option<String> {
    let client = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).ok()?;
    client.connect((Ipv4Addr::LOCALHOST, port)).ok()?;
    client.set_read_timeout(Some(Duration::from_secs(1))).ok()?;
    client.send(b"who").ok()?;
    let mut bytes = [0; 64];
    let read = client.recv(&mut bytes).ok()?;
    Some(String::from_utf8_lossy(&bytes[..read]).into_owned())
}

#[test]
fn ports_follow_their_config_map() {
    for program in programs() {
        let (one, two, dns) = (greeting("one"), greeting("two"), answering("dns"));
        let mut bench = Bench::new(&program);
        bench.flag("--tcp-services-configmap", "default/tcp".to_owned());
        bench.flag("--udp-services-configmap", "default/udp".to_owned());
        let services = [hidden("one", one, "TCP"), hidden("two", two, "TCP"), hidden("dns", dns, "UDP")];
        bench.write("services.yaml", &services.join("---\n"));
        let (a, b, c) = (free().port(), free().port(), free().port());
        bench.write("tcp.yaml", &config_map("tcp", &[(a, format!("default/one:{one}"))]));
        bench.write("udp.yaml", &config_map("udp", &[(c, format!("default/dns:{dns}"))]));
        let entry = bench.start(&["run"]);
        eventually("open", || greeted(a).as_deref() == Some("one"));
        eventually("answered", || answered(c).as_deref() == Some("dns"));
        // A row more, which leads elsewhere.
        let rows = [(a, format!("default/two:{two}")), (b, format!("default/one:{one}"))];
        bench.write("tcp.yaml", &config_map("tcp", &rows));
        eventually("moved", || greeted(a).as_deref() == Some("two") && greeted(b).as_deref() == Some("one"));
        assert_eq!(answered(c).as_deref(), Some("dns"), "a reload keeps ports of datagrams open");
        // A Service that moves.
        bench.write("services.yaml", &[hidden("one", two, "TCP"), hidden("two", two, "TCP")].join("---\n"));
        bench.write("tcp.yaml", &config_map("tcp", &[(a, format!("default/one:{two}"))]));
        eventually("closed", || greeted(b).is_none() && greeted(a).as_deref() == Some("two"));
        eventually("told", || {
            let (out, _) = bench.ends(1, &["check"]);
            out.contains("ConfigMap default/udp") && out.contains("There is no Service default/dns")
        });
        entry.terminate();
    }
}

#[test]
fn port_that_is_taken_or_wrong_concerns_itself_only() {
    for program in programs() {
        let one = greeting("one");
        let web = backend("web");
        let mut bench = Bench::new(&program);
        bench.flag("--tcp-services-configmap", "default/tcp".to_owned());
        bench.write("services.yaml", &[hidden("one", one, "TCP"), service("shop", web)].join("---\n"));
        let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let taken_port = taken.local_addr().unwrap().port();
        let good = free().port();
        let row = || format!("default/one:{one}");
        let rows = [(good, row()), (bench.http.port(), row()), (1, "nonsense".to_owned())];
        bench.write("tcp.yaml", &config_map("tcp", &rows));
        let entry = bench.start(&["run"]);
        eventually("open", || greeted(good).as_deref() == Some("one"));
        bench.answers("/shop", 200, "web");
        let (out, _) = bench.ends(1, &["check"]);
        assert!(
            out.contains("This entry serves HTTP at the port") && out.contains("names no port of a Service"),
            "{out}"
        );
        // One that another process has: nginx cannot take it, and all else goes on.
        bench.write("tcp.yaml", &config_map("tcp", &[(good, row()), (taken_port, row())]));
        entry.says("nginx cannot listen at the port");
        bench.write("more.yaml", &service("more", web));
        bench.answers("/more", 200, "web");
        assert_eq!(greeted(good).as_deref(), Some("one"));
        // What asks for it changes, and it is tried again.
        drop(taken);
        bench.write("tcp.yaml", &config_map("tcp", &[(taken_port, row())]));
        eventually("open", || greeted(taken_port).as_deref() == Some("one"));
        entry.terminate();
    }
}
