//! The loop, beside a supervisor that is played by the test.

use std::path::{Path, PathBuf};

use entry_model::{IpFamily, Meta, Service, ServiceKind, ServicePort};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use super::*;
use crate::admin_state::AdminState;
use crate::flags::{self, Command};

/// A snapshot with one exposed Service.
fn snapshot(port: u16) -> Arc<Snapshot> {
    let label = ("sparrow/expose".to_owned(), "true".to_owned());
    let meta = Meta { namespace: "a".into(), name: "b".into(), labels: [label].into(), ..Meta::default() };
    let ports = vec![ServicePort { name: String::new(), port, protocol: "TCP".into(), app_protocol: None }];
    let cluster_ips = vec![[127, 0, 0, 1].into()];
    let service =
        Service { meta, kind: ServiceKind::ClusterIp, cluster_ips, family: IpFamily::V4, ports, addresses: Vec::new() };
    let mut snapshot = Snapshot::default();
    snapshot.put(service);
    Arc::new(snapshot)
}

/// A loop that writes to a volume in this directory.
fn pipeline(dir: &Path) -> (Pipeline, PipelineStatus) {
    let Ok(Command::Generate(flags)) = flags::parse(["sparrow-entry", "generate"]).map(|cli| cli.command) else {
        panic!()
    };
    let generator = Generator::new(&flags, "nginx version: nginx/1.22.1").unwrap();
    Pipeline::new(generator, Volume::open(dir.join("volume")).unwrap())
}

/// Runs a test in a directory. What still writes into it when the test is over is waited for.
fn in_directory(test: impl AsyncFnOnce(PathBuf)) {
    let dir = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(test(dir.path().to_owned()));
    drop(runtime);
}

/// A loop that runs, and what it is given snapshots by.
fn start(dir: &Path) -> (watch::Sender<Option<Arc<Snapshot>>>, PipelineStatus, Volume, JoinHandle<()>) {
    let (pipeline, status) = pipeline(dir);
    let volume = pipeline.volume.clone();
    let (sender, snapshots) = watch::channel(None);
    (sender, status, volume, tokio::spawn(pipeline.run(snapshots)))
}

#[test]
fn change_that_comes_with_an_outcome_is_offered() {
    in_directory(async |dir| {
        let (sender, status, volume, _task) = start(&dir);
        let mut progress = status.progress.clone();
        for round in 1..=100_u16 {
            // A little later each time, so that some come while the outcome is read.
            sleep(Duration::from_micros(u64::from(round) * 30)).await;
            sender.send_replace(Some(snapshot(round)));
            let offered = progress.wait_for(|progress| progress.revisions == u64::from(round));
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
fn health_fails_when_the_loop_has_ended() {
    in_directory(async |dir| {
        let (sender, status, _, task) = start(&dir);
        let state = AdminState { pipeline: Some(status), ..AdminState::default() };
        assert!(state.why_dead().is_none() && state.why_not_ready().is_some());
        sender.send_replace(Some(snapshot(80)));
        let offered = async {
            while state.why_not_ready().is_some() {
                sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(Duration::from_secs(20), offered).await.unwrap();
        assert_eq!(state.why_dead(), None);
        task.abort();
        assert!(task.await.is_err());
        assert!(state.why_dead().is_some_and(|reason| reason.contains("has ended")));
    });
}

#[test]
fn objects_are_judged_again_without_a_change() {
    in_directory(async |dir| {
        let (mut pipeline, mut status) = pipeline(&dir);
        // Longer than it takes until the loop looks for an outcome, which must not put this off.
        pipeline.tick = Duration::from_secs(5);
        let (_sender, snapshots) = watch::channel(Some(snapshot(1)));
        let task = tokio::spawn(pipeline.run(snapshots));
        for _ in 0..2 {
            timeout(Duration::from_secs(60), status.judged.changed()).await.expect("it is judged again").unwrap();
        }
        task.abort();
    });
}
