//! The class of each pixel, from the masks of objects.

use super::object_box::ObjectFault;
use super::{Outline, SceneObject, SceneProblemKind};
use crate::data::augment::nearest;
use crate::metric::mask::RunLengths;
use crate::schema::NO_PIXEL_CLASS;

/// The class of each pixel of an image of some height and width: 0 where no object is, else one more than the object's. A pixel of
/// several classes has none, as in torchvision's references; neither have those of what does not count.
pub(super) struct PixelPainting {
    size: [usize; 2],
    pub classes: Vec<u8>,
}

impl PixelPainting {
    pub fn new(size: [usize; 2]) -> Self {
        let classes = vec![0; size[0] * size[1]];
        Self { size, classes }
    }

    /// Paints an object. An error says what is wrong with it.
    pub fn paint(&mut self, object: &SceneObject) -> Result<(), ObjectFault> {
        let [height, width] = self.size;
        let name = &object.name;
        let bad = |problem: String| (SceneProblemKind::BadMask, format!("{name}: {problem}"));
        let polygons;
        let runs = match &object.outline {
            None => return Err(bad("it has no `segmentation`: draw one, or remove it".to_owned())),
            Some(Outline::Polygons(points)) => {
                polygons = RunLengths::from_polygons(points, height, width)
                    .map_err(|error| bad(format!("its polygons are none: {error}")))?;
                &polygons
            }
            Some(Outline::Runs(runs)) => runs,
        };
        if [runs.height(), runs.width()] != self.size {
            return Err(bad(format!(
                "its mask has {}x{} pixels (height x width), and its image {height}x{width}: make them one size",
                runs.height(),
                runs.width()
            )));
        }
        let counts = !object.crowd && !object.difficult;
        // There are fewer classes than a byte has values.
        let class = if counts {
            object.class as u8 + 1
        } else {
            NO_PIXEL_CLASS
        };
        let mask = runs.decode();
        for (pixel, inside) in self.classes.iter_mut().zip(mask) {
            if inside != 0 {
                *pixel = match *pixel {
                    0 => class,
                    before if before == class => class,
                    _ => NO_PIXEL_CLASS,
                };
            }
        }
        Ok(())
    }
}

/// The classes of pixels with another height and width: each is one of those that were there, the [`nearest`].
pub(in crate::data::formats) fn resized_classes(
    classes: &[u8],
    [rows, columns]: [usize; 2],
    [height, width]: [usize; 2],
) -> Vec<u8> {
    let row = |y: usize| &classes[nearest(y, rows, height) * columns..][..columns];
    (0..height)
        .flat_map(|y| (0..width).map(move |x| (y, nearest(x, columns, width))))
        .map(|(y, x)| row(y)[x])
        .collect()
}
