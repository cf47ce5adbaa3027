//! What rides along with an image: it is moved as the image is.

use super::Image;
use crate::data::object::Object;
use crate::data::pixels::decode_value;
use crate::data::value::{FieldValue, OwnedValue};
use crate::schema::{Dimensions, Field, FieldKind};

/// The least width and height of an object that was moved, in pixels.
const LEAST_SIDE: f64 = 1.0;

/// What rides along with an image.
pub(in crate::data) enum Rider {
    /// Another image of the same size: scaled as the image is.
    Image(Image),
    /// A class for each pixel: scaled to the nearest pixel, so that no class is made up.
    Mask(Image),
    /// Objects, and whether a change moved them.
    Objects { objects: Vec<Object>, moved: bool },
}

impl Rider {
    /// What `field` holds of a sample whose image has `size`, `[H, W]`.
    ///
    /// An error says what is wrong with it.
    pub fn read(value: FieldValue<'_>, field: &Field, size: [usize; 2]) -> Result<Self, String> {
        if field.kind == FieldKind::Objects {
            let objects = Object::read(value.bytes);
            return Ok(Self::Objects {
                objects,
                moved: false,
            });
        }
        let mut image = Image::empty();
        let [height, width] = decode_value(value, field, &mut image.pixels)?;
        if [height, width] != size {
            return Err(format!(
                "its `{}` has {height}x{width} pixels (height x width), and its image {}x{}",
                field.name, size[0], size[1]
            ));
        }
        (image.channels, image.height, image.width) = (field.channels(), height, width);
        Ok(match field.kind {
            FieldKind::Mask => Self::Mask(image),
            _ => Self::Image(image),
        })
    }

    /// The same as a sample's value.
    pub fn into_value(self) -> OwnedValue {
        match self {
            Self::Image(image) | Self::Mask(image) => OwnedValue {
                dimensions: Dimensions::image(image.channels, Some([image.height, image.width])),
                bytes: image.pixels,
            },
            Self::Objects { mut objects, moved } => {
                // What is hardly seen any more is no object, as torchvision's `SanitizeBoundingBoxes` has it.
                if moved {
                    objects.retain(|object| object.width >= LEAST_SIDE && object.height >= LEAST_SIDE);
                }
                Object::write(&objects)
            }
        }
    }
}

impl Image {
    /// Moves what rides along, after the image itself was moved: images by `images`, masks by `masks`,
    /// the corners of objects' boxes by `point`, from `[x, y]` to `[x, y]` in pixels. A box becomes the smallest
    /// upright one around its corners, as far as it lies in the image; what lies outside has no area.
    pub(super) fn move_riders(
        &mut self,
        images: impl Fn(&mut Image),
        masks: impl Fn(&mut Image),
        point: impl Fn([f64; 2]) -> [f64; 2],
    ) {
        let bounds = [self.width as f64, self.height as f64];
        for rider in &mut self.riders {
            match rider {
                Rider::Image(image) => images(image),
                Rider::Mask(mask) => masks(mask),
                Rider::Objects { objects, moved } => {
                    *moved = true;
                    let scale = growth(&point);
                    for object in objects {
                        move_object(object, bounds, scale, &point);
                    }
                }
            }
        }
    }
}

/// How much larger areas are that are moved by `point`, which keeps straight lines straight and parallels parallel.
fn growth(point: &impl Fn([f64; 2]) -> [f64; 2]) -> f64 {
    let [origin, right, down] = [[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]].map(point);
    let [across, along] = [right, down].map(|end| [end[0] - origin[0], end[1] - origin[1]]);
    (across[0] * along[1] - across[1] * along[0]).abs()
}

