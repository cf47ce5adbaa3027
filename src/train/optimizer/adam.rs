//! Adam (Kingma and Ba, 2015), as `torch.optim.Adam`, and with decoupled weight decay (Loshchilov and
//! Hutter, 2019), as `torch.optim.AdamW`.

use candle_core::{Result, Tensor};

use super::{Chunk, OptimizerRule, StepSettings, UpdateRule};
use crate::spec::{AdamOptions, AdamWOptions};

/// Running means of the gradient and of its square, both corrected for their start at zero. The
/// decay is added to the gradient, or taken off the weights before the step.
struct Adam {
    betas: [f64; 2],
    eps: f64,
    decoupled: bool,
}

/// The constants of one step, in f32 as the arithmetic is.
struct Constants {
    /// Added to the gradient, times the weight.
    penalty: f32,
    /// What is left of the weight.
    keep: f32,
    betas: [f32; 2],
    rests: [f32; 2],
    step_size: f32,
    inverse_root_bias: f32,
    eps: f32,
}

impl Adam {
    /// With the decay in the gradient.
    fn new(recipe: &AdamOptions) -> Self {
        Self {
            betas: recipe.betas.map(|beta| beta.get()),
            eps: recipe.eps.get(),
            decoupled: false,
        }
    }

    /// With the decay taken off the weights.
    fn decoupled(recipe: &AdamWOptions) -> Self {
        Self {
            betas: recipe.betas.map(|beta| beta.get()),
            eps: recipe.eps.get(),
            decoupled: true,
        }
    }

    fn constants(&self, settings: &StepSettings) -> Constants {
        let step = settings.step as f64;
        let [bias1, bias2] = self.betas.map(|beta| 1.0 - beta.powf(step));
        let (penalty, keep) = if self.decoupled {
            (0.0, 1.0 - settings.lr * settings.weight_decay)
        } else {
            (settings.weight_decay, 1.0)
        };
        Constants {
            penalty: penalty as f32,
            keep: keep as f32,
            betas: self.betas.map(|beta| beta as f32),
            rests: self.betas.map(|beta| (1.0 - beta) as f32),
            step_size: (settings.lr / bias1) as f32,
            inverse_root_bias: (1.0 / bias2.sqrt()) as f32,
            eps: self.eps as f32,
        }
    }
}

impl OptimizerRule for AdamOptions {
    fn rule(&self) -> Box<dyn UpdateRule> {
        Box::new(Adam::new(self))
    }
}

impl OptimizerRule for AdamWOptions {
    fn rule(&self) -> Box<dyn UpdateRule> {
        Box::new(Adam::decoupled(self))
    }
}

impl UpdateRule for Adam {
    fn buffers(&self) -> &'static [&'static str] {
        &["exp_avg", "exp_avg_sq"]
    }

    fn update(&self, settings: &StepSettings, chunk: &mut Chunk<'_>) {
        let [mean, square] = chunk.buffers.as_mut_slice() else {
            return;
        };
        let given = self.constants(settings);
        let ([beta1, beta2], [rest1, rest2]) = (given.betas, given.rests);
        let pairs = chunk.weights.iter_mut().zip(chunk.gradient);
        let moments = mean.iter_mut().zip(square.iter_mut());
        for ((weight, &gradient), (mean, square)) in pairs.zip(moments) {
            let gradient = settings.limited(gradient) + given.penalty * *weight;
            *mean = beta1 * *mean + rest1 * gradient;
            *square = beta2 * *square + rest2 * gradient * gradient;
            let denominator = square.sqrt() * given.inverse_root_bias + given.eps;
            *weight = *weight * given.keep - given.step_size * *mean / denominator;
        }
    }

    fn update_tensors(
        &self,
        settings: &StepSettings,
        weight: &Tensor,
        gradient: &Tensor,
        buffers: &mut [Tensor],
    ) -> Result<Tensor> {
        let [mean, square] = buffers else {
            candle_core::bail!("Adam keeps two buffers")
        };
        let given = self.constants(settings);
        let scaled = |x: &Tensor, factor: f32| x.affine(f64::from(factor), 0.0);
        let mut gradient = settings.limited_tensor(gradient)?;
        if given.penalty != 0.0 {
            gradient = (gradient + scaled(weight, given.penalty)?)?;
        }
        *mean = (scaled(mean, given.betas[0])? + scaled(&gradient, given.rests[0])?)?;
        let squared = (scaled(&gradient, given.rests[1])? * &gradient)?;
        *square = (scaled(square, given.betas[1])? + squared)?;
        let denominator = square
            .sqrt()?
            .affine(f64::from(given.inverse_root_bias), f64::from(given.eps))?;
        scaled(weight, given.keep)? - (scaled(mean, given.step_size)? / denominator)?
    }
}
