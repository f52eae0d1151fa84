//! What `shim/sparrow.h` declares: functions that C calls, over plain values.
//!
//! A panic must not reach C: it is caught here, ends the request and is reported.

mod choice;
mod counts;
mod handshake;
mod passwords;

use std::ffi::{CStr, OsStr, c_char, c_int, c_void};
use std::io::Write as _;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::ffi::OsStrExt as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::ptr::{self, NonNull};
use std::slice;

use entry_model::{ListenerId, Scheme};
use route_table::{Headers, Request, Table, TlsClass};
use table_memory::TableMemory;

use self::handshake::LastHandshake;
use crate::balancer::{MAX_TRIES, Tries};
use crate::host::{is_host, port};
use crate::router::{Decision, RoutedRequest, Router, Texts};

/// What is answered when there is a fault in this module.
const INTERNAL_SERVER_ERROR: u16 = 500;

/// `SPARROW_TLS_CLASS_LEN`.
const TLS_CLASS_LEN: usize = 16;

/// `sparrow_bytes_t`.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
struct Bytes {
    data: *const u8,
    len: usize,
}

/// `sparrow_request_t`.
#[repr(C)]
#[derive(Debug)]
struct RequestOfC {
    request: *mut c_void,
    method: Bytes,
    host: Bytes,
    path: Bytes,
    query: Bytes,
    target: Bytes,
    server_name: Bytes,
    chance: u64,
    http_port: u16,
    https_port: u16,
    listener: u8,
    https: u8,
    tls: u8,
    tls_class: [u8; TLS_CLASS_LEN],
}

/// `sparrow_endpoint_t`.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
struct EndpointOfC {
    /// In the network's order, of which version 4 uses the first four bytes.
    address: [u8; 16],
    port: u16,
    /// 4 or 6.
    family: u8,
}

/// `sparrow_decision_t`.
#[repr(C)]
#[derive(Debug)]
struct DecisionOfC {
    status: u16,
    endpoints: [EndpointOfC; MAX_TRIES],
    tries: u8,
    location: Bytes,
    text: Bytes,
    content_type: Bytes,
    target: Bytes,
    prefix: Bytes,
    route: Bytes,
    backend: Bytes,
    complaint: Bytes,
}

/// `sparrow_table_t`.
#[derive(Debug)]
struct TableOfC {
    router: Router<TableMemory>,
    /// The last fault that was told.
    fault: String,
    last_handshake: LastHandshake,
}

// `shim/sparrow.h` says the same of its own.
const _: () = assert!(size_of::<RequestOfC>() == 136 && size_of::<DecisionOfC>() == 192);

/// A pointer in a table that nginx reads.
#[repr(transparent)]
struct Entry(*const c_void);

// SAFETY: what they point to is static, and this crate only passes them on.
unsafe impl Sync for Entry {}

unsafe extern "C" {
    static ngx_http_sparrow_module: c_void;
    fn sparrow_header(request: *mut c_void, name: Bytes, number: usize, value: *mut Bytes) -> c_int;
    fn sparrow_told_host(request: *mut c_void, host: *mut Bytes);
}

/// The modules that nginx finds in this library; the last is null.
#[unsafe(no_mangle)]
#[allow(non_upper_case_globals, reason = "nginx asks for this name")]
static ngx_modules: [Entry; 2] = [Entry(&raw const ngx_http_sparrow_module), Entry(ptr::null())];

/// Their names.
#[unsafe(no_mangle)]
#[allow(non_upper_case_globals, reason = "nginx asks for this name")]
static ngx_module_names: [Entry; 2] = [Entry(name(c"ngx_http_sparrow_module")), Entry(ptr::null())];

/// Their order, as far as it matters: it does not.
#[unsafe(no_mangle)]
#[allow(non_upper_case_globals, reason = "nginx asks for this name")]
static ngx_module_order: [Entry; 1] = [Entry(ptr::null())];

const fn name(text: &'static CStr) -> *const c_void {
    let text: *const c_char = text.as_ptr();
    text.cast()
}

impl Bytes {
    const EMPTY: Self = Self { data: ptr::null(), len: 0 };

    fn new(bytes: &[u8]) -> Self {
        Self { data: bytes.as_ptr(), len: bytes.len() }
    }

