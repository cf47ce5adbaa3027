//! Where a model meets data: an evaluation, a training that begins with its weights, a prediction.
//!
//! A model knows what it is shown and what it gives by name ([`KnownModel`]). Data is put into its order
//! where it holds the same in another one, and refused by its names where it does not fit: nothing is ever
//! taken for something else because it stands in the same place.

use std::fs;
use std::path::Path;

use serde::Deserialize;
use serde_json::Value;

use super::error::TrainError;
use super::model_file::CARD_FILE;
use super::tasks::{ModelTarget, Task, Tasks};
use crate::data::{
    Alignment, Dataset, Normalization, Rearrangement, TargetScale, UnknownFeature, match_classes,
};
use crate::event::Monitor;
use crate::schema::{Field, FieldKind, FieldRole, Schema};
use crate::spec::shortened;

/// What a model knows of data by name.
#[derive(Clone, Debug, PartialEq)]
pub struct KnownModel {
    /// What it is shown; nothing where the model was made before cards told that.
    pub inputs: Option<Schema>,
    /// What it gives.
    pub target: ModelTarget,
    /// What is done to each channel (or column) first; nothing where the card does not tell.
    pub normalization: Option<Normalization>,
}

/// How a training begins with the weights of another model.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Beginning {
    /// Why the weights' output layer means something else than what is to be predicted now.
    pub other_outputs: Option<String>,
    /// How the targets of the output layer that is kept were scaled.
    pub scale: Option<Option<TargetScale>>,
    /// What was done to each channel (or column) of what the weights know.
    pub normalization: Option<Normalization>,
}

impl KnownModel {
    /// What the model in `folder`, that a stage `train` or `export` made, knows; nothing where there is no
    /// card of Erlen's.
    ///
    /// # Errors
    /// The card cannot be read, or is damaged.
    pub fn read(folder: &Path, tasks: &Tasks) -> Result<Option<Self>, TrainError> {
        let path = folder.join(CARD_FILE);
        if !path.is_file() {
            return Ok(None);
        }
        let text = fs::read_to_string(&path).map_err(|source| TrainError::Read {
            path: path.clone(),
            source,
        })?;
        let Ok(card) = serde_json::from_str::<Value>(&text) else {
            return Ok(None);
        };
        let bad = |error: serde_json::Error| TrainError::BadFile {
            path: path.clone(),
            problem: format!("not a model's card: {error}"),
        };
        let inputs = |value: &Value| Option::<Schema>::deserialize(value).map_err(bad);
        if card.get("card_version").is_some() {
            return Ok(Some(Self {
                inputs: inputs(&card["inputs"])?,
                target: ModelTarget::deserialize(&card["target"]).map_err(bad)?,
                normalization: Option::deserialize(&card["normalization"]).map_err(bad)?,
            }));
        }
        let output = &card["output"];
        let Some(task) = output["task"].as_str().and_then(|task| tasks.named(task)) else {
            return Ok(None);
        };
        Ok(Some(Self {
            inputs: inputs(&card["input"]["fields"])?,
            target: ModelTarget {
                task: task.rules().name.to_owned(),
                names: Vec::deserialize(&output[task.meaning().names]).map_err(bad)?,
                width: Option::deserialize(&output["width"]).map_err(bad)?,
                scale: Option::deserialize(&output["scale"]).map_err(bad)?,
            },
            normalization: Option::deserialize(&card["input"]["normalization"]).map_err(bad)?,
        }))
    }

