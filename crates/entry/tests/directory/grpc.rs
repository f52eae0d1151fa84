//! gRPC through it, by a client and a server that others wrote.

use std::fs;
use std::process::Command;

use rustix::process::Pid;
use tokio::runtime::Runtime;
use tokio::time::timeout;
use tonic::client::Grpc;
use tonic::transport::Endpoint;
use tonic::{Code, Request};

use crate::common::tls::{Certificate, secret};
use crate::common::{Bench, CLASS, Entry, PATIENCE, Program, eventually, free, ingress, programs, service};
use crate::words::{Client, FAILURE, Words, client};

const HOST: &str = "grpc.example";

/// The services `plain` and `tls` at `/plain` and `/tls` of a host with a certificate, and `plain` at its methods; `down`,
/// where nobody listens; `strict`, with limits; and what leads to a Service that is not there.
fn bench(program: &Program, certificate: &Certificate, plain: &Words, tls: &Words) -> Bench {
    let bench = Bench::new(program).with_https();
    let service = |name: &str, port: u16, protocol: &str| {
        service(name, port)
            .replace("spec:", &format!("  annotations: {{ sparrow/host: {HOST} }}\nspec:"))
            .replace("{ port: ", &format!("{{ appProtocol: {protocol}, port: "))
    };
    let all = [
        CLASS.to_owned(),
        secret("tls", certificate),
        ingress("words", HOST, "plain", plain.port, Some("tls")).replace("path: /,", "path: /test.Words,"),
        ingress("missing", HOST, "missing", 1, None).replace("path: /,", "path: /missing,"),
        service("plain", plain.port, "grpc"),
        service("tls", tls.port, "grpcs"),
        service("down", free().port(), "kubernetes.io/h2c"),
        service("strict", plain.port, "grpc")
            .replace("annotations: { ", "annotations: { sparrow/max-body-size: 1k, sparrow/read-timeout: 1s, "),
    ];
    bench.write("all.yaml", &all.join("---\n"));
    bench
}

fn tell(message: &str) -> Request<String> {
    Request::new(message.to_owned())
}

/// Waits for a future, in vain if something is kept back.
async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("kept back: {what}"))
}

const ONE: &str = "/test.Words/One";

async fn calls(mut client: Client) {
    // One message, with what is said beside it.
    let mut request = tell("hello");
    request.metadata_mut().insert("word", "sesame".parse().unwrap());
    let answer = client.one(ONE, request).await.unwrap();
    assert_eq!(
        (answer.get_ref().as_str(), answer.metadata().get("word").unwrap().to_str().unwrap()),
        ("hello", "sesame")
    );
    // A long one, both ways, and many at once on the same connection.
    let long = "long ".repeat(600_000);
    assert!(client.one(ONE, tell(&long)).await.unwrap().get_ref() == &long);
    let many = (0..50).map(|number| {
        let mut client = client.clone();
        async move {
            let answer = client.one(ONE, tell(&number.to_string())).await.unwrap();
            assert_eq!(answer.into_inner(), number.to_string());
        }
    });
    futures_util::future::join_all(many).await;
    // An error comes whole, and so does the backend's word that there is no such method.
    let error = client.one(ONE, tell("fail")).await.unwrap_err();
    let reason = error.metadata().get("reason").map(|value| value.to_str().unwrap());
    assert_eq!((error.code(), error.message(), error.details(), reason.unwrap()), FAILURE);
    let error = client.one("/test.Words/None", tell("")).await.unwrap_err();
    assert_eq!((error.code(), error.message()), (Code::Unimplemented, "no such method"));
    // Each message is told only when the one before was answered: nothing is kept back, in neither direction.
    let (sender, receiver) = tokio::sync::mpsc::unbounded_channel::<String>();
    let messages = futures_util::stream::unfold(receiver, |mut receiver| async {
        receiver.recv().await.map(|message| (message, receiver))
    });
    sender.send("0".to_owned()).unwrap();
    let mut answers = soon("the stream", client.each(messages)).await.unwrap();
    for number in 0..20 {
        assert_eq!(soon("an answer", answers.message()).await.unwrap().unwrap(), number.to_string());
        sender.send((number + 1).to_string()).unwrap();
    }
    drop(sender);
    assert_eq!(soon("the last", answers.message()).await.unwrap().unwrap(), "20");
    assert_eq!(soon("the end", answers.message()).await.unwrap(), None);
}

/// Messages of a server come as they are sent, also while the configuration changes; an error after them is told.
fn stream(runtime: &Runtime, mut client: Client, words: &Words, bench: &Bench, entry: &Entry) {
    words.gate.add_permits(1);
    let mut stream = runtime.block_on(client.several(3));
    let mut next = || runtime.block_on(soon("a message", stream.message()));
    assert_eq!(next().unwrap().unwrap(), "1");
    let other = format!("other{}", entry.count("nginx_reloads"));
    bench.write("other.yaml", &service(&other, free().port()));
    eventually("reloaded", || bench.asks("any.example", &format!("/{other}")).0 == 502);
    for number in 2..=3 {
        words.gate.add_permits(1);
        assert_eq!(next().unwrap().unwrap(), number.to_string());
    }
    words.gate.add_permits(1);
    let error = next().unwrap_err();
    assert_eq!((error.code(), error.message()), (Code::Aborted, "no more"));
    // Who connects now must not get one of the old workers, which are about to end.
    drop(client);
    let workers =
        |master: Pid| fs::read_to_string(format!("/proc/{0}/task/{0}/children", master.as_raw_nonzero())).unwrap();
    eventually("old workers are gone", || workers(entry.nginx().unwrap()).split_whitespace().count() == 2);
}

