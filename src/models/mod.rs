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
//! - `resnet18`: `torchvision.models.resnet18`; the stem `cifar` only changes the shape of
//!   `conv1.weight`.
//! - `vit`: `torchvision.models.VisionTransformer`.
//! - `sequential`: a `torch.nn.Sequential` of the same layers, each named by its place in the list.

mod builder;
mod conv_net;
mod error;
mod layers;
mod mlp;
mod network;
mod resnet;
mod sequential;
mod vit;

pub use error::ModelError;
pub use network::{InputShape, Network, Parameter, Pass, build, check};
