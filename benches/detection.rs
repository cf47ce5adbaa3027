//! How long COCO's figures of boxes take: `cargo bench --bench detection -- FILE`. The file is what
//! `benches/detection_speed.py` writes, which compares it with pycocotools.
//!
//! Prints the seconds from boxes in memory to figures, and the figures, as a line of JSON.
#![allow(clippy::print_stdout, reason = "what a benchmark is for")]

use std::time::Instant;

use erlen::metric::detection::{BoxSets, CocoEvaluation, Detection, GroundTruth};
use serde_json::{Value, json};

fn main() {
    let Some(path) = std::env::args()
        .skip(1)
        .find(|argument| !argument.starts_with('-'))
    else {
        return println!("run by benches/detection_speed.py");
    };
    let text = std::fs::read_to_string(path).expect("the file of boxes");
    let file: Value = serde_json::from_str(&text).expect("JSON");
    let list = |name: &str| file[name].as_array().expect("a list");
    let ids = |name: &str| -> Vec<i64> { list(name).iter().map(|row| id(&row["id"])).collect() };
    let (images, categories) = (ids("images"), ids("categories"));
    let truths: Vec<GroundTruth> = list("annotations")
        .iter()
        .map(|row| GroundTruth {
            image: id(&row["image_id"]),
            category: id(&row["category_id"]),
            bbox: bbox(&row["bbox"]),
            area: number(&row["area"]),
            crowd: row["iscrowd"] == 1,
        })
        .collect();
    let detections: Vec<Detection> = list("detections")
        .iter()
        .map(|row| Detection {
            image: id(&row["image_id"]),
            category: id(&row["category_id"]),
            bbox: bbox(&row["bbox"]),
            score: number(&row["score"]),
        })
        .collect();
    let start = Instant::now();
    let sets = BoxSets::new(&images, &categories, &truths, &detections).expect("known ids");
    let evaluation = CocoEvaluation::new(&sets, CocoEvaluation::LIMITS).expect("limits");
    let figures = evaluation.figures().stats().map(|figure| figure.unwrap_or(-1.0));
    let seconds = start.elapsed().as_secs_f64();
    println!("{}", json!({"seconds": seconds, "stats": figures}));
}

fn id(value: &Value) -> i64 {
    value.as_i64().expect("an id")
}

fn number(value: &Value) -> f64 {
    value.as_f64().expect("a number")
}

fn bbox(value: &Value) -> [f64; 4] {
    std::array::from_fn(|side| number(&value[side]))
}
