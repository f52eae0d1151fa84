//! How long a thread asks to run at a time (`sched_setattr(2)`).
//!
//! Linux gives a processor to the thread whose slice is to end first, and a thread that wakes up takes it at once only from one with a
//! longer slice; from any other it takes it when that one's slice has ended. So what asks for long slices makes way at once
//! (<https://docs.kernel.org/scheduler/sched-eevdf.html>).

use std::io;
use std::time::Duration;

/// Has the calling thread, and all that it starts later, threads and processes, ask to run so long at a time: 0.1 to 100 ms, and what is
/// out of these bounds counts as the nearer one. Its niceness becomes this one. Linux before 6.12 keeps to its own slices.
///
/// # Errors
/// The system refuses: a greater priority than the thread has, or a filter of system calls. All is as before.
pub fn set(slice: Duration, niceness: i32) -> io::Result<()> {
    let wanted = libc::sched_attr {
        size: size_of::<libc::sched_attr>().try_into().unwrap_or(u32::MAX),
        sched_policy: libc::SCHED_OTHER.unsigned_abs(),
        sched_flags: 0,
        sched_nice: niceness,
        sched_priority: 0,
        sched_runtime: slice.as_nanos().try_into().unwrap_or(u64::MAX),
        sched_deadline: 0,
        sched_period: 0,
    };
    let (of_caller, flags): (libc::pid_t, libc::c_uint) = (0, 0);
    // SAFETY: the system reads so many bytes as `size` says, which are those of `wanted`, and keeps none of them.
    match unsafe { libc::syscall(libc::SYS_sched_setattr, of_caller, &raw const wanted, flags) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests {
    use std::fs::read_to_string;
    use std::thread;
    use std::time::Duration;

    /// What the system tells of the calling thread under this name in `/proc/thread-self/sched`; none if it tells nothing.
    fn told(name: &str) -> Option<u64> {
        let told = read_to_string("/proc/thread-self/sched").ok()?;
        told.lines().find(|line| line.starts_with(name))?.rsplit(':').next()?.trim().parse().ok()
    }

    /// The niceness of the calling thread: `proc_pid_stat(5)`.
    fn niceness() -> i32 {
        let stat = read_to_string("/proc/thread-self/stat").unwrap();
        stat.rsplit(')').next().unwrap().split_whitespace().nth(16).unwrap().parse().unwrap()
    }

    #[test]
    fn slice_and_niceness_are_those_of_what_is_started_later() {
        let all = |slice: u64| {
            assert_eq!(niceness(), 10);
            // Linux tells of it since it has it.
            assert!(told("se.slice").is_none_or(|told| told == slice), "{:?}", told("se.slice"));
        };
        thread::spawn(move || {
            super::set(Duration::from_millis(20), 10).unwrap();
            all(20_000_000);
            thread::spawn(move || all(20_000_000)).join().unwrap();
            super::set(Duration::from_secs(20), 10).unwrap();
            all(100_000_000);
        })
        .join()
        .unwrap();
    }

    #[test]
    fn niceness_out_of_bounds_is_the_nearest_one() {
        thread::spawn(|| {
            super::set(Duration::from_millis(20), 1_000).unwrap();
            assert_eq!(niceness(), 19);
        })
        .join()
        .unwrap();
    }
}
