//! What all architectures have in common.

mod graph;
mod state;

pub use state::{NetworkLayout, TensorLayout};

use std::fmt::{self, Debug, Formatter};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use candle_core::{Device, Tensor, Var};

use super::builder::Builder;
use super::error::ModelError;
use super::low_rank::LinearPlace;
use super::text::{KeyValueCache, TextOutput, TokenBatch};
use crate::ops::{RunningStatistics, Sequences};
use crate::schema::InputShape;
use crate::spec::Precision;

/// How a forward pass is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pass<'a> {
    /// In training, parameters take part in autograd, batch norm uses the batch's statistics and
    /// remembers them, and dropout drops. Otherwise no graph is kept.
    pub train: bool,
    /// The arithmetic of convolutions and matrix products.
    pub precision: Precision,
    /// The run's seed, for dropout.
    pub seed: u64,
    /// The epoch, for dropout.
    pub epoch: u32,
    /// The samples' indices in their split, `[N]`, for dropout: a sample's masks are its own, whatever
    /// batch it is in.
    pub samples: &'a [u32],
    /// Where the samples lie among rows of tokens, if the values are such: networks of text set it.
    pub sequences: Option<&'a Sequences>,
}

impl Pass<'_> {
    /// Whether it trains, which none does in a program that only asks models: nothing of it is linked there.
    pub(super) fn trains(&self) -> bool {
        cfg!(feature = "full") && self.train
    }

    /// A pass that only evaluates.
    pub fn evaluate(precision: Precision) -> Self {
        Self {
            train: false,
            precision,
            seed: 0,
            epoch: 0,
            samples: &[],
            sequences: None,
        }
    }
}

/// A tensor that is trained.
#[derive(Clone, Debug)]
pub struct Parameter {
    /// Its name in PyTorch.
    pub name: String,
    /// Its value.
    pub var: Var,
    /// Whether weight decay is customary for it: not for norms and biases.
    pub decays: bool,
    /// Whether it is a constant that gets no gradient: see [`Network::freeze`].
    pub frozen: bool,
}

/// Layers in their order.
pub trait Architecture: Send + Sync {
    /// Logits `[N, outputs]` of a batch in the documented layout, of each pixel `[N, H, W, outputs]`. Which operations it runs depends on the shape of a sample
    /// and on the pass, not on values or the number of samples: in evaluation they may be recorded once and run again.
    fn forward(&self, input: &Tensor, pass: &Pass) -> Result<Tensor, ModelError>;

    /// The outputs of a batch of tokens, from an architecture that is for these.
    ///
    /// # Errors
    /// A batch that does not fit, or an architecture that is not for tokens.
    fn forward_tokens(&self, batch: &TokenBatch, pass: &Pass) -> Result<TextOutput, ModelError> {
        let _ = (batch, pass);
        let problem = "the network is not for them".to_owned();
        Err(ModelError::Tokens { problem })
    }

    /// The outputs of tokens that follow those of `cache`, which has them too afterwards, from an architecture whose
    /// tokens see none behind them.
    ///
    /// # Errors
    /// A batch that the cache did not make, or an architecture that cannot.
    fn forward_cached(
        &self,
        batch: &TokenBatch,
        cache: &mut KeyValueCache,
        pass: &Pass,
    ) -> Result<TextOutput, ModelError> {
        let _ = (batch, cache, pass);
        let problem = "the network is not for them".to_owned();
        Err(ModelError::Tokens { problem })
    }

    /// The name of the layer that gives the logits, such as `fc` where its weight is `fc.weight`. Its
    /// shape follows the number of outputs, so weights of another task have another one.
    fn head(&self) -> &str;

    /// Whether there are outputs for each pixel of an image, and not for the image.
    fn judges_pixels(&self) -> bool {
        false
    }

    /// Whether the outputs are the tokens of a vocabulary, which are the same for every task.
    fn gives_vocabulary(&self) -> bool {
        false
    }

    /// The linear layers that low-rank changes are usually made of, by the ends of their names; where there are none,
    /// all but the head.
    fn usual_targets(&self) -> &[&'static str] {
        &[]
    }
}

