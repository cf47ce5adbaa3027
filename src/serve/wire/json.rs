//! Tensors in JSON: one list of all values, or lists within lists as the shape says.

use std::borrow::Cow;
use std::fmt::{self, Formatter};

use serde::de::{DeserializeSeed, Deserializer, Error, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::serve::tensor::{Datatype, TensorValues};

/// The values of `datatype` that `data` lists, in the order of a tensor of `shape`, whose product is `count`. What is
/// taken up is bounded by `data` and by `count`.
///
/// # Errors
/// A sentence: there are more or fewer values, they are nested in another way, or one is of another type.
pub fn from_json(
    datatype: Datatype,
    data: &RawValue,
    shape: &[usize],
    count: usize,
) -> Result<TensorValues, String> {
    let text = data.get().trim_start();
    let inside = text.strip_prefix('[').map(str::trim_start);
    let Some(inside) = inside else {
        return Err("its `data` is no list".to_owned());
    };
    let flat = [count];
    let sides = if inside.starts_with('[') { shape } else { &flat };
    let mut values = GatheredValues::new(datatype, count.min(inside.len() / 2 + 1));
    let mut reader = serde_json::Deserializer::from_str(text);
    let list = ListOfValues {
        sides,
        values: &mut values,
    };
    list.deserialize(&mut reader).map_err(|error| sentence(&error))?;
    Ok(values.values)
}

/// What serde says, without the place within the tensor.
fn sentence(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let end = text.rfind(" at line ").unwrap_or(text.len());
    text[..end].to_owned()
}

/// Values as they are found.
struct GatheredValues {
    datatype: Datatype,
    values: TensorValues,
}

impl GatheredValues {
    fn new(datatype: Datatype, room: usize) -> Self {
        let values = match datatype {
            Datatype::Bool => TensorValues::Flags(Vec::with_capacity(room)),
            Datatype::Uint8 => TensorValues::Octets(Vec::with_capacity(room)),
            Datatype::Fp32 => TensorValues::Floats(Vec::with_capacity(room)),
            Datatype::Fp64 => TensorValues::Doubles(Vec::with_capacity(room)),
            Datatype::Bytes => TensorValues::Strings(Vec::new()),
            _ => TensorValues::Integers(Vec::with_capacity(room)),
        };
        Self { datatype, values }
    }

    fn whole(&mut self, number: i64) -> Result<(), String> {
        if let TensorValues::Floats(_) | TensorValues::Doubles(_) = self.values {
            return self.number(number as f64);
        }
        let fits = match self.datatype.whole_numbers() {
            Some((least, most)) => (least..=most).contains(&number),
            None => self.datatype == Datatype::Bool && matches!(number, 0 | 1),
        };
        match &mut self.values {
            TensorValues::Octets(octets) if fits => octets.push(number as u8),
            TensorValues::Integers(integers) if fits => integers.push(number),
            TensorValues::Flags(flags) if fits => flags.push(number == 1),
            _ => return Err(format!("{number} is no {}", self.datatype)),
        }
        Ok(())
    }

    fn number(&mut self, number: f64) -> Result<(), String> {
        match &mut self.values {
            TensorValues::Floats(floats) if (number as f32).is_finite() => floats.push(number as f32),
            TensorValues::Doubles(doubles) => doubles.push(number),
            _ => return Err(format!("{number} is no {}", self.datatype)),
        }
        Ok(())
    }

    fn flag(&mut self, flag: bool) -> Result<(), String> {
        match &mut self.values {
            TensorValues::Flags(flags) => {
                flags.push(flag);
                Ok(())
            }
            _ => Err(format!("{flag} is no {}", self.datatype)),
        }
    }

    fn text(&mut self, text: &str) -> Result<(), String> {
        match &mut self.values {
            TensorValues::Strings(strings) => {
                strings.push(text.as_bytes().to_vec());
                Ok(())
            }
            _ => {
                let shown: String = text.chars().take(40).collect();
                Err(format!("the text `{shown}` is no {}", self.datatype))
            }
        }
    }

    /// What holds nothing.
    fn null(&mut self) -> Result<(), String> {
        match &mut self.values {
            TensorValues::Floats(floats) => floats.push(f32::NAN),
            TensorValues::Doubles(doubles) => doubles.push(f64::NAN),
            TensorValues::Strings(strings) => strings.push(Vec::new()),
            _ => return Err(format!("null is no {}", self.datatype)),
        }
        Ok(())
    }
}

/// A list of as many items as the first of `sides` says: lists of the other sides, or values where there is no other.
struct ListOfValues<'a> {
    sides: &'a [usize],
    values: &'a mut GatheredValues,
}

impl<'de> DeserializeSeed<'de> for ListOfValues<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for ListOfValues<'_> {
    type Value = ();

    fn expecting(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "a list of {} items", self.sides[0])
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        let (side, inner) = (self.sides[0], &self.sides[1..]);
        let wrong = |found: String| {
            A::Error::custom(format!(
                "a list of `data` has {found} items, and the shape asks for {side}"
            ))
        };
        for found in 0..side {
            let item = match inner.is_empty() {
                true => list.next_element_seed(OneValue(&mut *self.values))?,
                false => list.next_element_seed(ListOfValues {
                    sides: inner,
                    values: &mut *self.values,
                })?,
            };
            if item.is_none() {
                return Err(wrong(found.to_string()));
            }
        }
        match list.next_element::<serde::de::IgnoredAny>()? {
            None => Ok(()),
            Some(_) => Err(wrong(format!("more than {side}"))),
        }
    }
}

