//! The options of `masks`.

use std::collections::BTreeMap;
use std::num::NonZeroU32;

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::image_folder::{Color, StoredAs};
use super::image_options::ImageOptions;
use super::{FormatFacts, FormatOptions, SampleKind};
use crate::schema::NO_PIXEL_CLASS;
use crate::spec::choice::Named;
use crate::spec::mistake::Mistake;
use crate::spec::preprocess::TargetKind;
use crate::spec::validate::is_inside;

/// Images, and for each of them a mask: a PNG of the same size and name whose pixels tell classes, by their values (grey, or
/// places in a palette) or by their colours.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MasksOptions {
    /// The folder of the images, seen from the input. `{split}` stands for `train`, `val` and `test`, or what else these are
    /// called; without it all images are training samples.
    #[serde(default = "default_images")]
    pub images: String,
    /// The folder of the masks, likewise: `a/b.jpg` has the mask `a/b.png`.
    #[serde(default = "default_masks")]
    pub masks: String,
    /// The names of the classes. Without `values` and `colors` the first is that of the value 0, and so on.
    pub classes: Vec<String>,
    /// The value (or colour) of pixels that count in no loss and no figure; `none` where there is none. By default 255, where
    /// that is no class's value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ignore: Option<IgnoredPixels>,
    /// The value of each class, where these are not 0, 1, 2, ...: `{background: 0, cell: 255}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub values: Option<IndexMap<String, u16>>,
    /// The colour of each class in masks of colours, red, green and blue: `{background: [0, 0, 0], road: [128, 64, 128]}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub colors: Option<IndexMap<String, [u8; 3]>>,
    /// Resize every image, and to the nearest pixel its mask, to `[height, width]`; without it they keep the sizes that they
    /// have.
    #[serde(default)]
    pub size: Option<[NonZeroU32; 2]>,
    /// The channels of the images to keep.
    #[serde(default)]
    pub color: Color,
    /// What the dataset holds of the images: pixels, or the files as they are, to be decoded in every epoch.
    #[serde(default)]
    pub store: StoredAs,
    /// Whether images are turned upright as their EXIF data say, because their masks are.
    #[serde(default)]
    pub exif_orientation: bool,
}

/// What marks pixels that do not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(
    untagged,
    expecting = "expected a value such as 255, a colour such as [255, 255, 255], or `none`"
)]
pub enum IgnoredPixels {
    /// Nothing.
    Nothing(NoIgnoredPixels),
    /// This value.
    Value(u16),
    /// This colour: red, green and blue.
    Color([u8; 3]),
}

/// `none`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum NoIgnoredPixels {
    /// All pixels count.
    None,
}

impl MasksOptions {
    /// What stands for a split in `images` and `masks`.
    pub const SPLIT: &'static str = "{split}";

    /// What becomes of an image.
    pub fn image_options(&self) -> ImageOptions {
        ImageOptions {
            size: self.size,
            color: self.color,
            store: self.store,
            exif_orientation: self.exif_orientation,
        }
    }

    /// The value of each class, in their order, where masks have values.
    pub fn values_in_order(&self) -> Vec<u16> {
        match &self.values {
            Some(values) => {
                let value = |class: &String| values.get(class).copied();
                self.classes.iter().filter_map(value).collect()
            }
            None => (0..).take(self.classes.len()).collect(),
        }
    }

    /// The value of pixels that do not count, where masks have values and some do not.
    pub fn ignored_value(&self) -> Option<u16> {
        match self.ignore {
            Some(IgnoredPixels::Value(value)) => Some(value),
            Some(IgnoredPixels::Nothing(_) | IgnoredPixels::Color(_)) => None,
            None => {
                let usual = u16::from(NO_PIXEL_CLASS);
                let is_free = self.colors.is_none() && !self.values_in_order().contains(&usual);
                is_free.then_some(usual)
            }
        }
    }

