//! The families of models that folders hold, and what they call things.

use crate::spec::{BertOptions, BertVariant, Gpt2Options, LlamaOptions, LlamaVariant, Model, TextHead};

/// A family, as `model_type` names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FolderFamily {
    /// GPT-2.
    Gpt2,
    /// BERT and its like.
    Bert(BertVariant),
    /// Llama and its like.
    Llama(LlamaVariant),
}

/// Names of `model_type`, and which family each is. The later ones of a family are read and never written.
const TYPES: [(&str, FolderFamily); 10] = [
    ("gpt2", FolderFamily::Gpt2),
    ("bert", FolderFamily::Bert(BertVariant::Bert)),
    ("distilbert", FolderFamily::Bert(BertVariant::Distilbert)),
    ("roberta", FolderFamily::Bert(BertVariant::Roberta)),
    ("xlm-roberta", FolderFamily::Bert(BertVariant::Roberta)),
    ("camembert", FolderFamily::Bert(BertVariant::Roberta)),
    ("llama", FolderFamily::Llama(LlamaVariant::Llama)),
    ("qwen2", FolderFamily::Llama(LlamaVariant::Qwen2)),
    ("qwen3", FolderFamily::Llama(LlamaVariant::Qwen3)),
    ("mistral", FolderFamily::Llama(LlamaVariant::Mistral)),
];

/// What classes' names end in, by the head.
const ENDINGS: [(&str, TextHead); 7] = [
    ("ForCausalLM", TextHead::Causal),
    ("LMHeadModel", TextHead::Causal),
    ("ForMaskedLM", TextHead::Masked),
    ("ForPreTraining", TextHead::Masked),
    ("ForSequenceClassification", TextHead::Classification),
    ("ForTokenClassification", TextHead::Tokens),
    ("Model", TextHead::Similarity),
];

impl FolderFamily {
    /// The family that `model_type` names.
    ///
    /// # Errors
    /// It is none of those: a sentence.
    pub fn of_type(model_type: &str) -> Result<Self, String> {
        let found = TYPES.iter().find(|(name, _)| *name == model_type);
        found.map(|(_, family)| *family).ok_or_else(|| {
            let known: Vec<&str> = TYPES.iter().map(|(name, _)| *name).collect();
            format!(
                "it is a `{model_type}` model, which is not supported; supported are {}",
                known.join(", ")
            )
        })
    }

    /// The family of a model's options; nothing where it is none of text.
    pub fn of_model(model: &Model) -> Option<Self> {
        if model.options::<Gpt2Options>().is_some() {
            return Some(Self::Gpt2);
        }
        if let Some(bert) = model.options::<BertOptions>() {
            return Some(Self::Bert(bert.variant));
        }
        let llama = model.options::<LlamaOptions>()?;
        Some(Self::Llama(llama.variant))
    }

