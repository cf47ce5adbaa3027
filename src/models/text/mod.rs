//! Networks of text: embeddings, layers over tokens, and a head.
//!
//! Samples of one length are worked on as `[N, T, W]`, of several as rows of all tokens, `[rows, W]`: nothing is
//! computed for what would fill the shorter ones up.

mod batch;
mod bert;
mod decoder_head;
mod gpt2;
mod head;
mod layers;
mod llama;
mod output;
mod sizes;

use candle_core::Tensor;

use super::error::ModelError;
use super::network::{Architecture, Pass};
use head::HeadLayers;

pub use batch::TokenBatch;
pub use output::TextOutput;

/// What comes before the head.
trait TextBody: Send + Sync {
    /// Hidden states, `[N, T, W]` or `[rows, W]`.
    fn forward(&self, batch: &TokenBatch, pass: &Pass) -> Result<Tensor, ModelError>;
}

/// A body and a head.
struct TextNetwork {
    body: Box<dyn TextBody>,
    head: HeadLayers,
    /// The name of the layer that gives the outputs.
    name: &'static str,
    /// Tokens of the longest sample.
    context: usize,
}

impl Architecture for TextNetwork {
    fn forward(&self, input: &Tensor, pass: &Pass) -> Result<Tensor, ModelError> {
        let output = self.forward_tokens(&TokenBatch::of_tensor(input)?, pass)?;
        output.outputs(pass.precision)
    }

    fn forward_tokens(&self, batch: &TokenBatch, pass: &Pass) -> Result<TextOutput, ModelError> {
        batch.check(self.context)?;
        let hidden = self.body.forward(batch, pass)?;
        self.head.forward(&hidden, batch, pass)
    }

    fn head(&self) -> &str {
        self.name
    }
}
