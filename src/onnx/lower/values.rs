//! Operations on values of any kind: activations, layers of rows, norms, and changes of shape.

use super::*;

impl Lowering<'_> {
    pub(super) fn add(&mut self, step: &Step) -> Result<Lowered, OnnxError> {
        let x = self.operand(step, 0)?;
        let y = self.operand(step, 1)?;
        let y = self.in_layout(&y, x.layout, &step.scope);
        let name = self.builder.node(&step.scope, "Add", &[&x.name, &y], &[]);
        Ok(Lowered { name, ..x })
    }

    pub(super) fn activation(&mut self, step: &Step) -> Result<Lowered, OnnxError> {
        let x = self.operand(step, 0)?;
        let scope = step.scope.as_str();
        let name = match step.node.operation.name() {
            "relu" => self.builder.node(scope, "Relu", &[&x.name], &[]),
            "relu6" => {
                let [least, most] = [0.0, 6.0].map(|bound| self.builder.number(bound));
                self.builder.node(scope, "Clip", &[&x.name, &least, &most], &[])
            }
            "leaky_relu" => {
                let alpha = AttributeValue::Float(step.float("alpha") as f32);
                self.builder
                    .node(scope, "LeakyRelu", &[&x.name], &[("alpha", alpha)])
            }
            "gelu" => self.gelu(scope, &x.name, step.text("approximate").unwrap_or("none")),
            "silu" => self.silu(scope, &x.name),
            "hardswish" => self.builder.node(scope, "HardSwish", &[&x.name], &[]),
            "hardsigmoid" => {
                let alpha = AttributeValue::Float(1.0 / 6.0);
                self.builder.node(
                    scope,
                    "HardSigmoid",
                    &[&x.name],
                    &[("alpha", alpha), ("beta", AttributeValue::Float(0.5))],
                )
            }
            "sigmoid" => self.builder.node(scope, "Sigmoid", &[&x.name], &[]),
            _ => self.builder.node(scope, "Tanh", &[&x.name], &[]),
        };
        Ok(Lowered { name, ..x })
    }

    /// GELU, composed below opset 20.
    fn gelu(&mut self, scope: &str, x: &str, approximate: &'static str) -> String {
        let builder = &mut self.builder;
        if builder.opset >= 20 {
            let approximate = AttributeValue::Text(approximate);
            return builder.node(scope, "Gelu", &[x], &[("approximate", approximate)]);
        }
        let share = if approximate == "tanh" {
            let cube = builder.node(scope, "Mul", &[x, x], &[]);
            let cube = builder.node(scope, "Mul", &[&cube, x], &[]);
            let small = builder.number(0.044_715);
            let cube = builder.node(scope, "Mul", &[&cube, &small], &[]);
            let sum = builder.node(scope, "Add", &[x, &cube], &[]);
            let factor = builder.number((2.0 / std::f64::consts::PI).sqrt() as f32);
            let sum = builder.node(scope, "Mul", &[&sum, &factor], &[]);
            builder.node(scope, "Tanh", &[&sum], &[])
        } else {
            let factor = builder.number(std::f32::consts::FRAC_1_SQRT_2);
            let scaled = builder.node(scope, "Mul", &[x, &factor], &[]);
            builder.node(scope, "Erf", &[&scaled], &[])
        };
        let (one, half) = (builder.number(1.0), builder.number(0.5));
        let share = builder.node(scope, "Add", &[&share, &one], &[]);
        let share = builder.node(scope, "Mul", &[&share, &half], &[]);
        builder.node(scope, "Mul", &[x, &share], &[])
    }

    fn silu(&mut self, scope: &str, x: &str) -> String {
        let share = self.builder.node(scope, "Sigmoid", &[x], &[]);
        self.builder.node(scope, "Mul", &[x, &share], &[])
    }

    pub(super) fn swiglu(&mut self, step: &Step) -> Result<Lowered, OnnxError> {
        let (gate, up) = (self.given_operand(step, 0)?, self.given_operand(step, 1)?);
        let gate = self.silu(&step.scope, &gate);
        Ok(Lowered::given(self.builder.node(
            &step.scope,
            "Mul",
            &[&gate, &up],
            &[],
        )))
    }

    pub(super) fn linear(&mut self, step: &Step) -> Result<Lowered, OnnxError> {
        let x = self.given_operand(step, 0)?;
        if let Some(layer) = self.quantized_layer(step) {
            return Ok(Lowered::given(self.quantized_linear(step, layer, &x)));
        }
        let transposed = step.flag("transposed");
        let bias = match step.node.operands.len() {
            3 => Some(self.operand(step, 2)?.name),
            _ => None,
        };
        let scope = step.scope.as_str();
        if step.node.shape.len() == 2 {
            let weight = self.operand(step, 1)?.name;
            let transpose = AttributeValue::Int(i64::from(!transposed));
            let mut inputs = vec![x.as_str(), weight.as_str()];
            inputs.extend(bias.as_deref());
            return Ok(Lowered::given(self.builder.node(
                scope,
                "Gemm",
                &inputs,
                &[("transB", transpose)],
            )));
        }
        let weight = match transposed {
            true => self.operand(step, 1)?.name,
            false => self.transposed_weight(step)?,
        };
        let mut y = self.builder.node(scope, "MatMul", &[&x, &weight], &[]);
        if let Some(bias) = bias {
            y = self.builder.node(scope, "Add", &[&y, &bias], &[]);
        }
        Ok(Lowered::given(y))
    }

    /// The second operand as `[in, out]`. One that others read too is transposed where it is used, so that the file holds
    /// it once.
    fn transposed_weight(&mut self, step: &Step) -> Result<String, OnnxError> {
        let (name, tensor) = self.weight_tensor(step, 1)?;
        let is_shared = match step.node.operands[1] {
            GraphValue::Weight(index) => self.uses[&index] > 1,
            _ => true,
        };
        if is_shared {
            let weight = self.operand(step, 1)?.name;
            return Ok(self.builder.transpose(&step.scope, &weight, &[1, 0]));
        }
        let turned = tensor.t()?.contiguous()?;
        Ok(self.builder.weight(name, turned.dims(), &host(&turned)?))
    }

    pub(super) fn layer_norm(&mut self, step: &Step) -> Result<Lowered, OnnxError> {
        let inputs = [
            self.given_operand(step, 0)?,
            self.given_operand(step, 1)?,
            self.given_operand(step, 2)?,
        ];
        let inputs = inputs.each_ref().map(String::as_str);
        let epsilon = AttributeValue::Float(step.float("epsilon") as f32);
        Ok(Lowered::given(self.builder.node(
            &step.scope,
            "LayerNormalization",
            &inputs,
            &[("axis", AttributeValue::Int(-1)), ("epsilon", epsilon)],
        )))
    }

    /// Composed, since the operator came with opset 23 and runtimes after that. A row may be several runs.
    pub(super) fn rms_norm(&mut self, step: &Step) -> Result<Lowered, OnnxError> {
        let x = self.given_operand(step, 0)?;
        let weight = self.given_operand(step, 1)?;
        let width = self.operand_dims(step, 1)[0];
        let columns = step.node.shape[step.node.shape.len() - 1];
        let leading = vec![0; step.node.shape.len() - 1];
        let scope = step.scope.as_str();
        let with = |last: &[i64]| [leading.as_slice(), last].concat();
        let runs = (columns / width) as i64;
        let x = match runs {
            1 => x,
            _ => self.builder.reshape(scope, &x, &with(&[runs, width as i64])),
        };
        let builder = &mut self.builder;
        let squares = builder.node(scope, "Mul", &[&x, &x], &[]);
        let mean = builder.reduce(scope, "ReduceMean", &squares, -1);
        let epsilon = builder.number(step.float("epsilon") as f32);
        let mean = builder.node(scope, "Add", &[&mean, &epsilon], &[]);
        let root = builder.node(scope, "Sqrt", &[&mean], &[]);
        let y = builder.node(scope, "Div", &[&x, &root], &[]);
        let y = builder.node(scope, "Mul", &[&y, &weight], &[]);
        Ok(Lowered::given(match runs {
            1 => y,
            _ => builder.reshape(scope, &y, &with(&[columns as i64])),
        }))
    }

    pub(super) fn change_shape(&mut self, step: &Step) -> Result<Lowered, OnnxError> {
        let x = self.given_operand(step, 0)?;
        let scope = step.scope.as_str();
        let axes = step.integers("axes");
        let y = match step.node.operation.name() {
            "flatten" => {
                let first = step.integer("first_axis").unwrap_or(0);
                // 0 copies the extent at the same place, which what is behind no longer has.
                let behind = step.node.shape[first + 1..].iter().map(|&extent| extent as i64);
                let dims: Vec<i64> = std::iter::repeat_n(0, first).chain([-1]).chain(behind).collect();
                self.builder.reshape(scope, &x, &dims)
            }
            name => {
                let axes = self.builder.integers(&axes);
                let operator = if name == "squeeze" { "Squeeze" } else { "Unsqueeze" };
                self.builder.node(scope, operator, &[&x, &axes], &[])
            }
        };
        Ok(Lowered::given(y))
    }
}
