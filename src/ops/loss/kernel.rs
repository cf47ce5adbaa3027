//! The loss of one sample and its gradient, in f64.

use super::LossFunction;

/// What one sample's outputs are compared with.
#[derive(Clone, Copy)]
pub(super) enum SampleTarget<'a> {
    /// Its class.
    Class(u32),
    /// The probability of each class.
    Probabilities(&'a [f32]),
    /// A number for each output.
    Values(&'a [f32]),
}

/// The loss of one sample: the sum over its outputs.
pub(super) fn value(outputs: &[f32], target: SampleTarget<'_>, loss: &LossFunction) -> f64 {
    match (loss, target) {
        (LossFunction::CrossEntropy { .. }, _) => {
            let log_sum = log_sum_exp(outputs);
            let mut sum = 0.0;
            coefficients(outputs.len(), target, loss, |class, coefficient| {
                // Without the test, a class that does not count would turn an infinite loss into NaN.
                if coefficient != 0.0 {
                    sum += coefficient * (log_sum - f64::from(outputs[class]));
                }
            });
            sum
        }
        (LossFunction::BinaryCrossEntropy { pos_weight }, SampleTarget::Values(targets)) => {
            pairs(outputs, targets)
                .enumerate()
                .map(|(index, (x, target))| {
                    let weight = positive_weight(pos_weight.as_deref(), index, target);
                    // softplus(-x) without overflow, as PyTorch computes it.
                    (1.0 - target) * x + weight * ((-x.abs()).exp().ln_1p() + (-x).max(0.0))
                })
                .sum()
        }
        (LossFunction::Mse, SampleTarget::Values(targets)) => pairs(outputs, targets)
            .map(|(x, target)| (x - target) * (x - target))
            .sum(),
        (LossFunction::Huber { delta }, SampleTarget::Values(targets)) => pairs(outputs, targets)
            .map(|(x, target)| {
                let error = (x - target).abs();
                if error <= *delta {
                    0.5 * error * error
                } else {
                    delta * (error - 0.5 * delta)
                }
            })
            .sum(),
        (LossFunction::Distillation { temperature }, SampleTarget::Values(targets)) => {
            let own = log_softened(outputs, *temperature);
            let wanted = log_softened(targets, *temperature);
            let mut sum = 0.0;
            for class in 0..outputs.len() {
                let probability = wanted(class).exp();
                // Without the test, a class that cannot be would turn an infinite loss into NaN.
                if probability != 0.0 {
                    sum += probability * (wanted(class) - own(class));
                }
            }
            temperature * temperature * sum
        }
        // The check keeps targets of another kind out.
        _ => f64::NAN,
    }
}

/// The gradient of `factor` times the loss of one sample, by output.
pub(super) fn gradient(
    outputs: &[f32],
    target: SampleTarget<'_>,
    loss: &LossFunction,
    factor: f64,
    gradients: &mut [f32],
) {
    match (loss, target) {
        (LossFunction::CrossEntropy { .. }, _) => {
            if !counts(target, loss) {
                gradients.fill(0.0);
                return;
            }
            // d/dz of sum_c a_c (lse(z) - z_c) is softmax(z) sum_c a_c - a.
            let log_sum = log_sum_exp(outputs);
            let mut total = 0.0;
            coefficients(outputs.len(), target, loss, |_, coefficient| total += coefficient);
            coefficients(outputs.len(), target, loss, |class, coefficient| {
                let softmax = (f64::from(outputs[class]) - log_sum).exp();
                gradients[class] = (factor * (total * softmax - coefficient)) as f32;
            });
        }
        (LossFunction::BinaryCrossEntropy { pos_weight }, SampleTarget::Values(targets)) => {
            for (index, (gradient, (x, target))) in
                gradients.iter_mut().zip(pairs(outputs, targets)).enumerate()
            {
                let weight = positive_weight(pos_weight.as_deref(), index, target);
                *gradient = (factor * ((1.0 - target) - weight / (1.0 + x.exp()))) as f32;
            }
        }
        (LossFunction::Mse, SampleTarget::Values(targets)) => {
            for (gradient, (x, target)) in gradients.iter_mut().zip(pairs(outputs, targets)) {
                *gradient = (factor * 2.0 * (x - target)) as f32;
            }
        }
        (LossFunction::Huber { delta }, SampleTarget::Values(targets)) => {
            for (gradient, (x, target)) in gradients.iter_mut().zip(pairs(outputs, targets)) {
                *gradient = (factor * (x - target).max(-delta).min(*delta)) as f32;
                if x.is_nan() {
                    *gradient = f32::NAN;
                }
            }
        }
        (LossFunction::Distillation { temperature }, SampleTarget::Values(targets)) => {
            // d/dz of T² KL(p || softmax(z / T)) is T (softmax(z / T) - p).
            let own = log_softened(outputs, *temperature);
            let wanted = log_softened(targets, *temperature);
            for (class, gradient) in gradients.iter_mut().enumerate() {
                *gradient = (factor * temperature * (own(class).exp() - wanted(class).exp())) as f32;
            }
        }
        _ => gradients.fill(f32::NAN),
    }
}

/// What multiplies the negative log-probability of each class in a sample's cross-entropy: the
/// smoothed target distribution times the class weights. In order, one call a class.
pub(super) fn coefficients(
    classes: usize,
    target: SampleTarget<'_>,
    loss: &LossFunction,
    mut each: impl FnMut(usize, f64),
) {
    let LossFunction::CrossEntropy {
        label_smoothing,
        class_weights,
        ..
    } = loss
    else {
        return;
    };
    let counts = counts(target, loss);
    let even = label_smoothing / classes as f64;
    for class in 0..classes {
        let probability = match target {
            SampleTarget::Class(label) if label as usize == class => 1.0,
            SampleTarget::Class(_) => 0.0,
            SampleTarget::Probabilities(values) | SampleTarget::Values(values) => f64::from(values[class]),
        };
        let weight = match class_weights {
            _ if !counts => 0.0,
            Some(weights) => f64::from(weights[class]),
            None => 1.0,
        };
        each(class, weight * (probability * (1.0 - label_smoothing) + even));
    }
}

/// Whether the sample is not one of the ignored class.
fn counts(target: SampleTarget<'_>, loss: &LossFunction) -> bool {
    match (loss, target) {
        (LossFunction::CrossEntropy { ignore_index, .. }, SampleTarget::Class(class)) => {
            *ignore_index != Some(class)
        }
        _ => true,
    }
}

/// What multiplies the logarithm of the sigmoid: `1 + (pos_weight - 1) target`, as in PyTorch.
pub(super) fn positive_weight(weights: Option<&[f32]>, index: usize, target: f64) -> f64 {
    weights.map_or(1.0, |weights| 1.0 + (f64::from(weights[index]) - 1.0) * target)
}

fn pairs<'a>(outputs: &'a [f32], targets: &'a [f32]) -> impl Iterator<Item = (f64, f64)> + 'a {
    outputs
        .iter()
        .zip(targets)
        .map(|(&x, &target)| (f64::from(x), f64::from(target)))
}

/// The logarithm of the sum of exponentials, safe against overflow.
fn log_sum_exp(row: &[f32]) -> f64 {
    let largest = row
        .iter()
        .fold(f64::NEG_INFINITY, |largest, &value| largest.max(f64::from(value)));
    if !largest.is_finite() {
        // NaN where a logit is infinite or all are NaN: never a plausible loss.
        return f64::NAN;
    }
    largest
        + row
            .iter()
            .map(|&value| (f64::from(value) - largest).exp())
            .sum::<f64>()
            .ln()
}

/// The logarithms of the probabilities `softmax(row / temperature)`, by class.
fn log_softened(row: &[f32], temperature: f64) -> impl Fn(usize) -> f64 + '_ {
    let largest = row
        .iter()
        .fold(f64::NEG_INFINITY, |largest, &value| largest.max(f64::from(value)));
    // NaN where a logit is infinite or all are NaN, as above.
    let largest = if largest.is_finite() { largest } else { f64::NAN };
    let softened = move |value: f32| (f64::from(value) - largest) / temperature;
    let log_sum = row.iter().map(|&value| softened(value).exp()).sum::<f64>().ln();
    move |class| softened(row[class]) - log_sum
}
