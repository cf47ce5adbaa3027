//! Affine maps: rotation, shift, scale and shear, by the nearest pixel; black comes into view.

use super::{Image, SampleTransform};
use crate::random::Stream;
use crate::schema::NO_PIXEL_CLASS;
use crate::spec;

/// As `torchvision.transforms.v2.RandomRotation(degrees)`.
pub(super) struct RandomRotation {
    degrees: f64,
}

impl RandomRotation {
    pub fn new(spec: &spec::RandomRotationOptions) -> Self {
        Self {
            degrees: spec.degrees.get(),
        }
    }
}

impl SampleTransform for RandomRotation {
    fn apply(&self, image: &mut Image, draws: &mut Stream) {
        rotate(image, draws.uniform_in(-self.degrees, self.degrees));
    }
}

/// As `torchvision.transforms.v2.RandomAffine(degrees, translate, scale, shear)`.
pub(super) struct RandomAffine {
    degrees: f64,
    translate: Option<[f64; 2]>,
    scale: Option<[f64; 2]>,
    shear: f64,
}

impl RandomAffine {
    pub fn new(spec: &spec::RandomAffineOptions) -> Self {
        Self {
            degrees: spec.degrees.get(),
            translate: spec.translate.map(|shares| shares.map(spec::Probability::get)),
            scale: spec.scale.map(|range| range.map(spec::Positive::get)),
            shear: spec.shear.get(),
        }
    }

    fn draw(&self, height: usize, width: usize, draws: &mut Stream) -> Map {
        let either_way = |most: f64, draws: &mut Stream| draws.uniform_in(-most, most);
        let angle = either_way(self.degrees, draws);
        let translate = self.translate.map_or([0.0; 2], |[x, y]| {
            [x * width as f64, y * height as f64].map(|most| either_way(most, draws).round_ties_even())
        });
        let scale = self.scale.map_or(1.0, |[low, high]| draws.uniform_in(low, high));
        Map {
            angle,
            translate,
            scale,
            shear: [either_way(self.shear, draws), 0.0],
            ..Map::default()
        }
    }
}

impl SampleTransform for RandomAffine {
    fn apply(&self, image: &mut Image, draws: &mut Stream) {
        let map = self.draw(image.height, image.width, draws);
        map.apply(image);
    }
}

/// An affine map as `torchvision.transforms.v2.functional.affine` takes it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Map {
    /// Degrees, clockwise.
    pub angle: f64,
    /// Pixels to the right and down.
    pub translate: [f64; 2],
    pub scale: f64,
    /// Degrees along the rows and along the columns.
    pub shear: [f64; 2],
    /// What stays in place: pixels from the middle of the image.
    pub center: [f64; 2],
}

impl Default for Map {
    fn default() -> Self {
        Self {
            angle: 0.0,
            translate: [0.0; 2],
            scale: 1.0,
            shear: [0.0; 2],
            center: [0.0; 2],
        }
    }
}

impl Map {
    pub fn apply(&self, image: &mut Image) {
        let inverse = self.inverse();
        transform(image, inverse, 0);
        let middle = [image.width as f64 / 2.0, image.height as f64 / 2.0];
        image.move_riders(
            |other| transform(other, inverse, 0),
            |mask| transform(mask, inverse, NO_PIXEL_CLASS),
            |point| forward(inverse, middle, point),
        );
    }

    /// From places in the result to places in the image, `[a, b, c, d, e, f]` for
    /// `(a x + b y + c, d x + e y + f)`; torchvision's `_get_inverse_affine_matrix`.
    fn inverse(&self) -> [f64; 6] {
        let rotation = self.angle.to_radians();
        let [shear_x, shear_y] = self.shear.map(f64::to_radians);
        let [x, y] = self.center;
        let (shifted_x, shifted_y) = (x + self.translate[0], y + self.translate[1]);
        let a = (rotation - shear_y).cos() / shear_y.cos();
        let b = -(a * shear_x.tan() + rotation.sin());
        let c = (rotation - shear_y).sin() / shear_y.cos();
        let d = rotation.cos() - c * shear_x.tan();
        let [a, b, c, d] = [d, -b, -c, a].map(|value| value / self.scale);
        [
            a,
            b,
            x - a * shifted_x - b * shifted_y,
            c,
            d,
            y - c * shifted_x - d * shifted_y,
        ]
    }
}

