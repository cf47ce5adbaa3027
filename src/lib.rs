//! Erlen runs machine-learning experiments that are written down as files.

pub mod event;
pub mod fingerprint;
pub mod random;
pub mod spec;
pub mod stages;
pub mod store;