    /// Classes that are none, too many, or one twice.
    fn class_mistakes(&self) -> Vec<Mistake> {
        let most = usize::from(NO_PIXEL_CLASS);
        if self.classes.len() < 2 || self.classes.len() > most {
            let message = format!("{} classes are not between 2 and {most}", self.classes.len());
            let help = "name all classes, such as [background, cell]";
            return vec![Mistake::new(["classes"], message).help(help)];
        }
        let mut twice =
            (0..self.classes.len()).filter(|place| self.classes[..*place].contains(&self.classes[*place]));
        let mistake = |place: usize| {
            let message = format!("the class `{}` is named twice", self.classes[place]);
            Mistake::new(["classes".to_owned(), place.to_string()], message)
                .help("give each class a name of its own")
        };
        twice.next().map(mistake).into_iter().collect()
    }

    /// Classes without a value or colour, values of no class, and two that are one; `field` tells them.
    fn table_mistakes<V: PartialEq + Copy>(
        &self,
        field: &str,
        table: &IndexMap<String, V>,
        ignored: Option<V>,
    ) -> Vec<Mistake> {
        let mut mistakes = Vec::new();
        for class in self.classes.iter().filter(|class| !table.contains_key(*class)) {
            let message = format!("`{field}` leaves out the class `{class}`");
            mistakes.push(Mistake::new([field], message).help("give each of `classes` one"));
        }
        for (place, (class, value)) in table.iter().enumerate() {
            let at = [field, class];
            if !self.classes.contains(class) {
                let message = format!("`{class}` is none of `classes`");
                mistakes.push(Mistake::new(at, message).help("name it there too, or remove it"));
            } else if let Some((other, _)) = table.iter().take(place).find(|(_, other)| *other == value) {
                let message = format!("`{class}` and `{other}` are told by the same");
                mistakes.push(Mistake::new(at, message).help("give each class one of its own"));
            } else if ignored == Some(*value) {
                let message = format!("pixels of `{class}` are told by what `ignore` leaves out");
                mistakes.push(Mistake::new(at, message).help("write `ignore: none`, or another value there"));
            }
        }
        mistakes
    }

    /// What is to be left out, and is a class or nothing that masks have.
    fn ignore_mistake(&self) -> Option<Mistake> {
        let mistake = |message: String, help: &str| Some(Mistake::new(["ignore"], message).help(help));
        match (self.ignore?, &self.colors) {
            (IgnoredPixels::Color(_), None) => mistake(
                "a colour is left out, and masks have values".to_owned(),
                "give a value, or the classes' `colors`",
            ),
            (IgnoredPixels::Value(_), Some(_)) => mistake(
                "a value is left out, and masks have colours".to_owned(),
                "give a colour, such as [255, 255, 255], or write `none`",
            ),
            (IgnoredPixels::Value(value), None) if self.values.is_none() => {
                let class = self.classes.get(usize::from(value))?;
                mistake(
                    format!("{value} is the value of the class `{class}`"),
                    "give another value, write `none`, or tell the classes' `values`",
                )
            }
            _ => None,
        }
    }

    /// Folders that are none of the input, or of splits in one place alone.
    fn folder_mistakes(&self) -> Vec<Mistake> {
        let folders = BTreeMap::from([("images", &self.images), ("masks", &self.masks)]);
        let mut mistakes = Vec::new();
        for (field, folder) in folders {
            let parts = folder.matches(Self::SPLIT).count();
            if !is_inside(folder) {
                let message = format!("`{folder}` is no folder of the input");
                let help = "give its path from the input on, such as `{split}/images`";
                mistakes.push(Mistake::new([field], message).help(help));
            } else if parts > 1 {
                let message = format!("`{folder}` has `{{split}}` {parts} times");
                mistakes.push(Mistake::new([field], message).help("write it once"));
            }
        }
        let has = |folder: &String| folder.contains(Self::SPLIT);
        if has(&self.images) != has(&self.masks) {
            let message = "one of `images` and `masks` has `{split}`, and the other has not";
            mistakes.push(Mistake::new(["masks"], message).help("write it in both, or in neither"));
        }
        if self.images == self.masks {
            let message = "images and masks are in one folder, where no two files have one name";
            mistakes.push(Mistake::new(["masks"], message).help("put masks into a folder of their own"));
        }
        mistakes
    }
}

impl Named for MasksOptions {
    const NAME: &'static str = "masks";
}

