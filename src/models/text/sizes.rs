//! What all networks of text check of the samples that they are for.

use crate::models::error::ModelError;
use crate::models::network::check_weight;
use crate::schema::InputShape;
use crate::spec::TextHead;

/// What follows from the samples and the outputs.
pub(super) struct TextSizes {
    /// Rows of the embedding.
    pub vocabulary: usize,
    pub outputs: usize,
}

/// What a family says of itself.
pub(super) struct TextPlan {
    pub model: &'static str,
    pub head: TextHead,
    /// Rows of the embedding, where they are given.
    pub vocabulary: Option<usize>,
    pub context: usize,
    pub width: usize,
    pub layers: usize,
    /// Values in the weights of each layer.
    pub layer: usize,
}

impl TextPlan {
    /// The sizes of a network for these samples.
    ///
    /// # Errors
    /// Samples without tokens, too long ones, a vocabulary that is too small, outputs that are not the vocabulary, or
    /// weights that are too large.
    pub fn sizes(&self, input: InputShape, outputs: usize) -> Result<TextSizes, ModelError> {
        let InputShape::Tokens { vocabulary, length } = input else {
            return Err(ModelError::WrongSamples {
                model: self.model,
                needs: "tokens",
                samples: input.of_sample().into(),
            });
        };
        if length > self.context {
            return Err(ModelError::TooLong {
                longest: length,
                context: self.context,
            });
        }
        let rows = self.vocabulary.unwrap_or(vocabulary);
        if rows < vocabulary {
            return Err(ModelError::Vocabulary {
                rows,
                tokens: vocabulary,
            });
        }
        let wanted = match self.head {
            head if head.is_vocabulary() => Some(("its vocabulary", rows)),
            TextHead::Similarity => Some(("its width", self.width)),
            _ => None,
        };
        // Of a vocabulary with more rows than there are tokens, those of the tokens are what is predicted.
        let is_tokens = self.head.is_vocabulary() && outputs == vocabulary;
        if let Some((what, wanted)) = wanted.filter(|(_, wanted)| *wanted != outputs && !is_tokens) {
            return Err(ModelError::HeadOutputs {
                head: self.head.name(),
                what,
                wanted,
                outputs,
            });
        }
        check_weight(rows, self.width)?;
        check_weight(self.context, self.width)?;
        check_weight(self.width, outputs)?;
        check_weight(self.layer, self.layers).map_err(|_| ModelError::TooDeep {
            model: self.model,
            depth: self.layers,
            layer: self.layer,
        })?;
        Ok(TextSizes {
            vocabulary: rows,
            outputs,
        })
    }
}
