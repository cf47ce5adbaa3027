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
mod batch_norm;
mod batch_norm_kernels;
mod composed;
mod conv;
mod dropout;
mod error;
mod layout;
mod linear;
mod loss;
mod matmul;
mod pool;
mod round;
mod scratch;
mod tensor;
#[cfg(test)]
pub(crate) mod testing;

pub use activation::relu;
pub use batch_norm::{Epilogue, RunningStatistics, Statistics, batch_norm};
pub use conv::{Window, conv2d};
pub use dropout::{DropoutKey, dropout};
pub use error::OpError;
pub use layout::{flatten, to_channels_last};
pub use linear::linear;
pub use loss::{Loss, Targets, loss, loss_per_sample, loss_weight};
pub use pool::{global_average_pool, max_pool2d};
