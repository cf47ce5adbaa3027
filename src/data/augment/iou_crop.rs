//! Random parts of images that hold some of their objects.

use super::crop::window;
use super::resize::ImageWindow;
use super::{Image, Rider, SampleTransform};
use crate::data::object::Object;
use crate::random::{Purpose, Stream};
use crate::schema::{FieldKind, Schema};
use crate::spec;

/// As `torchvision.transforms.v2.RandomIoUCrop` (Liu et al., "SSD", 2016): a window whose overlap with an object, intersection over
/// union, is as large as was drawn. Objects stay whose middle lies in it.
pub(super) struct RandomIouCrop {
    scale: [f64; 2],
    ratio: [f64; 2],
    overlaps: Vec<f64>,
    trials: u32,
}

impl RandomIouCrop {
    pub fn new(spec: &spec::RandomIouCropOptions) -> Self {
        Self {
            scale: spec.scale.map(spec::Positive::get),
            ratio: spec.ratio.map(spec::Positive::get),
            overlaps: spec.overlaps.iter().map(|overlap| overlap.get()).collect(),
            trials: spec.trials.get(),
        }
    }

    /// A window of an image of `size`, `[H, W]`, with `objects`; nothing where the image stays as it is.
    fn draw(&self, size: [usize; 2], objects: &[Object], draws: &mut Stream) -> Option<ImageWindow> {
        // No window has an object where there is none, and drawing ends when the image is to stay.
        if objects.is_empty() {
            return None;
        }
        // torchvision draws on until there is one. That would never end where `overlaps` has no 1 and no window fits.
        for _ in 0..MOST_ROUNDS {
            let option = draws.below(u32::try_from(self.overlaps.len()).unwrap_or(u32::MAX));
            let least = self.overlaps.get(option as usize).copied().unwrap_or(1.0);
            if least >= 1.0 {
                return None;
            }
            for _ in 0..self.trials {
                let sides = [draws.uniform(), draws.uniform()];
                let places = [draws.uniform(), draws.uniform()];
                let found = self.window(size, sides, places);
                if let Some(found) = found.filter(|found| holds(*found, objects, least)) {
                    return Some(found);
                }
            }
        }
        None
    }

    /// The window of a width and height and at a place, left and top, that are drawn from `[0, 1)`; nothing where its proportions
    /// are out of range, or it has no area.
    fn window(&self, [height, width]: [usize; 2], sides: [f64; 2], places: [f64; 2]) -> Option<ImageWindow> {
        let [least, most] = self.scale;
        let [columns, rows] = [(width, sides[0]), (height, sides[1])]
            .map(|(side, drawn)| ((side as f64 * (least + (most - least) * drawn)) as usize).min(side));
        if rows == 0 || columns == 0 {
            return None;
        }
        let ratio = columns as f64 / rows as f64;
        if !(self.ratio[0]..=self.ratio[1]).contains(&ratio) {
            return None;
        }
        Some(ImageWindow {
            top: ((height - rows) as f64 * places[1]) as usize,
            left: ((width - columns) as f64 * places[0]) as usize,
            height: rows,
            width: columns,
        })
    }
}

/// How often an overlap is drawn anew.
const MOST_ROUNDS: usize = 50;

/// Whether one of the objects whose middle lies in a window overlaps it as much as `least`.
fn holds(window: ImageWindow, objects: &[Object], least: f64) -> bool {
    let inside = objects.iter().filter(|object| has_middle(window, object));
    let overlaps = inside.map(|object| overlap(window, object));
    // Nothing where there is none.
    overlaps
        .fold(None, |most: Option<f64>, overlap| {
            Some(most.map_or(overlap, |most| most.max(overlap)))
        })
        .is_some_and(|most| most >= least)
}

/// Whether the middle of an object lies in a window.
fn has_middle(window: ImageWindow, object: &Object) -> bool {
    let x = object.left + object.width / 2.0;
    let y = object.top + object.height / 2.0;
    let (left, top) = (window.left as f64, window.top as f64);
    left < x && x < left + window.width as f64 && top < y && y < top + window.height as f64
}

/// Intersection over union of a window and an object's box.
fn overlap(window: ImageWindow, object: &Object) -> f64 {
    let along = |start: usize, length: usize, from: f64, long: f64| {
        let (start, end) = (start as f64, (start + length) as f64);
        ((from + long).min(end) - from.max(start)).max(0.0)
    };
    let both = along(window.left, window.width, object.left, object.width)
        * along(window.top, window.height, object.top, object.height);
    both / ((window.width * window.height) as f64 + object.width * object.height - both)
}

impl SampleTransform for RandomIouCrop {
    fn check_schema(&self, schema: &Schema) -> Result<(), String> {
        match schema.fields().iter().any(|field| field.kind == FieldKind::Objects) {
            true => Ok(()),
            false => Err("it crops around objects, and the data has none: take it out of the list, or use `random_crop`".to_owned()),
        }
    }

    /// Windows are of many sizes.
    fn size_after(&self, _: Option<[usize; 2]>) -> Option<[usize; 2]> {
        None
    }

