//! Erlen runs machine-learning experiments that are written down as files.

pub mod data;
pub mod event;
pub mod fingerprint;
pub mod models;
pub mod ops;
pub mod random;
pub mod spec;
pub mod stages;
pub mod train;
