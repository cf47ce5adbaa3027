//! Augmentation: random changes to training images.
//!
//! Changes work on u8 pixels before normalisation, in the order in which the pipeline file lists
//! them, as torchvision's transforms do. All of a sample's draws come from the sample's own stream,
//! so neither threads nor neighbours matter. A new change is a file here, with an [`ImageChange`].

mod crop;
mod flip;

use super::error::DataError;
use super::shape::SampleShape;
use crate::random::Stream;
use crate::spec;

use crop::Crop;
use flip::HorizontalFlip;

/// The random changes that every sample goes through, in order.
pub struct Augmentation {
    changes: Vec<Box<dyn ImageChange>>,
}

/// An image that is being changed, and room to work in.
pub(super) struct Image {
    /// `[C, H, W]`.
    pub pixels: Vec<u8>,
    pub channels: usize,
    pub height: usize,
    pub width: usize,
    /// For changes that cannot work in place: of any content, to be swapped with `pixels`.
    pub spare: Vec<u8>,
}

/// One random change.
trait ImageChange: Send + Sync {
    /// The shape that an image of `shape` (`[C, H, W]`) has afterwards.
    fn shape_after(&self, shape: [usize; 3]) -> [usize; 3] {
        shape
    }

    /// Changes `image`, taking draws from `draws`.
    fn apply(&self, image: &mut Image, draws: &mut Stream);
}

impl Augmentation {
    /// The changes of a pipeline file, for samples of `shape`.
    ///
    /// # Errors
    /// The samples are no images.
    pub fn new(specs: &[spec::Augment], shape: SampleShape) -> Result<Self, DataError> {
        if !specs.is_empty() && !matches!(shape, SampleShape::Image { .. }) {
            return Err(DataError::Options(
                "`augment` changes images, and the data is a table: remove `augment`".into(),
            ));
        }
        let changes = specs.iter().map(|spec| -> Box<dyn ImageChange> {
            match spec {
                spec::Augment::RandomCrop(spec) => Box::new(Crop::new(spec)),
                spec::Augment::RandomHorizontalFlip(spec) => Box::new(HorizontalFlip::new(spec)),
                other => panic!("{other:?}"),
            }
        });
        Ok(Self {
            changes: changes.collect(),
        })
    }

    /// Whether nothing is changed.
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// The shape that samples of `shape` have afterwards.
    pub fn shape_after(&self, shape: SampleShape) -> SampleShape {
        let SampleShape::Image {
            channels,
            height,
            width,
        } = shape
        else {
            return shape;
        };
        let start = [channels, height, width];
        let [channels, height, width] = self
            .changes
            .iter()
            .fold(start, |shape, change| change.shape_after(shape));
        SampleShape::Image {
            channels,
            height,
            width,
        }
    }

    /// Changes `image`, taking draws from `draws`.
    pub(super) fn apply(&self, image: &mut Image, draws: &mut Stream) {
        for change in &self.changes {
            change.apply(image, draws);
        }
    }
}
