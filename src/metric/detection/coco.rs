//! The figures of COCO.

use rayon::prelude::*;

use super::DetectionError;
use super::boxes::{BoxSets, by_falling_scores};
use super::curves::{AreaRange, PrecisionCurve, RangeCurves};
use super::matching::{JudgedCategory, judge};
use super::pairwise::mean;

/// Overlaps from which on a detection is right.
pub(super) const THRESHOLDS: usize = 10;
/// Places of a curve.
pub(super) const RECALLS: usize = 101;
/// The places of .5 and .75 among the overlaps.
const HALF: usize = 0;
const THREE_QUARTERS: usize = 5;

/// The overlaps from which on a detection is right: .5, .55, up to .95, as `numpy.linspace(.5, .95, 10)` gives them.
pub fn iou_thresholds() -> [f64; THRESHOLDS] {
    let step = (0.95 - 0.5) / (THRESHOLDS - 1) as f64;
    std::array::from_fn(|index| index as f64 * step + 0.5)
}

/// The recalls at which precision is read: 0, .01, up to 1, as `numpy.linspace(0, 1, 101)` gives them.
pub fn recall_thresholds() -> [f64; RECALLS] {
    std::array::from_fn(|index| index as f64 * 0.01)
}

/// Detections, judged as pycocotools 2.0.11 judges boxes (`COCOeval` with `iouType="bbox"`), whatever the ids. There an
/// object with id 0 can never be found, and of two with one id the last one stands for both.
#[derive(Clone, Debug)]
pub struct CocoEvaluation {
    categories: Vec<i64>,
    /// For each category, for each range of areas.
    curves: Vec<[Option<RangeCurves>; 4]>,
}

/// What pycocotools' `summarize` prints. Nothing where no category has objects; pycocotools says -1.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct CocoFigures {
    /// Average precision: the mean over overlaps, recalls and those categories that have objects.
    pub ap: Option<f64>,
    /// The same where an overlap of .5 is enough.
    pub ap50: Option<f64>,
    /// The same where it must be .75.
    pub ap75: Option<f64>,
    /// `ap` of small objects.
    pub ap_small: Option<f64>,
    /// `ap` of objects of medium size.
    pub ap_medium: Option<f64>,
    /// `ap` of large objects.
    pub ap_large: Option<f64>,
    /// Average recall with the one best detection of each image and category, or as many as the first limit says.
    pub ar1: Option<f64>,
    /// With the ten best, or as many as the second limit says.
    pub ar10: Option<f64>,
    /// With the hundred best, or as many as the last limit says.
    pub ar100: Option<f64>,
    /// `ar100` of small objects.
    pub ar_small: Option<f64>,
    /// `ar100` of objects of medium size.
    pub ar_medium: Option<f64>,
    /// `ar100` of large objects.
    pub ar_large: Option<f64>,
}

impl CocoFigures {
    /// In the order of pycocotools' `stats`.
    pub fn stats(&self) -> [Option<f64>; 12] {
        [
            self.ap,
            self.ap50,
            self.ap75,
            self.ap_small,
            self.ap_medium,
            self.ap_large,
            self.ar1,
            self.ar10,
            self.ar100,
            self.ar_small,
            self.ar_medium,
            self.ar_large,
        ]
    }
}

/// The figures of a category. Nothing where it has no objects.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CategoryFigures {
    /// Its id.
    pub category: i64,
    /// Average precision.
    pub ap: Option<f64>,
    /// The same where an overlap of .5 is enough.
    pub ap50: Option<f64>,
    /// The same where it must be .75.
    pub ap75: Option<f64>,
    /// Average recall with all detections.
    pub ar: Option<f64>,
}

impl CocoEvaluation {
    /// How many of the best detections of an image and a category are looked at, by default.
    pub const LIMITS: [usize; 3] = [1, 10, 100];

