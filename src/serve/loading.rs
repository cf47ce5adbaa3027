//! Which kind of model a folder holds.

use std::path::Path;

use super::predicting::PredictingModel;
use super::reading::ReadingModel;
use super::served::ServedModel;
use super::writing::WritingModel;
use crate::memory::settle;
use crate::schema::{FieldKind, Schema};
use crate::spec::{NEXT_TOKEN, NarrowWeights, TextHead};
use crate::train::{Components, DeviceChoice, FolderWish, KnownModel, PretrainedFolder, TrainError};

/// How a model is loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ModelLoading {
    /// Where to compute.
    pub device: DeviceChoice,
    /// What the weights of models that go on with texts are rounded to.
    pub weights: Option<NarrowWeights>,
    /// Texts that such a model writes at once, at most.
    pub texts: usize,
}

/// What is shown to a model, and what is had of it.
enum ModelUse {
    /// Images or rows of a table.
    Rows,
    /// Texts, of which it says something.
    Reading,
    /// Texts that it goes on with.
    Writing,
}

impl ServedModel {
    /// Loads the model in `folder`, whatever it is for.
    ///
    /// # Errors
    /// There is none, or it cannot be served.
    pub fn load(folder: &Path, how: ModelLoading, components: &Components) -> Result<Self, TrainError> {
        // Where it is found out what to load, a program does what it does not do again, and so does loading.
        settle();
        let loaded = Self::loaded(folder, how, components);
        settle();
        loaded
    }

    fn loaded(folder: &Path, how: ModelLoading, components: &Components) -> Result<Self, TrainError> {
        let ModelLoading {
            device,
            weights,
            texts,
        } = how;
        let used = use_of(folder, components)?;
        if weights.is_some() && !matches!(used, ModelUse::Writing) {
            return Err(TrainError::CannotPredict {
                path: folder.to_owned(),
                problem: "`--weights` is for models that go on with texts, and it does not: leave it out"
                    .to_owned(),
            });
        }
        Ok(match used {
            ModelUse::Rows => Self::Rows(Box::new(PredictingModel::load(folder, device, components)?)),
            ModelUse::Reading => Self::Rows(Box::new(ReadingModel::load(folder, device, components)?)),
            ModelUse::Writing => {
                let model = WritingModel::load(folder, device, weights, texts, components)?;
                Self::Writing(Box::new(model))
            }
        })
    }
}

fn use_of(folder: &Path, components: &Components) -> Result<ModelUse, TrainError> {
    if PretrainedFolder::is_at(folder) {
        let opened = PretrainedFolder::open(folder, FolderWish::default(), components);
        let opened = opened.map_err(|problem| TrainError::BadFile {
            path: folder.to_owned(),
            problem,
        })?;
        return Ok(match opened.head() {
            TextHead::Causal => ModelUse::Writing,
            _ => ModelUse::Reading,
        });
    }
    let Some(known) = KnownModel::read(folder, &components.tasks)? else {
        // Whoever loads it tells that it is no model.
        return Ok(ModelUse::Rows);
    };
    let input = known.inputs.as_ref().and_then(Schema::input);
    Ok(match input.is_some_and(|field| field.kind == FieldKind::Tokens) {
        false => ModelUse::Rows,
        true if known.target.task == NEXT_TOKEN.name => ModelUse::Writing,
        true => ModelUse::Reading,
    })
}
