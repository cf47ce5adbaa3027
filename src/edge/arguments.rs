//! The program's arguments.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::error::InferError;

/// What `--help` says.
pub(super) const HELP: &str = "\
What a trained model says of new files.

Usage: erlen-infer [OPTIONS] MODEL INPUT...

  MODEL   a folder with a model, as `erlen get` leaves that of a stage `train`, `quantize` or `export`
  INPUT   images or tables (CSV): files, folders (at any depth), patterns

Options:
      --with MODEL        average the answers with those of this model; may be repeated
  -o, --output FILE       where to write, which must not be there yet; by default to standard output
      --format FORMAT     csv or json-lines; by default as the output's name ends, else csv
      --test-time-flip    give the mean of the outputs for each image and its mirror image
      --threads COUNT     how many threads compute; by default as many as there are processors
  -h, --help              print this
  -V, --version           print the version

The answers are those of `erlen predict`, byte for byte. Models of texts, tables in Parquet and archives need `erlen predict`.

Exit codes: 0 all samples have an answer; 1 some could not be read (they are named), or nothing could be done;
2 the command line is wrong.
";

/// What is asked of the program.
#[derive(Debug, PartialEq)]
pub(super) enum InferCommand {
    Ask(InferArguments),
    Help,
    Version,
}

/// A question to models.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct InferArguments {
    /// Of several the average is given.
    pub models: Vec<PathBuf>,
    pub inputs: Vec<PathBuf>,
    pub output: Option<PathBuf>,
    pub format: InferFormat,
    pub test_time_flip: bool,
    /// Nothing for as many as there are processors.
    pub threads: Option<usize>,
}

/// How answers are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum InferFormat {
    #[default]
    Csv,
    JsonLines,
}

