//! From samples to the steps of tensors.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use candle_core::{DType, Tensor};
use indexmap::IndexMap;

use crate::models::{Network, NetworkInput, Pass};
use crate::ops::{
    Affine, ByteFinish, ByteLayer, ByteTensor, ByteWeight, Graph, PackedWeights, StandIn, WatchRows,
};
use crate::spec::{Precision, RangeRule};

use super::error::QuantizationError;
use super::layers::{FoldedLayer, LayerShape};
use super::model::{QuantizedLayer, QuantizedModel, TensorSpot};
use super::observe::Observed;
use super::plan::BytePlan;
use super::ranges::SeenValues;

/// A network on its way to bytes: samples are shown to it batch by batch, all of them once a pass.
pub struct Calibrator<'a> {
    network: &'a Network,
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

impl<'a> Calibrator<'a> {
    /// Of `network`, without the layers that `keep` names.
    ///
    /// # Errors
    /// A pattern that fits no layer, or no layer that is left.
    pub fn new(network: &'a Network, keep: &[String]) -> Result<Self, QuantizationError> {
        let weights = Arc::<PackedWeights>::default();
        let graph = weights.reuse(|| network.graph())?;
        for (name, weight) in &graph.weights {
            let values = weight.flatten_all()?.to_dtype(DType::F32)?.to_vec1::<f32>()?;
            if !values.iter().all(|value| value.is_finite()) {
                let weight = name.clone();
                return Err(QuantizationError::DamagedWeight { weight });
            }
        }
        let plan = BytePlan::new(network, &graph, keep)?;
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
            network,
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
    pub fn limit(&mut self, batch: &NetworkInput) -> Result<(), QuantizationError> {
        self.samples += batch.samples();
        self.pass(batch, SeenValues::limit)
    }

    /// The second pass, of all batches of the first: counts the values. Rules that ask for the limits alone do without.
    ///
    /// # Errors
    /// What operations report.
    pub fn count(&mut self, batch: &NetworkInput) -> Result<(), QuantizationError> {
        self.pass(batch, |seen, values| {
            seen.count(values);
            true
        })
    }

    /// Has `note` take note of the values of each tensor; where it says no, they are not finite.
    fn pass(
        &mut self,
        batch: &NetworkInput,
        note: impl Fn(&mut SeenValues, &[f32]) -> bool + Copy + Send + Sync + 'static,
    ) -> Result<(), QuantizationError> {
        let not_finite = |spot: TensorSpot| QuantizationError::NotFinite {
            tensor: self.plan.name(spot),
        };
        let mut seen = std::mem::take(&mut self.seen);
        let done = match batch {
            NetworkInput::Values(values) => {
                let see = |spot: TensorSpot, tensor: &Tensor| {
                    let values = tensor.flatten_all()?.to_vec1::<f32>()?;
                    match seen.get_mut(&spot).is_none_or(|seen| note(seen, &values)) {
                        true => Ok(()),
                        false => Err(not_finite(spot)),
                    }
                };
                self.weights
                    .reuse(|| self.observed().run(values, see, |_, _| Ok(())))
                    .map(drop)
            }
            NetworkInput::Tokens(_) => {
                let told = Arc::new(Mutex::new((seen, None)));
                // Several layers may read one tensor: the first one tells of it.
                let mut spots = HashSet::new();
                let watched = self.watch(|index| {
                    let spot = self.plan.spot(self.graph.nodes[index].operands[0])?;
                    let told = Arc::clone(&told);
                    let watch = move |x: &[f32], _: &[f32]| {
                        let (seen, problem) = &mut *lock(&told);
                        if !seen.get_mut(&spot).is_none_or(|seen| note(seen, x)) {
                            problem.get_or_insert(spot);
                        }
                    };
                    spots.insert(spot).then(|| Box::new(watch) as _)
                });
                let done = self.answered(&watched, batch);
                let (of_layers, problem) = std::mem::take(&mut *lock(&told));
                seen = of_layers;
                done.and_then(|()| problem.map_or(Ok(()), |spot| Err(not_finite(spot))))
            }
        };
        self.seen = seen;
        done
    }

    /// Weights whose layers tell those that `watch` gives, by node, what goes in and what comes out.
    fn watch(&self, mut watch: impl FnMut(usize) -> Option<Box<WatchRows>>) -> Arc<PackedWeights> {
        let watched = PackedWeights::default();
        for (index, node) in self.graph.nodes.iter().enumerate() {
            let weight = node.weight(1).filter(|_| self.plan.layers[index].is_some());
            if let Some(weight) = weight
                && let Some(watch) = watch(index)
            {
                watched.replace(&self.graph.weights[weight].1, StandIn::Watched(watch), false);
            }
        }
        Arc::new(watched)
    }

    /// Has the network answer `batch` with these weights.
    fn answered(&self, weights: &Arc<PackedWeights>, batch: &NetworkInput) -> Result<(), QuantizationError> {
        weights.reuse(|| self.network.answer(batch, &Pass::evaluate(Precision::F32)))?;
        Ok(())
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
        batches: &[NetworkInput],
    ) -> Result<Vec<LayerNoise>, QuantizationError> {
        let powers: Arc<Mutex<IndexMap<usize, Powers>>> = Arc::default();
        let mut made: HashMap<usize, Arc<RoundedLayer>> = HashMap::new();
        for index in 0..self.graph.nodes.len() {
            if let Some(layer) = self.rounded_layer(model, index) {
                made.insert(index, Arc::new(layer));
            }
        }
        for batch in batches {
            if let NetworkInput::Values(values) = batch {
                let layer = |index: usize, x: &Tensor| {
                    let layers = (&self.plan.layers[index], &self.folded[index], made.get(&index));
                    let (Some(shape), Some(folded), Some(own)) = layers else {
                        return Ok(());
                    };
                    let exact = folded.product(shape, x)?.flatten_all()?.to_vec1::<f32>()?;
                    let rounded = own.values(&x.flatten_all()?.to_vec1()?, x.dims());
                    lock(&powers).entry(index).or_default().add(&exact, &rounded);
                    Ok(())
                };
                self.weights
                    .reuse(|| self.observed().run(values, |_, _| Ok(()), layer))?;
                continue;
            }
            let watched = self.watch(|index| {
                let (own, powers) = (Arc::clone(made.get(&index)?), Arc::clone(&powers));
                Some(Box::new(move |x: &[f32], exact: &[f32]| {
                    let rounded = own.layer.rows(x);
                    lock(&powers).entry(index).or_default().add(exact, &rounded);
                }))
            });
            self.answered(&watched, batch)?;
        }
        let powers = std::mem::take(&mut *lock(&powers));
        let noise = powers
            .into_iter()
            .filter_map(|(index, Powers { signal, noise })| {
                let shape = self.plan.layers[index].as_ref()?;
                Some(LayerNoise {
                    layer: shape.name.clone(),
                    weights: shape.weights(),
                    decibels: (noise > 0.0).then(|| 10.0 * (signal / noise).log10()),
                })
            });
        Ok(noise.collect())
    }

    /// The layer that the node `index` is as `model` has it.
    fn rounded_layer(&self, model: &QuantizedModel, index: usize) -> Option<RoundedLayer> {
        let shape = self.plan.layers[index].as_ref()?;
        let layer = model.layers.get(&shape.name)?;
        let spot = self.plan.spot(self.graph.nodes[index].operands[0])?;
        let input = *model.tensors.get(&self.plan.name(spot))?;
        Some(RoundedLayer {
            layer: ByteLayer::new(&layer.weight, &layer.bias, input, shape.convolution),
            input,
        })
    }
}

/// A layer, and how what goes into it stands as bytes.
struct RoundedLayer {
    layer: ByteLayer,
    input: Affine,
}

impl RoundedLayer {
    /// What it gives for numbers of these dimensions.
    fn values(&self, x: &[f32], dims: &[usize]) -> Vec<f32> {
        let bytes = ByteTensor {
            values: self.input.quantize_all(x),
            dims: dims.to_vec(),
            affine: self.input,
        };
        self.layer.values(&bytes, &ByteFinish::default()).0
    }
}

/// The summed squares of what a layer gives, and of what is lost by rounding.
#[derive(Clone, Copy, Debug, Default)]
struct Powers {
    signal: f64,
    noise: f64,
}

impl Powers {
    fn add(&mut self, exact: &[f32], rounded: &[f32]) {
        for (&exact, &rounded) in exact.iter().zip(rounded) {
            self.signal += f64::from(exact).powi(2);
            self.noise += (f64::from(exact) - f64::from(rounded)).powi(2);
        }
    }
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}
