//! The layout that is tested: a frame, and a table by which the module routes.

use std::cell::RefCell;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::rc::Rc;

use entry::table_plan::TablePlan;
use entry_model::Routes;
use nginx_conf::{Revision, Settings};
use route_table::TableWriter;
use table_memory::WritableTableMemory;

/// What there must be beside the files while nginx runs: the memory of the table.
#[derive(Debug, Clone)]
pub struct Beside(Rc<RefCell<Published>>);

/// A table, and what it was planned by.
#[derive(Debug)]
struct Published {
    writer: TableWriter<WritableTableMemory>,
    plan: TablePlan,
    settings: Settings,
    frame: String,
}

impl Beside {
    /// Publishes the table of other routes for the same frame: nginx is not told.
    ///
    /// # Panics
    /// They need another frame.
    pub fn publish(&self, routes: &Routes) {
        let Published { writer, plan, settings, frame } = &mut *self.0.borrow_mut();
        let left = plan.plan(routes, settings);
        let rendered = nginx_conf::render_frame(routes, &left, plan.needs(), settings);
        assert_eq!(rendered.hash, *frame, "{}", String::from_utf8_lossy(&rendered.files["nginx.conf"]));
        writer.apply(&plan.publication().unwrap()).unwrap();
        plan.note_published(plan.revision());
    }
}

/// Whether rules are tried in the order that they have, whatever their precedence is.
pub const TRIES_RULES_IN_ANY_ORDER: bool = false;

/// What a request is answered for a host with another certificate than the one for which its connection was opened.
pub const OTHER_CERTIFICATE: &str = "HTTP/1.1 421";

/// Whether a prefix is taken off the path of a request over HTTP/2, though a client has sent it in another form.
pub const STRIPS_ANY_FORM_FOR_GRPC: bool = true;

/// Whether a password that was right is remembered, and its hash not computed again.
pub const REMEMBERS_PASSWORDS: bool = true;

/// Whether a target is escaped for a URL whatever is in it, and not only if little is.
pub const ESCAPES_ANY_TARGET: bool = true;

/// Whether Debian's nginx, too, finds each of several cookies of an answer.
pub const FINDS_EACH_COOKIE: bool = true;

/// Whether a header that was sent empty is one that was sent.
pub const KNOWS_EMPTY_HEADERS: bool = true;

/// Whether patterns are run by an engine that goes back and tries again, and gives up when that takes too long.
pub const TRIES_PATTERNS_AGAIN: bool = false;

/// Whether an endpoint may be in several subsets.
pub const SUBSETS_OVERLAP: bool = true;

/// Whether a session of TLS is taken up at its own host, and at no other, whatever the nginx is.
pub const KEEPS_SESSIONS_BY_HOST: bool = true;

/// The nginx that can serve it: the one for which the module is built.
pub fn programs() -> Vec<PathBuf> {
    vec![testbed::nginx::debian()]
}

/// The frame of these routes, whose table is where the frame expects it.
pub fn render(routes: &Routes, settings: &Settings) -> (Revision, Beside) {
    let settings = Settings { module: Some(testbed::nginx::module()), ..settings.clone() };
    let mut plan = TablePlan::default();
    let left = plan.plan(routes, &settings);
    let frame = nginx_conf::render_frame(routes, &left, plan.needs(), &settings);
    let memory = WritableTableMemory::create(64 << 20).unwrap();
    symlink(memory.path(), settings.runtime.join("table")).unwrap();
    let mut writer = TableWriter::create(memory, [1, 2]).unwrap();
    writer.apply(&plan.whole()).unwrap();
    plan.note_published(plan.revision());
    let published = Published { writer, plan, settings, frame: frame.hash.clone() };
    (frame, Beside(Rc::new(RefCell::new(published))))
}
