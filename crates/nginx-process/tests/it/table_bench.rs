//! A supervisor of an nginx that routes by a table.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::PathBuf;

use nginx_process::{Control, OutcomeState, TableOutcome};
use testbed::http;
use tokio::time::timeout;

use crate::bench::{Bench, Files, Running, SOON, blocking};
use crate::table_generator::TableGenerator;

/// A supervisor with a volume of its own, and who makes tables on it.
pub struct TableBench {
    pub bench: Bench,
    pub generator: TableGenerator,
    /// Where nginx routes by the table.
    pub routed: SocketAddr,
}

/// What a request got: the frame that answered it and the backend or the status.
pub type Found = (String, Result<String, u16>);

impl TableBench {
    pub fn new() -> TableBench {
        // In memory, as a pod's volume is.
        let bench = Bench::in_memory(testbed::nginx::debian());
        let generator = TableGenerator::new(&bench.volume);
        TableBench { generator, routed: testbed::ports::free_address().unwrap(), bench }
    }

    /// The frame: what of nginx.conf does not change with the routes.
    pub fn frame(&self, hash: &str) -> Files {
        self.frame_with(hash, "")
    }

    /// The same, with more at the level of `http`.
    pub fn frame_with(&self, hash: &str, more: &str) -> Files {
        let http = format!(
            "{more}
            sparrow_table {runtime}/table;
            sparrow_counts {runtime}/counts;
            add_header Frame {hash} always;
            upstream sparrow_http {{ sparrow_backends; sparrow_keep_connections 64 4s 10000; }}
            upstream sparrow_http_once {{ sparrow_backends; }}
            server {{
                listen {routed};
                sparrow_route;
                location = sparrow-answer-404 {{ return 404; }}
                location = sparrow-http-00000000000000000000000000000000 {{
                    proxy_http_version 1.1;
                    proxy_set_header Connection \"\";
                    proxy_pass http://sparrow_http;
                }}
            }}",
            runtime = self.bench.settings.runtime.display(),
            routed = self.routed,
        );
        let mut files = self.bench.files(hash, &http, "");
        let main = files.get_mut("nginx.conf").unwrap();
        let text = String::from_utf8(std::mem::take(main)).unwrap();
        let table = "location = /table { return 200 \"$pid $sparrow_table_revision $sparrow_table_fault\"; }";
        let status = "location = /status { stub_status; }";
        let text = text.replacen("location = /generation", &format!("{table} {status} location = /generation"), 1);
        *main = format!("load_module {};\n{text}", testbed::nginx::module().display()).into_bytes();
        files
    }

    /// Offers a frame with the whole table.
    pub fn offer(&mut self, hash: &str) {
        let files = self.frame(hash);
        let whole = self.generator.plan_whole();
        self.bench.volume.offer(hash, &files, Some(&whole)).unwrap();
    }

    /// Starts a supervisor, and waits until it serves a first frame of this name, in which hosts are routed to backends.
    pub async fn start_on(&mut self, hash: &str, routes: &[(&str, SocketAddr)]) -> Running {
        for (host, address) in routes {
            self.generator.route(host, *address);
        }
        self.offer(hash);
        let running = self.bench.start().await;
        let outcome = self.bench.outcome(hash).await;
        assert_eq!(outcome.state, OutcomeState::Live, "{outcome:?}");
        self.confirmed(hash, self.generator.revision()).await;
        running
    }

    /// Waits until all workers have confirmed a revision of a frame's table, and nothing is wrong.
    pub async fn confirmed(&self, frame: &str, revision: u64) -> TableOutcome {
        self.table_outcome(|outcome| {
            outcome.frame == frame && outcome.revision >= Some(revision) && outcome.message.is_empty()
        })
        .await
    }

    /// Waits for an outcome of the table.
    pub async fn table_outcome(&self, holds: impl Fn(&TableOutcome) -> bool) -> TableOutcome {
        let mut changes = self.bench.volume.watch();
        let wait = async {
            loop {
                if let Some(outcome) = self.bench.volume.table_outcome().unwrap().filter(&holds) {
                    return outcome;
                }
                changes.changed().await;
            }
        };
        let found = timeout(SOON, wait).await;
        found.unwrap_or_else(|_| panic!("the outcome stays {:?}", self.bench.volume.table_outcome()))
    }

    /// What a new connection gets for a host.
    pub async fn found(&self, host: &str) -> Found {
        let (address, host) = (self.routed, host.to_owned());
        blocking(move || found(address, &host)).await
    }

    /// The name of the backend that a host's new connection gets, or the status.
    pub async fn backend(&self, host: &str) -> Result<String, u16> {
        self.found(host).await.1
    }

    /// The workers that answer on the control socket, as far as asking many times finds them.
    pub async fn workers(&self) -> BTreeSet<i32> {
        let control = Control::new(&self.bench.settings.control);
        let mut pids = BTreeSet::new();
        for _ in 0..50 {
            pids.insert(control.table(SOON).await.unwrap().unwrap().pid);
        }
        pids
    }

    /// How many requests nginx has answered, on the control socket too.
    pub async fn requests(&self) -> u64 {
        let control = Control::new(&self.bench.settings.control);
        control.connection_counts(SOON).await.unwrap().unwrap().requests
    }

    /// Where a record of a frame's table is.
    pub fn record(&self, frame: &str, number: u64) -> PathBuf {
        self.bench.volume.dir().join("tables").join(frame).join(format!("{number:020}"))
    }

    /// The memory to which nginx's table leads.
    pub fn memory(&self) -> PathBuf {
        std::fs::read_link(self.bench.settings.runtime.join("table")).unwrap()
    }
}

/// What a new connection gets for a host.
pub fn found(address: SocketAddr, host: &str) -> Found {
    let answer = http::get(address, host, "/", "").unwrap();
    let backend = if answer.status == 200 { Ok(answer.header("Backend").to_owned()) } else { Err(answer.status) };
    (answer.header("Frame").to_owned(), backend)
}
