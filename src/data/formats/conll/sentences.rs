//! The sentences of a file.

use std::io::BufRead;
use std::path::Path;

use crate::data::error::DataError;
use crate::data::formats::{open, shortened};
use crate::spec::ConllOptions;

/// What a line begins with that stands between documents.
const DOCUMENT_START: &str = "-DOCSTART-";

/// Words with their tags.
pub(super) struct Sentence {
    /// Where it comes from: the file, and the line of its first word.
    pub origin: String,
    pub words: Vec<String>,
    /// As many as words.
    pub tags: Vec<String>,
}

/// Hands the sentences of a file to `take`, or what is wrong with one.
pub(super) fn each_sentence(
    options: &ConllOptions,
    path: &Path,
    name: &str,
    mut take: impl FnMut(Result<Sentence, DataError>) -> Result<(), DataError>,
) -> Result<(), DataError> {
    let mut reader = open(path)?;
    let mut sentence: Option<Sentence> = None;
    let mut problem: Option<DataError> = None;
    for number in 1u64.. {
        let mut bytes = Vec::new();
        let count = reader
            .read_until(b'\n', &mut bytes)
            .map_err(DataError::io("read", path))?;
        let text = String::from_utf8_lossy(&bytes);
        let is_text = std::str::from_utf8(&bytes).is_ok();
        let line = text.trim_end_matches(['\n', '\r']);
        let line = if number == 1 {
            line.trim_start_matches('\u{feff}')
        } else {
            line
        };
        if line.trim().is_empty() || line.starts_with(DOCUMENT_START) {
            match (sentence.take(), problem.take()) {
                (_, Some(problem)) => take(Err(problem))?,
                (Some(sentence), None) => take(Ok(sentence))?,
                (None, None) => {}
            }
            if count == 0 {
                break;
            }
            continue;
        }
        if options
            .comment
            .as_deref()
            .is_some_and(|comment| line.starts_with(comment))
        {
            continue;
        }
        let found = match is_text {
            true => columns(options, line),
            false => Err("it is not UTF-8: save the file as UTF-8".to_owned()),
        };
        match found {
            Ok((word, tag)) => {
                let sentence = sentence.get_or_insert_with(|| Sentence {
                    origin: format!("{name}:{number}"),
                    words: Vec::new(),
                    tags: Vec::new(),
                });
                sentence.words.push(word);
                sentence.tags.push(tag);
            }
            Err(found) => {
                problem.get_or_insert(DataError::Input {
                    place: format!("`{}` line {number}", path.display()),
                    problem: found,
                });
            }
        }
    }
    Ok(())
}

/// The word and the tag of a line: between tabs where it has any, else between blanks.
fn columns(options: &ConllOptions, line: &str) -> Result<(String, String), String> {
    let fields: Vec<&str> = match line.contains('\t') {
        true => line.split('\t').map(str::trim).collect(),
        false => line.split_whitespace().collect(),
    };
    let field = |index: i32, what: &str| {
        let from_end = fields.len() as i64 + i64::from(index);
        let at = if index < 0 { from_end } else { i64::from(index) };
        let found = usize::try_from(at).ok().and_then(|at| fields.get(at));
        match found {
            Some(text) if !text.is_empty() => Ok((*text).to_owned()),
            Some(_) => Err(format!("its {what} (column {index}) is empty")),
            None => Err(format!(
                "it has {} columns, and the {what} is in column {index} (from 0; negative from the end)",
                fields.len()
            )),
        }
    };
    if fields.len() < 2 {
        return Err(format!(
            "it has one column, and a word and its tag are two: {:?}",
            shortened(line)
        ));
    }
    Ok((field(options.word, "word")?, field(options.tag, "tag")?))
}
