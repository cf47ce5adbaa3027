//! From samples to the steps of tensors.

use std::collections::HashMap;
use std::sync::Arc;

use candle_core::{DType, Tensor};
use indexmap::IndexMap;

use crate::models::Network;
use crate::ops::{Affine, ByteFinish, ByteLayer, ByteTensor, ByteWeight, Graph, PackedWeights};
use crate::spec::RangeRule;

use super::error::QuantizationError;
use super::layers::{FoldedLayer, LayerShape};
use super::model::{QuantizedLayer, QuantizedModel, TensorSpot};
use super::observe::Observed;
use super::plan::BytePlan;
use super::ranges::SeenValues;

/// A network on its way to bytes: samples are shown to it batch by batch, all of them once a pass.
pub struct Calibrator {
    graph: Graph,
    plan: BytePlan,
    folded: Vec<Option<FoldedLayer>>,
    weights: Arc<PackedWeights>,
    seen: HashMap<TensorSpot, SeenValues>,
    samples: usize,
}

/// How much of what a layer gives is lost by its own rounding.
#[derive(Clone, Debug, PartialEq)]
pub struct LayerNoise {
    /// What the layer is called.
    pub layer: String,
    /// Values of its weight.
    pub weights: usize,
    /// The ratio of signal to noise in decibels: of the squares of what it gives in f32, and of the differences from it
    /// where its own weights and inputs are rounded and all before it is exact. Nothing where it is exact.
    pub decibels: Option<f64>,
}

impl Calibrator {
    /// Of `network`, without the layers that `keep` names.
    ///
    /// # Errors
    /// A pattern that fits no layer, or no layer that is left.
    pub fn new(network: &Network, keep: &[String]) -> Result<Self, QuantizationError> {
        let weights = Arc::<PackedWeights>::default();
        let graph = weights.reuse(|| network.graph())?;
        for (name, weight) in &graph.weights {
            let values = weight.flatten_all()?.to_dtype(DType::F32)?.to_vec1::<f32>()?;
            if !values.iter().all(|value| value.is_finite()) {
                let weight = name.clone();
                return Err(QuantizationError::DamagedWeight { weight });
            }
        }
        let plan = BytePlan::new(&graph, keep)?;
        let folded = graph.nodes.iter().zip(&plan.layers).map(|(node, layer)| {
            let fold = |shape| FoldedLayer::of(&graph, node, shape);
            layer.as_ref().map(fold).transpose()
        });
        let folded = folded.collect::<candle_core::Result<_>>()?;
        let seen = plan
            .spots()
            .into_iter()
            .map(|spot| (spot, SeenValues::new()))
            .collect();
        Ok(Self {
            graph,
            plan,
            folded,
            weights,
            seen,
            samples: 0,
        })
    }

    /// The names of the layers that are quantized, in order.
    pub fn layers(&self) -> impl Iterator<Item = &str> {
        self.plan.layers.iter().flatten().map(|layer| layer.name.as_str())
    }

    /// The names of the layers that stay f32 since they sum up more products than 32 bits hold.
    pub fn too_large(&self) -> impl Iterator<Item = &str> {
        let nodes = self.graph.nodes.iter();
        nodes.filter_map(|node| LayerShape::too_large(&self.graph, node))
    }

