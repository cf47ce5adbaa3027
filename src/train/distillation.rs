//! Distillation: what other models say of the samples that a network is trained on, and the loss that comes of it.

use candle_core::{Device, Tensor};

use super::error::TrainError;
use super::inference::{Inference, KeptPasses, average, ordered, to_units};
use super::meeting::{other_preparation, quoted};
use super::model_file::TrainedModel;
use super::setup::Setup;
use super::tasks::{ModelTarget, Task};
use super::trainer::Training;
use crate::data::{Alignment, Dataset, Normalization};
use crate::event::Monitor;
use crate::models::NetworkInput;
use crate::ops;
use crate::schema::{InputShape, Schema, TokenVocabulary};
use crate::spec::{Input, Mistake, Precision, TaughtBy};

/// The teachers of a training, and their part in its loss.
pub(super) struct Distillation<'a> {
    teachers: Vec<Teacher<'a>>,
    task: &'a dyn Task,
    /// What the network that is trained gives.
    target: &'a ModelTarget,
    device: &'a Device,
    loss: ops::LossFunction,
    /// What a sample adds to the divisor of the mean of that loss.
    sample_weight: f64,
    /// The share of the teachers in the loss.
    weight: f64,
}

/// A model that is learnt from.
struct Teacher<'a> {
    input: Input,
    model: &'a TrainedModel,
    kept: KeptPasses,
    /// Which of its outputs each of the network's is.
    order: Vec<usize>,
    /// How what the network is shown becomes what the teacher is shown, where that is something else.
    renormalization: Option<Renormalization>,
}

impl<'a> Distillation<'a> {
    /// The teachers of `task`, where it has any, for a network as `setup` has it.
    ///
    /// # Errors
    /// A teacher predicts something else, or cannot be shown what the network is shown; the message says both sides.
    pub fn new(
        task: &'a Training<'_>,
        setup: &'a Setup<'_>,
        monitor: &Monitor,
    ) -> Result<Option<Self>, TrainError> {
        let Some(options) = &task.recipe.distill else {
            return Ok(None);
        };
        let rules = setup.task.rules();
        let (loss, sample_weight) = match rules.taught {
            Some(TaughtBy::Divergence) => {
                let temperature = options.temperature();
                (ops::LossFunction::Distillation { temperature }, 1.0)
            }
            Some(TaughtBy::Distance) => (ops::LossFunction::Mse, setup.target.outputs() as f64),
            None => {
                let message = format!("a model for the task `{}` has no teachers", rules.name);
                return Err(Mistake::new(["distill"], message).into());
            }
        };
        let inputs: Vec<Input> = options.inputs().collect();
        if inputs.len() != task.teachers.len() {
            let message = format!("{} of {} teachers are given", task.teachers.len(), inputs.len());
            return Err(Mistake::new(["distill", "teacher"], message).into());
        }
        let teachers = inputs.into_iter().zip(task.teachers).map(|(input, model)| {
            let met = met(model, task, setup, monitor);
            let (order, renormalization) = met.map_err(|problem| mistake(&input, &problem))?;
            Ok(Teacher {
                input,
                model,
                kept: KeptPasses::default(),
                order,
                renormalization,
            })
        });
        Ok(Some(Self {
            teachers: teachers.collect::<Result<_, TrainError>>()?,
            task: setup.task,
            target: &setup.target,
            device: &task.device,
            loss,
            sample_weight,
            weight: options.weight.get(),
        }))
    }

    /// What is told of it when the training begins.
    pub fn told(&self) -> String {
        let names = self
            .teachers
            .iter()
            .map(|teacher| format!("`{}`", teacher.input.reference));
        let names: Vec<String> = names.collect();
        format!(
            "learns from {} (`distill`): `train_loss` is the whole loss, {} of it the distance from the teachers, and `val_loss` \
             the loss without them",
            names.join(", "),
            self.weight
        )
    }

