//! A quantized network that answers.

use std::sync::Arc;

use candle_core::{Device, Tensor};

use crate::models::{Architecture, KeyValueCache, ModelError, Network, Pass, TextOutput, TokenBatch};
use crate::ops::{
    AddedTensor, Affine, Attribute, Attributes, ByteFinish, ByteLayer, ByteTensor, Graph, GraphValue,
    PackedWeights, StandIn,
};
use crate::spec::Precision;

use super::bytes;
use super::error::QuantizationError;
use super::layers::LayerShape;
use super::model::{QuantizedLayer, QuantizedModel, TensorSpot};
use super::plan::{ByteOperation, BytePlan, is_of_texts};

/// A network of which some layers multiply bytes.
///
/// One of images or rows runs by its graph. One of texts, which have any length, runs as it was built, with layers that
/// stand in for those of its architecture.
pub struct QuantizedNetwork {
    graph: Graph,
    plan: BytePlan,
    model: QuantizedModel,
    /// How what the network is given stands as bytes, where it does.
    input: Option<Affine>,
    /// The same of the result of each node.
    results: Vec<Option<Affine>>,
    /// The same of the product of each node, before something is added to it.
    products: Vec<Option<Affine>>,
    /// How often the result of each node is read.
    uses: Vec<usize>,
    /// What each node does; nothing of a network of texts.
    actions: Vec<NodeAction>,
    /// Whether values are rounded where a layer reads them alone, and stay numbers for all other readers.
    rounds_at_layers: bool,
}

/// What a node of the graph does.
enum NodeAction {
    /// What it was recorded with, in f32.
    Recorded,
    Layer(Box<ByteLayer>),
    Table(Box<[u8; 256]>),
    Other(ByteOperation, Attributes),
}

/// A value on its way.
#[derive(Clone)]
pub(super) enum Passed {
    Bytes(Arc<ByteTensor>),
    Numbers(Tensor),
}

/// The names of the layers of `network` that can be quantized, in order.
///
/// # Errors
/// An architecture that computes something beside the operations of [`ops`](crate::ops).
pub fn layer_names(network: &Network) -> Result<Vec<String>, QuantizationError> {
    let graph = network.graph()?;
    let shapes = BytePlan::layers_of(network, &graph).into_iter().flatten();
    Ok(shapes.map(|shape| shape.name).collect())
}

impl QuantizedNetwork {
    /// Of `network`, whose weights are those that stay f32, with `model` for the rest; without the layers that `keep`
    /// names.
    ///
    /// # Errors
    /// Layers or tensors that are not those of the network.
    pub fn new(network: &Network, model: QuantizedModel, keep: &[String]) -> Result<Self, QuantizationError> {
        // What is packed of the weights that stay f32 is kept by the operations. Those of texts are not run again.
        let graph = match is_of_texts(network) {
            true => network.graph()?,
            false => Arc::<PackedWeights>::default().reuse(|| network.graph())?,
        };
        let plan = BytePlan::new(network, &graph, keep)?;
        let mut quantized = Self {
            uses: graph.uses(),
            graph,
            plan,
            model,
            input: None,
            results: Vec::new(),
            products: Vec::new(),
            actions: Vec::new(),
            rounds_at_layers: is_of_texts(network),
        };
        quantized.check()?;
        quantized.find_steps();
        if quantized.rounds_at_layers {
            return Ok(quantized);
        }
        let actions: Result<Vec<NodeAction>, QuantizationError> = (0..quantized.graph.nodes.len())
            .map(|index| quantized.action(index))
            .collect();
        quantized.actions = actions?;
        Ok(quantized)
    }

    /// The network as one that answers, made of the one that it was made of. Of texts, the weights of that one that are
    /// quantized here are left without values where they are to be `given_up`.
    ///
    /// # Errors
    /// Steps that are missing.
    pub fn into_network(self: Arc<Self>, of: &Network, given_up: bool) -> Result<Network, QuantizationError> {
        let architecture: Box<dyn Architecture> = match self.rounds_at_layers {
            true => Box::new(AnsweringTexts {
                weights: self.stand_ins(given_up)?,
                architecture: of.architecture(),
            }),
            false => Box::new(Answering(self)),
        };
        Ok(Network::answered_by(architecture, of.input(), of.outputs()))
    }

