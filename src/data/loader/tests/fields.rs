//! Tests of samples of all kinds of fields, and of those from outside a dataset.

use super::*;
use crate::data::{Example, Object};
use crate::schema::{ElementType, FieldRole, NO_PIXEL_CLASS};

/// Left, top, width, height, class, area and flags.
const OBJECT: [f32; 7] = [1.0, 1.0, 2.0, 1.0, 0.0, 2.0, 0.0];

/// A file of whose samples every kind of field is a part: 6 samples of 1x4x5 pixels.
fn mixed_fields(folder: &Path) -> Split {
    let size = Some([4, 5]);
    let schema = Schema::new(vec![
        Field::image("image", Dimensions::image(1, size)),
        Field::tokens("words", ElementType::U16),
        Field::tokens("ids", ElementType::I32),
        Field::image("other", Dimensions::image(1, size)),
        Field::objects("boxes", vec!["thing".into()]),
        Field::mask("mask", Dimensions::image(1, size)),
        Field::text("text"),
        Field::weight("weight"),
    ]);
    let mut writer = DatasetWriter::create(folder, schema.unwrap()).unwrap();
    for index in 0..6usize {
        let pixels: Vec<u8> = (0..20).map(|at| (at * 3 + index * 20) as u8).collect();
        let words: Vec<u8> = (0..index as u16).flat_map(u16::to_le_bytes).collect();
        let ids = (-(index as i32)).to_le_bytes();
        let objects = Object::write(&vec![Object::from_row(OBJECT.map(f64::from)); index % 3]);
        let weight = bytes_of(&[index as f32]);
        let text = "é".repeat(index);
        let rows = |bytes, rows| FieldValue {
            bytes,
            dimensions: Dimensions::row(rows),
        };
        let values = [
            FieldValue::pixels(&pixels, [1, 4, 5]),
            rows(&words, index),
            rows(&ids, 1),
            FieldValue::pixels(&pixels, [1, 4, 5]),
            objects.as_value(),
            FieldValue::pixels(&pixels, [1, 4, 5]),
            FieldValue::text(&text),
            FieldValue {
                bytes: &weight,
                dimensions: Dimensions::SCALAR,
            },
        ];
        writer.push(&values, "sample").unwrap();
    }
    writer.finish(&[SplitName::Train; 6]).unwrap();
    train(&Dataset::open(folder).unwrap())
}

