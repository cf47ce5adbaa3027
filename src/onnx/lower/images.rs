//! Operations on images.

use super::quantized::WeightPlaces;
use super::*;
use crate::ops::{NormValues, fold_norm};

impl Lowering<'_> {
    /// A convolution, with the batch norm behind it in its weights, and what is added and cut off behind that.
    pub(super) fn convolution(&mut self, step: &Step) -> Result<Lowered, OnnxError> {
        let x = self.image_operand(step, 0)?;
        if let Some(layer) = self.quantized_layer(step) {
            let [weight, bias] = self.whole_weights(step, layer, WeightPlaces::Convolution);
            let y = self.convolve(step, &layer.weight.dims, &[&x, &weight, &bias]);
            let y = self.rounded_product(step, Lowered::channels_first(y));
            return self.finish(step, y);
        }
        let operands = step.node.operands.len();
        let (weight_name, weight) = self.weight_tensor(step, 1)?;
        let dims = weight.dims().to_vec();
        let with_norm = step.node.operation.name() == "conv2d_norm";
        let has_bias = if with_norm {
            step.flag("bias")
        } else {
            operands > 2
        };
        let norm = 2 + usize::from(has_bias);
        let mut inputs = vec![x];
        if with_norm {
            let bias = match has_bias {
                true => Some(self.weight_values(step, 2)?),
                false => None,
            };
            let values = NormValues {
                scale: self.weight_values(step, norm)?,
                shift: self.weight_values(step, norm + 1)?,
                mean: self.weight_values(step, norm + 2)?,
                variance: self.weight_values(step, norm + 3)?,
                epsilon: step.float("epsilon"),
            };
            let (folded, shifted) = fold_norm(host(weight)?, bias.as_deref(), &values);
            inputs.push(self.builder.weight(weight_name, &dims, &folded));
            let bias_name = format!("{}.bias", weight_name.trim_end_matches(".weight"));
            inputs.push(self.builder.weight(&bias_name, &[dims[0]], &shifted));
        } else {
            for operand in 1..operands {
                inputs.push(self.operand(step, operand)?.name);
            }
        }
        let inputs: Vec<&str> = inputs.iter().map(String::as_str).collect();
        let y = self.convolve(step, &dims, &inputs);
        self.finish(step, Lowered::channels_first(y))
    }

    /// The operator, for a weight of `dims`.
    fn convolve(&mut self, step: &Step, dims: &[usize], inputs: &[&str]) -> String {
        self.builder.node(
            &step.scope,
            "Conv",
            inputs,
            &[
                (
                    "kernel_shape",
                    AttributeValue::Ints(&[dims[2] as i64, dims[3] as i64]),
                ),
                ("strides", AttributeValue::Ints(&step.integers("strides"))),
                ("pads", AttributeValue::Ints(&step.integers("pads"))),
                ("dilations", AttributeValue::Ints(&step.integers("dilations"))),
                (
                    "group",
                    AttributeValue::Int(step.integer("group").unwrap_or(1) as i64),
                ),
            ],
        )
    }

    /// A batch norm that stands alone, of images or of rows.
    pub(super) fn batch_norm(&mut self, step: &Step) -> Result<Lowered, OnnxError> {
        let is_image = step.node.shape.len() == 4;
        let x = match is_image {
            true => Lowered::channels_first(self.image_operand(step, 0)?),
            false => Lowered::given(self.given_operand(step, 0)?),
        };
        let mut inputs = vec![x.name.clone()];
        for part in 1..5 {
            inputs.push(self.operand(step, part)?.name);
        }
        let inputs: Vec<&str> = inputs.iter().map(String::as_str).collect();
        let epsilon = AttributeValue::Float(step.float("epsilon") as f32);
        let name = self.builder.node(
            &step.scope,
            "BatchNormalization",
            &inputs,
            &[("epsilon", epsilon)],
        );
        self.finish(step, Lowered { name, ..x })
    }

    /// What is behind a convolution or norm: the addition of the last operand, and a ReLU.
    fn finish(&mut self, step: &Step, y: Lowered) -> Result<Lowered, OnnxError> {
        let mut y = y;
        if step.flag("add") {
            let added = self.operand(step, step.node.operands.len() - 1)?;
            let added = self.in_layout(&added, y.layout, &step.scope);
            y.name = self.builder.node(&step.scope, "Add", &[&y.name, &added], &[]);
        }
        if step.flag("relu") {
            y.name = self.builder.node(&step.scope, "Relu", &[&y.name], &[]);
        }
        Ok(y)
    }

    pub(super) fn pool(&mut self, step: &Step) -> Result<Lowered, OnnxError> {
        let x = self.image_operand(step, 0)?;
        let [kernel, strides, pads] = ["kernel_shape", "strides", "pads"].map(|name| step.integers(name));
        let mut attributes = vec![
            ("kernel_shape", AttributeValue::Ints(&kernel)),
            ("strides", AttributeValue::Ints(&strides)),
            ("pads", AttributeValue::Ints(&pads)),
        ];
        let operator = match step.node.operation.name() {
            "max_pool2d" => "MaxPool",
            _ => {
                let counted = i64::from(step.flag("count_include_pad"));
                attributes.push(("count_include_pad", AttributeValue::Int(counted)));
                "AveragePool"
            }
        };
        let y = self.builder.node(&step.scope, operator, &[&x], &attributes);
        Ok(Lowered::channels_first(y))
    }

    pub(super) fn global_average_pool(&mut self, step: &Step) -> Result<Lowered, OnnxError> {
        let x = self.image_operand(step, 0)?;
        let y = self.builder.node(&step.scope, "GlobalAveragePool", &[&x], &[]);
        let y = self
            .builder
            .node(&step.scope, "Flatten", &[&y], &[("axis", AttributeValue::Int(1))]);
        Ok(Lowered::given(y))
    }

    pub(super) fn scale_channels(&mut self, step: &Step) -> Result<Lowered, OnnxError> {
        let x = self.image_operand(step, 0)?;
        let scale = self.given_operand(step, 1)?;
        let scale = self.builder.reshape(&step.scope, &scale, &[0, -1, 1, 1]);
        let y = self.builder.node(&step.scope, "Mul", &[&x, &scale], &[]);
        Ok(Lowered::channels_first(y))
    }

    /// An image of another size. The sizes are said in full, since a ratio would be rounded.
    pub(super) fn resize(&mut self, step: &Step) -> Result<Lowered, OnnxError> {
        let x = self.image_operand(step, 0)?;
        let scope = step.scope.as_str();
        let builder = &mut self.builder;
        let [start, end] = [0, 2].map(|place| builder.integers(&[place]));
        let dims = builder.node(scope, "Shape", &[&x], &[]);
        let leading = builder.node(scope, "Slice", &[&dims, &start, &end], &[]);
        let sides = builder.integers(&step.integers("sizes"));
        let sizes = builder.node(
            scope,
            "Concat",
            &[&leading, &sides],
            &[("axis", AttributeValue::Int(0))],
        );
        let attributes = match step.text("mode") {
            Some("nearest") => vec![
                ("mode", AttributeValue::Text("nearest")),
                (
                    "coordinate_transformation_mode",
                    AttributeValue::Text("asymmetric"),
                ),
                ("nearest_mode", AttributeValue::Text("floor")),
            ],
            _ => vec![
                ("mode", AttributeValue::Text("linear")),
                (
                    "coordinate_transformation_mode",
                    AttributeValue::Text("half_pixel"),
                ),
            ],
        };
        let y = builder.node(scope, "Resize", &[&x, "", "", &sizes], &attributes);
        Ok(Lowered::channels_first(y))
    }

    /// Channels, the last dimension, side by side.
    pub(super) fn concat(&mut self, step: &Step) -> Result<Lowered, OnnxError> {
        let (layout, axis) = match step.node.shape.len() {
            4 => (AxisOrder::ChannelsFirst, 1),
            _ => (AxisOrder::Given, -1),
        };
        let mut parts = Vec::new();
        for index in 0..step.node.operands.len() {
            let part = self.operand(step, index)?;
            parts.push(self.in_layout(&part, layout, &step.scope));
        }
        let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
        let axis = AttributeValue::Int(axis);
        let name = self
            .builder
            .node(&step.scope, "Concat", &parts, &[("axis", axis)]);
        Ok(Lowered { name, layout })
    }

    /// Composed, since the operator had a weight for each group before opset 21: groups become the channels of an instance
    /// norm.
    pub(super) fn group_norm(&mut self, step: &Step) -> Result<Lowered, OnnxError> {
        let x = self.image_operand(step, 0)?;
        let (weight, bias) = (self.operand(step, 1)?.name, self.operand(step, 2)?.name);
        let groups = step.integer("num_groups").unwrap_or(1);
        let [height, width, channels] = [1, 2, 3].map(|axis: usize| step.node.shape[axis] as i64);
        let scope = step.scope.as_str();
        let builder = &mut self.builder;
        let grouped = builder.reshape(scope, &x, &[0, groups as i64, -1]);
        let ones = builder.numbers(&[groups], &vec![1.0; groups]);
        let zeros = builder.numbers(&[groups], &vec![0.0; groups]);
        let epsilon = AttributeValue::Float(step.float("epsilon") as f32);
        let normed = builder.node(
            scope,
            "InstanceNormalization",
            &[&grouped, &ones, &zeros],
            &[("epsilon", epsilon)],
        );
        let y = builder.reshape(scope, &normed, &[0, channels, height, width]);
        let [weight, bias] = [weight, bias].map(|affine| builder.reshape(scope, &affine, &[-1, 1, 1]));
        let y = builder.node(scope, "Mul", &[&y, &weight], &[]);
        let y = builder.node(scope, "Add", &[&y, &bias], &[]);
        self.finish(step, Lowered::channels_first(y))
    }

    /// Between the two orders of an image nothing happens here.
    pub(super) fn transpose(&mut self, step: &Step) -> Result<Lowered, OnnxError> {
        let x = self.operand(step, 0)?;
        let order = step.integers("perm");
        Ok(match (x.layout, order.as_slice()) {
            (AxisOrder::Given, [0, 2, 3, 1]) => Lowered::channels_first(x.name),
            (AxisOrder::ChannelsFirst, [0, 3, 1, 2]) => Lowered::given(x.name),
            _ => {
                let x = self.given(&x, &step.scope);
                Lowered::given(self.builder.transpose(&step.scope, &x, &order))
            }
        })
    }
}
