use thiserror::Error;

/// Why detections cannot be judged.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum DetectionError {
    /// A box of an image that nobody told of.
    #[error(
        "{what} {index} is of image {image}, which is none of the images that are evaluated; leave it out, or \
         add the image"
    )]
    UnknownImage {
        /// `detection` or `object`.
        what: &'static str,
        /// Its place in the order that they were given in, from 0 on.
        index: usize,
        /// The id.
        image: i64,
    },
    /// A box of a category that nobody told of.
    #[error(
        "{what} {index} is of category {category}, which is none of the categories that are evaluated; leave it \
         out, or add the category"
    )]
    UnknownCategory {
        /// `detection` or `object`.
        what: &'static str,
        /// Its place in the order that they were given in, from 0 on.
        index: usize,
        /// The id.
        category: i64,
    },
    /// A coordinate, an area or a score that is infinite or no number.
    #[error("{what} {index} has {value} as its {field}, which is no finite number; leave it out")]
    NoNumber {
        /// `detection` or `object`.
        what: &'static str,
        /// Its place in the order that they were given in, from 0 on.
        index: usize,
        /// `box`, `area` or `score`.
        field: &'static str,
        /// What stands there.
        value: String,
    },
    /// A limit of no detections.
    #[error("figures of the best 0 detections of an image are of nothing; let the limits begin at 1")]
    NoDetections,
}
