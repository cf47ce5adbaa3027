//! What `predict` tells of samples, as tensors.

use std::ops::Range;

use super::tensor::{Datatype, TensorInfo, TensorValues};
use crate::train::{PredictedColumn, PredictedKind, PredictedValue};

/// Values that `predict` tells of a sample and that stand together in one output.
pub(super) struct ToldGroup {
    kind: PredictedKind,
    /// Where they stand among all.
    places: Range<usize>,
}

/// The outputs for what is told under `columns`, each group as one; a vector has `width` numbers.
pub(super) fn told_outputs(columns: &[PredictedColumn], width: usize) -> Vec<(TensorInfo, ToldGroup)> {
    let same_group = |one: &PredictedColumn, other: &PredictedColumn| one.group == other.group;
    let mut place = 0;
    let groups = columns.chunk_by(same_group).map(|group| {
        let first = &group[0];
        let labels: Vec<String> = group.iter().filter_map(|column| column.of.clone()).collect();
        let row = match (first.kind, &first.of) {
            (PredictedKind::Vector, _) => vec![width],
            (_, None) => Vec::new(),
            (_, Some(_)) => vec![group.len()],
        };
        let (datatype, description) = match first.kind {
            PredictedKind::Name => (Datatype::Bytes, "as `erlen predict` tells it"),
            PredictedKind::Number => (Datatype::Fp64, "as `erlen predict` tells it"),
            PredictedKind::Applies => (Datatype::Bool, "as `erlen predict` tells it"),
            PredictedKind::Vector => (Datatype::Fp32, "numbers of length 1, as `erlen predict` tells them"),
            PredictedKind::Entities => (
                Datatype::Bytes,
                "a list in JSON, as `erlen predict` tells it: of each entity `start`, `end`, `label`, `text` and `probability`",
            ),
        };
        let told = ToldGroup {
            kind: first.kind,
            places: place..place + group.len(),
        };
        place += group.len();
        let info = TensorInfo {
            labels,
            ..TensorInfo::new(first.group, datatype, row, description)
        };
        (info, told)
    });
    groups.collect()
}

impl ToldGroup {
    /// The values of the group, where `rows` are all that is told of each sample.
    pub fn tensor<'a>(&self, rows: impl Iterator<Item = Vec<PredictedValue<'a>>>) -> TensorValues {
        let values = rows.flat_map(|mut row| row.drain(self.places.clone()).collect::<Vec<_>>());
        match self.kind {
            PredictedKind::Number => {
                let number = |value| match value {
                    PredictedValue::Number(number) => number,
                    _ => f64::NAN,
                };
                TensorValues::Doubles(values.map(number).collect())
            }
            PredictedKind::Applies => TensorValues::Flags(
                values
                    .map(|value| value == PredictedValue::Applies(true))
                    .collect(),
            ),
            PredictedKind::Vector => {
                let numbers = |value| match value {
                    PredictedValue::Vector(numbers) => numbers,
                    _ => Vec::new(),
                };
                TensorValues::Floats(values.flat_map(numbers).collect())
            }
            PredictedKind::Name => {
                let name = |value| match value {
                    PredictedValue::Name(name) => name.as_bytes().to_vec(),
                    _ => Vec::new(),
                };
                TensorValues::Strings(values.map(name).collect())
            }
            PredictedKind::Entities => {
                let list = |value: PredictedValue<'_>| value.json().unwrap_or_default().into_bytes();
                TensorValues::Strings(values.map(list).collect())
            }
        }
    }
}
