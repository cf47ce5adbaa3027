//! The model of a folder as one that was trained, to be evaluated and asked.

use std::path::Path;

use candle_core::Device;

use super::folder::{FolderWish, PretrainedFolder};
use crate::data::Normalization;
use crate::event::Metrics;
use crate::schema::{Field, Schema, TokenRoles, TokenVocabulary};
use crate::spec::{
    MASKED_TOKEN, NEXT_TOKEN, PackedDocuments, Precision, SIMILARITY, TOKEN_CLASSES, TextHead,
};
use crate::train::components::Components;
use crate::train::error::TrainError;
use crate::train::feed::TextReading;
use crate::train::model_file::{Card, TrainedModel};
use crate::train::tasks::ModelTarget;

/// Samples that are asked about together, as a folder does not tell with how many it was trained.
const BATCH_SIZE: u32 = 32;

impl TrainedModel {
    /// The model of a folder that a Hugging Face program has written.
    ///
    /// # Errors
    /// It holds no model that can be used, or one whose outputs have no names: nothing is known that they could be
    /// compared with.
    pub(in crate::train) fn of_folder(
        path: &Path,
        device: &Device,
        components: &Components,
    ) -> Result<Self, TrainError> {
        let bad = |problem: String| TrainError::BadFile {
            path: path.to_owned(),
            problem,
        };
        let folder = PretrainedFolder::open(path, FolderWish::default(), components).map_err(bad)?;
        let network = folder.network(&components.models, device).map_err(bad)?;
        let card = folder.card(&network).map_err(bad)?;
        Ok(Self {
            card,
            network,
            quantized: None,
        })
    }
}

impl PretrainedFolder {
    /// What a card of `train` would say of it.
    fn card(&self, network: &crate::models::Network) -> Result<Card, String> {
        let target = self.target()?;
        let is_of_vocabulary = matches!(self.head(), TextHead::Causal | TextHead::Masked);
        let context = self.model().text().map_or(0, |text| text.context);
        let context = u32::try_from(context).unwrap_or(u32::MAX);
        let parameters = network.parameters().iter();
        Ok(Card {
            card_version: Card::VERSION,
            architecture: self.model().clone(),
            input: self.input(),
            inputs: self
                .vocabulary()
                .map(|vocabulary| Field {
                    max_length: self.told_length(),
                    ..Field::tokens_of("text", vocabulary)
                })
                .map(|field| Schema::new(vec![field]))
                .transpose()?,
            target,
            transforms: Vec::new(),
            normalization: Normalization {
                mean: Vec::new(),
                std: Vec::new(),
            },
            reported_loss: None,
            precision: Precision::F32,
            kernels: Vec::new(),
            ends: self.told_ends(),
            batch_size: BATCH_SIZE,
            seed: 0,
            parameters: parameters
                .map(|parameter| parameter.var.elem_count() as u64)
                .sum(),
            epochs: 0,
            selected_epoch: 0,
            selected_step: 0,
            metrics: Metrics::new(),
            lora: None,
            quantization: None,
            text: Some(TextReading {
                // Documents are read as long as the model's positions go.
                length: is_of_vocabulary.then_some(context),
                documents: PackedDocuments::default(),
                batch_tokens: None,
            }),
        })
    }

    /// What its outputs are.
    fn target(&self) -> Result<ModelTarget, String> {
        let labels = self.labels();
        let task = match (self.head(), labels) {
            (TextHead::Classification, Some(labels)) => labels.kind.task(),
            (TextHead::Tokens, Some(_)) => TOKEN_CLASSES.name,
            (TextHead::Causal, _) => NEXT_TOKEN.name,
            (TextHead::Masked, _) => MASKED_TOKEN.name,
            (TextHead::Similarity, _) => SIMILARITY.name,
            (head, _) => {
                return Err(format!(
                    "its head is `{}`, whose outputs have no names to be compared with: `generate` and `export` take such \
                     a folder, and a training by `model: {{pretrained: {{from: ...}}}}`",
                    head.name()
                ));
            }
        };
        let width = match self.head() {
            TextHead::Causal | TextHead::Masked => Some(self.rows()),
            TextHead::Similarity => Some(self.sizes().width),
            TextHead::Classification | TextHead::Tokens => None,
        };
        Ok(ModelTarget {
            task: task.to_owned(),
            names: match width {
                Some(_) => Vec::new(),
                None => labels.map(|labels| labels.names.clone()).unwrap_or_default(),
            },
            width,
            scale: None,
        })
    }

    /// The vocabulary of its tokenizer, as far as its file's digest tells; nothing where it has none.
    fn vocabulary(&self) -> Option<TokenVocabulary> {
        Some(TokenVocabulary {
            size: u32::try_from(self.rows()).ok()?,
            digest: self.tokenizer_digest()?,
            roles: TokenRoles::default(),
        })
    }
}
