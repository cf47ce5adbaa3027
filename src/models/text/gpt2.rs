//! GPT-2, with the names and layouts of Hugging Face's `GPT2LMHeadModel` and its like.

use candle_core::Tensor;

use super::batch::TokenBatch;
use super::cache::KeyValueCache;
use super::decoder_head::DecoderHead;
use super::layers::{DEVIATION, Dropouts, EmbeddingTable, TransposedLinear, activate, drop_tokens};
use super::sizes::TextPlan;
use super::{TextBody, TextNetwork};
use crate::models::builder::{Builder, Init};
use crate::models::error::ModelError;
use crate::models::layers::{Dropout, LayerNorm};
use crate::models::list::ModelBuilder;
use crate::models::network::{Architecture, Pass};
use crate::ops::{self, AttentionOperands, AttentionOptions, Sequences};
use crate::schema::InputShape;
use crate::spec::{BelowOne, Gpt2Options, MlpActivation, Positive, TextHead};

struct Gpt2 {
    tokens: EmbeddingTable,
    /// `[context, W]`, and the dropout behind both embeddings.
    positions: EmbeddingTable,
    dropout: Dropout,
    layers: Vec<Gpt2Layer>,
    norm: LayerNorm,
}

/// Attention and an MLP, each behind a layer norm and with a path around it.
struct Gpt2Layer {
    norm_1: LayerNorm,
    attention: TransposedLinear,
    heads: usize,
    attention_dropout: Dropout,
    projection: TransposedLinear,
    dropout: Dropout,
    norm_2: LayerNorm,
    mlp: [TransposedLinear; 2],
    activation: MlpActivation,
    mlp_dropout: Dropout,
}

impl Gpt2Options {
    fn plan(&self) -> TextPlan {
        let width = self.width();
        TextPlan {
            model: "gpt2",
            head: self.text_head(),
            vocabulary: self.vocabulary.map(|rows| rows.get() as usize),
            context: self.context(),
            width,
            layers: self.layers(),
            layer: width.saturating_mul(4 * width + 2 * self.ffn()),
        }
    }

    fn text_head(&self) -> TextHead {
        self.head.unwrap_or(TextHead::Causal)
    }
}

impl ModelBuilder for Gpt2Options {
    fn reads_tokens(&self) -> bool {
        true
    }

    fn check(&self, input: InputShape, outputs: usize) -> Result<(), ModelError> {
        let (width, heads) = (self.width(), self.heads());
        if !width.is_multiple_of(heads) {
            return Err(ModelError::Heads { width, heads });
        }
        self.plan().sizes(input, outputs).map(drop)
    }

    fn build(
        &self,
        input: InputShape,
        outputs: usize,
        builder: &mut Builder,
    ) -> Result<Box<dyn Architecture>, ModelError> {
        let sizes = self.plan().sizes(input, outputs)?;
        let (width, head) = (self.width(), self.text_head());
        // A base model alone has no prefix.
        let prefix = if head == TextHead::Similarity {
            ""
        } else {
            "transformer."
        };
        let mut dropouts = Dropouts::default();
        let of = |own: Option<BelowOne>| own.unwrap_or(self.dropout).get();
        let table = |builder: &mut Builder, name: &str, rows: usize| {
            let name = format!("{prefix}{name}.weight");
            let weight = builder.parameter(name, &[rows, width], Init::Normal(DEVIATION))?;
            Ok::<_, ModelError>(EmbeddingTable {
                weight,
                padding: None,
            })
        };
        let tokens = table(builder, "wte", sizes.vocabulary)?;
        let positions = table(builder, "wpe", self.context())?;
        let dropout = dropouts.next(of(self.embedding_dropout));
        let layers = (0..self.layers())
            .map(|index| Gpt2Layer::build(self, &format!("{prefix}h.{index}"), &mut dropouts, builder))
            .collect::<Result<_, _>>()?;
        let norm = builder.layer_norm(&format!("{prefix}ln_f"), width, self.epsilon())?;
        let head = DecoderHead {
            head,
            width,
            tied: self.tied.unwrap_or(true),
            tokens: "classifier",
            dropout: self.dropout.get(),
        };
        let (name, head) = head.build(&sizes, &tokens.weight, &mut dropouts, builder)?;
        let body = Gpt2 {
            tokens,
            positions,
            dropout,
            layers,
            norm,
        };
        Ok(Box::new(TextNetwork {
            body: Box::new(body),
            head,
            name,
            context: self.context(),
        }))
    }
}

impl Gpt2Options {
    fn epsilon(&self) -> f64 {
        self.epsilon.map_or(1e-5, Positive::get)
    }
}

