//! sparrow-entry on a real API server.