/// What a network is shown of a batch.
#[derive(Clone, Debug)]
pub enum NetworkInput {
    /// `[N, C, H, W]` or `[N, F]` of f32.
    Values(Tensor),
    /// Texts.
    Tokens(TokenBatch),
}

impl NetworkInput {
    /// How many samples there are.
    pub fn samples(&self) -> usize {
        match self {
            Self::Values(values) => values.dims()[0],
            Self::Tokens(tokens) => tokens.samples(),
        }
    }
}

/// A network with its weights.
pub struct Network {
    pub(super) architecture: Arc<dyn Architecture>,
    input: InputShape,
    outputs: usize,
    pub(super) parameters: Vec<Parameter>,
    /// For each parameter, the flag that its layer reads.
    pub(super) frozen: Vec<Arc<AtomicBool>>,
    statistics: Vec<(String, Arc<Mutex<RunningStatistics>>)>,
    pub(super) linears: Vec<LinearPlace>,
}

/// Fails where a weight of `inputs` x `outputs` values is beyond reason.
pub(super) fn check_weight(inputs: usize, outputs: usize) -> Result<(), ModelError> {
    const LIMIT: usize = 1 << 32;
    match inputs.checked_mul(outputs) {
        Some(values) if values <= LIMIT => Ok(()),
        _ => Err(ModelError::TooLarge { inputs, outputs }),
    }
}

/// The channels of the images that `model` is for.
pub(super) fn image_channels(model: &'static str, input: InputShape) -> Result<usize, ModelError> {
    match input {
        InputShape::Image { channels, .. } => Ok(channels),
        _ => Err(not_images(model, input)),
    }
}

/// What is told where `model` is for images and `input` is none.
pub(super) fn not_images(model: &'static str, input: InputShape) -> ModelError {
    match input {
        InputShape::Features { columns } => ModelError::NotImages { model, columns },
        _ => ModelError::WrongSamples {
            model,
            needs: "images",
            samples: input.of_sample().into(),
        },
    }
}

impl Network {
    /// The network of `architecture`, which was built with `builder`.
    pub(super) fn new(
        architecture: Box<dyn Architecture>,
        input: InputShape,
        outputs: usize,
        builder: Builder<'_>,
    ) -> Self {
        Self {
            architecture: architecture.into(),
            input,
            outputs,
            parameters: builder.parameters,
            frozen: builder.frozen,
            statistics: builder.statistics,
            linears: builder.linears,
        }
    }

    /// One without parameters, whose answers `architecture` gives.
    pub fn answered_by(architecture: Box<dyn Architecture>, input: InputShape, outputs: usize) -> Self {
        Self::new(architecture, input, outputs, Builder::new(None, &Device::Cpu))
    }

    /// What the network gives for a batch of whatever it is for.
    ///
    /// # Errors
    /// A batch that it is not for.
    pub fn answer(&self, input: &NetworkInput, pass: &Pass) -> Result<TextOutput, ModelError> {
        match input {
            NetworkInput::Values(values) => self.forward(values, pass).map(TextOutput::Rows),
            NetworkInput::Tokens(tokens) => self.forward_tokens(tokens, pass),
        }
    }

    /// The outputs of a batch of tokens.
    ///
    /// # Errors
    /// A network that is not for tokens, samples that are too long, or a token that is not in the vocabulary.
    pub fn forward_tokens(&self, batch: &TokenBatch, pass: &Pass) -> Result<TextOutput, ModelError> {
        self.architecture.forward_tokens(batch, pass)
    }

    /// The outputs of the next tokens of some sequences, a batch that `cache` made of them; it has them too afterwards.
    /// They are what [`Network::forward_tokens`] gives for whole sequences, up to rounding.
    ///
    /// # Errors
    /// A network whose tokens see those behind them, or tokens that do not fit.
    pub fn forward_cached(
        &self,
        batch: &TokenBatch,
        cache: &mut KeyValueCache,
        pass: &Pass,
    ) -> Result<TextOutput, ModelError> {
        self.architecture.forward_cached(batch, cache, pass)
    }

