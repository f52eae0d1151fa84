//! A clock of the day that jumps, for one process and its children.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A library that moves the clock of the day by what a file says, in seconds; other clocks go on.
const SOURCE: &str = r#"
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>

static volatile long *moved;

__attribute__((constructor)) static void start(void) {
    int file = open(getenv("CLOCK_FILE"), O_RDONLY);
    void *at = mmap(0, sizeof(long), PROT_READ, MAP_SHARED, file, 0);
    if (file >= 0 && at != MAP_FAILED) moved = at;
}

int clock_gettime(clockid_t clock, struct timespec *now) {
    static int (*real)(clockid_t, struct timespec *);
    if (!real) real = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    int result = real(clock, now);
    if (!result && moved && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) now->tv_sec += *moved;
    return result;
}

int gettimeofday(struct timeval *now, void *zone) {
    (void)zone;
    struct timespec exact;
    int result = clock_gettime(CLOCK_REALTIME, &exact);
    now->tv_sec = exact.tv_sec;
    now->tv_usec = exact.tv_nsec / 1000;
    return result;
}

time_t time(time_t *into) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (into) *into = now.tv_sec;
    return now.tv_sec;
}
"#;

/// The clock of the processes that are started by it. A program that is linked statically does not notice.
pub struct Clock {
    file: PathBuf,
    words: [String; 3],
}

impl Clock {
    /// One that is right so far, with files in a directory that it makes.
    pub fn new(dir: &Path) -> Clock {
        fs::create_dir(dir).unwrap();
        let [source, library, file] = ["clock.c", "clock.so", "moved"].map(|name| dir.join(name));
        fs::write(&source, SOURCE).unwrap();
        let compiler = ["-shared", "-fPIC", "-o"];
        let output = Command::new("cc").args(compiler).args([&library, &source]).arg("-ldl").output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let set = |name: &str, value: &Path| format!("{name}={}", value.display());
        let words = ["env".to_owned(), set("LD_PRELOAD", &library), set("CLOCK_FILE", &file)];
        let clock = Clock { file, words };
        clock.jump(0);
        clock
    }

    /// What starts a program by this clock.
    pub fn by(&self) -> Vec<&str> {
        self.words.iter().map(String::as_str).collect()
    }

    /// From now on it is by so many seconds ahead.
    pub fn jump(&self, seconds: i64) {
        // In place: it is mapped.
        let mut file = File::options().write(true).create(true).truncate(false).open(&self.file).unwrap();
        file.write_all(&seconds.to_ne_bytes()).unwrap();
    }
}
