//! Where documents come from: files of text, or records with a text in each.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::formats::LabelNames;
use super::mistake::Mistake;
use super::preprocess::TargetKind;

/// The documents of a corpus, in the order of their files' names.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Documents {
    /// Each file is a document.
    Text(TextFiles),
    /// Each line that is not blank is a document.
    Lines(TextFiles),
    /// Tables whose first line names the columns: a document a row.
    Csv(RecordOptions),
    /// JSON files with an object each: a document a file.
    Json(RecordOptions),
    /// JSON lines: a document a line.
    Jsonl(RecordOptions),
}

/// Files of text in UTF-8.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TextFiles {
    /// Which files of a folder: a pattern such as `*.txt` or `**/*.txt`. Without it those that are called as
    /// such files are; an input that is a file is taken whatever it is called.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub files: Option<String>,
}

/// Records with a text in each, and what is to be predicted for it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RecordOptions {
    /// Which files of a folder: a pattern such as `*.json`. Without it those that are called as such files are;
    /// an input that is a file is taken whatever it is called.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub files: Option<String>,
    /// The field of the text.
    #[serde(default = "text")]
    pub text: String,
    /// The field of a second text, where samples are pairs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pair: Option<String>,
    /// Whether the two texts of a pair are read apart, to be compared, and not as one: then what is learnt is how alike they
    /// are, by the number in `label` (of any scale), or, without one, that they belong together and no others.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub compare: bool,
    /// The field of what is to be predicted; with several labels or numbers a list of fields. Without it there is
    /// nothing but the text, for language models.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<LabelNames>,
    /// What the label is. With `multi_label`, several fields hold 0 and 1 each, and one field the names of all
    /// labels that apply: a list in JSON, else a text with `separator` between them.
    #[serde(default, skip_serializing_if = "is_classification")]
    pub task: TargetKind,
    /// What stands between the labels of a field with several of them.
    #[serde(default = "space", skip_serializing_if = "is_space")]
    pub separator: String,
    /// The separator of a table's fields, where it is neither a comma nor, in a `.tsv` file, a tab.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delimiter: Option<char>,
}

impl Documents {
    /// The name of the form, as a pipeline file spells it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Text(_) => "text",
            Self::Lines(_) => "lines",
            Self::Csv(_) => "csv",
            Self::Json(_) => "json",
            Self::Jsonl(_) => "jsonl",
        }
    }

    /// The pattern of the files that are read, where one is given.
    pub fn files(&self) -> Option<&str> {
        match self {
            Self::Text(options) | Self::Lines(options) => options.files.as_deref(),
            Self::Csv(options) | Self::Json(options) | Self::Jsonl(options) => options.files.as_deref(),
        }
    }

    /// The records' options, where documents are records.
    pub fn records(&self) -> Option<&RecordOptions> {
        match self {
            Self::Text(_) | Self::Lines(_) => None,
            Self::Csv(options) | Self::Json(options) | Self::Jsonl(options) => Some(options),
        }
    }

    /// What is to be predicted for each document, where anything is.
    pub fn label(&self) -> Option<&LabelNames> {
        self.records()?.label.as_ref()
    }

    /// What contradicts each other, with paths from here on.
    pub(super) fn mistakes(&self) -> Vec<Mistake> {
        let mut mistakes = Vec::new();
        if let Some(pattern) = self.files()
            && let Err(error) = glob::Pattern::new(pattern)
        {
            let mistake = Mistake::new(
                [self.name(), "files"],
                format!("`{pattern}` is no pattern: {error}"),
            );
            mistakes.push(mistake.help("write `*.txt`, or `**/*.txt` for files of folders in the input too"));
        }
        let Some(records) = self.records() else {
            return mistakes;
        };
        let at = |field: &'static str| [self.name(), field];
        if let (Some(delimiter), Self::Csv(_)) = (records.delimiter, self) {
            if !delimiter.is_ascii() || "\n\r\"".contains(delimiter) {
                mistakes.push(
                    Mistake::new(at("delimiter"), format!("{delimiter:?} cannot separate fields")).help(
                        "choose one ASCII character that neither ends lines nor quotes fields, such as \";\"",
                    ),
                );
            }
        } else if records.delimiter.is_some() {
            mistakes
                .push(Mistake::new(at("delimiter"), "records in JSON have no delimiter").help("remove it"));
        }
        if records.pair.as_ref() == Some(&records.text) {
            mistakes.push(
                Mistake::new(at("pair"), format!("both texts of a pair are `{}`", records.text))
                    .help("name the field of the second text"),
            );
        }
        if records.compare {
            mistakes.extend(
                compare_mistakes(records)
                    .into_iter()
                    .map(|(field, message, help)| Mistake::new(at(field), message).help(help)),
            );
            return mistakes;
        }
        if records.separator.is_empty() {
            let mistake = Mistake::new(at("separator"), "nothing cannot separate labels");
            mistakes.push(mistake.help("write what stands between them, such as \",\" or \"|\""));
        }
        match &records.label {
            None if records.task != TargetKind::Classification => {
                let mistake = Mistake::new(at("task"), "there is nothing to be predicted");
                mistakes.push(mistake.help("name the field of the label by `label`, or remove `task`"));
            }
            Some(label) if label.as_slice().is_empty() => {
                let mistake = Mistake::new(at("label"), "there is nothing to be predicted");
                mistakes.push(mistake.help("name at least one field, or remove `label`"));
            }
            Some(label) if label.as_slice().len() > 1 && records.task == TargetKind::Classification => {
                mistakes.push(
                    Mistake::new(at("label"), "several labels, and a classification has one").help(
                        "for fields of 0 and 1 add `task: multi_label`, for numbers `task: regression`",
                    ),
                );
            }
            _ => {}
        }
        mistakes
    }
}

/// What is wrong with texts that are compared: the field, the mistake, and what to do.
fn compare_mistakes(records: &RecordOptions) -> Vec<(&'static str, &'static str, &'static str)> {
    let mut mistakes = Vec::new();
    if records.pair.is_none() {
        let help = "name the field of the second text by `pair`";
        mistakes.push((
            "compare",
            "there is one text, and nothing to compare it with",
            help,
        ));
    }
    if records.task != TargetKind::Classification {
        let help = "remove it: the label is a number, or there is none";
        mistakes.push((
            "task",
            "how alike two texts are is what is learnt of texts that are compared",
            help,
        ));
    }
    if records
        .label
        .as_ref()
        .is_some_and(|label| label.as_slice().len() != 1)
    {
        let help = "name one field, or remove `label`";
        mistakes.push(("label", "how alike two texts are is one number", help));
    }
    mistakes
}

fn text() -> String {
    "text".to_owned()
}

fn space() -> String {
    " ".to_owned()
}

fn is_space(text: &str) -> bool {
    text == " "
}

fn is_classification(task: &TargetKind) -> bool {
    *task == TargetKind::Classification
}
