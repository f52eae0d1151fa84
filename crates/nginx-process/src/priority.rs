//! Who comes first where processors are scarce: nginx, then what makes its configuration.
//!
//! A thread passes its niceness on to what it starts, and without privileges none takes it back. So what starts nginx is a thread
//! that keeps the niceness that the process had (setpriority(2), sched(7)); and what nginx waits for is started by it too.

use std::io;
use std::sync::OnceLock;
use std::sync::mpsc::{Sender, channel};
use std::thread;
use std::time::Duration;

use tokio::process::{Child, Command};
use tokio::runtime::Handle;

/// How much nicer than nginx all that is started later is: beside a worker that is never idle, it gets a tenth of its processor.
const NICENESS: i32 = 10;
/// How long it asks to run at a time, longer than nginx: so a worker that has a request takes its processor at once.
const SLICE: Duration = Duration::from_millis(20);

type Job = Box<dyn FnOnce() + Send>;

/// The thread that keeps the niceness.
static FIRST: OnceLock<Sender<Job>> = OnceLock::new();

/// Has nginx, which is started later, come before the calling thread and all threads that are started by it. To be called once, before any
/// other thread is started.
///
/// # Errors
/// No thread can be started, or the system refuses: the priority is as before.
pub fn yield_to_nginx() -> io::Result<()> {
    let (sender, jobs) = channel::<Job>();
    thread::Builder::new().name("nginx-starter".to_owned()).spawn(move || jobs.into_iter().for_each(|job| job()))?;
    let niceness = rustix::process::nice(NICENESS)?;
    // Without it, nginx waits until what runs beside it has had its slice.
    if let Err(error) = time_slice::set(SLICE, niceness) {
        tracing::debug!(%error, "no long slices can be had");
    }
    // If it was called before, its thread is the first still.
    let _ = FIRST.set(sender);
    Ok(())
}

/// Does what takes no time with the niceness of before.
fn at_first_niceness<T: Send + 'static>(job: impl FnOnce() -> T + Send + 'static) -> io::Result<T> {
    let Some(first) = FIRST.get() else { return Ok(job()) };
    let (sender, done) = channel();
    let gone = || io::Error::other("the thread that starts nginx has ended");
    first.send(Box::new(move || drop(sender.send(job())))).map_err(|_| gone())?;
    done.recv().map_err(|_| gone())
}

/// Starts a command with the niceness of before.
pub(crate) fn start_first(mut command: Command) -> io::Result<Child> {
    let runtime = Handle::current();
    at_first_niceness(move || {
        let _runtime = runtime.enter();
        command.spawn()
    })?
}

/// Starts a thread with the niceness of before.
pub(crate) fn spawn_first(name: &'static str, job: impl FnOnce() + Send + 'static) -> io::Result<()> {
    at_first_niceness(move || thread::Builder::new().name(name.to_owned()).spawn(job))?.map(drop)
}
