//! Streams that stay open while routes change.

use std::io::{Read as _, Write as _};

use testbed::echo;
use testbed::http::Connection;
use tokio::runtime::Runtime;
use tokio::time::timeout;

use crate::common::tls::{Certificate, secret};
use crate::common::{Bench, CLASS, PATIENCE, debian, eventually, ingress, service};
use crate::words::{Words, client};

const HOST: &str = "streams.example";

/// How often a route comes and another one goes.
const CHANGES: u32 = 300;

/// A WebSocket whose other side returns each byte.
fn web_socket(bench: &Bench) -> Connection {
    let mut socket = Connection::open(bench.http).unwrap();
    let head = "GET /echo/socket HTTP/1.1\r\nHost: any.example\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n";
    socket.write_all(head.as_bytes()).unwrap();
    assert_eq!(socket.answer_head().unwrap().status, 101);
    socket
}

#[test]
fn streams_go_on_over_hundreds_of_changes_and_nothing_is_reloaded() {
    let certificate = Certificate::new(HOST);
    let (words, echo, runtime) = (Words::start(None), echo::backend("echo").port(), Runtime::new().unwrap());
    let bench = Bench::new(&debian()).with_https();
    let grpc = service("words", words.port).replace("{ port: ", "{ appProtocol: grpc, port: ");
    let host = ingress("words", HOST, "words", words.port, Some("tls"));
    bench.write("all.yaml", &[CLASS, &secret("tls", &certificate), &host, &grpc, &service("echo", echo)].join("---\n"));
    let entry = bench.start(&["run"]);
    eventually("served", || bench.asks("any.example", "/echo").0 == 200);
    let reloads = entry.count("frame_reloads");

    let mut socket = web_socket(&bench);
    let (sender, receiver) = tokio::sync::mpsc::unbounded_channel::<String>();
    let messages = futures_util::stream::unfold(receiver, |mut receiver| async {
        receiver.recv().await.map(|message| (message, receiver))
    });
    let mut client = runtime.block_on(client(&bench, HOST, "", &certificate));
    sender.send("0".to_owned()).unwrap();
    let mut answers = runtime.block_on(async { timeout(PATIENCE, client.each(messages)).await.unwrap().unwrap() });
    for round in 0..CHANGES {
        bench.write("moving.yaml", &service(&format!("moving-{round}"), echo));
        let path = format!("/moving-{round}");
        eventually(&path, || bench.asks("any.example", &path).0 == 200);
        socket.write_all(&round.to_le_bytes()).unwrap();
        let mut returned = [0; 4];
        socket.read_exact(&mut returned).unwrap();
        assert_eq!(returned, round.to_le_bytes());
        let answer = runtime.block_on(async { timeout(PATIENCE, answers.message()).await.unwrap().unwrap() });
        assert_eq!(answer, Some(round.to_string()));
        sender.send((round + 1).to_string()).unwrap();
    }
    assert_eq!(entry.count("frame_reloads"), reloads);
    assert!(entry.count("table_publications") >= u64::from(CHANGES), "{}", entry.count("table_publications"));
    drop((socket, sender, answers, client));
    entry.terminate();
}
