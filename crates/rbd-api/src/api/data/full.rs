//! Pools without space.
//!
//! A write to such a pool is not refused but waits until there is space (<https://docs.ceph.com/en/latest/rados/operations/health-checks/#pool-full>),
//! so the monitors are asked: before, and when a write does not come back.

use serde::Deserialize;

use crate::call::Call;
use crate::link::Connection;
use crate::problem::{Kind, Problem};
use crate::workers::within;

#[derive(Deserialize)]
struct Pool {
    pool_name: String,
    flags_names: String,
}

/// Says so if one of these pools takes no writes.
///
/// # Errors
/// `full`. Monitors that do not tell are no error: the write itself will be.
pub fn check<'a>(connection: &Connection, pools: impl IntoIterator<Item = Option<&'a str>>) -> Result<(), Problem> {
    let command = r#"{"prefix":"osd pool ls","detail":"detail","format":"json"}"#;
    let Ok(answer) = connection.cluster().monitor_command(command) else { return Ok(()) };
    let Ok(known) = serde_json::from_slice::<Vec<Pool>>(&answer) else { return Ok(()) };
    for pool in pools.into_iter().flatten() {
        let flags = known.iter().find(|known| known.pool_name == pool).map_or("", |known| &known.flags_names);
        let cause = if flags.split(',').any(|flag| flag == "full_quota") {
            "It has reached its quota."
        } else if flags.split(',').any(|flag| flag == "full") {
            "An OSD that it uses is full."
        } else {
            continue;
        };
        return Err(Problem::new(Kind::Full, format!("Pool {pool:?} takes no writes."))
            .cause(cause)
            .correction("Remove images with ?permanent=true, raise the quota, or add OSDs."));
    }
    Ok(())
}

/// The same problem, or that the pool is full if that is why Ceph did not answer.
pub async fn explain(call: &Call, problem: Problem) -> Problem {
    if problem.kind() != Kind::CephUnavailable {
        return problem;
    }
    let Ok(connection) = call.app.link.connection() else { return problem };
    let (pool, name, namespace) = (call.place().pool, call.param("image").to_owned(), call.place().namespace);
    // Its own short time: the request has had its own already.
    let deadline = within(call.app.deadline.min(std::time::Duration::from_secs(1)));
    let asked = call.app.workers.run("the cluster", deadline, move || {
        let io = connection.context(&pool, &namespace).ok();
        let data_pool =
            io.and_then(|io| crate::api::images::read_image(&connection, &io, &name, deadline).ok()?.data_pool);
        check(&connection, [Some(pool.as_str()), data_pool.as_deref()])
    });
    match asked.await {
        Err(full) if full.kind() == Kind::Full => full,
        _ => problem,
    }
}