/// Where `point`, `[x, y]` in pixels from the image's corner, comes to lie, of a map whose inverse leads
/// back in pixels from the image's middle.
fn forward([a, b, c, d, e, f]: [f64; 6], middle: [f64; 2], point: [f64; 2]) -> [f64; 2] {
    let (x, y) = (point[0] - middle[0] - c, point[1] - middle[1] - f);
    let determinant = a * e - b * d;
    [
        (e * x - b * y) / determinant + middle[0],
        (a * y - d * x) / determinant + middle[1],
    ]
}

/// As `torchvision.transforms.v2.functional.rotate`: by `degrees`, counter-clockwise.
pub(super) fn rotate(image: &mut Image, degrees: f64) {
    let degrees = degrees.rem_euclid(360.0);
    let square = image.height == image.width;
    if degrees == 0.0 {
        return;
    }
    let (width, height) = (image.width as f64, image.height as f64);
    if degrees == 180.0 {
        half_turn(image);
        image.move_riders(half_turn, half_turn, |[x, y]| [width - x, height - y]);
    } else if square && degrees == 90.0 {
        let turn = |image: &mut Image| quarter_turn(image, true);
        turn(image);
        image.move_riders(turn, turn, |[x, y]| [y, width - x]);
    } else if square && degrees == 270.0 {
        let turn = |image: &mut Image| quarter_turn(image, false);
        turn(image);
        image.move_riders(turn, turn, |[x, y]| [height - y, x]);
    } else {
        let map = Map {
            angle: -degrees,
            ..Map::default()
        };
        map.apply(image);
    }
}

/// Turns an image upside down.
fn half_turn(image: &mut Image) {
    let plane = image.plane();
    image.pixels.chunks_exact_mut(plane).for_each(<[u8]>::reverse);
}

/// Turns a square image.
fn quarter_turn(image: &mut Image, counter_clockwise: bool) {
    let side = image.width;
    image.spare.clear();
    image.spare.resize(image.pixels.len(), 0);
    let planes = image.pixels.chunks_exact(side * side);
    for (plane, out) in planes.zip(image.spare.chunks_exact_mut(side * side)) {
        for (y, out) in out.chunks_exact_mut(side).enumerate() {
            for (x, out) in out.iter_mut().enumerate() {
                *out = if counter_clockwise {
                    plane[x * side + side - 1 - y]
                } else {
                    plane[(side - 1 - x) * side + y]
                };
            }
        }
    }
    image.swap();
}

/// Fills each place with the pixel nearest to where `inverse` leads from it, or with `outside` where that is not in the image.
///
/// The arithmetic is f32 in the order of torchvision's `_affine_grid` and of `grid_sample`, so that
/// what lies half-way between two pixels goes the same way.
fn transform(image: &mut Image, inverse: [f64; 6], outside: u8) {
    const OUTSIDE: usize = usize::MAX;
    let (height, width) = (image.height, image.width);
    let (half_height, half_width) = (height as f32 * 0.5, width as f32 * 0.5);
    let [a, b, c, d, e, f] = inverse.map(|value| value as f32);
    let [a, b, c] = [a, b, c].map(|value| value / half_width);
    let [d, e, f] = [d, e, f].map(|value| value / half_height);
    image.spare.clear();
    image.spare.resize(image.pixels.len(), 0);
    let mut sources = vec![OUTSIDE; width];
    for row in 0..height {
        let y = row as f32 - (height as f32 - 1.0) * 0.5;
        for (column, source) in sources.iter_mut().enumerate() {
            let x = column as f32 - (width as f32 - 1.0) * 0.5;
            let across = nearest((x * a + y * b) + c, half_width);
            let down = nearest((x * d + y * e) + f, half_height);
            let inside = across >= 0.0 && down >= 0.0 && across < width as f32 && down < height as f32;
            *source = if inside {
                down as usize * width + across as usize
            } else {
                OUTSIDE
            };
        }
        let planes = image.pixels.chunks_exact(height * width);
        for (plane, out) in planes.zip(image.spare.chunks_exact_mut(height * width)) {
            let out = &mut out[row * width..][..width];
            for (out, source) in out.iter_mut().zip(&sources) {
                *out = plane.get(*source).copied().unwrap_or(outside);
            }
        }
    }
    image.swap();
}

