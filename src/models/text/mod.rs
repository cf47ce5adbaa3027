//! Networks of text: embeddings, layers over tokens, and a head.
//!
//! Samples of one length are worked on as `[N, T, W]`, of several as rows of all tokens, `[rows, W]`: nothing is
//! computed for what would fill the shorter ones up.

mod batch;
mod bert;
mod cache;
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
pub use cache::KeyValueCache;
pub use output::TextOutput;

/// What comes before the head.
trait TextBody: Send + Sync {
    /// Hidden states, `[N, T, W]` or `[rows, W]`.
    fn forward(&self, batch: &TokenBatch, pass: &Pass) -> Result<Tensor, ModelError>;

    /// The linear layers that low-rank changes are usually made of, by the ends of their names, as in PEFT.
    fn usual_targets(&self) -> &[&'static str];

    /// The same for tokens that follow those of `cache`, which has them too afterwards.
    fn forward_cached(
        &self,
        batch: &TokenBatch,
        cache: &mut KeyValueCache,
        pass: &Pass,
    ) -> Result<Tensor, ModelError> {
        let _ = (batch, cache, pass);
        let problem = "each of them sees those behind it, so none can be kept".to_owned();
        Err(ModelError::Tokens { problem })
    }
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
        let pass = &Pass {
            sequences: batch.sequences(),
            ..*pass
        };
        let hidden = self.body.forward(batch, pass)?;
        self.head.forward(&hidden, batch, pass)
    }

    fn forward_cached(
        &self,
        batch: &TokenBatch,
        cache: &mut KeyValueCache,
        pass: &Pass,
    ) -> Result<TextOutput, ModelError> {
        batch.check(self.context)?;
        let hidden = self.body.forward_cached(batch, cache, pass)?;
        self.head.forward(&hidden, batch, pass)
    }

    fn head(&self) -> &str {
        self.name
    }

    fn gives_vocabulary(&self) -> bool {
        matches!(self.head, HeadLayers::Vocabulary { .. })
    }

    fn usual_targets(&self) -> &[&'static str] {
        self.body.usual_targets()
    }
}