    /// The logits `[N, outputs]` of a batch `[N, C, H, W]` or `[N, F]` of f32; of tokens `[N, T]` of u32 the
    /// outputs, which may be one row a token, `[N, T, outputs]`. Networks that judge pixels give `[N, H, W, outputs]`.
    ///
    /// # Errors
    /// A batch of another shape than the network was built for.
    pub fn forward(&self, input: &Tensor, pass: &Pass) -> Result<Tensor, ModelError> {
        self.check_batch(input)?;
        self.architecture.forward(&input.detach(), pass)
    }

    /// Fails where a batch has another shape than the network was built for.
    fn check_batch(&self, input: &Tensor) -> Result<(), ModelError> {
        let fits = match (self.input, input.dims()) {
            (
                InputShape::Image {
                    channels,
                    height,
                    width,
                },
                &[_, c, h, w],
            ) => (channels, height, width) == (c, h, w),
            (InputShape::Features { columns }, &[_, given]) => columns == given,
            // Samples of one length, which may be shorter than the longest.
            (InputShape::Tokens { .. }, &[_, _]) => true,
            _ => false,
        };
        match fits {
            true => Ok(()),
            false => Err(ModelError::BatchShape {
                expected: self.input,
                given: input.dims().to_vec(),
            }),
        }
    }

    /// The shape of a sample.
    pub fn input(&self) -> InputShape {
        self.input
    }

    /// How many logits a sample gets.
    pub fn outputs(&self) -> usize {
        self.outputs
    }

    /// Whether there are outputs for each pixel of an image, and not for the image.
    pub fn judges_pixels(&self) -> bool {
        self.architecture.judges_pixels()
    }

    /// Height and width of the images of whose pixels there are outputs, where there are.
    pub fn judged_pixels(&self) -> Option<[usize; 2]> {
        match self.input {
            InputShape::Image { height, width, .. } if self.judges_pixels() => Some([height, width]),
            _ => None,
        }
    }

    /// Whether the outputs are the tokens of a vocabulary, which are the same for every task.
    pub fn gives_vocabulary(&self) -> bool {
        self.architecture.gives_vocabulary()
    }

    /// Its layers, which this network and others have in common.
    pub fn architecture(&self) -> Arc<dyn Architecture> {
        Arc::clone(&self.architecture)
    }

    /// The parameters of the output layer, where it belongs to a task: not those over a vocabulary.
    pub fn task_head(&self) -> impl Iterator<Item = &Parameter> {
        let head = (!self.gives_vocabulary()).then(|| format!("{}.", self.architecture.head()));
        let own = move |parameter: &&Parameter| {
            head.as_deref()
                .is_some_and(|head| parameter.name.starts_with(head))
        };
        self.parameters.iter().filter(own)
    }

    /// What is trained, or would be were it not frozen, in definition order.
    pub fn parameters(&self) -> &[Parameter] {
        &self.parameters
    }

    /// Makes those parameters constants whose name `frozen` holds for, and all others trained: no
    /// gradient is computed for what is frozen. The running statistics of frozen batch norms still
    /// follow the batches in training, as in PyTorch, where freezing is `requires_grad = False`.
    pub fn freeze(&mut self, frozen: impl Fn(&str) -> bool) {
        for (parameter, flag) in self.parameters.iter_mut().zip(&self.frozen) {
            parameter.frozen = frozen(&parameter.name);
            flag.store(parameter.frozen, Ordering::Relaxed);
        }
    }

    pub(super) fn device(&self) -> Device {
        self.parameters
            .first()
            .map_or(Device::Cpu, |parameter| parameter.var.device().clone())
    }
}

impl Debug for Network {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self
            .parameters
            .iter()
            .map(|parameter| parameter.name.as_str())
            .collect();
        f.debug_struct("Network")
            .field("input", &self.input)
            .field("outputs", &self.outputs)
            .field("parameters", &names)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
#[cfg(test)]
pub(crate) use tests::graph as graph_testing;
