//! Scenes for tests, written as each format has them.

use std::io::Cursor;

use image::{GrayImage, ImageFormat, Luma};
use serde_json::{Value, json};

use crate::data::testing::Bench;
use crate::spec::{Format, SplitName};

/// Height and width of the images: powers of 2, so that shares of them are exact.
pub const SIZE: [u32; 2] = [16, 32];

/// The classes, in the order of their names.
pub const CLASSES: [&str; 3] = ["bolt", "nut", "washer"];

/// An image's split and name, and its objects: the class, and left, top, width and height.
pub type Sketch = (SplitName, &'static str, Vec<(usize, [u32; 4])>);

/// Three images to train with, one of them without objects, and one to test with.
pub fn sketches() -> Vec<Sketch> {
    vec![
        (
            SplitName::Train,
            "a",
            vec![(1, [1, 2, 5, 6]), (0, [20, 3, 12, 13])],
        ),
        (SplitName::Train, "b", Vec::new()),
        (SplitName::Train, "c", vec![(2, [0, 0, 7, 5])]),
        (SplitName::Test, "d", vec![(0, [4, 4, 8, 8]), (2, [16, 0, 3, 16])]),
    ]
}

pub fn png(shade: u8, [height, width]: [u32; 2]) -> Vec<u8> {
    let image = GrayImage::from_fn(width, height, |x, y| {
        Luma([shade.wrapping_add((x * 3 + y * 5) as u8)])
    });
    encoded(&image)
}

fn encoded(image: &GrayImage) -> Vec<u8> {
    let mut bytes = Vec::new();
    image
        .write_to(&mut Cursor::new(&mut bytes), ImageFormat::Png)
        .unwrap();
    bytes
}

/// The options of a format.
pub fn format(name: &str, options: Value) -> Format {
    serde_json::from_value(json!({ name: options })).unwrap()
}

/// The message without the folder that nobody can know before.
pub fn told(bench: &Bench, message: &str) -> String {
    message.replace(&bench.input().display().to_string(), "input")
}

/// The images of the sketches, at `SPLIT/images/NAME.png`.
pub fn with_images(bench: &Bench, sketches: &[Sketch]) {
    for (index, (split, name, _)) in sketches.iter().enumerate() {
        bench.file(
            &format!("{}/images/{name}.png", split.as_str()),
            &png(index as u8 * 40, SIZE),
        );
    }
}

/// `SPLIT/coco.json`, whose ids are counted from 1, and masks as polygons.
pub fn with_coco(bench: &Bench, sketches: &[Sketch]) {
    let [height, width] = SIZE;
    for split in SplitName::ALL {
        let (mut images, mut annotations) = (Vec::new(), Vec::new());
        for (_, name, objects) in sketches.iter().filter(|(of, ..)| *of == split) {
            let image = images.len() + 1;
            images.push(
                json!({"id": image, "file_name": format!("{name}.png"), "height": height, "width": width}),
            );
            for (class, [left, top, wide, high]) in objects {
                let (right, bottom) = (left + wide, top + high);
                annotations.push(json!({
                    "id": annotations.len() + 1, "image_id": image, "category_id": class + 1,
                    "bbox": [left, top, wide, high], "area": wide * high, "iscrowd": 0,
                    "segmentation": [[left, top, right, top, right, bottom, left, bottom]],
                }));
            }
        }
        if !images.is_empty() {
            let categories: Vec<Value> = (1..)
                .zip(CLASSES)
                .map(|(id, name)| json!({"id": id, "name": name}))
                .collect();
            let file = json!({"images": images, "annotations": annotations, "categories": categories});
            bench.file(
                &format!("{}/coco.json", split.as_str()),
                file.to_string().as_bytes(),
            );
        }
    }
}

/// `Annotations/NAME.xml` and `lists/SPLIT.txt`.
pub fn with_voc(bench: &Bench, sketches: &[Sketch]) {
    let [height, width] = SIZE;
    for split in SplitName::ALL {
        let mut list = String::new();
        for (_, name, objects) in sketches.iter().filter(|(of, ..)| *of == split) {
            let objects: String = objects
                .iter()
                .map(|(class, place)| voc_object(CLASSES[*class], *place, ""))
                .collect();
            let text = voc_file(&format!("{name}.png"), [height, width], &objects);
            bench.file(&format!("Annotations/{name}.xml"), text.as_bytes());
            list += &format!("{name}\n");
        }
        if !list.is_empty() {
            bench.file(&format!("lists/{}.txt", split.as_str()), list.as_bytes());
        }
    }
}

pub fn voc_file(name: &str, [height, width]: [u32; 2], objects: &str) -> String {
    format!(
        "<?xml version=\"1.0\"?>\n<annotation><filename>{name}</filename><size><width>{width}</width><height>{height}</height>\
         <depth>1</depth></size>{objects}</annotation>\n"
    )
}

/// An object whose pixels are counted from 1, with something more in it.
pub fn voc_object(class: &str, [left, top, wide, high]: [u32; 4], more: &str) -> String {
    let [xmin, ymin, xmax, ymax] = [left + 1, top + 1, left + wide, top + high];
    format!(
        "<object><name>{class}</name>{more}<bndbox><xmin>{xmin}</xmin><ymin>{ymin}</ymin><xmax>{xmax}</xmax>\
         <ymax>{ymax}</ymax></bndbox></object>"
    )
}

/// `SPLIT/labels/NAME.txt`, none where there is no object, and `data.yaml`.
pub fn with_yolo(bench: &Bench, sketches: &[Sketch]) {
    let [height, width] = SIZE.map(f64::from);
    for (split, name, objects) in sketches {
        let line = |(class, place): &(usize, [u32; 4])| {
            let [left, top, wide, high] = place.map(f64::from);
            let (x, y) = ((left + wide / 2.0) / width, (top + high / 2.0) / height);
            format!("{class} {x} {y} {} {}\n", wide / width, high / height)
        };
        let text: String = objects.iter().map(line).collect();
        if !text.is_empty() {
            bench.file(&format!("{}/labels/{name}.txt", split.as_str()), text.as_bytes());
        }
    }
    bench.file(
        "data.yaml",
        b"path: .\nnc: 3\nnames:\n  0: bolt\n  1: nut\n  2: washer\n",
    );
}

/// `SPLIT/masks/NAME.png`: the class of each pixel, counted from 1.
pub fn with_masks(bench: &Bench, sketches: &[Sketch]) {
    let [height, width] = SIZE;
    for (split, name, objects) in sketches {
        let mut mask = GrayImage::new(width, height);
        for (class, [left, top, wide, high]) in objects {
            for (y, x) in (*top..top + high).flat_map(|y| (*left..left + wide).map(move |x| (y, x))) {
                mask.put_pixel(x, y, Luma([*class as u8 + 1]));
            }
        }
        bench.file(&format!("{}/masks/{name}.png", split.as_str()), &encoded(&mask));
    }
}
