//! A model that goes on with texts.

use std::path::Path;

use candle_core::Device;
use serde_json::Value;

use crate::generation::{Decoder, DecoderWeights, GenerationError};
use crate::models::{KeyValueCache, Network};
use crate::serve::served::ModelInterface;
use crate::serve::tensor::{Datatype, TensorInfo};
use crate::spec::{NarrowWeights, Precision};
use crate::tokenizer::{ChatTemplate, LoadedTokenizer, TokenizerError};
use crate::train::{Components, DeviceChoice, PretrainedFolder, TrainError};

/// Bytes that are kept of all texts that run at once, at most.
const ROOM_BYTES: usize = 1 << 30;

/// Bytes of a prompt in a request of tensors, on average at most.
const TEXT_BYTES: usize = 64 << 10;

/// A model with the head `causal`, its tokenizer, and the template of conversations where it has one.
pub struct WritingModel {
    network: Network,
    device: Device,
    weights: Option<NarrowWeights>,
    /// What is kept of them, once the network has been asked.
    kept: Option<DecoderWeights>,
    /// Tokens of a text, prompt included.
    context: usize,
    /// Tokens of all texts that run at once.
    room: usize,
    /// Bytes of the longest token.
    longest_token: usize,
    /// Tokens that the network has rows for.
    vocabulary: usize,
    tokenizer: LoadedTokenizer,
    template: Option<ChatTemplate>,
    ends: Vec<u32>,
    inputs: Vec<TensorInfo>,
    outputs: Vec<TensorInfo>,
}

impl WritingModel {
    /// Loads the model in `folder`, or in a GGUF file, and tries it; `texts` run at once at most.
    ///
    /// # Errors
    /// There is none that goes on with texts, it has no tokenizer beside it, or its scores are not finite.
    pub fn load(
        folder: &Path,
        device: DeviceChoice,
        weights: Option<NarrowWeights>,
        texts: usize,
        components: &Components,
    ) -> Result<Self, TrainError> {
        let cannot = |problem: String| TrainError::CannotPredict {
            path: folder.to_owned(),
            problem,
        };
        let device = device.open()?;
        if weights.is_some() && !device.is_cpu() {
            return Err(cannot(
                "`--weights int8` is for the CPU alone: leave it out, or compute there by `--device cpu`"
                    .to_owned(),
            ));
        }
        let opened = PretrainedFolder::open_causal(folder, components).map_err(cannot)?;
        let tokenizer = opened.tokenizer_folder().ok_or_else(|| {
            cannot("there is no tokenizer beside it: put the tokenizer's files into its folder".to_owned())
        })?;
        let tokenizer = LoadedTokenizer::open(&tokenizer).map_err(|error| cannot(error.to_string()))?;
        let template = tokenizer.chat_template();
        let template = template.map(|template| ChatTemplate::new(template, tokenizer.special()));
        let template = template.transpose().map_err(|error| cannot(error.to_string()))?;
        if weights.is_some() && opened.is_quantized() {
            return Err(cannot(
                "it is quantized already: leave `--weights` out, or serve the model that it was made from"
                    .to_owned(),
            ));
        }
        let network = opened.answering(components, &device).map_err(cannot)?;
        let told = opened.end_tokens();
        let ends = match told.is_empty() {
            true => tokenizer.special().eos.iter().map(|token| token.id).collect(),
            false => told,
        };
        let context = opened.sizes().context;
        let prompt = "the text to go on with";
        let mut model = Self {
            network,
            device,
            weights,
            kept: None,
            context,
            room: context,
            longest_token: tokenizer.longest_token(),
            vocabulary: opened.rows(),
            tokenizer,
            template,
            ends,
            inputs: vec![TensorInfo::new("text", Datatype::Bytes, Vec::new(), prompt)],
            outputs: vec![TensorInfo::new(
                "text",
                Datatype::Bytes,
                Vec::new(),
                "what follows: the likeliest token each time, until the model ends it or the request's `max_tokens` are there",
            )],
        };
        let bytes = model.tried().map_err(|error| cannot(error.to_string()))?;
        let most = ROOM_BYTES / bytes.max(1);
        model.room = context.saturating_mul(texts.max(1)).min(most).max(1);
        model.context = context.min(model.room);
        Ok(model)
    }

    /// Asks the network, whose weights are ready for more then: how many bytes it keeps of each token.
    fn tried(&mut self) -> Result<usize, GenerationError> {
        let mut cache = KeyValueCache::new(1, 1);
        let token = self.ends.first().copied().unwrap_or(0);
        let token = if (token as usize) < self.vocabulary {
            token
        } else {
            0
        };
        let kept = {
            let decoder = self.decoder();
            decoder.scores(&mut cache, &[&[token]])?;
            decoder.weights()
        };
        self.kept = Some(kept);
        Ok(cache.bytes_per_token().unwrap_or(0))
    }

    /// What asks the network.
    pub fn decoder(&self) -> Decoder<'_> {
        let decoder = Decoder::new(&self.network, self.context, Precision::F32, &self.device);
        match (&self.kept, self.weights) {
            (Some(kept), _) => decoder.with_weights(kept),
            (None, None) => decoder,
            (None, Some(NarrowWeights::Int8)) => decoder.with_int8_weights(),
        }
    }

    /// The most tokens of a text, its prompt included.
    pub fn context(&self) -> usize {
        self.context
    }

    /// The most bytes of a prompt: more are more tokens than the context has, and are not looked at.
    pub fn most_bytes(&self) -> usize {
        self.context.saturating_mul(self.longest_token)
    }

    /// The most tokens of all texts that run at once.
    pub fn room(&self) -> usize {
        self.room
    }

    /// Tokens that the network knows: those under it.
    pub fn vocabulary(&self) -> usize {
        self.vocabulary
    }

    /// The tokens that end a text.
    pub fn ends(&self) -> &[u32] {
        &self.ends
    }

    /// What turns texts into tokens.
    pub fn tokenizer(&self) -> &LoadedTokenizer {
        &self.tokenizer
    }

    /// Whether conversations can be answered.
    pub fn has_template(&self) -> bool {
        self.template.is_some()
    }

    /// The text of a conversation, up to where the answer begins. The template writes the special tokens itself.
    ///
    /// # Errors
    /// There is no template, or it refuses the conversation.
    pub fn conversation(&self, messages: &[Value]) -> Result<String, TokenizerError> {
        let Some(template) = &self.template else {
            return Err(TokenizerError::Options(
                "the model's tokenizer has no template of conversations: ask for a completion (/v1/completions)".to_owned(),
            ));
        };
        template.render(messages, None, true)
    }
}

impl ModelInterface for WritingModel {
    fn inputs(&self) -> &[TensorInfo] {
        &self.inputs
    }

    fn takes_one_of(&self) -> bool {
        false
    }

    fn outputs(&self) -> &[TensorInfo] {
        &self.outputs
    }

    fn row_bytes(&self) -> usize {
        self.context.saturating_mul(size_of::<u32>())
    }

    fn text_bytes(&self) -> usize {
        TEXT_BYTES
    }
}
