//! Llama, Qwen 2 and 3, and Mistral, with the names of Hugging Face's models.

use std::sync::{Arc, Mutex, PoisonError};

use candle_core::Tensor;

use super::batch::TokenBatch;
use super::cache::KeyValueCache;
use super::decoder_head::DecoderHead;
use super::layers::{DEVIATION, Dropouts, EmbeddingTable, RmsNorm};
use super::sizes::TextPlan;
use super::{TextBody, TextNetwork};
use crate::models::builder::{Builder, Init};
use crate::models::error::ModelError;
use crate::models::layers::{Dropout, Linear};
use crate::models::list::ModelBuilder;
use crate::models::network::{Architecture, Pass};
use crate::ops::{self, AttentionOperands, AttentionOptions, RotaryTable, Sequences};
use crate::schema::InputShape;
use crate::spec::{BelowOne, LlamaOptions, LlamaVariant, Positive, TextHead};

struct Llama {
    tokens: EmbeddingTable,
    layers: Vec<LlamaLayer>,
    norm: RmsNorm,
    rotary: Rotary,
}

/// Attention and a gated MLP, each behind a norm and with a path around it.
struct LlamaLayer {
    norm_1: RmsNorm,
    queries: Linear,
    keys: Linear,
    values: Linear,
    /// Of each head's queries and keys.
    head_norms: Option<[RmsNorm; 2]>,
    heads: [usize; 2],
    window: Option<usize>,
    attention_dropout: Dropout,
    projection: Linear,
    norm_2: RmsNorm,
    gate: Linear,
    up: Linear,
    down: Linear,
}

/// The angles of positions, of as many as were asked for so far.
struct Rotary {
    width: usize,
    base: f64,
    table: Mutex<Arc<RotaryTable>>,
}

impl Rotary {
    fn new(width: usize, base: f64) -> Self {
        let table = Mutex::new(Arc::new(RotaryTable::new(width, base, 0)));
        Self { width, base, table }
    }

    /// A table of `positions` or more.
    fn of(&self, positions: usize) -> Arc<RotaryTable> {
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        if table.positions() < positions {
            let positions = positions.next_power_of_two();
            *table = Arc::new(RotaryTable::new(self.width, self.base, positions));
        }
        table.clone()
    }
}

impl LlamaOptions {
    fn plan(&self) -> TextPlan {
        let (width, head) = (self.width(), self.head_width());
        let attention = 2usize
            .saturating_mul(self.heads() + self.kv_heads())
            .saturating_mul(head);
        TextPlan {
            model: "llama",
            head: self.text_head(),
            vocabulary: self.vocabulary.map(|rows| rows.get() as usize),
            context: self.context(),
            width,
            layers: self.layers(),
            layer: width.saturating_mul(attention.saturating_add(3 * self.ffn())),
        }
    }

    fn text_head(&self) -> TextHead {
        self.head.unwrap_or(TextHead::Causal)
    }

    fn epsilon(&self) -> f64 {
        self.epsilon.map_or(1e-6, Positive::get)
    }
}

impl ModelBuilder for LlamaOptions {
    fn reads_tokens(&self) -> bool {
        true
    }

    fn check(&self, input: InputShape, outputs: usize) -> Result<(), ModelError> {
        let (width, heads) = (self.width(), self.heads());
        if self.head_width.is_none() && !width.is_multiple_of(heads) {
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
        let prefix = if head == TextHead::Similarity {
            ""
        } else {
            "model."
        };
        let mut dropouts = Dropouts::default();
        let deviation = Init::Normal(DEVIATION);
        let shape = [sizes.vocabulary, width];
        let tokens = EmbeddingTable {
            weight: builder.parameter(format!("{prefix}embed_tokens.weight"), &shape, deviation)?,
            padding: None,
        };
        let layers = (0..self.layers())
            .map(|index| LlamaLayer::build(self, &format!("{prefix}layers.{index}"), &mut dropouts, builder))
            .collect::<Result<_, _>>()?;
        let norm = RmsNorm::build(builder, &format!("{prefix}norm"), width, self.epsilon())?;
        let head = DecoderHead {
            head,
            width,
            tied: self.tied,
            tokens: "score",
            dropout: self.head_dropout.map_or(0.1, BelowOne::get),
        };
        let (name, head) = head.build(&sizes, &tokens.weight, &mut dropouts, builder)?;
        let body = Llama {
            tokens,
            layers,
            norm,
            rotary: Rotary::new(self.head_width(), self.rope_theta()),
        };
        Ok(Box::new(TextNetwork {
            body: Box::new(body),
            head,
            name,
            context: self.context(),
        }))
    }
}

impl LlamaLayer {
    fn build(
        spec: &LlamaOptions,
        name: &str,
        dropouts: &mut Dropouts,
        builder: &mut Builder,
    ) -> Result<Self, ModelError> {
        let (width, ffn, head) = (spec.width(), spec.ffn(), spec.head_width());
        let [all, shared] = [spec.heads() * head, spec.kv_heads() * head];
        let bias = (spec.variant == LlamaVariant::Qwen2).then_some(Init::Constant(0.0));
        let linear =
            |part: &str, inputs: usize, outputs: usize, bias: Option<Init>, builder: &mut Builder| {
                builder.linear_with(
                    &format!("{name}.{part}"),
                    (inputs, outputs),
                    Init::Normal(DEVIATION),
                    bias,
                )
            };
        let norm = |part: &str, columns: usize, builder: &mut Builder| {
            RmsNorm::build(builder, &format!("{name}.{part}"), columns, spec.epsilon())
        };
        let queries = linear("self_attn.q_proj", width, all, bias, builder)?;
        let keys = linear("self_attn.k_proj", width, shared, bias, builder)?;
        let values = linear("self_attn.v_proj", width, shared, bias, builder)?;
        let projection = linear("self_attn.o_proj", all, width, None, builder)?;
        let head_norms = match spec.variant {
            LlamaVariant::Qwen3 => Some([
                norm("self_attn.q_norm", head, builder)?,
                norm("self_attn.k_norm", head, builder)?,
            ]),
            _ => None,
        };
        Ok(Self {
            queries,
            keys,
            values,
            head_norms,
            heads: [spec.heads(), spec.kv_heads()],
            window: spec.window.map(|window| window.get() as usize),
            attention_dropout: dropouts.next(spec.attention_dropout.get()),
            projection,
            gate: linear("mlp.gate_proj", width, ffn, None, builder)?,
            up: linear("mlp.up_proj", width, ffn, None, builder)?,
            down: linear("mlp.down_proj", ffn, width, None, builder)?,
            norm_1: norm("input_layernorm", width, builder)?,
            norm_2: norm("post_attention_layernorm", width, builder)?,
        })
    }

