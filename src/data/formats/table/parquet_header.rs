//! What a Parquet file says of its columns.

use std::path::Path;

use parquet::basic::{Compression, ConvertedType, LogicalType, Repetition, Type as PhysicalType};
use parquet::file::metadata::ParquetMetaData;
use parquet::schema::types::{SchemaDescriptor, Type};

use super::class_names::ClassNames;
use crate::data::error::DataError;

/// The columns of a file.
pub(in crate::data) struct ParquetHeader {
    pub columns: Vec<ParquetColumn>,
    /// The number of rows.
    pub rows: u64,
    /// What the file says of classes that cannot be read, in words.
    pub problem: Option<String>,
}

/// One of the columns that a file's rows have.
pub(in crate::data) struct ParquetColumn {
    pub name: String,
    /// The leaf of the file's schema that it is; nothing where it holds lists, or things of several parts.
    pub leaf: Option<usize>,
    /// Where it has images, if it may have some.
    pub images: Option<ImageLeaves>,
    /// What its values are, in words.
    pub kind: &'static str,
    /// How its values are spelt.
    pub form: CellForm,
    /// Whether its values are whole numbers.
    pub is_whole: bool,
    /// The names that its whole numbers stand for, where the file has some.
    pub names: Option<ClassNames>,
}

/// How the values of a column are spelt as texts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::data) enum CellForm {
    /// As whoever wrote the file spelt them.
    AsWritten,
    /// As dates and moments in ISO 8601.
    Iso8601,
    /// As numbers with a point before the decimals; true and false.
    Plain,
}

/// The leaves of a column of images.
#[derive(Clone, Copy, Debug)]
pub(super) struct ImageLeaves {
    /// The encoded images.
    pub bytes: usize,
    /// Their paths, where there are some.
    pub path: Option<usize>,
}

impl ParquetHeader {
    /// What `metadata` says of the columns.
    pub fn of(metadata: &ParquetMetaData) -> Self {
        let file = metadata.file_metadata();
        let schema = file.schema_descr();
        let pairs = file.key_value_metadata();
        let told = pairs.and_then(|pairs| pairs.iter().find(|pair| pair.key == ClassNames::KEY));
        let told = ClassNames::all(told.and_then(|pair| pair.value.as_deref()));
        let (mut classes, problem) = match told {
            Ok(classes) => (classes, None),
            Err(problem) => (Default::default(), Some(problem)),
        };
        let columns = schema.root_schema().get_fields().iter().enumerate();
        let columns = columns.map(|(place, field)| {
            let mut leaves =
                (0..schema.num_columns()).filter(|leaf| schema.get_column_root_idx(*leaf) == place);
            let first = leaves.next();
            let is_plain = field.is_primitive();
            let leaf = first.filter(|leaf| is_plain && schema.column(*leaf).max_rep_level() == 0);
            let is_whole = is_plain && is_whole(field);
            ParquetColumn {
                name: field.name().to_owned(),
                leaf,
                images: first.and_then(|first| image_leaves(schema, field, first)),
                kind: kind_of(field),
                form: form_of(field),
                is_whole,
                names: classes.remove(field.name()).filter(|_| is_whole),
            }
        });
        Self {
            columns: columns.collect(),
            rows: u64::try_from(file.num_rows()).unwrap_or(0),
            problem,
        }
    }
}

/// Where a column has images, if it may: bytes that are no text, as they are or beside a path.
fn image_leaves(schema: &SchemaDescriptor, field: &Type, first: usize) -> Option<ImageLeaves> {
    if field.is_primitive() {
        let is_one = is_bytes(field) && schema.column(first).max_rep_level() == 0;
        return is_one.then_some(ImageLeaves {
            bytes: first,
            path: None,
        });
    }
    let is_repeated = |part: &Type| {
        let info = part.get_basic_info();
        info.has_repetition() && info.repetition() == Repetition::REPEATED
    };
    let parts = field.get_fields();
    // Parts that have parts of their own have several leaves.
    if is_repeated(field) || parts.iter().any(|part| !part.is_primitive() || is_repeated(part)) {
        return None;
    }
    let place = |name: &str, holds: fn(&Type) -> bool| {
        parts
            .iter()
            .position(|part| part.name() == name && holds(part))
            .map(|place| first + place)
    };
    Some(ImageLeaves {
        bytes: place("bytes", is_bytes)?,
        path: place("path", |part| {
            part.get_physical_type() == PhysicalType::BYTE_ARRAY
        }),
    })
}

