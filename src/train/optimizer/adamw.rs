//! Adam with decoupled weight decay (Loshchilov and Hutter, 2019), as `torch.optim.AdamW`.

use super::{Chunk, Rule, Settings};
use crate::spec;

/// Running means of the gradient and of its square, both corrected for their start at zero; the
/// decay is taken off the weights before the step.
pub struct AdamW {
    betas: [f64; 2],
    eps: f64,
}

impl AdamW {
    pub fn new(recipe: &spec::AdamW) -> Self {
        Self {
            betas: recipe.betas.map(|beta| beta.get()),
            eps: recipe.eps.get(),
        }
    }
}

impl Rule for AdamW {
    fn buffers(&self) -> &'static [&'static str] {
        &["exp_avg", "exp_avg_sq"]
    }

    fn update(&self, settings: &Settings, chunk: &mut Chunk<'_>) {
        let [mean, square] = chunk.buffers.as_mut_slice() else {
            return;
        };
        let step = settings.step as f64;
        let [bias1, bias2] = self.betas.map(|beta| 1.0 - beta.powf(step));
        let keep = (1.0 - settings.lr * settings.weight_decay) as f32;
        let step_size = (settings.lr / bias1) as f32;
        let inverse_root_bias2 = (1.0 / bias2.sqrt()) as f32;
        let eps = self.eps as f32;
        let [beta1, beta2] = self.betas.map(|beta| beta as f32);
        let [rest1, rest2] = self.betas.map(|beta| (1.0 - beta) as f32);

        let pairs = chunk.weights.iter_mut().zip(chunk.gradient);
        let moments = mean.iter_mut().zip(square.iter_mut());
        for ((weight, gradient), (mean, square)) in pairs.zip(moments) {
            let gradient = gradient * settings.gradient_factor;
            *mean = beta1 * *mean + rest1 * gradient;
            *square = beta2 * *square + rest2 * gradient * gradient;
            let denominator = square.sqrt() * inverse_root_bias2 + eps;
            *weight = *weight * keep - step_size * *mean / denominator;
        }
    }
}
