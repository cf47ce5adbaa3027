//! Tests of finding files, and of reading tables.

use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use super::files::FileWalk;
use super::*;
use crate::data::testing::Bench;
use crate::event::Activity;
use crate::schema::{Dimensions, FeatureColumn, Field, TextFields};
use crate::spec::SplitName;

struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    fn new(files: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for file in files {
            let path = folder.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "x").unwrap();
        }
        Self { folder }
    }

    fn paths(&self, names: &[&str]) -> Vec<PathBuf> {
        names.iter().map(|name| self.folder.path().join(name)).collect()
    }

    /// The names of what is found, from the folder on.
    fn found(&self, names: &[&str]) -> Result<Vec<String>, String> {
        let wanted = |path: &std::path::Path| path.extension().is_some_and(|extension| extension == "png");
        let paths = self.paths(names);
        let inputs = UnlabelledInputs {
            relative: false,
            ..inputs(&paths, Vec::new())
        };
        let walk = FileWalk::new(&inputs, wanted).map_err(|error| error.to_string())?;
        let root = format!("{}/", self.folder.path().display());
        Ok(walk.map(|file| file.unwrap().name.replace(&root, "")).collect())
    }
}

#[test]
fn files_are_found_in_order() {
    let place = Place::new(&[
        "b.png",
        "a/z.png",
        "a/deep/y.png",
        "a/notes.txt",
        "a/.hidden/h.png",
        "a/.h.png",
        "[1].png",
    ]);
    let found = |names: &[&str]| place.found(names).unwrap();
    assert_eq!(found(&["b.png", "a"]), ["b.png", "a/deep/y.png", "a/z.png"]);
    // What is named is taken, whatever it is called.
    assert_eq!(found(&["a/notes.txt"]), ["a/notes.txt"]);
    assert_eq!(found(&["*.png"]), ["[1].png", "b.png"]);
    assert_eq!(found(&["[1].png"]), ["[1].png"]);
    assert_eq!(
        found(&["**/*.png"]),
        ["[1].png", "a/deep/y.png", "a/z.png", "b.png"]
    );
    // A folder that fits a pattern is gone through once.
    assert_eq!(found(&["a*"]), ["a/deep/y.png", "a/z.png"]);
    assert_eq!(found(&["a/**"]), ["a/deep/y.png", "a/z.png"]);
    for (name, told) in [
        ("none", "there is no such file or folder"),
        ("*.gif", "no file or folder fits this pattern"),
        ("a/[", "it is neither a file nor a pattern"),
    ] {
        let error = place.found(&[name]).unwrap_err();
        assert!(error.contains(told), "{error}");
    }
}

/// Samples at `paths`, where an archive holds the file `inside/a.png`, or is damaged where its name says so.
fn inputs(paths: &[PathBuf], shown: Vec<Schema>) -> UnlabelledInputs<'_> {
    let unpack = |archive: &std::path::Path, folder: &std::path::Path| {
        if archive.ends_with("damaged.zip") {
            return Err("the archive is damaged".to_owned());
        }
        fs::create_dir(folder.join("inside")).unwrap();
        fs::write(folder.join("inside/a.png"), "x").unwrap();
        Ok(())
    };
    UnlabelledInputs {
        paths,
        relative: true,
        shown,
        unpacker: ArchiveUnpacker::new(&std::env::temp_dir(), unpack),
    }
}

#[test]
fn archives_are_gone_through_as_folders() {
    let place = Place::new(&[
        "b.png",
        "new.zip",
        "old.TAR.gz",
        "damaged.zip",
        "folder.zip/c.png",
    ]);
    let paths = place.paths(&["new.zip", "damaged.zip", "*.TAR.gz", "folder.zip", "b.png"]);
    let walk = |relative: bool| {
        let inputs = UnlabelledInputs {
            relative,
            ..inputs(&paths, Vec::new())
        };
        let root = format!("{}/", place.folder.path().display());
        let names = FileWalk::new(&inputs, |_| true)
            .unwrap()
            .map(|found| match found {
                Ok(file) => file.name.replace(&root, ""),
                Err((name, problem)) => format!("{}: {problem}", name.replace(&root, "")),
            });
        names.collect::<Vec<String>>()
    };
    assert_eq!(
        walk(false),
        [
            "new.zip/inside/a.png",
            "damaged.zip: the archive is damaged",
            "old.TAR.gz/inside/a.png",
            "folder.zip/c.png",
            "b.png"
        ]
    );
    assert_eq!(
        walk(true),
        [
            "inside/a.png",
            "damaged.zip: the archive is damaged",
            "inside/a.png",
            "c.png",
            "b.png"
        ]
    );
}

