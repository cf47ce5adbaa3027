use thiserror::Error;

use super::network::InputShape;
use crate::ops::OpError;

/// Why a network cannot be built, run or filled.
#[derive(Debug, Error)]
pub enum ModelError {
    /// A convolutional network was given columns.
    #[error(
        "{model} needs images, but the dataset has samples of {columns} columns; use `mlp`, or have \
         `preprocess` read the columns as an image"
    )]
    NotImages {
        /// The architecture.
        model: &'static str,
        /// Columns of a sample.
        columns: usize,
    },
    /// The images shrink to nothing on their way.
    #[error(
        "images of {height}x{width} are too small for a conv_net of {blocks} blocks, which needs at least \
         {least}x{least}; give it fewer channels entries"
    )]
    ImageTooSmall {
        /// Rows of an image.
        height: usize,
        /// Columns of an image.
        width: usize,
        /// Blocks of the network.
        blocks: usize,
        /// The smallest side it takes.
        least: u128,
    },
    /// A dimension that must not be 0.
    #[error("{what} is 0; a network needs at least 1")]
    Empty {
        /// The dimension.
        what: &'static str,
    },
    /// A layer over any memory's size.
    #[error(
        "a layer with a weight of {inputs} x {outputs} values is too large; make the layers narrower or the \
         input smaller"
    )]
    TooLarge {
        /// Values that go in.
        inputs: usize,
        /// Values that come out.
        outputs: usize,
    },
    /// A batch of another shape than the network was built for.
    #[error("the network was built for {expected}, but the batch has shape {given:?}")]
    BatchShape {
        /// What it was built for.
        expected: InputShape,
        /// What it was given.
        given: Vec<usize>,
    },
    /// Weights of another network.
    #[error("the weights do not fit the network: {}", .problems.join("; "))]
    State {
        /// One entry for each kind of problem, with the names concerned.
        problems: Vec<String>,
    },
    /// An operation failed.
    #[error(transparent)]
    Op(#[from] OpError),
    /// The tensor engine refused.
    #[error(transparent)]
    Candle(#[from] candle_core::Error),
}
