//! Which rule divides the samples.

use super::every::carve_every;
use super::folds::carve_fold;
use super::groups::carve_groups;
use super::order::carve_order;
use super::{Shares, carve_all, carve_classes};
use crate::data::digest::ContentDigest;
use crate::data::error::DataError;
use crate::spec::{SplitName, SplitOptions};

/// What is known of each sample when the splits are decided.
#[derive(Clone, Copy)]
pub(in crate::data) struct SplitSamples<'a> {
    /// The classes' names and each sample's class; nothing where something else is to be predicted.
    pub classes: Option<(&'a [String], &'a [u32])>,
    /// Of each sample's content.
    pub digests: &'a [ContentDigest],
    /// What each sample belongs to, where that is asked for.
    pub groups: Option<&'a [ContentDigest]>,
    /// Where in an order each sample stands, where that is asked for.
    pub orders: Option<&'a [f64]>,
    /// The number of what each sample is a part of, where that decides.
    pub units: Option<&'a [u32]>,
}

impl<'a> SplitSamples<'a> {
    /// The same without classes where `options` do not stratify.
    fn stratified(self, options: &SplitOptions) -> Self {
        Self {
            classes: self.classes.filter(|_| options.stratify),
            ..self
        }
    }

    /// How many strata there are, and which one each sample is in.
    pub fn strata(&self) -> (usize, impl Fn(u32) -> usize + 'a) {
        let labels = self.classes.map(|(_, labels)| labels);
        let count = self.classes.map_or(1, |(names, _)| names.len());
        (count, move |index| {
            labels.map_or(0, |labels| labels[index as usize] as usize)
        })
    }
}

/// Moves samples of the train split to others, as `options` say; `shares` are those of splits that the
/// files do not have.
pub(in crate::data) fn decide_splits(
    options: &SplitOptions,
    shares: Shares,
    samples: &SplitSamples<'_>,
    splits: &mut [SplitName],
) -> Result<(), DataError> {
    let samples = samples.stratified(options);
    if let (Some(every), Some(units)) = (options.every, samples.units) {
        carve_every(every, units, splits)?;
    }
    if let (Some(folds), Some(fold)) = (options.folds, options.fold) {
        carve_fold(folds.get() as usize, fold.get() as usize - 1, &samples, splits)?;
    }
    match (&samples.orders, &samples.groups, samples.classes) {
        (Some(orders), _, _) => carve_order(shares, orders, samples.digests, splits),
        (_, Some(groups), _) => carve_groups(shares, groups, &samples, splits),
        (_, _, Some((classes, labels))) => carve_classes(shares, classes, labels, samples.digests, splits),
        _ => carve_all(shares, samples.digests, splits),
    }
}
