//! The texts of a split as one run of tokens.

use std::ops::Range;
use std::sync::Arc;

use crate::data::dataset::Split;
use crate::data::error::DataError;
use crate::schema::{ElementType, FieldKind};

/// All tokens of a split, one text behind the other in the split's order. Clones share the dataset's map.
#[derive(Clone, Debug)]
pub struct TokenRun {
    split: Split,
    /// The index of the field of tokens.
    tokens: usize,
    /// Where the tokens of each text end.
    ends: Arc<[u64]>,
}

impl TokenRun {
    /// The run of `split`.
    ///
    /// # Errors
    /// Its samples are no tokens.
    pub fn new(split: &Split) -> Result<Self, DataError> {
        let fields = split.schema().fields();
        let input = split.input();
        let tokens = fields
            .iter()
            .position(|field| field.name == input.name)
            .filter(|_| input.kind == FieldKind::Tokens)
            .ok_or_else(|| DataError::Options(format!("`{}` are no tokens", input.name)))?;
        let size = input.element.bytes();
        let mut end = 0;
        let ends = (0..split.len()).map(|index| {
            end += (split.value(tokens, index).bytes.len() / size) as u64;
            end
        });
        let ends = ends.collect();
        Ok(Self {
            split: split.clone(),
            tokens,
            ends,
        })
    }

    /// The split.
    pub fn split(&self) -> &Split {
        &self.split
    }

    /// How many tokens there are.
    pub fn len(&self) -> u64 {
        self.ends.last().copied().unwrap_or(0)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many texts there are.
    pub fn texts(&self) -> usize {
        self.ends.len()
    }

    /// The places of the text `index`. Panics unless there is one.
    pub fn text(&self, index: usize) -> Range<u64> {
        let start = index.checked_sub(1).map_or(0, |before| self.ends[before]);
        start..self.ends[index]
    }

    /// The index of the field of tokens.
    pub fn tokens(&self) -> usize {
        self.tokens
    }

    /// Appends what the field `field`, of one whole number a token, holds for the tokens at `range`.
    ///
    /// # Panics
    /// The field has numbers of another type, or the range ends behind the run.
    pub fn append(&self, field: usize, range: Range<u64>, out: &mut Vec<u32>) {
        let size = self.split.schema().fields()[field].element.bytes();
        let mut at = range.start;
        let mut text = self.ends.partition_point(|end| *end <= at);
        while at < range.end {
            let own = self.text(text);
            let end = own.end.min(range.end);
            let place = |place: u64| (place - own.start) as usize * size;
            let bytes = &self.split.value(field, text).bytes[place(at)..place(end)];
            append_numbers(bytes, self.split.schema().fields()[field].element, out);
            (at, text) = (end, text + 1);
        }
    }
}

fn append_numbers(bytes: &[u8], element: ElementType, out: &mut Vec<u32>) {
    match element {
        ElementType::U8 => out.extend(bytes.iter().map(|number| u32::from(*number))),
        ElementType::U16 => {
            let (numbers, _) = bytes.as_chunks::<2>();
            out.extend(
                numbers
                    .iter()
                    .map(|number| u32::from(u16::from_le_bytes(*number))),
            );
        }
        ElementType::U32 | ElementType::I32 => {
            let (numbers, _) = bytes.as_chunks::<4>();
            out.extend(numbers.iter().map(|number| u32::from_le_bytes(*number)));
        }
        ElementType::I64 => {
            let (numbers, _) = bytes.as_chunks::<8>();
            out.extend(numbers.iter().map(|number| i64::from_le_bytes(*number) as u32));
        }
        ElementType::F32 | ElementType::F64 => {
            panic!("a field of fractions has no whole number for each token")
        }
    }
}
