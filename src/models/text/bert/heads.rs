//! The heads of the family.

use super::super::head::{HeadFunction, HeadLayers, HiddenTransform, SampleToken};
use super::super::layers::{DEVIATION, Dropouts};
use super::super::sizes::TextSizes;
use super::linear;
use crate::models::builder::{Builder, Init};
use crate::models::error::ModelError;
use crate::models::layers::Weight;
use crate::spec::{BelowOne, BertOptions, BertVariant, TextHead};

/// The head that `spec` asks for, with the name of its last layer; `embedding` is the tokens' weight.
pub(super) fn build(
    spec: &BertOptions,
    sizes: &TextSizes,
    embedding: Weight,
    dropouts: &mut Dropouts,
    builder: &mut Builder,
) -> Result<(&'static str, HeadLayers), ModelError> {
    let (width, outputs) = (spec.width(), sizes.outputs);
    let own = |otherwise: f64| spec.head_dropout.map_or(otherwise, BelowOne::get);
    let usual = own(spec.dropout());
    Ok(match spec.text_head() {
        TextHead::Masked | TextHead::Causal => masked(spec, sizes, embedding, builder)?,
        TextHead::Tokens => {
            let head = HeadLayers::Tokens {
                dropout: dropouts.next(usual),
                outputs: linear(builder, "classifier", width, outputs)?,
            };
            ("classifier", head)
        }
        TextHead::Classification => {
            let (first, name, function, last) = match spec.variant {
                BertVariant::Bert => (None, "bert.pooler.dense", HeadFunction::Tanh, "classifier"),
                BertVariant::Distilbert => (None, "pre_classifier", HeadFunction::Relu, "classifier"),
                BertVariant::Roberta => {
                    let first = Some(dropouts.next(usual));
                    (
                        first,
                        "classifier.dense",
                        HeadFunction::Tanh,
                        "classifier.out_proj",
                    )
                }
            };
            let probability = match spec.variant {
                BertVariant::Distilbert => own(0.2),
                _ => usual,
            };
            let head = HeadLayers::Sample {
                token: SampleToken::First,
                first,
                hidden: Some((linear(builder, name, width, width)?, function)),
                dropout: Some(dropouts.next(probability)),
                outputs: linear(builder, last, width, outputs)?,
            };
            ("classifier", head)
        }
        TextHead::Similarity => ("pooling", HeadLayers::Mean),
    })
}

fn masked(
    spec: &BertOptions,
    sizes: &TextSizes,
    embedding: Weight,
    builder: &mut Builder,
) -> Result<(&'static str, HeadLayers), ModelError> {
    let width = spec.width();
    let [dense, norm, bias, decoder] = match spec.variant {
        BertVariant::Bert => [
            "cls.predictions.transform.dense",
            "cls.predictions.transform.LayerNorm",
            "cls.predictions.bias",
            "cls.predictions.decoder.weight",
        ],
        BertVariant::Distilbert => [
            "vocab_transform",
            "vocab_layer_norm",
            "vocab_projector.bias",
            "vocab_projector.weight",
        ],
        BertVariant::Roberta => [
            "lm_head.dense",
            "lm_head.layer_norm",
            "lm_head.bias",
            "lm_head.decoder.weight",
        ],
    };
    let name = match spec.variant {
        BertVariant::Bert => "cls.predictions",
        BertVariant::Distilbert => "vocab_projector",
        BertVariant::Roberta => "lm_head",
    };
    let transform = HiddenTransform {
        dense: linear(builder, dense, width, width)?,
        activation: spec.mlp_activation(),
        norm: builder.layer_norm(norm, width, spec.epsilon())?,
    };
    let shape = [sizes.vocabulary, width];
    let weight = match spec.tied.unwrap_or(true) {
        true => embedding,
        false => builder.parameter(decoder.into(), &shape, Init::Normal(DEVIATION))?,
    };
    let head = HeadLayers::Vocabulary {
        transform: Some(transform),
        weight,
        bias: Some(builder.parameter(bias.into(), &shape[..1], Init::Constant(0.0))?),
    };
    Ok((name, head))
}