    /// What stands in for the layers' weights.
    fn stand_ins(&self, given_up: bool) -> Result<Arc<PackedWeights>, QuantizationError> {
        let weights = PackedWeights::default();
        for index in 0..self.graph.nodes.len() {
            let weight = self.graph.nodes[index].weight(1);
            if let (Some(layer), Some(weight)) = (self.byte_layer(index)?, weight) {
                let (_, weight) = &self.graph.weights[weight];
                weights.replace(weight, StandIn::Bytes(layer), given_up);
            }
        }
        Ok(Arc::new(weights))
    }

    /// The layer that the node `index` is, where it is quantized, ready to run.
    fn byte_layer(&self, index: usize) -> Result<Option<ByteLayer>, QuantizationError> {
        let Some(shape) = &self.plan.layers[index] else {
            return Ok(None);
        };
        let layer = self.layer(index).ok_or_else(|| self.without_steps(index))?;
        let input = self.operand_steps(index)?;
        Ok(Some(ByteLayer::new(
            &layer.weight,
            &layer.bias,
            input,
            shape.convolution,
        )))
    }

    /// Finds the steps of all tensors, which are there.
    fn find_steps(&mut self) {
        let nodes = 0..self.graph.nodes.len();
        let of_value = |value: GraphValue| {
            let spot = self.plan.spot(value).filter(|_| self.plan.is_bytes(value));
            self.at(spot?)
        };
        let of_product = |node: usize| match self.plan.products[node] {
            true => self.at(TensorSpot::Product(node)),
            false => None,
        };
        let input = of_value(GraphValue::Input(0));
        let results = nodes
            .clone()
            .map(|node| of_value(GraphValue::Node(node)))
            .collect();
        let products = nodes.map(of_product).collect();
        (self.input, self.results, self.products) = (input, results, products);
    }

    /// Whether the layers and tensors are those of the network.
    fn check(&self) -> Result<(), QuantizationError> {
        let differ = |problem: String| Err(QuantizationError::Mismatch { problem });
        let wanted: Vec<&LayerShape> = self.plan.layers.iter().flatten().collect();
        for shape in &wanted {
            match self.model.layers.get(&shape.name) {
                None => return differ(format!("the layer `{}` is missing", shape.name)),
                Some(layer) if layer.weight.dims != shape.dims => {
                    return differ(format!(
                        "the weight of `{}` is {:?}, and the architecture has {:?}",
                        shape.name, layer.weight.dims, shape.dims
                    ));
                }
                Some(layer) => {
                    let outputs = shape.dims[0];
                    let len: usize = shape.dims.iter().product();
                    let has_steps = layer
                        .weight
                        .scales
                        .iter()
                        .all(|scale| *scale > 0.0 && scale.is_finite());
                    if !has_steps
                        || !layer.bias.iter().all(|bias| bias.is_finite())
                        || layer.weight.scales.len() != outputs
                        || layer.bias.len() != outputs
                        || layer.weight.values.len() != len
                    {
                        return differ(format!("the weights of `{}` are damaged", shape.name));
                    }
                }
            }
        }
        let is_wanted = |name: &String| wanted.iter().any(|shape| shape.name == *name);
        if let Some(name) = self.model.layers.keys().find(|name| !is_wanted(name)) {
            return differ(format!("there is no layer `{name}`"));
        }
        let spots = self.plan.spots();
        for spot in &spots {
            let name = self.plan.name(*spot);
            match self.model.tensors.get(&name) {
                Some(affine) if affine.scale > 0.0 && affine.scale.is_finite() => {}
                Some(_) => return differ(format!("the steps of `{name}` are no number over 0")),
                None => return differ(format!("the steps of `{name}` are missing")),
            }
        }
        match self.model.tensors.len() == spots.len() {
            true => Ok(()),
            false => differ("there are steps of tensors that the network does not have".to_owned()),
        }
    }

    /// The graph that it was made of. The weights of layers that are quantized are not told by it.
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// What is kept of it.
    pub fn model(&self) -> &QuantizedModel {
        &self.model
    }

    /// The weights that stay f32, by name.
    pub fn own_weights(&self) -> impl Iterator<Item = &(String, Tensor)> {
        let is_read = |weight: usize| {
            let mut nodes = self.graph.nodes.iter().zip(&self.plan.layers);
            nodes.any(|(node, layer)| layer.is_none() && node.operands.contains(&GraphValue::Weight(weight)))
        };
        let weights = self.graph.weights.iter().enumerate();
        weights
            .filter(move |(index, _)| is_read(*index))
            .map(|(_, weight)| weight)
    }

