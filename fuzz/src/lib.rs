//! What the fuzz targets call. Each takes any bytes, must not panic, and returns whether they were well-formed.
//! Ordinary tests replay the same functions over the corpus.

pub mod entry;
pub mod rbd;
pub mod route_table;
