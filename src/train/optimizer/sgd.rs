//! Stochastic gradient descent, as `torch.optim.SGD`.

use candle_core::{Result, Tensor};

use super::{Chunk, OptimizerRule, StepSettings, UpdateRule};
use crate::spec::SgdOptions;

/// With momentum m, dampening t and the L2 penalty d: g += d w; b = m b + (1 - t) g; the weights move
/// by -lr b, or by -lr (g + m b) with Nesterov's momentum. The first step's b is g, undampened.
struct Sgd {
    momentum: f32,
    /// The share of the gradient that the momentum takes in.
    intake: f32,
    nesterov: bool,
}

impl Sgd {
    fn new(recipe: &SgdOptions) -> Self {
        Self {
            momentum: recipe.momentum.get() as f32,
            intake: (1.0 - recipe.dampening.get()) as f32,
            nesterov: recipe.nesterov,
        }
    }

    fn intake(&self, settings: &StepSettings) -> f32 {
        if settings.step == 1 { 1.0 } else { self.intake }
    }
}

impl OptimizerRule for SgdOptions {
    fn rule(&self) -> Box<dyn UpdateRule> {
        Box::new(Sgd::new(self))
    }
}

impl UpdateRule for Sgd {
    fn buffers(&self) -> &'static [&'static str] {
        if self.momentum > 0.0 {
            &["momentum_buffer"]
        } else {
            &[]
        }
    }

    fn update(&self, settings: &StepSettings, chunk: &mut Chunk<'_>) {
        let (lr, decay) = (settings.lr as f32, settings.weight_decay as f32);
        let pairs = chunk.weights.iter_mut().zip(chunk.gradient);
        let Some(buffer) = chunk.buffers.first_mut() else {
            for (weight, &gradient) in pairs {
                *weight -= lr * (settings.limited(gradient) + decay * *weight);
            }
            return;
        };
        let (momentum, intake) = (self.momentum, self.intake(settings));
        if self.nesterov {
            for ((weight, &gradient), velocity) in pairs.zip(buffer.iter_mut()) {
                let gradient = settings.limited(gradient) + decay * *weight;
                *velocity = momentum * *velocity + intake * gradient;
                *weight -= lr * (gradient + momentum * *velocity);
            }
        } else {
            for ((weight, &gradient), velocity) in pairs.zip(buffer.iter_mut()) {
                let gradient = settings.limited(gradient) + decay * *weight;
                *velocity = momentum * *velocity + intake * gradient;
                *weight -= lr * *velocity;
            }
        }
    }

    fn update_tensors(
        &self,
        settings: &StepSettings,
        weight: &Tensor,
        gradient: &Tensor,
        buffers: &mut [Tensor],
    ) -> Result<Tensor> {
        let mut step = settings.limited_tensor(gradient)?;
        if settings.weight_decay != 0.0 {
            step = (step + (weight * settings.weight_decay)?)?;
        }
        if let Some(velocity) = buffers.first_mut() {
            let momentum = f64::from(self.momentum);
            let taken = (&step * f64::from(self.intake(settings)))?;
            *velocity = ((&*velocity * momentum)? + taken)?;
            step = if self.nesterov {
                (step + (&*velocity * momentum)?)?
            } else {
                velocity.clone()
            };
        }
        weight - (step * settings.lr)?
    }
}
