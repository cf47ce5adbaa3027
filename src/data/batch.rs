//! Samples that go through the model together, as named arrays.

use indexmap::IndexMap;

/// Samples that go through the model together.
#[derive(Clone, Debug, PartialEq)]
pub struct Batch {
    /// The batch's index within its epoch.
    pub index: usize,
    /// The samples' indices in the split.
    pub samples: Vec<u32>,
    /// What the samples hold, by the names of the schema's inputs, targets and weights.
    pub fields: IndexMap<String, Array>,
}

impl Batch {
    /// The array called `name`.
    pub fn field(&self, name: &str) -> Option<&Array> {
        self.fields.get(name)
    }

    /// Takes the array called `name` out, so that it need not be copied.
    pub fn take(&mut self, name: &str) -> Option<Array> {
        self.fields.shift_remove(name)
    }
}

/// One field of all samples of a batch.
#[derive(Clone, Debug, PartialEq)]
pub struct Array {
    /// The numbers, row by row.
    pub values: ArrayValues,
    /// The sides: `[N, ...]`; of packed samples `[rows of all samples, ...]`.
    pub dimensions: Vec<usize>,
    /// Where samples have rows of their own number: sample `i` has the rows
    /// `offsets[i]..offsets[i + 1]`. Of padded samples the offsets that they would have without what
    /// was added, so that their differences are the samples' own numbers of rows.
    pub offsets: Option<Vec<u64>>,
}

/// The numbers of an [`Array`].
#[derive(Clone, Debug, PartialEq)]
pub enum ArrayValues {
    /// Single precision: images, features, labels, numbers, boxes, probabilities, weights.
    F32(Vec<f32>),
    /// Double precision: objects.
    F64(Vec<f64>),
    /// Classes, and tokens without a sign.
    U32(Vec<u32>),
    /// Masks, and the bytes of texts.
    U8(Vec<u8>),
    /// Tokens with a sign.
    I64(Vec<i64>),
}

impl Array {
    /// An array in which every sample has the same sides.
    pub fn stacked(values: ArrayValues, dimensions: Vec<usize>) -> Self {
        Self {
            values,
            dimensions,
            offsets: None,
        }
    }

    /// Keeps the first `samples` samples, of those that all have the same sides.
    pub(super) fn truncate(&mut self, samples: usize) {
        let Some(count) = self.dimensions.first_mut() else {
            return;
        };
        let len = samples * (self.values.len() / (*count).max(1));
        *count = samples;
        match &mut self.values {
            ArrayValues::F32(values) => values.truncate(len),
            ArrayValues::F64(values) => values.truncate(len),
            ArrayValues::U32(values) => values.truncate(len),
            ArrayValues::U8(values) => values.truncate(len),
            ArrayValues::I64(values) => values.truncate(len),
        }
    }

    /// The values, where they are in single precision.
    pub fn f32(&self) -> Option<&[f32]> {
        match &self.values {
            ArrayValues::F32(values) => Some(values),
            _ => None,
        }
    }

    /// The values, where they are in double precision.
    pub fn f64(&self) -> Option<&[f64]> {
        match &self.values {
            ArrayValues::F64(values) => Some(values),
            _ => None,
        }
    }

    /// The values, where they are masks or the bytes of texts.
    pub fn u8(&self) -> Option<&[u8]> {
        match &self.values {
            ArrayValues::U8(values) => Some(values),
            _ => None,
        }
    }

    /// The values, where they are classes or tokens without a sign.
    pub fn u32(&self) -> Option<&[u32]> {
        match &self.values {
            ArrayValues::U32(values) => Some(values),
            _ => None,
        }
    }
}

impl ArrayValues {
    /// How many there are.
    pub fn len(&self) -> usize {
        match self {
            Self::F32(values) => values.len(),
            Self::F64(values) => values.len(),
            Self::U32(values) => values.len(),
            Self::U8(values) => values.len(),
            Self::I64(values) => values.len(),
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
