//! A supervisor that starts on what another has left.

use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;

use nginx_process::OutcomeState;

use crate::bench::{Bench, both};

#[tokio::test]
async fn live_revision_is_served_after_a_restart() {
    for nginx in both() {
        let bench = Bench::new(nginx);
        let running = bench.start_on("one").await;
        running.stop().await;
        let mut running = bench.start().await;
        running.until("one", |status| status.live.as_deref() == Some("one")).await;
        assert_eq!(bench.get().await.unwrap(), "one");
        running.stop().await;
    }
}

#[tokio::test]
async fn live_revision_is_served_when_the_next_offer_is_rejected() {
    for nginx in both() {
        let bench = Bench::new(nginx);
        let running = bench.start_on("one").await;
        running.stop().await;
        bench.volume.offer("bad", &bench.files("bad", "no_such_directive on;", ""), None).unwrap();
        let mut running = bench.start().await;
        running.until("one", |status| status.live.as_deref() == Some("one")).await;
        assert_eq!(bench.get().await.unwrap(), "one");
        let outcome = bench.outcome("bad").await;
        assert_eq!(outcome.state, OutcomeState::Refused);
        bench.offer("two");
        assert_eq!(bench.outcome("two").await.state, OutcomeState::Live);
        running.stop().await;
    }
}

#[tokio::test]
async fn damaged_files_on_the_volume_are_replaced() {
    for nginx in both() {
        let bench = Bench::new(nginx);
        bench.offer("one");
        let volume = bench.volume.dir();
        fs::write(volume.join("outcome"), "{").unwrap();
        symlink("generations/missing", volume.join("live")).unwrap();
        fs::create_dir_all(&bench.settings.runtime).unwrap();
        fs::write(bench.settings.runtime.join("nginx.group"), "x").unwrap();
        fs::write(bench.settings.runtime.join("nginx.pid"), "1\n").unwrap();
        // A socket without anybody behind it, as a killed nginx leaves it.
        drop(UnixListener::bind(&bench.settings.control).unwrap());
        let mut running = bench.start().await;
        running.until("one", |status| status.live.as_deref() == Some("one")).await;
        assert_eq!(bench.get().await.unwrap(), "one");
        running.stop().await;
    }
}
