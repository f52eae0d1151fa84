//! Workers of nginx.

use super::connections::set;
use super::{ConfigKey, read, unchanged};
use crate::config_map::key_context::{KeyContext, Remark};
use crate::config_map::shared_settings::SharedSettings;
use crate::config_map::values::small_number;

const LARGE_ENOUGH: &str = "nginx's tables are as large as the routes need";

pub const KEYS: &[ConfigKey] = &[
    read("worker-processes", processes, "Number of workers, or `auto`. As `--workers`"),
    read(
        "max-worker-connections",
        set!(|text| small_number(text, 16, 1_000_000), |s, number| s.nginx.worker_connections = number),
        "Connections of a worker, those to backends included. As `--worker-connections`",
    ),
    unchanged("max-worker-open-files", "It follows from the number of connections"),
    unchanged("worker-cpu-affinity", "The system chooses the core of each worker"),
    unchanged("enable-multi-accept", "It is nginx's own choice"),
    unchanged("enable-aio-write", "Nothing is written to a disk"),
    unchanged("reuse-port", "Workers share their sockets"),
    unchanged("enable-serial-reloads", "Changes are put in force one after the other"),
    unchanged("map-hash-bucket-size", LARGE_ENOUGH),
    unchanged("server-name-hash-bucket-size", LARGE_ENOUGH),
    unchanged("server-name-hash-max-size", LARGE_ENOUGH),
    unchanged("variables-hash-bucket-size", LARGE_ENOUGH),
    unchanged("variables-hash-max-size", LARGE_ENOUGH),
];

fn processes(settings: &mut SharedSettings, context: &KeyContext<'_>) -> Result<Remark, String> {
    let number = if context.value == "auto" { None } else { Some(small_number(context.value, 1, 1024)?) };
    settings.nginx.worker_processes = number.and_then(|number| u16::try_from(number).ok());
    Ok(Remark::None)
}