    /// What the teachers say of a batch that the network is shown: the network's outputs, in its order and units, as they
    /// should be, row by row on the host. Nothing of it is on a tape.
    ///
    /// # Errors
    /// A teacher's output is not finite, or the arithmetic fails.
    pub fn outputs(&self, inputs: &NetworkInput) -> Result<Vec<f32>, TrainError> {
        let mut all = Vec::with_capacity(self.teachers.len());
        for teacher in &self.teachers {
            let mut values = teacher.outputs(inputs, self.device)?;
            // What is scaled alike keeps its bits.
            if let [only] = self.teachers.as_slice()
                && only.model.card.target == *self.target
            {
                return Ok(values);
            }
            to_units(&mut values, &teacher.model.card.target);
            all.push(ordered(&values, &teacher.order));
        }
        let mut together = match all.as_mut_slice() {
            [only] => std::mem::take(only),
            several => average(self.task, several, self.target.outputs()),
        };
        if let Some(scale) = &self.target.scale {
            together
                .chunks_exact_mut(self.target.outputs())
                .for_each(|row| scale.apply(row));
        }
        Ok(together)
    }

    /// The whole loss of `outputs`, `[N, outputs]`, where `own` is that without teachers and `wanted` is what these say: its
    /// share in the mean over an optimizer step of `samples` samples, a scalar in the graph.
    ///
    /// # Errors
    /// The outputs are not those that the teachers spoke of.
    pub fn whole_loss(
        &self,
        own: &Tensor,
        outputs: &Tensor,
        wanted: &[f32],
        samples: u64,
    ) -> Result<Tensor, TrainError> {
        let divisor = samples as f64 * self.sample_weight;
        let taught = ops::loss(outputs, ops::LossTargets::Values(wanted), &self.loss, divisor)?;
        // A loss that has no part in the whole shall not make it infinite.
        if self.weight == 1.0 {
            return Ok(taught);
        }
        Ok((own.affine(1.0 - self.weight, 0.0)? + taught.affine(self.weight, 0.0)?)?)
    }
}

impl Teacher<'_> {
    /// The outputs for a batch that the network is shown, as the teacher gives them.
    fn outputs(&self, inputs: &NetworkInput, device: &Device) -> Result<Vec<f32>, TrainError> {
        let renormalized = match (&self.renormalization, inputs) {
            (Some(renormalization), NetworkInput::Values(values)) => {
                Some(NetworkInput::Values(renormalization.apply(values)?))
            }
            _ => None,
        };
        let precision = self.model.card.precision;
        let inference = Inference {
            network: &self.model.network,
            precision,
            shape: self.model.card.input,
            device,
            kept: &self.kept,
        };
        let answer = inference.answer(renormalized.as_ref().unwrap_or(inputs))?;
        let values = answer.outputs(precision)?.flatten_all()?.to_vec1::<f32>()?;
        match values.iter().find(|value| !value.is_finite()) {
            None => Ok(values),
            Some(value) => {
                let hint = match precision {
                    Precision::F32 => "",
                    Precision::Bf16 | Precision::F16 => {
                        "; it computes with the precision that it was trained with"
                    }
                };
                Err(mistake(
                    &self.input,
                    &format!("it says {value} of a sample{hint}"),
                ))
            }
        }
    }
}

fn mistake(teacher: &Input, problem: &str) -> TrainError {
    Mistake::new(&teacher.path, format!("`{}`: {problem}", teacher.reference)).into()
}

/// The order of the outputs of `model` and how it is shown samples, where it can teach the network of `setup`; else what
/// differs.
fn met(
    model: &TrainedModel,
    task: &Training<'_>,
    setup: &Setup<'_>,
    monitor: &Monitor,
) -> Result<(Vec<usize>, Option<Renormalization>), String> {
    let device = &task.device;
    let order = outputs_met(&model.card.target, setup)?;
    inputs_met(model, task.dataset, setup, monitor)?;
    let renormalization = match setup.input {
        InputShape::Tokens { .. } => None,
        shape => Renormalization::between(&setup.normalization, &model.card.normalization, shape, device)?,
    };
    Ok((order, renormalization))
}

