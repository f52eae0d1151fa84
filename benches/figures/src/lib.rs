//! How figures are measured, judged and printed: what all benches share.

pub mod figure;
pub mod process;
