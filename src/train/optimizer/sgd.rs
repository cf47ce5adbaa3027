//! Stochastic gradient descent, as `torch.optim.SGD` without dampening.

use super::{Chunk, Rule, Settings};
use crate::spec;

/// With momentum m and the L2 penalty d: g += d w; b = m b + g; the weights move by -lr b, or by
/// -lr (g + m b) with Nesterov's momentum. The first step's b is g, which zeros in b give.
pub struct Sgd {
    momentum: f32,
    nesterov: bool,
}

impl Sgd {
    pub fn new(recipe: &spec::Sgd) -> Self {
        Self {
            momentum: recipe.momentum.get() as f32,
            nesterov: recipe.nesterov,
        }
    }
}

impl Rule for Sgd {
    fn buffers(&self) -> &'static [&'static str] {
        if self.momentum > 0.0 {
            &["momentum_buffer"]
        } else {
            &[]
        }
    }

    fn update(&self, settings: &Settings, chunk: &mut Chunk<'_>) {
        let (lr, decay, factor) = (
            settings.lr as f32,
            settings.weight_decay as f32,
            settings.gradient_factor,
        );
        let pairs = chunk.weights.iter_mut().zip(chunk.gradient);
        let Some(buffer) = chunk.buffers.first_mut() else {
            for (weight, gradient) in pairs {
                *weight -= lr * (gradient * factor + decay * *weight);
            }
            return;
        };
        let momentum = self.momentum;
        if self.nesterov {
            for ((weight, gradient), velocity) in pairs.zip(buffer.iter_mut()) {
                let gradient = gradient * factor + decay * *weight;
                *velocity = momentum * *velocity + gradient;
                *weight -= lr * (gradient + momentum * *velocity);
            }
        } else {
            for ((weight, gradient), velocity) in pairs.zip(buffer.iter_mut()) {
                *velocity = momentum * *velocity + (gradient * factor + decay * *weight);
                *weight -= lr * *velocity;
            }
        }
    }
}
