//! Tests of reading COCO's files.

use std::fs;

use serde_json::{Value, json};

use crate::data::Dataset;
use crate::data::formats::scenes::testing::*;
use crate::data::testing::Bench;
use crate::spec::OnError;
use crate::spec::SplitName::{Test, Train, Val};

fn options() -> Value {
    json!({"annotations": "annotations/{split}.json", "images": "images"})
}

/// Images of 16x32 pixels, `a` to `d`, and a file about some of them.
fn bench(file: &Value) -> Bench {
    let bench = Bench::new();
    for (shade, name) in (0..).step_by(30).zip(["a", "b", "c", "d"]) {
        bench.file(&format!("images/{name}.png"), &png(shade, SIZE));
    }
    bench.file("annotations/train.json", file.to_string().as_bytes());
    bench
}

fn image(id: i64, name: &str) -> Value {
    json!({"id": id, "file_name": name, "height": 16, "width": 32})
}

fn annotation(id: i64, image: i64, category: i64, bbox: Value) -> Value {
    json!({"id": id, "image_id": image, "category_id": category, "bbox": bbox, "area": 7.5, "iscrowd": 0})
}

fn categories() -> Value {
    json!([{"id": 90, "name": "zebra"}, {"id": 3, "name": "car"}, {"id": 17, "name": "ant"}])
}

#[test]
fn categories_are_classes_by_their_ids_which_are_kept() {
    let mut crowd = annotation(0, 139, 3, json!([0, 0, 30.5, 16]));
    crowd["iscrowd"] = json!(1);
    let file = json!({
        "images": [image(139, "b.png"), image(-4, "a.png"), image(7, "c.png")],
        "annotations": [annotation(5, 139, 90, json!([1.1, 2.2, 3.3, 4.4])), crowd, annotation(6, -4, 17, json!([0, 0, 1, 1]))],
        "categories": categories(),
    });
    let bench = bench(&file);
    let dataset = bench.dataset(&format("coco", options()));
    assert_eq!(dataset.target().names, ["car", "ant", "zebra"]);
    assert_eq!(dataset.target().class_ids, [3, 17, 90]);
    assert_eq!(dataset.target().class_id(1), 17);
    let train = dataset.split(Train).unwrap();
    // By the names of the images; what has no objects stays, and what the file does not name is no sample.
    assert_eq!([0, 1, 2].map(|index| train.image_id(index)), [-4, 139, 7]);
    assert_eq!(train.origin(1), "images/b.png");
    assert_eq!(train.len(), 3);
    assert_eq!(train.objects(2).unwrap(), []);
    let found = train.objects(1).unwrap();
    let sides = [found[0].left, found[0].top, found[0].width, found[0].height];
    assert_eq!(
        (sides, found[0].class, found[0].area),
        ([1.1, 2.2, 3.3, 4.4], 2, 7.5)
    );
    assert!(found[1].crowd && !found[1].counts() && found[0].counts());

    let mut chosen = options();
    chosen["classes"] = json!(["zebra", "car"]);
    chosen["crowd"] = json!("drop");
    let dataset = bench.dataset(&format("coco", chosen.clone()));
    assert_eq!(dataset.target().names, ["zebra", "car"]);
    assert_eq!(dataset.target().class_ids, [90, 3]);
    let train = dataset.split(Train).unwrap();
    assert_eq!(train.objects(0).unwrap(), []);
    assert_eq!(train.objects(1).unwrap().len(), 1);
    let notices = bench.notices.lock().unwrap().clone();
    assert!(
        notices.contains(&"1 object of categories that `classes` does not name is left out".to_owned()),
        "{notices:?}"
    );
    chosen["classes"] = json!(["zebre"]);
    assert_eq!(
        told(
            &bench,
            &bench.prepare(&format("coco", chosen)).unwrap_err().to_string()
        ),
        "`input/annotations/train.json`: it has no category `zebre`, which `classes` names: did you mean `zebra`?"
    );
}

