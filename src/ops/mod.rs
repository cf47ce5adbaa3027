//! Tensor operations with a right and reasonably fast forward and backward that candle lacks.
//!
//! In go f32 tensors, out come f32 tensors that take part in candle's autograd. Activations are
//! channels-last, `[N, H, W, C]`; weights are held as PyTorch holds them, `[out, in, height,
//! width]`. Each operation is a candle custom op with its own backward and CPU kernels over
//! slices; on any other device a composition of candle's operations stands in.
//!
//! Results are bit-identical for any number of threads: work is cut by the size of the problem,
//! never by the number of threads, and partial sums are combined in the order of their index.
//!
//! An operation that is given a [`Precision`](crate::spec::Precision) under f32 computes what
//! PyTorch's autocast would: operands and results hold only values of that format, sums are made
//! in f32, and gradients of weights stay f32. Tensors are stored in f32 all the same.

mod activation;
mod add;
mod attention;
mod average_pool;
mod batch_norm;
mod batch_norm_kernels;
mod channel_scale;
mod composed;
mod conv;
mod conv_norm;
mod dropout;
mod error;
mod fill;
mod layer_norm;
mod layout;
mod linear;
mod loss;
mod matmul;
mod microkernel;
mod pool;
mod round;
mod scratch;
mod stochastic_depth;
mod tape;
mod tensor;
#[cfg(test)]
pub(crate) mod testing;
mod tokens;
mod vectors;

pub use activation::{gelu, hardsigmoid, hardswish, leaky_relu, relu, sigmoid, silu, tanh};
pub use add::add;
pub use attention::attention;
pub use average_pool::avg_pool2d;
pub use batch_norm::{BatchNormOptions, Epilogue, RunningStatistics, Statistics, batch_norm};
pub use channel_scale::scale_channels;
pub use conv::{ConvOptions, PackedWeights, Window, conv2d};
pub use conv_norm::{Convolution, Normalization, conv2d_norm};
pub use dropout::{DropoutKey, dropout};
pub use error::OpError;
pub use layer_norm::layer_norm;
pub use layout::{flatten, flatten_channels_last, to_channels_last};
pub use linear::linear;
pub use loss::{Loss, Targets, loss, loss_per_sample, loss_weight};
pub use pool::{global_average_pool, max_pool2d};
pub use stochastic_depth::stochastic_depth;
pub use tape::{Tape, VariableGradients};
pub use tokens::{embed_tokens, first_token};

/// The instruction sets that this processor's kernels are made for, the fastest first.
pub fn instruction_sets() -> impl Iterator<Item = &'static str> {
    microkernel::Kernels::available()
        .iter()
        .map(|kernels| kernels.name)
}
