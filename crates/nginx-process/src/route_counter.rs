//! What workers count of requests, by route, and which routes are gone.
//!
//! The memory is this process's, and outlives nginx, its reloads and its workers. It is read when somebody asks for it; then, now and
//! again, routes are looked for that neither the table nor the configuration has any more.

use std::collections::HashSet;
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use route_table::{CountsSweep, RouteCounts, RouteTotals, Table};
use table_memory::{TableMemory, WritableTableMemory};

use crate::SupervisorSettings;
use crate::memory_link::MemoryLink;
use crate::random_key::random_key;
use crate::volume::read_main;

/// The link by which nginx finds the memory, in the runtime directory.
const LINK: &str = "counts";
/// How a configuration names the object of a location that is not the table's.
const NAMED: &str = "set $sparrow_route \"";

/// Reads what is counted. Clones share it.
#[derive(Clone)]
pub struct RouteCounter(Arc<Shared>);

struct Shared {
    counts: RouteCounts<WritableTableMemory>,
    /// The link to the memory of the table.
    table: PathBuf,
    volume: PathBuf,
    /// Between two sweeps.
    pause: Duration,
    sweeping: Mutex<Sweeping>,
}

#[derive(Default)]
struct Sweeping {
    sweep: CountsSweep,
    last: Option<Instant>,
    /// What the routes were of then.
    source: Option<Source>,
}

/// What routes are of: the revision of the configuration, and the memory of the table with what is published there.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Source {
    live: String,
    table: Option<(PathBuf, u64)>,
}

impl fmt::Debug for RouteCounter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RouteCounter").field(&self.0.counts).finish()
    }
}

impl RouteCounter {
    /// Makes the memory, and has nginx find it.
    ///
    /// # Errors
    /// There is no memory for it, or the link cannot be made.
    pub(crate) fn start(settings: &SupervisorSettings) -> Result<Self, String> {
        let most = settings.most_counted_routes;
        let bytes = RouteCounts::<WritableTableMemory>::bytes(most);
        let memory = WritableTableMemory::create(bytes).map_err(|error| error.to_string())?;
        let counts = RouteCounts::create(memory, most, random_key()?).map_err(|error| error.to_string())?;
        let link = MemoryLink::new(&settings.runtime, LINK);
        link.point_to(Some(counts.memory())).map_err(|error| error.to_string())?;
        Ok(Self(Arc::new(Shared {
            counts,
            table: settings.runtime.join("table"),
            volume: settings.volume.clone(),
            pause: settings.count_sweep_pause,
            sweeping: Mutex::default(),
        })))
    }

    /// What was counted so far, by route, with the configuration `live` in force. Blocks for as long as it takes to read the table.
    pub fn totals(&self, live: Option<&str>) -> Vec<RouteTotals> {
        if let Some(live) = live {
            self.0.sweep(live);
        }
        self.0.counts.read()
    }
}

impl Shared {
    fn sweeping(&self) -> MutexGuard<'_, Sweeping> {
        self.sweeping.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks for routes that are gone, if it is time and there is anything to find.
    fn sweep(&self, live: &str) {
        let mut sweeping = self.sweeping();
        if sweeping.last.is_some_and(|last| last.elapsed() < self.pause) {
            return;
        }
        sweeping.last = Some(Instant::now());
        let counted = CountsSweep::begin(&self.counts);
        let mut table = self.open_table();
        let source = Source {
            live: live.to_owned(),
            table: table.as_mut().map(|(path, table)| (path.clone(), table.revision().0)),
        };
        if sweeping.source.as_ref() == Some(&source) && !sweeping.sweep.is_due() {
            return;
        }
        // What cannot be read takes its slot from nobody.
        let of_table = match table.map(|(_, mut table)| table.origins()) {
            Some(Ok(origins)) => origins,
            Some(Err(_)) => return,
            None => HashSet::new(),
        };
        let Some(main) = read_main(&self.volume, live) else { return };
        let of_main: HashSet<&str> = named_in(&main).collect();
        sweeping.sweep.finish(&self.counts, counted, |name| of_table.contains(name) || of_main.contains(name));
        sweeping.source = Some(source);
    }

    /// The table that nginx finds; none if it has none.
    fn open_table(&self) -> Option<(PathBuf, Table<TableMemory>)> {
        let path = std::fs::read_link(&self.table).ok()?;
        Some((path.clone(), Table::open(TableMemory::open(&path).ok()?).ok()?))
    }
}

/// The objects that a configuration names.
fn named_in(main: &str) -> impl Iterator<Item = &str> {
    main.lines().filter_map(|line| line.trim_start().strip_prefix(NAMED)?.strip_suffix("\";"))
}

#[cfg(test)]
mod tests {
    use super::named_in;

    #[test]
    fn objects_are_those_that_locations_set() {
        let main = "server {\n  location / {\n    set $sparrow_route \"Ingress shop/web\";\n    set $other \"a\";\n  }\n\
                    # set $sparrow_route \"Ingress a/b\";\n set $sparrow_route \"Service a/c\";\n}";
        assert_eq!(named_in(main).collect::<Vec<_>>(), ["Ingress shop/web", "Service a/c"]);
    }
}