    /// Judges detections. `limits` says how many of the best ones of an image and a category are looked at: the smallest and the
    /// middle one for recall, the largest for all other figures. So is `ap`, for which pycocotools wants a limit of 100
    /// and says -1 without one.
    ///
    /// # Errors
    /// A limit of 0.
    pub fn new(sets: &BoxSets, mut limits: [usize; 3]) -> Result<Self, DetectionError> {
        limits.sort_unstable();
        if limits[0] == 0 {
            return Err(DetectionError::NoDetections);
        }
        let mut judged = judge(sets, limits[2]);
        // Stable: of equal scores that of the first image goes first.
        judged.par_iter_mut().for_each(|category| {
            let by_score = &mut category.detections;
            by_score.sort_by(|left, right| by_falling_scores(left.score, right.score));
        });
        let of = |category: &JudgedCategory| {
            let curves: Vec<Option<RangeCurves>> = AreaRange::ALL
                .into_par_iter()
                .map(|range| RangeCurves::new(category, range, limits))
                .collect();
            let mut curves = curves.into_iter();
            std::array::from_fn(|_| curves.next().flatten())
        };
        Ok(Self {
            categories: sets.categories.clone(),
            curves: judged.par_iter().map(of).collect(),
        })
    }

    /// The figures over all categories.
    pub fn figures(&self) -> CocoFigures {
        use AreaRange::{All, Large, Medium, Small};
        let all: Vec<usize> = (0..self.categories.len()).collect();
        let ap = |range, thresholds| self.precision_mean(&all, range, thresholds);
        let ar = |range, limit| self.recall_mean(&all, range, limit);
        const EACH: std::ops::Range<usize> = 0..THRESHOLDS;
        CocoFigures {
            ap: ap(All, EACH),
            ap50: ap(All, HALF..HALF + 1),
            ap75: ap(All, THREE_QUARTERS..THREE_QUARTERS + 1),
            ap_small: ap(Small, EACH),
            ap_medium: ap(Medium, EACH),
            ap_large: ap(Large, EACH),
            ar1: ar(All, 0),
            ar10: ar(All, 1),
            ar100: ar(All, 2),
            ar_small: ar(Small, 2),
            ar_medium: ar(Medium, 2),
            ar_large: ar(Large, 2),
        }
    }

    /// The figures of each category, by ascending ids.
    pub fn by_category(&self) -> Vec<CategoryFigures> {
        let of = |(place, &category): (usize, &i64)| {
            let ap = |thresholds| self.precision_mean(&[place], AreaRange::All, thresholds);
            CategoryFigures {
                category,
                ap: ap(0..THRESHOLDS),
                ap50: ap(HALF..HALF + 1),
                ap75: ap(THREE_QUARTERS..THREE_QUARTERS + 1),
                ar: self.recall_mean(&[place], AreaRange::All, 2),
            }
        };
        self.categories.iter().enumerate().map(of).collect()
    }

    /// Precision over recall of the category with an id, at the overlap with this place in [`iou_thresholds`]; nothing where it
    /// has no objects.
    pub fn curve(&self, category: i64, threshold: usize, range: AreaRange) -> Option<&PrecisionCurve> {
        let place = self.categories.binary_search(&category).ok()?;
        let curves = self.curves[place][range as usize].as_ref()?;
        curves.precisions.get(threshold)
    }

    fn ranges(&self, categories: &[usize], range: AreaRange) -> Vec<&RangeCurves> {
        let of = |&category: &usize| self.curves[category][range as usize].as_ref();
        categories.iter().filter_map(of).collect()
    }

    /// Added up in the order of pycocotools' array: by overlaps, recalls and categories.
    fn precision_mean(
        &self,
        categories: &[usize],
        range: AreaRange,
        thresholds: std::ops::Range<usize>,
    ) -> Option<f64> {
        let ranges = self.ranges(categories, range);
        let mut values = Vec::with_capacity(thresholds.len() * RECALLS * ranges.len());
        for threshold in thresholds {
            for recall in 0..RECALLS {
                values.extend(ranges.iter().map(|curves| curves.precisions[threshold][recall]));
            }
        }
        mean(&values)
    }

    fn recall_mean(&self, categories: &[usize], range: AreaRange, limit: usize) -> Option<f64> {
        let ranges = self.ranges(categories, range);
        let of = |threshold: usize| ranges.iter().map(move |curves| curves.recalls[limit][threshold]);
        let values: Vec<f64> = (0..THRESHOLDS).flat_map(of).collect();
        mean(&values)
    }
}