/// Reads all samples in batches of `most`, and what is told at the end.
fn read(paths: &[PathBuf], field: Field, most: usize) -> (Vec<UnlabelledSample>, Vec<String>) {
    let inputs = inputs(paths, vec![Schema::new(vec![field]).unwrap()]);
    let mut source = inputs.open().unwrap();
    let mut samples = Vec::new();
    loop {
        let batch = source.next(most).unwrap();
        assert!(batch.len() <= most);
        if batch.is_empty() {
            break;
        }
        samples.extend(batch);
    }
    let told: Arc<Mutex<Vec<String>>> = Arc::default();
    let hears = Arc::clone(&told);
    let monitor = Monitor::new(
        move |activity| {
            if let Activity::Notice { message, .. } = activity {
                hears.lock().unwrap().push(message);
            }
        },
        Arc::default(),
    );
    source.finish(&monitor);
    drop(monitor);
    let told = told.lock().unwrap().clone();
    (samples, told)
}

fn field() -> Field {
    let columns = vec![
        FeatureColumn::number("size"),
        FeatureColumn::category("color", vec!["red".into(), "blue".into()]),
    ];
    Field::of_columns("features", columns)
}

fn features(values: &[f32]) -> Vec<Example> {
    vec![Example::default().with_numbers("features", values.to_vec())]
}

#[test]
fn rows_are_found_by_the_names_of_their_columns() {
    let place = Place::new(&[]);
    let write = |name: &str, text: &str| fs::write(place.folder.path().join(name), text).unwrap();
    write(
        "a.csv",
        "color,target,size\nred,1,2\nblue,,3.5\ngreen,0,1\nred,0\n",
    );
    write("b.tsv", "size\tcolor\n4\tblue\n");
    write("c.csv", "size;color\n\"5\";red\n");
    write("d.csv", "size,colour\n1,red\n");
    write("e.txt", "no table");
    for most in [1, 2, 100] {
        let (samples, told) = read(&[place.folder.path().to_owned()], field(), most);
        let expected: Vec<(&str, Result<Vec<Example>, String>)> = vec![
            ("a.csv:2", Ok(features(&[2.0, 1.0, 0.0]))),
            ("a.csv:3", Ok(features(&[3.5, 0.0, 1.0]))),
            (
                "a.csv:4",
                Err("column `color`: the model does not know the category `green`".into()),
            ),
            ("a.csv:5", Err("it has 2 fields, and the first line has 3".into())),
            ("b.tsv:2", Ok(features(&[4.0, 0.0, 1.0]))),
            ("c.csv:2", Ok(features(&[5.0, 1.0, 0.0]))),
            (
                "d.csv",
                Err(
                    "it has no column `color`, which the model was trained on; its columns are size, colour"
                        .into(),
                ),
            ),
        ];
        assert_eq!(samples.len(), expected.len());
        for (sample, (name, examples)) in samples.iter().zip(&expected) {
            assert_eq!((sample.name.as_str(), &sample.examples), (*name, examples));
        }
        assert_eq!(told.len(), 2);
        assert!(told[0].starts_with("not tables, left out: `"), "{told:?}");
        assert_eq!(
            told[1],
            "columns that the model does not know are left out: `target`"
        );
    }
}

#[test]
fn tables_without_titles_are_read_by_place() {
    let place = Place::new(&[]);
    let path = place.folder.path().join("a.csv");
    fs::write(&path, "7,1.5,x\n8,2.5,y\n").unwrap();
    let field = Field::of_columns("features", vec![FeatureColumn::number("column_1")]);
    let (samples, told) = read(std::slice::from_ref(&path), field, 10);
    assert_eq!(samples[1].examples, Ok(features(&[2.5])));
    assert_eq!(samples[1].name, "a.csv:2");
    // A model from before places were counted.
    assert_eq!(told.len(), 2);
    assert!(
        told[0].starts_with("the model does not tell how many columns its table had"),
        "{told:?}"
    );
    assert_eq!(
        told[1],
        "columns that the model does not know are left out: `column_0`, `column_2`"
    );
    // Names that look like places are names.
    fs::write(&path, "other,column_1\n7,1.5\n").unwrap();
    let field = Field::of_columns("features", vec![FeatureColumn::number("column_1")]);
    let (samples, told) = read(std::slice::from_ref(&path), field.clone(), 10);
    assert_eq!(samples[0].examples, Ok(features(&[1.5])));
    assert_eq!(
        told,
        ["columns that the model does not know are left out: `other`"]
    );
    let lacking = Field::of_columns(
        "features",
        vec![field.columns[0].clone(), FeatureColumn::number("column_2")],
    );
    let (samples, _) = read(std::slice::from_ref(&path), lacking, 10);
    let problem = samples[0].examples.clone().unwrap_err();
    assert!(problem.starts_with("it has no column `column_2`"), "{problem}");
}

