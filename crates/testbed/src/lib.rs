//! Real parts for tests, benches and the demo.
