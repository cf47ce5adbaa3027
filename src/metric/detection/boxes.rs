//! Boxes, and those of an image and a category together.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::ops::Range;

use rayon::prelude::*;

use super::DetectionError;

/// A box of the truth.
#[derive(Clone, Debug, PartialEq)]
pub struct GroundTruth {
    /// The id of its image.
    pub image: i64,
    /// The id of its category.
    pub category: i64,
    /// Left, top, width and height, in pixels.
    pub bbox: [f64; 4],
    /// Pixels of the object, which may be fewer than those of its box.
    pub area: f64,
    /// Whether the box is around many objects, any number of which may be found; and in Pascal VOC, whether the object
    /// is difficult. Whoever does not find it has lost nothing.
    pub crowd: bool,
}

/// A box that was found.
#[derive(Clone, Debug, PartialEq)]
pub struct Detection {
    /// The id of its image.
    pub image: i64,
    /// The id of its category.
    pub category: i64,
    /// Left, top, width and height, in pixels.
    pub bbox: [f64; 4],
    /// How sure it is: the larger, the surer.
    pub score: f64,
}

impl Detection {
    /// Pixels of its box.
    pub(super) fn area(&self) -> f64 {
        self.bbox[2] * self.bbox[3]
    }
}

/// The intersection of two boxes `[left, top, width, height]` over their union, or where the truth is a crowd, over the
/// box that was found. The arithmetic is that of pycocotools (`bbIou` of its `maskApi.c`).
pub fn bbox_overlap(found: &[f64; 4], truth: &[f64; 4], crowd: bool) -> f64 {
    let side = |axis: usize| {
        let end = (found[axis + 2] + found[axis]).min(truth[axis + 2] + truth[axis]);
        end - found[axis].max(truth[axis])
    };
    let (width, height) = (side(0), side(1));
    if width <= 0.0 || height <= 0.0 {
        return 0.0;
    }
    let found_area = found[2] * found[3];
    let intersection = width * height;
    let union = match crowd {
        true => found_area,
        false => found_area + truth[2] * truth[3] - intersection,
    };
    intersection / union
}

/// The larger one first. Numbers that are none have been refused, and -0 is 0.
pub(super) fn by_falling_scores(left: f64, right: f64) -> Ordering {
    right.partial_cmp(&left).unwrap_or(Ordering::Equal)
}

/// All boxes of an evaluation, by category, and in it by image.
#[derive(Debug)]
pub struct BoxSets<'a> {
    /// In ascending order.
    pub(super) categories: Vec<i64>,
    pub(super) truths: &'a [GroundTruth],
    pub(super) detections: &'a [Detection],
    /// Places in `truths` and `detections`, by category, image and the order they were given in.
    truth_order: Vec<usize>,
    detection_order: Vec<usize>,
    /// By category, and in it by image; without those that have neither truths nor detections.
    pub(super) groups: Vec<BoxGroup>,
}

/// What an image has of a category.
#[derive(Debug)]
pub(super) struct BoxGroup {
    /// The place of the category among all.
    pub category: usize,
    truths: Range<usize>,
    detections: Range<usize>,
}

impl<'a> BoxSets<'a> {
    /// Sorts what the images with the ids `images` have of `categories`. Images without boxes belong to them: what is
    /// found there is wrong. The order of either does not matter, and that of boxes only between equal scores.
    ///
    /// # Errors
    /// A box of another image or category; numbers that are infinite or none.
    pub fn new(
        images: &[i64],
        categories: &[i64],
        truths: &'a [GroundTruth],
        detections: &'a [Detection],
    ) -> Result<Self, DetectionError> {
        let (images, categories) = (ascending(images), ascending(categories));
        let places = IdPlaces {
            images: numbered(&images),
            categories: numbered(&categories),
        };
        let truth_keys = truths.par_iter().enumerate().map(|(index, truth)| {
            let what = "object";
            check(what, index, "box", &truth.bbox)?;
            check(what, index, "area", &[truth.area])?;
            places.key(what, index, truth.image, truth.category)
        });
        let truth_keys = truth_keys.collect::<Vec<_>>();
        let detection_keys = detections.par_iter().enumerate().map(|(index, found)| {
            let what = "detection";
            check(what, index, "box", &found.bbox)?;
            check(what, index, "score", &[found.score])?;
            places.key(what, index, found.image, found.category)
        });
        let detection_keys = detection_keys.collect::<Vec<_>>();
        let truth_keys = sorted(truth_keys)?;
        let detection_keys = sorted(detection_keys)?;
        let order = |keys: &[BoxKey]| keys.iter().map(|key| key.index).collect();
        Ok(Self {
            groups: groups(&truth_keys, &detection_keys),
            truth_order: order(&truth_keys),
            detection_order: order(&detection_keys),
            categories,
            truths,
            detections,
        })
    }

