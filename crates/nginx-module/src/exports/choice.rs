//! Which endpoint a request gets that a key leads to one, and what endpoints are called.

use std::ffi::c_int;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::str;

use entry_model::EndpointName;

use super::{Bytes, EndpointOfC, TableOfC};
use crate::balancer::MAX_TRIES;
use crate::key_choice::KeyChoice;

/// `sparrow_key_choice_t`.
#[repr(C)]
#[derive(Debug)]
struct KeyChoiceOfC {
    backend: Bytes,
    key: Bytes,
    named: Bytes,
    chance: u64,
    subset: usize,
}

/// `sparrow_chosen_t`.
#[repr(C)]
#[derive(Debug)]
struct ChosenOfC {
    endpoints: [EndpointOfC; MAX_TRIES],
    tries: u8,
    has_named: u8,
}

// `shim/sparrow.h` says the same of its own.
const _: () = assert!(size_of::<KeyChoiceOfC>() == 64 && size_of::<ChosenOfC>() == 62);

/// The endpoints for a request by its key. Returns 0 if the newest table has none for it.
///
/// # Safety
/// `table` is one of [`super::sparrow_table_open`], of which no other call is going on; `choice` and its bytes are readable, and `chosen` is
/// writable.
#[unsafe(no_mangle)]
unsafe extern "C" fn sparrow_choose_by_key(
    table: *mut TableOfC,
    choice: *const KeyChoiceOfC,
    chosen: *mut ChosenOfC,
) -> c_int {
    // SAFETY: as the caller says: a worker has one thread.
    let table = unsafe { &mut *table };
    // SAFETY: as the caller says.
    let choice = unsafe { &*choice };
    // SAFETY: as the caller says.
    let bytes = |bytes: Bytes| unsafe { bytes.as_slice() };
    // What a panic leaves is at worst a wrong count.
    let found = catch_unwind(AssertUnwindSafe(|| {
        let by = KeyChoice {
            key: bytes(choice.key),
            subset: choice.subset,
            named: bytes(choice.named),
            chance: choice.chance,
        };
        table.router.choose_by_key(str::from_utf8(bytes(choice.backend)).ok()?, &by)
    }));
    let Ok(Some((tries, has_named))) = found else { return 0 };
    let (endpoints, tries) = EndpointOfC::all(tries);
    // SAFETY: as the caller says.
    unsafe { *chosen = ChosenOfC { endpoints, tries, has_named: has_named.into() } };
    1
}

/// Writes what the endpoint at an address is called. Returns 0 if it is no address.
///
/// # Safety
/// `address` is readable, and `name` writable for [`EndpointName::LEN`] bytes.
#[unsafe(no_mangle)]
unsafe extern "C" fn sparrow_endpoint_name(address: Bytes, name: *mut u8) -> c_int {
    // SAFETY: as the caller says.
    let address = unsafe { address.as_slice() };
    let found = catch_unwind(|| {
        let address: SocketAddr = str::from_utf8(address).ok()?.parse().ok()?;
        Some(EndpointName::of(address))
    });
    let Ok(Some(found)) = found else { return 0 };
    // SAFETY: as the caller says: a name has so many bytes.
    unsafe { name.copy_from_nonoverlapping(found.as_bytes().as_ptr(), EndpointName::LEN) };
    1
}
