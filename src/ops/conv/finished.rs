//! A convolution or fully connected layer that is run again and again.

use std::sync::Arc;

use super::packed_weights::{ConvWeight, KeptWeight, WeightForm};
use super::plan::ConvPlan;
use super::{ConvOptions, groups, plan_of};
use crate::ops::activation::ElementwiseFunction;
use crate::ops::microkernel::Finish;
use crate::ops::operation::ArrayView;
use crate::ops::prepared::{ReadyKernel, ReadyOperation, ResultTail};
use crate::ops::round::round_in_place;
use crate::spec::Precision;

/// What the products with a weight of one precision become, worked out. Operands: what is multiplied, the weight, and what
/// is added, where something is.
#[derive(Clone)]
pub(in crate::ops) struct FinishedConvolution {
    /// How the kernel moves over images; rows that are each multiplied by `[out, in]` have none.
    pub options: Option<ConvOptions>,
    pub kept: Option<Arc<KeptWeight>>,
    pub precision: Precision,
    /// For each output channel.
    pub scale: Option<Vec<f32>>,
    /// For each output channel.
    pub shift: Option<Vec<f32>>,
    pub adds: bool,
    pub relu: bool,
    pub function: Option<ElementwiseFunction>,
}

impl FinishedConvolution {
    /// As an operation whose operands begin with what is multiplied and the weight; what is added is the operand `added`.
    pub fn ready(self, added: Option<usize>) -> ReadyOperation {
        ReadyOperation {
            operands: [0, 1].into_iter().chain(added).collect(),
            kernel: Arc::new(self),
        }
    }

    /// Of products to which the third operand is added, where there is one, and to which nothing else happens. Nothing
    /// where that is not known.
    pub fn of_products(
        options: Option<ConvOptions>,
        kept: Option<&Arc<KeptWeight>>,
        precision: Precision,
        operands: &[Option<ArrayView>],
    ) -> Option<ReadyOperation> {
        let shift = match operands.get(2) {
            None => None,
            Some(bias) => {
                let mut bias = (*bias)?.values.to_vec();
                round_in_place(&mut bias, precision);
                Some(bias)
            }
        };
        let finished = Self {
            options,
            kept: kept.cloned(),
            precision,
            scale: None,
            shift,
            adds: false,
            relu: false,
            function: None,
        };
        Some(finished.ready(None))
    }

    fn plan(&self, operands: &[ArrayView]) -> ConvPlan {
        match self.options {
            Some(options) => plan_of(operands, options, self.precision),
            None => {
                let (x, weight) = (operands[0], operands[1]);
                let rows = x.values.len() / weight.dims[1];
                plan_of_rows(rows, weight, self.kept.as_deref(), self.precision)
            }
        }
    }
}

/// The products of rows with a weight `[out, in]`, as it is kept: those of a convolution of images of one pixel.
pub(in crate::ops) fn plan_of_rows(
    rows: usize,
    weight: ArrayView,
    kept: Option<&KeptWeight>,
    precision: Precision,
) -> ConvPlan {
    let plan = ConvPlan::pointwise(rows, weight.dims[1], weight.dims[0], precision);
    match kept.map(KeptWeight::form) {
        Some(WeightForm::Small) => plan.with_small_weights(),
        _ => plan,
    }
}

impl ReadyKernel for FinishedConvolution {
    fn forward(&self, operands: &[ArrayView]) -> (Vec<f32>, Vec<usize>) {
        let plan = self.plan(operands);
        let finish = Finish {
            scale: self.scale.as_deref(),
            shift: self.shift.as_deref(),
            residual: self.adds.then(|| operands[2].values),
            relu: self.relu,
            function: self.function,
            ..Finish::default()
        };
        let weight = ConvWeight {
            values: operands[1].values,
            kept: self.kept.as_deref(),
        };
        let y = groups::forward(&plan, operands[0].values, weight, finish);
        let output = plan.geometry.output;
        let dims = match self.options {
            Some(_) => vec![output.batch, output.height, output.width, output.channels],
            None => {
                let mut dims = operands[0].dims.to_vec();
                if let Some(columns) = dims.last_mut() {
                    *columns = output.channels;
                }
                dims
            }
        };
        (y, dims)
    }

    fn with_tail(&self, tail: ResultTail) -> Option<Arc<dyn ReadyKernel>> {
        if self.function.is_some() {
            return None;
        }
        let mut finished = self.clone();
        match tail {
            ResultTail::Function(function) => finished.function = Some(function),
            // In a narrow format a sum would be rounded that is not.
            ResultTail::Sum if self.adds || self.relu || self.precision != Precision::F32 => return None,
            ResultTail::Sum => finished.adds = true,
        }
        Some(Arc::new(finished))
    }
}
