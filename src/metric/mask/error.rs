use thiserror::Error;

/// What is wrong with a mask.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum MaskError {
    /// A mask of more pixels than can be counted.
    #[error("a mask of {height} x {width} pixels has more than 4,294,967,295 of them")]
    TooLarge {
        /// Rows.
        height: usize,
        /// Columns.
        width: usize,
    },
    /// Pixels that are not as many as the sides say.
    #[error("{pixels} pixels are no mask of {height} x {width}, which has {}", .height * .width)]
    Pixels {
        /// What there is.
        pixels: usize,
        /// Rows.
        height: usize,
        /// Columns.
        width: usize,
    },
    /// Runs that are not as long as the mask.
    #[error(
        "the runs add up to {sum} pixels, but a mask of {height} x {width} has {}; check that `size` is height, then width",
        .height * .width
    )]
    Sum {
        /// The length of all runs.
        sum: u64,
        /// Rows.
        height: usize,
        /// Columns.
        width: usize,
    },
    /// Text that is no run lengths.
    #[error("the compressed runs cannot be read at character {place}: {problem}")]
    Text {
        /// Counted from 0.
        place: usize,
        /// What is wrong there.
        problem: &'static str,
    },
    /// Masks of different images.
    #[error("masks of {}x{} and of {}x{} pixels cannot lie on each other", .left[0], .left[1], .right[0], .right[1])]
    Sides {
        /// Height and width of the one.
        left: [usize; 2],
        /// Height and width of the other one.
        right: [usize; 2],
    },
    /// A polygon without an inside.
    #[error("a polygon needs three points or more, each of two numbers; this one has {numbers} numbers")]
    FewPoints {
        /// How many there are.
        numbers: usize,
    },
    /// A coordinate that is infinite, no number, or far beyond any image.
    #[error("number {place} of the polygon, counted from 0, is {value}, which is no place in an image")]
    NoPlace {
        /// Its place in the list.
        place: usize,
        /// What stands there.
        value: String,
    },
}