    /// The truths of a group, in the order they were given in.
    pub(super) fn truths_of(&self, group: &BoxGroup) -> impl Iterator<Item = &'a GroundTruth> {
        let truths = self.truths;
        self.truth_order[group.truths.clone()]
            .iter()
            .map(move |&index| &truths[index])
    }

    /// The detections of a group, in the order they were given in.
    pub(super) fn detections_of(&self, group: &BoxGroup) -> impl Iterator<Item = &'a Detection> {
        let detections = self.detections;
        self.detection_order[group.detections.clone()]
            .iter()
            .map(move |&index| &detections[index])
    }

    /// The groups of each category.
    pub(super) fn groups_by_category(&self) -> Vec<Range<usize>> {
        let start = |category: usize| self.groups.partition_point(|group| group.category < category);
        let ranges = (0..self.categories.len()).map(|category| start(category)..start(category + 1));
        ranges.collect()
    }
}

/// What boxes are sorted by, from the first field on.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct BoxKey {
    category: usize,
    image: usize,
    index: usize,
}

/// Where ids stand in ascending order.
struct IdPlaces {
    images: HashMap<i64, usize>,
    categories: HashMap<i64, usize>,
}

impl IdPlaces {
    fn key(
        &self,
        what: &'static str,
        index: usize,
        image: i64,
        category: i64,
    ) -> Result<BoxKey, DetectionError> {
        let unknown_image = DetectionError::UnknownImage { what, index, image };
        let unknown_category = DetectionError::UnknownCategory {
            what,
            index,
            category,
        };
        Ok(BoxKey {
            image: *self.images.get(&image).ok_or(unknown_image)?,
            category: *self.categories.get(&category).ok_or(unknown_category)?,
            index,
        })
    }
}

fn check(
    what: &'static str,
    index: usize,
    field: &'static str,
    values: &[f64],
) -> Result<(), DetectionError> {
    match values.iter().find(|value| !value.is_finite()) {
        None => Ok(()),
        Some(value) => Err(DetectionError::NoNumber {
            what,
            index,
            field,
            value: value.to_string(),
        }),
    }
}

/// Each once.
fn ascending(ids: &[i64]) -> Vec<i64> {
    let mut ids = ids.to_vec();
    ids.sort_unstable();
    ids.dedup();
    ids
}

fn numbered(ids: &[i64]) -> HashMap<i64, usize> {
    ids.iter().zip(0..).map(|(&id, place)| (id, place)).collect()
}

/// The keys in order, or the error of the first box that has one.
fn sorted(keys: Vec<Result<BoxKey, DetectionError>>) -> Result<Vec<BoxKey>, DetectionError> {
    let mut keys = keys.into_iter().collect::<Result<Vec<_>, _>>()?;
    keys.par_sort_unstable();
    Ok(keys)
}

fn groups(truths: &[BoxKey], detections: &[BoxKey]) -> Vec<BoxGroup> {
    let mut groups = Vec::new();
    let (mut truth, mut detection) = (0, 0);
    let place = |key: &BoxKey| (key.category, key.image);
    while let Some(next) = [truths.get(truth), detections.get(detection)]
        .into_iter()
        .flatten()
        .map(place)
        .min()
    {
        let len = |keys: &[BoxKey]| keys.iter().take_while(|key| place(key) == next).count();
        let truth_end = truth + len(&truths[truth..]);
        let detection_end = detection + len(&detections[detection..]);
        groups.push(BoxGroup {
            category: next.0,
            truths: truth..truth_end,
            detections: detection..detection_end,
        });
        (truth, detection) = (truth_end, detection_end);
    }
    groups
}