/// The whole pixel at `place`, which runs from -1 to 1 over a side of twice `half` pixels.
fn nearest(place: f32, half: f32) -> f32 {
    // Adding and taking off 1.5 * 2^23 rounds to the even neighbour, and needs no call; of numbers too
    // large for it, it keeps that they lie outside.
    const ROUND: f32 = 12_582_912.0;
    let pixel = (place + 1.0) * half - 0.5;
    (pixel + ROUND) - ROUND
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Case, image, stream};
    use super::*;

    #[test]
    fn rotations_are_torchvisions() {
        for case in Case::all("rotate") {
            case.check(0, |image| rotate(image, case.number("angle")));
        }
    }

    #[test]
    fn affine_maps_are_torchvisions() {
        for case in Case::all("affine") {
            let map = Map {
                angle: case.number("angle"),
                translate: case.pair("translate"),
                scale: case.number("scale"),
                shear: case.pair("shear"),
                center: [0.0; 2],
            };
            case.check(0, |image| map.apply(image));
        }
    }

    #[test]
    fn draws_keep_to_their_ranges() {
        let affine = RandomAffine {
            degrees: 30.0,
            translate: Some([0.5, 0.25]),
            scale: Some([0.5, 2.0]),
            shear: 10.0,
        };
        let maps: Vec<Map> = (0..2000)
            .map(|item| affine.draw(16, 20, &mut stream(item)))
            .collect();
        let check = |value: fn(&Map) -> f64, low: f64, high: f64, near: f64| {
            let values = || maps.iter().map(value);
            let (least, most) = (
                values().fold(f64::MAX, f64::min),
                values().fold(f64::MIN, f64::max),
            );
            assert!(least >= low && least < low + near, "{least} {low}");
            assert!(most <= high && most > high - near, "{most} {high}");
            let mean = values().sum::<f64>() / maps.len() as f64;
            assert!((mean - (low + high) / 2.0).abs() < (high - low) / 40.0, "{mean}");
        };
        check(|map| map.angle, -30.0, 30.0, 0.2);
        check(|map| map.translate[0], -10.0, 10.0, 0.5);
        check(|map| map.translate[1], -4.0, 4.0, 0.5);
        check(|map| map.scale, 0.5, 2.0, 0.01);
        check(|map| map.shear[0], -10.0, 10.0, 0.1);
        assert!(
            maps.iter()
                .all(|map| map.translate[0].fract() == 0.0 && map.shear[1] == 0.0)
        );
        let still = RandomAffine {
            degrees: 0.0,
            translate: None,
            scale: None,
            shear: 0.0,
        };
        let mut changed = image(3, 5, 4);
        still.apply(&mut changed, &mut stream(0));
        assert_eq!(changed.pixels, image(3, 5, 4).pixels);
    }

    #[test]
    fn rotations_go_both_ways() {
        let rotation = RandomRotation { degrees: 20.0 };
        let mut ways = [0; 2];
        for item in 0..1000 {
            let mut draws = stream(item);
            let left = draws.clone().uniform_in(-20.0, 20.0) > 0.0;
            ways[usize::from(left)] += 1;
            let mut turned = image(1, 9, 9);
            // A bar from the middle to the right.
            turned.pixels.fill(0);
            turned.pixels[41..45].fill(255);
            rotation.apply(&mut turned, &mut draws);
            let upper = turned.pixels[..36].iter().any(|pixel| *pixel > 0);
            let lower = turned.pixels[45..].iter().any(|pixel| *pixel > 0);
            assert!(if left { !lower } else { !upper });
        }
        assert!(ways.iter().all(|count| *count > 430), "{ways:?}");
    }

    #[test]
    fn maps_of_no_sense_give_black() {
        let mut changed = image(1, 4, 4);
        let map = Map {
            translate: [1e30, 0.0],
            ..Map::default()
        };
        map.apply(&mut changed);
        assert_eq!(changed.pixels, [0; 16]);
    }
}