/// A value of a tensor.
struct OneValue<'a>(&'a mut GatheredValues);

impl<'de> DeserializeSeed<'de> for OneValue<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for OneValue<'_> {
    type Value = ();

    fn expecting(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "a value of {}", self.0.datatype)
    }

    fn visit_bool<E: Error>(self, flag: bool) -> Result<(), E> {
        self.0.flag(flag).map_err(E::custom)
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<(), E> {
        self.0.whole(number).map_err(E::custom)
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<(), E> {
        match i64::try_from(number) {
            Ok(number) => self.0.whole(number),
            Err(_) => self.0.number(number as f64),
        }
        .map_err(E::custom)
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<(), E> {
        self.0.number(number).map_err(E::custom)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        self.0.text(text).map_err(E::custom)
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        self.0.null().map_err(E::custom)
    }
}

/// A value as JSON: numbers in their shortest form that reads back the same, bytes as text.
///
/// # Errors
/// Bytes that are no UTF-8.
pub fn value_text(values: &TensorValues, place: usize) -> Result<Cow<'static, str>, String> {
    let json = |value: serde_json::Result<String>| value.map(Cow::Owned).map_err(|error| error.to_string());
    match values {
        TensorValues::Flags(flags) => Ok(if flags[place] { "true" } else { "false" }.into()),
        TensorValues::Octets(octets) => Ok(octets[place].to_string().into()),
        TensorValues::Integers(integers) => Ok(integers[place].to_string().into()),
        TensorValues::Floats(floats) => json(serde_json::to_string(&floats[place])),
        TensorValues::Doubles(doubles) => json(serde_json::to_string(&doubles[place])),
        TensorValues::Strings(strings) => {
            let text = std::str::from_utf8(&strings[place]);
            let text = text.map_err(|_| "it is no UTF-8, so that only binary form holds it".to_owned())?;
            json(serde_json::to_string(text))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(datatype: Datatype, text: &str, shape: &[usize]) -> Result<TensorValues, String> {
        let raw = RawValue::from_string(text.to_owned()).unwrap();
        from_json(datatype, &raw, shape, shape.iter().product())
    }

    #[test]
    fn lists_are_flat_or_as_the_shape_says() {
        let floats = TensorValues::Floats(vec![1.0, 2.5, -3.0, 4.0]);
        for text in [
            "[1, 2.5, -3, 4]",
            " [[1,2.5],[-3.0,4e0]]",
            "[[ 1 , 2.5 ] ,[-3,4]]",
        ] {
            assert_eq!(
                read(Datatype::Fp32, text, &[2, 2]).as_ref(),
                Ok(&floats),
                "{text}"
            );
        }
        for text in [
            "[1,2.5,-3]",
            "[1,2.5,-3,4,5]",
            "[[1],[2.5,-3,4]]",
            "[[1,2.5,-3,4]]",
            "[[[1],[2.5]],[[-3],[4]]]",
            "[[1,2.5],-3,4]",
            "[1,[2.5],-3,4]",
            "{}",
            "1",
            "[]",
            "[1e39,1,1,1]",
            "[\"1\",1,1,1]",
            "[true,1,1,1]",
        ] {
            assert!(read(Datatype::Fp32, text, &[2, 2]).is_err(), "{text}");
        }
    }

    #[test]
    fn types_are_held_to() {
        assert_eq!(
            read(Datatype::Uint8, "[0,255]", &[2]),
            Ok(TensorValues::Octets(vec![0, 255]))
        );
        for (datatype, text) in [
            (Datatype::Uint8, "[256]"),
            (Datatype::Uint8, "[-1]"),
            (Datatype::Uint8, "[1.5]"),
            (Datatype::Int64, "[9223372036854775808]"),
            (Datatype::Uint64, "[9223372036854775808]"),
            (Datatype::Uint64, "[-1]"),
            (Datatype::Int32, "[null]"),
            (Datatype::Bool, "[2]"),
            (Datatype::Bytes, "[1]"),
        ] {
            assert!(read(datatype, text, &[1]).is_err(), "{datatype} {text}");
        }
        assert_eq!(
            read(Datatype::Bytes, r#"["a\u00e4",null]"#, &[2]),
            Ok(TensorValues::Strings(vec!["aä".into(), Vec::new()]))
        );
        let Ok(TensorValues::Doubles(doubles)) = read(Datatype::Fp64, "[null,1]", &[2]) else {
            panic!("doubles");
        };
        assert!(doubles[0].is_nan());
        assert_eq!(
            read(Datatype::Fp32, "[1,2,3]", &[2]).unwrap_err(),
            "a list of `data` has more than 2 items, and the shape asks for 2"
        );
    }

    #[test]
    fn deep_lists_and_large_shapes_cost_nothing() {
        let deep = "[".repeat(100_000) + &"]".repeat(100_000);
        assert!(read(Datatype::Fp32, &deep, &[1]).is_err());
        let raw = RawValue::from_string("[1]".to_owned()).unwrap();
        assert!(from_json(Datatype::Fp32, &raw, &[1 << 62], 1 << 62).is_err());
    }

    #[test]
    fn values_are_written_as_they_are_read() {
        let floats = TensorValues::Floats(vec![0.1, 1e-7]);
        assert_eq!(value_text(&floats, 0).unwrap(), "0.1");
        assert_eq!(value_text(&floats, 1).unwrap(), "1e-7");
        let strings = TensorValues::Strings(vec![b"a\"b".to_vec(), vec![0xff]]);
        assert_eq!(value_text(&strings, 0).unwrap(), r#""a\"b""#);
        assert!(value_text(&strings, 1).is_err());
    }
}
