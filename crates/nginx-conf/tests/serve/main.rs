//! What a real nginx does with the configuration, compared with what the routes say.

mod hosts;
mod paths;
mod proxying;
mod support;
