//! Erlen runs machine-learning experiments that are written down as files.
//!
//! ```text
//! YAML text --spec--> Pipeline --plan--> Plan --exec--> artifacts, records --report--> tables
//! ```
//!
//! Data goes one way. [`spec`] turns a pipeline file into a validated description; [`plan`] turns
//! that into a graph of stages with a decision and a reason each, by looking into the [`store`];
//! [`exec`] runs what has to run, through the kinds in [`stages`], and tells what happens as
//! [`event`]s; [`progress`] shows and [`record`] keeps them; [`report`] makes tables, plots
//! and pages of the results. [`sweep`] is told how trials end, and says which to run next.
//!
//! [`app`] is all of that for whoever asks, and [`cli`] asks for whoever sits before a terminal.
//!
//! The computing lies in [`data`] (formats, the dataset file, the loader), [`ops`] (tensor
//! operations), [`models`] (architectures), [`quantization`] (networks of bytes), [`train`] (the training loop), [`generation`] (texts that models go on with),
//! [`tokenizer`] (texts and tokens) and [`serve`] (models behind HTTP). [`fingerprint`],
//! [`metric`], [`random`], [`schema`], `parallel` and `http` are leaves that everything may use; [`memory`] is the
//! program's allocator.
//! What stands left never imports what stands right.

// What `examples/` has for programs outside is tested here too.
#[cfg(test)]
extern crate self as erlen;

pub mod app;
pub mod cli;
pub mod data;
pub mod event;
pub mod exec;
pub mod fingerprint;
pub mod generation;
mod http;
pub mod memory;
pub mod metric;
pub mod models;
pub mod onnx;
pub mod ops;
mod parallel;
pub mod plan;
pub mod progress;
pub mod quantization;
pub mod random;
pub mod record;
pub mod report;
pub mod schema;
pub mod serve;
pub mod spec;
pub mod stages;
pub mod store;
pub mod sweep;
pub mod tokenizer;
pub mod train;
