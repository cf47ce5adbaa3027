//! What a user sees: the program itself, run on temporary projects.

#![allow(clippy::print_stdout, reason = "a test that is skipped says why")]

mod check;
mod command;
mod denied;
mod digits;
mod extended;
mod formats;
mod history;
mod project;
mod remote;
mod report;
mod resume;
mod schedule;
mod schema;
mod soak;
mod sweep;
mod table;
mod train;
mod trust;
mod vanishing;
