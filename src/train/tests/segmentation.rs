//! Training on classes of pixels.

use candle_core::{Device, Tensor};
use serde_json::{Value, json};

use super::super::tasks::Criterion;
use super::super::testing::{Bench, recipe};
use super::*;
use crate::data::{Array, ArrayValues};
use crate::schema::NO_PIXEL_CLASS;
use crate::spec::SplitName::{Train, Val};

const NONE: u8 = NO_PIXEL_CLASS;

fn unet(changes: Value) -> crate::spec::Train {
    let mut given = json!({
        "model": {"unet": {"width": 4, "depth": 1}},
        "batch_size": 4,
        "optimizer": {"adamw": {"lr": 0.02}},
    });
    for (key, value) in changes.as_object().unwrap() {
        given[key] = value.clone();
    }
    recipe(given)
}

fn target() -> ModelTarget {
    ModelTarget {
        task: "segmentation".to_owned(),
        names: ["a", "b", "c"].map(str::to_owned).to_vec(),
        width: None,
        scale: None,
    }
}

fn masks(pixels: &[u8], samples: usize) -> Array {
    let dimensions = vec![samples, 1, 2, pixels.len() / samples / 2];
    Array::stacked(ArrayValues::U8(pixels.to_vec()), dimensions)
}

fn criterion() -> Box<dyn Criterion> {
    Segmentation.criterion(&target(), None, false).unwrap()
}

#[test]
fn rectangles_are_found_and_pixels_without_a_class_do_not_count() {
    let bench = Bench::masks(&[(Train, 40), (Val, 10)]);
    let trained = bench.train(&unet(json!({"epochs": 6}))).unwrap();
    let last = trained.history.last().unwrap().metrics();
    let figure = |name: &str| last.number(name).unwrap();
    assert!(figure("val_miou") > 0.95, "{last:?}");
    assert!(
        figure("val_pixel_accuracy") > 0.97 && figure("train_pixel_accuracy") > 0.9,
        "{last:?}"
    );
    assert_eq!(trained.card.target.names, ["ground", "thing"]);
}

/// Every fifth sample has no pixel that counts, and a batch of one such sample neither loss nor gradient.
#[test]
fn batches_in_which_nothing_counts_are_no_trouble() {
    let bench = Bench::masks(&[(Train, 10), (Val, 5)]);
    let trained = bench
        .train(&unet(
            json!({"batch_size": 1, "epochs": 2, "augment": [{"random_vertical_flip": {}}]}),
        ))
        .unwrap();
    for row in &trained.history {
        assert!(row.train_loss.0.is_finite() && row.train_loss.0 > 0.0);
    }
}

/// The sum over the pixels that count divided by their number; `tests/fixtures/unet.json` holds the same to PyTorch.
#[test]
fn the_loss_is_the_mean_over_the_pixels_that_count() {
    let logits: Vec<f32> = (0..24)
        .map(|place| ((place * 7 % 11) as f32 - 5.0) / 4.0)
        .collect();
    let outputs = Tensor::from_vec(logits.clone(), (2, 2, 2, 3), &Device::Cpu).unwrap();
    let pixels = [0, 1, NONE, 2, NONE, NONE, 2, 0];
    let targets = masks(&pixels, 2);
    let criterion = criterion();
    assert_eq!((criterion.weight(&targets), criterion.scored(&targets)), (5.0, 5));
    let loss = criterion.loss(&outputs, &targets, 5.0).unwrap();
    let expected: f64 = pixels
        .iter()
        .zip(logits.chunks_exact(3))
        .filter(|(class, _)| **class != NONE)
        .map(|(class, row)| {
            let sum: f64 = row.iter().map(|logit| f64::from(*logit).exp()).sum();
            sum.ln() - f64::from(row[usize::from(*class)])
        })
        .sum::<f64>()
        / 5.0;
    assert!((f64::from(loss.to_scalar::<f32>().unwrap()) - expected).abs() < 1e-6);
    // By samples, for figures of a split.
    let by_sample = criterion.sample_losses(&logits, &targets).unwrap();
    assert_eq!([by_sample[0].1, by_sample[1].1], [3.0, 2.0]);
    assert!(((by_sample[0].0 + by_sample[1].0) / 5.0 - expected).abs() < 1e-12);

    let nothing = masks(&[NONE; 8], 2);
    assert_eq!(criterion.weight(&nothing), 0.0);
    let loss = criterion.loss(&outputs, &nothing, 0.0).unwrap();
    assert_eq!(loss.to_scalar::<f32>().unwrap(), 0.0);
    assert_eq!(
        criterion.sample_losses(&logits, &nothing).unwrap(),
        [(0.0, 0.0); 2]
    );
    let score = criterion.score(&outputs, &nothing).unwrap();
    assert_eq!(score.to_scalar::<f64>().unwrap(), 0.0);
}