    /// The layer that the node `index` is, where it is quantized.
    pub fn layer(&self, index: usize) -> Option<&QuantizedLayer> {
        let shape = self.plan.layers[index].as_ref()?;
        self.model.layers.get(&shape.name)
    }

    /// Whether values are rounded where a layer reads them alone, and stay numbers for all other readers: so it is with
    /// texts.
    pub fn rounds_at_layers(&self) -> bool {
        self.rounds_at_layers
    }

    /// How a value stands as bytes, where it does.
    pub fn affine(&self, value: GraphValue) -> Option<Affine> {
        match value {
            GraphValue::Input(_) => self.input,
            GraphValue::Node(node) => self.results[node],
            GraphValue::Weight(_) | GraphValue::Constant(_) => None,
        }
    }

    /// How the product of the node `index` stands as bytes, where something is added to it.
    pub fn product(&self, index: usize) -> Option<Affine> {
        self.products[index]
    }

    fn at(&self, spot: TensorSpot) -> Option<Affine> {
        self.model.tensors.get(&self.plan.name(spot)).copied()
    }

    fn action(&self, index: usize) -> Result<NodeAction, QuantizationError> {
        let node = &self.graph.nodes[index];
        if let Some(layer) = self.byte_layer(index)? {
            return Ok(NodeAction::Layer(Box::new(layer)));
        }
        Ok(match self.plan.operations[index] {
            None => NodeAction::Recorded,
            Some(ByteOperation::Table) => {
                let (input, result) = (self.operand_steps(index)?, self.result(index)?);
                let values: Vec<f32> = (0..=u8::MAX).map(|byte| input.dequantize(byte)).collect();
                let values = Tensor::from_vec(values, (1, 256), &Device::Cpu)?;
                let results = node.run(&[&values])?.flatten_all()?.to_vec1::<f32>()?;
                let mut table = Box::new([0; 256]);
                for (target, value) in table.iter_mut().zip(results) {
                    *target = result.quantize(value);
                }
                NodeAction::Table(table)
            }
            Some(operation) => NodeAction::Other(operation, node.operation.attributes()),
        })
    }

    /// How the first operand of the node `index` stands as bytes.
    fn operand_steps(&self, index: usize) -> Result<Affine, QuantizationError> {
        let steps = self.affine(self.graph.nodes[index].operands[0]);
        steps.ok_or_else(|| self.without_steps(index))
    }

    /// That something of the node `index` should stand as bytes and does not.
    fn without_steps(&self, index: usize) -> QuantizationError {
        QuantizationError::Mismatch {
            problem: format!("`{}` lacks the steps of its bytes", self.plan.names[index]),
        }
    }

    /// The outputs for a batch.
    fn outputs(&self, input: &Tensor) -> Result<Tensor, QuantizationError> {
        self.walk(input, |_, _| Ok(()))
    }

    /// The outputs for a batch; `see` is shown the result of each node.
    pub(super) fn walk(
        &self,
        input: &Tensor,
        mut see: impl FnMut(usize, &Passed) -> Result<(), QuantizationError>,
    ) -> Result<Tensor, QuantizationError> {
        let batch = input.dims()[0];
        let mut damaged = vec![false; batch];
        let mut left = self.uses.clone();
        let mut results: Vec<Option<Passed>> = vec![None; self.graph.nodes.len()];
        let given = self.passed(
            &Passed::Numbers(input.clone()),
            GraphValue::Input(0),
            &mut damaged,
        )?;
        for (index, node) in self.graph.nodes.iter().enumerate() {
            let operand = |place: usize| self.value(node.operands[place], input, given.as_ref(), &results);
            let result = match &self.actions[index] {
                NodeAction::Recorded => {
                    let numbers: Vec<Tensor> = (0..node.operands.len())
                        .map(|place| operand(place)?.numbers())
                        .collect::<Result<_, _>>()?;
                    Passed::Numbers(node.run(&numbers.iter().collect::<Vec<_>>())?)
                }
                NodeAction::Layer(layer) => self.layer_result(index, layer, &operand)?,
                NodeAction::Table(table) => {
                    let result = self.result(index)?;
                    Passed::Bytes(Arc::new(bytes::look_up(&*operand(0)?.bytes()?, table, result)))
                }
                NodeAction::Other(operation, attributes) => {
                    Passed::Bytes(self.other(index, *operation, attributes, &operand)?)
                }
            };
            let passed = self.passed(&result, GraphValue::Node(index), &mut damaged)?;
            let result = passed.unwrap_or(result);
            see(index, &result)?;
            results[index] = Some(result);
            for operand in &node.operands {
                if let GraphValue::Node(operand) = operand {
                    left[*operand] -= 1;
                    if left[*operand] == 0 {
                        results[*operand] = None;
                    }
                }
            }
        }
        let outputs = self
            .value(self.graph.outputs[0], input, given.as_ref(), &results)?
            .numbers()?;
        if !damaged.contains(&true) {
            return Ok(outputs);
        }
        // Bytes have no value for what is not finite: such samples have no outputs either.
        let dims = outputs.dims().to_vec();
        let mut values = outputs.flatten_all()?.to_vec1::<f32>()?;
        let len = values.len() / batch.max(1);
        for (row, _) in values
            .chunks_exact_mut(len.max(1))
            .zip(&damaged)
            .filter(|(_, damaged)| **damaged)
        {
            row.fill(f32::NAN);
        }
        Ok(Tensor::from_vec(values, dims, &Device::Cpu)?)
    }

