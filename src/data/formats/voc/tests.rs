//! Tests of reading Pascal VOC's files.

use serde_json::json;

use super::listed_name;
use crate::data::formats::scenes::testing::*;
use crate::data::testing::Bench;
use crate::spec::OnError;
use crate::spec::SplitName::{Test, Train};

/// An image of 16x32 pixels with a file of annotations.
fn bench(objects: &str) -> Bench {
    let bench = Bench::new();
    bench
        .file("JPEGImages/a.png", &png(1, SIZE))
        .file("Annotations/a.xml", voc_file("a.png", SIZE, objects).as_bytes());
    bench
}

#[test]
fn pixels_are_counted_from_1_unless_something_else_is_said() {
    let bench = bench(&voc_object("cat", [1, 2, 5, 6], ""));
    let sides = |options| {
        let dataset = bench.dataset(&format("voc", options));
        let found = dataset.split(Train).unwrap().objects(0).unwrap()[0];
        [found.left, found.top, found.width, found.height]
    };
    assert_eq!(sides(json!({})), [1.0, 2.0, 5.0, 6.0]);
    let notices = bench.notices.lock().unwrap().clone();
    assert!(
        notices[0].starts_with("boxes are read as Pascal VOC's: pixels are counted from 1"),
        "{notices:?}"
    );
    bench.notices.lock().unwrap().clear();
    assert_eq!(sides(json!({"origin": 1})), [1.0, 2.0, 5.0, 6.0]);
    assert_eq!(sides(json!({"origin": 0})), [2.0, 3.0, 4.0, 5.0]);
    assert_eq!(bench.notices.lock().unwrap().len(), 0);
}

#[test]
fn a_box_at_0_shows_that_pixels_are_counted_from_there() {
    let zero = "<object><name>cat</name><bndbox><xmin>0</xmin><ymin>3</ymin><xmax>5</xmax><ymax>9</ymax></bndbox></object>";
    let mut bench = bench(zero);
    for on_error in [OnError::Fail, OnError::Skip, OnError::Clip] {
        bench.on_error = on_error;
        assert_eq!(
            told(
                &bench,
                &bench.prepare(&format("voc", json!({}))).unwrap_err().to_string()
            ),
            "`input/Annotations/a.xml`: the box of its object 1 (`cat`) begins at 0, where Pascal VOC's pixels are counted \
             from 1: write `origin: 0`, as for files with the edges of boxes"
        );
    }
    let dataset = bench.dataset(&format("voc", json!({"origin": 0})));
    assert_eq!(dataset.split(Train).unwrap().objects(0).unwrap()[0].width, 5.0);
}

#[test]
fn what_tools_write_otherwise_is_read_too() {
    let parts = "<difficult>1</difficult><part><name>head</name><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>2</xmax>\
                 <ymax>2</ymax></bndbox></part>";
    let float = "<object><name>cat</name><bndbox><ymin>1.5</ymin><xmin>2.25</xmin><ymax>9</ymax><xmax>10</xmax></bndbox></object>";
    let objects = voc_object("dog", [3, 3, 4, 4], parts) + float;
    let bench = Bench::new();
    // Whose name is stale, but for one whose own name no image has.
    bench
        .file("JPEGImages/a.png", &png(1, SIZE))
        .file("JPEGImages/b.jpeg.png", &png(2, SIZE))
        .file("JPEGImages/left.png", &png(3, SIZE))
        .file(
            "Annotations/a.xml",
            voc_file("old.tif", [0, 0], &objects).as_bytes(),
        )
        .file(
            "Annotations/0002.xml",
            voc_file("C:\\x\\b.jpeg.png", SIZE, "").as_bytes(),
        );
    let dataset = bench.dataset(&format("voc", json!({"origin": 1})));
    assert_eq!(dataset.target().names, ["cat", "dog"]);
    let train = dataset.split(Train).unwrap();
    assert_eq!(
        (train.len(), train.origin(1)),
        (2, "JPEGImages/b.jpeg.png".to_owned())
    );
    let found = train.objects(0).unwrap();
    assert_eq!(
        (found[0].class, found[0].left, found[0].difficult),
        (1, 3.0, true)
    );
    let sides = [found[1].left, found[1].top, found[1].width, found[1].height];
    assert_eq!((sides, found[1].difficult), ([1.25, 0.5, 8.75, 8.5], false));
    assert_eq!(train.objects(1).unwrap(), []);
    let notices = bench.notices.lock().unwrap().clone();
    // An object that is difficult teaches nothing.
    let expected = [
        "1 image has no file of annotations and is left out",
        "classes that no object of the train split has: `dog`",
    ];
    assert_eq!(notices, expected);
    for (difficult, expected) in [("count", vec![false, false]), ("drop", vec![false])] {
        let dataset = bench.dataset(&format("voc", json!({"origin": 1, "difficult": difficult})));
        let found = dataset.split(Train).unwrap().objects(0).unwrap();
        assert_eq!(
            found.iter().map(|object| object.difficult).collect::<Vec<_>>(),
            expected
        );
    }
    let dataset = bench.dataset(&format("voc", json!({"classes": ["dog"]})));
    assert_eq!(dataset.split(Train).unwrap().objects(0).unwrap().len(), 1);
}

#[test]
fn lists_tell_splits() {
    for (line, name) in [
        ("000005", "000005"),
        ("2008_000008 -1", "2008_000008"),
        ("a b  1", "a b"),
        ("x.jpg", "x"),
        ("v1.2", "v1.2"),
        (" ", ""),
    ] {
        assert_eq!(listed_name(line), name, "{line}");
    }
    let bench = bench("");
    bench
        .file("JPEGImages/b.png", &png(2, SIZE))
        .file(
            "Annotations/b.xml",
            voc_file("b.png", SIZE, &voc_object("cat", [0, 0, 3, 3], "")).as_bytes(),
        )
        .file("ImageSets/Main/train.txt", b"a\n")
        .file("ImageSets/Main/val.txt", b"b 1\n\n");
    let lists = json!({"train": "ImageSets/Main/train.txt", "test": "ImageSets/Main/val.txt"});
    let dataset = bench.dataset(&format("voc", json!({"lists": lists})));
    assert_eq!(dataset.splits().collect::<Vec<_>>(), [Train, Test]);
    bench.file("ImageSets/Main/val.txt", b"b\nb\nc\na\n");
    let message = told(
        &bench,
        &bench
            .prepare(&format("voc", json!({"lists": lists})))
            .unwrap_err()
            .to_string(),
    );
    insta::assert_snapshot!("list_problems", message);
}

#[test]
fn all_that_is_wrong_is_told_at_once() {
    let objects = voc_object("cat", [30, 0, 5, 5], "")
        + "<object><name>cat</name></object><object><bndbox/></object>"
        + "<object><name>cat</name><bndbox><xmin>a</xmin><ymin>1</ymin><xmax>2</xmax><ymax>2</ymax></bndbox></object>"
        + "<object><name>cat</name><bndbox><xmin>0</xmin><ymin>0</ymin><xmax>0</xmax><ymax>0</ymax></bndbox></object>";
    let bench = bench(&objects);
    bench
        .file("Annotations/b.xml", voc_file("gone.jpg", SIZE, "").as_bytes())
        .file("Annotations/c.xml", b"<annotation><object></annotation>")
        .file("Annotations/d.xml", voc_file("d.png", [32, 32], "").as_bytes())
        .file("JPEGImages/d.png", &png(7, SIZE));
    let message = told(&bench, &bench.error(&format("voc", json!({}))));
    insta::assert_snapshot!("all_problems", message);
}