    /// # Safety
    /// They are readable, and nobody writes them, for as long as the slice is used.
    unsafe fn as_slice<'a>(self) -> &'a [u8] {
        if self.data.is_null() || self.len == 0 {
            return &[];
        }
        // SAFETY: as the caller says.
        unsafe { slice::from_raw_parts(self.data, self.len) }
    }
}

/// The headers of a request of nginx.
struct HeadersOfNginx(*mut c_void);

impl Headers for HeadersOfNginx {
    fn value(&self, name: &str, number: usize) -> Option<&[u8]> {
        let mut value = Bytes::EMPTY;
        // SAFETY: nginx's request is alive during the call in which this is made, and headers that were read do not change.
        let found = unsafe { sparrow_header(self.0, Bytes::new(name.as_bytes()), number, &raw mut value) };
        // SAFETY: the value is in the request's memory, as above.
        (found != 0).then(|| unsafe { value.as_slice() })
    }
}

/// The host of a request of nginx with its port, as it was sent; empty if that cannot be told.
fn told_host<'a>(request: *mut c_void) -> &'a [u8] {
    let mut host = Bytes::EMPTY;
    // SAFETY: nginx's request is alive during the call in which this is made.
    unsafe { sparrow_told_host(request, &raw mut host) };
    // SAFETY: it is in the request's memory, and nobody changes it.
    unsafe { host.as_slice() }
}

impl TableOfC {
    fn open(path: &[u8]) -> Result<Self, String> {
        let memory = TableMemory::open(Path::new(OsStr::from_bytes(path))).map_err(|error| error.to_string())?;
        let table = Table::open(memory).map_err(|error| error.to_string())?;
        Ok(Self { router: Router::new(table), fault: String::new(), last_handshake: LastHandshake::default() })
    }
}

impl DecisionOfC {
    /// It has failed.
    const FAILED: Self = Self {
        status: INTERNAL_SERVER_ERROR,
        endpoints: [EndpointOfC::NONE; MAX_TRIES],
        tries: 0,
        location: Bytes::EMPTY,
        text: Bytes::EMPTY,
        content_type: Bytes::EMPTY,
        target: Bytes::EMPTY,
        prefix: Bytes::EMPTY,
        route: Bytes::EMPTY,
        backend: Bytes::EMPTY,
        complaint: Bytes::EMPTY,
    };

    /// `sent` is the target as the client sent it.
    fn new(decision: Decision, texts: &Texts, sent: Bytes) -> Self {
        let mut told = Self {
            location: Bytes::new(texts.location.as_bytes()),
            text: Bytes::new(&texts.text),
            content_type: Bytes::new(texts.content_type.as_bytes()),
            target: if texts.keeps_target { sent } else { Bytes::new(&texts.target) },
            prefix: Bytes::new(&texts.prefix),
            route: Bytes::new(texts.route.as_bytes()),
            backend: Bytes::new(texts.backend.as_bytes()),
            complaint: Bytes::new(texts.complaint.as_bytes()),
            ..Self::FAILED
        };
        match decision {
            Decision::Enter => {}
            Decision::Answer(status) | Decision::Text(status) | Decision::Redirect(status) => told.status = status,
            Decision::Forward(tries) => {
                (told.endpoints, told.tries) = EndpointOfC::all(tries);
            }
        }
        told
    }
}

impl EndpointOfC {
    const NONE: Self = Self { address: [0; 16], port: 0, family: 0 };

    fn new(address: SocketAddr) -> Self {
        let (family, bytes) = match address.ip() {
            IpAddr::V4(ip) => {
                let mut bytes = [0; 16];
                bytes[..4].copy_from_slice(&ip.octets());
                (4, bytes)
            }
            IpAddr::V6(ip) => (6, ip.octets()),
        };
        Self { address: bytes, port: address.port(), family }
    }

    /// Those that are tried, and how many they are.
    fn all(tries: Tries) -> ([Self; MAX_TRIES], u8) {
        let (mut all, mut number) = ([Self::NONE; MAX_TRIES], 0);
        for (endpoint, address) in all.iter_mut().zip(tries.into_iter().flatten()) {
            *endpoint = Self::new(address);
            number += 1;
        }
        (all, number)
    }

