//! How the `tokenizer` kind runs: documents become a tokenizer, or one that is there is taken.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use rayon::ThreadPoolBuilder;
use rayon::prelude::*;
use tokenizers::AddedToken;

use super::{Job, Outcome, Registry, StageError, StageRunner};
use crate::data::{DataError, DocumentSource};
use crate::event::{Metrics, Monitor, Unit};
use crate::spec::{Documents, Mistake, Tokenizer};
use crate::tokenizer::{
    ChatTemplate, LoadedTokenizer, SpecialTokens, TokenizerError, TokenizerFolder, TokenizerTraining,
    WordCounts,
};

/// Bytes of documents that are worked on at once.
const AT_ONCE: usize = 16 << 20;

/// Runs `tokenizer` jobs: trains on the documents of `input`, or takes the tokenizer `from`, and writes
/// `tokenizer.json`, `tokenizer_config.json` and, where there is one, `chat_template.jinja` into the output folder.
///
/// Metrics: `vocabulary`, one more than the largest token; where there are documents, `bytes_per_token`, their bytes
/// in UTF-8 by their tokens, and `unknown`, the share of tokens that stand for something unknown.
impl StageRunner for Tokenizer {
    fn run(&self, job: &Job, _: &Registry, monitor: &Monitor) -> Result<Outcome, StageError> {
        let pool = ThreadPoolBuilder::new()
            .num_threads(job.surroundings.threads)
            .build();
        let pool = pool.map_err(|error| StageError::failed(format!("cannot start threads: {error}")))?;
        pool.install(|| run(self, job, monitor))
            .map_err(TokenizerFailure::into_stage_error)
    }

    fn look_into(&self, files: &BTreeMap<String, PathBuf>, _: &Registry) -> Vec<Mistake> {
        let mut mistakes = Vec::new();
        if let Some(path) = files.get("from")
            && let Err(error) = LoadedTokenizer::open(path)
        {
            mistakes.push(Mistake::new(["from"], error.to_string()));
        }
        if let Some(path) = files.get("chat_template")
            && let Err(error) = read_template(path)
        {
            mistakes.push(Mistake::new(["chat_template"], error.to_string()));
        }
        if let (Some(documents), Some(path)) = (&self.documents, files.get("input"))
            && let Err(error) = DocumentSource::find(documents, path)
        {
            mistakes.push(Mistake::new(["input"], error.to_string()));
        }
        mistakes
    }
}

/// What goes wrong, before it is told.
enum TokenizerFailure {
    Data(DataError),
    Tokenizer(TokenizerError),
    Stage(StageError),
}

impl TokenizerFailure {
    fn into_stage_error(self) -> StageError {
        match self {
            Self::Data(DataError::Stopped) => StageError::Interrupted,
            Self::Data(error) => StageError::failed(error.to_string()),
            Self::Tokenizer(error) => StageError::failed(error.to_string()),
            Self::Stage(error) => error,
        }
    }
}

impl From<DataError> for TokenizerFailure {
    fn from(error: DataError) -> Self {
        Self::Data(error)
    }
}

impl From<TokenizerError> for TokenizerFailure {
    fn from(error: TokenizerError) -> Self {
        Self::Tokenizer(error)
    }
}

impl From<StageError> for TokenizerFailure {
    fn from(error: StageError) -> Self {
        Self::Stage(error)
    }
}

fn run(options: &Tokenizer, job: &Job, monitor: &Monitor) -> Result<Outcome, TokenizerFailure> {
    let template = match options.chat_template {
        Some(_) => Some(read_template(job.input("chat_template")?)?),
        None => None,
    };
    let corpus = match (&options.input, &options.documents) {
        (Some(_), Some(documents)) => Some((documents, job.input("input")?)),
        _ => None,
    };
    let folder = match TokenizerTraining::new(options)? {
        Some(training) => {
            let (documents, input) =
                corpus.ok_or_else(|| StageError::failed("there are no documents to train on"))?;
            let max_length = options.max_length.map(std::num::NonZeroU32::get);
            let (tokenizer, special) = train(training, documents, input, monitor)?;
            TokenizerFolder::of_parts(&tokenizer, &special, max_length, template)?
        }
        None => adopt(options, job.input("from")?, template)?,
    };
    let loaded = LoadedTokenizer::of_folder(&folder)?;
    if let Some(template) = loaded.chat_template() {
        ChatTemplate::new(template, loaded.special())?;
    }
    folder.write(&job.output)?;
    let mut metrics = Metrics::new();
    metrics.insert("vocabulary", f64::from(loaded.size()));
    if let Some((documents, input)) = corpus {
        let measured = measure(&loaded, documents, input, monitor)?;
        let tokens = (measured.tokens as f64).max(1.0);
        metrics.insert("bytes_per_token", measured.bytes as f64 / tokens);
        metrics.insert("unknown", measured.unknown as f64 / tokens);
    }
    Ok(Outcome { metrics })
}

