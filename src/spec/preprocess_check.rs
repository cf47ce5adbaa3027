//! What can be wrong with a `preprocess` stage before any of its files is seen.

use super::diagnostic::Diagnostic;
use super::preprocess::{Column, Columns, Csv, Format, ImageFolder, Preprocess, StoredAs, Task};

/// Adds what is wrong with `preprocess`; `place` finds the place of one of its fields.
pub(super) fn preprocess_mistakes(
    preprocess: &Preprocess,
    mistakes: &mut Vec<Diagnostic>,
    place: impl Fn(&[&str]) -> miette::SourceSpan,
) {
    let shares = [preprocess.split.val, preprocess.split.test];
    let sum: f64 = shares.iter().flatten().map(|share| share.get()).sum();
    if sum >= 1.0 {
        mistakes.push(
            Diagnostic::new(format!("the shares add up to {sum}"), place(&["split"]))
                .help("leave something to train on: make them smaller"),
        );
    }
    match &preprocess.format {
        Format::Csv(csv) => csv_mistakes(csv, mistakes, |path| place(&[&["format", "csv"], path].concat())),
        Format::ImageFolder(folder) => image_folder_mistakes(folder, mistakes, |path| {
            place(&[&["format", "image_folder"], path].concat())
        }),
        Format::Idx(_) | Format::Cifar10(_) | Format::Cifar100(_) => {}
    }
}

fn csv_mistakes(csv: &Csv, mistakes: &mut Vec<Diagnostic>, place: impl Fn(&[&str]) -> miette::SourceSpan) {
    let labels = csv.label.as_slice();
    if labels.is_empty() {
        let mistake = Diagnostic::new("there is nothing to be predicted", place(&["label"]));
        mistakes.push(mistake.help("name at least one column"));
    }
    if labels.len() > 1 && csv.task == Task::Classification {
        mistakes.push(
            Diagnostic::new(
                "several label columns, and a classification has one",
                place(&["label"]),
            )
            .help("for columns of 0 and 1 add `task: multi_label`, for numbers `task: regression`"),
        );
    }
    if csv.image.is_some() && !csv.categorical.is_empty() {
        mistakes.push(
            Diagnostic::new("an image's pixels cannot be categorical", place(&["categorical"]))
                .help("remove `categorical` or `image`"),
        );
    }
    if csv.delimiter_byte().is_none() {
        mistakes.push(
            Diagnostic::new(
                format!("{:?} cannot separate fields", csv.delimiter),
                place(&["delimiter"]),
            )
            .help("choose one ASCII character that neither ends lines nor quotes fields, such as \",\" or \";\""),
        );
    }
    let mut known: Vec<(&Column, &str)> = Vec::new();
    for (field, columns) in [
        ("label", labels),
        ("categorical", &csv.categorical),
        ("ignore", &csv.ignore),
    ] {
        for (index, column) in columns.iter().enumerate() {
            let position = index.to_string();
            let path: &[&str] = match (field, &csv.label) {
                ("label", Columns::One(_)) => &["label"],
                _ => &[field, &position],
            };
            if let (Column::Name(name), false) = (column, csv.header) {
                mistakes.push(
                    Diagnostic::new(
                        format!("`{name}` names a column, and the table is read without a header"),
                        place(path),
                    )
                    .help("add `header: true`, or give the column's index"),
                );
            }
            if let Some((_, other)) = known.iter().find(|(known, _)| *known == column) {
                mistakes.push(
                    Diagnostic::new(format!("this column is named in `{other}` already"), place(path))
                        .help("name each column once"),
                );
            }
            known.push((column, field));
        }
    }
}

fn image_folder_mistakes(
    folder: &ImageFolder,
    mistakes: &mut Vec<Diagnostic>,
    place: impl Fn(&[&str]) -> miette::SourceSpan,
) {
    if let (StoredAs::Files, Some([height, width])) = (folder.store, folder.size) {
        mistakes.push(
            Diagnostic::new(
                "`size` resizes pixels, and the dataset is to hold the files as they are",
                place(&["size"]),
            )
            .help(format!(
                "remove it, and add `resize: {{size: [{height}, {width}]}}` to the training's `augment` and \
                 `eval_transforms`"
            )),
        );
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use crate::spec::Pipeline;

    #[test]
    fn delimiters_that_separate_nothing_are_placed() {
        let mistakes = |delimiter: &str| {
            let source = format!(
                "stages:\n  d: {{preprocess: {{input: ./x, format: {{csv: {{delimiter: {delimiter}}}}}}}}}\n"
            );
            let Err(error) = Pipeline::parse(Path::new("p.yaml"), &source, &[]) else {
                return Vec::new();
            };
            let told = error.mistakes.iter().map(|mistake| {
                let span = mistake.span.unwrap();
                let place = &source[span.offset()..span.offset() + span.len()];
                format!("{place}: {mistake}")
            });
            told.collect()
        };
        for (delimiter, expected) in [
            (r#""\n""#, r#"'\n' cannot separate fields"#),
            (r#""\r""#, r#"'\r' cannot separate fields"#),
            (r#"'"'"#, r#"'"' cannot separate fields"#),
            ("é", "'é' cannot separate fields"),
        ] {
            let told = mistakes(delimiter);
            assert_eq!(told.len(), 1, "{told:?}");
            let (place, message) = told[0].split_once(": ").unwrap();
            assert!(delimiter.contains(place), "{told:?}");
            assert_eq!(message, expected);
        }
        for delimiter in [r#"",""#, r#""\t""#, "';'", "'|'"] {
            assert_eq!(mistakes(delimiter), [""; 0], "{delimiter}");
        }
    }
}
