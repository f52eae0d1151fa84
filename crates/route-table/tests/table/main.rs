//! Tables in memory, for which [`entry_model::Routes::find`] is the definition.

mod certificates;
mod changes;
mod corpus;
mod counts;
mod damage;
mod find;
mod space;
mod support;
mod threads;