    /// With the tokens that `kept` has of this layer, where there are any: the layer's number, the cache and the rows.
    fn forward(
        &self,
        x: &Tensor,
        table: &RotaryTable,
        positions: Option<&[u32]>,
        batch: &TokenBatch,
        kept: Option<(usize, &mut KeyValueCache, &Sequences)>,
        pass: &Pass,
    ) -> Result<Tensor, ModelError> {
        let y = self.norm_1.forward(x, pass)?;
        let mut queries = self.queries.forward(&y, pass)?;
        let mut keys = self.keys.forward(&y, pass)?;
        let values = self.values.forward(&y, pass)?;
        if let Some([of_queries, of_keys]) = &self.head_norms {
            queries = of_queries.forward(&queries, pass)?;
            keys = of_keys.forward(&keys, pass)?;
        }
        let queries = ops::rotate(&queries, table, positions)?;
        let keys = ops::rotate(&keys, table, positions)?;
        let [heads, key_value_heads] = self.heads;
        let options = AttentionOptions {
            key_value_heads,
            causal: true,
            window: self.window,
            dropout: self.attention_dropout.of(pass),
            ..AttentionOptions::full(heads, pass.precision)
        };
        let (keys, values, options) = match kept {
            None => (keys, values, batch.attending(options)),
            Some((layer, cache, spans)) => {
                let [keys, values] = cache.add(layer, batch, [&keys, &values])?;
                (keys, values, TokenBatch::attending_to(spans, options))
            }
        };
        let operands = AttentionOperands::Apart {
            queries: &queries,
            keys: &keys,
            values: &values,
        };
        let y = ops::attention(operands, &options)?;
        let x = ops::add(x, &self.projection.forward(&y, pass)?)?;

        let y = self.norm_2.forward(&x, pass)?;
        let (gate, up) = (self.gate.forward(&y, pass)?, self.up.forward(&y, pass)?);
        let y = ops::swiglu(&gate, &up, pass.precision)?;
        Ok(ops::add(&x, &self.down.forward(&y, pass)?)?)
    }
}

impl TextBody for Llama {
    fn usual_targets(&self) -> &[&'static str] {
        &["q_proj", "v_proj"]
    }

    fn forward(&self, batch: &TokenBatch, pass: &Pass) -> Result<Tensor, ModelError> {
        let positions = batch.positions();
        let needed = match &positions {
            Some(positions) => positions.iter().max().map_or(0, |last| *last as usize + 1),
            None => batch.ids().dims()[1],
        };
        let table = self.rotary.of(needed);
        let mut x = self.tokens.forward(batch.ids(), pass)?;
        for layer in &self.layers {
            x = ops::block(|| layer.forward(&x, &table, positions.as_deref(), batch, None, pass))?;
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
        let positions = batch.positions();
        let positions = positions.as_deref();
        let needed = positions
            .and_then(|positions| positions.iter().max())
            .map_or(0, |last| *last as usize + 1);
        let table = self.rotary.of(needed);
        let mut x = self.tokens.forward(batch.ids(), pass)?;
        for (number, layer) in self.layers.iter().enumerate() {
            let kept = Some((number, &mut *cache, &spans));
            x = layer.forward(&x, &table, positions, batch, kept, pass)?;
        }
        cache.advance(batch);
        self.norm.forward(&x, pass)
    }
}
