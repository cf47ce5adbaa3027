//! Images on larger black canvases.

use super::crop::window;
use super::{Image, SampleTransform};
use crate::random::Stream;
use crate::spec;

/// As `torchvision.transforms.v2.RandomZoomOut(fill=0, side_range, p)`.
pub(super) struct RandomZoomOut {
    side_range: [f64; 2],
    p: f64,
}

impl RandomZoomOut {
    pub fn new(spec: &spec::RandomZoomOutOptions) -> Self {
        Self {
            side_range: spec.side_range.map(spec::Positive::get),
            p: spec.p.get(),
        }
    }

    /// The canvas's height and width, and where the image begins on it, of draws from `[0, 1)`.
    fn canvas(&self, size: [usize; 2], side: f64, places: [f64; 2]) -> ([usize; 2], [usize; 2]) {
        let [least, most] = self.side_range;
        let factor = least + side * (most - least);
        let canvas = size.map(|side| ((side as f64 * factor) as usize).max(side));
        let [left, top] = [(1, places[0]), (0, places[1])]
            .map(|(axis, place): (usize, f64)| ((canvas[axis] - size[axis]) as f64 * place) as usize);
        (canvas, [top, left])
    }
}

impl SampleTransform for RandomZoomOut {
    /// Canvases are of many sizes.
    fn size_after(&self, _: Option<[usize; 2]>) -> Option<[usize; 2]> {
        None
    }

    fn largest_after(&self, size: [usize; 2]) -> [usize; 2] {
        size.map(|side| ((side as f64 * self.side_range[1]) as usize).max(side))
    }

    fn apply(&self, image: &mut Image, draws: &mut Stream) {
        let zooms = draws.bernoulli(self.p);
        let (side, places) = (draws.uniform(), [draws.uniform(), draws.uniform()]);
        if zooms {
            let ([height, width], [top, left]) = self.canvas([image.height, image.width], side, places);
            window(image, -(top as isize), -(left as isize), height, width);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::Rider;
    use super::super::testing::{fixture, image, stream};
    use super::*;
    use crate::data::object::Object;
    use crate::schema::NO_PIXEL_CLASS;

    #[test]
    fn the_image_lies_unchanged_on_its_canvas_with_its_objects_and_its_mask() {
        let zoom = RandomZoomOut::new(&serde_json::from_value(json!({"p": 1.0})).unwrap());
        let mut largest = 0;
        for item in 0..200 {
            let original = image(3, 10, 8);
            let mut scene = image(3, 10, 8);
            let object = Object::from_row([2.0, 3.0, 4.0, 5.0, 0.0, 20.0, 0.0]);
            let moved = false;
            scene.riders = vec![
                Rider::Objects {
                    objects: vec![object],
                    moved,
                },
                Rider::Mask(image(1, 10, 8)),
            ];
            zoom.apply(&mut scene, &mut stream(item));
            largest = largest.max(scene.height);
            assert!((10..40).contains(&scene.height) && (8..32).contains(&scene.width));
            let [Rider::Objects { objects, .. }, Rider::Mask(mask)] = &scene.riders[..] else {
                panic!("the riders changed places");
            };
            let (left, top) = (objects[0].left as usize - 2, objects[0].top as usize - 3);
            assert_eq!(
                (objects[0].width, objects[0].height, objects[0].area),
                (4.0, 5.0, 20.0)
            );
            let plane = scene.height * scene.width;
            for (at, pixel) in scene.pixels.iter().enumerate() {
                let (channel, y, x) = (at / plane, at % plane / scene.width, at % scene.width);
                let inside = (top..top + 10).contains(&y) && (left..left + 8).contains(&x);
                let expected = match inside {
                    true => original.pixels[channel * 80 + (y - top) * 8 + x - left],
                    false => 0,
                };
                assert_eq!(*pixel, expected);
                if channel == 0 && !inside {
                    assert_eq!(mask.pixels[at], NO_PIXEL_CLASS);
                }
            }
        }
        assert!(largest > 36, "{largest}");
    }

    #[test]
    fn canvases_are_torchvisions() {
        let zoom = RandomZoomOut::new(&serde_json::from_value(json!({})).unwrap());
        for case in fixture()["zoom_outs"].as_array().unwrap() {
            let drawn = |draw: usize, place: usize| case["drawn"][draw][place].as_f64().unwrap();
            let (canvas, [top, left]) = zoom.canvas([10, 8], drawn(0, 0), [drawn(1, 0), drawn(1, 1)]);
            let padding = [left, top, canvas[1] - left - 8, canvas[0] - top - 10];
            assert_eq!(json!(padding), case["padding"]);
        }
    }

    #[test]
    fn half_of_the_images_stay() {
        let zoom = RandomZoomOut::new(&serde_json::from_value(json!({})).unwrap());
        let stays = (0..1000).filter(|item| {
            let mut scene = image(1, 100, 100);
            zoom.apply(&mut scene, &mut stream(*item));
            scene.height == 100
        });
        assert!((450..560).contains(&stays.count()));
    }
}