#[test]
fn several_inputs_boxes_masks_texts_and_weights_reach_the_batch() {
    let folder = tempfile::tempdir().unwrap();
    let split = mixed_fields(folder.path());
    let mut options = config(&split);
    options.augment = changes(r#"[{"random_crop": {"padding": 1}}, {"random_horizontal_flip": {"p": 0.5}}]"#);
    options.normalization = Normalization {
        mean: vec![0.0],
        std: vec![1.0],
    };
    options.batch_size = 4;
    let loader = Loader::new(split.clone(), options.clone()).unwrap();
    let batches = collect(&loader, 0, 0);
    for threads in [1, 3] {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .unwrap();
        let loader = pool.install(|| Loader::new(split.clone(), options.clone()).unwrap());
        assert_eq!(collect(&loader, 0, 0), batches);
    }
    for batch in &batches {
        assert!(
            loader
                .schema()
                .fields()
                .iter()
                .map(|field| &field.name)
                .eq(batch.fields.keys())
        );
        let count = batch.samples.len();
        let field = |name: &str| batch.field(name).unwrap();
        // What is the same picture stays the same picture, whatever becomes of it.
        assert_eq!(field("image"), field("other"));
        let ArrayValues::U8(mask) = &field("mask").values else {
            panic!("masks are bytes");
        };
        // Beside it images are black, and masks have no class.
        let pixel = |value: &u8| match *value {
            NO_PIXEL_CLASS => 0.0,
            value => f32::from(value) / 255.0,
        };
        let scaled: Vec<f32> = mask.iter().map(pixel).collect();
        assert_eq!(field("image").f32(), Some(&scaled[..]));
        assert_eq!(field("mask").dimensions, [count, 1, 4, 5]);
        let lengths = |name: &str| -> Vec<u64> {
            let offsets = field(name).offsets.clone().unwrap();
            offsets.windows(2).map(|pair| pair[1] - pair[0]).collect()
        };
        let wanted = |length: fn(u64) -> u64| -> Vec<u64> {
            batch
                .samples
                .iter()
                .map(|sample| length(u64::from(*sample)))
                .collect()
        };
        assert_eq!(lengths("words"), wanted(|sample| sample));
        assert_eq!(lengths("boxes"), wanted(|sample| sample % 3));
        assert_eq!(lengths("text"), wanted(|sample| 2 * sample));
        assert_eq!(field("boxes").dimensions[1], 7);
        let objects = Object::of_numbers(field("boxes").f64().unwrap());
        assert!(
            objects
                .iter()
                .all(|object| object.width == 2.0 && object.area == 2.0)
        );
        let ids: Vec<i64> = batch.samples.iter().map(|sample| -i64::from(*sample)).collect();
        assert_eq!(field("ids").values, ArrayValues::I64(ids));
        let weights: Vec<f32> = batch.samples.iter().map(|sample| *sample as f32).collect();
        assert_eq!(field("weight").f32(), Some(&weights[..]));
        assert_eq!(field("weight").dimensions, [count]);
    }
    options.collation = Collation::Pad { token: 7 };
    let padded = collect(&Loader::new(split, options).unwrap(), 0, 0);
    for (packed, padded) in batches.iter().zip(&padded) {
        let (packed, padded) = (packed.field("words").unwrap(), padded.field("words").unwrap());
        assert_eq!(packed.offsets, padded.offsets);
        let longest = padded.dimensions[1];
        let offsets = padded.offsets.clone().unwrap();
        for (row, ends) in padded.u32().unwrap().chunks(longest).zip(offsets.windows(2)) {
            let own = (ends[1] - ends[0]) as usize;
            assert_eq!(
                row[..own],
                packed.u32().unwrap()[ends[0] as usize..ends[1] as usize]
            );
            assert!(row[own..].iter().all(|token| *token == 7));
        }
    }
}

#[test]
fn a_mask_of_another_size_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let schema = Schema::new(vec![
        Field::image("image", Dimensions::image(1, None)),
        Field::mask("mask", Dimensions::image(1, None)),
    ]);
    let mut writer = DatasetWriter::create(folder.path(), schema.unwrap()).unwrap();
    for height in [2, 3] {
        let image = FieldValue::pixels(&[1; 6], [1, height, 6 / height]);
        let mask = FieldValue::pixels(&[1; 6], [1, 2, 3]);
        writer.push(&[image, mask], &format!("{height}.png")).unwrap();
    }
    writer.finish(&[SplitName::Train; 2]).unwrap();
    let split = train(&Dataset::open(folder.path()).unwrap());
    let mut options = config(&split);
    options.augment = changes(r#"[{"resize": {"size": [2, 2]}}]"#);
    options.order = SampleOrder::Given;
    let loader = Loader::new(split, options).unwrap();
    let error = loader.epoch(0, 0).next().unwrap().unwrap_err().to_string();
    assert!(
        error.contains("sample `3.png`: its `mask` has 2x3 pixels (height x width), and its image 3x2"),
        "{error}"
    );
}

/// A pipeline for what a network is shown of `split`, that does what the loader of `options` does.
fn pipeline(split: &Split, options: &LoaderConfig) -> SamplePipeline {
    let options = PipelineOptions {
        augment: options.augment.clone(),
        normalization: options.normalization.clone(),
        target_scale: None,
        collation: options.collation,
    };
    SamplePipeline::new(&split.schema().inputs(), options).unwrap()
}

#[test]
fn samples_from_outside_give_the_loaders_batches_bit_for_bit() {
    // Image files of various sizes, brought to one.
    let [left, right, table] = [0, 1, 2].map(|_| tempfile::tempdir().unwrap());
    let files = files(left.path(), true, &[]);
    let pixels = decoded(right.path(), &files);
    let mut options = config(&files);
    options.augment = changes(r#"[{"resize": {"size": 9}}, {"center_crop": {"size": [8, 7]}}]"#);
    options.order = SampleOrder::Given;
    options.batch_size = 20;
    let examples: Vec<Example> = (0..20)
        .map(|index| Example::default().with_image_file("image", png(index, 5 + index % 3, 6 + index % 2)))
        .collect();
    for split in [&files, &pixels] {
        let served = collect(&Loader::new(split.clone(), options.clone()).unwrap(), 0, 0);
        let own = pipeline(split, &options).batch(&examples).unwrap();
        assert_eq!(own.fields["image"], served[0].fields["image"]);
        assert_eq!(own.fields.len(), 1);
        // One by one they are the same as together.
        let alone = pipeline(split, &options).batch(&examples[7..8]).unwrap();
        let len = inputs(&alone).len();
        assert_eq!(inputs(&alone), &inputs(&own)[7 * len..8 * len]);
    }

    // Rows by the names of their columns.
    let rows = rows(table.path(), Field::numbers("targets", two_names()));
    let mut options = config(&rows);
    options.augment.clear();
    options.order = SampleOrder::Given;
    let served = collect(&Loader::new(rows.clone(), options.clone()).unwrap(), 0, 0);
    let pipeline = pipeline(&rows, &options);
    let row = |name: &str, number: f32| {
        let row = [(name.to_owned(), number)].into_iter().collect();
        Example::default().with_named_numbers("features", row)
    };
    let examples: Vec<Example> = (0..6u8).map(|index| row("x", f32::from(index))).collect();
    let own = pipeline.batch(&examples).unwrap();
    assert_eq!(own.fields["features"], served[0].fields["features"]);
    let ordered = Example::default().with_numbers("features", vec![5.0]);
    assert_eq!(inputs(&pipeline.batch(&[ordered]).unwrap()), &inputs(&own)[5..]);

    for (example, expected) in [
        (
            Example::default(),
            "sample 0 of the request: `features` is missing",
        ),
        (row("y", 1.0), "`features` has no `y`"),
        (
            row("x", 1.0).with_text("more", "text"),
            "`more` is none of what is asked for (`features`)",
        ),
        (
            Example::default().with_numbers("features", vec![1.0, 2.0]),
            "its `features` is 2, and 1 columns is asked for",
        ),
    ] {
        let error = pipeline.batch(&[example]).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn every_kind_of_field_can_come_from_outside() {
    let folder = tempfile::tempdir().unwrap();
    let split = mixed_fields(folder.path());
    let mut options = config(&split);
    options.augment.clear();
    options.order = SampleOrder::Given;
    let served = collect(&Loader::new(split.clone(), options.clone()).unwrap(), 0, 0);
    let options = PipelineOptions {
        augment: Vec::new(),
        normalization: options.normalization,
        target_scale: None,
        collation: options.collation,
    };
    let mut fields = split.schema().fields().to_vec();
    fields.retain(|field| field.role != FieldRole::Origin);
    let schema = Schema::new(fields).unwrap();
    let pipeline = SamplePipeline::new(&schema, options).unwrap();
    let examples: Vec<Example> = (0..6usize)
        .map(|index| {
            let pixels: Vec<u8> = (0..20).map(|at| (at * 3 + index * 20) as u8).collect();
            let objects = vec![OBJECT; index % 3].as_flattened().to_vec();
            Example::default()
                .with_pixels("image", pixels.clone(), [1, 4, 5])
                .with_integers("words", (0..index as i64).collect())
                .with_integers("ids", vec![-(index as i64)])
                .with_pixels("other", pixels.clone(), [1, 4, 5])
                .with_numbers("boxes", objects)
                .with_pixels("mask", pixels, [1, 4, 5])
                .with_text("text", &"é".repeat(index))
                .with_numbers("weight", vec![index as f32])
        })
        .collect();
    assert_eq!(pipeline.batch(&examples).unwrap(), served[0]);
    let wrong = examples[0].clone().with_integers("words", vec![70_000]);
    let error = pipeline.batch(&[wrong]).unwrap_err().to_string();
    assert!(error.contains("70000 does not fit `words`"), "{error}");
}
