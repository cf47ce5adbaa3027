//! Tests of reading YOLO's files.

use serde_json::json;

use crate::data::formats::scenes::testing::*;
use crate::data::testing::Bench;
use crate::spec::OnError;
use crate::spec::SplitName::Train;

/// Images of 16x32 pixels, the first with labels.
fn bench(labels: &str) -> Bench {
    let bench = Bench::new();
    bench
        .file("train/images/a.png", &png(1, SIZE))
        .file("train/images/deep/b.png", &png(2, SIZE))
        .file("train/labels/a.txt", labels.as_bytes())
        .file("train/labels/classes.txt", b"cat\ndog\n");
    bench
}

#[test]
fn boxes_and_polygons_are_read_and_images_without_labels_stay() {
    let bench = bench("1 0.5 0.5 0.25 0.5\n\n0 0.25 0.25 0.5 0.25 0.5 0.75\n0 0.01 0.5 0.04 0.5\r\n");
    let dataset = bench.dataset(&format("yolo", json!({"classes": ["cat", "dog"]})));
    let train = dataset.split(Train).unwrap();
    let found = train.objects(0).unwrap();
    let sides = found
        .iter()
        .map(|object| [object.left, object.top, object.width, object.height]);
    let sides: Vec<[f64; 4]> = sides.collect();
    assert_eq!(sides[..2], [[12.0, 4.0, 8.0, 8.0], [8.0, 4.0, 8.0, 8.0]]);
    // A third of a pixel outside is cut without a word.
    assert_eq!((sides[2][0], found[2].class, found[0].class), (0.0, 0, 1));
    assert!((sides[2][2] - 0.96).abs() < 1e-12);
    assert_eq!(train.objects(1).unwrap(), []);
    assert_eq!(bench.notices.lock().unwrap().len(), 0);
}

#[test]
fn names_stand_in_a_file() {
    let bench = bench("1 0.5 0.5 0.25 0.5\n");
    let message = |text: &str| {
        bench.file("data.yaml", text.as_bytes());
        told(&bench, &bench.error(&format("yolo", json!({}))))
    };
    assert!(
        told(&bench, &bench.error(&format("yolo", json!({})))).contains("there is no file `input/data.yaml`")
    );
    assert!(message("names: [a, b]\nnc: 3\n").contains("`nc` is 3, and `names` has 2"));
    assert!(message("names: {0: a, 2: b}\n").contains("`names` has no class 1"));
    assert!(message("names: [a, a]\n").contains("two classes are called `a`"));
    assert!(message("train: x\n").contains("`names: [a, b]` or `names: {0: a, 1: b}` is expected here"));
    bench.file("data.yaml", b"names: {0: no, 1: 1}\n");
    assert_eq!(
        bench.dataset(&format("yolo", json!({}))).target().names,
        ["no", "1"]
    );
    for text in ["names: [x, y]\ntrain: ../images\n", "names:\n  1: y\n  0: x\n"] {
        bench.file("data.yaml", text.as_bytes());
        assert_eq!(
            bench.dataset(&format("yolo", json!({}))).target().names,
            ["x", "y"]
        );
    }
}

#[test]
fn all_that_is_wrong_is_told_at_once() {
    let mut bench = bench(
        "0 0.5 0.5 0.2 0.2\n2 0.5 0.5 0.2 0.2\n0 5 6 10 12\n0 0.5 0.5 0.2\n0 0.5 0.5 0.2 0.2 0.9\n0 0.5 x 0.2 0.2\n\
         0 0.5 nan 0.2 0.2\n0 0.5 0.5 0 0.2\n0 0.95 0.5 0.3 0.2\n-1 0.5 0.5 0.1 0.1\n0.5 0.5 0.5 0.1 0.1\n",
    );
    bench
        .file("train/images/a.jpg", &png(9, SIZE))
        .file("train/labels/c.txt", b"");
    let format = format("yolo", json!({"classes": ["cat", "dog"]}));
    let message = told(&bench, &bench.error(&format));
    insta::assert_snapshot!("all_problems", message);
    bench.on_error = OnError::Clip;
    let dataset = bench.dataset(&format);
    // The first of the two images that share labels, and the one without.
    assert_eq!(dataset.split(Train).unwrap().len(), 2);
    let found = dataset.split(Train).unwrap().objects(0).unwrap();
    assert_eq!(found.len(), 2);
    assert!((found[1].left + found[1].width - 32.0).abs() < 1e-12);
}

#[test]
fn a_folder_without_any_labels_is_a_mistake() {
    let bench = bench("");
    bench
        .file("val/images/c.png", &png(3, SIZE))
        .file("val/labels/x.md", b"");
    assert_eq!(
        told(&bench, &bench.error(&format("yolo", json!({"classes": ["cat"]})))),
        "`input/val/labels`: none of the 1 images in `input/val/images` has a text file here: put `a.txt` here for `a.jpg`, or \
         name the folder in `labels`"
    );
}
