//! What is wrong with a list of changes to images, as far as that can be said without the images.

use super::augment::{Augment, Size};
use crate::spec::values::{NonNegative, Positive};

/// The longest side, padding or kernel that is taken for meant.
const LONGEST: u32 = 65_535;

/// The most changes that RandAugment makes of an image: as many as it has to choose from.
const MOST_OPS: u32 = 14;

/// A change that cannot be made, whatever the images.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AugmentMistake {
    /// Where the change stands in its list, from 0.
    pub index: usize,
    /// The change's name.
    pub change: &'static str,
    /// The path of the field inside the change; empty where it is the change itself.
    pub fields: &'static [&'static str],
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub help: &'static str,
}

/// All mistakes in `changes`: ranges that run backwards, numbers that no image fits, and mixing of
/// batches that is not the last.
pub fn augment_mistakes(changes: &[Augment]) -> Vec<AugmentMistake> {
    let mut mistakes = Vec::new();
    for (index, change) in changes.iter().enumerate() {
        let mut report = |fields, message: String, help| {
            mistakes.push(AugmentMistake {
                index,
                change: change.name(),
                fields,
                message: format!("`{}`: {message}", change.name()),
                help,
            });
        };
        if change.mixes() {
            check_place(changes, index, &mut report);
        } else {
            check_numbers(change, &mut report);
        }
    }
    mistakes
}

type Report<'a> = &'a mut dyn FnMut(&'static [&'static str], String, &'static str);

fn check_place(changes: &[Augment], index: usize, report: Report<'_>) {
    if let Some(later) = changes[index..].iter().find(|change| !change.mixes()) {
        let message = format!(
            "it mixes finished samples, so `{}`, which changes single images, cannot follow",
            later.name()
        );
        report(&[], message, "move it to the end of the list");
    }
    let name = changes[index].name();
    if changes[..index].iter().any(|change| change.name() == name) {
        report(&[], "it stands in the list twice".into(), "keep one of them");
    }
}

fn check_numbers(change: &Augment, report: Report<'_>) {
    match change {
        Augment::Resize(resize) => check_size(resize.size, report),
        Augment::CenterCrop(crop) => check_size(crop.size, report),
        Augment::RandomCrop(crop) => {
            if let Some(size) = crop.size {
                check_size(size, report);
            }
            check_pixels(&["padding"], crop.padding, report);
        }
        Augment::RandomResizedCrop(crop) => {
            check_size(crop.size, report);
            check_shares(&["scale"], crop.scale, report);
            check_order(&["ratio"], crop.ratio, report);
        }
        Augment::RandomAffine(affine) => {
            if let Some(scale) = affine.scale {
                check_order(&["scale"], scale, report);
            }
            if affine.shear.get() >= 90.0 {
                let message = format!("a shear of {} degrees has no finite size", affine.shear.get());
                report(&["shear"], message, "choose an angle under 90");
            }
        }
        Augment::ColorJitter(jitter) if jitter.hue.get() > 0.5 => {
            let message = format!("a hue of {} is more than half a turn", jitter.hue.get());
            report(&["hue"], message, "choose a number from 0 to 0.5");
        }
        Augment::GaussianBlur(blur) => {
            let side = blur.kernel_size.get();
            if side % 2 == 0 {
                let message = format!("a kernel of {side} pixels has no middle");
                report(&["kernel_size"], message, "choose an odd number");
            }
            check_pixels(&["kernel_size"], side, report);
            check_order(&["sigma"], blur.sigma, report);
        }
        Augment::RandomErasing(erasing) => {
            check_shares(&["scale"], erasing.scale, report);
            check_order(&["ratio"], erasing.ratio, report);
        }
        Augment::RandomIouCrop(crop) => {
            check_shares(&["scale"], crop.scale, report);
            check_order(&["ratio"], crop.ratio, report);
            if crop.overlaps.is_empty() {
                let message = "there is no overlap to draw".to_owned();
                report(&["overlaps"], message, "name some from 0 to 1, or leave it out");
            }
        }
        Augment::RandomZoomOut(zoom) => {
            check_order(&["side_range"], zoom.side_range, report);
            if zoom.side_range[0].get() < 1.0 {
                let message = format!(
                    "a canvas of {} times the image's sides is smaller than it",
                    zoom.side_range[0].get()
                );
                report(&["side_range"], message, "choose numbers from 1 on");
            }
        }
        Augment::RandomPhotometricDistort(distort) => {
            let factors = [
                (&["brightness"][..], distort.brightness),
                (&["contrast"], distort.contrast),
                (&["saturation"], distort.saturation),
            ];
            let factors = factors.map(|(field, range)| (field, range.map(NonNegative::get)));
            for (field, [least, most]) in factors.into_iter().chain([(&["hue"][..], distort.hue)]) {
                if least > most {
                    report(
                        field,
                        format!("{least} is more than {most}"),
                        "write the smaller number first",
                    );
                }
            }
            if distort.hue.iter().any(|hue| !(-0.5..=0.5).contains(hue)) {
                let message = format!(
                    "a hue of {} to {} is more than half a turn",
                    distort.hue[0], distort.hue[1]
                );
                report(&["hue"], message, "choose numbers from -0.5 to 0.5");
            }
        }
        Augment::RandAugment(policy) => {
            if policy.num_ops.get() > MOST_OPS {
                let message = format!("{} changes an image are over {MOST_OPS}", policy.num_ops);
                report(&["num_ops"], message, "choose a number from 1 to 14");
            }
            if policy.magnitude > 30 {
                let message = format!("the magnitude {} is over 30", policy.magnitude);
                report(&["magnitude"], message, "choose a number from 0 to 30");
            }
        }
        _ => {}
    }
}

