//! The cells of a Parquet file's column, as the texts that a table would have.

use jiff::{Timestamp, civil};
use parquet::basic::{ConvertedType, LogicalType, TimeUnit};
use parquet::column::reader::{ColumnReader, ColumnReaderImpl};
use parquet::data_type::DataType;
use parquet::errors::ParquetError;
use parquet::schema::types::ColumnDescriptor;

/// One value of a column, as text or (of a column of bytes) as it is; nothing where there is none.
pub(super) type ParquetCell = Option<Vec<u8>>;

/// Decimals have at most so many bytes: those of 76 digits, `decimal256`.
const MOST_DECIMAL_BYTES: usize = 32;

/// What the values of a column mean beside their physical type.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Meaning {
    /// What the physical type says.
    Plain,
    Unsigned,
    /// Days since the beginning of 1970.
    Date,
    /// So many of them a second, since the beginning of 1970.
    Timestamp(i64),
    /// So many digits behind the point.
    Decimal(u32),
    Half,
}

impl Meaning {
    fn of(column: &ColumnDescriptor) -> Self {
        match column.logical_type_ref() {
            Some(LogicalType::Date) => return Self::Date,
            Some(LogicalType::Timestamp(kind)) => {
                return Self::Timestamp(match kind.unit {
                    TimeUnit::MILLIS => 1_000,
                    TimeUnit::MICROS => 1_000_000,
                    TimeUnit::NANOS => 1_000_000_000,
                });
            }
            Some(LogicalType::Decimal(kind)) => return Self::Decimal(kind.scale.unsigned_abs()),
            Some(LogicalType::Integer(kind)) if !kind.is_signed => return Self::Unsigned,
            Some(LogicalType::Float16) => return Self::Half,
            _ => {}
        }
        match column.converted_type() {
            ConvertedType::DATE => Self::Date,
            ConvertedType::TIMESTAMP_MILLIS => Self::Timestamp(1_000),
            ConvertedType::TIMESTAMP_MICROS => Self::Timestamp(1_000_000),
            ConvertedType::DECIMAL => Self::Decimal(column.type_scale().unsigned_abs()),
            ConvertedType::UINT_8
            | ConvertedType::UINT_16
            | ConvertedType::UINT_32
            | ConvertedType::UINT_64 => Self::Unsigned,
            _ => Self::Plain,
        }
    }
}

/// Appends up to `count` cells of a column that holds no lists; fewer at its end.
pub(super) fn read_cells(
    reader: &mut ColumnReader,
    column: &ColumnDescriptor,
    count: usize,
    cells: &mut Vec<ParquetCell>,
) -> Result<(), ParquetError> {
    let levels = column.max_def_level();
    let meaning = Meaning::of(column);
    match reader {
        ColumnReader::BoolColumnReader(reader) => values(reader, levels, count, cells, |value| {
            Ok(value.to_string().into_bytes())
        }),
        ColumnReader::Int32ColumnReader(reader) => values(reader, levels, count, cells, |value| {
            let text = match meaning {
                Meaning::Unsigned => value.cast_unsigned().to_string(),
                Meaning::Date => date(i64::from(*value)),
                Meaning::Decimal(scale) => decimal(&value.to_be_bytes(), scale),
                _ => value.to_string(),
            };
            Ok(text.into_bytes())
        }),
        ColumnReader::Int64ColumnReader(reader) => values(reader, levels, count, cells, |value| {
            let text = match meaning {
                Meaning::Unsigned => value.cast_unsigned().to_string(),
                Meaning::Timestamp(units) => moment(i128::from(*value) * (1_000_000_000 / i128::from(units))),
                Meaning::Decimal(scale) => decimal(&value.to_be_bytes(), scale),
                _ => value.to_string(),
            };
            Ok(text.into_bytes())
        }),
        ColumnReader::Int96ColumnReader(reader) => values(reader, levels, count, cells, |value| {
            // Nanoseconds of the day, and the Julian day: 2,440,588 is the first of 1970.
            let [low, high, day] = <[u32; 3]>::try_from(value.data()).unwrap_or_default();
            let nanoseconds = i128::from(low) | (i128::from(high) << 32);
            let days = i128::from(day) - 2_440_588;
            Ok(moment(days * 86_400_000_000_000 + nanoseconds).into_bytes())
        }),
        ColumnReader::FloatColumnReader(reader) => values(reader, levels, count, cells, |value| {
            Ok(value.to_string().into_bytes())
        }),
        ColumnReader::DoubleColumnReader(reader) => values(reader, levels, count, cells, |value| {
            Ok(value.to_string().into_bytes())
        }),
        ColumnReader::ByteArrayColumnReader(reader) => {
            values(reader, levels, count, cells, |value| bytes(value.data(), meaning))
        }
        ColumnReader::FixedLenByteArrayColumnReader(reader) => {
            values(reader, levels, count, cells, |value| bytes(value.data(), meaning))
        }
    }
}