/// Moves an object by `point` within an image of `bounds`, `[width, height]`: its box becomes the smallest upright one around
/// the box's corners, as far as it lies in the image. Its area is taken to be cut as its box is.
fn move_object(object: &mut Object, bounds: [f64; 2], scale: f64, point: &impl Fn([f64; 2]) -> [f64; 2]) {
    let (right, bottom) = (object.left + object.width, object.top + object.height);
    let corners = [
        [object.left, object.top],
        [right, object.top],
        [object.left, bottom],
        [right, bottom],
    ];
    let corners = corners.map(point);
    let mut whole = 1.0;
    let mut side = |axis: usize| {
        let values = corners.map(|corner| corner[axis]);
        let (least, most) = values
            .into_iter()
            .fold((values[0], values[0]), |(least, most), value| {
                (least.min(value), most.max(value))
            });
        whole *= most - least;
        let inside = |value: f64| {
            // A map of no sense leads nowhere.
            let value = if value.is_nan() { 0.0 } else { value };
            value.clamp(0.0, bounds[axis])
        };
        let (least, most) = (inside(least), inside(most));
        (least, most - least)
    };
    (object.left, object.width) = side(0);
    (object.top, object.height) = side(1);
    let seen = object.width * object.height;
    object.area = match seen > 0.0 && whole > 0.0 {
        true => object.area * scale * (seen / whole).min(1.0),
        false => 0.0,
    };
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::Augmentation;
    use super::super::testing::{image, stream};
    use super::*;
    use crate::schema::{Dimensions, Field, NO_PIXEL_CLASS, Schema};

    /// An image of 3x12x10 pixels whose mask, other image and box are the same bright rectangle: from
    /// (left 2, top 3) to (right 6, bottom 9).
    fn drawn_scene() -> Image {
        let rectangle = |channels: usize, value: u8| {
            let mut drawn = image(channels, 12, 10);
            for (at, pixel) in drawn.pixels.iter_mut().enumerate() {
                let (y, x) = (at / 10 % 12, at % 10);
                let inside = (2..6).contains(&x) && (3..9).contains(&y);
                *pixel = if inside { value } else { 0 };
            }
            drawn
        };
        let mut scene = rectangle(3, 200);
        scene.riders = vec![
            Rider::Mask(rectangle(1, 7)),
            Rider::Objects {
                objects: vec![Object::from_row([2.0, 3.0, 4.0, 6.0, 0.0, 12.0, 0.0])],
                moved: false,
            },
            Rider::Image(rectangle(3, 200)),
        ];
        scene
    }

    fn schema() -> Schema {
        let size = Some([12, 10]);
        Schema::new(vec![
            Field::image("image", Dimensions::image(3, size)),
            Field::mask("mask", Dimensions::image(1, size)),
            Field::objects("boxes", vec!["thing".to_owned()]),
            Field::image("other", Dimensions::image(3, size)),
        ])
        .unwrap()
    }

    /// The scene after `changes`, and what its schema says.
    fn changed(changes: &Value, item: u32) -> (Image, Schema) {
        let specs: Vec<crate::spec::Augment> = serde_json::from_value(changes.clone()).unwrap();
        let augmentation = Augmentation::new(&specs, &schema()).unwrap();
        let mut scene = drawn_scene();
        augmentation.apply(&mut scene, &mut stream(item));
        (scene, augmentation.schema_after().clone())
    }

    fn box_of(object: &Object) -> [f32; 4] {
        let (right, bottom) = (object.left + object.width, object.top + object.height);
        [object.left, object.top, right, bottom].map(|side| side as f32)
    }

    fn riders(scene: &Image) -> (&Image, [f32; 4], &Image) {
        match &scene.riders[..] {
            [
                Rider::Mask(mask),
                Rider::Objects { objects, .. },
                Rider::Image(other),
            ] => (mask, box_of(&objects[0]), other),
            _ => panic!("the riders changed places"),
        }
    }

    /// The box around the pixels of the first channel that are over `floor`.
    fn around(image: &Image, floor: u8) -> [f32; 4] {
        let mut found = [f32::MAX, f32::MAX, 0.0, 0.0];
        for (at, pixel) in image.pixels[..image.height * image.width].iter().enumerate() {
            if *pixel > floor && *pixel != NO_PIXEL_CLASS {
                let (y, x) = ((at / image.width) as f32, (at % image.width) as f32);
                found = [
                    found[0].min(x),
                    found[1].min(y),
                    found[2].max(x + 1.0),
                    found[3].max(y + 1.0),
                ];
            }
        }
        if found[0] == f32::MAX { [0.0; 4] } else { found }
    }

    #[test]
    fn crops_and_flips_move_masks_boxes_and_images_with_the_image() {
        let changes = [
            json!([{"random_crop": {"padding": 3}}]),
            json!([{"random_crop": {"size": [7, 6]}}]),
            json!([{"center_crop": {"size": [9, 14]}}]),
            json!([{"random_horizontal_flip": {}}, {"random_vertical_flip": {}}]),
            json!([{"random_horizontal_flip": {}}, {"random_crop": {"size": 8, "padding": 1}}, {"random_vertical_flip": {}}]),
        ];
        for changes in &changes {
            for item in 0..60 {
                let (scene, schema) = changed(changes, item);
                let (mask, corners, other) = riders(&scene);
                assert_eq!(other.pixels, scene.pixels, "{changes}");
                let size = [scene.height, scene.width];
                assert_eq!([mask.height, mask.width], size, "{changes}");
                for name in ["image", "mask", "other"] {
                    assert_eq!(
                        schema.field(name).unwrap().dimensions.size(),
                        Some(size),
                        "{changes}"
                    );
                }
                let expected = around(&scene, 0);
                assert_eq!(around(mask, 0), expected, "{changes}");
                let has_area = corners[2] > corners[0] && corners[3] > corners[1];
                if expected == [0.0; 4] {
                    assert!(!has_area, "{changes} {corners:?}");
                } else {
                    assert_eq!(corners, expected, "{changes}");
                }
                let classes = mask
                    .pixels
                    .iter()
                    .all(|class| [0, 7, NO_PIXEL_CLASS].contains(class));
                assert!(classes, "{changes}");
            }
        }
    }

    #[test]
    fn scaling_scales_boxes_and_keeps_the_classes_of_masks() {
        let (scene, _) = changed(&json!([{"resize": {"size": [24, 30]}}]), 0);
        let (mask, corners, other) = riders(&scene);
        assert_eq!(corners, [6.0, 6.0, 18.0, 18.0]);
        assert_eq!(around(mask, 0), corners);
        assert_eq!(other.pixels, scene.pixels);
        let inside = mask.pixels.iter().filter(|class| **class == 7).count();
        assert_eq!(inside, 12 * 12);
        assert_eq!(
            mask.pixels.iter().filter(|class| **class == 0).count(),
            24 * 30 - 144
        );
        // Windows that are scaled, turned and sheared: the mask is where the image is bright.
        for changes in [
            json!([{"random_resized_crop": {"size": [20, 16], "scale": [0.5, 1.0]}}]),
            json!([{"random_rotation": {"degrees": 180}}]),
            json!([{"random_affine": {"degrees": 30, "translate": [0.2, 0.2], "scale": [0.7, 1.3], "shear": 10}}]),
        ] {
            for item in 0..60 {
                let (scene, _) = changed(&changes, item);
                let (mask, corners, other) = riders(&scene);
                assert_eq!(other.pixels, scene.pixels);
                let bright = around(mask, 0);
                let drawn = around(&scene, 100);
                for side in 0..4 {
                    assert!(
                        (bright[side] - drawn[side]).abs() <= 1.0,
                        "{changes} {bright:?} {drawn:?}"
                    );
                }
                // All of what is seen lies in the box, to a pixel.
                assert!(
                    corners[0] <= bright[0] + 1.0 && corners[1] <= bright[1] + 1.0,
                    "{changes}"
                );
                assert!(
                    corners[2] >= bright[2] - 1.0 && corners[3] >= bright[3] - 1.0,
                    "{changes}"
                );
            }
        }
        let quarter = |degrees: f64| {
            let mut turned = drawn_scene();
            turned.riders.truncate(2);
            let crop = super::super::crop::window;
            crop(&mut turned, 1, 0, 10, 10);
            super::super::affine::rotate(&mut turned, degrees);
            turned
        };
        for degrees in [90.0, 180.0, 270.0] {
            let scene = quarter(degrees);
            match &scene.riders[..] {
                [Rider::Mask(mask), Rider::Objects { objects, .. }] => {
                    let mask: &Image = mask;
                    let corners = box_of(&objects[0]);
                    assert_eq!(corners, around(&scene, 0), "{degrees}");
                    assert_eq!(around(mask, 0), corners, "{degrees}");
                }
                _ => panic!("the riders changed places"),
            }
        }
    }

    #[test]
    fn areas_are_cut_and_scaled_as_boxes_are_and_what_is_hardly_seen_is_gone() {
        let moved = |change: &dyn Fn(&mut Image)| {
            let mut scene = drawn_scene();
            change(&mut scene);
            let rider = scene.riders.remove(1);
            Object::read(&rider.into_value().bytes)
        };
        let rows = |objects: Vec<Object>| objects.into_iter().map(Object::to_row).collect::<Vec<_>>();
        // A mask of 12 pixels in a box of 24.
        let window = super::super::crop::window;
        assert_eq!(
            rows(moved(&|scene| window(scene, 6, 4, 6, 6))),
            [[0.0, 0.0, 2.0, 3.0, 0.0, 3.0, 0.0]]
        );
        assert_eq!(
            rows(moved(&|scene| window(scene, 8, 5, 4, 5))),
            [[0.0, 0.0, 1.0, 1.0, 0.0, 0.5, 0.0]]
        );
        assert_eq!(rows(moved(&|scene| window(scene, 9, 0, 3, 10))), [[0.0; 7]; 0]);
        assert_eq!(rows(moved(&|scene| window(scene, 0, 6, 12, 4))), [[0.0; 7]; 0]);
        let turned = moved(&|scene| super::super::affine::rotate(scene, 45.0));
        assert!(
            (turned[0].area - 12.0).abs() < 1.0 && turned[0].width > 6.0,
            "{turned:?}"
        );
        // What nothing moves stays as it is, however small.
        let small = Object::from_row([2.0, 3.0, 0.5, 0.5, 0.0, 0.25, 0.0]);
        let (objects, moved) = (vec![small], false);
        assert_eq!(
            Object::read(&Rider::Objects { objects, moved }.into_value().bytes),
            [small]
        );
    }

    #[test]
    fn mixing_refuses_what_cannot_be_blended() {
        let specs = serde_json::from_value(json!([{"mixup": {}}])).unwrap();
        let specs: Vec<crate::spec::Augment> = specs;
        let error = Augmentation::new(&specs, &schema()).err().unwrap().to_string();
        assert_eq!(
            error,
            "`mixup`: it blends samples, and `mask` cannot be blended: take it out of the list"
        );
    }
}
