//! Long work on images: deleting, resizing, flattening, copying, sparsifying, rolling back.
