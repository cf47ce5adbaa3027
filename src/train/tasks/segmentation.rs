//! Segmentation: each pixel of an image is of one of some classes, and each class gets a logit there.

use std::path::Path;

use candle_core::{D, DType, Tensor};
use rayon::prelude::*;

use super::classification::argmax;
use super::losses::not;
use super::{
    ClassFigures, Criterion, CsvFile, JUDGES, LossCriterion, ModelTarget, NoTally, OutputMeaning, PIXELS,
    PredictedColumn, PredictedKind, PredictedMask, PredictedValue, Task, TaskTally, float_text, score_sum,
    unjudged,
};
use crate::data::{Array, Dataset, Split};
use crate::metric::segmentation::{ClassMean, ConfusionMatrix};
use crate::ops;
use crate::schema::{FieldKind, NO_CLASS, NO_PIXEL_CLASS};
use crate::spec::{self, ArtifactTable, EvaluationMetric, Loss, TaskRules};
use crate::train::error::TrainError;

/// The classes over which means are taken, as torchmetrics does.
const MEAN: ClassMean = ClassMean::TruthOrPrediction;

/// One of some classes for each pixel. A sample's outputs are a row for each pixel, row by row of the image.
#[derive(Clone, Copy, Debug)]
pub struct Segmentation;

impl Task for Segmentation {
    fn rules(&self) -> &'static TaskRules {
        &spec::SEGMENTATION
    }

    fn outputs(&self, dataset: &Dataset) -> Option<Vec<String>> {
        let target = dataset.target();
        let is_named = target.kind == FieldKind::Mask && !target.names.is_empty();
        is_named.then(|| target.names.clone())
    }

    fn default_loss(&self) -> Option<Loss> {
        match JUDGES {
            true => Some(Loss::usual(self.rules().data)),
            false => None,
        }
    }

    fn criterion(
        &self,
        target: &ModelTarget,
        loss: Option<&Loss>,
        _mixed: bool,
    ) -> Result<Box<dyn Criterion>, TrainError> {
        if !JUDGES {
            return Err(unjudged());
        }
        let mut loss = LossCriterion::new(self, loss, target.outputs())?;
        let mut ignored = None;
        // What is not to be predicted has the place of the class that a recipe ignores, and is told by that too.
        if let ops::LossFunction::CrossEntropy { ignore_index, .. } = &mut loss.loss {
            ignored = ignore_index.replace(NO_CLASS);
        }
        Ok(Box::new(PixelLoss { loss, ignored }))
    }

    fn tally(&self, outputs: usize, _asked: &[EvaluationMetric]) -> Box<dyn TaskTally> {
        match JUDGES {
            true => Box::new(PixelTally {
                classes: outputs,
                matrix: ConfusionMatrix::new(outputs, Some(NO_PIXEL_CLASS)),
            }),
            false => Box::new(NoTally),
        }
    }

    /// Masks are in no table.
    fn prediction_columns(&self, _names: &[String]) -> Vec<String> {
        Vec::new()
    }

    fn prediction(
        &self,
        _outputs: &[f32],
        _split: &Split,
        _index: usize,
        _names: &[String],
    ) -> Result<Vec<String>, TrainError> {
        Ok(Vec::new())
    }

    /// How many pixels each class has: a mask itself is a file of its own.
    fn predicted_columns(&self, names: &[String]) -> Vec<PredictedColumn> {
        PredictedColumn::each(PIXELS, PredictedKind::Number, names).collect()
    }

    fn predicted<'a>(&self, outputs: &[f32], names: &'a [String]) -> Vec<PredictedValue<'a>> {
        let pixels = outputs.len() / names.len().max(1);
        let mask = PredictedMask::of(outputs, names.len(), [1, pixels], [1, pixels]);
        let counts = mask.counts(names.len()).into_iter();
        counts.map(|count| PredictedValue::Number(count as f64)).collect()
    }

    /// As of classes of whole samples, pixel by pixel.
    fn average(&self, models: &[&[f32]]) -> Vec<f32> {
        super::Classification.average(models)
    }

    fn meaning(&self) -> OutputMeaning {
        OutputMeaning {
            tensor: "logits",
            layout: "N,classes,H,W",
            meaning: "logits of each pixel's class: softmax over the classes gives probabilities",
            names: "classes",
        }
    }
}