fn check_size(size: Size, report: Report<'_>) {
    let longest = match size {
        Size::Side(side) => side.get(),
        Size::HeightWidth([height, width]) => height.get().max(width.get()),
    };
    check_pixels(&["size"], longest, report);
}

fn check_pixels(fields: &'static [&'static str], pixels: u32, report: Report<'_>) {
    if pixels > LONGEST {
        let message = format!("{pixels} pixels are more than the {LONGEST} that are possible");
        report(fields, message, "choose a smaller number");
    }
}

fn check_order(fields: &'static [&'static str], [low, high]: [Positive; 2], report: Report<'_>) {
    if low > high {
        let message = format!("the {} goes from {} down to {}", fields[0], low.get(), high.get());
        report(fields, message, "write the smaller number first");
    }
}

/// Shares of an area.
fn check_shares(fields: &'static [&'static str], range: [Positive; 2], report: Report<'_>) {
    check_order(fields, range, report);
    let largest = range[0].get().max(range[1].get());
    if largest > 1.0 {
        let message = format!("{largest} is more than the whole area");
        report(fields, message, "choose shares from 0 to 1");
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::spec::Pipeline;

    fn messages(changes: serde_json::Value) -> Vec<String> {
        let changes: Vec<Augment> = serde_json::from_value(changes).unwrap();
        augment_mistakes(&changes)
            .into_iter()
            .map(|mistake| format!("{}{:?} {}", mistake.index, mistake.fields, mistake.message))
            .collect()
    }

    #[test]
    fn sensible_lists_have_no_mistakes() {
        let changes = serde_json::json!([
            {"resize": {"size": [40, 48]}}, {"center_crop": {"size": 36}},
            {"random_crop": {"size": 32, "padding": 4}}, {"random_resized_crop": {"size": 32}},
            {"random_horizontal_flip": {}}, {"random_vertical_flip": {"p": 1}},
            {"random_rotation": {"degrees": 180}},
            {"random_affine": {"degrees": 0, "translate": [0, 1], "scale": [0.5, 0.5], "shear": 89}},
            {"color_jitter": {"brightness": 4, "hue": 0.5}}, {"random_grayscale": {}},
            {"gaussian_blur": {"kernel_size": 1}}, {"random_erasing": {}}, {"trivial_augment": {}},
            {"rand_augment": {"num_ops": 14, "magnitude": 30}}, {"mixup": {}}, {"cutmix": {"alpha": 0.2}},
        ]);
        assert_eq!(messages(changes), [""; 0]);
    }

    #[test]
    fn every_mistake_is_found_and_placed() {
        let changes = serde_json::json!([
            {"mixup": {}},
            {"random_resized_crop": {"size": 70000, "scale": [0.9, 0.1], "ratio": [2, 1]}},
            {"random_crop": {"padding": 70000}},
            {"random_affine": {"degrees": 0, "scale": [2, 1], "shear": 90}},
            {"color_jitter": {"hue": 0.6}},
            {"gaussian_blur": {"kernel_size": 4, "sigma": [2, 1]}},
            {"random_erasing": {"scale": [0.5, 1.5], "ratio": [3, 2]}},
            {"rand_augment": {"num_ops": 15, "magnitude": 31}},
            {"cutmix": {}},
            {"cutmix": {}},
        ]);
        assert_eq!(
            messages(changes),
            [
                "0[] `mixup`: it mixes finished samples, so `random_resized_crop`, which changes single \
                 images, cannot follow",
                "1[\"size\"] `random_resized_crop`: 70000 pixels are more than the 65535 that are possible",
                "1[\"scale\"] `random_resized_crop`: the scale goes from 0.9 down to 0.1",
                "1[\"ratio\"] `random_resized_crop`: the ratio goes from 2 down to 1",
                "2[\"padding\"] `random_crop`: 70000 pixels are more than the 65535 that are possible",
                "3[\"scale\"] `random_affine`: the scale goes from 2 down to 1",
                "3[\"shear\"] `random_affine`: a shear of 90 degrees has no finite size",
                "4[\"hue\"] `color_jitter`: a hue of 0.6 is more than half a turn",
                "5[\"kernel_size\"] `gaussian_blur`: a kernel of 4 pixels has no middle",
                "5[\"sigma\"] `gaussian_blur`: the sigma goes from 2 down to 1",
                "6[\"scale\"] `random_erasing`: 1.5 is more than the whole area",
                "6[\"ratio\"] `random_erasing`: the ratio goes from 3 down to 2",
                "7[\"num_ops\"] `rand_augment`: 15 changes an image are over 14",
                "7[\"magnitude\"] `rand_augment`: the magnitude 31 is over 30",
                "9[] `cutmix`: it stands in the list twice",
            ]
        );
    }

    #[test]
    fn mistakes_point_into_the_file() {
        let source = "stages:
  d: {command: {run: make, outputs: [o]}}
  m:
    train:
      data: d
      model: {mlp: {hidden: [8]}}
      epochs: 2
      optimizer: {sgd: {lr: 0.1}}
      augment:
        - mixup
        - random_horizontal_flip
        - gaussian_blur: {kernel_size: 6}
        - random_erasing: {ratio: [3, 2]}
        - rand_augment: {num_ops: 99}
      eval_transforms:
        - center_crop: {size: 100000}
";
        let error = Pipeline::parse(Path::new("p.yaml"), source, &[]).unwrap_err();
        let told = error.mistakes.iter().map(|mistake| {
            let span = mistake.span.unwrap();
            let place = &source[span.offset()..span.offset() + span.len()];
            format!(
                "{place}: {mistake}; {}",
                mistake.help.as_deref().unwrap_or_default()
            )
        });
        assert_eq!(
            told.collect::<Vec<_>>(),
            [
                "mixup: `mixup`: it mixes finished samples, so `random_horizontal_flip`, which changes single \
                 images, cannot follow; move it to the end of the list",
                "6: `gaussian_blur`: a kernel of 6 pixels has no middle; choose an odd number",
                "ratio: `random_erasing`: the ratio goes from 3 down to 2; write the smaller number first",
                "99: `rand_augment`: 99 changes an image are over 14; choose a number from 1 to 14",
                "100000: `center_crop`: 100000 pixels are more than the 65535 that are possible; choose a \
                 smaller number",
            ]
        );
    }
}
