//! The same scenes in all formats, and boxes that are wrong.

use serde_json::json;

use super::object_box::PlacedObject;
use super::testing::*;
use super::*;
use crate::data::object::Object;
use crate::data::testing::Bench;
use crate::spec::SplitName::{Test, Train};
use crate::spec::TargetKind;

#[test]
fn the_same_scenes_are_one_dataset_whatever_the_format() {
    let (bench, sketches) = (Bench::new(), sketches());
    with_images(&bench, &sketches);
    with_coco(&bench, &sketches);
    with_voc(&bench, &sketches);
    with_yolo(&bench, &sketches);
    for more in [
        json!({}),
        json!({"size": [8, 64]}),
        json!({"store": "files", "color": "gray"}),
    ] {
        let with = |mut options: serde_json::Value| {
            let own = options.as_object_mut().unwrap();
            own.extend(more.as_object().unwrap().clone());
            options
        };
        let coco = with(json!({"annotations": "{split}/coco.json", "images": "{split}/images"}));
        let dataset = bench.dataset(&format("coco", coco));
        assert_eq!(dataset.task().unwrap(), TargetKind::Detection);
        assert_eq!(dataset.target().names, CLASSES);
        let train = dataset.split(Train).unwrap();
        assert_eq!(train.objects(1).unwrap(), []);
        assert_eq!(dataset.split(Test).unwrap().objects(0).unwrap().len(), 2);
        assert_eq!(train.origin(2), "train/images/c.png");
        let expected = bench.bytes();
        let voc = with(json!({"images": "{split}/images", "lists": "lists/{split}.txt", "origin": 1}));
        bench.dataset(&format("voc", voc));
        assert!(bench.bytes() == expected, "VOC {more}");
        bench.dataset(&format("yolo", with(json!({}))));
        assert!(bench.bytes() == expected, "YOLO {more}");
    }
}

#[test]
fn masks_of_objects_are_those_of_mask_files() {
    let (bench, sketches) = (Bench::new(), sketches());
    with_images(&bench, &sketches);
    with_coco(&bench, &sketches);
    with_masks(&bench, &sketches);
    for size in [json!(null), json!([8, 20])] {
        let masks = json!({"classes": ["background", "bolt", "nut", "washer"], "size": size});
        bench.dataset(&format("masks", masks));
        let expected = bench.bytes();
        let coco = json!({
            "annotations": "{split}/coco.json", "images": "{split}/images", "task": "segmentation", "size": size,
        });
        let dataset = bench.dataset(&format("coco", coco));
        assert_eq!(dataset.task().unwrap(), TargetKind::Segmentation);
        assert!(bench.bytes() == expected, "{size}");
    }
}

#[test]
fn boxes_are_scaled_with_their_images() {
    let (bench, sketches) = (Bench::new(), sketches());
    with_images(&bench, &sketches);
    with_yolo(&bench, &sketches);
    let dataset = bench.dataset(&format("yolo", json!({"size": [8, 64]})));
    let found = dataset.split(Train).unwrap().objects(0).unwrap();
    let expected = Object {
        left: 2.0,
        top: 1.0,
        width: 10.0,
        height: 3.0,
        class: 1,
        area: 30.0,
        crowd: false,
        difficult: false,
    };
    assert_eq!(found[0], expected);
}

fn object(place: ObjectPlace) -> SceneObject {
    SceneObject {
        name: "object 1".to_owned(),
        place,
        class: 0,
        area: None,
        crowd: false,
        difficult: false,
        outline: None,
    }
}

fn placed(place: ObjectPlace, clips: bool) -> Result<([f64; 4], f64, bool), String> {
    let PlacedObject { object, cut } = object(place).placed([10, 20], clips).map_err(|(_, told)| told)?;
    let found = [object.left, object.top, object.width, object.height];
    Ok((found, object.area, cut.is_some()))
}

#[test]
fn boxes_that_leave_their_images_are_cut_where_that_is_asked_for() {
    use ObjectPlace::{Edges, Middle, Pixels};
    // Within half a pixel boxes are kept as they are written, and shares cut without a word.
    let near = [-0.25, 0.0, 20.5, 10.25];
    assert_eq!(placed(Pixels(near), false), Ok((near, 20.5 * 10.25, false)));
    assert_eq!(
        placed(Edges([-0.0125, 0.0, 1.0125, 1.0]), false),
        Ok(([0.0, 0.0, 20.0, 10.0], 200.0, false))
    );
    assert_eq!(
        placed(Middle([0.5, 0.5, 1.0, 1.0]), false),
        Ok(([0.0, 0.0, 20.0, 10.0], 200.0, false))
    );
    let out = Pixels([15.0, -2.0, 10.0, 4.0]);
    assert_eq!(
        placed(out, false),
        Err("object 1: its box [15, -2, 10, 4] (left, top, width, height) reaches out of the image of 10x20 pixels \
             (height x width), by 5: mend it, or remove it"
            .to_owned())
    );
    assert_eq!(placed(out, true), Ok(([15.0, 0.0, 5.0, 2.0], 10.0, true)));
    for clips in [false, true] {
        let outside = placed(Pixels([30.0, 0.0, 2.0, 2.0]), clips).unwrap_err();
        assert!(outside.contains("lies outside of the image"), "{outside}");
        let flat = placed(Pixels([3.0, 4.0, 0.0, 2.0]), clips).unwrap_err();
        assert!(flat.contains("is 0 wide and 2 high"), "{flat}");
        let none = placed(Pixels([3.0, f64::NAN, 1.0, 2.0]), clips).unwrap_err();
        assert!(none.contains("has numbers that are none"), "{none}");
    }
}
