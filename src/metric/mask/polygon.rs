//! The pixels inside of a polygon, to the pixel as pycocotools says (`rleFrPoly` of its `maskApi.c`): edges are drawn five
//! times as fine as the image, and a run begins or ends where such an edge passes the middle of a column.

use super::runs::check_sides;
use super::{MaskError, RunLengths};

/// How much finer edges are drawn than the image.
const SCALE: f64 = 5.0;
/// The largest coordinate: far beyond any image, and so near that fine ones and their differences are whole numbers of 32
/// bits.
const FARTHEST: f64 = 1e6;

impl RunLengths {
    /// The inside of the polygon with the corners `x, y, x, y, ...`, in pixels from the upper left corner of an image.
    ///
    /// # Errors
    /// Less than three corners, or one that is no place.
    pub fn from_polygon(points: &[f64], height: usize, width: usize) -> Result<Self, MaskError> {
        check_sides(height, width)?;
        let numbers = points.len();
        if numbers < 6 || !numbers.is_multiple_of(2) {
            return Err(MaskError::FewPoints { numbers });
        }
        // Not `>`: what is no number is no place either.
        let is_place = |value: &f64| value.abs() <= FARTHEST;
        if let Some(place) = points.iter().position(|value| !is_place(value)) {
            let value = points[place].to_string();
            return Err(MaskError::NoPlace { place, value });
        }
        let mut crossings = crossings(boundary(points), height, width);
        crossings.push((height * width) as u32);
        crossings.sort_unstable();
        Self::new(height, width, between(&crossings))
    }

    /// What is inside of any of the polygons: `segmentation` of an object of COCO. Without a polygon it is nothing.
    ///
    /// # Errors
    /// What [`RunLengths::from_polygon`] says of one of them.
    pub fn from_polygons(polygons: &[Vec<f64>], height: usize, width: usize) -> Result<Self, MaskError> {
        let mut masks = polygons
            .iter()
            .map(|points| Self::from_polygon(points, height, width));
        let Some(first) = masks.next() else {
            check_sides(height, width)?;
            return Self::new(height, width, vec![(height * width) as u32]);
        };
        masks.try_fold(first?, |union, mask| union.union(&mask?))
    }
}

/// Places on the fine edges, all around: each one step from the one before, in one direction or both.
fn boundary(points: &[f64]) -> impl Iterator<Item = [i32; 2]> {
    // Cut off, not rounded down: as in C.
    let fine = |value: f64| (SCALE * value + 0.5) as i32;
    let corners: Vec<[i32; 2]> = points
        .as_chunks::<2>()
        .0
        .iter()
        .map(|point| point.map(fine))
        .collect();
    (0..corners.len()).flat_map(move |corner| {
        let (start, end) = (corners[corner], corners[(corner + 1) % corners.len()]);
        let [dx, dy] = [0, 1].map(|axis| (end[axis] - start[axis]).abs());
        // Along the longer axis, from its smaller end to its larger one.
        let (long, short) = if dx >= dy { (0, 1) } else { (1, 0) };
        let flipped = start[long] > end[long];
        let (low, high) = if flipped { (end, start) } else { (start, end) };
        let len = high[long] - low[long];
        let slope = f64::from(high[short] - low[short]) / f64::from(len);
        (0..=len).map(move |step| {
            let step = if flipped { len - step } else { step };
            let mut place = [0; 2];
            place[long] = low[long] + step;
            place[short] = (f64::from(low[short]) + slope * f64::from(step) + 0.5) as i32;
            place
        })
    })
}

/// Where the boundary passes the middle of a column, as pixels counted down the columns.
fn crossings(boundary: impl Iterator<Item = [i32; 2]>, height: usize, width: usize) -> Vec<u32> {
    let coarse = |fine: i32| (f64::from(fine) + 0.5) / SCALE - 0.5;
    let crossing = |[before, above]: [i32; 2], [x, y]: [i32; 2]| {
        if x == before {
            return None;
        }
        let column = coarse(if x < before { x } else { x - 1 });
        if column.floor() != column || column < 0.0 || column > width as f64 - 1.0 {
            return None;
        }
        let row = coarse(y.min(above)).clamp(0.0, height as f64).ceil();
        Some((column as usize * height + row as usize) as u32)
    };
    let mut last = None;
    boundary
        .filter_map(|place| crossing(last.replace(place)?, place))
        .collect()
}

/// The lengths of runs from one crossing to the next; two at one place are none.
fn between(crossings: &[u32]) -> Vec<u32> {
    let mut lengths = crossings
        .iter()
        .scan(0, |last, &place| Some(place - std::mem::replace(last, place)));
    let mut counts = Vec::with_capacity(crossings.len());
    counts.extend(lengths.next());
    while let Some(length) = lengths.next() {
        if length > 0 {
            counts.push(length);
        } else if let (Some(length), Some(last)) = (lengths.next(), counts.last_mut()) {
            *last += length;
        }
    }
    counts
}
