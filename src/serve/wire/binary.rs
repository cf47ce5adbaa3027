//! Tensors in binary form.

use crate::serve::tensor::{Datatype, TensorValues};

/// The `count` values of `datatype` that are `bytes`, all of them.
///
/// # Errors
/// A sentence: there are more or fewer.
pub fn from_binary(datatype: Datatype, bytes: &[u8], count: usize) -> Result<TensorValues, String> {
    if let Some(size) = datatype.size()
        && count.checked_mul(size) != Some(bytes.len())
    {
        return Err(format!(
            "its shape asks for {count} values of {datatype}, which are not {} bytes",
            bytes.len()
        ));
    }
    Ok(match datatype {
        Datatype::Bool => {
            if bytes.iter().any(|byte| *byte > 1) {
                return Err("a byte of a BOOL tensor is 0 or 1".to_owned());
            }
            TensorValues::Flags(bytes.iter().map(|byte| *byte == 1).collect())
        }
        Datatype::Uint8 => TensorValues::Octets(bytes.to_vec()),
        Datatype::Int8 => integers(bytes, |[byte]: [u8; 1]| i64::from(byte.cast_signed())),
        Datatype::Uint16 => integers(bytes, |two| i64::from(u16::from_le_bytes(two))),
        Datatype::Int16 => integers(bytes, |two| i64::from(i16::from_le_bytes(two))),
        Datatype::Uint32 => integers(bytes, |four| i64::from(u32::from_le_bytes(four))),
        Datatype::Uint64 => {
            let numbers = values(bytes, u64::from_le_bytes).into_iter().map(i64::try_from);
            let numbers: Result<Vec<i64>, _> = numbers.collect();
            TensorValues::Integers(numbers.map_err(|_| {
                format!(
                    "a value is over {}, the largest whole number that is kept",
                    i64::MAX
                )
            })?)
        }
        Datatype::Int32 => integers(bytes, |four| i64::from(i32::from_le_bytes(four))),
        Datatype::Int64 => integers(bytes, i64::from_le_bytes),
        Datatype::Fp32 => TensorValues::Floats(values(bytes, f32::from_le_bytes)),
        Datatype::Fp64 => TensorValues::Doubles(values(bytes, f64::from_le_bytes)),
        Datatype::Bytes => TensorValues::Strings(strings(bytes, count)?),
    })
}

fn values<T, const SIZE: usize>(bytes: &[u8], of: impl Fn([u8; SIZE]) -> T) -> Vec<T> {
    let (values, _) = bytes.as_chunks::<SIZE>();
    values.iter().map(|value| of(*value)).collect()
}

fn integers<const SIZE: usize>(bytes: &[u8], of: impl Fn([u8; SIZE]) -> i64) -> TensorValues {
    TensorValues::Integers(values(bytes, of))
}

/// Values that stand behind their lengths.
fn strings(bytes: &[u8], count: usize) -> Result<Vec<Vec<u8>>, String> {
    // Each takes 4 bytes at least, whatever a shape claims.
    let mut strings = Vec::with_capacity(count.min(bytes.len() / 4));
    let mut rest = bytes;
    while !rest.is_empty() {
        let Some((length, behind)) = rest.split_first_chunk::<4>() else {
            return Err("its bytes end within the length of a value".to_owned());
        };
        let length = u32::from_le_bytes(*length) as usize;
        let Some((value, behind)) = behind.split_at_checked(length) else {
            return Err(format!(
                "a value claims {length} bytes, and {} are left of the tensor",
                behind.len()
            ));
        };
        if strings.len() == count {
            return Err(format!("it has more than the {count} values of its shape"));
        }
        strings.push(value.to_vec());
        rest = behind;
    }
    match strings.len() == count {
        true => Ok(strings),
        false => Err(format!(
            "it has {} values, and its shape asks for {count}",
            strings.len()
        )),
    }
}

/// Appends `values` in binary form.
pub fn to_binary(values: &TensorValues, datatype: Datatype, out: &mut Vec<u8>) {
    match values {
        TensorValues::Flags(flags) => out.extend(flags.iter().map(|flag| u8::from(*flag))),
        TensorValues::Octets(octets) => out.extend_from_slice(octets),
        TensorValues::Integers(integers) => {
            let size = datatype.size().unwrap_or(8);
            for integer in integers {
                out.extend_from_slice(&integer.to_le_bytes()[..size]);
            }
        }
        TensorValues::Floats(floats) => out.extend(floats.iter().flat_map(|value| value.to_le_bytes())),
        TensorValues::Doubles(doubles) => out.extend(doubles.iter().flat_map(|value| value.to_le_bytes())),
        TensorValues::Strings(strings) => {
            for string in strings {
                // A value of the server's own.
                out.extend_from_slice(&(string.len() as u32).to_le_bytes());
                out.extend_from_slice(string);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_come_back() {
        for (datatype, values) in [
            (Datatype::Bool, TensorValues::Flags(vec![true, false])),
            (Datatype::Uint8, TensorValues::Octets(vec![0, 255])),
            (Datatype::Int8, TensorValues::Integers(vec![-128, 127])),
            (Datatype::Uint16, TensorValues::Integers(vec![0, 65_535])),
            (Datatype::Int16, TensorValues::Integers(vec![-32_768, 1])),
            (Datatype::Uint32, TensorValues::Integers(vec![0, 4_294_967_295])),
            (
                Datatype::Int32,
                TensorValues::Integers(vec![i64::from(i32::MIN), 5]),
            ),
            (Datatype::Int64, TensorValues::Integers(vec![i64::MIN, i64::MAX])),
            (Datatype::Uint64, TensorValues::Integers(vec![0, i64::MAX])),
            (Datatype::Fp32, TensorValues::Floats(vec![0.1, -f32::MAX])),
            (
                Datatype::Fp64,
                TensorValues::Doubles(vec![0.1, f64::MIN_POSITIVE]),
            ),
            (
                Datatype::Bytes,
                TensorValues::Strings(vec![Vec::new(), b"ab\0".to_vec()]),
            ),
        ] {
            let mut bytes = Vec::new();
            to_binary(&values, datatype, &mut bytes);
            assert_eq!(
                from_binary(datatype, &bytes, 2).as_ref(),
                Ok(&values),
                "{datatype}"
            );
            for count in [0, 1, 3, usize::MAX] {
                assert!(
                    from_binary(datatype, &bytes, count).is_err(),
                    "{datatype} {count}"
                );
            }
            bytes.push(0);
            assert!(from_binary(datatype, &bytes, 2).is_err(), "{datatype}");
        }
    }

    #[test]
    fn lengths_that_lie_are_refused() {
        let claims = [0xff, 0xff, 0xff, 0xff, 1, 2];
        let told = from_binary(Datatype::Bytes, &claims, 1).unwrap_err();
        assert_eq!(
            told,
            "a value claims 4294967295 bytes, and 2 are left of the tensor"
        );
        assert!(from_binary(Datatype::Bool, &[2], 1).is_err());
    }
}