/// Whether a column of one part holds bytes that nobody calls a text.
fn is_bytes(field: &Type) -> bool {
    let info = field.get_basic_info();
    field.get_physical_type() == PhysicalType::BYTE_ARRAY
        && info.logical_type_ref().is_none()
        && info.converted_type() == ConvertedType::NONE
}

/// Whether the values of a column of one part are whole numbers.
fn is_whole(field: &Type) -> bool {
    let info = field.get_basic_info();
    let is_plain = match info.logical_type_ref() {
        None => matches!(
            info.converted_type(),
            ConvertedType::NONE
                | ConvertedType::INT_8
                | ConvertedType::INT_16
                | ConvertedType::INT_32
                | ConvertedType::INT_64
                | ConvertedType::UINT_8
                | ConvertedType::UINT_16
                | ConvertedType::UINT_32
                | ConvertedType::UINT_64
        ),
        Some(logical) => matches!(logical, LogicalType::Integer(_)),
    };
    is_plain
        && matches!(
            field.get_physical_type(),
            PhysicalType::INT32 | PhysicalType::INT64
        )
}

/// How a column's values are spelt as texts.
fn form_of(field: &Type) -> CellForm {
    if !field.is_primitive() {
        return CellForm::AsWritten;
    }
    let info = field.get_basic_info();
    match (info.logical_type_ref(), info.converted_type()) {
        (Some(LogicalType::Date | LogicalType::Timestamp(_)), _)
        | (_, ConvertedType::DATE | ConvertedType::TIMESTAMP_MILLIS | ConvertedType::TIMESTAMP_MICROS) => {
            CellForm::Iso8601
        }
        (Some(LogicalType::Decimal(_) | LogicalType::Float16), _) | (_, ConvertedType::DECIMAL) => {
            CellForm::Plain
        }
        _ => match field.get_physical_type() {
            PhysicalType::INT96 => CellForm::Iso8601,
            PhysicalType::BYTE_ARRAY | PhysicalType::FIXED_LEN_BYTE_ARRAY => CellForm::AsWritten,
            _ => CellForm::Plain,
        },
    }
}

/// What a column's values are, in words.
fn kind_of(field: &Type) -> &'static str {
    if !field.is_primitive() {
        return match field.get_basic_info().logical_type_ref() {
            Some(LogicalType::List) => "lists",
            Some(LogicalType::Map) => "maps",
            _ => "things of several parts, and none that is called `bytes` and holds bytes",
        };
    }
    let info = field.get_basic_info();
    let is_text = matches!(
        info.logical_type_ref(),
        Some(LogicalType::String | LogicalType::Json)
    ) || matches!(info.converted_type(), ConvertedType::UTF8 | ConvertedType::JSON);
    match field.get_physical_type() {
        _ if is_text => "texts",
        PhysicalType::BYTE_ARRAY | PhysicalType::FIXED_LEN_BYTE_ARRAY => "bytes of another kind",
        PhysicalType::BOOLEAN => "yes and no",
        _ => "numbers or dates",
    }
}

/// Refuses columns in a compression that cannot be read.
pub(super) fn check_compression(
    metadata: &ParquetMetaData,
    leaves: impl Iterator<Item = usize> + Clone,
    path: &Path,
) -> Result<(), DataError> {
    for group in metadata.row_groups() {
        for column in leaves.clone().filter_map(|leaf| group.columns().get(leaf)) {
            let name = match column.compression() {
                Compression::BROTLI(_) => "Brotli",
                Compression::LZO => "LZO",
                _ => continue,
            };
            let problem = format!(
                "its column `{}` is compressed by {name}, which is not supported: write the file with zstd or snappy, \
                 as by `pyarrow.parquet.write_table(table, path, compression=\"zstd\")`",
                column.column_path().string()
            );
            return Err(DataError::input(path, problem));
        }
    }
    Ok(())
}
