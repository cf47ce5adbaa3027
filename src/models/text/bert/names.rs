//! How Hugging Face's models of the family call their layers.

use crate::spec::{BertVariant, TextHead};

/// The names of one variant.
pub(super) struct Names {
    /// Before all names of the body.
    pub prefix: &'static str,
    /// The list of layers.
    pub layers: &'static str,
    /// Of queries, keys, values and the projection behind them.
    pub attention: [&'static str; 4],
    /// Behind attention and MLP.
    pub norms: [&'static str; 2],
    /// Of an MLP's layers.
    pub mlp: [&'static str; 2],
}

impl Names {
    /// The names of a body under `head`. A base model alone has no prefix.
    pub fn of(variant: BertVariant, head: TextHead) -> Self {
        let alone = head == TextHead::Similarity;
        if variant == BertVariant::Distilbert {
            return Self {
                prefix: if alone { "" } else { "distilbert." },
                layers: "transformer.layer",
                attention: [
                    "attention.q_lin",
                    "attention.k_lin",
                    "attention.v_lin",
                    "attention.out_lin",
                ],
                norms: ["sa_layer_norm", "output_layer_norm"],
                mlp: ["ffn.lin1", "ffn.lin2"],
            };
        }
        let prefix = match variant {
            _ if alone => "",
            BertVariant::Roberta => "roberta.",
            _ => "bert.",
        };
        Self {
            prefix,
            layers: "encoder.layer",
            attention: [
                "attention.self.query",
                "attention.self.key",
                "attention.self.value",
                "attention.output.dense",
            ],
            norms: ["attention.output.LayerNorm", "output.LayerNorm"],
            mlp: ["intermediate.dense", "output.dense"],
        }
    }
}
