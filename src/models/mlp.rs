//! Fully connected layers with ReLU between them.

use candle_core::Tensor;

use super::builder::Builder;
use super::error::ModelError;
use super::layers::{Dropout, Linear};
use super::list::ModelBuilder;
use super::network::{Architecture, Pass, check_weight};
use crate::ops;
use crate::schema::InputShape;
use crate::spec::MlpOptions;

pub(super) struct Mlp {
    hidden: Vec<(Linear, Dropout)>,
    last: Linear,
    /// The last layer's name.
    head: String,
}

impl ModelBuilder for MlpOptions {
    fn check(&self, input: InputShape, outputs: usize) -> Result<(), ModelError> {
        widths(self, input, outputs)
            .windows(2)
            .try_for_each(|pair| check_weight(pair[0], pair[1]))
    }

    fn build(
        &self,
        input: InputShape,
        outputs: usize,
        builder: &mut Builder,
    ) -> Result<Box<dyn Architecture>, ModelError> {
        let mut hidden = Vec::new();
        let mut inputs = input.len();
        for (layer, width) in (0..).zip(&self.hidden) {
            let width = width.get() as usize;
            // Linear, ReLU and dropout count as three modules of the Sequential.
            let linear = builder.linear(&(3 * layer).to_string(), inputs, width)?;
            hidden.push((
                linear,
                Dropout {
                    probability: self.dropout.get(),
                    layer,
                },
            ));
            inputs = width;
        }
        let head = (3 * hidden.len()).to_string();
        let last = builder.linear(&head, inputs, outputs)?;
        Ok(Box::new(Mlp { hidden, last, head }))
    }
}

fn widths(spec: &MlpOptions, input: InputShape, outputs: usize) -> Vec<usize> {
    let hidden = spec.hidden.iter().map(|width| width.get() as usize);
    [input.len()].into_iter().chain(hidden).chain([outputs]).collect()
}

impl Architecture for Mlp {
    fn forward(&self, input: &Tensor, pass: &Pass) -> Result<Tensor, ModelError> {
        let mut x = match input.rank() {
            2 => input.clone(),
            rank => ops::flatten(input, 1, rank - 1)?,
        };
        for (linear, dropout) in &self.hidden {
            x = dropout.forward(ops::relu(&linear.forward(&x, pass)?)?, pass)?;
        }
        self.last.forward(&x, pass)
    }
    fn head(&self) -> &str {
        &self.head
    }
}