/// The most likely class of each pixel, whose outputs are rows of `classes`.
pub(in crate::train) fn pixel_classes(outputs: &[f32], classes: usize) -> Vec<u8> {
    // There are fewer classes than a byte has values.
    let rows = outputs.par_chunks_exact(classes.max(1)).with_min_len(1 << 12);
    rows.map(|row| argmax(row) as u8).collect()
}

/// Cross-entropy of the pixels that have a class, and how many of those have it as the most likely one.
#[derive(Debug)]
struct PixelLoss {
    /// With [`NO_CLASS`] as the class that does not count.
    loss: LossCriterion,
    /// Another class that does not count.
    ignored: Option<u32>,
}

impl PixelLoss {
    /// The classes of pixels, with [`NO_CLASS`] where nothing counts.
    fn wanted_of(&self, pixels: &[u8]) -> Vec<u32> {
        let wanted = |class: &u8| match *class {
            NO_PIXEL_CLASS => NO_CLASS,
            class if Some(u32::from(class)) == self.ignored => NO_CLASS,
            class => u32::from(class),
        };
        pixels.iter().map(wanted).collect()
    }

    /// What the pixels of a sample add to the divisor. Samples are added up in their order, whoever serves them.
    fn weight_of_sample(&self, pixels: &[u8]) -> f64 {
        let wanted = self.wanted_of(pixels);
        self.loss.weight(ops::LossTargets::Classes(&wanted))
    }

    fn wanted(&self, targets: &Array) -> Result<Vec<u32>, TrainError> {
        let pixels = targets.u8().ok_or_else(|| not("classes of pixels"))?;
        Ok(self.wanted_of(pixels))
    }
}

impl Criterion for PixelLoss {
    fn loss(&self, outputs: &Tensor, targets: &Array, divisor: f64) -> Result<Tensor, TrainError> {
        let wanted = self.wanted(targets)?;
        self.loss
            .loss(&pixel_rows(outputs)?, ops::LossTargets::Classes(&wanted), divisor)
    }

    fn weight(&self, targets: &Array) -> f64 {
        let pixels = targets.u8().unwrap_or_default();
        let samples = targets.dimensions.first().copied().unwrap_or(0);
        let samples = pixels.chunks_exact((pixels.len() / samples.max(1)).max(1));
        samples.map(|pixels| self.weight_of_sample(pixels)).sum()
    }

    fn weighs_as_served(&self) -> bool {
        true
    }

    fn weight_of(&self, split: &Split, samples: &[u32]) -> f64 {
        let pixels = |sample: &u32| split.pixel_classes(*sample as usize).unwrap_or_default();
        samples
            .iter()
            .map(|sample| self.weight_of_sample(pixels(sample)))
            .sum()
    }

    fn score(&self, outputs: &Tensor, targets: &Array) -> Result<Tensor, TrainError> {
        let (wanted, width) = (self.wanted(targets)?, self.loss.outputs);
        let sum = score_sum(
            &pixel_rows(outputs)?,
            |outputs| {
                let rows = outputs.par_chunks_exact(width).zip(&wanted).with_min_len(1 << 12);
                let right =
                    rows.filter(|(row, class)| **class != NO_CLASS && argmax(row) == **class as usize);
                right.count() as f64
            },
            |outputs| {
                // No class is at the place of one that does not count.
                let wanted = Tensor::from_slice(&wanted, wanted.len(), outputs.device())?;
                outputs.argmax(D::Minus1)?.to_dtype(DType::U32)?.eq(&wanted)
            },
        );
        Ok(sum?)
    }

    fn scored(&self, targets: &Array) -> u64 {
        let wanted = self.wanted(targets).unwrap_or_default();
        wanted.iter().filter(|class| **class != NO_CLASS).count() as u64
    }

    /// The sums over the pixels of each sample.
    fn sample_losses(&self, outputs: &[f32], targets: &Array) -> Result<Vec<(f64, f64)>, TrainError> {
        let wanted = self.wanted(targets)?;
        let samples = targets.dimensions.first().copied().unwrap_or(0);
        let losses = self
            .loss
            .sample_losses(outputs, ops::LossTargets::Classes(&wanted))?;
        let pixels = losses.len() / samples.max(1);
        let sum = |pixels: &[(f64, f64)]| {
            let add = |(loss, weight): (f64, f64), (own, counts): &(f64, f64)| (loss + own, weight + counts);
            pixels.iter().fold((0.0, 0.0), add)
        };
        Ok(losses.chunks_exact(pixels.max(1)).map(sum).collect())
    }
}

