//! What is built of objects, and what is said of them.

mod access;
mod bounds;
mod by_host;
mod canary;
mod certificate_reach;
mod certificates;
mod chains;
mod companions;
mod dialects;
mod endpoints;
mod entry_addresses;
mod external_auth;
mod further_hosts;
mod ingresses;
mod linked_objects;
mod mirror;
mod owners;
mod paths;
mod properties;
mod services;
mod snippets;
mod stays_closed;
mod support;
mod tls_passthrough;
mod unusable_values;
mod verdicts;
