//! Tensor operations with a right and reasonably fast forward and backward that candle lacks.
//!
//! In go f32 tensors, out come f32 tensors that take part in candle's autograd. Activations are
//! channels-last, `[N, H, W, C]`; weights are held as PyTorch holds them, `[out, in, height,
//! width]`. Each operation is written once, as an [`Operation`]: its name and attributes, kernels over
//! slices for the CPU, forward and backward, and a composition of candle's operations for any other
//! device. A [`Tape`] is the way back through a forward pass, a [`Graph`] what others make of it.
//!
//! Results are bit-identical for any number of threads: work is cut by the size of the problem,
//! never by the number of threads, and partial sums are combined in the order of their index.
//!
//! An operation that is given a [`Precision`](crate::spec::Precision) under f32 computes what
//! PyTorch's autocast would: operands and results hold only values of that format, sums are made
//! in f32, and gradients of weights stay f32. On a [`Tape`], what is rounded to bf16 is stored so as well, from one
//! operation to the next and back: half the memory, and half of what is read and written. Elsewhere tensors hold f32 all
//! the same.

mod activation;
mod adapter;
mod add;
#[cfg(test)]
mod agreement;
mod attention;
mod attributes;
mod batch_norm;
mod channel_scale;
mod composed;
mod concat;
mod conv;
mod dropout;
mod embedding;
mod error;
mod fill;
mod graph;
mod group_norm;
mod int8_blocks;
mod layer_norm;
mod layout;
mod linear;
mod loss;
#[cfg(target_arch = "x86_64")]
mod matrix_unit;
mod microkernel;
mod operation;
mod pair_loss;
mod pool;
mod prepared;
#[cfg(test)]
mod pytorch_values;
mod quantized;
mod resize;
mod rms_norm;
mod rotary;
mod round;
mod scratch;
mod sequence_mean;
mod sequences;
mod shape;
mod stochastic_depth;
mod stored;
mod swiglu;
mod table_rows;
mod tape;
mod tensor;
#[cfg(test)]
pub(crate) mod testing;
mod tokens;
mod vectors;
mod vocabulary_loss;

use candle_core::Device;
use microkernel::{Kernels, WordFormat};

use crate::spec::Precision;

pub use activation::{gelu, gelu_tanh, hardsigmoid, hardswish, leaky_relu, relu, relu6, sigmoid, silu, tanh};
pub use add::add;
pub use attention::{AttentionOperands, AttentionOptions, attention};
pub use attributes::{Attribute, Attributes};
pub use batch_norm::{BatchNormOptions, Epilogue, RunningStatistics, Statistics, batch_norm};
pub use channel_scale::scale_channels;
pub use concat::concat_channels;
pub use conv::{
    ConvOptions, ConvolutionOperands, NormOperands, NormValues, PackedWeights, StandIn, WatchRows,
    WeightForm, Window, conv2d, conv2d_norm, fold_norm,
};
pub use dropout::{DropoutKey, dropout, dropout_rows};
pub use embedding::embedding;
pub use error::OpError;
pub use graph::{Graph, GraphValue, OperationNode, declare_constant, name_weight};
pub use group_norm::{GroupNormOptions, group_norm};
pub use layer_norm::layer_norm;
pub use layout::{to_channels_first, to_channels_last};
pub use linear::{linear, linear_transposed};
pub use loss::{LossFunction, LossTargets, loss, loss_per_sample, loss_weight};
pub use operation::Operation;
pub use pair_loss::{PairTargets, loss_per_pair, normalize_rows, pair_loss};
pub use pool::{avg_pool2d, global_average_pool, max_pool2d};
pub use prepared::PreparedGraph;
pub use quantized::{AddedTensor, Affine, ByteFinish, ByteLayer, ByteTensor, ByteWeight};
pub use resize::{ResizeMode, resize};
pub use rms_norm::rms_norm;
pub use rotary::{RotaryTable, rotate};
pub use sequence_mean::sequence_mean;
pub use sequences::{SequenceSpan, Sequences};
pub use shape::{flatten, select, squeeze, unsqueeze};
pub use stochastic_depth::stochastic_depth;
pub use swiglu::swiglu;
pub use table_rows::{TableRows, add_rows};
pub use tape::{Tape, VariableGradients, block};
pub use tokens::embed_tokens;
pub use vocabulary_loss::{RowVerdict, vocabulary_loss, vocabulary_loss_with_score, vocabulary_verdicts};

/// Whether this program has gradients. Where it does not, results are constants, and nothing that only gradients need is
/// linked.
const HAS_GRADIENTS: bool = cfg!(feature = "full");

/// The instruction sets that this processor's kernels are made for, the fastest first.
pub fn instruction_sets() -> impl Iterator<Item = &'static str> {
    Kernels::available().iter().map(|kernels| kernels.name)
}

/// What multiplies values of `precision` on `device`: trainings with the same kernels give the same bytes. `f32` are those of
/// all processors that multiply in f32, one summand after the other; the others have the name of what they are made for.
pub fn arithmetic(precision: Precision, device: &Device) -> &'static str {
    match device {
        Device::Cpu => Kernels::best(precision).arithmetic(),
        Device::Cuda(_) => "CUDA",
        Device::Metal(_) => "Metal",
    }
}

/// Whether this processor multiplies values of `precision` as they are; else they are widened to f32 first.
pub fn has_own_kernels(precision: Precision) -> bool {
    match precision {
        Precision::F32 => true,
        Precision::Bf16 => Kernels::best(precision).format == WordFormat::Bf16Pair,
        Precision::F16 => false,
    }
}