/// Which of the outputs of a teacher with `taught` each of the network's is, by name.
fn outputs_met(taught: &ModelTarget, setup: &Setup<'_>) -> Result<Vec<usize>, String> {
    let own = &setup.target;
    if taught.task != own.task {
        return Err(format!(
            "it is for the task `{}`, and what is trained for the task `{}`",
            taught.task, own.task
        ));
    }
    let lacking = |one: &[String], other: &[String]| {
        let lacking = one.iter().filter(|name| !other.contains(name));
        lacking.cloned().collect::<Vec<String>>()
    };
    let (unknown, foreign) = (
        lacking(&own.names, &taught.names),
        lacking(&taught.names, &own.names),
    );
    let what = setup.task.rules().outputs;
    let told = |who: &str, names: &[String]| (!names.is_empty()).then(|| format!("{who} {}", quoted(names)));
    let told: Vec<String> = [
        told("it does not know", &unknown),
        told("the data does not have", &foreign),
    ]
    .into_iter()
    .flatten()
    .collect();
    if !told.is_empty() {
        return Err(format!("{what} are others: {}", told.join(", and ")));
    }
    let place = |name: &String| taught.names.iter().position(|other| other == name);
    Ok(own.names.iter().filter_map(place).collect())
}

/// Fails where a teacher cannot be shown what the network is shown.
fn inputs_met(
    model: &TrainedModel,
    dataset: &Dataset,
    setup: &Setup<'_>,
    monitor: &Monitor,
) -> Result<(), String> {
    let (given, card) = (dataset.input(), &model.card);
    let wanted = card.inputs.as_ref().and_then(Schema::input);
    match (card.input, setup.feed.input()) {
        (InputShape::Tokens { .. }, InputShape::Tokens { length, .. }) => {
            let digest =
                |vocabulary: Option<&TokenVocabulary>| vocabulary.map(|vocabulary| vocabulary.digest.clone());
            let known = digest(wanted.and_then(|wanted| wanted.vocabulary.as_ref()));
            if known.is_none() || known != digest(given.vocabulary.as_ref()) {
                return Err(
                    "its tokenizer is another one than that of the data: preprocess the data with the teacher's tokenizer"
                        .to_owned(),
                );
            }
            let context = card.architecture.text().map_or(usize::MAX, |text| text.context);
            match length > context {
                true => Err(format!(
                    "the data has a sample of {length} tokens, and it has {context} positions"
                )),
                false => Ok(()),
            }
        }
        (taught, own) if taught != own => Err(format!(
            "it is shown samples of {}, and what is trained samples of {}",
            taught.of_sample(),
            own.of_sample()
        )),
        (InputShape::Features { .. }, _) => {
            let Some(wanted) = wanted else {
                return Err("it does not tell the columns that it was trained on: train it again".to_owned());
            };
            let alignment = Alignment::of_features(given, wanted)?;
            match alignment.keeps(given) {
                true => Ok(()),
                false => Err(
                    "the columns or categories of its data stand in another order, or empty cells are filled otherwise: \
                     train it on the same data"
                        .to_owned(),
                ),
            }
        }
        _ => {
            if let Some(difference) = wanted.and_then(|wanted| other_preparation(given, wanted)) {
                monitor.warn(difference);
            }
            Ok(())
        }
    }
}

/// How values that are normalised for one network become those of another: `scale * x + shift` for each channel or
/// column, which holds for samples that were mixed too.
struct Renormalization {
    scale: Tensor,
    shift: Tensor,
}

