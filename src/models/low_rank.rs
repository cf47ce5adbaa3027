//! Low-rank changes of linear layers: LoRA (Hu et al., 2021), rank-stabilised (Kalajdzievski, 2023) and with
//! magnitudes of their own (DoRA: Liu et al., 2024), with the names and the arithmetic of Hugging Face's PEFT.
//!
//! A network is built as ever; then each linear layer that is a target gets a change beside its weight, which may stay
//! as it is. Merged, the change becomes part of the weight, and the network is as it was built.

use std::sync::{Arc, PoisonError, RwLock};

use candle_core::{Tensor, Var};
use rayon::prelude::*;

use super::builder::{Builder, Init};
use super::error::ModelError;
use super::layers::{Dropout, Weight};
use super::network::{Network, Pass};
use crate::ops;
use crate::spec::{LoraOptions, LoraTargets};

/// The layers of dropout that changes have begin here, so that no other layer has their draws.
const FIRST_DROPOUT: u32 = 1 << 20;

/// Where a linear layer's change stands, once it has one. Shared with the network, which sets it.
#[derive(Clone, Default)]
pub(super) struct ChangeSlot(Arc<RwLock<Option<Arc<LowRankChange>>>>);

impl ChangeSlot {
    fn set(&self, change: Option<LowRankChange>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = change.map(Arc::new);
    }

    fn get(&self) -> Option<Arc<LowRankChange>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// A linear layer within a network.
pub(super) struct LinearPlace {
    /// Its name, such as `layers.0.q_proj`.
    pub name: String,
    /// The name of its weight, which is not always `NAME.weight`.
    pub weight: Arc<str>,
    /// Its inputs and outputs.
    pub shape: [usize; 2],
    /// Whether the weight is held as `[inputs, outputs]`.
    pub transposed: bool,
    /// Where its change would stand.
    pub slot: ChangeSlot,
}

/// The change of one layer: `scale * B * A`.
struct LowRankChange {
    /// `A`, `[rank, inputs]`.
    down: Weight,
    /// `B`, `[outputs, rank]`.
    up: Weight,
    /// The norms of the changed weight's rows, `[outputs]`, where they are learnt on their own.
    magnitude: Option<Weight>,
    scale: f64,
    dropout: Dropout,
}

/// A linear layer as its forward pass sees it.
#[derive(Clone, Copy)]
pub(super) struct LinearOperands<'a> {
    pub weight: &'a Tensor,
    pub bias: Option<&'a Tensor>,
    pub transposed: bool,
}

impl LinearOperands<'_> {
    fn product(&self, x: &Tensor, bias: Option<&Tensor>, pass: &Pass) -> Result<Tensor, ModelError> {
        Ok(match self.transposed {
            true => ops::linear_transposed(x, self.weight, bias, pass.precision)?,
            false => ops::linear(x, self.weight, bias, pass.precision)?,
        })
    }

    /// `[..., in]` to `[..., out]`, with the change that stands in `slot`.
    pub(super) fn forward(&self, x: &Tensor, slot: &ChangeSlot, pass: &Pass) -> Result<Tensor, ModelError> {
        match slot.get() {
            // Models are asked with their changes merged, so that a program that does nothing else needs no more.
            Some(change) if cfg!(feature = "full") => change.forward(self, x, pass),
            _ => self.product(x, self.bias, pass),
        }
    }
}

impl LowRankChange {
    fn forward(&self, layer: &LinearOperands, x: &Tensor, pass: &Pass) -> Result<Tensor, ModelError> {
        let y = layer.product(x, layer.bias, pass)?;
        let dropped = self.drop(x, pass)?;
        let change = self.product(&dropped, pass)?;
        let Some(magnitude) = &self.magnitude else {
            return Ok(ops::add(&y, &change)?);
        };
        // The norm is a constant in the backward pass, as the paper has it.
        let factor = magnitude.operand(pass).div(&self.norms(layer)?)?;
        let base = layer.product(&dropped, None, pass)?;
        let of_base = base.broadcast_mul(&(&factor - 1.0)?)?;
        Ok(ops::add(
            &ops::add(&y, &of_base)?,
            &change.broadcast_mul(&factor)?,
        )?)
    }

    /// `scale * B * A * x`.
    fn product(&self, x: &Tensor, pass: &Pass) -> Result<Tensor, ModelError> {
        let hidden = ops::linear(x, &self.down.operand(pass), None, pass.precision)?;
        let hidden = match self.scale {
            1.0 => hidden,
            scale => (hidden * scale)?,
        };
        Ok(ops::linear(
            &hidden,
            &self.up.operand(pass),
            None,
            pass.precision,
        )?)
    }

    fn drop(&self, x: &Tensor, pass: &Pass) -> Result<Tensor, ModelError> {
        if self.dropout.probability == 0.0 {
            return Ok(x.clone());
        }
        match (self.dropout.of(pass), pass.sequences) {
            (Some((probability, key)), Some(sequences)) => {
                Ok(ops::dropout_rows(x, probability, key, sequences)?)
            }
            _ => self.dropout.forward(x.clone(), pass),
        }
    }

