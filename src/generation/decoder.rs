//! A network that is shown each token once.

use std::sync::Arc;

use candle_core::{Device, Tensor};

use super::error::GenerationError;
use super::scores::check_finite;
use crate::models::{KeyValueCache, Network, Pass, TextOutput};
use crate::ops::{PackedWeights, WeightForm};
use crate::parallel::attended;
use crate::spec::Precision;

/// A network that is asked for the scores of next tokens.
pub struct Decoder<'a> {
    network: &'a Network,
    device: &'a Device,
    precision: Precision,
    /// Tokens that it can be shown at once.
    context: usize,
    /// What is kept of the weights from token to token.
    weights: Arc<PackedWeights>,
}

/// What a [`Decoder`] keeps of the weights from token to token, for others of the same network.
#[derive(Clone)]
pub struct DecoderWeights(Arc<PackedWeights>);

impl<'a> Decoder<'a> {
    /// Asks `network`, which has `context` positions for tokens.
    pub fn new(network: &'a Network, context: usize, precision: Precision, device: &'a Device) -> Self {
        Self {
            network,
            device,
            precision,
            context,
            weights: Arc::new(PackedWeights::new(WeightForm::Small)),
        }
    }

    /// The same with the weights of fully connected layers rounded to eight bits, and what they are multiplied with too.
    /// Of the CPU alone.
    #[must_use]
    pub fn with_int8_weights(self) -> Self {
        Self {
            weights: Arc::new(PackedWeights::new(WeightForm::Int8)),
            ..self
        }
    }

    /// The same with what another decoder of the same network keeps of the weights.
    #[must_use]
    pub fn with_weights(self, weights: &DecoderWeights) -> Self {
        Self {
            weights: Arc::clone(&weights.0),
            ..self
        }
    }

    /// What it keeps of the weights.
    pub fn weights(&self) -> DecoderWeights {
        DecoderWeights(Arc::clone(&self.weights))
    }

    /// Tokens that the network can be shown at once.
    pub fn context(&self) -> usize {
        self.context
    }

    /// The scores behind the next tokens of each sequence of `cache`, which has them afterwards.
    ///
    /// # Errors
    /// Tokens that do not fit, a network that is not for this, or scores that are not finite.
    pub fn scores(
        &self,
        cache: &mut KeyValueCache,
        next: &[&[u32]],
    ) -> Result<Vec<Vec<f32>>, GenerationError> {
        let scores = self.unchecked_scores(cache, next)?;
        for scores in &scores {
            check_finite(scores)?;
        }
        Ok(scores)
    }

    /// The same, whatever the scores are.
    pub(super) fn unchecked_scores(
        &self,
        cache: &mut KeyValueCache,
        next: &[&[u32]],
    ) -> Result<Vec<Vec<f32>>, GenerationError> {
        let batch = cache.batch(next, self.device)?;
        let pass = Pass::evaluate(self.precision);
        let forward = || -> Result<Tensor, GenerationError> {
            let output = self.network.forward_cached(&batch, cache, &pass)?;
            let mut end = 0;
            let last: Vec<u32> = next
                .iter()
                .map(|tokens| {
                    end += tokens.len();
                    end as u32 - 1
                })
                .collect();
            // All logits of a prompt would be many.
            let rows =
                |tensor: &Tensor| tensor.index_select(&Tensor::new(last.as_slice(), tensor.device())?, 0);
            let output = match output {
                TextOutput::Vocabulary { hidden, weight, bias } => TextOutput::Vocabulary {
                    hidden: rows(&hidden)?,
                    weight,
                    bias,
                },
                TextOutput::Rows(outputs) => TextOutput::Rows(rows(&outputs)?),
            };
            Ok(output.outputs(self.precision)?)
        };
        let forward = || self.weights.reuse(forward);
        let scores = match self.device.is_cpu() {
            true => attended(forward),
            false => forward(),
        };
        Ok(scores?.to_vec2::<f32>()?)
    }
}
