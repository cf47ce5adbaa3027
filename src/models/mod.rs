//! Architectures: a [`spec::Model`](crate::spec::Model) and a dataset's shape become a [`Network`].
//!
//! Networks are built of [`ops`](crate::ops) alone. Their parameters and buffers bear the names and
//! shapes that the equivalent PyTorch module gives them, so that weights can be exchanged in both
//! directions:
//!
//! - `mlp`: `torchvision.ops.MLP`, a `Sequential` of (linear, ReLU, dropout) for each hidden layer
//!   and a last linear layer: `0.weight`, `0.bias`, `3.weight`, ... whether or not dropout is used.
//!   Images are flattened channel by channel.
//! - `conv_net`: `blocks.0.conv.weight`, `blocks.0.norm.weight`, ..., `head.weight`, `head.bias`.
//! - `resnet18`, `resnet34`, `resnet50`, `resnet101`: torchvision's networks of these names; the stem
//!   `cifar` only changes the shape of `conv1.weight`. `wide_resnet` has the same names; with its
//!   default factor of 2 it is torchvision's `wide_resnet50_2` or `wide_resnet101_2`.
//! - `efficientnet_b0`, `mobilenet_v3_small`: torchvision's networks of these names.
//! - `vit`: `torchvision.models.VisionTransformer`.
//! - `sequential`: a `torch.nn.Sequential` of the same layers, each named by its place in the list.
//! - `gpt2`, `bert`, `llama`: Hugging Face's models of these families, with the names of the class that
//!   has the same head. Their batches are a [`TokenBatch`].
//!
//! The output layer, whose shape follows the dataset, is the last one of `mlp`, `head` in `conv_net`,
//! `fc` in ResNets, `classifier.1` in `efficientnet_b0`, `classifier.3` in `mobilenet_v3_small`,
//! `heads.head` in `vit`, and the last `linear` or `conv` of `sequential`.

mod builder;
mod conv_net;
mod efficientnet;
mod error;
#[cfg(test)]
pub(crate) mod formula;
mod inverted;
mod layers;
mod list;
mod low_rank;
mod mlp;
mod mobilenet;
mod network;
mod pretrained;
mod resnet;
mod sequential;
mod text;
mod unet;
mod vit;

pub use crate::schema::InputShape;
pub use builder::{Builder, Conv, ConvInit, Init};
pub use error::ModelError;
pub use layers::{BatchNorm, Conv2d, Dropout, LayerNorm, Linear, Weight};
pub use list::{ModelBuilder, Models, build};
pub use low_rank::is_low_rank;
#[cfg(test)]
pub(crate) use network::graph_testing;
pub use network::{Architecture, Network, NetworkInput, NetworkLayout, Parameter, Pass, TensorLayout};
pub use text::{KeyValueCache, TextOutput, TokenBatch};
