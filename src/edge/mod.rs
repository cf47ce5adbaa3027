//! Answers of trained models, and nothing else: what the program `erlen-infer` does.
//!
//! In go a model's folder and files; out come the rows that `erlen predict` writes of them, byte for byte. No pipeline, no
//! store, no training, no network and no C: `cargo build --profile edge --no-default-features --features infer --bin
//! erlen-infer` makes a program of it, for small machines.
//!
//! Another crate asks without files, with this crate as `erlen = { version = "...", default-features = false, features =
//! ["infer"] }`:
//!
//! ```no_run
//! use erlen::data::{Example, UnlabelledSample};
//! use erlen::train::{Components, DeviceChoice, Predictor, PredictorOptions};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let components = Components::built_in();
//! let options = PredictorOptions {
//!     device: DeviceChoice::Cpu.open()?,
//!     test_time_flip: false,
//! };
//! let predictor = Predictor::load(&["digits-int8".into()], options, &components)?;
//! let field = predictor.shown()[0].fields()[0].name.clone();
//! let image = Example::default().with_scaled_image_file(&field, std::fs::read("new.png")?);
//! let sample = UnlabelledSample {
//!     name: "new.png".to_owned(),
//!     examples: Ok(vec![image]),
//! };
//! for answer in predictor.predict(&[sample])? {
//!     for (column, value) in predictor.columns().iter().zip(predictor.values(&answer?)) {
//!         println!("{}: {value:?}", column.title());
//!     }
//! }
//! # Ok(())
//! # }
//! ```

mod arguments;
mod error;
mod question;

use std::ffi::OsString;
use std::io::{self, Write};
use std::sync::Arc;

use crate::train::TrainError;
use arguments::{HELP, InferArguments, InferCommand};
use error::InferError;

/// All samples have an answer.
const DONE: u8 = 0;
/// Some could not be read, or nothing could be done.
const FAILED: u8 = 1;
/// The command line is wrong.
const USAGE: u8 = 2;

/// Does what `arguments` ask for, which stand behind the program's name; gives the exit code. Answers go to `out`, and
/// lines about the work to `tell`.
pub fn run(
    arguments: impl IntoIterator<Item = OsString>,
    out: impl Write + Send,
    tell: impl Fn(&str) + Send + Sync + 'static,
) -> u8 {
    let tell: Arc<dyn Fn(&str) + Send + Sync> = Arc::new(tell);
    let result = match InferArguments::read(arguments) {
        Ok(InferCommand::Ask(arguments)) => arguments.ask(out, &tell),
        Ok(InferCommand::Help) => print(out, HELP),
        Ok(InferCommand::Version) => print(out, concat!("erlen-infer ", env!("CARGO_PKG_VERSION"), "\n")),
        Err(error) => Err(error),
    };
    match result {
        Ok(code) => code,
        // Who reads has enough.
        Err(InferError::Asking(TrainError::Output(error))) if error.kind() == io::ErrorKind::BrokenPipe => {
            DONE
        }
        Err(InferError::Arguments(problem)) => {
            tell(&format!("error: {problem}"));
            USAGE
        }
        Err(error) => {
            tell(&format!("error: {error}"));
            FAILED
        }
    }
}

fn print(mut out: impl Write, text: &str) -> Result<u8, InferError> {
    // Where even that cannot be written, nobody reads.
    let _ = out.write_all(text.as_bytes());
    Ok(DONE)
}