impl InferFormat {
    /// What the option calls it, and how the names of its files end.
    const ALL: [(Self, &'static str, &'static [&'static str]); 2] = [
        (Self::Csv, "csv", &["csv"]),
        (Self::JsonLines, "json-lines", &["jsonl", "ndjson"]),
    ];

    fn named(name: &OsString) -> Result<Self, InferError> {
        if name == "parquet" {
            return Err(wrong(
                "this program writes no Parquet files: `erlen predict` does".to_owned(),
            ));
        }
        let found = Self::ALL.iter().find(|(_, own, _)| name == own);
        found.map(|(format, ..)| *format).ok_or_else(|| {
            let name = name.to_string_lossy();
            wrong(format!("`{name}` is no format: it is csv or json-lines"))
        })
    }

    /// As the name of the output says.
    fn of_name(path: &Path) -> Result<Self, InferError> {
        let extension = path.extension().map(|extension| extension.to_ascii_lowercase());
        let found = Self::ALL.iter().find(|(.., endings)| {
            extension
                .as_deref()
                .is_some_and(|own| endings.iter().any(|ending| own == *ending))
        });
        found.map(|(format, ..)| *format).ok_or_else(|| {
            let path = path.display();
            wrong(format!(
                "the name of `{path}` does not say how to write: end it in .csv or .jsonl or .ndjson, or say it by --format"
            ))
        })
    }
}

impl InferArguments {
    /// Reads what stands behind the program's name.
    ///
    /// # Errors
    /// It cannot be understood.
    pub fn read(arguments: impl IntoIterator<Item = OsString>) -> Result<InferCommand, InferError> {
        let mut rest = arguments.into_iter();
        let (mut read, mut others, mut places) = (Self::default(), Vec::new(), Vec::new());
        let (mut format, mut flip) = (None, None);
        while let Some(argument) = rest.next() {
            let Some((name, joined)) = option_of(&argument) else {
                places.push(PathBuf::from(argument));
                continue;
            };
            let mut value = || {
                let given = joined.clone().or_else(|| rest.next());
                given.ok_or_else(|| wrong(format!("`{name}` needs a value; see --help")))
            };
            match name {
                "--" => {
                    places.extend(rest.by_ref().map(PathBuf::from));
                    continue;
                }
                "--with" => others.push(PathBuf::from(value()?)),
                "--output" => once(name, &mut read.output, PathBuf::from(value()?))?,
                "--format" => once(name, &mut format, InferFormat::named(&value()?)?)?,
                "--threads" => once(name, &mut read.threads, count_of(&value()?)?)?,
                _ if joined.is_some() => return Err(unknown(&argument)),
                "--test-time-flip" => once(name, &mut flip, ())?,
                "--help" => return Ok(InferCommand::Help),
                "--version" => return Ok(InferCommand::Version),
                _ => return Err(unknown(&argument)),
            }
        }
        read.test_time_flip = flip.is_some();
        let mut places = places.into_iter();
        let model = places.next();
        read.models = model.into_iter().chain(others).collect();
        read.inputs = places.collect();
        if read.inputs.is_empty() {
            return Err(wrong(
                "a model's folder and at least one file are needed: erlen-infer MODEL INPUT...; see --help"
                    .to_owned(),
            ));
        }
        read.format = match (format, &read.output) {
            (Some(format), _) => format,
            (None, Some(path)) => InferFormat::of_name(path)?,
            (None, None) => InferFormat::default(),
        };
        Ok(InferCommand::Ask(read))
    }
}

/// Takes the value of the option `name`, which may be given once.
fn once<T>(name: &str, option: &mut Option<T>, value: T) -> Result<(), InferError> {
    match option.replace(value) {
        None => Ok(()),
        Some(_) => Err(wrong(format!("`{name}` is given twice"))),
    }
}

/// The option that an argument is, by its long name, and the value that it is joined with; nothing where it is none.
fn option_of(argument: &OsString) -> Option<(&str, Option<OsString>)> {
    // What is not UTF-8 is a path, of which no option begins so.
    let text = argument.to_str()?;
    if text.starts_with("--") {
        return Some(match text.split_once('=') {
            Some((name, value)) => (name, Some(value.into())),
            None => (text, None),
        });
    }
    let short = text.strip_prefix('-')?;
    let mut letters = short.chars();
    let name = match letters.next()? {
        'o' => "--output",
        'h' => "--help",
        'V' => "--version",
        _ => return Some((text, None)),
    };
    let joined = letters.as_str();
    let joined = joined.strip_prefix('=').unwrap_or(joined);
    Some((name, (!joined.is_empty()).then(|| joined.into())))
}

/// More of them only wait for each other.
const MOST_THREADS: usize = 1024;

fn count_of(text: &OsString) -> Result<usize, InferError> {
    let count = text.to_str().and_then(|text| text.parse().ok());
    count
        .filter(|count| (1..=MOST_THREADS).contains(count))
        .ok_or_else(|| {
            let text = text.to_string_lossy();
            wrong(format!(
                "`{text}` is no number of threads: it is 1 to {MOST_THREADS}"
            ))
        })
}

fn unknown(argument: &OsString) -> InferError {
    let argument = argument.to_string_lossy();
    wrong(format!(
        "there is no option `{argument}`; see --help (a file of this name: `./{argument}`)"
    ))
}

fn wrong(problem: String) -> InferError {
    InferError::Arguments(problem)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(arguments: &[&str]) -> Result<InferCommand, String> {
        InferArguments::read(arguments.iter().map(OsString::from)).map_err(|error| error.to_string())
    }

    #[test]
    fn options_stand_anywhere() {
        let expected = InferArguments {
            models: vec!["m".into(), "n".into()],
            inputs: vec!["a.png".into(), "-b".into()],
            output: Some("out.JSONL".into()),
            format: InferFormat::JsonLines,
            test_time_flip: true,
            threads: Some(3),
        };
        for arguments in [
            "--with n m a.png -o out.JSONL --threads 3 --test-time-flip -- -b",
            "m --with=n --output=out.JSONL --test-time-flip a.png --threads=3 -- -b",
            "m -oout.JSONL --test-time-flip --with n --threads 3 -- a.png -b",
            "m -o=out.JSONL --test-time-flip --with n --threads 3 -- a.png -b",
        ] {
            let arguments: Vec<&str> = arguments.split(' ').collect();
            assert_eq!(read(&arguments), Ok(InferCommand::Ask(expected.clone())));
        }
        let Ok(InferCommand::Ask(plain)) = read(&["m", "-"]) else {
            panic!("a question");
        };
        assert_eq!((plain.inputs, plain.format), (vec!["-".into()], InferFormat::Csv));
        assert_eq!(read(&["--help"]), Ok(InferCommand::Help));
        assert_eq!(read(&["m", "-V"]), Ok(InferCommand::Version));
        // What is asked for is said, and not the ending.
        let Ok(InferCommand::Ask(said)) = read(&["m", "a", "-o", "b.txt", "--format", "csv"]) else {
            panic!("a question");
        };
        assert_eq!(said.format, InferFormat::Csv);
    }

    #[test]
    fn what_is_wrong_is_told() {
        for (arguments, told) in [
            (
                &["m"] as &[&str],
                "a model's folder and at least one file are needed",
            ),
            (&[], "a model's folder and at least one file are needed"),
            (&["m", "a", "--top", "3"], "there is no option `--top`"),
            (&["m", "a", "-x"], "there is no option `-x`"),
            (
                &["m", "a", "--test-time-flip=yes"],
                "there is no option `--test-time-flip=yes`",
            ),
            (&["m", "a", "--with"], "`--with` needs a value"),
            (
                &["m", "a", "-o", "b.csv", "--output=c.csv"],
                "`--output` is given twice",
            ),
            (
                &["m", "a", "--threads", "1", "--threads=2"],
                "`--threads` is given twice",
            ),
            (
                &["m", "a", "--format", "csv", "--format", "csv"],
                "`--format` is given twice",
            ),
            (
                &["--test-time-flip", "m", "a", "--test-time-flip"],
                "`--test-time-flip` is given twice",
            ),
            (&["m", "a", "--threads", "0"], "`0` is no number of threads"),
            (&["m", "a", "--threads", "1025"], "it is 1 to 1024"),
            (&["m", "a", "--threads", "two"], "`two` is no number of threads"),
            (
                &["m", "a", "--format", "xml"],
                "`xml` is no format: it is csv or json-lines",
            ),
            (&["m", "a", "--format=parquet"], "`erlen predict` does"),
            (
                &["m", "a", "-o", "b.xls"],
                "the name of `b.xls` does not say how to write",
            ),
        ] {
            let problem = read(arguments).unwrap_err();
            assert!(problem.contains(told), "{problem}");
        }
    }
}