    /// The samples of `dataset` as the model knows them, to be judged by `task`: columns, categories,
    /// classes, labels and numbers are matched by name. What has to be put into another order is written
    /// into a nameless file in `folder`.
    ///
    /// # Errors
    /// They do not fit; the message names what does not.
    pub fn meet(
        &self,
        dataset: &Dataset,
        task: &dyn Task,
        tasks: &Tasks,
        folder: &Path,
        monitor: &Monitor,
    ) -> Result<Dataset, TrainError> {
        let dataset = self.meet_inputs(dataset, folder, monitor)?;
        let wanted = &self.target.names;
        let Some(names) = task.outputs(&dataset) else {
            let held = tasks.of(&dataset).map(|task| task.rules().predicts);
            return Err(TrainError::Mismatch {
                what: "what is to be predicted",
                model: task.rules().predicts.to_owned(),
                data: held.unwrap_or("nothing that is known").to_owned(),
            });
        };
        if names == *wanted {
            return Ok(dataset);
        }
        let target = dataset.target();
        let mismatch = |problem: String| TrainError::Mismatch {
            what: task.rules().outputs,
            model: counted(wanted),
            data: format!("{}: {problem}", counted(&names)),
        };
        if names != target.names {
            return Err(mismatch("they differ".to_owned()));
        }
        let change = match target.kind {
            FieldKind::Class | FieldKind::Mask => {
                let numbers = match_classes(&names, wanted)
                    .map_err(|foreign| mismatch(format!("the model does not know {}", quoted(&foreign))))?;
                let absent = wanted.iter().filter(|name| !names.contains(name));
                let absent: Vec<String> = absent.cloned().collect();
                if !absent.is_empty() {
                    monitor.warn(format!("the data has no sample of {}", quoted(&absent)));
                }
                let names = wanted.clone();
                Rearrangement::Classes { names, numbers }
            }
            FieldKind::Labels | FieldKind::Numbers => {
                Rearrangement::Values(Box::new(Alignment::of_targets(target, wanted).map_err(mismatch)?))
            }
            _ => return Err(mismatch("they differ".to_owned())),
        };
        Ok(dataset.rearranged(FieldRole::Target, &change, folder)?)
    }

    /// What a model is shown of `dataset`, as it knows it: columns and categories are matched by name.
    ///
    /// # Errors
    /// They do not fit; the message names what does not.
    pub fn meet_inputs(
        &self,
        dataset: &Dataset,
        folder: &Path,
        monitor: &Monitor,
    ) -> Result<Dataset, TrainError> {
        let given = dataset.input();
        let Some(wanted) = self.inputs.as_ref().and_then(Schema::input) else {
            if given.is_row() {
                monitor.warn(
                    "the model does not tell the columns that it was trained on, so they cannot be compared: train \
                     it again",
                );
            }
            return Ok(dataset.clone());
        };
        if let Some(difference) = other_preparation(given, wanted) {
            monitor.warn(difference);
        }
        if let (Some(own), Some(wanted)) = (&given.vocabulary, &wanted.vocabulary)
            && own.digest != wanted.digest
        {
            return Err(TrainError::Mismatch {
                what: "the tokenizer",
                model: format!("one of {} tokens ({})", wanted.size, short(&wanted.digest)),
                data: format!("one of {} tokens ({})", own.size, short(&own.digest)),
            });
        }
        // Other inputs have no names; their shapes are compared.
        if !given.is_row() || !wanted.is_row() {
            return Ok(dataset.clone());
        }
        let alignment = Alignment::of_features(given, wanted).map_err(TrainError::Columns)?;
        for note in &alignment.notes {
            monitor.warn(note.clone());
        }
        tell_unknown(dataset, &alignment.unknown, monitor)?;
        if alignment.keeps(given) {
            return Ok(dataset.clone());
        }
        tell_order(given, wanted, monitor);
        let change = Rearrangement::Values(Box::new(alignment));
        Ok(dataset.rearranged(FieldRole::Input, &change, folder)?)
    }

