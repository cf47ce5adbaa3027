//! What a user sees: the program itself, run on temporary projects.

#![allow(clippy::print_stdout, reason = "a test that is skipped says why")]

mod check;
mod columns;
mod command;
mod denied;
mod digits;
mod distill;
mod download;
mod extended;
mod formats;
mod history;
mod infer;
mod masks;
mod outside;
mod predict;
mod project;
mod quantize;
mod remote;
mod report;
mod resume;
mod schedule;
mod schema;
mod serve;
mod soak;
mod sweep;
mod table;
mod texts;
mod train;
mod trust;
mod vanishing;
mod weights;
mod what_the_file_says;
