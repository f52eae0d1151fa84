//! What routes mean, for which [`entry_model::Routes::find`] is the definition.

mod find;
mod forward;
mod host;
mod passthrough;
mod policies;
mod rewrite;
mod rule_list;
mod support;