    /// The samples of `dataset` for a training that begins with the model's weights, and what becomes of the
    /// output layer. Outputs keep their order where they are the same; else their layer is of no use.
    ///
    /// # Errors
    /// The inputs do not fit; the message names what does not.
    pub fn meet_to_begin(
        &self,
        dataset: &Dataset,
        task: &dyn Task,
        standardized: Option<bool>,
        folder: &Path,
        monitor: &Monitor,
    ) -> Result<(Dataset, Beginning), TrainError> {
        let dataset = self.meet_inputs(dataset, folder, monitor)?;
        let anew = |reason: String| Beginning {
            other_outputs: Some(reason),
            scale: None,
            normalization: self.normalization.clone(),
        };
        let (rules, known) = (task.rules(), &self.target);
        let names = task.outputs(&dataset).unwrap_or_default();
        if rules.name != known.task {
            let reason = format!("they are for the task `{}`", known.task);
            return Ok((dataset, anew(reason)));
        }
        let sorted = |names: &[String]| {
            let mut names = names.to_vec();
            names.sort_unstable();
            names
        };
        if sorted(&names) != sorted(&known.names) {
            let reason = format!("{} are others: {}", rules.outputs, shortened(&known.names));
            return Ok((dataset, anew(reason)));
        }
        if standardized
            .is_some_and(|standardized| rules.standardizes && standardized != known.scale.is_some())
        {
            let reason = "they are for targets that are scaled in another way (`standardize_targets`)";
            return Ok((dataset, anew(reason.to_owned())));
        }
        let target = dataset.target();
        let change = match target.kind {
            _ if names == known.names || names != target.names => None,
            FieldKind::Class | FieldKind::Mask => match_classes(&names, &known.names).ok().map(|numbers| {
                let names = known.names.clone();
                Rearrangement::Classes { names, numbers }
            }),
            FieldKind::Labels | FieldKind::Numbers => {
                let alignment = Alignment::of_targets(target, &known.names).ok();
                alignment.map(|alignment| Rearrangement::Values(Box::new(alignment)))
            }
            _ => None,
        };
        let dataset = match change {
            Some(change) => dataset.rearranged(FieldRole::Target, &change, folder)?,
            None => dataset,
        };
        let beginning = Beginning {
            other_outputs: None,
            scale: Some(known.scale.clone()),
            normalization: self.normalization.clone(),
        };
        Ok((dataset, beginning))
    }
}

/// What differs in how image files became pixels, so that the same files are other pixels.
pub(super) fn other_preparation(given: &Field, wanted: &Field) -> Option<String> {
    let (given, wanted) = (given.preparation?, wanted.preparation?);
    (given.exif_orientation != wanted.exif_orientation).then(|| {
        let words = |turned: bool| match turned {
            true => "turned upright (`exif_orientation: true`)",
            false => "left as they are stored (`exif_orientation: false`)",
        };
        format!(
            "the model was trained on images that were {}, and those of the data were {}: prepare both in one way",
            words(wanted.exif_orientation),
            words(given.exif_orientation)
        )
    })
}

/// Refuses, or tells of, samples with categories that the model does not know.
fn tell_unknown(dataset: &Dataset, unknown: &[UnknownFeature], monitor: &Monitor) -> Result<(), TrainError> {
    let places: Vec<usize> = unknown.iter().map(|unknown| unknown.index).collect();
    let counts = dataset.counted(&places);
    let of = |refused: bool| {
        let found = unknown.iter().zip(&counts);
        let found = found.filter(|(unknown, count)| unknown.refused == refused && **count > 0);
        let found = found.map(|(unknown, count)| {
            let UnknownFeature { column, category, .. } = unknown;
            format!(
                "`{category}` of `{column}` ({})",
                crate::spec::counted(*count, "sample")
            )
        });
        found.collect::<Vec<_>>()
    };
    let refused = of(true);
    if !refused.is_empty() {
        return Err(TrainError::Columns(format!(
            "the model does not know the categories {}",
            shortened(&refused)
        )));
    }
    let taken = of(false);
    if !taken.is_empty() {
        monitor.warn(format!(
            "the model does not know the categories {}: those samples have none of the known ones",
            shortened(&taken)
        ));
    }
    Ok(())
}

fn tell_order(given: &Field, wanted: &Field, monitor: &Monitor) {
    let names = |field: &Field| {
        let columns = field.columns.iter().map(|column| column.name.clone());
        columns.collect::<Vec<String>>()
    };
    if names(given) != names(wanted) {
        monitor.info("the data's columns stand in another order than the model's: they are matched by name");
    }
}

/// The beginning of a digest, for people.
fn short(digest: &str) -> &str {
    digest.get(..12).unwrap_or(digest)
}

/// How many names there are, and the first of them.
fn counted(names: &[String]) -> String {
    format!("{} ({})", names.len(), shortened(names))
}

/// The first of the names, each in quotes.
pub(super) fn quoted(names: &[String]) -> String {
    let names: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    shortened(&names)
}
