//! Erlen runs machine-learning experiments that are written down as files.

pub mod event;
pub mod fingerprint;
pub mod progress;
pub mod random;
pub mod record;
pub mod report;
pub mod spec;
pub mod stages;
