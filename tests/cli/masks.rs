//! Classes of pixels: from images with masks to masks of new images.

use std::borrow::Cow;
use std::io::Cursor;

use png::{BitDepth, ColorType, Decoder, Encoder};

use crate::project::Project;

const SIDE: usize = 16;

/// A PNG of a byte a pixel; with a palette where it is a mask.
fn png(form: ColorType, [width, height]: [usize; 2], pixels: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = Encoder::new(&mut bytes, width as u32, height as u32);
    encoder.set_color(form);
    encoder.set_depth(BitDepth::Eight);
    if form == ColorType::Indexed {
        encoder.set_palette(Cow::Owned(
            (0..=255).flat_map(|value| [255 - value, 9, value]).collect(),
        ));
    }
    encoder.write_header().unwrap().write_image_data(pixels).unwrap();
    bytes
}

/// A bright rectangle and its mask.
fn scene(number: usize, [width, height]: [usize; 2]) -> (Vec<u8>, Vec<u8>) {
    let (left, top) = (number * 5 % 8, number * 3 % 7);
    let (mut pixels, mut mask) = (Vec::new(), Vec::new());
    for place in 0..width * height {
        let (x, y) = (place % width, place / width);
        let is_in = (left..left + width / 2).contains(&x) && (top..top + height / 2).contains(&y);
        pixels.push((if is_in { 180 } else { 50 }) + ((x * 7 + y * 13 + number) % 20) as u8);
        mask.push(match is_in {
            // What lies at the border counts as neither.
            true if x == left => 255,
            inside => u8::from(inside),
        });
    }
    (pixels, mask)
}

const PIPELINE: &str = "
stages:
  data:
    preprocess:
      input: ./scenes
      format: {masks: {classes: [ground, thing], color: gray}}
      split: {val: 0.2}
  model:
    train:
      data: data
      model: {unet: {width: 4, depth: 2}}
      epochs: 8
      batch_size: 4
      optimizer: {adamw: {lr: 0.02}}
      augment: [{random_crop: {padding: 2}}, random_vertical_flip]
      select: best
  test:
    evaluate: {model: model, data: data, metrics: [miou, dice, pixel_accuracy, confusion, per_class]}
  weights:
    export: {model: model, format: {onnx: {opset: 17}}, metrics: [test]}
  new:
    predict: {model: model, input: ./new}
";

fn project() -> Project {
    let project = Project::new().with("p.yaml", PIPELINE);
    for (split, numbers) in [("train", 0..20), ("test", 20..25)] {
        for number in numbers {
            let (pixels, mask) = scene(number, [SIDE; 2]);
            let name = format!("{number:02}.png");
            project.write(
                &format!("scenes/{split}/images/{name}"),
                png(ColorType::Grayscale, [SIDE; 2], &pixels),
            );
            project.write(
                &format!("scenes/{split}/masks/{name}"),
                png(ColorType::Indexed, [SIDE; 2], &mask),
            );
        }
    }
    for (name, size) in [("wide.png", [40, 24]), ("more/small.png", [11, 13])] {
        let (pixels, _) = scene(3, size);
        project.write(&format!("new/{name}"), png(ColorType::Grayscale, size, &pixels));
    }
    project
}

/// Width, height and values of a mask.
fn values(bytes: &[u8]) -> ([u32; 2], Vec<u8>) {
    let mut reader = Decoder::new(Cursor::new(bytes)).read_info().unwrap();
    assert_eq!(reader.info().color_type, ColorType::Indexed);
    let size = [reader.info().width, reader.info().height];
    let mut values = vec![0; (size[0] * size[1]) as usize];
    reader.next_frame(&mut values).unwrap();
    (size, values)
}

#[test]
fn pixels_are_learnt_measured_exported_and_predicted() {
    let project = project();
    project.erlen(["check", "p.yaml"]).assert_code(0);
    project
        .erlen(["run", "p.yaml"])
        .assert_code(0)
        .assert_stderr("val_miou");
    let metrics = |stage: &str| -> serde_json::Value {
        project
            .erlen([
                "get",
                "p.yaml",
                &format!("{stage}/metrics.json"),
                "-o",
                &format!("{stage}.json"),
            ])
            .assert_code(0);
        serde_json::from_str(&project.read(&format!("{stage}.json"))).unwrap()
    };
    let test = metrics("test");
    for (figure, least) in [("miou", 0.8), ("dice", 0.85), ("pixel_accuracy", 0.9)] {
        assert!(test[figure].as_f64().unwrap() > least, "{test}");
    }
    project
        .erlen(["get", "p.yaml", "test", "-o", "test"])
        .assert_code(0);
    assert!(
        project
            .read("test/confusion.csv")
            .starts_with("class,ground,thing\nground,")
    );
    assert!(
        project
            .read("test/classes.csv")
            .starts_with("class,precision,recall,f1,support,iou\nground,")
    );

    project
        .erlen(["get", "p.yaml", "weights", "-o", "weights"])
        .assert_code(0);
    let card: serde_json::Value = serde_json::from_str(&project.read("weights/model.json")).unwrap();
    assert_eq!(card["output"]["layout"], "N,classes,H,W");
    assert!(project.path("weights/model.onnx").exists());

    // The stage's masks have the sizes of the images, and the command's are the same.
    project
        .erlen(["get", "p.yaml", "new", "-o", "new-masks"])
        .assert_code(0);
    let rows = project.read("new-masks/predictions.csv");
    assert!(
        rows.starts_with("sample,mask,pixels ground,pixels thing\nmore/small.png,masks/more/small.png.png,"),
        "{rows}"
    );
    let read = |path: &str| std::fs::read(project.path(path)).unwrap();
    let wide = values(&read("new-masks/masks/wide.png.png"));
    assert_eq!(wide.0, [40, 24]);
    assert_eq!(values(&read("new-masks/masks/more/small.png.png")).0, [11, 13]);
    assert!(wide.1.iter().all(|class| *class <= 1) && wide.1.contains(&1));
    project
        .erlen(["predict", "p.yaml", "new", "-o", "rows.csv"])
        .assert_code(0);
    assert!(
        project
            .read("rows.csv")
            .contains("new/wide.png,rows.masks/new/wide.png.png,")
    );
    assert_eq!(
        read("rows.masks/new/wide.png.png"),
        read("new-masks/masks/wide.png.png")
    );
    project
        .erlen(["predict", "p.yaml", "new"])
        .assert_code(1)
        .assert_stderr("masks are files: `erlen predict` with `--output rows.csv` writes them into a folder beside the rows");
    project
        .erlen(["get", "p.yaml", "model", "-o", "kept"])
        .assert_code(0);
    project
        .erlen(["serve", "kept", "--bind", "127.0.0.1:0"])
        .assert_code(1)
        .assert_stderr("it says something of each pixel, and masks are not served yet");
}

