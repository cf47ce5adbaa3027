//! The `erlen` program.

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(erlen::cli::main())
}