#[test]
fn ids_that_are_places_are_not_kept() {
    let usual = |ids: [i64; 3]| {
        let images = json!([
            image(ids[0], "a.png"),
            image(ids[1], "b.png"),
            image(ids[2], "c.png")
        ]);
        let bench =
            bench(&json!({"images": images, "annotations": [], "categories": [{"id": 1, "name": "car"}]}));
        let dataset = bench.dataset(&format("coco", options()));
        let train = dataset.split(Train).unwrap();
        assert_eq!([0, 1, 2].map(|index| train.image_id(index)), ids);
        assert!(dataset.target().class_ids.is_empty());
        dataset.schema().fields().len()
    };
    assert_eq!(usual([1, 2, 3]), 3);
    assert_eq!(usual([1, 3, 2]), 4);
    assert_eq!(usual([0, 1, 2]), 4);
}

#[test]
fn splits_have_files_of_their_own() {
    let file = |id: i64, name: &str| {
        json!({"images": [image(id, name)], "annotations": [], "categories": categories()}).to_string()
    };
    let bench = bench(&json!({"images": [image(1, "a.png")], "annotations": [], "categories": categories()}));
    bench.file("annotations/val.json", file(2, "b.png").as_bytes());
    bench.file("other.json", file(3, "c.png").as_bytes());
    let dataset = bench.dataset(&format("coco", options()));
    assert_eq!(dataset.splits().collect::<Vec<_>>(), [Train, Val]);
    let by_split = json!({"train": "annotations/train.json", "test": "other.json"});
    let dataset = bench.dataset(&format(
        "coco",
        json!({"annotations": by_split, "images": "images"}),
    ));
    assert_eq!(dataset.splits().collect::<Vec<_>>(), [Train, Test]);
    let mut renamed = json!({"images": [], "annotations": [], "categories": categories()});
    renamed["categories"][0]["name"] = json!("horse");
    bench.file("annotations/val.json", renamed.to_string().as_bytes());
    assert_eq!(
        told(
            &bench,
            &bench.prepare(&format("coco", options())).unwrap_err().to_string()
        ),
        "`input/annotations/val.json`: its category 90 is `horse`, and that of another split is `zebra`: give a category the \
         same id in all files"
    );
}

#[test]
fn all_that_is_wrong_is_told_at_once() {
    let annotations = [
        annotation(1, 1, 3, json!([1, 1, 5, 5])),
        annotation(1, 1, 3, json!([1, 1, 5, 5])),
        annotation(2, 99, 3, json!([1, 1, 5, 5])),
        annotation(3, 1, 4, json!([1, 1, 5, 5])),
        annotation(4, 1, 3, json!([30, 1, 5, 5])),
        annotation(5, 1, 3, json!([40, 1, 5, 5])),
        annotation(6, 1, 3, json!([1, 1, 0, 5])),
        annotation(7, 1, 3, json!([1, 1, null, 5])),
        annotation(8, 1, 3, json!([1, 1, 5])),
        annotation(9, 2, 3, json!([1, 1, 5, 5])),
    ];
    let file = json!({
        "images": [
            image(1, "a.png"), image(1, "b.png"), image(2, "missing.png"), image(3, "a.png"), image(4, "../a.png"),
            {"id": 5, "file_name": "c.png", "height": 32, "width": 32}, image(6, "broken.png"),
        ],
        "annotations": annotations,
        "categories": categories(),
    });
    let mut bench = bench(&file);
    // As Python writes what is no number.
    let text = file.to_string().replace("[1,1,null,5]", "[1, 1, NaN, 5]");
    assert!(text.contains("NaN"));
    bench
        .file("annotations/train.json", text.as_bytes())
        .file("images/broken.png", b"no image");
    let message = told(&bench, &bench.error(&format("coco", options())));
    insta::assert_snapshot!("all_problems", message);

    bench.on_error = OnError::Skip;
    let prepared = bench.prepare(&format("coco", options())).unwrap();
    // Images: those told twice, missing, elsewhere, of another size, broken.
    assert_eq!(prepared.skipped, 6);
    let dataset = Dataset::open(&bench.output()).unwrap();
    let train = dataset.split(Train).unwrap();
    assert_eq!((train.len(), train.objects(0).unwrap().len()), (1, 1));
    let list = fs::read_to_string(bench.output().join("problems.csv")).unwrap();
    insta::assert_snapshot!("listed_problems", told(&bench, &list));

    bench.on_error = OnError::Clip;
    fs::remove_file(bench.output().join("problems.csv")).unwrap();
    bench.prepare(&format("coco", options())).unwrap();
    let train = Dataset::open(&bench.output()).unwrap().split(Train).unwrap();
    let found = train.objects(0).unwrap();
    assert_eq!((found.len(), found[1].left, found[1].width), (2, 30.0, 2.0));
    let list = fs::read_to_string(bench.output().join("problems.csv")).unwrap();
    assert!(list.contains("annotation 4: its box"), "{list}");
}

