//! Lion (Chen et al., "Symbolic discovery of optimization algorithms", 2023, program 1).

use candle_core::{Result, Tensor};

use super::{Chunk, OptimizerRule, StepSettings, UpdateRule};
use crate::spec::LionOptions;

/// The weights move by the sign of c = b1 m + (1 - b1) g, after the decay is taken off them; then
/// m = b2 m + (1 - b2) g.
struct Lion {
    betas: [f32; 2],
    rests: [f32; 2],
}

impl Lion {
    fn new(recipe: &LionOptions) -> Self {
        let betas = recipe.betas.map(|beta| beta.get());
        Self {
            betas: betas.map(|beta| beta as f32),
            rests: betas.map(|beta| (1.0 - beta) as f32),
        }
    }
}

impl OptimizerRule for LionOptions {
    fn rule(&self) -> Box<dyn UpdateRule> {
        Box::new(Lion::new(self))
    }
}

impl UpdateRule for Lion {
    fn buffers(&self) -> &'static [&'static str] {
        &["exp_avg"]
    }

    fn update(&self, settings: &StepSettings, chunk: &mut Chunk<'_>) {
        let [mean] = chunk.buffers.as_mut_slice() else {
            return;
        };
        let (lr, keep) = (settings.lr as f32, settings.kept() as f32);
        let ([beta1, beta2], [rest1, rest2]) = (self.betas, self.rests);
        let pairs = chunk.weights.iter_mut().zip(chunk.gradient);
        for ((weight, &gradient), mean) in pairs.zip(mean.iter_mut()) {
            let gradient = settings.limited(gradient);
            *weight = *weight * keep - lr * sign(beta1 * *mean + rest1 * gradient);
            *mean = beta2 * *mean + rest2 * gradient;
        }
    }

    fn update_tensors(
        &self,
        settings: &StepSettings,
        weight: &Tensor,
        gradient: &Tensor,
        buffers: &mut [Tensor],
    ) -> Result<Tensor> {
        let [mean] = buffers else {
            candle_core::bail!("Lion keeps one buffer")
        };
        let gradient = settings.limited_tensor(gradient)?;
        let mixed = |share: usize| {
            let kept = (&*mean * f64::from(self.betas[share]))?;
            kept + (&gradient * f64::from(self.rests[share]))?
        };
        let (direction, next) = (mixed(0)?, mixed(1)?);
        *mean = next;
        // A quotient, so that what is not finite becomes NaN; 0 stays 0.
        let size = direction.abs()?;
        let nothing = size.eq(0.0)?.to_dtype(size.dtype())?;
        let sign = (direction / (size + nothing)?)?;
        (weight * settings.kept())? - (sign * settings.lr)?
    }
}

/// -1, 0 or 1. What is not finite has none: NaN, so that a training that diverges is found out.
fn sign(x: f32) -> f32 {
    if !x.is_finite() {
        f32::NAN
    } else if x > 0.0 {
        1.0
    } else if x < 0.0 {
        -1.0
    } else {
        0.0
    }
}