impl FormatOptions for MasksOptions {
    fn facts(&self) -> FormatFacts {
        FormatFacts {
            task: TargetKind::Segmentation,
            samples: SampleKind::Images,
            outputs: Some(self.classes.len()),
            brings_val: self.images.contains(Self::SPLIT),
        }
    }

    fn mistakes(&self) -> Vec<Mistake> {
        let mut mistakes = self.folder_mistakes();
        mistakes.extend(self.class_mistakes());
        if let Some(values) = &self.values {
            mistakes.extend(self.table_mistakes("values", values, self.ignored_value()));
        }
        if let Some(colors) = &self.colors {
            let ignored = match self.ignore {
                Some(IgnoredPixels::Color(color)) => Some(color),
                _ => None,
            };
            mistakes.extend(self.table_mistakes("colors", colors, ignored));
        }
        if self.values.is_some() && self.colors.is_some() {
            let message = "`values` and `colors` both tell the classes";
            mistakes.push(Mistake::new(["colors"], message).help("leave one of them out"));
        }
        mistakes.extend(self.ignore_mistake());
        mistakes.extend(self.image_options().mistakes());
        mistakes
    }
}

fn default_images() -> String {
    format!("{}/images", MasksOptions::SPLIT)
}

fn default_masks() -> String {
    format!("{}/masks", MasksOptions::SPLIT)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn options(value: &Value) -> MasksOptions {
        serde_json::from_value(value.clone()).unwrap()
    }

    #[test]
    fn what_is_ignored_is_255_where_that_is_no_class() {
        let classes = json!(["a", "b"]);
        for (given, expected) in [
            (json!({}), Some(255)),
            (json!({"ignore": "none"}), None),
            (json!({"ignore": 7}), Some(7)),
            (json!({"values": {"a": 0, "b": 255}}), None),
            (json!({"values": {"b": 1, "a": 4}}), Some(255)),
            (json!({"colors": {"a": [0, 0, 0], "b": [1, 2, 3]}}), None),
        ] {
            let mut given = given;
            given["classes"] = classes.clone();
            let options = options(&given);
            assert_eq!(options.ignored_value(), expected, "{given}");
            assert_eq!(options.mistakes(), [], "{given}");
        }
        let ordered = options(&json!({"classes": ["a", "b"], "values": {"b": 1, "a": 4}}));
        assert_eq!(ordered.values_in_order(), [4, 1]);
    }

    #[test]
    fn contradictions_are_told() {
        for (given, told) in [
            (json!({"classes": ["a"]}), "1 classes are not between 2 and 255"),
            (
                json!({"classes": ["a", "b", "a"]}),
                "the class `a` is named twice",
            ),
            (
                json!({"classes": ["a", "b"], "ignore": 1}),
                "1 is the value of the class `b`",
            ),
            (
                json!({"classes": ["a", "b"], "ignore": [0, 0, 0]}),
                "a colour is left out, and masks have values",
            ),
            (
                json!({"classes": ["a", "b"], "values": {"a": 0}}),
                "`values` leaves out the class `b`",
            ),
            (
                json!({"classes": ["a", "b"], "values": {"a": 3, "b": 3}}),
                "`b` and `a` are told by the same",
            ),
            (
                json!({"classes": ["a", "b"], "values": {"a": 0, "b": 9}, "ignore": 9}),
                "pixels of `b` are told by what `ignore` leaves out",
            ),
            (
                json!({"classes": ["a", "b"], "colors": {"a": [0, 0, 0], "b": [1, 1, 1], "c": [2, 2, 2]}}),
                "`c` is none of `classes`",
            ),
            (
                json!({"classes": ["a", "b"], "masks": "labels"}),
                "one of `images` and `masks` has `{split}`, and the other has not",
            ),
            (
                json!({"classes": ["a", "b"], "images": "../{split}"}),
                "`../{split}` is no folder of the input",
            ),
        ] {
            let found: Vec<String> = options(&given)
                .mistakes()
                .into_iter()
                .map(|mistake| mistake.message)
                .collect();
            assert_eq!(found, [told], "{given}");
        }
    }
}
