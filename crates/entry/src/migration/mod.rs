//! What an installation of ingress-nginx comes to here.
//!
//! ```text
//! objects as they are written ─► installation: controllers, their flags, their classes
//!                                  └─► snapshot in which the classes are ours ─► verdicts ─► report, copies
//!                                      (settings of the ConfigMap that a flag names go over ours)
//! ```

mod controller_flags;
mod copies;
mod installation;
mod report;

pub use controller_flags::{CONTROLLER_FLAGS, ControllerFlag, Here};
pub use copies::copies;
pub use installation::{Controller, Installation, add_missing_services};
pub use report::{ConfigMapReport, Counts, FlagReport, IngressReport, Judgement, Outcome, Report};
