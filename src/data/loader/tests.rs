//! Tests of the loader.

mod fields;
mod mixing;

use std::io::Cursor;
use std::path::Path;
use std::time::{Duration, Instant};

use super::*;
use crate::data::testing::{bytes_of, images, label, with_classes};
use crate::data::{ArrayValues, Batch, Dataset, DatasetWriter, FieldValue, SampleOrder};
use crate::schema::{Dimensions, Field, FieldKind};
use crate::spec::SplitName;

fn augment() -> Vec<spec::Augment> {
    let crop = spec::RandomCropOptions {
        size: None,
        padding: 2,
    };
    let flip = spec::RandomFlipOptions {
        p: spec::Probability::new(0.5).unwrap(),
    };
    vec![
        spec::Augment::RandomCrop(crop),
        spec::Augment::RandomHorizontalFlip(flip),
    ]
}

fn config(split: &Split) -> LoaderConfig {
    LoaderConfig {
        batch_size: 8,
        augment: augment(),
        normalization: Normalization::measure(split).unwrap(),
        target_scale: None,
        collation: Collation::Pack,
        order: SampleOrder::Shuffled,
        seed: 3,
        prefetch: 2,
    }
}

fn train(dataset: &Dataset) -> Split {
    dataset.split(SplitName::Train).unwrap()
}

/// What the network is shown.
fn inputs(batch: &Batch) -> &[f32] {
    let (_, inputs) = batch.fields.first().unwrap();
    inputs.f32().unwrap()
}

/// What it is judged by.
fn targets(batch: &Batch) -> &ArrayValues {
    let (_, targets) = batch.fields.last().unwrap();
    &targets.values
}

fn collect(loader: &Loader, epoch: u32, first: usize) -> Vec<Batch> {
    loader.epoch(epoch, first).map(Result::unwrap).collect()
}

#[test]
fn an_epoch_has_every_sample_once() {
    let folder = tempfile::tempdir().unwrap();
    let split = train(&images(folder.path(), 50));
    let loader = Loader::new(split.clone(), config(&split)).unwrap();
    assert_eq!((loader.batches(), loader.samples()), (7, 50));
    let mut orders = Vec::new();
    for epoch in 0..2 {
        let batches = collect(&loader, epoch, 0);
        assert!(
            batches
                .iter()
                .enumerate()
                .all(|(index, batch)| batch.index == index)
        );
        assert_eq!(batches[6].samples.len(), 2);
        let order: Vec<u32> = batches.iter().flat_map(|batch| batch.samples.clone()).collect();
        for batch in &batches {
            let labels: Vec<u32> = batch
                .samples
                .iter()
                .map(|sample| label(&split, *sample as usize))
                .collect();
            assert_eq!(inputs(batch).len(), labels.len() * 192);
            assert_eq!(targets(batch), &ArrayValues::U32(labels));
        }
        assert_eq!(loader.order(epoch), order);
        let mut sorted = order.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, (0..50).collect::<Vec<_>>());
        assert_ne!(sorted, order);
        orders.push(order);
    }
    assert_ne!(orders[0], orders[1]);
}

#[test]
fn threads_and_restarts_do_not_matter() {
    let folder = tempfile::tempdir().unwrap();
    let split = train(&images(folder.path(), 50));
    let loader = Loader::new(split.clone(), config(&split)).unwrap();
    let whole = collect(&loader, 5, 0);
    for threads in [1, 2, 3] {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .unwrap();
        let loader = pool.install(|| Loader::new(split.clone(), config(&split)).unwrap());
        assert_eq!(collect(&loader, 5, 0), whole);
    }
    assert_eq!(collect(&loader, 5, 3), whole[3..]);
    assert_eq!(collect(&loader, 5, 7), []);
    assert_eq!(collect(&loader, 5, 9), []);
    // A sample's augmentation does not depend on its batch.
    let other = LoaderConfig {
        batch_size: 50,
        order: SampleOrder::Given,
        ..config(&split)
    };
    let all = &collect(&Loader::new(split.clone(), other).unwrap(), 5, 0)[0];
    for batch in &whole {
        for (sample, input) in batch.samples.iter().zip(inputs(batch).chunks(192)) {
            assert_eq!(input, &inputs(all)[*sample as usize * 192..][..192]);
        }
    }
    let reseeded = LoaderConfig {
        seed: 4,
        ..config(&split)
    };
    assert_ne!(collect(&Loader::new(split, reseeded).unwrap(), 5, 0), whole);
}

