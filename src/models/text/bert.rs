//! BERT, DistilBERT and RoBERTa, with the names of Hugging Face's models.

mod heads;
mod names;

use candle_core::Tensor;

use super::batch::TokenBatch;
use super::layers::{DEVIATION, Dropouts, EmbeddingTable, activate, drop_tokens};
use super::sizes::TextPlan;
use super::{TextBody, TextNetwork};
use crate::models::builder::{Builder, Init};
use crate::models::error::ModelError;
use crate::models::layers::{Dropout, LayerNorm, Linear};
use crate::models::list::ModelBuilder;
use crate::models::network::{Architecture, Pass};
use crate::ops::{self, AttentionOperands, AttentionOptions, TableRows};
use crate::schema::InputShape;
use crate::spec::{BelowOne, BertOptions, BertVariant, MlpActivation, Positive, TextHead};
use names::Names;

struct Bert {
    tokens: EmbeddingTable,
    positions: EmbeddingTable,
    /// The row of the first token's position.
    first_position: usize,
    types: Option<EmbeddingTable>,
    norm: LayerNorm,
    dropout: Dropout,
    layers: Vec<BertLayer>,
}

/// Attention and an MLP, each with a path around it and a layer norm behind that.
struct BertLayer {
    queries: Linear,
    keys: Linear,
    values: Linear,
    heads: usize,
    attention_dropout: Dropout,
    projection: Linear,
    /// Behind the projection; `distilbert` has none there.
    dropout: Option<Dropout>,
    norm_1: LayerNorm,
    mlp: [Linear; 2],
    activation: MlpActivation,
    mlp_dropout: Dropout,
    norm_2: LayerNorm,
}

impl BertOptions {
    fn plan(&self) -> TextPlan {
        let width = self.width();
        TextPlan {
            model: "bert",
            head: self.text_head(),
            vocabulary: self.vocabulary.map(|rows| rows.get() as usize),
            context: self.context(),
            width,
            layers: self.layers(),
            layer: width.saturating_mul(4 * width + 2 * self.ffn()),
        }
    }

    fn text_head(&self) -> TextHead {
        self.head.unwrap_or(TextHead::Masked)
    }

    fn epsilon(&self) -> f64 {
        self.epsilon.map_or(1e-12, Positive::get)
    }

    fn mlp_activation(&self) -> MlpActivation {
        self.activation.unwrap_or(MlpActivation::Gelu)
    }
}

impl ModelBuilder for BertOptions {
    fn reads_tokens(&self) -> bool {
        true
    }

    fn check(&self, input: InputShape, outputs: usize) -> Result<(), ModelError> {
        let (width, heads) = (self.width(), self.heads());
        if !width.is_multiple_of(heads) {
            return Err(ModelError::Heads { width, heads });
        }
        let sizes = self.plan().sizes(input, outputs)?;
        let padding = self.padding() as usize;
        if padding >= sizes.vocabulary {
            return Err(ModelError::Vocabulary {
                rows: sizes.vocabulary,
                tokens: padding + 1,
            });
        }
        Ok(())
    }

    fn build(
        &self,
        input: InputShape,
        outputs: usize,
        builder: &mut Builder,
    ) -> Result<Box<dyn Architecture>, ModelError> {
        let sizes = self.plan().sizes(input, outputs)?;
        let (width, head) = (self.width(), self.text_head());
        let names = Names::of(self.variant, head);
        let mut dropouts = Dropouts::default();
        let table = |name: &str, rows: usize, padding: Option<u32>, builder: &mut Builder| {
            // A row that stands for nothing is 0, as in Hugging Face's models.
            let init = match padding {
                Some(row) => Init::NormalButRow {
                    deviation: DEVIATION,
                    row: row as usize,
                },
                None => Init::Normal(DEVIATION),
            };
            let name = format!("{}embeddings.{name}_embeddings.weight", names.prefix);
            let weight = builder.parameter(name, &[rows, width], init)?;
            Ok::<_, ModelError>(EmbeddingTable { weight, padding })
        };
        let padding = Some(self.padding());
        let tokens = table("word", sizes.vocabulary, padding, builder)?;
        let first_position = self.first_position();
        // RoBERTa's table of positions has a row for padding too.
        let padded_positions = padding.filter(|_| self.variant == BertVariant::Roberta);
        let positions = table(
            "position",
            first_position + self.context(),
            padded_positions,
            builder,
        )?;
        let types = self
            .types()
            .map(|types| table("token_type", types, None, builder));
        let body = Bert {
            tokens,
            positions,
            first_position,
            types: types.transpose()?,
            norm: builder.layer_norm(
                &format!("{}embeddings.LayerNorm", names.prefix),
                width,
                self.epsilon(),
            )?,
            dropout: dropouts.next(self.dropout()),
            layers: (0..self.layers())
                .map(|index| BertLayer::build(self, &names, index, &mut dropouts, builder))
                .collect::<Result<_, _>>()?,
        };
        let embedding = body.tokens.weight.clone();
        let (name, head) = heads::build(self, &sizes, embedding, &mut dropouts, builder)?;
        Ok(Box::new(TextNetwork {
            body: Box::new(body),
            head,
            name,
            context: self.context(),
        }))
    }
}