impl Renormalization {
    /// From the normalisation `own` to the normalisation `other` of samples of `shape`, on `device`; nothing where they are
    /// equal.
    fn between(
        own: &Normalization,
        other: &Normalization,
        shape: InputShape,
        device: &Device,
    ) -> Result<Option<Self>, String> {
        // `[1, C, 1, 1]` or `[1, F]`.
        let mut dimensions = shape.of_batch(1);
        dimensions.iter_mut().skip(2).for_each(|side| *side = 1);
        let channels: usize = dimensions.iter().product();
        let fits = |normalization: &Normalization| {
            [normalization.mean.len(), normalization.std.len()] == [channels; 2]
        };
        if !fits(own) || !fits(other) {
            return Err(format!(
                "its card tells how {} channels or columns are normalised, and there are {channels}",
                other.mean.len()
            ));
        }
        if own == other {
            return Ok(None);
        }
        let each = |of: fn([f64; 4]) -> f64| {
            let own = own.mean.iter().zip(&own.std);
            let pairs = own.zip(other.mean.iter().zip(&other.std));
            let values = pairs.map(|((mean, std), (other_mean, other_std))| {
                of([mean, std, other_mean, other_std].map(|value| f64::from(*value))) as f32
            });
            let values: Vec<f32> = values.collect();
            Tensor::from_vec(values, dimensions.as_slice(), device).map_err(|error| error.to_string())
        };
        Ok(Some(Self {
            scale: each(|[_, std, _, other_std]| std / other_std)?,
            shift: each(|[mean, _, other_mean, other_std]| (mean - other_mean) / other_std)?,
        }))
    }

    fn apply(&self, values: &Tensor) -> candle_core::Result<Tensor> {
        values.broadcast_mul(&self.scale)?.broadcast_add(&self.shift)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The numbers that the other normalisation gives, up to rounding.
    #[test]
    fn what_is_shown_is_normalised_anew() {
        let normalization = |mean: [f32; 2], std: [f32; 2]| Normalization {
            mean: mean.to_vec(),
            std: std.to_vec(),
        };
        let own = normalization([0.5, -3.0], [0.25, 2.0]);
        let other = normalization([0.4, 10.0], [0.2, 0.5]);
        let raw = [[0.0f32, 1.0, 0.3], [4.0, -7.5, 10.0]];
        let shown = |normalization: &Normalization| -> Vec<f32> {
            let channels = raw.iter().zip(normalization.mean.iter().zip(&normalization.std));
            let values = channels.flat_map(|(row, (mean, std))| row.iter().map(move |x| (x - mean) / std));
            values.collect()
        };
        let image = InputShape::Image {
            channels: 2,
            height: 1,
            width: 3,
        };
        let found = Renormalization::between(&own, &other, image, &Device::Cpu).expect("fits");
        let batch = Tensor::from_vec(shown(&own), (1, 2, 1, 3), &Device::Cpu).expect("valid");
        let found = found.expect("they differ").apply(&batch).expect("runs");
        let found = found
            .flatten_all()
            .and_then(|all| all.to_vec1::<f32>())
            .expect("numbers");
        for (found, expected) in found.iter().zip(shown(&other)) {
            assert!(
                (found - expected).abs() <= 2e-6 * expected.abs().max(1.0),
                "{found} {expected}"
            );
        }
        let rows = InputShape::Features { columns: 2 };
        let row = Renormalization::between(&own, &other, rows, &Device::Cpu).expect("fits");
        let batch = Tensor::new(&[[-2.0f32, 3.5]], &Device::Cpu).expect("valid");
        let found = row.expect("they differ").apply(&batch).expect("runs");
        let found = found.to_vec2::<f32>().expect("numbers");
        assert!(
            (found[0][0] + 2.0).abs() < 1e-6 && (found[0][1] + 12.0).abs() < 1e-5,
            "{found:?}"
        );

        let equal = Renormalization::between(&own, &own.clone(), rows, &Device::Cpu).expect("fits");
        assert!(equal.is_none());
        let three = InputShape::Features { columns: 3 };
        let error = Renormalization::between(&own, &other, three, &Device::Cpu).err();
        assert!(error.expect("refused").contains("there are 3"));
    }
}
