//! What becomes of offers, and of nginx.

use nginx_process::{OutcomeState, State};

use crate::bench::{Bench, both};

#[tokio::test]
async fn a_first_and_a_second_generation_go_live_and_nothing_is_left() {
    for nginx in both() {
        let bench = Bench::new(nginx);
        let mut running = bench.start().await;
        assert_eq!(running.handle.status().state, State::Waiting);
        bench.offer("one");
        let outcome = bench.outcome("one").await;
        assert_eq!((outcome.state, outcome.live.as_deref()), (OutcomeState::Live, Some("one")), "{outcome:?}");
        assert_eq!(bench.get().await.unwrap(), "one");
        bench.offer("two");
        assert_eq!(bench.outcome("two").await.state, OutcomeState::Live);
        assert_eq!(bench.get().await.unwrap(), "two");
        let status = running.until("running", |status| status.state == State::Running).await;
        assert_eq!((status.live.as_deref(), status.reloads), (Some("two"), 1));
        running.stop().await;
        assert!(bench.get().await.is_err(), "something still listens");
    }
}
