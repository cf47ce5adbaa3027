//! Named tensors of requests and answers, as the KServe protocol has them.

use std::fmt::{self, Display, Formatter};

/// The type of a tensor's values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Datatype {
    /// True or false, a byte each.
    Bool,
    /// Whole numbers from 0.
    Uint8,
    /// The same in 16 bits.
    Uint16,
    /// The same in 32 bits.
    Uint32,
    /// The same in 64 bits, those that signed ones hold.
    Uint64,
    /// Whole numbers in 8 bits.
    Int8,
    /// The same in 16 bits.
    Int16,
    /// The same in 32 bits.
    Int32,
    /// The same in 64 bits.
    Int64,
    /// Numbers in 32 bits.
    Fp32,
    /// Numbers in 64 bits.
    Fp64,
    /// Texts, or whatever else is bytes; in binary form each behind its length in 4 bytes.
    Bytes,
}

impl Datatype {
    /// All that are known.
    pub const ALL: [Self; 12] = [
        Self::Bool,
        Self::Uint8,
        Self::Uint16,
        Self::Uint32,
        Self::Uint64,
        Self::Int8,
        Self::Int16,
        Self::Int32,
        Self::Int64,
        Self::Fp32,
        Self::Fp64,
        Self::Bytes,
    ];

    /// Its name in the protocol.
    pub fn name(self) -> &'static str {
        match self {
            Self::Bool => "BOOL",
            Self::Uint8 => "UINT8",
            Self::Uint16 => "UINT16",
            Self::Uint32 => "UINT32",
            Self::Uint64 => "UINT64",
            Self::Int8 => "INT8",
            Self::Int16 => "INT16",
            Self::Int32 => "INT32",
            Self::Int64 => "INT64",
            Self::Fp32 => "FP32",
            Self::Fp64 => "FP64",
            Self::Bytes => "BYTES",
        }
    }

    /// The one of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|datatype| datatype.name() == name)
    }

    /// Bytes of a value in binary form; nothing where they differ.
    pub fn size(self) -> Option<usize> {
        match self {
            Self::Bool | Self::Uint8 | Self::Int8 => Some(1),
            Self::Uint16 | Self::Int16 => Some(2),
            Self::Uint32 | Self::Int32 | Self::Fp32 => Some(4),
            Self::Uint64 | Self::Int64 | Self::Fp64 => Some(8),
            Self::Bytes => None,
        }
    }

    /// The whole numbers that it holds, where it holds these.
    pub fn whole_numbers(self) -> Option<(i64, i64)> {
        Some(match self {
            Self::Uint8 => (0, u8::MAX.into()),
            Self::Uint16 => (0, u16::MAX.into()),
            Self::Uint32 => (0, u32::MAX.into()),
            Self::Uint64 => (0, i64::MAX),
            Self::Int8 => (i8::MIN.into(), i8::MAX.into()),
            Self::Int16 => (i16::MIN.into(), i16::MAX.into()),
            Self::Int32 => (i32::MIN.into(), i32::MAX.into()),
            Self::Int64 => (i64::MIN, i64::MAX),
            Self::Bool | Self::Fp32 | Self::Fp64 | Self::Bytes => return None,
        })
    }
}

impl Display for Datatype {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The values of a tensor, row by row.
#[derive(Clone, Debug, PartialEq)]
pub enum TensorValues {
    /// Of [`Datatype::Bool`].
    Flags(Vec<bool>),
    /// Of [`Datatype::Uint8`].
    Octets(Vec<u8>),
    /// Of the other types of whole numbers.
    Integers(Vec<i64>),
    /// Of [`Datatype::Fp32`].
    Floats(Vec<f32>),
    /// Of [`Datatype::Fp64`].
    Doubles(Vec<f64>),
    /// Of [`Datatype::Bytes`].
    Strings(Vec<Vec<u8>>),
}

impl TensorValues {
    /// How many values there are.
    pub fn len(&self) -> usize {
        match self {
            Self::Flags(values) => values.len(),
            Self::Octets(values) => values.len(),
            Self::Integers(values) => values.len(),
            Self::Floats(values) => values.len(),
            Self::Doubles(values) => values.len(),
            Self::Strings(values) => values.len(),
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// What a model takes or gives under a name.
#[derive(Clone, Debug, PartialEq)]
pub struct TensorInfo {
    /// Its name.
    pub name: String,
    /// The type of its values.
    pub datatype: Datatype,
    /// Other types that are taken too.
    pub also: Vec<Datatype>,
    /// The sides of a row: all but the first, which is free. Without any, a row is one value.
    pub row: Vec<usize>,
    /// What stands at each place of a row, such as classes.
    pub labels: Vec<String>,
    /// A sentence.
    pub description: String,
}

impl TensorInfo {
    /// Without labels.
    pub fn new(name: &str, datatype: Datatype, row: Vec<usize>, description: &str) -> Self {
        Self {
            name: name.to_owned(),
            datatype,
            also: Vec::new(),
            row,
            labels: Vec::new(),
            description: description.to_owned(),
        }
    }

    /// Whether values of this type are taken.
    pub fn takes(&self, datatype: Datatype) -> bool {
        self.datatype == datatype || self.also.contains(&datatype)
    }

    /// How many values a row has.
    pub fn row_values(&self) -> usize {
        self.row.iter().product()
    }

    /// The shape with the free side as -1.
    pub fn shape(&self) -> Vec<i64> {
        // Sides of tensors that are in memory.
        let sides = self.row.iter().map(|side| *side as i64);
        std::iter::once(-1).chain(sides).collect()
    }
}

/// What a request gives under a name: as many values as the model's [`TensorInfo`] asks for.
#[derive(Clone, Debug, PartialEq)]
pub struct InputTensor {
    /// Its name.
    pub name: String,
    /// The values of all rows.
    pub values: TensorValues,
}
