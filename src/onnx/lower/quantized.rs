//! Quantized layers and tensors, as `QuantizeLinear` and `DequantizeLinear` around operators of numbers: runtimes put whole
//! numbers in the place of both.

use super::*;
use crate::ops::Affine;
use crate::quantization::QuantizedLayer;

/// How a layer's weight lies in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WeightPlaces {
    /// Outputs first.
    Convolution,
    /// Outputs last, as `MatMul` takes it.
    Transposed,
}

impl<'a> Lowering<'a> {
    /// The quantized layer that a step is.
    pub(super) fn quantized_layer(&self, step: &Step) -> Option<&'a QuantizedLayer> {
        self.quantized?.layer(step.index)
    }

    /// `lowered` as the bytes that the value `value` of the graph stands as, and back to numbers; itself where it stands as
    /// numbers.
    pub(super) fn rounded_value(&mut self, value: GraphValue, scope: &str, lowered: Lowered) -> Lowered {
        let everywhere = self.quantized.filter(|quantized| !quantized.rounds_at_layers());
        match everywhere.and_then(|quantized| quantized.affine(value)) {
            Some(affine) => self.rounded(scope, lowered, affine),
            None => lowered,
        }
    }

    /// A layer's product, before something is added to it, likewise.
    pub(super) fn rounded_product(&mut self, step: &Step, lowered: Lowered) -> Lowered {
        match self.quantized.and_then(|quantized| quantized.product(step.index)) {
            Some(affine) => self.rounded(&step.scope, lowered, affine),
            None => lowered,
        }
    }

    fn rounded(&mut self, scope: &str, lowered: Lowered, affine: Affine) -> Lowered {
        let scale = self.builder.number(affine.scale);
        let zero_point = self
            .builder
            .constant(ElementFormat::U8, &[], vec![affine.zero_point]);
        let [scale, zero_point] = [&scale, &zero_point].map(String::as_str);
        let bytes = self
            .builder
            .node(scope, "QuantizeLinear", &[&lowered.name, scale, zero_point], &[]);
        let name = self
            .builder
            .node(scope, "DequantizeLinear", &[&bytes, scale, zero_point], &[]);
        Lowered { name, ..lowered }
    }

    /// A layer's weight and bias, as whole numbers made numbers.
    pub(super) fn whole_weights(
        &mut self,
        step: &Step,
        layer: &QuantizedLayer,
        places: WeightPlaces,
    ) -> [String; 2] {
        let weight = &layer.weight;
        let outputs = weight.dims[0];
        let input = self
            .quantized
            .and_then(|quantized| quantized.affine(step.node.operands[0]))
            .unwrap_or(Affine {
                scale: 1.0,
                zero_point: 0,
            });
        let (dims, values, axis) = match places {
            WeightPlaces::Convolution => (weight.dims.clone(), weight.values.clone(), 0),
            WeightPlaces::Transposed => {
                let inputs = weight.values.len() / outputs.max(1);
                let values = (0..inputs)
                    .flat_map(|input| (0..outputs).map(move |output| weight.values[output * inputs + input]))
                    .collect();
                (vec![inputs, outputs], values, 1)
            }
        };
        let scope = step.scope.as_str();
        let bytes = values.iter().map(|&value| value as u8).collect();
        let name = |part: &str| format!("{}{part}", layer.prefix);
        let whole = self
            .builder
            .named(&name("weight"), ElementFormat::I8, &dims, bytes);
        let scales = self
            .builder
            .weight(&name("weight_scale"), &[outputs], &weight.scales);
        let axis = [("axis", AttributeValue::Int(axis))];
        let whole = self
            .builder
            .node(scope, "DequantizeLinear", &[&whole, &scales], &axis);
        let steps = weight.bias_steps(&layer.bias, input);
        let bytes = steps.iter().flat_map(|steps| steps.to_le_bytes()).collect();
        let bias = self
            .builder
            .named(&name("bias"), ElementFormat::I32, &[outputs], bytes);
        let scales: Vec<f32> = weight.scales.iter().map(|scale| input.scale * scale).collect();
        let scales = self.builder.weight(&name("bias_scale"), &[outputs], &scales);
        let axis = [("axis", AttributeValue::Int(0))];
        let bias = self
            .builder
            .node(scope, "DequantizeLinear", &[&bias, &scales], &axis);
        [whole, bias]
    }

    /// A fully connected layer.
    pub(super) fn quantized_linear(&mut self, step: &Step, layer: &QuantizedLayer, x: &str) -> String {
        let scope = step.scope.as_str();
        let here = self.quantized.filter(|quantized| quantized.rounds_at_layers());
        let x = match here.and_then(|quantized| quantized.affine(step.node.operands[0])) {
            Some(affine) => self.rounded(scope, Lowered::given(x.to_owned()), affine).name,
            None => x.to_owned(),
        };
        let x = x.as_str();
        if step.node.shape.len() == 2 {
            let [weight, bias] = self.whole_weights(step, layer, WeightPlaces::Convolution);
            let transpose = [("transB", AttributeValue::Int(1))];
            return self.builder.node(scope, "Gemm", &[x, &weight, &bias], &transpose);
        }
        let [weight, bias] = self.whole_weights(step, layer, WeightPlaces::Transposed);
        let product = self.builder.node(scope, "MatMul", &[x, &weight], &[]);
        self.builder.node(scope, "Add", &[&product, &bias], &[])
    }
}
