//! How the `generate` kind runs.

mod prompts;
mod samples;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::{Job, Outcome, Registry, StageError, StageRunner};
use crate::event::{Metrics, Monitor, Unit};
use crate::generation::{
    Decoder, GeneratedTokens, GenerationError, GenerationRules, Started, continue_text, search_beams,
};
use crate::spec::{Generate, METRICS_FILE, Mistake, NarrowWeights, Precision};
use crate::tokenizer::{LoadedTokenizer, TOKENIZER_FILE};
use crate::train::{self, Components, PretrainedFolder, TrainError, on_threads};
use prompts::{EncodedPrompt, encode_prompts};
pub use samples::read_samples;
use samples::{GeneratedSample, write_samples};

/// Has the input `model` go on with prompts.
///
/// The artifact: `samples.jsonl`, an object a text (`prompt`, `sample`, `text`, `tokens`, and `end`: `length`, `token` or
/// `text`), `samples.md`, the same to be read, and `metrics.json`. The metrics: `samples`, the number of texts, and
/// `tokens`, those of all of them.
impl StageRunner for Generate {
    fn run(&self, job: &Job, registry: &Registry, monitor: &Monitor) -> Result<Outcome, StageError> {
        let mut failure = None;
        let metrics = on_threads(job.surroundings.threads, || {
            match self.generate(job, registry.training(), monitor) {
                Ok(metrics) => Ok(metrics),
                Err(error) => {
                    failure = Some(error);
                    Err(TrainError::Interrupted)
                }
            }
        });
        match (failure, metrics) {
            (Some(failure), _) => Err(failure),
            (None, metrics) => Ok(Outcome { metrics: metrics? }),
        }
    }

    fn look_into(&self, files: &BTreeMap<String, PathBuf>, registry: &Registry) -> Vec<Mistake> {
        let mut mistakes = Vec::new();
        let mut beside = None;
        if let Some(path) = files.get("model") {
            match PretrainedFolder::open_causal(path, registry.training()) {
                Ok(folder) => beside = folder.tokenizer_folder(),
                Err(problem) => {
                    mistakes.push(Mistake::new(["model"], format!("`{}`: {problem}", self.model)));
                }
            }
        }
        if let Some(path) = files.get("tokenizer").or(beside.as_ref())
            && let Err(error) = LoadedTokenizer::open(path)
        {
            let field = if self.tokenizer.is_some() {
                "tokenizer"
            } else {
                "model"
            };
            mistakes.push(Mistake::new([field], error.to_string()));
        }
        mistakes
    }
}

impl Generate {
    fn generate(&self, job: &Job, components: &Components, monitor: &Monitor) -> Result<Metrics, StageError> {
        let failed = |problem: String| StageError::failed(problem);
        let path = job.input("model")?;
        let of_model = |problem: String| failed(format!("the model `{}`: {problem}", self.model));
        let folder = PretrainedFolder::open_causal(path, components).map_err(of_model)?;
        for note in folder.notes() {
            monitor.info(note.clone());
        }
        let tokenizer = self.open_tokenizer(&folder, job)?;
        let device = job.surroundings.device.open().map_err(StageError::from)?;
        let network = folder.answering(components, &device).map_err(of_model)?;
        let context = folder.sizes().context;
        let rules = GenerationRules::of(self, ends(&folder, &tokenizer));
        let prompts = encode_prompts(self, job, &tokenizer)?;
        if folder.is_quantized() && self.precision != Precision::F32 {
            return Err(of_model(
                "it is quantized, and what stays of it is computed in f32: leave `precision` out, or name the model that it was \
                 made from"
                    .to_owned(),
            ));
        }
        let decoder = Decoder::new(&network, context, self.precision, &device);
        let decoder = match self.weights {
            None => decoder,
            Some(NarrowWeights::Int8) if folder.is_quantized() => {
                return Err(of_model(
                    "it is quantized already: leave `weights` out, or name the model that it was made from"
                        .to_owned(),
                ));
            }
            Some(NarrowWeights::Int8) if device.is_cpu() => decoder.with_int8_weights(),
            Some(NarrowWeights::Int8) => {
                return Err(failed(
                    "`weights: int8` is for the CPU alone, and this run computes on a GPU: leave `weights` out, or run \
                     with `--device cpu`"
                        .to_owned(),
                ));
            }
        };
        self.check_tokens(&prompts, &folder)?;
        let longest = prompts
            .iter()
            .map(|prompt| prompt.tokens.len())
            .max()
            .unwrap_or(0);
        if longest + rules.tokens > context + 1 {
            monitor.info(format!(
                "a text of {} tokens is longer than the model's {context} positions: beyond them it is shown the last \
                 {context} alone, anew for each token",
                longest + rules.tokens
            ));
        }
        let mut samples = Vec::new();
        let total = (prompts.len() * self.count.get() as usize) as u64;
        for prompt in &prompts {
            let texts = self.of_prompt(prompt, &decoder, &rules, &tokenizer, job.seed, monitor)?;
            for (number, generated) in texts.into_iter().enumerate() {
                samples.push(GeneratedSample::new(
                    prompt, number, &generated, &self.stop, &tokenizer,
                )?);
            }
            monitor.progress("generate", samples.len() as u64, Some(total), Unit::Samples);
        }
        write_samples(&job.output, &samples)?;
        let tokens: usize = samples.iter().map(|sample| sample.tokens).sum();
        let figures = [("samples", samples.len() as f64), ("tokens", tokens as f64)];
        let metrics: Metrics = figures.map(|(name, value)| (name.to_owned(), value)).into();
        train::write_json(&job.output.join(METRICS_FILE), &metrics)?;
        Ok(metrics)
    }

