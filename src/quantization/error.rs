use thiserror::Error;

use crate::models::ModelError;
use crate::ops::OpError;

/// Why a network cannot be quantized, or what says how it was is not true.
#[derive(Debug, Error)]
pub enum QuantizationError {
    /// There is nothing to quantize.
    #[error("no layer is left to quantize: {problem}")]
    NoLayers {
        /// Why.
        problem: String,
    },
    /// A layer that is to be kept is not there.
    #[error("`keep` names `{pattern}`, and no layer is called so; there are {layers}")]
    UnknownLayer {
        /// What is named.
        pattern: String,
        /// The layers that there are.
        layers: String,
    },
    /// A tensor with values that are no numbers.
    #[error("`{tensor}` is not finite for a sample to calibrate with: the model or the sample is damaged")]
    NotFinite {
        /// Its name.
        tensor: String,
    },
    /// A weight that is no number.
    #[error("the model's `{weight}` is not finite: train it again, or get it again")]
    DamagedWeight {
        /// Its name.
        weight: String,
    },
    /// There are no samples.
    #[error("there are no samples to calibrate with")]
    NoSamples,
    /// What is known of the quantized tensors does not fit the network.
    #[error("{problem}")]
    Mismatch {
        /// What is wrong.
        problem: String,
    },
    /// What the network reports.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// What an operation reports.
    #[error(transparent)]
    Operation(#[from] OpError),
    /// What the tensor engine reports.
    #[error(transparent)]
    Tensor(#[from] candle_core::Error),
}
