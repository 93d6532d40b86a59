//! The HTTP edge: published keys and metadata.
