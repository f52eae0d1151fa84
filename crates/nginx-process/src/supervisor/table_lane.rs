//! The lane of the table: records are published into the memory that nginx has, without a reload.
//!
//! ```text
//!             a record                  all workers have it
//!   in force ──────────► published ───────────────────────────► reported
//!      ▲                     │  the memory is full
//!      └──── reload ◄────────┘  (the whole table in a larger one)
//! ```
//!
//! A table belongs to its frame: another frame comes with a memory of its own, and both are in force by one reload. Workers of the
//! former frame keep the memory that they have mapped.

use std::io;
use std::time::Duration;

use tokio::time::Instant;

use super::backoff::Backoff;
use super::frame_table::{FrameTable, RecordCounts};
use super::table_confirmation::{Confirmed, TableConfirmation};
use super::table_report::TableReport;
use super::{Supervisor, TICK};
use crate::child::RevisionError;
use crate::control::Control;
use crate::memory_link::MemoryLink;
use crate::volume::TableDir;
use crate::{SupervisorSettings, Volume};

/// The wait before the table gets another memory again, after that came to nothing.
const RETRY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// The table in force, and what is known of it.
#[derive(Debug)]
pub(super) struct TableLane {
    link: MemoryLink,
    least_bytes: u64,
    in_force: Option<FrameTable>,
    /// The revision of the memory to which the link leads; none if there is no link.
    linked: Option<u64>,
    pub(super) confirmation: TableConfirmation,
    /// The newest revision that all workers have.
    confirmed: Option<u64>,
    /// Why workers do not confirm.
    overdue: Option<String>,
    /// Why it has no other memory, which it needs.
    not_renewed: Option<String>,
    report: TableReport,
    /// Not before this moment another memory is tried.
    renew_at: Instant,
    retry: Backoff,
    /// A frame whose table could not be read, and its oldest and newest record then.
    unread: Option<(String, [Option<u64>; 2])>,
}

impl TableLane {
    pub(super) fn new(settings: &SupervisorSettings) -> TableLane {
        TableLane {
            link: MemoryLink::new(&settings.runtime, "table"),
            least_bytes: settings.table_memory,
            in_force: None,
            linked: None,
            confirmation: TableConfirmation::default(),
            confirmed: None,
            overdue: None,
            not_renewed: None,
            report: TableReport::default(),
            renew_at: Instant::now(),
            retry: Backoff::new(RETRY.0, RETRY.1),
            unread: None,
        }
    }

    /// Reads the table of a frame that is to be tried; none if it has no table.
    pub(super) fn read(&mut self, volume: &Volume, frame: &str) -> Result<Option<FrameTable>, RevisionError> {
        let table = FrameTable::read(volume, frame, self.least_bytes);
        // Another record may mend it.
        self.unread = table.is_err().then(|| (frame.to_owned(), bounds_of_records(volume, frame)));
        table.map_err(|why| RevisionError::Unknown(format!("the route table of the revision cannot be used: {why}")))
    }

    /// Whether the table that could not be read has other records by now.
    pub(super) fn may_be_mended(&mut self, volume: &Volume) -> bool {
        let is_same = |(frame, bounds): &(String, _)| bounds_of_records(volume, frame) == *bounds;
        self.unread.take_if(|unread| !is_same(unread)).is_some()
    }

    /// Has nginx find the memory of this table when it reads its configuration, or none.
    pub(super) fn link(&mut self, table: Option<&FrameTable>) -> io::Result<()> {
        self.link.point_to(table.map(FrameTable::memory))?;
        self.linked = table.map(|table| table.revision().unwrap_or_default());
        Ok(())
    }

    /// Has nginx find the memory that is in force.
    pub(super) fn link_back(&mut self) {
        self.linked = self.in_force.as_ref().map(|table| table.revision().unwrap_or_default());
        if let Err(error) = self.link.point_to(self.in_force.as_ref().map(FrameTable::memory)) {
            tracing::error!(%error, "cannot point back to the memory of the last good route table");
        }
    }

    /// Whether a worker that answers now has the table that it was to read; why not.
    pub(super) async fn check(&self, control: &Control) -> Result<(), String> {
        let Some(linked) = self.linked else { return Ok(()) };
        match control.table(TICK).await {
            Ok(Some(answer)) if !answer.fault.is_empty() => Err(answer.fault),
            Ok(Some(answer)) if answer.revision < linked => {
                Err(format!("the route table has the revision {linked}, and workers have {}", answer.revision))
            }
            Ok(Some(_)) => Ok(()),
            Ok(None) => Err("the configuration does not answer GET /table, and it has a route table".to_owned()),
            Err(error) => Err(error.to_string()),
        }
    }

    /// This table is in force now, or none is: nginx has read its configuration with it.
    pub(super) fn put_in_force(&mut self, table: Option<FrameTable>) {
        self.confirmed = None;
        self.overdue = None;
        self.not_renewed = None;
        self.confirmation.begin(table.as_ref().and_then(FrameTable::revision));
        self.in_force = table;
        self.retry.reset();
        self.renew_at = Instant::now();
    }

    /// Has workers ask clients to close their connections, since nginx is about to end.
    pub(super) fn begin_drain(&self) {
        if let Some(table) = &self.in_force {
            table.begin_drain();
        }
    }

    /// Whether a table is in force.
    pub(super) fn is_active(&self) -> bool {
        self.in_force.is_some()
    }

    /// Opens the directory of the records of the table in force.
    pub(super) fn open(&mut self, volume: &Volume) {
        if let Some(table) = &mut self.in_force {
            table.open(volume);
        }
    }

