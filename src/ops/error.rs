use candle_core::Shape;
use thiserror::Error;

/// Why an operation could not be carried out.
#[derive(Debug, Error)]
pub enum OpError {
    /// The operands do not fit each other.
    #[error("{op}: {problem}")]
    Shape {
        /// The operation.
        op: &'static str,
        /// What does not fit.
        problem: String,
    },
    /// A class label that the logits have no column for.
    #[error(
        "sample {index} of the batch has label {label}, but there are only {classes} classes (0 to {}); \
         give the network as many outputs as the dataset has classes",
        .classes.saturating_sub(1)
    )]
    Label {
        /// The sample's position in the batch.
        index: usize,
        /// Its label.
        label: u32,
        /// Columns of the logits.
        classes: usize,
    },
    /// A batch that has no variance to normalise by.
    #[error(
        "batch norm: in training it needs more than one value per channel, but this batch is one sample of \
         one pixel, which cannot be normalised over its batch; raise `batch_size`, or, where it is the last \
         batch of an epoch, leave that out with `drop_last: true`"
    )]
    SingleValue,
    /// A graph is recorded, and a tensor comes from where nothing is recorded.
    #[error(
        "graph: operand {index} of {user}, of shape {shape:?}, is neither an input, a weight or a constant \
         that was declared, nor the result of an operation of `ops`; compute it with these operations, or \
         declare it with `name_weight` or `declare_constant`"
    )]
    UnknownOrigin {
        /// What takes it.
        user: &'static str,
        /// Its place among what is taken.
        index: usize,
        /// Its dimensions.
        shape: Vec<usize>,
    },
    /// The tensor engine refused.
    #[error(transparent)]
    Candle(#[from] candle_core::Error),
}

impl OpError {
    pub(super) fn shape(op: &'static str, problem: impl Into<String>) -> Self {
        Self::Shape {
            op,
            problem: problem.into(),
        }
    }

    pub(super) fn rank(op: &'static str, wanted: &str, shape: &Shape) -> Self {
        Self::shape(
            op,
            format!("needs a tensor of shape {wanted}, got {:?}", shape.dims()),
        )
    }
}