    /// As it was told, but for what only IPv6 has beside its address: nothing of that came here.
    fn address(self) -> SocketAddr {
        let [a, b, c, d, ..] = self.address;
        match self.family {
            4 => ([a, b, c, d], self.port).into(),
            _ => (self.address, self.port).into(),
        }
    }
}

fn scheme(https: u8) -> Scheme {
    if https == 0 { Scheme::Http } else { Scheme::Https }
}

/// Opens the table at a path.
///
/// # Safety
/// `path` is readable, `message` is writable for `*len` bytes.
#[unsafe(no_mangle)]
unsafe extern "C" fn sparrow_table_open(path: Bytes, message: *mut u8, len: *mut usize) -> *mut TableOfC {
    // SAFETY: as the caller says.
    let path = unsafe { path.as_slice() };
    let opened =
        catch_unwind(|| TableOfC::open(path)).unwrap_or_else(|_| Err("there is a fault in the module".to_owned()));
    match opened {
        Ok(table) => Box::into_raw(Box::new(table)),
        Err(error) => {
            // SAFETY: as the caller says.
            unsafe { tell(&error, message, len) };
            ptr::null_mut()
        }
    }
}

/// Writes a message where there is room for so many bytes, and says how many it has.
///
/// # Safety
/// `message` is writable for `*len` bytes.
unsafe fn tell(error: &str, message: *mut u8, len: *mut usize) {
    // SAFETY: as the caller says.
    let len = unsafe { &mut *len };
    // SAFETY: as the caller says.
    let mut message = unsafe { slice::from_raw_parts_mut(message, *len) };
    let room = message.len();
    // What does not fit is left out.
    let _ = message.write_all(error.as_bytes());
    *len = room - message.len();
}

/// Closes a table.
///
/// # Safety
/// It is one of [`sparrow_table_open`], and is used no more.
#[unsafe(no_mangle)]
unsafe extern "C" fn sparrow_table_close(table: *mut TableOfC) {
    let Some(table) = NonNull::new(table) else { return };
    // SAFETY: it was made by `Box::into_raw`, and nobody else closes it.
    let table = unsafe { Box::from_raw(table.as_ptr()) };
    let _ = catch_unwind(AssertUnwindSafe(|| drop(table)));
}

/// The revision by which the next request is routed, and why that is not the newest.
///
/// # Safety
/// `table` is one of [`sparrow_table_open`], of which no other call is going on; `fault` is writable.
#[unsafe(no_mangle)]
unsafe extern "C" fn sparrow_table_revision(table: *mut TableOfC, fault: *mut Bytes) -> u64 {
    // SAFETY: as the caller says: a worker has one thread.
    let table = unsafe { &mut *table };
    let told = catch_unwind(AssertUnwindSafe(|| table.router.revision()));
    let (revision, text) = match told {
        Ok((revision, fault)) => (revision, fault.map(|fault| fault.to_string()).unwrap_or_default()),
        Err(_) => (0, "there is a fault in the module".to_owned()),
    };
    table.fault = text;
    // SAFETY: as the caller says.
    unsafe { *fault = Bytes::new(table.fault.as_bytes()) };
    revision
}

/// Whether nginx is about to end, so that clients are asked to close their connections.
///
/// # Safety
/// `table` is one of [`sparrow_table_open`], of which no other call is going on.
#[unsafe(no_mangle)]
unsafe extern "C" fn sparrow_table_is_draining(table: *const TableOfC) -> c_int {
    // SAFETY: as the caller says: a worker has one thread.
    let table = unsafe { &*table };
    table.router.is_draining().into()
}

