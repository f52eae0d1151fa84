//! A module of nginx that routes by a table in shared memory, so that a change of a route needs no reload.
//!
//! ```text
//! nginx ─► shim/*.c ─► exports ─► router ─► route_table::Table ─► table_memory ◄─ whoever publishes
//!          nginx's     plain      what becomes of a request
//!          structures  values              └─► balancer: which endpoint of a backend
//! ```
//!
//! Whatever touches a structure of nginx is C, in `shim/`, compiled against the headers of the nginx for which this is. Rust gets
//! plain values and returns them, and catches its panics: they end the request, not the worker.

pub mod balancer;
pub mod forward_target;
pub mod host;
mod key_choice;
pub mod proven_passwords;
pub mod router;
pub mod url_value;

// Its tests have no nginx to link with.
#[cfg(not(test))]
mod exports;
