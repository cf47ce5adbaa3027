//! Networks whose convolutions and fully connected layers multiply whole numbers of eight bits.
//!
//! In goes the graph of a network's forward pass and samples to calibrate with; out comes a [`QuantizedModel`], from which
//! a network is made that answers as any other. Batch norms are part of the weights before them. Weights are whole numbers
//! from -127 to 127, in steps of each output's own; what goes into a layer are bytes, in steps that the samples gave
//! ([`Affine`](crate::ops::Affine)). What lies between two such layers is computed on bytes where that is exact up to the
//! rounding of the result, which is where a file for ONNX's runtimes has it rounded too; all else is computed in f32.
//!
//! Sums are of whole numbers, so the outputs are the same bytes on every processor as long as what is left in f32 is.

mod bytes;
mod calibration;
mod error;
mod layers;
mod model;
mod network;
mod observe;
mod plan;
mod ranges;
#[cfg(test)]
mod tests;

pub use calibration::{Calibrator, LayerNoise};
pub use error::QuantizationError;
pub use model::{QuantizedLayer, QuantizedModel, TensorSpot};
pub use network::{QuantizedNetwork, layer_names};
