use thiserror::Error;

use crate::ops::OpError;
use crate::schema::InputShape;

/// Why a network cannot be built, run or filled.
#[derive(Debug, Error)]
pub enum ModelError {
    /// An architecture that can be named but not built.
    #[error(
        "this program cannot build `{model}`: its options are known and its layers are not; add it to the \
         program's models"
    )]
    Unknown {
        /// The architecture.
        model: &'static str,
    },
    /// A model that its folder describes, which has not been read.
    #[error("`{model}` stands for the model that its folder describes, and the folder has not been read")]
    Unread {
        /// The architecture.
        model: &'static str,
    },
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
    /// An architecture was given samples that it is not for.
    #[error("{model} needs {needs}, but the dataset has samples of {samples}; use another model")]
    WrongSamples {
        /// The architecture.
        model: &'static str,
        /// What it is for.
        needs: &'static str,
        /// What a sample is instead, in words.
        samples: Box<str>,
    },
    /// Samples of more tokens than there are positions.
    #[error(
        "a sample has {longest} tokens, and the model has {context} positions; make `context` larger or the \
         samples shorter"
    )]
    TooLong {
        /// Tokens of the longest sample.
        longest: usize,
        /// Positions of the model.
        context: usize,
    },
    /// A quantized network that contradicts itself.
    #[error("the quantized network contradicts itself: {problem}")]
    Quantized {
        /// What is wrong.
        problem: String,
    },
    /// Low-rank changes that the network cannot have.
    #[error("{problem}")]
    LowRank {
        /// What is wrong.
        problem: String,
    },
    /// An embedding that does not have a row for each token.
    #[error(
        "an embedding of {rows} rows is too small for {tokens} tokens; make `vocabulary` larger or leave it out"
    )]
    Vocabulary {
        /// Rows of the embedding.
        rows: usize,
        /// Tokens that there are.
        tokens: usize,
    },
    /// A head whose outputs are decided already.
    #[error(
        "the head `{head}` gives {wanted} outputs, {what}, and {outputs} are wanted; choose another `head`"
    )]
    HeadOutputs {
        /// The head, as a pipeline file spells it.
        head: &'static str,
        /// What decides its outputs.
        what: &'static str,
        /// How many those are.
        wanted: usize,
        /// How many are asked for.
        outputs: usize,
    },
    /// Tokens that make no batch.
    #[error("tokens: {problem}")]
    Tokens {
        /// What is wrong.
        problem: String,
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
    /// A sample over any memory's size.
    #[error("a sample of {sample} is too large: a network is shown at most {most} numbers of each")]
    SampleTooLarge {
        /// Its shape, in words.
        sample: Box<str>,
        /// The most numbers of a sample.
        most: usize,
    },
    /// A network of far more numbers than there are to fill it.
    #[error(
        "the network has far more numbers than the {held} that its weights hold: `{name}` alone would be {shape:?}; the \
         description is damaged, or that of another model"
    )]
    Unfilled {
        /// A parameter for which there is no room.
        name: String,
        /// Its shape.
        shape: Vec<usize>,
        /// The numbers that there are.
        held: usize,
    },
    /// Images that are no whole number of patches.
    #[error(
        "images of {height}x{width} cannot be cut into patches of {patch}x{patch}; give vit a `patch` that \
         divides both sides, such as {largest}, or resize the images in `preprocess`"
    )]
    Patches {
        /// Rows of an image.
        height: usize,
        /// Columns of an image.
        width: usize,
        /// The side of a patch.
        patch: usize,
        /// The largest side up to that one that divides both.
        largest: usize,
    },
    /// A width that attention heads cannot share.
    #[error("a `width` of {width} cannot be shared by {heads} heads; make it a multiple of `heads`")]
    Heads {
        /// Values of a token.
        width: usize,
        /// Attention heads.
        heads: usize,
    },
    /// Layers that together are over any memory's size.
    #[error(
        "{model} of {depth} layers with {layer} values each is too large; make `depth` or `width` smaller"
    )]
    TooDeep {
        /// The architecture.
        model: &'static str,
        /// Its layers.
        depth: usize,
        /// Values in the weights of each.
        layer: usize,
    },
    /// A layer of a sequential network that does not fit its place.
    #[error("layer {index} ({kind}) {problem}")]
    Layer {
        /// Its place in the list, from 0.
        index: usize,
        /// What it is, as a pipeline file spells it.
        kind: &'static str,
        /// What is wrong, and what to do.
        problem: String,
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
