//! Who uses an image: parent, children, watchers, locks, space.