#[test]
fn the_same_bytes_on_one_thread_and_on_two() {
    let artifacts = |cpus: &str| {
        let project = project();
        let limited = format!("  model:\n    resources: {{cpus: {cpus}}}\n");
        project.write("p.yaml", PIPELINE.replace("  model:\n", &limited));
        project.erlen(["run", "p.yaml"]).assert_code(0);
        project.artifacts(&["p.yaml"])
    };
    assert_eq!(artifacts("1"), artifacts("2"));
}

#[test]
fn what_does_not_fit_is_told_before_anything_runs() {
    let project = project();
    for (place, other, told) in [
        (
            "{unet: {width: 4, depth: 2}}",
            "conv_net",
            "`conv_net` says something of whole images, and `data` has classes of pixels to predict",
        ),
        (
            "masks: {classes: [ground, thing], color: gray}",
            "image_folder: {}",
            "`unet` says something of each pixel, and `data` has classes to predict",
        ),
        (
            "metrics: [miou, ",
            "metrics: [accuracy, ",
            "`accuracy` is not defined: `data` has classes of pixels to predict",
        ),
        ("[miou, ", "[predictions, ", "`predictions` is not defined"),
        (
            "random_vertical_flip]",
            "mixup]",
            "`mixup`: it blends samples, and `mask` cannot be blended",
        ),
    ] {
        project.write("q.yaml", PIPELINE.replace(place, other));
        let finished = project.erlen(["run", "q.yaml", "test"]);
        assert_ne!(finished.code, Some(0), "{told}");
        // Lines are broken where they are long.
        let told_in_one: Vec<&str> = finished
            .stderr
            .split_whitespace()
            .filter(|word| *word != "│")
            .collect();
        assert!(
            told_in_one.join(" ").contains(told),
            "{told}: {}",
            finished.stderr
        );
    }
}

/// Each broken input with the message that it stops with.
#[test]
fn broken_masks_stop_before_training_and_say_what_to_write() {
    let project = project();
    let (pixels, mask) = scene(1, [SIDE; 2]);
    let image = png(ColorType::Grayscale, [SIDE; 2], &pixels);
    let smooth: Vec<u8> = mask
        .iter()
        .enumerate()
        .map(|(place, class)| {
            if place % 40 == 0 {
                3 + (place / 40) as u8
            } else {
                *class
            }
        })
        .collect();
    project.write("scenes/train/images/alone.png", &image);
    project.write(
        "scenes/train/masks/orphan.png",
        png(ColorType::Indexed, [SIDE; 2], &mask),
    );
    project.write("scenes/train/images/other-size.png", &image);
    project.write(
        "scenes/train/masks/other-size.png",
        png(ColorType::Indexed, [8, 32], &mask),
    );
    project.write("scenes/train/images/smooth.png", &image);
    project.write(
        "scenes/train/masks/smooth.png",
        png(ColorType::Grayscale, [SIDE; 2], &smooth),
    );
    project.write("scenes/train/images/in-colour.png", &image);
    project.write(
        "scenes/train/masks/in-colour.png",
        png(ColorType::Rgb, [SIDE; 2], &[7; SIDE * SIDE * 3]),
    );
    let finished = project.erlen(["run", "p.yaml", "data"]);
    finished.assert_code(1);
    let folder = project.path("").display().to_string();
    let told = finished.stderr.replace(folder.trim_end_matches('/'), "PROJECT");
    let start = told.find("`PROJECT/scenes`").expect("the message");
    let end = told.find("to leave them out").expect("the advice");
    insta::assert_snapshot!("broken_masks", &told[start..end]);

    project.write(
        "p.yaml",
        PIPELINE.replace("split: {val", "on_error: skip\n      split: {val"),
    );
    project
        .erlen(["run", "p.yaml", "data"])
        .assert_code(0)
        .assert_stderr("`problems.csv` lists them");
    project
        .erlen(["get", "p.yaml", "data/problems.csv", "-o", "problems.csv"])
        .assert_code(0);
    insta::assert_snapshot!(
        "problems",
        project
            .read("problems.csv")
            .replace(folder.trim_end_matches('/'), "PROJECT")
    );
}