#[test]
fn without_augmentation_inputs_are_the_normalised_samples() {
    let folder = tempfile::tempdir().unwrap();
    let split = train(&images(folder.path(), 20));
    let plain = LoaderConfig {
        augment: Vec::new(),
        order: SampleOrder::Given,
        ..config(&split)
    };
    let normalization = plain.normalization.clone();
    let batches = collect(&Loader::new(split.clone(), plain).unwrap(), 0, 0);
    let values: Vec<f32> = batches.iter().flat_map(inputs).copied().collect();
    let mut sample = Vec::new();
    for (index, inputs) in values.chunks(192).enumerate() {
        split.read_sample(index, &mut sample).unwrap();
        for (at, (value, input)) in sample.iter().zip(inputs).enumerate() {
            let channel = at / 64;
            let expected = (value - normalization.mean[channel]) / normalization.std[channel];
            assert_eq!(*input, expected);
        }
    }
    for channel in 0..3 {
        let values = values.chunks(64).skip(channel).step_by(3).flatten();
        let count = 64.0 * 20.0;
        let mean = values.clone().map(|value| f64::from(*value)).sum::<f64>() / count;
        let variance = values
            .map(|value| (f64::from(*value) - mean).powi(2))
            .sum::<f64>()
            / count;
        assert!(
            mean.abs() < 1e-5 && (variance - 1.0).abs() < 1e-5,
            "{mean} {variance}"
        );
    }
}

#[test]
fn tables_are_normalised_and_not_augmented() {
    let folder = tempfile::tempdir().unwrap();
    let schema = with_classes(Field::features("features", vec!["x".into(), "y".into()]));
    let mut writer = DatasetWriter::create(folder.path(), schema).unwrap();
    for row in [[1.0, 5.0], [3.0, 5.0]] {
        writer
            .push(&[FieldValue::row(&bytes_of(&row), 2)], "row")
            .unwrap();
    }
    writer
        .finish_with_classes(vec!["a".into()], &[0, 0], &[SplitName::Train; 2])
        .unwrap();
    let split = train(&Dataset::open(folder.path()).unwrap());
    let normalization = Normalization::measure(&split).unwrap();
    let expected = Normalization {
        mean: vec![2.0, 5.0],
        std: vec![1.0, 1.0],
    };
    assert_eq!(normalization, expected);
    let mut options = config(&split);
    let error = Loader::new(split.clone(), options.clone()).err().unwrap();
    assert!(error.to_string().contains("remove `augment`"), "{error}");
    options.augment.clear();
    options.order = SampleOrder::Given;
    let batches = collect(&Loader::new(split.clone(), options.clone()).unwrap(), 0, 0);
    assert_eq!(inputs(&batches[0]), [-1.0, 0.0, 1.0, 0.0]);
    options.order = SampleOrder::Spread(1);
    let one = Loader::new(split.clone(), options.clone()).unwrap();
    assert_eq!((one.samples(), one.batches(), one.order(3)), (1, 1, vec![0]));
    let batches = collect(&one, 0, 0);
    assert_eq!((batches.len(), inputs(&batches[0]).len()), (1, 2));
    options.order = SampleOrder::Given;
    options.batch_size = 0;
    assert!(Loader::new(split.clone(), options.clone()).is_err());
    options.batch_size = 1;
    options.normalization.std.pop();
    assert!(Loader::new(split.clone(), options).is_err());
    let one_channel = spec::Normalize {
        mean: vec![0.5],
        std: vec![spec::Positive::new(0.5).unwrap()],
    };
    let columns = Field::features("features", two_names());
    assert!(Normalization::from_spec(&one_channel, &columns).is_err());
    let image = Field::image("image", Dimensions::image(1, Some([2, 2])));
    assert_eq!(Normalization::from_spec(&one_channel, &image).unwrap().std, [0.5]);
}