fn values<T: DataType>(
    reader: &mut ColumnReaderImpl<T>,
    levels: i16,
    count: usize,
    cells: &mut Vec<ParquetCell>,
    cell: impl Fn(&T::T) -> Result<Vec<u8>, ParquetError>,
) -> Result<(), ParquetError> {
    let mut found = Vec::new();
    let mut defined = Vec::new();
    let (records, _, _) = reader.read_records(count, Some(&mut defined), None, &mut found)?;
    let mut found = found.iter();
    for record in 0..records {
        let is_there = levels == 0 || defined.get(record) == Some(&levels);
        let value = if is_there { found.next() } else { None };
        cells.push(value.map(&cell).transpose()?);
    }
    Ok(())
}

/// Bytes, or what they spell.
fn bytes(bytes: &[u8], meaning: Meaning) -> Result<Vec<u8>, ParquetError> {
    match meaning {
        Meaning::Decimal(scale) if (1..=MOST_DECIMAL_BYTES).contains(&bytes.len()) => {
            Ok(decimal(bytes, scale).into_bytes())
        }
        Meaning::Decimal(_) => Err(ParquetError::General(format!(
            "it has a decimal of {} bytes, and those of 1 to {MOST_DECIMAL_BYTES} (76 digits) are supported",
            bytes.len()
        ))),
        Meaning::Half if bytes.len() == 2 => Ok(half::f16::from_le_bytes([bytes[0], bytes[1]])
            .to_string()
            .into_bytes()),
        _ => Ok(bytes.to_vec()),
    }
}

/// A whole number in two's complement, the highest byte first, with the last `scale` digits behind the point.
fn decimal(bytes: &[u8], scale: u32) -> String {
    let is_negative = bytes.first().is_some_and(|byte| *byte >= 0x80);
    let mut magnitude = bytes.to_vec();
    if is_negative {
        let mut carry = true;
        for byte in magnitude.iter_mut().rev() {
            (*byte, carry) = (!*byte).overflowing_add(u8::from(carry));
        }
    }
    // Digits from the last on: the remainders of dividing by ten.
    let mut digits = Vec::new();
    while magnitude.iter().any(|byte| *byte != 0) {
        let mut rest = 0u16;
        for byte in &mut magnitude {
            let part = rest << 8 | u16::from(*byte);
            // A quotient of less than 10 * 256 by 10.
            *byte = (part / 10) as u8;
            rest = part % 10;
        }
        digits.push(b'0' + rest as u8);
    }
    let sign = if is_negative { "-" } else { "" };
    let digits: String = digits.iter().rev().map(|digit| char::from(*digit)).collect();
    let scale = scale.min(100) as usize;
    let digits = format!("{digits:0>width$}", width = scale + 1);
    let (whole, fraction) = digits.split_at(digits.len() - scale);
    match fraction {
        "" => format!("{sign}{whole}"),
        fraction => format!("{sign}{whole}.{fraction}"),
    }
}

/// A date as in ISO 8601; the number of days where there is none.
fn date(days: i64) -> String {
    let start = civil::date(1970, 1, 1);
    let date = jiff::Span::new()
        .try_days(days)
        .and_then(|span| start.checked_add(span));
    date.map_or_else(|_| days.to_string(), |date| date.to_string())
}

/// A moment as in ISO 8601; the nanoseconds where there is none.
fn moment(nanoseconds: i128) -> String {
    let moment = Timestamp::from_nanosecond(nanoseconds);
    moment.map_or_else(|_| nanoseconds.to_string(), |moment| moment.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_become_texts() {
        assert_eq!(decimal(&(-12345i64).to_be_bytes(), 2), "-123.45");
        assert_eq!(decimal(&5i32.to_be_bytes(), 3), "0.005");
        assert_eq!(decimal(&7i32.to_be_bytes(), 0), "7");
        assert_eq!(bytes(&[0xff, 0x85], Meaning::Decimal(1)).unwrap(), b"-12.3");
        assert_eq!(date(-1), "1969-12-31");
        assert_eq!(date(i64::MAX), i64::MAX.to_string());
        assert_eq!(moment(1_500_000_000), "1970-01-01T00:00:01.5Z");
    }

    #[test]
    fn decimals_of_any_length_are_those_of_wide_integers() {
        for value in [
            0,
            1,
            -1,
            9,
            10,
            -10,
            255,
            256,
            i128::MAX,
            i128::MIN,
            i128::MIN + 1,
            -123_456_789_012_345_678,
        ] {
            assert_eq!(decimal(&value.to_be_bytes(), 0), value.to_string());
            // The same in 32 bytes: the sign goes on.
            let sign = if value < 0 { 0xff } else { 0 };
            let wide = [&[sign; 16][..], &value.to_be_bytes()].concat();
            assert_eq!(decimal(&wide, 0), value.to_string());
        }
        // 2^255 - 1 and -2^255, of 77 digits.
        let mut most = [0xff; 32];
        most[0] = 0x7f;
        let text = "57896044618658097711785492504343953926634992332820282019728792003956564819967";
        assert_eq!(decimal(&most, 0), text);
        let mut least = [0; 32];
        least[0] = 0x80;
        let text = "-5789604461865809771178549250434395392663499233282028201972879200395656481996.8";
        assert_eq!(bytes(&least, Meaning::Decimal(1)).unwrap(), text.as_bytes());
        for length in [0, 33] {
            let told = bytes(&vec![0; length], Meaning::Decimal(1))
                .unwrap_err()
                .to_string();
            assert!(told.contains(&format!("a decimal of {length} bytes")), "{told}");
        }
    }
}