    /// `value`, numbers, as the bytes that it is to stand as; nothing where it is to stay or is bytes.
    fn passed(
        &self,
        passed: &Passed,
        value: GraphValue,
        damaged: &mut [bool],
    ) -> Result<Option<Passed>, QuantizationError> {
        let (Passed::Numbers(numbers), Some(affine)) = (passed, self.affine(value)) else {
            return Ok(None);
        };
        let (values, dims) = (numbers.flatten_all()?.to_vec1::<f32>()?, numbers.dims().to_vec());
        let len = (values.len() / damaged.len().max(1)).max(1);
        for (damaged, values) in damaged.iter_mut().zip(values.chunks_exact(len)) {
            *damaged |= !values.iter().all(|value| value.is_finite());
        }
        Ok(Some(Passed::Bytes(Arc::new(ByteTensor {
            values: affine.quantize_all(&values),
            dims,
            affine,
        }))))
    }

    fn value(
        &self,
        value: GraphValue,
        input: &Tensor,
        given: Option<&Passed>,
        results: &[Option<Passed>],
    ) -> Result<Passed, QuantizationError> {
        Ok(match value {
            GraphValue::Input(_) => given.cloned().unwrap_or_else(|| Passed::Numbers(input.clone())),
            GraphValue::Weight(index) => Passed::Numbers(self.graph.weights[index].1.clone()),
            GraphValue::Constant(index) => Passed::Numbers(self.graph.constants[index].clone()),
            GraphValue::Node(index) => results[index]
                .clone()
                .ok_or_else(|| QuantizationError::Mismatch {
                    problem: format!("the graph reads the result {index} before it is there"),
                })?,
        })
    }

    fn result(&self, index: usize) -> Result<Affine, QuantizationError> {
        self.results[index].ok_or_else(|| self.without_steps(index))
    }

    fn layer_result(
        &self,
        index: usize,
        layer: &ByteLayer,
        operand: &impl Fn(usize) -> Result<Passed, QuantizationError>,
    ) -> Result<Passed, QuantizationError> {
        let node = &self.graph.nodes[index];
        let shape = self.plan.layers[index].as_ref();
        let x = operand(0)?.bytes()?;
        let added = match shape.and_then(|shape| shape.added) {
            Some(_) => Some(operand(node.operands.len() - 1)?),
            None => None,
        };
        let numbers = match &added {
            Some(Passed::Numbers(numbers)) => numbers.flatten_all()?.to_vec1::<f32>()?,
            _ => Vec::new(),
        };
        let finish = ByteFinish {
            added: added.as_ref().map(|added| match added {
                Passed::Bytes(bytes) => AddedTensor::Bytes(&bytes.values, bytes.affine),
                Passed::Numbers(_) => AddedTensor::Values(&numbers),
            }),
            product: self.product(index),
            relu: shape.is_some_and(|shape| shape.relu),
        };
        Ok(match self.affine(GraphValue::Node(index)) {
            Some(result) => Passed::Bytes(Arc::new(layer.bytes(&x, &finish, result))),
            None => {
                let (values, dims) = layer.values(&x, &finish);
                Passed::Numbers(Tensor::from_vec(values, dims, &Device::Cpu)?)
            }
        })
    }

