//! The names of the classes, from YOLO's `data.yaml`.

use std::collections::BTreeMap;
use std::fmt::{self, Formatter};
use std::fs;
use std::path::Path;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

use crate::data::error::DataError;
use crate::spec::YoloOptions;

#[derive(serde::Deserialize)]
struct DataFile {
    names: YoloNames,
    #[serde(default)]
    nc: Option<usize>,
}

/// YoloNames by their numbers.
struct YoloNames(BTreeMap<u32, String>);

/// Takes each name as it is written: `y` and `1` are names, and no truth or number.
struct YoloNamesVisitor;

impl<'de> Deserialize<'de> for YoloNames {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(YoloNamesVisitor)
    }
}

impl<'de> Visitor<'de> for YoloNamesVisitor {
    type Value = YoloNames;

    fn expecting(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("a list of names, or names by numbers from 0 on")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<YoloNames, A::Error> {
        let mut names = BTreeMap::new();
        while let Some(name) = list.next_element()? {
            // A list in memory has fewer than 2^32 names.
            names.insert(names.len() as u32, name);
        }
        Ok(YoloNames(names))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut table: A) -> Result<YoloNames, A::Error> {
        let mut names = BTreeMap::new();
        while let Some((number, name)) = table.next_entry()? {
            names.insert(number, name);
        }
        Ok(YoloNames(names))
    }
}

/// The names of the classes 0, 1, 2, ...: those of the options, or of the file that they name.
pub(super) fn class_list(options: &YoloOptions, root: &Path) -> Result<Vec<String>, DataError> {
    if let Some(classes) = &options.classes {
        return Ok(classes.clone());
    }
    let path = root.join(options.data.as_deref().unwrap_or(YoloOptions::DATA));
    if !path.is_file() {
        let problem = format!(
            "there is no file `{}` with the `names` of the classes: list them by `classes: [...]`, or name the file by `data`",
            path.display()
        );
        return Err(DataError::input(root, problem));
    }
    let text = fs::read_to_string(&path).map_err(DataError::io("read", &path))?;
    let file: DataFile = serde_yaml::from_str(&text).map_err(|error| {
        let problem = format!("`names: [a, b]` or `names: {{0: a, 1: b}}` is expected here: {error}");
        DataError::input(&path, problem)
    })?;
    let YoloNames(names) = file.names;
    if let Some((place, _)) = (0..).zip(names.keys()).find(|(place, number)| place != *number) {
        let problem = format!("`names` has no class {place}: number them 0, 1, 2, ...");
        return Err(DataError::input(&path, problem));
    }
    let names: Vec<String> = names.into_values().collect();
    if let Some(count) = file.nc.filter(|count| *count != names.len()) {
        let problem = format!(
            "`nc` is {count}, and `names` has {}: make them agree",
            names.len()
        );
        return Err(DataError::input(&path, problem));
    }
    if names.is_empty() {
        return Err(DataError::input(&path, "`names` names no class"));
    }
    if let Some(place) = (0..names.len()).find(|place| names[..*place].contains(&names[*place])) {
        let problem = format!("two classes are called `{}`: rename one", names[place]);
        return Err(DataError::input(&path, problem));
    }
    Ok(names)
}