#[test]
fn dropping_ends_the_producer() {
    let folder = tempfile::tempdir().unwrap();
    let split = train(&images(folder.path(), 400));
    let mut options = config(&split);
    options.batch_size = 1;
    let loader = Loader::new(split, options).unwrap();
    let start = Instant::now();
    for taken in 0..20 {
        let mut batches = loader.epoch(0, 0);
        assert_eq!(batches.len(), 400);
        assert_eq!(batches.by_ref().take(taken).count(), taken);
        drop(batches);
        // The producer is gone: nobody but the loader holds the recipe.
        assert_eq!(Arc::strong_count(&loader.recipe), 1);
    }
    assert!(start.elapsed() < Duration::from_secs(20));
}

/// The bytes of a small picture's file.
fn png(index: u32, width: u32, height: u32) -> Vec<u8> {
    let image = image::RgbImage::from_fn(width, height, |x, y| {
        image::Rgb([(x * 40) as u8, (y * 30) as u8, (index * 12) as u8])
    });
    let mut bytes = Vec::new();
    image
        .write_to(&mut Cursor::new(&mut bytes), image::ImageFormat::Png)
        .unwrap();
    bytes
}

/// 20 image files of various sizes, or of 6x5 pixels, of which `broken` are cut off.
fn files(folder: &Path, various: bool, broken: &[u32]) -> Split {
    let schema = with_classes(Field::image_files("image", Dimensions::image(3, None)));
    let mut writer = DatasetWriter::create(folder, schema).unwrap();
    for index in 0..20u32 {
        let (width, height) = if various {
            (5 + index % 3, 6 + index % 2)
        } else {
            (5, 6)
        };
        let mut bytes = png(index, width, height);
        if broken.contains(&index) {
            bytes.truncate(bytes.len() / 2);
        }
        let size = Some([height as usize, width as usize]);
        let file = FieldValue::image_file(&bytes, 3, size);
        writer.push(&[file], &format!("{index}.png")).unwrap();
    }
    let labels: Vec<u32> = (0..20).map(|index| index % 2).collect();
    writer
        .finish_with_classes(vec!["a".into(), "b".into()], &labels, &[SplitName::Train; 20])
        .unwrap();
    train(&Dataset::open(folder).unwrap())
}

/// The same samples as pixels.
fn decoded(folder: &Path, files: &Split) -> Split {
    let schema = with_classes(Field::image("image", Dimensions::image(3, None)));
    let mut writer = DatasetWriter::create(folder, schema).unwrap();
    let mut pixels = Vec::new();
    for index in 0..files.len() {
        let [height, width] = files.read_image(index, &mut pixels).unwrap();
        let value = FieldValue::pixels(&pixels, [3, height, width]);
        writer.push(&[value], "pixels").unwrap();
    }
    let labels: Vec<u32> = (0..files.len()).map(|index| label(files, index)).collect();
    writer
        .finish_with_classes(vec!["a".into(), "b".into()], &labels, &[SplitName::Train; 20])
        .unwrap();
    train(&Dataset::open(folder).unwrap())
}

#[test]
fn files_and_their_pixels_give_the_same_batches() {
    let [left, right] = [0, 1].map(|_| tempfile::tempdir().unwrap());
    let files = files(left.path(), false, &[]);
    let pixels = decoded(right.path(), &files);
    assert_eq!(pixels.input().to_string(), "3x6x5");
    assert_eq!(files.input().dimensions, pixels.input().dimensions);
    assert_eq!(
        Normalization::measure(&files).unwrap(),
        Normalization::measure(&pixels).unwrap()
    );
    let whole = collect(&Loader::new(pixels.clone(), config(&pixels)).unwrap(), 2, 0);
    for threads in [1, 3] {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .unwrap();
        let loader = pool.install(|| Loader::new(files.clone(), config(&files)).unwrap());
        assert_eq!(collect(&loader, 2, 0), whole);
    }
    let mut plain = config(&files);
    plain.augment.clear();
    let files = collect(&Loader::new(files, plain.clone()).unwrap(), 0, 0);
    assert_eq!(files, collect(&Loader::new(pixels, plain).unwrap(), 0, 0));
}

