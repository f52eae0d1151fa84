//! What a real nginx does with the configuration, compared with what the routes say.

mod paths;
mod support;
