//! What is built of objects, and what is said of them.

mod ingresses;
mod paths;
mod services;
mod support;
