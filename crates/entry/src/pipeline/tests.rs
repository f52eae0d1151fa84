//! What comes at the same moment as something else.

use std::path::{Path, PathBuf};

use clap::Parser as _;
use entry_model::{Meta, Service, ServiceKind, ServicePort};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use super::*;
use crate::admin::Parts;
use crate::settings::Cli;

/// A snapshot with one exposed Service.
fn snapshot(port: u16) -> Arc<Snapshot> {
    let label = ("sparrow/expose".to_owned(), "true".to_owned());
    let meta = Meta { namespace: "a".into(), name: "b".into(), labels: [label].into(), ..Meta::default() };
    let ports = vec![ServicePort { name: String::new(), port, protocol: "TCP".into(), app_protocol: None }];
    let cluster_ips = vec![[127, 0, 0, 1].into()];
    let service = Service { meta, kind: ServiceKind::ClusterIp, cluster_ips, ports, addresses: Vec::new() };
    let mut snapshot = Snapshot::default();
    snapshot.put(service);
    Arc::new(snapshot)
}

/// A loop that writes to a volume in this directory.
fn pipeline(dir: &Path) -> (Pipeline, Told) {
    let settings = Cli::parse_from(["sparrow-entry", "run"]).settings;
    let maker = Maker::new(&settings, "nginx version: nginx/1.22.1").unwrap();
    Pipeline::new(maker, Volume::open(dir.join("volume")).unwrap())
}

/// Runs a test in a directory. What still writes into it when the test is over is waited for.
fn in_directory(test: impl AsyncFnOnce(PathBuf)) {
    let dir = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(test(dir.path().to_owned()));
    drop(runtime);
}

/// A loop that runs, and what it is given snapshots by.
fn start(dir: &Path) -> (watch::Sender<Option<Arc<Snapshot>>>, Told, Volume, JoinHandle<()>) {
    let (pipeline, told) = pipeline(dir);
    let volume = pipeline.volume.clone();
    let (sender, snapshots) = watch::channel(None);
    (sender, told, volume, tokio::spawn(pipeline.run(snapshots)))
}

#[test]
fn a_change_that_comes_with_nginxs_words_is_not_lost() {
    in_directory(async |dir| {
        let (sender, told, volume, _task) = start(&dir);
        let mut progress = told.progress.clone();
        for round in 1..=100_u16 {
            // A little later each time, so that some come while the outcome is read.
            sleep(Duration::from_micros(u64::from(round) * 30)).await;
            sender.send_replace(Some(snapshot(round)));
            let offered = progress.wait_for(|progress| progress.generations == u64::from(round));
            let progress = timeout(Duration::from_secs(10), offered).await;
            let hash = progress.unwrap_or_else(|_| panic!("change {round} is lost")).unwrap().offered.clone().unwrap();
            // As the supervisor does.
            let at = jiff::Timestamp::now();
            let outcome = serde_json::json!({ "hash": hash, "state": "live", "message": "", "at": at, "live": hash });
            std::fs::write(dir.join("beside"), outcome.to_string()).unwrap();
            std::fs::rename(dir.join("beside"), volume.dir().join("outcome")).unwrap();
            assert_eq!(volume.outcome().unwrap().unwrap().state, OutcomeState::Live);
        }
    });
}

#[test]
fn without_the_loop_it_is_not_healthy() {
    in_directory(async |dir| {
        let (sender, told, _, task) = start(&dir);
        let parts = Parts { told: Some(told), ..Parts::default() };
        assert!(parts.dead().is_none() && parts.unready().is_some());
        sender.send_replace(Some(snapshot(80)));
        let offered = async {
            while parts.unready().is_some() {
                sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(Duration::from_secs(20), offered).await.unwrap();
        assert_eq!(parts.dead(), None);
        task.abort();
        assert!(task.await.is_err());
        assert!(parts.dead().is_some_and(|reason| reason.contains("has ended")));
    });
}

#[test]
fn everything_is_looked_at_now_and_then_without_a_change() {
    in_directory(async |dir| {
        let (mut pipeline, mut told) = pipeline(&dir);
        // Longer than it takes until the loop looks for nginx's words, which must not put this off.
        pipeline.tick = Duration::from_secs(5);
        let (_sender, snapshots) = watch::channel(Some(snapshot(1)));
        let task = tokio::spawn(pipeline.run(snapshots));
        for _ in 0..2 {
            timeout(Duration::from_secs(60), told.judged.changed()).await.expect("it is judged again").unwrap();
        }
        task.abort();
    });
}
