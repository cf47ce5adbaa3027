//! Precision over recall: `COCOeval.accumulate` of pycocotools.

use super::coco::{RECALLS, THRESHOLDS, recall_thresholds};
use super::matching::JudgedCategory;

/// Which objects are looked for, by their pixels; both ends belong to a range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AreaRange {
    /// Up to 10^10.
    All,
    /// Up to 32 x 32.
    Small,
    /// From there to 96 x 96.
    Medium,
    /// From there on, up to 10^10.
    Large,
}

impl AreaRange {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::All, Self::Small, Self::Medium, Self::Large];

    /// Whether so many pixels are in it.
    pub fn contains(self, area: f64) -> bool {
        let (least, most) = match self {
            Self::All => (0.0, 1e10),
            Self::Small => (0.0, 1024.0),
            Self::Medium => (1024.0, 9216.0),
            Self::Large => (9216.0, 1e10),
        };
        least <= area && area <= most
    }
}

/// Precision at each recall of [`recall_thresholds`]: the largest at that recall or a higher one, 0 beyond the last.
pub type PrecisionCurve = [f64; RECALLS];

/// The curves of a category in a range of areas, where it has objects in it.
#[derive(Clone, Debug)]
pub(super) struct RangeCurves {
    /// For each overlap, with all detections.
    pub precisions: [PrecisionCurve; THRESHOLDS],
    /// The share of objects that was found: for each limit of detections, for each overlap.
    pub recalls: [[f64; THRESHOLDS]; 3],
}

impl RangeCurves {
    /// Of detections by falling scores, over all images.
    pub fn new(category: &JudgedCategory, range: AreaRange, limits: [usize; 3]) -> Option<Self> {
        let truths = category.truths[range as usize];
        if truths == 0 {
            return None;
        }
        let needed = needed_for(truths);
        let mut precisions = [[0.0; RECALLS]; THRESHOLDS];
        let mut recalls = [[0.0; THRESHOLDS]; 3];
        // Where each object is found, the precision that is reached with it; it falls until the next one is.
        let mut reached: Vec<f64> = Vec::new();
        for (threshold, curve) in precisions.iter_mut().enumerate() {
            reached.clear();
            let mut wrong = 0usize;
            let mut found = [0usize; 3];
            for detection in &category.detections {
                match detection.is_right(range, threshold) {
                    None => {}
                    Some(false) => wrong += 1,
                    Some(true) => {
                        for (found, limit) in found.iter_mut().zip(limits) {
                            *found += usize::from(detection.rank < limit);
                        }
                        let right = (reached.len() + 1) as f64;
                        reached.push(right / (wrong as f64 + right + f64::EPSILON));
                    }
                }
            }
            for index in (1..reached.len()).rev() {
                if reached[index] > reached[index - 1] {
                    reached[index - 1] = reached[index];
                }
            }
            for (precision, needed) in curve.iter_mut().zip(needed) {
                *precision = reached.get(needed).copied().unwrap_or(0.0);
            }
            for (recalls, found) in recalls.iter_mut().zip(found) {
                recalls[threshold] = found as f64 / truths as f64;
            }
        }
        Some(Self { precisions, recalls })
    }
}

/// Before which right detection, counted from 0, each recall is not reached. Recall 0 is reached before the first one, and
/// the largest precision from there on is that of the first one or a later one.
fn needed_for(truths: usize) -> [usize; RECALLS] {
    let mut right = 1;
    recall_thresholds().map(|recall| {
        while (right as f64 / truths as f64) < recall {
            right += 1;
        }
        right - 1
    })
}
