//! What an operation depends on besides its operands, for those who write it down.

use crate::spec::Precision;

/// Attributes by name, in the order in which the operation lists them. Where ONNX has an attribute of
/// the same meaning, name and form are ONNX's: `strides`, `pads` (top, left, bottom, right),
/// `dilations`, `group`, `kernel_shape`, `epsilon`, `axis`, `perm`.
///
/// An operation that rounds to a format narrower than f32 has its name under `precision`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Attributes(Vec<(&'static str, Attribute)>);

/// The value of an attribute.
#[derive(Clone, Debug, PartialEq)]
pub enum Attribute {
    /// A whole number; negative axes count from the last.
    Integer(i64),
    /// Whole numbers.
    Integers(Vec<i64>),
    /// A number.
    Float(f64),
    /// Yes or no.
    Flag(bool),
    /// One of a few words.
    Text(&'static str),
}

impl Attributes {
    /// The value of the attribute `name`, where the operation has it.
    pub fn get(&self, name: &str) -> Option<&Attribute> {
        self.iter()
            .find(|(other, _)| *other == name)
            .map(|(_, value)| value)
    }

    /// Names and values in order.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, &Attribute)> {
        self.0.iter().map(|(name, value)| (*name, value))
    }

    /// These and one more.
    pub(super) fn with(mut self, name: &'static str, value: impl Into<Attribute>) -> Self {
        self.0.push((name, value.into()));
        self
    }

    /// These and the format that is rounded to, if any is.
    pub(super) fn with_precision(self, precision: Precision) -> Self {
        match precision {
            Precision::F32 => self,
            Precision::Bf16 => self.with("precision", "bf16"),
            Precision::F16 => self.with("precision", "f16"),
        }
    }
}

impl From<usize> for Attribute {
    fn from(value: usize) -> Self {
        Self::Integer(value as i64)
    }
}

impl From<i64> for Attribute {
    fn from(value: i64) -> Self {
        Self::Integer(value)
    }
}

impl From<&[usize]> for Attribute {
    fn from(values: &[usize]) -> Self {
        Self::Integers(values.iter().map(|&value| value as i64).collect())
    }
}

impl<const COUNT: usize> From<[usize; COUNT]> for Attribute {
    fn from(values: [usize; COUNT]) -> Self {
        values.as_slice().into()
    }
}

impl From<f64> for Attribute {
    fn from(value: f64) -> Self {
        Self::Float(value)
    }
}

impl From<bool> for Attribute {
    fn from(value: bool) -> Self {
        Self::Flag(value)
    }
}

impl From<&'static str> for Attribute {
    fn from(value: &'static str) -> Self {
        Self::Text(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_found_by_name() {
        let attributes = Attributes::default()
            .with("strides", [2usize, 1])
            .with("axis", -1i64)
            .with_precision(Precision::F32)
            .with_precision(Precision::Bf16);
        assert_eq!(attributes.get("strides"), Some(&Attribute::Integers(vec![2, 1])));
        assert_eq!(attributes.get("pads"), None);
        let names: Vec<&str> = attributes.iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["strides", "axis", "precision"]);
        assert_eq!(attributes.get("precision"), Some(&Attribute::Text("bf16")));
    }
}
