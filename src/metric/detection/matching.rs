//! Which detections are right, at each threshold and for each range of areas: `COCOeval.evaluateImg` of pycocotools.

use rayon::prelude::*;

use super::boxes::{BoxGroup, BoxSets, Detection, GroundTruth, bbox_overlap, by_falling_scores};
use super::coco::{THRESHOLDS, iou_thresholds};
use super::curves::AreaRange;

/// A detection, judged.
pub(super) struct JudgedDetection {
    pub score: f64,
    /// Its place among those of its image and category, the best first.
    pub rank: usize,
    /// Whether it was matched to an object: a bit for each threshold of each range of areas.
    matched: u64,
    /// Whether it counts as neither right nor wrong.
    ignored: u64,
}

impl JudgedDetection {
    /// Whether it is right; nothing where it counts as neither right nor wrong.
    pub fn is_right(&self, range: AreaRange, threshold: usize) -> Option<bool> {
        let bit = bit(range, threshold);
        (self.ignored & bit == 0).then_some(self.matched & bit != 0)
    }
}

fn bit(range: AreaRange, threshold: usize) -> u64 {
    1 << (range as usize * THRESHOLDS + threshold)
}

/// What the images have of a category, judged.
#[derive(Default)]
pub(super) struct JudgedCategory {
    /// Image by image, those of one by falling scores.
    pub detections: Vec<JudgedDetection>,
    /// Objects that should be found, in each range of areas.
    pub truths: [usize; AreaRange::ALL.len()],
}

/// Images that a task judges.
const TASK_GROUPS: usize = 64;

/// Each category's detections, at most `limit` of an image.
pub(super) fn judge(sets: &BoxSets, limit: usize) -> Vec<JudgedCategory> {
    let judged: Vec<Vec<JudgedCategory>> = sets
        .groups
        .par_chunks(TASK_GROUPS)
        .map(|groups| {
            // A category each, from that of the first group on.
            let first = groups[0].category;
            let mut judged: Vec<JudgedCategory> = Vec::new();
            for group in groups {
                judged.resize_with(group.category - first + 1, JudgedCategory::default);
                if let Some(category) = judged.last_mut() {
                    judge_group(sets, group, limit, category);
                }
            }
            judged
        })
        .collect();
    let mut categories: Vec<JudgedCategory> = Vec::new();
    categories.resize_with(sets.categories.len(), JudgedCategory::default);
    for (groups, judged) in sets.groups.chunks(TASK_GROUPS).zip(judged) {
        for (category, judged) in categories[groups[0].category..].iter_mut().zip(judged) {
            category.detections.extend(judged.detections);
            for (sum, truths) in category.truths.iter_mut().zip(judged.truths) {
                *sum += truths;
            }
        }
    }
    categories
}

fn judge_group(sets: &BoxSets, group: &BoxGroup, limit: usize, category: &mut JudgedCategory) {
    let truths: Vec<&GroundTruth> = sets.truths_of(group).collect();
    let mut found: Vec<&Detection> = sets.detections_of(group).collect();
    // Stable: of equal scores the first goes first.
    found.sort_by(|left, right| by_falling_scores(left.score, right.score));
    found.truncate(limit);
    let first = category.detections.len();
    category
        .detections
        .extend(found.iter().zip(0..).map(|(found, rank)| JudgedDetection {
            score: found.score,
            rank,
            matched: 0,
            ignored: 0,
        }));
    let judged = &mut category.detections[first..];
    for range in AreaRange::ALL {
        let counted = |truth: &&GroundTruth| !truth.crowd && range.contains(truth.area);
        category.truths[range as usize] += truths.iter().filter(|&truth| counted(truth)).count();
    }
    if !truths.is_empty() && !found.is_empty() {
        match_to_truths(&truths, &found, judged);
    }
    for (found, judged) in found.iter().zip(judged) {
        for range in AreaRange::ALL {
            if !range.contains(found.area()) {
                let all = (0..THRESHOLDS).fold(0, |bits, threshold| bits | bit(range, threshold));
                judged.ignored |= all & !judged.matched;
            }
        }
    }
}

/// Gives each detection, by falling scores, the free object that it overlaps most.
fn match_to_truths(truths: &[&GroundTruth], found: &[&Detection], judged: &mut [JudgedDetection]) {
    let overlaps: Vec<f64> = found
        .iter()
        .flat_map(|found| {
            let overlap = |truth: &&GroundTruth| bbox_overlap(&found.bbox, &truth.bbox, truth.crowd);
            truths.iter().map(overlap)
        })
        .collect();
    let mut order: Vec<usize> = Vec::with_capacity(truths.len());
    let mut taken = vec![false; truths.len()];
    for range in AreaRange::ALL {
        // Those that need not be found come last.
        let is_counted = |&index: &usize| !truths[index].crowd && range.contains(truths[index].area);
        order.clear();
        order.extend((0..truths.len()).filter(is_counted));
        let counted = order.len();
        order.extend((0..truths.len()).filter(|index| !is_counted(index)));
        for (threshold, least) in iou_thresholds().into_iter().enumerate() {
            taken.fill(false);
            for (overlaps, judged) in overlaps.chunks_exact(truths.len()).zip(judged.iter_mut()) {
                let mut best = least.min(1.0 - 1e-10);
                let mut winner = None;
                for (place, &index) in order.iter().enumerate() {
                    if taken[index] && !truths[index].crowd {
                        continue;
                    }
                    if place >= counted && winner.is_some_and(|winner| winner < counted) {
                        break;
                    }
                    if overlaps[index] >= best {
                        best = overlaps[index];
                        winner = Some(place);
                    }
                }
                let Some(winner) = winner else {
                    continue;
                };
                taken[order[winner]] = true;
                judged.matched |= bit(range, threshold);
                if winner >= counted {
                    judged.ignored |= bit(range, threshold);
                }
            }
        }
    }
}