#[test]
fn images_of_various_sizes_need_one_in_the_end() {
    let [left, right] = [0, 1].map(|_| tempfile::tempdir().unwrap());
    let files = files(left.path(), true, &[]);
    let pixels = decoded(right.path(), &files);
    let measured = Normalization::measure(&files).unwrap();
    assert_eq!(measured, Normalization::measure(&pixels).unwrap());
    // Every pixel counts once, whatever the size of its image.
    let (mut sum, mut count) = (0f64, 0f64);
    let mut sample = Vec::new();
    for index in 0..pixels.len() {
        pixels.read_sample(index, &mut sample).unwrap();
        let plane = &sample[..sample.len() / 3];
        sum += plane.iter().map(|value| f64::from(*value)).sum::<f64>();
        count += plane.len() as f64;
    }
    assert!((f64::from(measured.mean[0]) - sum / count).abs() < 1e-6);
    for split in [files, pixels] {
        let mut options = config(&split);
        options.augment.clear();
        let error = Loader::new(split, options).err().unwrap().to_string();
        assert!(
            error.contains("needs images of one size")
                && error.contains("add `resize: {size: [height, width]}`"),
            "{error}"
        );
    }
}

/// Changes as a pipeline file spells them.
fn changes(json: &str) -> Vec<spec::Augment> {
    serde_json::from_str(json).unwrap()
}

#[test]
fn images_of_various_sizes_are_brought_to_one() {
    let [left, right] = [0, 1].map(|_| tempfile::tempdir().unwrap());
    let files = files(left.path(), true, &[]);
    let pixels = decoded(right.path(), &files);
    for (augment, expected) in [
        (r#"[{"resize": {"size": [4, 7]}}]"#, "3x4x7"),
        (
            r#"[{"resize": {"size": 5}}, {"center_crop": {"size": 5}}]"#,
            "3x5x5",
        ),
        (
            r#"[{"random_resized_crop": {"size": [3, 2]}}, {"random_horizontal_flip": {}}]"#,
            "3x3x2",
        ),
    ] {
        let options = LoaderConfig {
            augment: changes(augment),
            ..config(&files)
        };
        let loader = Loader::new(pixels.clone(), options.clone()).unwrap();
        assert_eq!(loader.shape().unwrap().of_sample(), expected);
        let whole = collect(&loader, 1, 0);
        assert_eq!(whole.iter().map(|batch| batch.samples.len()).sum::<usize>(), 20);
        for batch in &whole {
            assert_eq!(
                inputs(batch).len(),
                batch.samples.len() * loader.shape().unwrap().len()
            );
        }
        let pool = rayon::ThreadPoolBuilder::new().num_threads(3).build().unwrap();
        let loader = pool.install(|| Loader::new(files.clone(), options).unwrap());
        assert_eq!(collect(&loader, 1, 0), whole);
    }
}

#[test]
fn an_image_that_would_become_too_large_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let split = files(folder.path(), true, &[]);
    let options = LoaderConfig {
        augment: changes(r#"[{"resize": {"size": 60000}}, {"center_crop": {"size": 4}}]"#),
        order: SampleOrder::Given,
        ..config(&split)
    };
    let loader = Loader::new(split, options).unwrap();
    let error = loader.epoch(0, 0).next().unwrap().unwrap_err().to_string();
    assert!(
        error.starts_with(
            "sample `0.png`: `resize` cannot change its 6x5 pixels (height x width): images of 72000x60000 \
             pixels are too large; choose"
        ),
        "{error}"
    );
}

#[test]
fn a_broken_image_file_ends_the_epoch_and_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let whole = tempfile::tempdir().unwrap();
    let options = config(&files(whole.path(), false, &[]));
    let split = files(folder.path(), false, &[9, 16]);
    // Of two, the first is named, whatever the threads.
    for threads in [1, 2, 3, 8] {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .unwrap();
        let measured = pool.install(|| Normalization::measure(&split));
        let error = measured.unwrap_err().to_string();
        assert!(error.contains("sample `9.png`: the image is corrupt"), "{error}");
    }
    let plain = LoaderConfig {
        order: SampleOrder::Given,
        batch_size: 4,
        ..options
    };
    let loader = Loader::new(split, plain).unwrap();
    let mut batches = loader.epoch(0, 0);
    assert_eq!(batches.by_ref().take(2).filter(Result::is_ok).count(), 2);
    let error = batches.next().unwrap().unwrap_err().to_string();
    assert!(error.contains("sample `9.png`: the image is corrupt"), "{error}");
    assert!(batches.next().is_none());
    assert_eq!(batches.len(), 0);
}