/// What becomes of a request.
///
/// # Safety
/// `table` is one of [`sparrow_table_open`], of which no other call is going on; `request` and its bytes are readable, and
/// `decision` is writable.
#[unsafe(no_mangle)]
unsafe extern "C" fn sparrow_table_find(table: *mut TableOfC, request: *const RequestOfC, decision: *mut DecisionOfC) {
    // SAFETY: as the caller says: a worker has one thread.
    let table = unsafe { &mut *table };
    // SAFETY: as the caller says.
    let request = unsafe { &*request };
    // SAFETY: as the caller says.
    let bytes = |bytes: Bytes| unsafe { bytes.as_slice() };
    // What a panic leaves of the router are texts and blobs that are replaced before they are used again.
    let found = catch_unwind(AssertUnwindSafe(|| {
        let asked = Request {
            listener: ListenerId(request.listener),
            scheme: scheme(request.https),
            connection: scheme(request.tls),
            server_name: bytes(request.server_name),
            tls_class: TlsClass(u128::from_be_bytes(request.tls_class)),
            method: bytes(request.method),
            host: bytes(request.host),
            path: bytes(request.path),
            query: bytes(request.query),
            headers: &HeadersOfNginx(request.request),
            chance: request.chance,
        };
        let (decision, texts) = table.router.decide(RoutedRequest {
            request: &asked,
            target: bytes(request.target),
            told_host: &|| told_host(request.request),
            public_ports: [request.http_port, request.https_port],
        });
        DecisionOfC::new(decision, texts, request.target)
    }));
    let found = found.unwrap_or_else(|_| {
        let complaint = Bytes::new(b"there is a fault in the module: the request is answered 500");
        DecisionOfC { complaint, ..DecisionOfC::FAILED }
    });
    // SAFETY: as the caller says.
    unsafe { *decision = found };
}

/// Returns 1 if it is a host as RFC 3986 has it, perhaps with a port.
///
/// # Safety
/// The bytes are readable.
#[unsafe(no_mangle)]
unsafe extern "C" fn sparrow_is_host(host: Bytes) -> c_int {
    // SAFETY: as the caller says.
    let host = unsafe { host.as_slice() };
    // Of one that cannot be told nothing is served.
    catch_unwind(|| is_host(host)).unwrap_or(false).into()
}

/// How many digits at the end of a host are its port; 0 if it names none.
///
/// # Safety
/// The bytes are readable.
#[unsafe(no_mangle)]
unsafe extern "C" fn sparrow_port_len(host: Bytes) -> usize {
    // SAFETY: as the caller says.
    let host = unsafe { host.as_slice() };
    catch_unwind(|| port(host).map_or(0, <[u8]>::len)).unwrap_or(0)
}

/// Takes note of what came of a try. Returns 1 if the endpoint gets no requests from now on.
///
/// # Safety
/// `table` is one of [`sparrow_table_open`], of which no other call is going on; `endpoint` is readable.
#[unsafe(no_mangle)]
unsafe extern "C" fn sparrow_endpoint_note(table: *mut TableOfC, endpoint: *const EndpointOfC, failed: c_int) -> c_int {
    // SAFETY: as the caller says: a worker has one thread.
    let table = unsafe { &mut *table };
    // SAFETY: as the caller says.
    let endpoint = unsafe { *endpoint };
    // What a panic leaves is at worst a wrong count.
    let noted = catch_unwind(AssertUnwindSafe(|| table.router.note(endpoint.address(), failed != 0)));
    noted.unwrap_or(false).into()
}

/// An endpoint has a request more.
///
/// # Safety
/// `table` is one of [`sparrow_table_open`], of which no other call is going on; `endpoint` is readable.
#[unsafe(no_mangle)]
unsafe extern "C" fn sparrow_endpoint_begin(table: *mut TableOfC, endpoint: *const EndpointOfC) {
    // SAFETY: as the caller says: a worker has one thread.
    let table = unsafe { &mut *table };
    // SAFETY: as the caller says.
    let endpoint = unsafe { *endpoint };
    // What a panic leaves is at worst a wrong count.
    let _ = catch_unwind(AssertUnwindSafe(|| table.router.begin(endpoint.address())));
}

/// It has one less.
///
/// # Safety
/// As for [`sparrow_endpoint_begin`].
#[unsafe(no_mangle)]
unsafe extern "C" fn sparrow_endpoint_end(table: *mut TableOfC, endpoint: *const EndpointOfC) {
    // SAFETY: as the caller says: a worker has one thread.
    let table = unsafe { &mut *table };
    // SAFETY: as the caller says.
    let endpoint = unsafe { *endpoint };
    // What a panic leaves is at worst a wrong count.
    let _ = catch_unwind(AssertUnwindSafe(|| table.router.end(endpoint.address())));
}