/// A row for each pixel.
fn pixel_rows(outputs: &Tensor) -> Result<Tensor, TrainError> {
    match outputs.rank() {
        4 => Ok(ops::flatten(outputs, 0, 2)?),
        _ => Err(not("classes of pixels, or the outputs are not those of pixels")),
    }
}

/// What the figures of masks are made of: the pixels of all samples together.
#[derive(Debug)]
struct PixelTally {
    classes: usize,
    matrix: ConfusionMatrix,
}

impl PixelTally {
    fn count(&mut self, outputs: &[f32], truth: &[u8]) -> Result<(), TrainError> {
        let predicted = pixel_classes(outputs, self.classes);
        self.matrix
            .add(truth, &predicted)
            .map_err(|error| not(&format!("classes of these pixels: {error}")))
    }

    /// The figures of each class.
    fn class_figures(&self) -> Vec<ClassFigures> {
        let counts = self.matrix.counts();
        let figures = (0..self.classes).map(|class| {
            let support = counts[class * self.classes..][..self.classes].iter().sum();
            let predicted = counts[class..].iter().step_by(self.classes).sum();
            ClassFigures::new(counts[class * self.classes + class], support, predicted)
        });
        figures.collect()
    }

    /// Rows are true classes, columns predicted ones.
    fn write_confusion(&self, folder: &Path, names: &[String]) -> Result<(), TrainError> {
        let mut file = CsvFile::create(folder, ArtifactTable::CONFUSION, names.iter().cloned())?;
        for (name, counts) in names
            .iter()
            .zip(self.matrix.counts().chunks_exact(self.classes.max(1)))
        {
            file.row(std::iter::once(name.clone()).chain(counts.iter().map(u64::to_string)))?;
        }
        file.finish()
    }

    /// A row for each class, with an empty cell where neither a mask nor a prediction has it.
    fn write_classes(&self, folder: &Path, names: &[String]) -> Result<(), TrainError> {
        let mut file = CsvFile::create(folder, ArtifactTable::CLASSES, ["iou".to_owned()])?;
        let figures = self.class_figures().into_iter().zip(self.matrix.iou());
        for (name, (figures, iou)) in names.iter().zip(figures) {
            file.row([
                name.clone(),
                float_text(figures.precision),
                float_text(figures.recall),
                float_text(figures.f1),
                figures.support.to_string(),
                iou.map_or_else(String::new, float_text),
            ])?;
        }
        file.finish()
    }
}

impl TaskTally for PixelTally {
    /// Of a sample as the split holds it.
    fn add(&mut self, outputs: &[f32], split: &Split, index: usize) -> Result<(), TrainError> {
        let truth = split
            .pixel_classes(index)
            .ok_or_else(|| not("classes of pixels"))?;
        self.count(outputs, truth)
    }

    fn add_served(
        &mut self,
        outputs: &[f32],
        (targets, place): (&Array, usize),
        _split: &Split,
        _index: usize,
    ) -> Result<(), TrainError> {
        let pixels = targets.u8().ok_or_else(|| not("classes of pixels"))?;
        let samples = targets.dimensions.first().copied().unwrap_or(0);
        let each = pixels.len() / samples.max(1);
        let truth = pixels.get(place * each..(place + 1) * each);
        self.count(outputs, truth.ok_or_else(|| not("classes of pixels"))?)
    }

    fn figure(&self, name: &str) -> Option<f64> {
        match name {
            "miou" => self.matrix.mean_iou(MEAN),
            "dice" => self.matrix.mean_dice(MEAN),
            "pixel_accuracy" => self.matrix.pixel_accuracy(),
            _ => None,
        }
    }

    fn write(&self, metric: &str, names: &[String], folder: &Path) -> Result<(), TrainError> {
        match metric {
            "confusion" => self.write_confusion(folder, names),
            "per_class" => self.write_classes(folder, names),
            _ => Ok(()),
        }
    }
}
