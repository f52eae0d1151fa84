//! What workers count of requests, by route, and which routes are gone.
//!
//! The memory is this process's, and outlives nginx, its reloads and its workers. It is read when somebody asks for it; then, now and
//! again, routes are looked for that the table does not have any more.

use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use route_table::{CountsSweep, Revision, RouteCounts, RouteTotals, Table};
use table_memory::{TableMemory, WritableTableMemory};

use crate::SupervisorSettings;
use crate::memory_link::MemoryLink;
use crate::random_key::random_key;

/// The link by which nginx finds the memory, in the runtime directory.
const LINK: &str = "counts";

/// Reads what is counted. Clones share it.
#[derive(Clone)]
pub struct RouteCounter(Arc<Shared>);

struct Shared {
    counts: RouteCounts<WritableTableMemory>,
    /// The link to the memory of the table.
    table: PathBuf,
    /// Between two sweeps.
    pause: Duration,
    sweeping: Mutex<Sweeping>,
}

#[derive(Default)]
struct Sweeping {
    sweep: CountsSweep,
    last: Option<Instant>,
    /// The memory of the table then, and what was published there.
    source: Option<(PathBuf, Revision)>,
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
            pause: settings.count_sweep_pause,
            sweeping: Mutex::default(),
        })))
    }

    /// What was counted so far, by route. Blocks for as long as it takes to read the table.
    pub fn totals(&self) -> Vec<RouteTotals> {
        self.0.sweep();
        self.0.counts.read()
    }
}

impl Shared {
    fn sweeping(&self) -> MutexGuard<'_, Sweeping> {
        self.sweeping.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks for routes that are gone, if it is time and there is anything to find.
    fn sweep(&self) {
        let mut sweeping = self.sweeping();
        if sweeping.last.is_some_and(|last| last.elapsed() < self.pause) {
            return;
        }
        sweeping.last = Some(Instant::now());
        let counted = CountsSweep::begin(&self.counts);
        let Some((path, mut table)) = self.open_table() else { return };
        let source = (path, table.revision());
        if sweeping.source.as_ref() == Some(&source) && !sweeping.sweep.is_due() {
            return;
        }
        // What cannot be read takes its slot from nobody.
        let Ok(of_table) = table.origins() else { return };
        sweeping.sweep.finish(&self.counts, counted, |name| of_table.contains(name));
        sweeping.source = Some(source);
    }

    /// The table that nginx finds; none if it has none.
    fn open_table(&self) -> Option<(PathBuf, Table<TableMemory>)> {
        let path = std::fs::read_link(&self.table).ok()?;
        Some((path.clone(), Table::open(TableMemory::open(&path).ok()?).ok()?))
    }
}