#[test]
fn grpc_calls_streams_and_errors_pass_through() {
    let certificate = Certificate::new(HOST);
    let (plain, tls) = (Words::start(None), Words::start(Some(&certificate)));
    let runtime = Runtime::new().unwrap();
    for program in programs() {
        let bench = bench(&program, &certificate, &plain, &tls);
        let entry = bench.start(&["run"]);
        for (path, words) in [("", &plain), ("/plain", &plain), ("/tls", &tls)] {
            let client = runtime.block_on(async {
                let client = client(&bench, HOST, path, &certificate).await;
                calls(client.clone()).await;
                client
            });
            stream(&runtime, client, words, &bench, &entry);
        }
        entry.terminate();
    }
}

#[test]
fn grpc_client_gets_failures_as_grpc_status() {
    let certificate = Certificate::new(HOST);
    let runtime = Runtime::new().unwrap();
    for program in programs() {
        let (plain, tls) = (Words::start(None), Words::start(Some(&certificate)));
        let bench = bench(&program, &certificate, &plain, &tls);
        let entry = bench.start(&["run"]);
        let client = |path| runtime.block_on(client(&bench, HOST, path, &certificate));
        let error = |client: &mut Client, method, message: &str| {
            let error = runtime.block_on(client.one(method, tell(message))).unwrap_err();
            (error.code(), error.message().to_owned())
        };
        let gone = (Code::Unavailable, "What is behind this address is not there at the moment.".to_owned());
        // Nobody listens; there is no such Service; the server says nothing for too long.
        assert_eq!(error(&mut client("/down"), ONE, ""), gone);
        assert_eq!(error(&mut client("/missing"), ONE, ""), gone);
        assert_eq!(error(&mut client("/strict"), "/test.Words/Never", ""), gone);
        // Nothing leads there, and too much is said.
        let none = (Code::Unimplemented, "There is nothing at this address.".to_owned());
        assert_eq!(error(&mut client(""), "/test.Other/One", ""), none);
        let large = (Code::ResourceExhausted, "The body of this request is too large.".to_owned());
        assert_eq!(error(&mut client("/strict"), ONE, &"long".repeat(1000)), large);
        assert!(runtime.block_on(client("/strict").one(ONE, tell("short"))).is_ok());
        // Others are told the same as ever.
        let page = page(&bench, &certificate, "/down");
        assert!(page.contains("502 Bad Gateway") && !page.contains("grpc-"), "{page}");
        // A server that dies ends its streams, and not as if all had been said.
        let (mut one, mut other) = (client(""), client("/tls"));
        let begun = [(&mut one, plain), (&mut other, tls)].map(|(client, words)| {
            words.gate.add_permits(1);
            let mut stream = runtime.block_on(client.several(3));
            assert_eq!(runtime.block_on(stream.message()).unwrap().unwrap(), "1");
            drop(words);
            stream
        });
        for mut stream in begun {
            let end = runtime.block_on(soon("the end", stream.message()));
            assert!(end.is_err(), "{end:?}");
        }
        for client in [&mut one, &mut other] {
            assert_eq!(error(client, ONE, ""), gone);
        }
        entry.terminate();
    }
}

/// What curl shows of an answer over TLS, with its head.
fn page(bench: &Bench, certificate: &Certificate, path: &str) -> String {
    let trusted = bench.path("trusted");
    fs::write(&trusted, &certificate.pem).unwrap();
    let port = bench.https.port();
    let mut curl = Command::new("curl");
    curl.args(["-q", "-sSi", "--noproxy", "*", "--max-time", "20", "--resolve", &format!("{HOST}:{port}:127.0.0.1")]);
    curl.arg("--cacert").arg(trusted).arg(format!("https://{HOST}:{port}{path}"));
    String::from_utf8(curl.output().unwrap().stdout).unwrap()
}

#[test]
fn plaintext_grpc_is_rejected_at_once() {
    let words = Words::start(None);
    let runtime = Runtime::new().unwrap();
    for program in programs() {
        let bench = Bench::new(&program);
        bench.write("all.yaml", &service("words", words.port).replace("{ port: ", "{ appProtocol: grpc, port: "));
        let entry = bench.start(&["run"]);
        let endpoint = Endpoint::from_shared(format!("http://{}", bench.http)).unwrap().timeout(PATIENCE);
        let answer = runtime.block_on(async {
            let origin = format!("http://{}/words", bench.http).parse().unwrap();
            Client(Grpc::with_origin(endpoint.connect().await.ok()?, origin)).one(ONE, tell("")).await.ok()
        });
        assert!(answer.is_none(), "{answer:?}");
        // It is HTTP/2 that is missing: what speaks HTTP/1.1 reaches the backend.
        assert_eq!(bench.asks("any.example", "/words").0, 404);
        assert_eq!(entry.metric("routes").to_string(), "1");
        entry.terminate();
    }
}