    fn observed(&self) -> Observed<'_> {
        Observed {
            graph: &self.graph,
            plan: &self.plan,
            layers: &self.folded,
        }
    }

    /// The first pass: takes note of the limits of all tensors.
    ///
    /// # Errors
    /// A tensor that is not finite, or what operations report.
    pub fn limit(&mut self, batch: &Tensor) -> Result<(), QuantizationError> {
        self.samples += batch.dims()[0];
        self.pass(batch, SeenValues::limit)
    }

    /// The second pass, of all batches of the first: counts the values. Rules that ask for the limits alone do without.
    ///
    /// # Errors
    /// What operations report.
    pub fn count(&mut self, batch: &Tensor) -> Result<(), QuantizationError> {
        self.pass(batch, |seen, values| {
            seen.count(values);
            true
        })
    }

    /// Has `note` take note of the values of each tensor; where it says no, they are not finite.
    fn pass(
        &mut self,
        batch: &Tensor,
        note: impl Fn(&mut SeenValues, &[f32]) -> bool,
    ) -> Result<(), QuantizationError> {
        let mut seen = std::mem::take(&mut self.seen);
        let see = |spot: TensorSpot, tensor: &Tensor| {
            let values = tensor.flatten_all()?.to_vec1::<f32>()?;
            match seen.get_mut(&spot).is_none_or(|seen| note(seen, &values)) {
                true => Ok(()),
                false => Err(QuantizationError::NotFinite {
                    tensor: self.plan.name(spot),
                }),
            }
        };
        let done = self
            .weights
            .reuse(|| self.observed().run(batch, see, |_, _| Ok(())));
        self.seen = seen;
        done.map(drop)
    }

    /// The quantized layers, and the steps of the tensors by `rule`.
    ///
    /// # Errors
    /// No sample was shown.
    pub fn model(&self, rule: &RangeRule) -> Result<QuantizedModel, QuantizationError> {
        if self.samples == 0 {
            return Err(QuantizationError::NoSamples);
        }
        let steps = |spot: TensorSpot| {
            let (low, high) = self.seen[&spot].range(rule);
            Affine::of_range(low, high)
        };
        let tensors: IndexMap<String, Affine> = self
            .plan
            .spots()
            .into_iter()
            .map(|spot| (self.plan.name(spot), steps(spot)))
            .collect();
        let mut layers = IndexMap::new();
        for (index, shape) in self.plan.layers.iter().enumerate() {
            let spot = self.plan.spot(self.graph.nodes[index].operands[0]);
            let (Some(shape), Some(folded), Some(spot)) = (shape, &self.folded[index], spot) else {
                continue;
            };
            let input = steps(spot);
            let weight = folded.weight.flatten_all()?.to_vec1::<f32>()?;
            let bias = folded.bias.to_vec1::<f32>()?;
            let layer = QuantizedLayer {
                prefix: shape.prefix.clone(),
                weight: ByteWeight::of(&weight, &shape.dims, &bias, input),
                bias,
            };
            layers.insert(shape.name.clone(), layer);
        }
        Ok(QuantizedModel { layers, tensors })
    }

    /// What each layer of `model` loses by its own rounding, for the samples of `batches`.
    ///
    /// # Errors
    /// What operations report.
    pub fn noise(
        &self,
        model: &QuantizedModel,
        batches: &[Tensor],
    ) -> Result<Vec<LayerNoise>, QuantizationError> {
        let mut powers: IndexMap<usize, (f64, f64)> = IndexMap::new();
        let mut made: HashMap<usize, ByteLayer> = HashMap::new();
        for batch in batches {
            let layer = |index: usize, x: &Tensor| {
                let (Some(shape), Some(folded)) = (&self.plan.layers[index], &self.folded[index]) else {
                    return Ok(());
                };
                let spot = self.plan.spot(self.graph.nodes[index].operands[0]);
                let input = spot.and_then(|spot| model.tensors.get(&self.plan.name(spot)));
                let (Some(layer), Some(&input)) = (model.layers.get(&shape.name), input) else {
                    return Ok(());
                };
                let own = made
                    .entry(index)
                    .or_insert_with(|| ByteLayer::new(&layer.weight, &layer.bias, input, shape.convolution));
                let values = x.flatten_all()?.to_vec1::<f32>()?;
                let bytes = ByteTensor {
                    values: values.iter().map(|&value| input.quantize(value)).collect(),
                    dims: x.dims().to_vec(),
                    affine: input,
                };
                let (rounded, _) = own.values(&bytes, &ByteFinish::default());
                let exact = folded.product(shape, x)?.flatten_all()?.to_vec1::<f32>()?;
                let (signal, noise) = powers.entry(index).or_default();
                for (&exact, &rounded) in exact.iter().zip(&rounded) {
                    *signal += f64::from(exact).powi(2);
                    *noise += (f64::from(exact) - f64::from(rounded)).powi(2);
                }
                Ok(())
            };
            self.weights
                .reuse(|| self.observed().run(batch, |_, _| Ok(()), layer))?;
        }
        let noise = powers.into_iter().filter_map(|(index, (signal, noise))| {
            let shape = self.plan.layers[index].as_ref()?;
            Some(LayerNoise {
                layer: shape.name.clone(),
                weights: shape.weights(),
                decibels: (noise > 0.0).then(|| 10.0 * (signal / noise).log10()),
            })
        });
        Ok(noise.collect())
    }
}
