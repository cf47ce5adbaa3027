//! Tests of whole lists of changes.

use serde_json::{Value, json};

use super::testing::{image, stream};
use super::*;
use crate::data::testing::with_classes;

/// Images of 3x12x10 pixels.
fn color() -> Field {
    images(3, 12, 10)
}

fn images(channels: usize, height: usize, width: usize) -> Field {
    Field::image("image", Dimensions::image(channels, Some([height, width])))
}

fn various() -> Field {
    Field::image("image", Dimensions::image(3, None))
}

fn table() -> Field {
    Field::features("features", ["x", "y", "z"].map(str::to_owned).to_vec())
}

fn specs(changes: &Value) -> Vec<spec::Augment> {
    serde_json::from_value(changes.clone()).unwrap()
}

fn augmentation(changes: &Value, input: Field) -> Augmentation {
    Augmentation::new(&specs(changes), &with_classes(input)).unwrap()
}

fn error(changes: &Value, input: Field) -> String {
    let error = Augmentation::new(&specs(changes), &with_classes(input)).err();
    error.expect("these changes are refused").to_string()
}

/// One of every kind that changes single images.
fn all() -> Vec<Value> {
    vec![
        json!({"resize": {"size": [9, 14]}}),
        json!({"center_crop": {"size": 8}}),
        json!({"random_crop": {"padding": 4}}),
        json!({"random_resized_crop": {"size": 8}}),
        json!({"random_horizontal_flip": {}}),
        json!({"random_vertical_flip": {}}),
        json!({"random_rotation": {"degrees": 90}}),
        json!({"random_affine": {"degrees": 20, "translate": [0.2, 0.2], "scale": [0.7, 1.2], "shear": 5}}),
        json!({"color_jitter": {"brightness": 0.4, "contrast": 0.4, "saturation": 0.4, "hue": 0.1}}),
        json!({"random_grayscale": {"p": 0.5}}),
        json!({"gaussian_blur": {"kernel_size": 3}}),
        json!({"random_erasing": {"p": 0.7}}),
        json!({"trivial_augment": {}}),
        json!({"rand_augment": {}}),
    ]
}

#[test]
fn nothing_changes_nothing() {
    for input in [color(), table()] {
        let none = augmentation(&json!([]), input.clone());
        assert!(none.is_empty() && !none.mixes());
        assert_eq!(none.input_after(), &input);
    }
}

#[test]
fn one_stream_gives_one_result_and_the_shape_is_the_one_that_was_told() {
    for change in all() {
        let augmentation = augmentation(&json!([change]), color());
        let mut results = std::collections::BTreeSet::new();
        for item in 0..40 {
            let apply = || {
                let mut changed = image(3, 12, 10);
                augmentation.apply(&mut changed, &mut stream(item));
                assert_eq!(
                    augmentation.input_after(),
                    &images(changed.channels, changed.height, changed.width)
                );
                assert_eq!(
                    changed.pixels.len(),
                    augmentation.input_after().dimensions.len().unwrap()
                );
                changed.pixels
            };
            let pixels = apply();
            assert_eq!(pixels, apply(), "{change}");
            results.insert(pixels);
        }
        let is_random = !["resize", "center_crop"].contains(&specs(&json!([change]))[0].name());
        assert_eq!(results.len() > 1, is_random, "{change}");
    }
}

#[test]
fn draws_do_not_depend_on_the_picture() {
    for change in all() {
        let augmentation = augmentation(&json!([change]), color());
        for item in 0..50 {
            let next = |fill: fn(usize) -> u8| {
                let mut changed = image(3, 12, 10);
                for (at, pixel) in changed.pixels.iter_mut().enumerate() {
                    *pixel = fill(at);
                }
                let mut draws = stream(item);
                augmentation.apply(&mut changed, &mut draws);
                draws.next_u64()
            };
            let expected = next(|_| 0);
            assert_eq!(next(|_| 255), expected, "{change}");
            assert_eq!(next(|at| (at * 89 % 251) as u8), expected, "{change}");
        }
    }
}

#[test]
fn grey_images_go_through_all_that_needs_no_color() {
    for mut change in all() {
        if let Some(jitter) = change.get_mut("color_jitter") {
            *jitter = json!({"brightness": 0.4, "contrast": 0.4});
        }
        for (height, width) in [(12, 10), (5, 30)] {
            let augmentation = augmentation(&json!([change]), images(1, height, width));
            for item in 0..30 {
                let mut changed = image(1, height, width);
                augmentation.apply(&mut changed, &mut stream(item));
                assert_eq!(
                    changed.pixels.len(),
                    augmentation.input_after().dimensions.len().unwrap(),
                    "{change}"
                );
            }
        }
    }
}

#[test]
fn tiny_images_of_various_sizes_go_through_everything() {
    for change in all() {
        let augmentation = augmentation(&json!([change]), various());
        for (height, width) in [(1, 1), (1, 7), (9, 1), (2, 2), (3, 4)] {
            for item in 0..30 {
                let mut changed = image(3, height, width);
                augmentation.apply(&mut changed, &mut stream(item));
                let len = 3 * changed.height * changed.width;
                assert_eq!(changed.pixels.len(), len, "{change} {height}x{width}");
            }
        }
    }
}