    /// As `model_type` has it.
    pub fn model_type(self) -> &'static str {
        let found = TYPES.iter().find(|(_, family)| *family == self);
        found.map_or("", |(name, _)| name)
    }

    /// What the names of the body's tensors begin with under a head.
    pub fn prefix(self) -> &'static str {
        match self {
            Self::Gpt2 => "transformer.",
            Self::Bert(BertVariant::Bert) => "bert.",
            Self::Bert(BertVariant::Distilbert) => "distilbert.",
            Self::Bert(BertVariant::Roberta) => "roberta.",
            Self::Llama(_) => "model.",
        }
    }

    /// The class of a model with that head.
    pub fn class(self, head: TextHead) -> String {
        let name = match self {
            Self::Gpt2 => "GPT2",
            Self::Bert(BertVariant::Bert) => "Bert",
            Self::Bert(BertVariant::Distilbert) => "DistilBert",
            Self::Bert(BertVariant::Roberta) => "Roberta",
            Self::Llama(LlamaVariant::Llama) => "Llama",
            Self::Llama(LlamaVariant::Qwen2) => "Qwen2",
            Self::Llama(LlamaVariant::Qwen3) => "Qwen3",
            Self::Llama(LlamaVariant::Mistral) => "Mistral",
        };
        let ending = match (self, head) {
            (Self::Gpt2, TextHead::Causal) => "LMHeadModel",
            _ => ENDINGS
                .iter()
                .find(|(_, other)| *other == head)
                .map_or("", |(ending, _)| ending),
        };
        format!("{name}{ending}")
    }

    /// The head of a class; nothing where it is of another kind.
    pub fn head_of(class: &str) -> Option<TextHead> {
        let found = ENDINGS.iter().find(|(ending, _)| class.ends_with(ending));
        found.map(|(_, head)| *head)
    }

    /// Whether a tensor, named without the prefix, belongs to a head rather than to the body.
    pub fn is_head(self, name: &str) -> bool {
        let heads: &[&str] = match self {
            Self::Bert(BertVariant::Bert) => &["pooler.", "cls.", "classifier.", "qa_outputs."],
            Self::Bert(BertVariant::Roberta) => &["pooler.", "lm_head.", "classifier.", "qa_outputs."],
            Self::Bert(BertVariant::Distilbert) => {
                &["vocab_", "pre_classifier.", "classifier.", "qa_outputs."]
            }
            Self::Gpt2 | Self::Llama(_) => &[
                "lm_head.",
                "score.",
                "classifier.",
                "qa_outputs.",
                "multiple_choice_head.",
            ],
        };
        heads.iter().any(|head| name.starts_with(head))
    }

    /// Whether the rows of a layer, named without a prefix, are the outputs of a head for samples or tokens.
    pub fn is_output_layer(self, layer: &str) -> bool {
        let layers: &[&str] = match self {
            Self::Bert(BertVariant::Roberta) => &["classifier", "classifier.out_proj"],
            Self::Bert(_) => &["classifier"],
            Self::Gpt2 => &["classifier", "score"],
            Self::Llama(_) => &["score"],
        };
        layers.contains(&layer)
    }

    /// Pairs of tensors, without the prefix, that stand for each other: one of the embedding's weight or of a head's
    /// bias, and the name that the same values have where a head is not tied to them.
    pub fn twins(self) -> &'static [[&'static str; 2]] {
        const WORDS: &str = "embeddings.word_embeddings.weight";
        match self {
            Self::Gpt2 => &[["wte.weight", "lm_head.weight"]],
            Self::Llama(_) => &[["embed_tokens.weight", "lm_head.weight"]],
            Self::Bert(BertVariant::Bert) => &[
                [WORDS, "cls.predictions.decoder.weight"],
                ["cls.predictions.bias", "cls.predictions.decoder.bias"],
            ],
            Self::Bert(BertVariant::Distilbert) => &[[WORDS, "vocab_projector.weight"]],
            Self::Bert(BertVariant::Roberta) => &[
                [WORDS, "lm_head.decoder.weight"],
                ["lm_head.bias", "lm_head.decoder.bias"],
            ],
        }
    }

    /// Whether models of transformers take the segments that tokens are in.
    pub fn knows_segments(self) -> bool {
        matches!(self, Self::Bert(BertVariant::Bert))
    }

    /// Whether heads are tied to the embedding where a `config.json` does not tell.
    pub fn usually_tied(self) -> bool {
        !matches!(self, Self::Llama(_))
    }
}

/// `model` with another head.
pub fn with_head(model: &Model, head: TextHead) -> Model {
    let head = Some(head);
    if let Some(options) = model.options::<Gpt2Options>() {
        return Gpt2Options {
            head,
            ..options.clone()
        }
        .into();
    }
    if let Some(options) = model.options::<BertOptions>() {
        return BertOptions {
            head,
            ..options.clone()
        }
        .into();
    }
    match model.options::<LlamaOptions>() {
        Some(options) => LlamaOptions {
            head,
            ..options.clone()
        }
        .into(),
        None => model.clone(),
    }
}

/// `model`, whose head is tied to the embedding or not.
pub fn with_tying(model: &Model, tied: bool) -> Model {
    if let Some(options) = model.options::<Gpt2Options>() {
        let tied = Some(tied);
        return Gpt2Options {
            tied,
            ..options.clone()
        }
        .into();
    }
    if let Some(options) = model.options::<BertOptions>() {
        let tied = Some(tied);
        return BertOptions {
            tied,
            ..options.clone()
        }
        .into();
    }
    match model.options::<LlamaOptions>() {
        Some(options) => LlamaOptions {
            tied,
            ..options.clone()
        }
        .into(),
        None => model.clone(),
    }
}