    /// The norm of each row of the changed weight, `[outputs]`.
    fn norms(&self, layer: &LinearOperands) -> Result<Tensor, ModelError> {
        let weight = layer.weight.detach();
        let weight = match layer.transposed {
            true => weight.t()?.contiguous()?,
            false => weight,
        };
        let [down, up] = [&self.down, &self.up].map(|factor| factor.var.as_tensor().detach());
        // `B` times `A`, whose rows are what it takes.
        let change = ops::linear_transposed(&up, &down, None, crate::spec::Precision::F32)?;
        let changed = (weight + (change * self.scale)?)?;
        Ok(changed.sqr()?.sum(1)?.sqrt()?)
    }

    /// The weight with the change in it, in the layout of `weight`.
    fn merged(&self, weight: &Tensor, place: &LinearPlace) -> Result<Tensor, ModelError> {
        let host = |tensor: &Tensor| -> Result<Vec<f32>, ModelError> { Ok(tensor.flatten_all()?.to_vec1()?) };
        let [inputs, outputs] = place.shape;
        let rows = match place.transposed {
            true => weight.t()?.contiguous()?,
            false => weight.clone(),
        };
        let (rows, down, up) = (
            host(&rows)?,
            host(self.down.var.as_tensor())?,
            host(self.up.var.as_tensor())?,
        );
        let magnitudes = self
            .magnitude
            .as_ref()
            .map(|magnitude| host(magnitude.var.as_tensor()));
        let magnitudes = magnitudes.transpose()?;
        let rank = down.len() / inputs;
        let mut merged = vec![0f32; rows.len()];
        merged
            .par_chunks_mut(inputs)
            .enumerate()
            .for_each(|(row, merged)| {
                let mut values: Vec<f64> = rows[row * inputs..][..inputs]
                    .iter()
                    .map(|value| f64::from(*value))
                    .collect();
                for (factor, down) in up[row * rank..][..rank].iter().zip(down.chunks_exact(inputs)) {
                    let factor = self.scale * f64::from(*factor);
                    values
                        .iter_mut()
                        .zip(down)
                        .for_each(|(value, down)| *value += factor * f64::from(*down));
                }
                let scale = magnitudes.as_ref().map_or(1.0, |magnitudes| {
                    let norm = values.iter().map(|value| value * value).sum::<f64>().sqrt();
                    f64::from(magnitudes[row]) / norm
                });
                merged
                    .iter_mut()
                    .zip(values)
                    .for_each(|(merged, value)| *merged = (scale * value) as f32);
            });
        let merged = Tensor::from_vec(merged, (outputs, inputs), weight.device())?;
        Ok(match place.transposed {
            true => merged.t()?.contiguous()?,
            false => merged,
        })
    }
}

impl Network {
    /// The names of the linear layers that a low-rank change can be made of.
    pub fn linear_layers(&self) -> impl Iterator<Item = &str> {
        self.linears.iter().map(|place| place.name.as_str())
    }

    /// Gives each linear layer that `options` name a low-rank change, which changes nothing to begin with: `B` is 0,
    /// and `A` is drawn as PEFT draws it. The parameters are called `LAYER.lora_A.weight`, `LAYER.lora_B.weight` and
    /// `LAYER.lora_magnitude_vector`. Nothing is frozen. Returns the layers' names.
    ///
    /// # Errors
    /// A target that fits no linear layer; a network that has changes already.
    pub fn adapt(&mut self, options: &LoraOptions, seed: u64) -> Result<Vec<String>, ModelError> {
        if self.linears.iter().any(|place| place.slot.get().is_some()) {
            let problem = "it has low-rank changes already".to_owned();
            return Err(ModelError::LowRank { problem });
        }
        let chosen = self.targets(&options.targets)?;
        let device = self.device();
        let mut builder = Builder::new(Some(seed), &device);
        // Each parameter is drawn by its number in the network.
        builder.first = u32::try_from(self.parameters.len()).unwrap_or(u32::MAX);
        let rank = options.rank.get() as usize;
        let mut names = Vec::new();
        for (number, place) in (0u32..).zip(chosen.iter().map(|index| &self.linears[*index])) {
            let [inputs, outputs] = place.shape;
            let name = |part: &str| format!("{}.{part}", place.name);
            let down = builder.parameter(
                name("lora_A.weight"),
                &[rank, inputs],
                Init::within_fan_in(inputs),
            )?;
            let up = builder.parameter(name("lora_B.weight"), &[outputs, rank], Init::Constant(0.0))?;
            let magnitude = options.dora.then(|| {
                let magnitude =
                    builder.parameter(name("lora_magnitude_vector"), &[outputs], Init::Constant(1.0));
                magnitude.and_then(|magnitude| {
                    // Where nothing is trained they are read from a file next.
                    if cfg!(feature = "full") {
                        magnitude.var.set(&self.row_norms(place)?)?;
                    }
                    Ok(magnitude)
                })
            });
            place.slot.set(Some(LowRankChange {
                down,
                up,
                magnitude: magnitude.transpose()?,
                scale: options.scale(),
                dropout: Dropout {
                    probability: options.dropout.get(),
                    layer: FIRST_DROPOUT + number,
                },
            }));
            names.push(place.name.clone());
        }
        self.parameters.append(&mut builder.parameters);
        self.frozen.append(&mut builder.frozen);
        Ok(names)
    }

