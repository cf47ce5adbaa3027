//! The one place where operations meet candle's autograd.
//!
//! A custom op of candle's has at most three operands. Where an operation has more, the third and all
//! that follow travel as one: flattened and put one after another, which candle can differentiate.

use std::sync::Arc;

use candle_core::{CpuStorage, CustomOp1, CustomOp2, CustomOp3, Layout, Result, Shape, Tensor, bail};

use super::operation::{ArrayView, DifferentiableKernel, OperandGradient};
use super::tensor;

/// The result of `kernel` for contiguous `operands` on the CPU, in candle's graph.
pub(super) fn apply(kernel: Arc<dyn DifferentiableKernel>, operands: &[Tensor]) -> Result<Tensor> {
    let adapter = |rest: &[Tensor]| Adapter {
        kernel,
        rest: rest.iter().map(|operand| operand.shape().clone()).collect(),
    };
    match operands {
        [x] => x.apply_op1(adapter(&[])),
        [x, y] => x.apply_op2(y, adapter(&[])),
        [x, y, z] => x.apply_op3(y, z, adapter(&operands[2..])),
        [x, y, rest @ ..] => {
            let flat = rest.iter().map(Tensor::flatten_all).collect::<Result<Vec<_>>>()?;
            x.apply_op3(y, &Tensor::cat(&flat, 0)?, adapter(rest))
        }
        [] => bail!("an operation has an operand or more"),
    }
}

struct Adapter {
    kernel: Arc<dyn DifferentiableKernel>,
    /// The shapes of the third operand and of those behind it.
    rest: Vec<Shape>,
}

impl Adapter {
    /// The kernel's operands, given candle's.
    fn unpack<'a>(&'a self, operands: &[ArrayView<'a>]) -> Vec<ArrayView<'a>> {
        let (own, packed) = operands.split_at(operands.len().min(2));
        let mut unpacked = own.to_vec();
        if let [packed] = packed {
            let mut values = packed.values;
            for shape in &self.rest {
                let (own, others) = values.split_at(shape.elem_count());
                unpacked.push(ArrayView::of_values(own, shape.dims()));
                values = others;
            }
        }
        unpacked
    }

    fn forward(&self, operands: &[(&CpuStorage, &Layout)]) -> Result<(CpuStorage, Shape)> {
        let operands = operands
            .iter()
            .map(|(storage, layout)| tensor::view(storage, layout))
            .collect::<Result<Vec<_>>>()?;
        let (values, shape) = self.kernel.forward(&self.unpack(&operands));
        Ok((CpuStorage::F32(values), shape))
    }

    /// The gradients of candle's operands.
    fn backward<const COUNT: usize>(
        &self,
        operands: [&Tensor; COUNT],
        output: &Tensor,
        gradient: &Tensor,
    ) -> Result<[Option<Tensor>; COUNT]> {
        let mut wanted: Vec<bool> = operands.iter().map(|operand| operand.track_op()).collect();
        if let Some(packed) = wanted.get(2).copied() {
            wanted.resize(2 + self.rest.len(), packed);
        }
        let all = operands.iter().chain([&output, &gradient]).copied();
        let mut found = tensor::with_arrays(all, |arrays| {
            let (operands, rest) = arrays.split_at(COUNT);
            self.kernel
                .backward(&self.unpack(operands), rest[0].values, rest[1].values, &wanted)
        })?;
        if self.rest.len() > 1 {
            let parts = found.split_off(2);
            found.push(self.packed(parts, gradient)?);
        }
        let mut gradients = [const { None }; COUNT];
        for ((target, operand), found) in gradients.iter_mut().zip(operands).zip(found) {
            *target = match found {
                None => None,
                Some(OperandGradient::OfOutput) => Some(gradient.clone()),
                Some(OperandGradient::Values(values)) => Some(tensor::from_stored(values, operand.shape())?),
            };
        }
        Ok(gradients)
    }

    /// The gradient of operands that travel as one.
    fn packed(
        &self,
        parts: Vec<Option<OperandGradient>>,
        gradient: &Tensor,
    ) -> Result<Option<OperandGradient>> {
        if parts.iter().all(Option::is_none) {
            return Ok(None);
        }
        let mut values = Vec::new();
        for (part, shape) in parts.into_iter().zip(&self.rest) {
            match part {
                Some(OperandGradient::Values(part)) => values.extend_from_slice(&part.as_stored().widened()),
                Some(OperandGradient::OfOutput) => {
                    tensor::with_arrays([gradient], |arrays| values.extend_from_slice(arrays[0].values))?;
                }
                None => values.resize(values.len() + shape.elem_count(), 0.0),
            }
        }
        Ok(Some(OperandGradient::Values(values.into())))
    }
}

impl CustomOp1 for Adapter {
    fn name(&self) -> &'static str {
        self.kernel.name()
    }

    fn cpu_fwd(&self, x: &CpuStorage, x_layout: &Layout) -> Result<(CpuStorage, Shape)> {
        self.forward(&[(x, x_layout)])
    }

    fn bwd(&self, x: &Tensor, output: &Tensor, gradient: &Tensor) -> Result<Option<Tensor>> {
        let [x] = self.backward([x], output, gradient)?;
        Ok(x)
    }
}

impl CustomOp2 for Adapter {
    fn name(&self) -> &'static str {
        self.kernel.name()
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        y: &CpuStorage,
        y_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        self.forward(&[(x, x_layout), (y, y_layout)])
    }

    fn bwd(
        &self,
        x: &Tensor,
        y: &Tensor,
        output: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        Ok(self.backward([x, y], output, gradient)?.into())
    }
}

impl CustomOp3 for Adapter {
    fn name(&self) -> &'static str {
        self.kernel.name()
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        y: &CpuStorage,
        y_layout: &Layout,
        z: &CpuStorage,
        z_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        self.forward(&[(x, x_layout), (y, y_layout), (z, z_layout)])
    }

    fn bwd(
        &self,
        x: &Tensor,
        y: &Tensor,
        z: &Tensor,
        output: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        Ok(self.backward([x, y, z], output, gradient)?.into())
    }
}
