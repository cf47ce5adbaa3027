//! The options of `parquet`.

use std::num::NonZeroU32;

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::cells::{DateOptions, MissingOptions};
use super::csv::{CsvColumn, CsvOptions, LabelColumns};
use super::image_folder::{Color, StoredAs};
use super::image_options::ImageOptions;
use super::{FormatFacts, FormatOptions, SampleKind};
use crate::schema::UnknownCategory;
use crate::spec::choice::Named;
use crate::spec::mistake::Mistake;
use crate::spec::preprocess::TargetKind;

/// A table in a Parquet file with one sample a row, or in the files of a folder, called after their splits as
/// `test-00000-of-00002.parquet`. Every column that is neither a label nor ignored is a feature; or a column `image`
/// holds images, and columns that nothing names are left out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ParquetOptions {
    /// The label's column: its name, or its index from 0 (negative: from the end). With several
    /// labels or targets a list of columns.
    #[serde(default = "super::csv::last_column")]
    pub label: LabelColumns,
    /// What the label is.
    #[serde(default)]
    pub task: TargetKind,
    /// Columns of texts, each of which becomes a column of 0 and 1 for every text that occurs.
    #[serde(default)]
    pub categorical: Vec<CsvColumn>,
    /// What becomes of a category in other data that this table does not have; as for `csv`.
    #[serde(default)]
    pub unknown_categories: UnknownCategory,
    /// Columns of yes and no as texts. Those of true and false are read as numbers in any case.
    #[serde(default)]
    pub boolean: Vec<CsvColumn>,
    /// Columns of dates, and the numbers that a date becomes: `{signup: [year, month, weekday]}`.
    #[serde(default)]
    pub dates: IndexMap<String, DateOptions>,
    /// Columns to leave out.
    #[serde(default)]
    pub ignore: Vec<CsvColumn>,
    /// What becomes of cells that hold nothing; as for `csv`.
    #[serde(default)]
    pub missing: MissingOptions,
    /// The spellings of a cell that holds nothing, beside an empty one; as for `csv`.
    #[serde(default)]
    pub missing_values: Option<Vec<String>>,
    /// Where samples are images (JPEG, PNG, BMP, GIF, WebP, TIFF): their column, of bytes, or of `bytes` and `path` as
    /// Hugging Face's datasets have it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<CsvColumn>,
    /// Resize every image to `[height, width]`; without it images keep the sizes that they have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<[NonZeroU32; 2]>,
    /// The channels of images to keep.
    #[serde(default, skip_serializing_if = "is_default")]
    pub color: Color,
    /// What the dataset holds of images: pixels, or the files as they are, to be decoded in every epoch.
    #[serde(default, skip_serializing_if = "is_default")]
    pub store: StoredAs,
    /// Whether images are turned upright as their EXIF data say. Pillow and torchvision do not.
    #[serde(default, skip_serializing_if = "is_default")]
    pub exif_orientation: bool,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

impl Named for ParquetOptions {
    const NAME: &'static str = "parquet";
}

impl FormatOptions for ParquetOptions {
    fn facts(&self) -> FormatFacts {
        FormatFacts {
            // A folder may have a file for each split.
            brings_val: true,
            samples: match self.image {
                Some(_) => SampleKind::Images,
                None => SampleKind::Rows,
            },
            ..self.as_table().facts()
        }
    }

    fn has_columns(&self) -> bool {
        true
    }

    fn mistakes(&self) -> Vec<Mistake> {
        let mut mistakes = self.as_table().mistakes();
        mistakes.extend(self.images().mistakes());
        let Some(image) = &self.image else {
            for (field, is_given) in [
                ("size", self.size.is_some()),
                ("color", !is_default(&self.color)),
                ("store", !is_default(&self.store)),
                ("exif_orientation", self.exif_orientation),
            ] {
                if is_given {
                    let mistake = Mistake::new([field], "this is for images, and no column has some");
                    mistakes.push(mistake.help("name the column of images in `image`, or remove it"));
                }
            }
            return mistakes;
        };
        for (field, is_given) in [
            ("categorical", !self.categorical.is_empty()),
            ("boolean", !self.boolean.is_empty()),
            ("dates", !self.dates.is_empty()),
        ] {
            if is_given {
                let mistake = Mistake::new(
                    [field],
                    "samples are images, and columns beside them are no features",
                );
                mistakes.push(mistake.help(format!("remove `{field}`, or `image` where no image is needed")));
            }
        }
        let has_image = |columns: &[CsvColumn]| columns.contains(image);
        for (field, columns) in [("label", self.label.as_slice()), ("ignore", &self.ignore)] {
            if has_image(columns) {
                let mistake = Mistake::new(["image"], format!("this column is named in `{field}` already"));
                mistakes.push(mistake.help("name each column once"));
            }
        }
        mistakes
    }
}

impl ParquetOptions {
    /// What becomes of an image.
    pub fn images(&self) -> ImageOptions {
        ImageOptions {
            size: self.size,
            color: self.color,
            store: self.store,
            exif_orientation: self.exif_orientation,
        }
    }

    /// The options of a table of text with the same columns.
    pub fn as_table(&self) -> CsvOptions {
        CsvOptions {
            label: self.label.clone(),
            task: self.task,
            categorical: self.categorical.clone(),
            unknown_categories: self.unknown_categories,
            boolean: self.boolean.clone(),
            dates: self.dates.clone(),
            ignore: self.ignore.clone(),
            missing: self.missing.clone(),
            missing_values: self.missing_values.clone(),
            header: true,
            ..CsvOptions::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(json: &str) -> Vec<String> {
        let options: ParquetOptions = serde_json::from_str(json).unwrap();
        let mistakes = options.mistakes().into_iter();
        mistakes.map(|mistake| mistake.message).collect()
    }

    #[test]
    fn options_of_images_need_a_column_of_images() {
        let needless = "this is for images, and no column has some";
        for options in [
            r#"{"size": [8, 8]}"#,
            r#"{"color": "gray"}"#,
            r#"{"store": "files"}"#,
            r#"{"exif_orientation": true}"#,
        ] {
            assert_eq!(told(options), [needless], "{options}");
            assert_eq!(told(&options.replacen('{', r#"{"image": "i", "#, 1)), [""; 0]);
        }
    }

    #[test]
    fn columns_beside_an_image_are_no_features() {
        for field in [
            r#""categorical": ["x"]"#,
            r#""boolean": ["x"]"#,
            r#""dates": {"x": ["year"]}"#,
        ] {
            assert_eq!(told(&format!("{{{field}}}")), [""; 0]);
            let told = told(&format!(r#"{{"image": "i", {field}}}"#));
            assert_eq!(
                told,
                ["samples are images, and columns beside them are no features"],
                "{field}"
            );
        }
        let joined = |json| told(json).join("; ");
        assert_eq!(
            joined(r#"{"image": "i", "label": "i"}"#),
            "this column is named in `label` already"
        );
        assert!(joined(r#"{"image": 0, "ignore": [0]}"#).contains("in `ignore` already"));
        assert!(
            joined(r#"{"image": "i", "store": "files", "size": [8, 8]}"#).contains("`size` resizes pixels")
        );
    }
}
