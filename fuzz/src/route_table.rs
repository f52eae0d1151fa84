//! Tables in memory, and the records that they are made of.
//!
//! Whatever is in them, a look-up ends, and is a route or an error; and what is read without an error was written by somebody.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use entry_model::{ListenerId, Scheme};
use route_table::{Changes, Fault, Handshake, NoHeaders, Request, Table, TableWriter, TlsClass};

/// Whether an input is well-formed.
type Target = fn(&[u8]) -> bool;

/// The functions of this module, by the names of their targets.
pub const TARGETS: &[(&str, Target)] = &[("route_table", table), ("route_changes", changes)];

/// Where the part of a memory begins that is not its header.
pub const BODY: usize = 8;
/// Words of the memory.
pub const WORDS: usize = 2048;

fn empty() -> TableWriter<Arc<[AtomicU64]>> {
    let memory: Arc<[AtomicU64]> = (0..WORDS).map(|_| AtomicU64::new(0)).collect();
    TableWriter::create(memory, [3, 5]).expect("the memory is large enough")
}

/// Asks for what the seeds have, and for what they have not. Only what one key says of another may be wrong of a table that is whole.
fn ask(table: &mut Table<Arc<[AtomicU64]>>, is_whole: bool) {
    for host in ["a.example", "b.a.example", "c.b.a.example", "", "host-1.example", "x"] {
        for path in ["/", "/a", "/a/b/c", "/a/", "", "*"] {
            for (listener, scheme) in [(0, Scheme::Http), (1, Scheme::Https), (255, Scheme::Http)] {
                let request = Request {
                    listener: ListenerId(listener),
                    scheme,
                    connection: scheme,
                    server_name: b"b.a.example",
                    tls_class: TlsClass::default(),
                    method: b"GET",
                    host: host.as_bytes(),
                    path: path.as_bytes(),
                    query: b"p=1",
                    headers: &NoHeaders,
                    chance: u64::MAX / 3,
                };
                let found = table.find(&request);
                let is_left_out = matches!(found, Err(Fault::NoBackend | Fault::NoRules | Fault::NotCarried));
                assert!(!is_whole || found.is_ok() || is_left_out, "{found:?}");
                assert!(found != Err(Fault::Busy), "nobody writes");
            }
        }
        let handshake = table.find_handshake(1, host.as_bytes());
        assert!(!is_whole || handshake.is_ok(), "{handshake:?}");
        if let Ok(Handshake::Certificate { id, .. }) = handshake {
            let certificate = table.certificate(id.as_bytes());
            assert!(!is_whole || certificate.is_ok() || certificate == Err(Fault::NoCertificate), "{certificate:?}");
        }
    }
}

/// A memory behind its header. Well-formed if all of it can be read.
pub fn table(data: &[u8]) -> bool {
    let memory = Arc::clone(empty().memory());
    for (word, bytes) in memory[BODY..].iter().zip(data.chunks_exact(8)) {
        let value = bytes.iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte));
        word.store(value, Ordering::Relaxed);
    }
    let Ok(mut table) = Table::open_with_cache(memory, 64) else { return false };
    let is_whole = table.check().is_ok();
    ask(&mut table, is_whole);
    is_whole
}

/// The body of a record of changes. Well-formed if it can be read; what can be read can be applied and found.
pub fn changes(data: &[u8]) -> bool {
    let _ = Changes::decode(data);
    let record = Changes::seal(data);
    let Ok((changes, len)) = Changes::decode(&record) else { return false };
    assert_eq!((len, changes.encode()), (record.len(), record));
    let mut writer = empty();
    if writer.apply(&changes).is_ok() {
        let mut table = Table::open_with_cache(Arc::clone(writer.memory()), 64).expect("a table");
        assert_eq!(table.revision(), changes.revision);
        table.check().expect("what was written can be read");
        ask(&mut table, true);
    }
    true
}
