//! Nodes, constants and names of a graph under way.

use std::collections::{HashMap, HashSet};

use half::f16;

use super::proto::{AttributeProto, ElementFormat, FLOAT, INT, INTS, NodeProto, STRING, TensorProto};

/// A graph under way. Values are known by their names.
pub(super) struct GraphBuilder {
    pub opset: i64,
    /// The format of numbers: f32, or f16.
    pub float: ElementFormat,
    pub nodes: Vec<NodeProto>,
    pub initializers: Vec<TensorProto>,
    taken: HashSet<String>,
    shared: HashMap<(ElementFormat, Vec<i64>, Vec<u8>), String>,
}

/// The value of an attribute.
pub(super) enum AttributeValue<'a> {
    Float(f32),
    Int(i64),
    Ints(&'a [i64]),
    Text(&'static str),
}

impl GraphBuilder {
    pub fn new(opset: i64, float: ElementFormat) -> Self {
        Self {
            opset,
            float,
            nodes: Vec::new(),
            initializers: Vec::new(),
            taken: HashSet::new(),
            shared: HashMap::new(),
        }
    }

    /// Keeps `name` for somebody.
    pub fn take(&mut self, name: &str) {
        self.taken.insert(name.to_owned());
    }

    /// `name`, or that with a number where it is taken.
    fn free(&mut self, name: String) -> String {
        let mut free = name.clone();
        let mut number = 1;
        while !self.taken.insert(free.clone()) {
            free = format!("{name}_{number}");
            number += 1;
        }
        free
    }

    /// A node of one result, which belongs to what `scope` names; gives the result's name.
    pub fn node(
        &mut self,
        scope: &str,
        operator: &str,
        inputs: &[&str],
        attributes: &[(&str, AttributeValue)],
    ) -> String {
        self.node_of(scope, operator, inputs, attributes, 1).remove(0)
    }

    /// A node of `results` results.
    pub fn node_of(
        &mut self,
        scope: &str,
        operator: &str,
        inputs: &[&str],
        attributes: &[(&str, AttributeValue)],
        results: usize,
    ) -> Vec<String> {
        let name = self.free(format!("{scope}/{operator}"));
        let outputs: Vec<String> = (0..results)
            .map(|result| match results {
                1 => self.free(format!("{name}_output")),
                _ => self.free(format!("{name}_output_{result}")),
            })
            .collect();
        self.nodes.push(NodeProto {
            input: inputs.iter().map(|&input| input.to_owned()).collect(),
            output: outputs.clone(),
            name: Some(name),
            op_type: Some(operator.to_owned()),
            attribute: attributes
                .iter()
                .map(|(name, value)| attribute(name, value))
                .collect(),
        });
        outputs
    }

    /// Gives the last result another name.
    pub fn rename(&mut self, value: &str, name: &str) {
        for node in &mut self.nodes {
            let values = node.input.iter_mut().chain(&mut node.output);
            for other in values.filter(|other| *other == value) {
                name.clone_into(other);
            }
        }
    }

    /// A tensor by the name `name`.
    pub fn named(&mut self, name: &str, element: ElementFormat, dims: &[usize], bytes: Vec<u8>) -> String {
        let name = self.free(name.to_owned());
        self.initializers.push(TensorProto {
            dims: dims.iter().map(|&extent| extent as i64).collect(),
            data_type: Some(element as i32),
            name: Some(name.clone()),
            raw_data: Some(bytes),
            ..TensorProto::default()
        });
        name
    }

    /// Weights by the name `name`, in the format of the graph's numbers.
    pub fn weight(&mut self, name: &str, dims: &[usize], values: &[f32]) -> String {
        let bytes = self.bytes(values);
        self.named(name, self.float, dims, bytes)
    }

    /// Numbers that have no name of their own.
    pub fn numbers(&mut self, dims: &[usize], values: &[f32]) -> String {
        let bytes = self.bytes(values);
        self.constant(self.float, dims, bytes)
    }

    /// A number.
    pub fn number(&mut self, value: f32) -> String {
        self.numbers(&[], &[value])
    }

    /// A list of whole numbers.
    pub fn integers(&mut self, values: &[i64]) -> String {
        let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.constant(ElementFormat::I64, &[values.len()], bytes)
    }

    /// A whole number.
    pub fn integer(&mut self, value: i64) -> String {
        self.constant(ElementFormat::I64, &[], value.to_le_bytes().to_vec())
    }

    /// A tensor that has no name of its own.
    pub fn constant(&mut self, element: ElementFormat, dims: &[usize], bytes: Vec<u8>) -> String {
        let dims: Vec<i64> = dims.iter().map(|&extent| extent as i64).collect();
        let key = (element, dims.clone(), bytes);
        if let Some(name) = self.shared.get(&key) {
            return name.clone();
        }
        let name = self.free(format!("constant_{}", self.shared.len()));
        self.initializers.push(TensorProto {
            dims,
            data_type: Some(element as i32),
            name: Some(name.clone()),
            raw_data: Some(key.2.clone()),
            ..TensorProto::default()
        });
        self.shared.insert(key, name.clone());
        name
    }

    fn bytes(&self, values: &[f32]) -> Vec<u8> {
        match self.float {
            ElementFormat::F16 => values
                .iter()
                .flat_map(|&value| f16::from_f32(value).to_le_bytes())
                .collect(),
            _ => values.iter().flat_map(|value| value.to_le_bytes()).collect(),
        }
    }

    /// `x` with other dimensions: 0 stands for that of `x` at the same place, -1 for what is left.
    pub fn reshape(&mut self, scope: &str, x: &str, dims: &[i64]) -> String {
        let dims = self.integers(dims);
        self.node(scope, "Reshape", &[x, &dims], &[])
    }

    /// `x` with its dimensions in another order.
    pub fn transpose(&mut self, scope: &str, x: &str, order: &[i64]) -> String {
        self.node(scope, "Transpose", &[x], &[("perm", AttributeValue::Ints(order))])
    }

    /// The sum (`ReduceSum`) or mean (`ReduceMean`) along `axis`, whose extent becomes 1.
    pub fn reduce(&mut self, scope: &str, operator: &str, x: &str, axis: i64) -> String {
        // Axes of the mean became an input with opset 18, those of the sum with 13.
        if self.opset < 18 && operator == "ReduceMean" {
            return self.node(scope, operator, &[x], &[("axes", AttributeValue::Ints(&[axis]))]);
        }
        let axes = self.integers(&[axis]);
        self.node(scope, operator, &[x, &axes], &[])
    }

    /// `x` in another format.
    pub fn cast(&mut self, scope: &str, x: &str, element: ElementFormat) -> String {
        self.node(
            scope,
            "Cast",
            &[x],
            &[("to", AttributeValue::Int(element as i64))],
        )
    }
}

fn attribute(name: &str, value: &AttributeValue) -> AttributeProto {
    let attribute = AttributeProto {
        name: Some(name.to_owned()),
        ..AttributeProto::default()
    };
    match *value {
        AttributeValue::Float(value) => AttributeProto {
            kind: Some(FLOAT),
            f: Some(value),
            ..attribute
        },
        AttributeValue::Int(value) => AttributeProto {
            kind: Some(INT),
            i: Some(value),
            ..attribute
        },
        AttributeValue::Ints(values) => AttributeProto {
            kind: Some(INTS),
            ints: values.to_vec(),
            ..attribute
        },
        AttributeValue::Text(text) => AttributeProto {
            kind: Some(STRING),
            s: Some(text.as_bytes().to_vec()),
            ..attribute
        },
    }
}
