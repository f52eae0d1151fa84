//! The table by which nginx routes.

use std::cell::RefCell;
use std::os::unix::fs::symlink;
use std::rc::Rc;

use entry::table_plan::TablePlan;
use entry_model::Routes;
use nginx_conf::{Revision, Settings};
use route_table::TableWriter;
use table_memory::WritableTableMemory;

/// The table of an nginx that runs, in memory that is there as long as this.
#[derive(Debug, Clone)]
pub struct RunningTable(Rc<RefCell<Published>>);

/// A table, and what it was planned by.
#[derive(Debug)]
struct Published {
    writer: TableWriter<WritableTableMemory>,
    plan: TablePlan,
    settings: Settings,
    frame: String,
}

impl RunningTable {
    /// Publishes the table of other routes for the same frame: nginx is not told.
    ///
    /// # Panics
    /// They need another frame.
    pub fn publish(&self, routes: &Routes) {
        let Published { writer, plan, settings, frame } = &mut *self.0.borrow_mut();
        plan.plan(routes, settings);
        let rendered = nginx_conf::render(routes, plan.needs(), settings);
        assert_eq!(rendered.hash, *frame, "{}", String::from_utf8_lossy(&rendered.files["nginx.conf"]));
        writer.apply(&plan.publication().unwrap()).unwrap();
        plan.note_published(plan.revision());
    }
}

/// The frame of these routes, whose table is where the frame expects it.
pub fn render(routes: &Routes, settings: &Settings) -> (Revision, RunningTable) {
    let mut plan = TablePlan::default();
    plan.plan(routes, settings);
    let frame = nginx_conf::render(routes, plan.needs(), settings);
    let memory = WritableTableMemory::create(64 << 20).unwrap();
    symlink(memory.path(), settings.runtime.join("table")).unwrap();
    let mut writer = TableWriter::create(memory, [1, 2]).unwrap();
    writer.apply(&plan.whole()).unwrap();
    plan.note_published(plan.revision());
    let published = Published { writer, plan, settings: settings.clone(), frame: frame.hash.clone() };
    (frame, RunningTable(Rc::new(RefCell::new(published))))
}