fn read_template(path: &Path) -> Result<String, TokenizerError> {
    let text = fs::read_to_string(path).map_err(|source| TokenizerError::Io {
        action: "read",
        path: path.to_owned(),
        source,
    })?;
    ChatTemplate::new(&text, &SpecialTokens::default())?;
    Ok(text)
}

/// The tokenizer at `path`, with what the options say of it.
fn adopt(
    options: &Tokenizer,
    path: &Path,
    template: Option<String>,
) -> Result<TokenizerFolder, TokenizerError> {
    let folder = TokenizerFolder::read(path)?;
    let mut tokenizer = folder.parsed()?;
    let wanted = options.special.all();
    let is_changed = wanted.iter().any(|token| tokenizer.token_to_id(token).is_none())
        || options.add_bos
        || options.add_eos;
    let added = wanted.iter().map(|token| AddedToken::from(*token, true));
    tokenizer
        .add_special_tokens(added)
        .map_err(|error| TokenizerError::Options(format!("the special tokens cannot be added: {error}")))?;
    let special = folder
        .special_tokens(&tokenizer)
        .overridden(&options.special, &tokenizer);
    if options.add_bos || options.add_eos {
        special.put_around(&mut tokenizer, options.add_bos, options.add_eos)?;
    }
    let max_length = options.max_length.map(std::num::NonZeroU32::get);
    folder.adopted(&tokenizer, is_changed, &special, max_length, template)
}

/// Counts the words of all documents, and trains on them.
fn train(
    training: TokenizerTraining<'_>,
    documents: &Documents,
    input: &Path,
    monitor: &Monitor,
) -> Result<(tokenizers::Tokenizer, SpecialTokens), TokenizerFailure> {
    let mut counts = WordCounts::default();
    in_bundles(documents, input, monitor, "count", |texts| {
        Ok(training.count(texts, &mut counts)?)
    })?;
    Ok(training.finish(counts)?)
}

/// What documents are as tokens.
#[derive(Default)]
struct Measured {
    bytes: u64,
    tokens: u64,
    unknown: u64,
}

fn measure(
    tokenizer: &LoadedTokenizer,
    documents: &Documents,
    input: &Path,
    monitor: &Monitor,
) -> Result<Measured, TokenizerFailure> {
    let unknown = tokenizer.special().unk.as_ref().map(|token| token.id);
    let mut all = Measured::default();
    in_bundles(documents, input, monitor, "measure", |texts| {
        let measured = texts.par_iter().map(|text| -> Result<Measured, TokenizerError> {
            let ids = tokenizer.ids(text, false)?;
            Ok(Measured {
                bytes: text.len() as u64,
                tokens: ids.len() as u64,
                unknown: ids.iter().filter(|id| Some(**id) == unknown).count() as u64,
            })
        });
        for measured in measured.collect::<Result<Vec<Measured>, TokenizerError>>()? {
            all.bytes += measured.bytes;
            all.tokens += measured.tokens;
            all.unknown += measured.unknown;
        }
        Ok(())
    })?;
    Ok(all)
}

/// Hands all texts of the documents to `work`, some at a time.
fn in_bundles(
    documents: &Documents,
    input: &Path,
    monitor: &Monitor,
    what: &'static str,
    mut work: impl FnMut(&[String]) -> Result<(), TokenizerFailure>,
) -> Result<(), TokenizerFailure> {
    let source = DocumentSource::find(documents, input)?;
    let mut texts: Vec<String> = Vec::new();
    let (mut waiting, mut done) = (0, 0u64);
    let mut failed = None;
    let read = source.each(|found| {
        if monitor.stopped() {
            return Err(DataError::Stopped);
        }
        let content = found.content.map_err(|problem| DataError::Input {
            place: format!("`{}`", found.origin),
            problem,
        })?;
        done += 1;
        for text in std::iter::once(content.text).chain(content.pair) {
            waiting += text.len();
            texts.push(text);
        }
        if waiting >= AT_ONCE {
            if let Err(failure) = work(&texts) {
                failed = Some(failure);
                return Err(DataError::Stopped);
            }
            texts.clear();
            waiting = 0;
            monitor.progress(what, done, None, Unit::Samples);
        }
        Ok(())
    });
    if let Some(failure) = failed {
        return Err(failure);
    }
    read?;
    if !texts.is_empty() {
        work(&texts)?;
    }
    monitor.progress(what, done, Some(done), Unit::Samples);
    Ok(())
}