impl Gpt2Layer {
    fn build(
        spec: &Gpt2Options,
        name: &str,
        dropouts: &mut Dropouts,
        builder: &mut Builder,
    ) -> Result<Self, ModelError> {
        let (width, ffn) = (spec.width(), spec.ffn());
        // What is added to the residual path is the smaller, the more layers there are.
        let last = DEVIATION / (2.0 * spec.layers() as f64).sqrt();
        let linear = |part: &str, shape: [usize; 2], deviation: f64, builder: &mut Builder| {
            TransposedLinear::build(builder, &format!("{name}.{part}"), shape, deviation)
        };
        let attention_dropout = spec.attention_dropout.unwrap_or(spec.dropout).get();
        Ok(Self {
            norm_1: builder.layer_norm(&format!("{name}.ln_1"), width, spec.epsilon())?,
            attention: linear("attn.c_attn", [width, 3 * width], DEVIATION, builder)?,
            heads: spec.heads(),
            attention_dropout: dropouts.next(attention_dropout),
            projection: linear("attn.c_proj", [width, width], last, builder)?,
            dropout: dropouts.next(spec.dropout.get()),
            norm_2: builder.layer_norm(&format!("{name}.ln_2"), width, spec.epsilon())?,
            mlp: [
                linear("mlp.c_fc", [width, ffn], DEVIATION, builder)?,
                linear("mlp.c_proj", [ffn, width], last, builder)?,
            ],
            activation: spec.activation.unwrap_or(MlpActivation::GeluTanh),
            mlp_dropout: dropouts.next(spec.dropout.get()),
        })
    }

    /// With the tokens that `kept` has of this layer, where there are any: the layer's number, the cache and the rows.
    fn forward(
        &self,
        x: &Tensor,
        batch: &TokenBatch,
        kept: Option<(usize, &mut KeyValueCache, &Sequences)>,
        pass: &Pass,
    ) -> Result<Tensor, ModelError> {
        let y = self.attention.forward(&self.norm_1.forward(x, pass)?, pass)?;
        let options = AttentionOptions {
            causal: true,
            dropout: self.attention_dropout.of(pass),
            ..AttentionOptions::full(self.heads, pass.precision)
        };
        let y = match kept {
            None => ops::attention(AttentionOperands::SideBySide(&y), &batch.attending(options))?,
            Some((layer, cache, spans)) => {
                let columns = y.dims()[1] / 3;
                let part = |index: usize| y.narrow(1, index * columns, columns)?.contiguous();
                let queries = part(0)?;
                let [keys, values] = cache.add(layer, batch, [&part(1)?, &part(2)?])?;
                let operands = AttentionOperands::Apart {
                    queries: &queries,
                    keys: &keys,
                    values: &values,
                };
                ops::attention(operands, &TokenBatch::attending_to(spans, options))?
            }
        };
        let y = self.projection.forward(&y, pass)?;
        let x = ops::add(x, &drop_tokens(&self.dropout, y, batch, pass)?)?;

        let [first, second] = &self.mlp;
        let y = first.forward(&self.norm_2.forward(&x, pass)?, pass)?;
        let y = second.forward(&activate(self.activation, &y, pass)?, pass)?;
        Ok(ops::add(&x, &drop_tokens(&self.mlp_dropout, y, batch, pass)?)?)
    }
}

impl Gpt2 {
    /// Tokens and their places.
    fn embed(&self, batch: &TokenBatch, pass: &Pass) -> Result<Tensor, ModelError> {
        let x = self.tokens.forward(batch.ids(), pass)?;
        let x = ops::add_rows(&x, &self.positions.weight.operand(pass), batch.position_rows(0))?;
        drop_tokens(&self.dropout, x, batch, pass)
    }
}

impl TextBody for Gpt2 {
    fn usual_targets(&self) -> &[&'static str] {
        &["c_attn"]
    }

    fn forward(&self, batch: &TokenBatch, pass: &Pass) -> Result<Tensor, ModelError> {
        let mut x = self.embed(batch, pass)?;
        for layer in &self.layers {
            x = ops::block(|| layer.forward(&x, batch, None, pass))?;
        }
        self.norm.forward(&x, pass)
    }

    fn forward_cached(
        &self,
        batch: &TokenBatch,
        cache: &mut KeyValueCache,
        pass: &Pass,
    ) -> Result<Tensor, ModelError> {
        let spans = cache.spans(batch)?;
        let mut x = self.embed(batch, pass)?;
        for (number, layer) in self.layers.iter().enumerate() {
            x = layer.forward(&x, batch, Some((number, &mut *cache, &spans)), pass)?;
        }
        cache.advance(batch);
        self.norm.forward(&x, pass)
    }
}