    /// Makes the low-rank changes part of the weights that they change, so that the network is again as it was built;
    /// what it computes is the same but for rounding.
    ///
    /// # Errors
    /// What the tensor engine reports.
    pub fn merge(&mut self) -> Result<(), ModelError> {
        for place in &self.linears {
            let Some(change) = place.slot.get() else { continue };
            let var = self.weight_of(place)?;
            var.set(&change.merged(var.as_tensor(), place)?)?;
            place.slot.set(None);
        }
        let kept: Vec<bool> = self
            .parameters
            .iter()
            .map(|parameter| !is_low_rank(&parameter.name))
            .collect();
        let mut of_parameters = kept.iter();
        self.parameters.retain(|_| of_parameters.next() == Some(&true));
        let mut of_flags = kept.iter();
        self.frozen.retain(|_| of_flags.next() == Some(&true));
        Ok(())
    }

    /// The places of the linear layers that `targets` name.
    fn targets(&self, targets: &LoraTargets) -> Result<Vec<usize>, ModelError> {
        let head = self.architecture.head();
        let places = || self.linears.iter().enumerate();
        let body = || places().filter(|(_, place)| place.name != head);
        let all = || body().map(|(index, _)| index).collect();
        let found: Vec<usize> = match (targets, self.architecture.usual_targets()) {
            (LoraTargets::AllLinear, _) | (LoraTargets::Usual, []) => all(),
            (LoraTargets::Usual, usual) => {
                let usual = |name: &str| usual.iter().any(|target| is_target(name, target));
                body()
                    .filter(|(_, place)| usual(&place.name))
                    .map(|(index, _)| index)
                    .collect()
            }
            (LoraTargets::Named(patterns), _) => {
                let foreign = |pattern: &&String| !places().any(|(_, place)| is_target(&place.name, pattern));
                if let Some(pattern) = patterns.iter().find(foreign) {
                    return Err(self.no_target(pattern));
                }
                let fits = |name: &str| patterns.iter().any(|pattern| is_target(name, pattern));
                places()
                    .filter(|(_, place)| fits(&place.name))
                    .map(|(index, _)| index)
                    .collect()
            }
        };
        match found.is_empty() {
            true => Err(self.no_target("all_linear")),
            false => Ok(found),
        }
    }

    fn no_target(&self, pattern: &str) -> ModelError {
        let names: Vec<&str> = self.linear_layers().collect();
        ModelError::LowRank {
            problem: no_target(pattern, &names),
        }
    }

    fn weight_of(&self, place: &LinearPlace) -> Result<&Var, ModelError> {
        let own = self
            .parameters
            .iter()
            .find(|parameter| *parameter.name == *place.weight);
        own.map(|parameter| &parameter.var)
            .ok_or_else(|| ModelError::LowRank {
                problem: format!("there is no weight `{}`", place.weight),
            })
    }

    /// The norm of the weights of each output, `[outputs]`.
    fn row_norms(&self, place: &LinearPlace) -> Result<Tensor, ModelError> {
        let weight = self.weight_of(place)?.as_tensor().detach();
        Ok(weight.sqr()?.sum(usize::from(!place.transposed))?.sqrt()?)
    }
}

/// Whether a parameter of that name belongs to a low-rank change.
pub fn is_low_rank(name: &str) -> bool {
    name.ends_with(".lora_A.weight")
        || name.ends_with(".lora_B.weight")
        || name.ends_with(".lora_magnitude_vector")
}

/// Whether a target names a layer: by the whole name or its last parts, or with `*` for any text.
fn is_target(name: &str, target: &str) -> bool {
    match target.contains('*') {
        true => crate::spec::fits_pattern(target, name),
        false => name == target || name.strip_suffix(target).is_some_and(|rest| rest.ends_with('.')),
    }
}

fn no_target(pattern: &str, names: &[&str]) -> String {
    const SHOWN: usize = 6;
    let mut parts: Vec<&str> = Vec::new();
    for name in names {
        let last = name.rsplit('.').next().unwrap_or(name);
        if !parts.contains(&last) {
            parts.push(last);
        }
    }
    if parts.is_empty() {
        return format!("the target `{pattern}` fits nothing: the network has no linear layers");
    }
    let more = if parts.len() > SHOWN { ", ..." } else { "" };
    parts.truncate(SHOWN);
    format!(
        "the target `{pattern}` fits no linear layer; their names end in {}{more}",
        parts.join(", ")
    )
}
