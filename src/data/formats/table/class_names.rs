//! The names of classes that Hugging Face's `datasets` keeps in the metadata of a Parquet file.

use crate::spec::counted;
use std::collections::{HashMap, HashSet};

use serde_json::Value;

/// The number that stands for a sample whose class is not known.
const UNKNOWN: &str = "-1";

/// The names of a column's classes, by the whole numbers from 0 that stand for them (`ClassLabel`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::data) struct ClassNames(Vec<String>);

impl ClassNames {
    /// The key of the metadata that has them.
    pub const KEY: &'static str = "huggingface";

    /// Those of all columns, from the metadata's value: JSON whose `info.features` has an entry a column. An error
    /// says what is wrong with it.
    pub fn all(metadata: Option<&str>) -> Result<HashMap<String, Self>, String> {
        let mut found = HashMap::new();
        let Some(text) = metadata else {
            return Ok(found);
        };
        let told: Value = serde_json::from_str(text)
            .map_err(|error| format!("its metadata `{}` is no JSON: {error}", Self::KEY))?;
        let features = told.pointer("/info/features").and_then(Value::as_object);
        for (column, feature) in features.into_iter().flatten() {
            if feature.get("_type").and_then(Value::as_str) != Some("ClassLabel") {
                continue;
            }
            let Some(names) = feature.get("names").and_then(Value::as_array) else {
                continue;
            };
            let wrong = |problem: &str| {
                format!(
                    "its metadata `{}` names the classes of column `{column}`, {problem}",
                    Self::KEY
                )
            };
            let names: Option<Vec<String>> = names
                .iter()
                .map(|name| Some(name.as_str()?.trim().to_owned()))
                .collect();
            let names = names.ok_or_else(|| wrong("and not all of the names are texts"))?;
            let mut known = HashSet::new();
            if let Some(name) = names
                .iter()
                .find(|name| name.is_empty() || !known.insert(name.as_str()))
            {
                return Err(wrong(&format!("and `{name}` is empty or the name of two")));
            }
            found.insert(column.clone(), Self(names));
        }
        Ok(found)
    }

    /// The names, in the order of their numbers.
    pub fn names(&self) -> &[String] {
        &self.0
    }

    /// The name of the class `number`; empty where none is known. An error says that no class has this number.
    pub fn name<'a>(&'a self, number: &'a str) -> Result<&'a str, String> {
        if number.is_empty() || number == UNKNOWN {
            return Ok("");
        }
        let name = number.parse::<usize>().ok().and_then(|number| self.0.get(number));
        name.map(String::as_str).ok_or_else(|| {
            format!(
                "there is no class {number}: the file's metadata `{}` names {}, numbered from 0",
                Self::KEY,
                counted(self.0.len(), "class")
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stand_for_numbers() {
        let text = r#"{"info": {"features": {
            "image": {"_type": "Image"}, "label": {"names": ["dog", " cat"], "_type": "ClassLabel"},
            "other": {"num_classes": 3, "_type": "ClassLabel"}, "names": {"names": ["x"], "_type": "Value"}}}}"#;
        let all = ClassNames::all(Some(text)).unwrap();
        assert_eq!(all.len(), 1);
        let label = &all["label"];
        assert_eq!(label.names(), ["dog", "cat"]);
        let name = |number| label.name(number).unwrap();
        assert_eq!(
            [name("0"), name("1"), name("-1"), name("")],
            ["dog", "cat", "", ""]
        );
        for number in ["2", "-2", "0.5"] {
            let told = label.name(number).unwrap_err();
            assert!(
                told.starts_with(&format!("there is no class {number}: ")),
                "{told}"
            );
        }
        assert!(ClassNames::all(None).unwrap().is_empty());
        assert!(ClassNames::all(Some("{}")).unwrap().is_empty());
    }

    #[test]
    fn what_is_wrong_with_them_is_told() {
        let told = |names: &str| {
            let text = format!(
                r#"{{"info": {{"features": {{"y": {{"names": {names}, "_type": "ClassLabel"}}}}}}}}"#
            );
            ClassNames::all(Some(&text)).unwrap_err()
        };
        assert!(told(r#"["a", "a"]"#).contains("column `y`, and `a` is empty or the name of two"));
        assert!(told(r#"["a", " "]"#).contains("`` is empty"));
        assert!(told(r#"["a", 1]"#).contains("not all of the names are texts"));
        assert!(ClassNames::all(Some("{")).unwrap_err().contains("is no JSON"));
    }
}
