//! A convolution with the batch norm behind it in its weights.

/// The values of a batch norm in evaluation, one an output channel.
pub struct NormValues {
    /// The factor.
    pub scale: Vec<f32>,
    /// The summand.
    pub shift: Vec<f32>,
    /// The running mean.
    pub mean: Vec<f32>,
    /// The running variance.
    pub variance: Vec<f32>,
    /// What is added to the variance.
    pub epsilon: f64,
}

/// The weight, output channel by output channel, and the bias that give what a convolution of `weight` and `bias` and then
/// `norm` give. Products are made in f64 and rounded once.
pub fn fold_norm(mut weight: Vec<f32>, bias: Option<&[f32]>, norm: &NormValues) -> (Vec<f32>, Vec<f32>) {
    let outputs = norm.scale.len();
    let len = (weight.len() / outputs.max(1)).max(1);
    let channels = weight.chunks_exact_mut(len).enumerate();
    let bias = channels.map(|(channel, weight)| {
        let variance = f64::from(norm.variance[channel]) + norm.epsilon;
        let factor = f64::from(norm.scale[channel]) / variance.sqrt();
        for value in weight {
            *value = (f64::from(*value) * factor) as f32;
        }
        let bias = bias.map_or(0.0, |bias| f64::from(bias[channel]));
        let distance = bias - f64::from(norm.mean[channel]);
        (f64::from(norm.shift[channel]) + distance * factor) as f32
    });
    let bias = bias.collect();
    (weight, bias)
}