#[test]
fn masks_are_read_in_all_forms() {
    let form = |segmentation: Value| {
        let mut object = annotation(1, 1, 3, json!([2, 1, 3, 3]));
        object["segmentation"] = segmentation;
        let file =
            json!({"images": [image(1, "a.png")], "annotations": [object], "categories": categories()});
        let bench = bench(&file);
        let mut options = options();
        options["task"] = json!("segmentation");
        (format("coco", options), bench)
    };
    let pixels = |segmentation: Value| {
        let (format, bench) = form(segmentation);
        let dataset = bench.dataset(&format);
        assert_eq!(dataset.target().names, ["background", "car", "ant", "zebra"]);
        dataset.split(Train).unwrap().pixel_classes(0).unwrap().to_vec()
    };
    let mut expected = vec![0; 16 * 32];
    (1..4).for_each(|y| expected[y * 32 + 2..][..3].fill(1));
    let counts = [33, 3, 13, 3, 13, 3, 444];
    assert_eq!(pixels(json!({"size": [16, 32], "counts": counts})), expected);
    let text = crate::metric::mask::RunLengths::new(16, 32, counts.to_vec())
        .unwrap()
        .to_text();
    assert_eq!(pixels(json!({"size": [16, 32], "counts": text})), expected);
    assert_eq!(pixels(json!([[2, 1, 5, 1, 5, 4, 2, 4]])), expected);
    for (segmentation, expected) in [
        (json!([]), "it has no `segmentation`"),
        (json!([[1, 2, 3, 4]]), "its polygons are none"),
        (
            json!({"size": [16, 32], "counts": [13, 3]}),
            "its run lengths are none",
        ),
        (
            json!({"size": [8, 64], "counts": [512]}),
            "its mask has 8x64 pixels (height x width), and its image 16x32",
        ),
        (json!("x"), "its `segmentation` is neither a list of polygons"),
    ] {
        let (format, bench) = form(segmentation);
        let message = bench.error(&format);
        assert!(
            message.contains(&format!("annotation 1: {expected}")),
            "{message}"
        );
    }
}

#[test]
fn pixels_of_several_classes_and_of_crowds_count_as_none() {
    let square = |id: i64, category: i64, left: i64| {
        let mut object = annotation(id, 1, category, json!([left, 0, 2, 1]));
        object["segmentation"] = json!([[left, 0, left + 2, 0, left + 2, 1, left, 1]]);
        object
    };
    let mut crowd = square(4, 3, 6);
    crowd["iscrowd"] = json!(1);
    let annotations = json!([square(1, 3, 0), square(2, 17, 1), square(3, 17, 2), crowd]);
    let file = json!({"images": [image(1, "a.png")], "annotations": annotations, "categories": categories()});
    let mut options = options();
    options["task"] = json!("segmentation");
    let dataset = bench(&file).dataset(&format("coco", options));
    let split = dataset.split(Train).unwrap();
    assert_eq!(
        split.pixel_classes(0).unwrap()[..9],
        [1, 255, 2, 2, 0, 0, 255, 255, 0]
    );
}

#[test]
fn images_that_exif_data_turn_are_told() {
    let file = json!({"images": [{"id": 1, "file_name": "t.png", "height": 32, "width": 16}], "annotations": [], "categories": categories()});
    let bench = bench(&file);
    // A chunk that turns the image by a quarter, behind the header.
    let mut bytes = png(9, SIZE);
    let mut chunk = b"eXIfII*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0".to_vec();
    let length = (chunk.len() as u32 - 4).to_be_bytes();
    chunk.extend(crc32fast::hash(&chunk).to_be_bytes());
    bytes.splice(33..33, [&length[..], &chunk].concat());
    bench.file("images/t.png", &bytes);
    let message = told(&bench, &bench.error(&format("coco", options())));
    assert!(
        message.contains("its EXIF data turn it by a quarter: write `exif_orientation: true`"),
        "{message}"
    );
    let mut upright = options();
    upright["exif_orientation"] = json!(true);
    let dataset = bench.dataset(&format("coco", upright));
    assert_eq!(dataset.input().dimensions.size(), Some([32, 16]));
}
