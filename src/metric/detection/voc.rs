//! The average precision of Pascal VOC, as its development kit computes it (`VOCevaldet.m`).

use rayon::prelude::*;

use super::boxes::{BoxSets, Detection, GroundTruth, by_falling_scores};

/// What precision is the mean of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VocInterpolation {
    /// The largest precision at each of the recalls 0, .1, up to 1, or a higher one: VOC of 2007.
    ElevenPoint,
    /// The area under that curve: VOC from 2010 on.
    AllPoints,
}

/// Where a box ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BoxEdges {
    /// With the pixel of its last coordinate, as in the development kit: from 10 to 17 are 8 pixels.
    Inclusive,
    /// At its last coordinate: from 10 to 17 are 7 pixels.
    Continuous,
}

/// Detections, judged category by category.
#[derive(Clone, Debug, PartialEq)]
pub struct VocEvaluation {
    /// By ascending ids.
    pub categories: Vec<VocCategory>,
}

/// The figures of a category.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct VocCategory {
    /// Its id.
    pub category: i64,
    /// Objects that should be found: those that are not difficult.
    pub truths: usize,
    /// Average precision; nothing where there are no such objects.
    pub ap: Option<f64>,
}

impl VocEvaluation {
    /// Judges detections by falling scores: a detection is right where the object of its image that it overlaps most is
    /// overlapped by `least` (in the kit .5) or more and was not found before. Where that object is difficult
    /// ([`GroundTruth::crowd`]), it is neither right nor wrong. Of equal scores that of the smaller image id goes first.
    pub fn new(sets: &BoxSets, least: f64, edges: BoxEdges, interpolation: VocInterpolation) -> Self {
        let groups = sets.groups_by_category();
        let of = |(place, groups): (usize, std::ops::Range<usize>)| {
            let mut truths = 0;
            let mut judged: Vec<(f64, Option<bool>)> = Vec::new();
            for group in &sets.groups[groups] {
                let objects: Vec<&GroundTruth> = sets.truths_of(group).collect();
                let mut found: Vec<&Detection> = sets.detections_of(group).collect();
                found.sort_by(|left, right| by_falling_scores(left.score, right.score));
                truths += objects.iter().filter(|object| !object.crowd).count();
                let verdicts = judge(&objects, &found, least, edges);
                judged.extend(found.iter().map(|found| found.score).zip(verdicts));
            }
            judged.sort_by(|left, right| by_falling_scores(left.0, right.0));
            let verdicts = judged.into_iter().filter_map(|(_, verdict)| verdict);
            VocCategory {
                category: sets.categories[place],
                truths,
                ap: (truths > 0).then(|| average_precision(verdicts, truths, interpolation)),
            }
        };
        Self {
            categories: groups.into_par_iter().enumerate().map(of).collect(),
        }
    }

    /// The mean over those categories that have objects to be found; nothing where none has.
    pub fn mean(&self) -> Option<f64> {
        let values: Vec<f64> = self
            .categories
            .iter()
            .filter_map(|category| category.ap)
            .collect();
        (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
    }
}

/// Whether each of an image's detections is right; nothing for those that are neither.
fn judge(objects: &[&GroundTruth], found: &[&Detection], least: f64, edges: BoxEdges) -> Vec<Option<bool>> {
    let mut taken = vec![false; objects.len()];
    let verdict = |found: &&Detection| {
        let overlaps = objects.iter().map(|object| overlap(found, object, edges));
        let mut best: Option<(usize, f64)> = None;
        for (index, overlap) in overlaps.enumerate() {
            if best.is_none_or(|(_, best)| overlap > best) {
                best = Some((index, overlap));
            }
        }
        match best.filter(|&(_, overlap)| overlap >= least) {
            None => Some(false),
            Some((index, _)) if objects[index].crowd => None,
            Some((index, _)) => Some(!std::mem::replace(&mut taken[index], true)),
        }
    };
    found.iter().map(verdict).collect()
}

/// The intersection over the union.
fn overlap(found: &Detection, object: &GroundTruth, edges: BoxEdges) -> f64 {
    let edge = match edges {
        BoxEdges::Inclusive => 1.0,
        BoxEdges::Continuous => 0.0,
    };
    let (left, right) = (&found.bbox, &object.bbox);
    let side = |axis: usize| {
        let end = (left[axis] + left[axis + 2]).min(right[axis] + right[axis + 2]);
        end - left[axis].max(right[axis]) + edge
    };
    let (width, height) = (side(0), side(1));
    if width <= 0.0 || height <= 0.0 {
        return 0.0;
    }
    let area = |bbox: &[f64; 4]| (bbox[2] + edge) * (bbox[3] + edge);
    let intersection = width * height;
    intersection / (area(left) + area(right) - intersection)
}

/// That of verdicts by falling scores.
fn average_precision(
    verdicts: impl Iterator<Item = bool>,
    truths: usize,
    interpolation: VocInterpolation,
) -> f64 {
    // Where each object is found, the precision that is reached with it, or with a later one.
    let mut reached: Vec<f64> = Vec::new();
    let mut wrong = 0usize;
    for is_right in verdicts {
        if is_right {
            let right = reached.len() + 1;
            reached.push(right as f64 / (right + wrong) as f64);
        } else {
            wrong += 1;
        }
    }
    for index in (1..reached.len()).rev() {
        reached[index - 1] = reached[index - 1].max(reached[index]);
    }
    match interpolation {
        VocInterpolation::AllPoints => reached.iter().map(|precision| precision / truths as f64).sum(),
        VocInterpolation::ElevenPoint => {
            // Compared as whole numbers: no recall of .3 falls short of .1 + .1 + .1.
            let at = |tenths: usize| {
                let needed = (tenths * truths).div_ceil(10).max(1);
                reached.get(needed - 1).copied().unwrap_or(0.0)
            };
            (0..=10).map(at).sum::<f64>() / 11.0
        }
    }
}
