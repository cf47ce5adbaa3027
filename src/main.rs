//! The `erlen` program.

use std::process::ExitCode;

use erlen::memory::Recycling;

#[global_allocator]
static MEMORY: Recycling = Recycling::new();

fn main() -> ExitCode {
    MEMORY.register();
    ExitCode::from(erlen::cli::main())
}