/// Rows `[i]` with the numbers `[2 i, 7]`, or the labels `[i is odd, 1]`.
fn rows(folder: &Path, target: Field) -> Split {
    let (kind, dimensions) = (target.kind, target.dimensions);
    let schema = Schema::new(vec![Field::features("features", vec!["x".into()]), target]).unwrap();
    let mut writer = DatasetWriter::create(folder, schema).unwrap();
    for index in 0..6u8 {
        let row = bytes_of(&[f32::from(index)]);
        let target = match kind {
            FieldKind::Numbers => bytes_of(&[2.0 * f32::from(index), 7.0]),
            _ => vec![index % 2, 1],
        };
        let target = FieldValue {
            bytes: &target,
            dimensions,
        };
        writer.push(&[FieldValue::row(&row, 1), target], "row").unwrap();
    }
    writer.finish(&[SplitName::Train; 6]).unwrap();
    train(&Dataset::open(folder).unwrap())
}

fn two_names() -> Vec<String> {
    vec!["y".into(), "z".into()]
}

#[test]
fn numbers_are_scaled_as_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let split = rows(folder.path(), Field::numbers("targets", two_names()));
    let (mean, std) = split.target_moments();
    assert_eq!((mean[0], mean[1], std[1]), (5.0, 7.0, 1.0));
    let mut options = config(&split);
    options.augment.clear();
    options.order = SampleOrder::Given;
    let loader = Loader::new(split.clone(), options.clone()).unwrap();
    let raw = vec![0.0, 7.0, 2.0, 7.0, 4.0, 7.0, 6.0, 7.0, 8.0, 7.0, 10.0, 7.0];
    assert_eq!(targets(&collect(&loader, 0, 0)[0]), &ArrayValues::F32(raw));

    options.target_scale = Some(TargetScale {
        mean: vec![5.0, 7.0],
        std: vec![2.0, 1.0],
    });
    let loader = Loader::new(split.clone(), options.clone()).unwrap();
    let scaled = vec![-2.5, 0.0, -1.5, 0.0, -0.5, 0.0, 0.5, 0.0, 1.5, 0.0, 2.5, 0.0];
    assert_eq!(targets(&collect(&loader, 0, 0)[0]), &ArrayValues::F32(scaled));

    let scale = |std: &[f32]| {
        Some(TargetScale {
            mean: vec![0.0; 2],
            std: std.to_vec(),
        })
    };
    for std in [&[1.0][..], &[1.0, 0.0], &[1.0, f32::NAN]] {
        options.target_scale = scale(std);
        assert!(Loader::new(split.clone(), options.clone()).is_err());
    }
    options.target_scale = scale(&[1.0, 1.0]);
    let labels = tempfile::tempdir().unwrap();
    let labels = rows(labels.path(), Field::labels("labels", two_names()));
    let error = Loader::new(labels, options).err().unwrap().to_string();
    assert!(error.contains("remove it"), "{error}");
}

#[test]
fn labels_are_zeros_and_ones() {
    let folder = tempfile::tempdir().unwrap();
    let split = rows(folder.path(), Field::labels("labels", two_names()));
    let mut options = config(&split);
    options.augment.clear();
    options.order = SampleOrder::Given;
    options.batch_size = 4;
    let loader = Loader::new(split, options).unwrap();
    let batches = collect(&loader, 0, 0);
    assert_eq!(
        targets(&batches[0]),
        &ArrayValues::F32(vec![0.0, 1.0, 1.0, 1.0, 0.0, 1.0, 1.0, 1.0])
    );
    assert_eq!(targets(&batches[1]), &ArrayValues::F32(vec![0.0, 1.0, 1.0, 1.0]));
}
