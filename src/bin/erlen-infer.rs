//! The `erlen-infer` program: answers of trained models.

use std::io::{self, Write};
use std::process::ExitCode;

fn main() -> ExitCode {
    let tell = |line: &str| {
        // Where nobody hears, the exit code still tells.
        let _ = writeln!(io::stderr(), "{line}");
    };
    let arguments = std::env::args_os().skip(1);
    ExitCode::from(erlen::edge::run(arguments, io::stdout(), tell))
}