/// The features that a model of a table with the options `json` has.
fn trained(json: &str, table: &str) -> Field {
    let bench = Bench::new();
    bench.file("t.csv", table.as_bytes());
    let options: crate::spec::CsvOptions = serde_json::from_str(json).unwrap();
    bench.dataset(&options.into()).input().clone()
}

#[test]
fn columns_without_titles_are_counted_around_what_is_predicted() {
    let place = Place::new(&[]);
    let path = place.folder.path().join("new.csv");
    let predicted = |field: &Field, table: &str| {
        fs::write(&path, table).unwrap();
        let (samples, told) = read(std::slice::from_ref(&path), field.clone(), 10);
        (samples[0].examples.clone(), told)
    };
    // The label first, in the middle and last; a column that is left out at either side.
    for (json, labelled, unlabelled, features_of, predicted_places) in [
        (
            r#"{"label": 0, "ignore": [3]}"#,
            ["u,1,2,9", "v,3,4,8"],
            "3,4,8",
            [3.0, 4.0],
            "column 0 from 0",
        ),
        (
            r#"{"label": 2, "ignore": [0]}"#,
            ["9,1,u,2", "8,3,v,4"],
            "8,3,4",
            [3.0, 4.0],
            "column 2 from 0",
        ),
        (
            r#"{"ignore": [1]}"#,
            ["1,9,2,u", "3,8,4,v"],
            "3,8,4",
            [3.0, 4.0],
            "column 3 from 0",
        ),
        (
            r#"{"label": [3, 0], "task": "regression", "ignore": [4]}"#,
            ["0.5,1,2,7,9", "0.7,3,4,8,8"],
            "3,4,8",
            [3.0, 4.0],
            "columns 0, 3 from 0",
        ),
    ] {
        let field = trained(json, &labelled.join("\n"));
        let count = labelled[0].split(',').count();
        let (examples, told) = predicted(&field, &format!("{}\n", labelled[1]));
        assert_eq!(examples, Ok(features(&features_of)), "{json}");
        assert!(
            told.iter().all(|told| !told.contains("are taken for")),
            "{told:?}"
        );
        let (examples, told) = predicted(&field, &format!("{unlabelled}\n"));
        assert_eq!(examples, Ok(features(&features_of)), "{json}");
        assert!(
            told[0].starts_with("rows of 3 fields are taken for those") && told[0].contains(predicted_places),
            "{told:?}"
        );
        for table in ["3,4\n", "1,2,3,4,5,6\n", "7\n"] {
            let (examples, _) = predicted(&field, table);
            let problem = examples.unwrap_err();
            let fields = crate::spec::counted(table.split(',').count(), "column");
            let expected = format!(
                "it has {fields}, and the table that the model was trained on had {count}, or 3 without what is \
                 predicted ({predicted_places})"
            );
            assert!(problem.starts_with(&expected), "{problem}");
        }
    }
}

#[test]
fn cells_mean_what_they_meant_in_training() {
    let options = r#"{"header": true, "delimiter": ";", "decimal": ",", "thousands": ".", "quote": "single",
        "missing_values": ["-999", "so what"], "missing": {"default": "mean", "kind": "mode", "price": "indicator"},
        "label": "y", "task": "regression", "categorical": ["kind"], "boolean": ["member"],
        "dates": {"since": {"parts": ["year", "month"], "format": "%d.%m.%Y"}}}"#;
    let table = "y;price;kind;member;since;since.note\n\
        1;1.234;'a;b';yes;31.01.2024;7,5\n\
        2;-999;c;n;01.12.2023;1\n\
        3;2,5;so what;true;;-999\n";
    let bench = Bench::new();
    bench.file("t.csv", table.as_bytes());
    let options: crate::spec::CsvOptions = serde_json::from_str(options).unwrap();
    let dataset = bench.dataset(&options.into());
    let train = dataset.split(SplitName::Train).unwrap();
    let place = Place::new(&[]);
    let path = place.folder.path().join("new.csv");
    fs::write(&path, table).unwrap();
    let (samples, _) = read(std::slice::from_ref(&path), dataset.input().clone(), 10);
    assert_eq!(samples.len(), 3);
    for (index, sample) in samples.iter().enumerate() {
        let mut row = Vec::new();
        train.read_sample(index, &mut row).unwrap();
        assert_eq!(sample.examples, Ok(features(&row)), "row {index}");
    }
    assert_eq!(dataset.input().names[0], "price");
    let mut row = Vec::new();
    train.read_sample(0, &mut row).unwrap();
    assert_eq!(row[0], 1234.0);

    // What would have been no number in training is none now; columns are called as the table has them.
    fs::write(
        &path,
        "since.note,kind,price,member,since\n1,c,2.5,yes,31.01.2024\n",
    )
    .unwrap();
    let (samples, _) = read(std::slice::from_ref(&path), dataset.input().clone(), 10);
    assert_eq!(
        samples[0].examples,
        Err("column `price`: `2.5` is not a finite number".to_owned())
    );
    fs::write(&path, "kind;price;member\nc;1;yes\n").unwrap();
    let (samples, _) = read(std::slice::from_ref(&path), dataset.input().clone(), 10);
    let problem = samples[0].examples.clone().unwrap_err();
    assert!(
        problem.starts_with("it has no column `since`, `since.note`, which"),
        "{problem}"
    );
}