#[test]
fn shapes_follow_the_list() {
    let after = |changes: Value, shape| augmentation(&changes, shape).input_after().clone();
    let side = json!({"resize": {"size": 16}});
    assert_eq!(after(json!([side]), various()), various());
    assert_eq!(after(json!([side]), images(3, 32, 48)), images(3, 16, 24));
    assert_eq!(
        after(json!([side, {"center_crop": {"size": [8, 9]}}]), various()),
        images(3, 8, 9)
    );
    assert_eq!(
        after(
            json!([{"resize": {"size": [8, 9]}}, {"random_vertical_flip": {}}]),
            various()
        ),
        images(3, 8, 9)
    );
    assert_eq!(
        after(json!([{"random_crop": {"padding": 2}}]), various()),
        various()
    );
    assert_eq!(
        after(json!([{"random_crop": {"size": 7}}]), various()),
        images(3, 7, 7)
    );
    assert_eq!(
        after(
            json!([{"random_resized_crop": {"size": 7}}, {"mixup": {}}]),
            color()
        ),
        images(3, 7, 7)
    );
}

#[test]
fn what_does_not_fit_the_images_is_refused() {
    let flip = json!({"random_horizontal_flip": {}});
    assert!(error(&json!([flip]), table()).contains("remove `augment`"));
    assert!(error(&json!([{"mixup": {}}]), table()).contains("remove `augment`"));
    assert_eq!(
        error(&json!([{"mixup": {}}, flip]), color()),
        "`mixup`: it mixes finished samples, so `random_horizontal_flip`, which changes single images, cannot \
         follow: move it to the end of the list"
    );
    assert_eq!(
        error(&json!([{"gaussian_blur": {"kernel_size": 2}}]), color()),
        "`gaussian_blur`: a kernel of 2 pixels has no middle: choose an odd number"
    );
    // What fits depends on what came before.
    let crop = json!({"random_crop": {"size": 16, "padding": 2}});
    assert_eq!(
        error(&json!([crop]), color()),
        "`random_crop`: 16x16 pixels cannot be cropped from 12x10 with 2 of padding: choose a smaller `size` or \
         more `padding`"
    );
    augmentation(&json!([{"resize": {"size": 12}}, crop]), color());
    let hue = json!({"color_jitter": {"hue": 0.1}});
    assert!(error(&json!([hue]), images(1, 8, 8)).starts_with("`color_jitter`: the data is grey"));
    for change in [json!({"trivial_augment": {}}), json!({"random_grayscale": {}})] {
        assert!(error(&json!([change]), images(2, 8, 8)).contains("the data has 2"));
    }
    let large = json!({"resize": {"size": 60_000}});
    assert!(error(&json!([large]), color()).contains("too large"));
}

#[test]
fn erasing_fills_with_the_means() {
    let erasing = json!([{"random_erasing": {"p": 1, "scale": [0.2, 0.2]}}]);
    let mut changed = image(3, 12, 10);
    changed.pixels.fill(255);
    let augmentation = augmentation(&erasing, color()).with_means(&[0.5, 0.25, 2.0]);
    augmentation.apply(&mut changed, &mut stream(0));
    let values: Vec<Vec<u8>> = changed
        .pixels
        .chunks(120)
        .map(|plane| {
            let values: std::collections::BTreeSet<u8> = plane.iter().copied().collect();
            values.into_iter().collect()
        })
        .collect();
    assert_eq!(values, [vec![128, 255], vec![64, 255], vec![255]]);
}

#[test]
fn each_sample_draws_one_of_the_mixings() {
    let both = augmentation(&json!([{"mixup": {}}, {"cutmix": {}}]), color());
    assert!(both.mixes() && both.is_empty());
    let (mut blended, mut pasted) = (0, 0);
    for item in 0..400 {
        let (mut own, other) = (vec![0f32; 360], vec![1f32; 360]);
        let share = both.mix(&mut own, &other, [3, 12, 10], &mut stream(item));
        // The mean says how much of the other sample there is; the share says the same.
        let mean = own.iter().sum::<f32>() / 360.0;
        assert!((share as f32 + mean - 1.0).abs() < 1e-4, "{share} {mean}");
        if own.iter().all(|value| *value == 0.0 || *value == 1.0) {
            pasted += 1;
        } else {
            blended += 1;
        }
    }
    assert!(
        (150..250).contains(&blended) && pasted + blended == 400,
        "{blended} {pasted}"
    );
    let none = augmentation(&json!([]), color());
    let mut kept = vec![1f32; 360];
    assert_eq!(none.mix(&mut kept, &[0.0; 360], [3, 12, 10], &mut stream(0)), 1.0);
    assert_eq!(kept, [1.0; 360]);
}

#[test]
fn evaluation_goes_through_the_same_chain() {
    let transforms: Vec<spec::EvalTransform> =
        serde_json::from_value(json!([{"resize": {"size": 9}}, {"center_crop": {"size": 8}}])).unwrap();
    let specs: Vec<spec::Augment> = transforms.iter().map(spec::Augment::from).collect();
    let chain = Augmentation::new(&specs, &with_classes(color())).unwrap();
    assert_eq!(chain.input_after(), &images(3, 8, 8));
}