    /// The texts behind one prompt.
    fn of_prompt(
        &self,
        prompt: &EncodedPrompt,
        decoder: &Decoder<'_>,
        rules: &GenerationRules,
        tokenizer: &LoadedTokenizer,
        seed: u64,
        monitor: &Monitor,
    ) -> Result<Vec<GeneratedTokens>, StageError> {
        let told = |error: GenerationError| match error {
            GenerationError::Interrupted => StageError::Interrupted,
            other => StageError::failed(format!("the prompt {}: {other}", prompt.shown())),
        };
        let started = Started::new(decoder, &prompt.tokens, rules.tokens).map_err(told)?;
        let mut is_over = |tokens: &[u32]| {
            if monitor.stopped() {
                return Err(GenerationError::Interrupted);
            }
            if self.stop.is_empty() {
                return Ok(false);
            }
            let text = prompt.continuation(tokens, tokenizer);
            let text = text.map_err(|error| GenerationError::Text(error.to_string()))?;
            Ok(self.stop.iter().any(|stop| text.contains(stop)))
        };
        if let Some(beams) = self.beams {
            let (beams, count) = (beams.get() as usize, self.count.get() as usize);
            return search_beams(&started, rules, beams, count, &mut is_over).map_err(told);
        }
        let texts =
            (0..self.count.get()).map(|number| continue_text(&started, rules, (seed, number), &mut is_over));
        texts.collect::<Result<_, _>>().map_err(told)
    }

    fn open_tokenizer(&self, model: &PretrainedFolder, job: &Job) -> Result<LoadedTokenizer, StageError> {
        let path = match (&self.tokenizer, model.tokenizer_folder()) {
            (Some(_), _) => job.input("tokenizer")?.to_owned(),
            (None, Some(folder)) => folder,
            (None, None) => {
                return Err(StageError::failed(format!(
                    "there is no `{TOKENIZER_FILE}` beside the model `{}`: name the tokenizer by `tokenizer`",
                    self.model
                )));
            }
        };
        LoadedTokenizer::open(&path).map_err(|error| StageError::failed(error.to_string()))
    }

    /// Fails where a prompt has a token that the model has no row for.
    fn check_tokens(&self, prompts: &[EncodedPrompt], folder: &PretrainedFolder) -> Result<(), StageError> {
        let largest = prompts.iter().flat_map(|prompt| &prompt.tokens).max();
        match largest.filter(|largest| **largest as usize >= folder.rows()) {
            None => Ok(()),
            Some(token) => Err(StageError::failed(format!(
                "the tokenizer gives the token {token}, and the model `{}` knows those under {}: they do not belong \
                 together",
                self.model,
                folder.rows()
            ))),
        }
    }
}

/// The tokens that end a text: those that the folder names, else the tokenizer's.
fn ends(folder: &PretrainedFolder, tokenizer: &LoadedTokenizer) -> Vec<u32> {
    let told = folder.end_tokens();
    match told.is_empty() {
        true => tokenizer.special().eos.iter().map(|token| token.id).collect(),
        false => told,
    }
}