/// Two images, as `metric::segmentation` has them.
#[test]
fn figures_are_those_of_all_pixels_of_the_split() {
    let truth = [0u8, 0, 1, 1, 0, 0, 1, NONE, 0, 2, 2, NONE]
        .into_iter()
        .chain([0; 12]);
    let predicted = [
        0u8, 0, 1, 0, 0, 1, 1, 1, 0, 2, 2, 2, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 3,
    ];
    let mut truth: Vec<u8> = truth.collect();
    truth[12..].copy_from_slice(&[0, 0, 0, 0, 0, 1, 1, 0, 0, 0, 0, 0]);
    let targets = masks(&truth, 2);
    let bench = Bench::masks(&[(Train, 2)]);
    let split = crate::data::Dataset::open(&bench.data())
        .unwrap()
        .split(Train)
        .unwrap();
    let mut tally = Segmentation.tally(4, &[]);
    for (place, mask) in predicted.chunks_exact(12).enumerate() {
        let outputs: Vec<f32> = mask
            .iter()
            .flat_map(|class| (0..4).map(move |other| if other == *class { 1.0 } else { 0.0 }))
            .collect();
        tally
            .add_served(&outputs, (&targets, place), &split, place)
            .unwrap();
    }
    assert_eq!(tally.figure("miou"), Some(0.566_176_470_588_235_3));
    assert_eq!(tally.figure("pixel_accuracy"), Some(0.818_181_818_181_818_2));
    let folder = tempfile::tempdir().unwrap();
    let names = ["a", "b", "c", "d"].map(str::to_owned);
    for metric in ["confusion", "per_class"] {
        tally.write(metric, &names, folder.path()).unwrap();
    }
    let read = |name: &str| fs::read_to_string(folder.path().join(name)).unwrap();
    assert_eq!(
        read("confusion.csv"),
        "class,a,b,c,d\na,13,1,0,1\nb,2,3,0,0\nc,0,0,2,0\nd,0,0,0,0\n"
    );
    let classes = read("classes.csv");
    assert!(
        classes.starts_with("class,precision,recall,f1,support,iou\n"),
        "{classes}"
    );
    assert!(
        classes.ends_with("c,1.0,1.0,1.0,2,1.0\nd,0.0,0.0,0.0,0,0.0\n"),
        "{classes}"
    );
}

/// What a step divides by is what its batches weigh once images were changed, in however many parts they are served.
#[test]
fn parts_of_a_step_weigh_what_they_are_served() {
    let bench = Bench::masks(&[(Train, 8), (Val, 2)]);
    let changes = |batch_size: u32, accumulate: u32| {
        // Without batch norm the parts would be the whole; with it they are near enough to tell a wrong divisor.
        let changes = json!({
            "batch_size": batch_size, "accumulate": accumulate, "epochs": 1, "optimizer": {"sgd": {"lr": 0.01}},
            "augment": [{"random_crop": {"padding": 6}}],
        });
        bench.train(&unet(changes)).unwrap()
    };
    let (whole, parts) = (changes(4, 1), changes(2, 2));
    let loss = |trained: &Trained| trained.history[0].train_loss.0;
    assert!(
        (loss(&whole) / loss(&parts) - 1.0).abs() < 0.15,
        "{} {}",
        loss(&whole),
        loss(&parts)
    );
}