/// A linear layer with a normal weight and a bias of 0.
fn linear(builder: &mut Builder, name: &str, inputs: usize, outputs: usize) -> Result<Linear, ModelError> {
    let (weight, bias) = (Init::Normal(DEVIATION), Some(Init::Constant(0.0)));
    builder.linear_with(name, (inputs, outputs), weight, bias)
}

impl BertLayer {
    fn build(
        spec: &BertOptions,
        names: &Names,
        index: usize,
        dropouts: &mut Dropouts,
        builder: &mut Builder,
    ) -> Result<Self, ModelError> {
        let (width, ffn) = (spec.width(), spec.ffn());
        let name = |part: &str| format!("{}{}.{index}.{part}", names.prefix, names.layers);
        let [queries, keys, values, projection] = names.attention;
        let attention_dropout = spec.attention_dropout.map_or(spec.dropout(), BelowOne::get);
        let dense = |part: &str, inputs: usize, outputs: usize, builder: &mut Builder| {
            linear(builder, &name(part), inputs, outputs)
        };
        Ok(Self {
            queries: dense(queries, width, width, builder)?,
            keys: dense(keys, width, width, builder)?,
            values: dense(values, width, width, builder)?,
            heads: spec.heads(),
            attention_dropout: dropouts.next(attention_dropout),
            projection: dense(projection, width, width, builder)?,
            dropout: (spec.variant != BertVariant::Distilbert).then(|| dropouts.next(spec.dropout())),
            norm_1: builder.layer_norm(&name(names.norms[0]), width, spec.epsilon())?,
            mlp: [
                dense(names.mlp[0], width, ffn, builder)?,
                dense(names.mlp[1], ffn, width, builder)?,
            ],
            activation: spec.mlp_activation(),
            mlp_dropout: dropouts.next(spec.dropout()),
            norm_2: builder.layer_norm(&name(names.norms[1]), width, spec.epsilon())?,
        })
    }

    fn forward(&self, x: &Tensor, batch: &TokenBatch, pass: &Pass) -> Result<Tensor, ModelError> {
        let [queries, keys, values] =
            [&self.queries, &self.keys, &self.values].map(|layer| layer.forward(x, pass));
        let options = batch.attending(AttentionOptions {
            dropout: self.attention_dropout.of(pass),
            ..AttentionOptions::full(self.heads, pass.precision)
        });
        let operands = AttentionOperands::Apart {
            queries: &queries?,
            keys: &keys?,
            values: &values?,
        };
        let y = ops::attention(operands, &options)?;
        let y = self.projection.forward(&y, pass)?;
        let y = match &self.dropout {
            Some(dropout) => drop_tokens(dropout, y, batch, pass)?,
            None => y,
        };
        let x = self.norm_1.forward(&ops::add(x, &y)?, pass)?;

        let [first, second] = &self.mlp;
        let y = activate(self.activation, &first.forward(&x, pass)?, pass)?;
        let y = drop_tokens(&self.mlp_dropout, second.forward(&y, pass)?, batch, pass)?;
        self.norm_2.forward(&ops::add(&x, &y)?, pass)
    }
}

impl TextBody for Bert {
    fn usual_targets(&self) -> &[&'static str] {
        &["query", "q_lin", "value", "v_lin"]
    }

    fn forward(&self, batch: &TokenBatch, pass: &Pass) -> Result<Tensor, ModelError> {
        let mut x = self.tokens.forward(batch.ids(), pass)?;
        match (&self.types, batch.types()) {
            (Some(types), Some(given)) => x = ops::add(&x, &types.forward(given, pass)?)?,
            (Some(types), None) => {
                x = ops::add_rows(&x, &types.weight.operand(pass), TableRows::Same { row: 0 })?;
            }
            // The separator alone tells a DistilBERT where the second text begins.
            (None, _) => {}
        }
        let rows = batch.position_rows(self.first_position);
        let x = ops::add_rows(&x, &self.positions.weight.operand(pass), rows)?;
        let mut x = drop_tokens(&self.dropout, self.norm.forward(&x, pass)?, batch, pass)?;
        for layer in &self.layers {
            x = ops::block(|| layer.forward(&x, batch, pass))?;
        }
        Ok(x)
    }
}
