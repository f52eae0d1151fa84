//! Long work: its state, waiting for it, cancelling it.
