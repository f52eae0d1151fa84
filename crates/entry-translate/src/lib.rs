//! A snapshot of a cluster's objects becomes routes, and a verdict on every object.
//!
//! ```text
//! Snapshot ──translate──► Routes + Verdicts
//! ```
//!
//! Pure: no clock, no files, no network, and no word of nginx. What comes out is sorted and depends on nothing but the arguments;
//! a [`Translator`] only spares what did not change since the last snapshot. Its passes have a file each:
//!
//! 1. `attach`: which objects are this controller's.
//! 2. `claim`: what each of them asks for, a file for each kind, with `options` (annotations), `host`, `path` and `resolve`
//!    (Services and ports). `contest` puts the claims of all side by side.
//! 3. `owners`: what of it belongs to other namespaces; `bounds`: what of it is too much.
//! 4. `tls`: which certificates objects bring, with `certificate` (Secrets), and for that `pem`, `chain` and `private_key`.
//! 5. `merge`: host by host, who gets what several ask for, in the order in which rules are tried, with `offers` (whose
//!    certificate a host gets); `solver`: hosts for proofs only.
//!
//! All along, `draft` keeps what the owner of each object is told, and `site` where in an object a claim is made.

mod attach;
mod bounds;
mod certificate;
mod chain;
mod claim;
mod contest;
mod draft;
mod host;
mod merge;
mod offers;
mod options;
mod owners;
mod path;
mod pattern;
mod pem;
mod private_key;
mod resolve;
mod settings;
mod site;
mod solver;
mod theirs;
mod tls;
mod translate;
mod unit;

pub use bounds::{Bound, Bounds};
pub use settings::{Defaults, Ownership, TranslateSettings};
pub use tls::GoodSecret;
pub use translate::{Translation, Translator, translate};
