//! The heads of networks whose tokens see only those before them.

use super::head::{HeadLayers, SampleToken};
use super::layers::{DEVIATION, Dropouts};
use super::sizes::TextSizes;
use crate::models::builder::{Builder, Init};
use crate::models::error::ModelError;
use crate::models::layers::Weight;
use crate::spec::TextHead;

/// What the families' heads differ in.
pub(super) struct DecoderHead {
    pub head: TextHead,
    pub width: usize,
    /// Whether the embedding is the output layer's weight too.
    pub tied: bool,
    /// The name of the layer for the classes of tokens.
    pub tokens: &'static str,
    /// Of what that layer is shown.
    pub dropout: f64,
}

impl DecoderHead {
    /// The layers, with the name of the last one; `embedding` is the tokens' weight.
    pub fn build(
        &self,
        sizes: &TextSizes,
        embedding: &Weight,
        dropouts: &mut Dropouts,
        builder: &mut Builder,
    ) -> Result<(&'static str, HeadLayers), ModelError> {
        let deviation = Init::Normal(DEVIATION);
        let shape = (self.width, sizes.outputs);
        Ok(match self.head {
            TextHead::Causal | TextHead::Masked => {
                let own = [sizes.vocabulary, self.width];
                let weight = match self.tied {
                    true => embedding.clone(),
                    false => builder.parameter("lm_head.weight".into(), &own, deviation)?,
                };
                let head = HeadLayers::Vocabulary {
                    transform: None,
                    weight,
                    bias: None,
                };
                ("lm_head", head)
            }
            TextHead::Classification => {
                let head = HeadLayers::Sample {
                    token: SampleToken::Last,
                    first: None,
                    hidden: None,
                    dropout: None,
                    outputs: builder.linear_with("score", shape, deviation, None)?,
                };
                ("score", head)
            }
            TextHead::Tokens => {
                let zero = Some(Init::Constant(0.0));
                let head = HeadLayers::Tokens {
                    dropout: dropouts.next(self.dropout),
                    outputs: builder.linear_with(self.tokens, shape, deviation, zero)?,
                };
                (self.tokens, head)
            }
            TextHead::Similarity => ("pooling", HeadLayers::Mean),
        })
    }
}
