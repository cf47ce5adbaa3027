//! How good detections are: the average precision of COCO, equal to pycocotools' to the last bit, and that of
//! Pascal VOC.
//!
//! In go the boxes of the truth and scored boxes, in the order of their files; each names its image and its category
//! by the ids that the files have, whatever they are. [`CocoEvaluation`] holds the curves of every category, and the
//! figures that are made of them; [`VocEvaluation`] the same by the rules of Pascal VOC. Figures are the same bits for any
//! number of threads.

mod boxes;
mod coco;
mod curves;
mod error;
mod matching;
mod pairwise;
mod voc;

pub use boxes::{BoxSets, Detection, GroundTruth, bbox_overlap};
pub use coco::{CategoryFigures, CocoEvaluation, CocoFigures, iou_thresholds, recall_thresholds};
pub use curves::{AreaRange, PrecisionCurve};
pub use error::DetectionError;
pub use voc::{BoxEdges, VocCategory, VocEvaluation, VocInterpolation};

#[cfg(test)]
mod tests;
