//! Groups of images and their snapshots.