    /// The directory of the records of the table in force, when it was opened last.
    pub(super) fn dir(&self) -> Option<&TableDir> {
        self.in_force.as_ref()?.dir()
    }

    /// Looks for records of the table in force that are new.
    pub(super) fn look(&mut self) {
        if let Some(table) = &mut self.in_force {
            table.look();
        }
    }

    /// Whether there are records to publish.
    pub(super) fn has_news(&self) -> bool {
        self.in_force.as_ref().is_some_and(FrameTable::has_news)
    }

    /// When the table may be made anew in another memory; none if it need not be.
    pub(super) fn renewal(&self) -> Option<Instant> {
        self.in_force.as_ref()?.spent().map(|_| self.renew_at)
    }

    /// Publishes what is new.
    fn publish(&mut self) -> RecordCounts {
        let Some(table) = &mut self.in_force else { return RecordCounts::default() };
        let before = table.revision();
        let counts = table.apply_new();
        match table.revision() {
            Some(revision) if counts.published > 0 && Some(revision) < before => {
                self.confirmation.begin(Some(revision));
            }
            Some(revision) if counts.published > 0 => self.confirmation.want(revision),
            _ => {}
        }
        self.linked = self.linked.and(table.revision());
        counts
    }

    /// Looks at what workers have confirmed. How many revisions are newly overdue: one or none.
    fn settle(&mut self) -> u64 {
        match self.confirmation.settle() {
            Some(Confirmed::Revision(revision)) => {
                self.confirmed = Some(revision);
                self.overdue = None;
                0
            }
            Some(Confirmed::Overdue(why)) => {
                tracing::error!("{why}");
                self.overdue = Some(why);
                1
            }
            None => 0,
        }
    }

    /// Why not all that was published is in force.
    fn message(&self) -> Option<&str> {
        let table = self.in_force.as_ref()?;
        table.fault().or(self.not_renewed.as_deref()).or(self.overdue.as_deref())
    }

    fn report(&mut self, volume: &Volume) {
        self.report.retry(volume);
        let Some(frame) = self.in_force.as_ref().map(|table| table.frame().to_owned()) else { return };
        // While workers are being asked, there is nothing to say yet.
        if self.confirmed.is_some() || self.message().is_some() {
            let message = self.message().map(str::to_owned);
            self.report.write(volume, &frame, self.confirmed, message.as_deref());
        }
    }
}

/// The oldest and the newest record of a frame's table.
fn bounds_of_records(volume: &Volume, frame: &str) -> [Option<u64>; 2] {
    let numbers = volume.table_dir(frame).ok().flatten().and_then(|dir| dir.numbers().ok()).unwrap_or_default();
    [numbers.first().copied(), numbers.last().copied()]
}

impl Supervisor {
    /// Publishes the records that are new, as many as there is time for. Whether there may be more.
    pub(super) fn publish(&mut self) -> bool {
        let counts = self.table_lane.publish();
        self.status.send_modify(|status| {
            status.table_publications += counts.published;
            status.table_failures += counts.failed;
        });
        if counts.failed > 0 {
            tracing::error!(
                "not all of the route table is in force: {}",
                self.table_lane.message().unwrap_or_default()
            );
        }
        counts.may_have_more
    }

    /// Reports how the table stands.
    pub(super) fn report_table(&mut self) {
        let overdue = if self.nginx.is_some() { self.table_lane.settle() } else { 0 };
        let (confirmed, message) = (self.table_lane.confirmed, self.table_lane.message());
        self.status.send_if_modified(|status| {
            let changed = overdue > 0 || status.table_revision != confirmed || status.table_error.as_deref() != message;
            if changed {
                status.table_failures += overdue;
                status.table_revision = confirmed;
                status.table_error = message.map(str::to_owned);
            }
            changed
        });
        self.table_lane.report(&self.volume);
    }

    /// Makes the table in force anew, in a larger memory that nginx takes with a reload of the same frame.
    pub(super) async fn renew_table(&mut self) {
        let Some(table) = &self.table_lane.in_force else { return };
        let (frame, used) = (table.frame().to_owned(), table.usage());
        let least = self.settings.table_memory.max(used.bytes as u64 * 2);
        tracing::warn!(
            frame,
            used_bytes = used.used_bytes,
            "the route table gets another memory: {}",
            table.spent().unwrap_or_default()
        );
        let renewed = match FrameTable::read(&self.volume, &frame, least) {
            Ok(Some(table)) => self.take_with_reload(&frame, table).await,
            Ok(None) => Err("the records of the route table are gone from the volume".to_owned()),
            Err(why) => Err(why),
        };
        if let Err(why) = renewed {
            let wait = self.table_lane.retry.take();
            self.table_lane.renew_at = Instant::now() + wait;
            self.status.send_modify(|status| status.table_failures += 1);
            tracing::error!(frame, ?wait, "the route table stays in the memory that it has: {why}");
            self.table_lane.not_renewed = Some(format!(
                "the memory of the route table is full, and nginx could not be given a larger one: {why}; what was published before stays in force"
            ));
        }
    }

    async fn take_with_reload(&mut self, frame: &str, table: FrameTable) -> Result<(), String> {
        self.table_lane.link(Some(&table)).map_err(|error| error.to_string())?;
        match self.reload(frame, true).await {
            Ok(()) => {
                self.table_lane.put_in_force(Some(table));
                Ok(())
            }
            Err(error) => {
                self.swap_back();
                let why = error.to_string();
                if !error.is_end() {
                    self.go_back(error.is_declined()).await.map_err(|error| format!("{why}; {error}"))?;
                }
                Err(why)
            }
        }
    }
}