    fn apply(&self, image: &mut Image, draws: &mut Stream) {
        // However often it draws, what comes after draws the same.
        let mut own = Stream::new(draws.next_u64(), Purpose::Augment, 0, 0);
        let objects = image.riders.iter().find_map(|rider| match rider {
            Rider::Objects { objects, .. } => Some(objects),
            _ => None,
        });
        let Some(objects) = objects else {
            return;
        };
        let Some(found) = self.draw([image.height, image.width], objects, &mut own) else {
            return;
        };
        for rider in &mut image.riders {
            if let Rider::Objects { objects, .. } = rider {
                objects.retain(|object| has_middle(found, object));
            }
        }
        let (top, left) = (found.top as isize, found.left as isize);
        window(image, top, left, found.height, found.width);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::testing::{fixture, image, stream};
    use super::*;

    fn crop(options: Value) -> RandomIouCrop {
        RandomIouCrop::new(&serde_json::from_value(options).unwrap())
    }

    fn object(left: f64, top: f64, width: f64, height: f64) -> Object {
        Object {
            left,
            top,
            width,
            height,
            class: 0,
            area: width * height,
            crowd: false,
            difficult: false,
        }
    }

    #[test]
    fn windows_are_torchvisions() {
        let fixture = fixture();
        let numbers = |value: &Value| {
            let values = value.as_array().unwrap().iter();
            values.map(|value| value.as_f64().unwrap()).collect::<Vec<f64>>()
        };
        let corners = fixture["iou_crops"]["corners"].as_array().unwrap();
        let objects: Vec<Object> = corners
            .iter()
            .map(numbers)
            .map(|corners| {
                let [left, top, right, bottom] = corners[..] else {
                    panic!("a box has four sides");
                };
                object(left, top, right - left, bottom - top)
            })
            .collect();
        let crop = crop(json!({}));
        for case in fixture["iou_crops"]["cases"].as_array().unwrap() {
            let mut drawn = case["drawn"].as_array().unwrap().iter().map(|pair| {
                let pair = numbers(pair);
                [pair[0], pair[1]]
            });
            let mut found = None;
            // Places are drawn just for windows whose proportions are in range.
            while let Some(sides) = drawn.next() {
                assert_eq!(found, None, "it ends with the first that fits: {case}");
                if crop.window([64, 96], sides, [0.0; 2]).is_some() {
                    let window = crop.window([64, 96], sides, drawn.next().unwrap());
                    let least = case["overlap"].as_f64().unwrap();
                    found = window.filter(|window| holds(*window, &objects, least));
                }
            }
            let found = found.unwrap();
            let window = [found.top, found.left, found.height, found.width].map(|side| side as f64);
            assert_eq!(window[..], numbers(&case["window"]), "{case}");
            let within: Vec<bool> = objects.iter().map(|object| has_middle(found, object)).collect();
            assert_eq!(json!(within), case["within"]);
        }
    }

    #[test]
    fn windows_overlap_an_object_as_was_drawn_and_keep_to_their_ranges() {
        let objects = [object(10.0, 10.0, 30.0, 20.0), object(60.0, 5.0, 20.0, 50.0)];
        for least in [0.0, 0.3, 0.5] {
            let crop = crop(json!({"overlaps": [least]}));
            let mut found = 0;
            for item in 0..300 {
                let Some(window) = crop.draw([64, 96], &objects, &mut stream(item)) else {
                    continue;
                };
                found += 1;
                let ratio = window.width as f64 / window.height as f64;
                assert!((0.5..=2.0).contains(&ratio), "{window:?}");
                assert!(window.height >= 19 && window.width >= 28, "{window:?}");
                assert!(window.top + window.height <= 64 && window.left + window.width <= 96);
                let inside = objects.iter().filter(|object| has_middle(window, object));
                let most = inside.map(|object| overlap(window, object)).fold(-1.0, f64::max);
                assert!(most >= least, "{window:?} {most}");
            }
            assert!(found > 200, "{found} at {least}");
        }
        let always = crop(json!({"overlaps": [1.0]}));
        assert_eq!(always.draw([64, 96], &objects, &mut stream(0)), None);
        assert_eq!(crop(json!({})).draw([64, 96], &[], &mut stream(0)), None);
    }

    #[test]
    fn objects_whose_middle_is_cut_off_are_gone_and_what_follows_draws_the_same() {
        let mut after = Vec::new();
        let mut sizes = std::collections::BTreeSet::new();
        for objects in [
            vec![object(1.0, 1.0, 8.0, 8.0), object(20.0, 20.0, 6.0, 6.0)],
            Vec::new(),
        ] {
            for item in 0..50 {
                let mut scene = image(3, 32, 32);
                let (objects, moved) = (objects.clone(), false);
                scene.riders = vec![Rider::Objects { objects, moved }];
                let mut draws = stream(item);
                crop(json!({})).apply(&mut scene, &mut draws);
                after.push((item, draws.next_u64()));
                sizes.insert([scene.height, scene.width]);
                let Rider::Objects { objects, .. } = &scene.riders[0] else {
                    panic!("the riders changed places");
                };
                for object in objects {
                    let (right, bottom) = (object.left + object.width, object.top + object.height);
                    assert!(object.left >= 0.0 && object.top >= 0.0);
                    assert!(right <= scene.width as f64 && bottom <= scene.height as f64);
                    // More than half of each side is seen.
                    assert!(object.width >= 3.0 && object.height >= 3.0, "{object:?}");
                }
            }
        }
        let (with, without) = after.split_at(50);
        assert_eq!(with, without);
        assert!(sizes.len() > 20);
    }
}
