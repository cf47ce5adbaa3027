//! Carving splits from the training samples, by content.
