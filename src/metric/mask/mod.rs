//! Masks of objects as COCO writes them: run lengths, plain and as text, and polygons.
//!
//! Runs go column by column, from the top down, and the first is of pixels outside of the mask. Text, areas, boxes,
//! overlaps and the pixels inside of a polygon are those of pycocotools.

mod error;
mod polygon;
mod runs;
mod text;

pub use error::MaskError;
pub use runs::RunLengths;

#[cfg(test)]
mod tests;