    fn other(
        &self,
        index: usize,
        operation: ByteOperation,
        attributes: &Attributes,
        operand: &impl Fn(usize) -> Result<Passed, QuantizationError>,
    ) -> Result<Arc<ByteTensor>, QuantizationError> {
        let node = &self.graph.nodes[index];
        let (x, result) = (operand(0)?.bytes()?, self.result(index)?);
        Ok(Arc::new(match operation {
            ByteOperation::Reshape => ByteTensor {
                values: x.values.clone(),
                dims: [&x.dims[..1], &node.shape[1..]].concat(),
                affine: x.affine,
            },
            ByteOperation::MaxPool => bytes::max_pool(&x, bytes::window_of(attributes)),
            ByteOperation::AveragePool => {
                let with_padding = attributes.get("count_include_pad") == Some(&Attribute::Flag(true));
                bytes::average_pool(&x, bytes::window_of(attributes), with_padding, result)
            }
            ByteOperation::GlobalAverage => bytes::global_average(&x, result),
            ByteOperation::Add => bytes::add(&x, &*operand(1)?.bytes()?, result),
            ByteOperation::ScaleChannels => bytes::scale_channels(&x, &*operand(1)?.bytes()?, result),
            ByteOperation::Table => unreachable!("tables are looked up by themselves"),
        }))
    }
}

impl Passed {
    /// It as numbers.
    pub(super) fn numbers(&self) -> Result<Tensor, QuantizationError> {
        match self {
            Self::Numbers(numbers) => Ok(numbers.clone()),
            Self::Bytes(bytes) => {
                let values = bytes::numbers(&bytes.values, bytes.affine);
                Ok(Tensor::from_vec(values, bytes.dims.as_slice(), &Device::Cpu)?)
            }
        }
    }

    fn bytes(self) -> Result<Arc<ByteTensor>, QuantizationError> {
        match self {
            Self::Bytes(bytes) => Ok(bytes),
            Self::Numbers(_) => Err(QuantizationError::Mismatch {
                problem: "a value of the graph is not rounded to bytes where it should be".to_owned(),
            }),
        }
    }
}

/// A [`QuantizedNetwork`] of texts among networks.
struct AnsweringTexts {
    architecture: Arc<dyn Architecture>,
    /// With the layers that stand in for those of the architecture.
    weights: Arc<PackedWeights>,
}

/// On the CPU, in the network's own arithmetic, whatever the pass asks for.
impl Architecture for AnsweringTexts {
    fn forward(&self, input: &Tensor, _: &Pass) -> Result<Tensor, ModelError> {
        let (input, pass) = (input.to_device(&Device::Cpu)?, Pass::evaluate(Precision::F32));
        self.weights.reuse(|| self.architecture.forward(&input, &pass))
    }

    fn forward_tokens(&self, batch: &TokenBatch, _: &Pass) -> Result<TextOutput, ModelError> {
        let (batch, pass) = (batch.to_device(&Device::Cpu)?, Pass::evaluate(Precision::F32));
        self.weights
            .reuse(|| self.architecture.forward_tokens(&batch, &pass))
    }

    fn forward_cached(
        &self,
        batch: &TokenBatch,
        cache: &mut KeyValueCache,
        _: &Pass,
    ) -> Result<TextOutput, ModelError> {
        let (batch, pass) = (batch.to_device(&Device::Cpu)?, Pass::evaluate(Precision::F32));
        self.weights
            .reuse(|| self.architecture.forward_cached(&batch, cache, &pass))
    }

    fn head(&self) -> &str {
        self.architecture.head()
    }

    fn gives_vocabulary(&self) -> bool {
        self.architecture.gives_vocabulary()
    }
}

/// A [`QuantizedNetwork`] of images or rows among networks.
struct Answering(Arc<QuantizedNetwork>);

impl Architecture for Answering {
    /// On the CPU, in the network's own arithmetic, whatever the pass asks for.
    fn forward(&self, input: &Tensor, _: &Pass) -> Result<Tensor, ModelError> {
        let device = input.device();
        let outputs = self.0.outputs(&input.to_device(&Device::Cpu)?);
        let outputs = outputs.map_err(|error| match error {
            QuantizationError::Model(error) => error,
            QuantizationError::Operation(error) => error.into(),
            QuantizationError::Tensor(error) => error.into(),
            other => ModelError::Quantized {
                problem: other.to_string(),
            },
        })?;
        Ok(outputs.to_device(device)?)
    }

    fn head(&self) -> &str {
        ""
    }
}
