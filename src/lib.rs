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
//! [`tokenizer`] (texts and tokens), [`prediction`] (what models say of files) and [`serve`] (models behind HTTP). [`fingerprint`],
//! [`metric`], [`random`], [`schema`], `parallel` and `http` are leaves that everything may use; [`memory`] is the
//! program's allocator. What stands left never imports what stands right.
//!
//! The feature `full`, which is there unless it is declined, is the whole. Without it the crate is what trained models need
//! to be asked; [`edge`] is that as a program, and shows how another crate asks.

// What `examples/` has for programs outside is tested here too.
#[cfg(test)]
extern crate self as erlen;

#[cfg(feature = "full")]
pub mod app;
#[cfg(feature = "full")]
pub mod cli;
pub mod data;
pub mod edge;
pub mod event;
#[cfg(feature = "full")]
pub mod exec;
pub mod fingerprint;
#[cfg(feature = "full")]
pub mod generation;
mod http;
#[cfg(feature = "full")]
pub mod memory;
pub mod metric;
pub mod models;
#[cfg(feature = "full")]
pub mod onnx;
pub mod ops;
mod parallel;
#[cfg(feature = "full")]
pub mod plan;
pub mod prediction;
#[cfg(feature = "full")]
pub mod progress;
pub mod quantization;
pub mod random;
#[cfg(feature = "full")]
pub mod record;
#[cfg(feature = "full")]
pub mod report;
pub mod schema;
#[cfg(feature = "full")]
pub mod serve;
pub mod spec;
#[cfg(feature = "full")]
pub mod stages;
#[cfg(feature = "full")]
pub mod store;
#[cfg(feature = "full")]
pub mod sweep;
pub mod tokenizer;
pub mod train;
