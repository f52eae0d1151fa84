//! What is built of objects, and what is said of them.

mod bounds;
mod by_host;
mod certificates;
mod chains;
mod ingresses;
mod others;
mod owners;
mod paths;
mod properties;
mod reach;
mod services;
mod support;
