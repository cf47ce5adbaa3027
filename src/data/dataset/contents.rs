//! Where everything lies in a dataset file, once it has been checked.

use std::ops::Range;

use super::bytes::{read_u32, read_u64};
use super::column::StoredColumn;
use crate::data::layout::{ALIGNMENT, DatasetHeader, FileSection, MAGIC, PROLOGUE, VERSION};
use crate::data::layout_2::{Header2, VERSION_2};
use crate::data::object::Object;
use crate::schema::{Field, FieldKind, FieldRole, Schema};
use crate::spec::SplitName;

/// What a file holds, and where. All ranges lie in the file and have the right lengths, all indices
/// and ends point to where something is, all labels and numbers are valid.
#[derive(Clone, Debug)]
pub(super) struct Contents {
    /// The number of samples.
    pub count: usize,
    pub schema: Schema,
    /// One for each of the schema's fields.
    pub columns: Vec<StoredColumn>,
    /// The index of the first input.
    pub input: usize,
    /// The index of the first target; of the first input where that is tokens and nothing else is to be predicted.
    pub target: usize,
    /// The index of the field that tells where samples come from.
    pub origin: Option<usize>,
    pub splits: Vec<(SplitName, Range<usize>)>,
}

impl Contents {
    /// Finds and checks everything in a file. An error says what is wrong with the file.
    pub fn parse(map: &[u8]) -> Result<Self, String> {
        let header = read_header(map)?;
        let count = usize::try_from(header.count)
            .ok()
            .filter(|count| u32::try_from(*count).is_ok())
            .ok_or("it claims more samples than can be")?;
        let fields = header.columns.iter().map(|column| column.field.clone());
        let schema = Schema::new(fields.collect())?;
        let first = |role| schema.fields().iter().position(|field| field.role == role);
        let input = first(FieldRole::Input);
        let is_tokens = |index: &usize| schema.fields()[*index].kind == FieldKind::Tokens;
        let target = first(FieldRole::Target).or(input.filter(is_tokens));
        let origin = first(FieldRole::Origin);
        let columns = header.columns.iter();
        let columns: Result<Vec<StoredColumn>, String> = columns
            .map(|column| StoredColumn::parse(map, count, column))
            .collect();

        let columns = columns?;
        for (sections, column) in header.columns.iter().zip(&columns) {
            check_objects(map, count, &sections.field, column)?;
        }
        let mut splits = Vec::new();
        for (name, section) in header.splits {
            let len = usize::try_from(section.length / 4).map_err(|_| "a split is too long")?;
            let indices = array(map, section, len, 4, name.as_str())?;
            check_rising(&map[indices.clone()], count, name)?;
            splits.push((name, indices));
        }
        if !matches!(splits.first(), Some((SplitName::Train, _))) {
            return Err("it has no train split".into());
        }
        Ok(Self {
            count,
            columns,
            input: input.ok_or("it has nothing to show a network")?,
            target: target.ok_or("it has nothing to predict")?,
            origin,
            splits,
            schema,
        })
    }
}

fn read_header(map: &[u8]) -> Result<DatasetHeader, String> {
    if map.len() < PROLOGUE || map[..8] != MAGIC {
        return Err("it does not begin as a dataset does".into());
    }
    let version = read_u32(&map[8..12], 0);
    if !(VERSION_2..=VERSION).contains(&version) {
        return Err(format!(
            "it has version {version} of the layout, and this Erlen reads versions {VERSION_2} to {VERSION}"
        ));
    }
    let [offset, length, total] = [0, 1, 2].map(|index| read_u64(&map[16..40], index));
    if total != map.len() as u64 {
        return Err(format!("it has {} bytes and should have {total}", map.len()));
    }
    let json = offset
        .checked_add(length)
        .filter(|end| *end == total && offset >= PROLOGUE as u64)
        .map(|end| &map[offset as usize..end as usize])
        .ok_or("its header lies outside the file")?;
    let header = match version {
        VERSION_2 => serde_json::from_slice::<Header2>(json).map(DatasetHeader::from),
        _ => serde_json::from_slice(json),
    };
    header.map_err(|error| format!("its header is not right: {error}"))
}

/// Checks that objects are those of the field.
fn check_objects(map: &[u8], count: usize, field: &Field, column: &StoredColumn) -> Result<(), String> {
    if field.kind != FieldKind::Objects {
        return Ok(());
    }
    let classes = field.names.len();
    let is_sound = |position: &usize| {
        Object::rows(column.value(map, *position).bytes).all(|row| Object::is_row(row, classes))
    };
    match (0..count).find(|position| !is_sound(position)) {
        None => Ok(()),
        Some(position) => Err(format!(
            "`{}` of sample {position} has numbers of no object of its {classes} classes",
            field.name
        )),
    }
}

/// The bytes of `count` items of `item` bytes each, if `section` is just that and in the file.
pub(super) fn array(
    map: &[u8],
    section: FileSection,
    count: usize,
    item: usize,
    what: &str,
) -> Result<Range<usize>, String> {
    let wanted = count.checked_mul(item).map(|length| length as u64);
    if wanted != Some(section.length) {
        return Err(format!(
            "its {what} have {} bytes, which is not right",
            section.length
        ));
    }
    let end = section.offset.checked_add(section.length);
    match end {
        Some(end) if end <= map.len() as u64 && section.offset.is_multiple_of(ALIGNMENT) => {
            Ok(section.offset as usize..end as usize)
        }
        _ => Err(format!("its {what} lie outside the file or are not aligned")),
    }
}

/// The ends and the bytes of `count` items of various lengths, if the ends rise to the last byte.
pub(super) fn items(
    map: &[u8],
    ends: FileSection,
    data: FileSection,
    count: usize,
    what: &str,
) -> Result<(Range<usize>, Range<usize>), String> {
    let length = data.length;
    let bytes = usize::try_from(length).map_err(|_| format!("its {what} are too long"))?;
    let data = array(map, data, bytes, 1, what)?;
    let ends = array(map, ends, count, 8, what)?;
    let mut least = 0;
    for index in 0..count {
        let end = read_u64(&map[ends.clone()], index);
        if end < least || end > length {
            return Err(format!("the ends of its {what} are not right"));
        }
        least = end;
    }
    if least != length {
        return Err(format!("the ends of its {what} are not right"));
    }
    Ok((ends, data))
}

fn check_rising(indices: &[u8], count: usize, name: SplitName) -> Result<(), String> {
    let mut least = 0;
    for position in 0..indices.len() / 4 {
        let index = read_u32(indices, position) as usize;
        if index < least || index >= count {
            return Err(format!(
                "the indices of its {} split are not right",
                name.as_str()
            ));
        }
        least = index + 1;
    }
    Ok(())
}
