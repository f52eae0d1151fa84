//! Callers at two replicas want the same name at once: each is told what became of its own request.

use std::sync::Barrier;

use serde_json::{Value, json};
use testbed::ceph::Ceph;
use testbed::service::{Answer, ApiClient, RbdService};

use crate::support::{images, new_image, patient, pool, shared};

/// How often it is tried: two callers need not meet at the first time.
const ROUNDS: usize = 12;
/// Callers at each of the two replicas.
const CALLERS: usize = 3;

/// Two replicas, and a pool.
struct Bench {
    ceph: &'static Ceph,
    pool: String,
    replicas: [RbdService; 2],
}

impl Bench {
    fn new() -> Self {
        let ceph = shared();
        Self { ceph, pool: pool(ceph), replicas: [patient(ceph), patient(ceph)] }
    }

    fn client(&self) -> &ApiClient {
        &self.replicas[0].client
    }

    fn make(&self, image: &str) {
        self.client().post(&images(&self.pool), &new_image(image)).unwrap().expect(201);
    }

    fn get(&self, path: &str) -> Value {
        self.client().get(path).unwrap().expect(200).json()
    }

    /// What all callers are answered who ask at once, each by its number.
    fn at_once(&self, ask: impl Fn(&ApiClient, usize) -> Answer + Sync) -> Vec<Answer> {
        let barrier = Barrier::new(2 * CALLERS);
        std::thread::scope(|scope| {
            let callers: Vec<_> = (0..2 * CALLERS)
                .map(|caller| {
                    let (barrier, ask, client) = (&barrier, &ask, &self.replicas[caller % 2].client);
                    scope.spawn(move || {
                        barrier.wait();
                        ask(client, caller)
                    })
                })
                .collect();
            callers.into_iter().map(|caller| caller.join().unwrap()).collect()
        })
    }

    /// The names that librbd finds an image by: those of the objects that lead from a name to an id.
    fn names(&self) -> Vec<String> {
        let objects = self.ceph.rados(&["-p", &self.pool, "ls"]).unwrap();
        let mut names: Vec<_> = objects.lines().filter_map(|line| line.strip_prefix("rbd_id.")).collect();
        names.sort_unstable();
        names.into_iter().map(str::to_owned).collect()
    }
}

/// The one answer of this status; all others are of one of these statuses and problems.
fn only_one<'a>(answers: &'a [Answer], status: u16, others: &[(u16, &str)]) -> &'a Answer {
    let (won, lost): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer.status == status);
    for answer in &lost {
        assert!(others.contains(&(answer.status, &answer.problem())), "{} {}", answer.status, answer.text());
    }
    let told: Vec<_> = answers.iter().map(|answer| (answer.status, answer.text())).collect();
    assert_eq!(won.len(), 1, "{told:?}");
    won[0]
}

#[test]
fn snapshot_is_made_by_one_of_all_who_take_it_at_two_replicas() {
    let bench = Bench::new();
    bench.make("a");
    let path = format!("{}/a/snapshots", images(&bench.pool));
    for round in 0..ROUNDS {
        let name = format!("s{round}");
        let answers = bench.at_once(|client, _| client.post(&path, &json!({ "name": name })).unwrap());
        let won = only_one(&answers, 201, &[(409, "exists")]).json();
        assert_eq!(bench.get(&format!("{path}/{name}"))["id"], won["id"]);
        // Who may repeat the call hears the same, and which of them made it.
        let name = format!("p{round}");
        let answers = bench.at_once(|client, _| client.send("PUT", &format!("{path}/{name}"), &[], &[]).unwrap());
        let won = only_one(&answers, 201, &[(200, "")]).json();
        assert!(answers.iter().all(|answer| answer.json()["id"] == won["id"]), "{won}");
    }
    assert_eq!(bench.get(&path)["Items"].as_array().unwrap().len(), 2 * ROUNDS);
}

#[test]
fn snapshot_gets_one_of_the_names_that_callers_at_two_replicas_give_it() {
    let bench = Bench::new();
    bench.make("a");
    let path = format!("{}/a/snapshots", images(&bench.pool));
    for round in 0..ROUNDS {
        let from = format!("s{round}");
        bench.client().post(&path, &json!({ "name": from })).unwrap().expect(201);
        let rename = format!("{path}/{from}/rename");
        let answers = bench
            .at_once(|client, caller| client.post(&rename, &json!({ "name": format!("{from}-{caller}") })).unwrap());
        let won = only_one(&answers, 200, &[(404, "snapshot-not-found")]).json();
        let list = bench.get(&path);
        let last = list["Items"].as_array().unwrap().last().unwrap();
        assert_eq!((&last["name"], &last["id"]), (&won["name"], &won["id"]), "{list}");
    }
}

#[test]
fn image_gets_one_of_the_names_that_callers_at_two_replicas_give_it() {
    let bench = Bench::new();
    let path = images(&bench.pool);
    let mut names = Vec::new();
    for round in 0..ROUNDS {
        let from = format!("i{round:02}");
        bench.make(&from);
        let rename = format!("{path}/{from}/rename");
        let answers = bench
            .at_once(|client, caller| client.post(&rename, &json!({ "name": format!("{from}-{caller}") })).unwrap());
        let won = only_one(&answers, 200, &[(404, "image-not-found")]).json();
        names.push(won["name"].as_str().unwrap().to_owned());
        // No name is left that leads to an image and that nothing lists.
        assert_eq!(bench.names(), names);
    }
    let listed = bench.ceph.rbd(&["ls", &bench.pool]).unwrap();
    assert_eq!(listed.lines().collect::<Vec<_>>(), names);
}

#[test]
fn retention_is_the_one_that_the_caller_was_told_who_trashed_the_image() {
    let bench = Bench::new();
    let path = images(&bench.pool);
    for round in 0..ROUNDS {
        let name = format!("i{round}");
        bench.make(&name);
        let answers =
            bench.at_once(|client, caller| client.delete(&format!("{path}/{name}?retention={}h", caller + 1)).unwrap());
        let won = only_one(&answers, 200, &[(404, "image-not-found"), (409, "in-use")]).json();
        let trashed = bench.get(&format!("/api/v1/pools/{}/trash/{}", bench.pool, won["id"].as_str().unwrap()));
        // The one is of whole seconds.
        let seconds = |value: &Value| value.as_str().unwrap()[.."2026-01-01T00:00:".len()].to_owned();
        assert_eq!(seconds(&trashed["expiresAt"]), seconds(&won["expiresAt"]), "{won} {trashed}");
    }
}

#[test]
fn image_is_restored_under_the_name_of_one_of_all_who_restore_it_at_two_replicas() {
    let bench = Bench::new();
    let path = images(&bench.pool);
    let mut names = Vec::new();
    for round in 0..ROUNDS {
        let name = format!("i{round:02}");
        bench.make(&name);
        let trashed = bench.client().delete(&format!("{path}/{name}")).unwrap().expect(200).json();
        let restore = format!("/api/v1/pools/{}/trash/{}/restore", bench.pool, trashed["id"].as_str().unwrap());
        let answers = bench
            .at_once(|client, caller| client.post(&restore, &json!({ "name": format!("{name}-{caller}") })).unwrap());
        let won = only_one(&answers, 200, &[(404, "trash-not-found"), (409, "conflict")]).json();
        names.push(won["name"].as_str().unwrap().to_owned());
        assert_eq!(bench.names(), names);
    }
    let listed = bench.ceph.rbd(&["ls", &bench.pool]).unwrap();
    assert_eq!(listed.lines().collect::<Vec<_>>(), names);
}