#[test]
fn images_come_with_their_files_bytes() {
    let place = Place::new(&["a.png", "b/c.jpg", "b/none.txt"]);
    fs::write(place.folder.path().join("b/empty.png"), "").unwrap();
    let field = Field::image("image", Dimensions::image(3, Some([4, 4])));
    for most in [1, 10] {
        let paths = place.paths(&["a.png", "b"]);
        let (samples, told) = read(&paths, field.clone(), most);
        let names: Vec<&str> = samples.iter().map(|sample| sample.name.as_str()).collect();
        assert_eq!(names, ["a.png", "c.jpg", "empty.png"]);
        let example = Example::default().with_scaled_image_file("image", *b"x");
        assert_eq!(samples[0].examples, Ok(vec![example]));
        assert_eq!(samples[2].examples, Err("it is empty".to_owned()));
        assert_eq!(told.len(), 1);
        assert!(told[0].contains("none.txt"), "{told:?}");
    }
}

#[test]
fn texts_are_read_from_lines_and_records() {
    let place = Place::new(&[]);
    let write = |name: &str, text: &str| fs::write(place.folder.path().join(name), text).unwrap();
    write("a.txt", "\u{feff}one text\r\n\n two \n");
    write("b.csv", "id,review,other\n1,\"a, b\",x\n2,  ,y\n3,c\n");
    write("c.csv", "review;id\nd;1\n");
    write("d.jsonl", "{\"review\": \"e\"}\n\n{\"text\": \"f\"}\n[1]\n");
    write("e.json", "{\"review\": \"g\",\n \"more\": [1]}");
    write("f.json", "{\"review\": \"h\"}\n{\"review\": 7}\n");
    write("g.csv", "text\nnothing\n");
    write("h.png", "no text");
    fs::write(place.folder.path().join("i.txt"), b"ok\n\xff\na\0b\0\n").unwrap();
    let field = |pair: Option<&str>| {
        Field::tokens("tokens", crate::schema::ElementType::U16).with_texts(TextFields {
            text: "review".to_owned(),
            pair: pair.map(str::to_owned),
        })
    };
    for most in [1, 3, 100] {
        let (samples, told) = read(&[place.folder.path().to_owned()], field(None), most);
        let found: Vec<(&str, Result<&str, &str>)> = samples
            .iter()
            .map(|sample| {
                let text = sample
                    .examples
                    .as_ref()
                    .map(|examples| examples[0].texts().unwrap().0);
                (sample.name.as_str(), text.map_err(String::as_str))
            })
            .collect();
        let expected = [
            ("a.txt:1", Ok("one text")),
            ("a.txt:3", Ok(" two ")),
            ("b.csv:2", Ok("a, b")),
            ("b.csv:3", Err("its `review` is empty")),
            ("b.csv:4", Err("it has 2 fields, and the first line 3")),
            ("c.csv:2", Ok("d")),
            ("d.jsonl:1", Ok("e")),
            ("d.jsonl:3", Err("its `review` is missing")),
            (
                "d.jsonl:4",
                Err("it is no JSON object: invalid type: sequence, expected a map at line 1 column 0"),
            ),
            ("e.json", Ok("g")),
            ("f.json:1", Ok("h")),
            ("f.json:2", Ok("7")),
            ("g.csv", Err("it has no column `review`; its columns are `text`")),
            ("i.txt:1", Ok("ok")),
            ("i.txt:2", Err("it is not UTF-8: save the file as UTF-8")),
            ("i.txt:3", Err("it is not UTF-8: save the file as UTF-8")),
        ];
        assert_eq!(found, expected, "{most}");
        assert_eq!(told.len(), 1);
        assert!(
            told[0].starts_with("not texts, left out: `") && told[0].contains("h.png"),
            "{told:?}"
        );
    }
    // Pairs are records, and both of their texts are looked for.
    let paths = ["a.txt", "b.csv", "d.jsonl"].map(|name| place.folder.path().join(name));
    let (samples, _) = read(&paths, field(Some("other")), 10);
    let problem = samples[0].examples.clone().unwrap_err();
    assert!(
        problem.contains("a line of text is only one") && problem.contains("other"),
        "{problem}"
    );
    assert_eq!(
        samples[1].examples.as_ref().unwrap()[0].texts(),
        Some(("a, b", Some("x")))
    );
    assert_eq!(samples[4].examples, Err("its `other` is missing".to_owned()));
}
