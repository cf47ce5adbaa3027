//! What a row or a record says of the split that its sample is in.

mod groups;
mod orders;
mod records;
mod splits;

use crate::data::error::DataError;
use crate::data::intake::Intake;
use groups::GroupSpellings;
use orders::OrderWatch;

pub(super) use groups::group_named;
pub(super) use orders::{OrderPlace, OrderReading, order_of};
pub(super) use records::{RecordPlaces, split_word};
pub(super) use splits::split_named;

/// Watches what all samples say of their groups and of their order: whether it is written alike.
#[derive(Default)]
pub(super) struct PlaceWatch {
    groups: GroupSpellings,
    order: OrderWatch,
}

/// What the cells of a sample say of its place, as they are written.
#[derive(Clone, Copy, Default)]
pub(super) struct PlaceTexts<'a> {
    pub group: Option<&'a str>,
    pub order: Option<&'a str>,
}

impl PlaceWatch {
    /// Takes the cells of a sample at `place`, and how the one of the order was read.
    ///
    /// # Errors
    /// A sentence: the order cannot be that of the samples before.
    pub fn watch(
        &mut self,
        texts: PlaceTexts<'_>,
        order: Option<OrderPlace>,
        place: impl FnOnce() -> String,
    ) -> Result<(), String> {
        if let Some(group) = texts.group {
            self.groups.watch(group);
        }
        match (texts.order, order) {
            (Some(text), Some(order)) => self.order.watch(order.form, text, place),
            _ => Ok(()),
        }
    }

    /// Tells of groups that are written in several ways, and how groups are called.
    pub fn tell(&self, intake: &mut Intake<'_>) {
        intake.name_groups(self.groups.names());
        if let Some(told) = self.groups.told() {
            intake.warn(told);
        }
    }
}

/// The error that the samples' order is written in several ways.
pub(super) fn mixed_order(problem: String) -> DataError {
    DataError::Options(format!("`split.order`: {problem}"))
}
