//! Augmentation: random changes to training images.
//!
//! Changes work on u8 pixels before normalisation, in the order in which the pipeline file lists
//! them, as torchvision's transforms do. All of a sample's draws come from the sample's own stream,
//! so neither threads nor neighbours matter. A new change is a file here, with an [`ImageChange`].

mod crop;
mod flip;

use super::error::DataError;
use super::shape::SampleShape;
use super::targets::Targets;
use crate::random::Stream;
use crate::spec;

use crop::Crop;
use flip::HorizontalFlip;

/// The random changes that every sample goes through, in order.
pub struct Augmentation {
    changes: Vec<Box<dyn ImageChange>>,
    shape: SampleShape,
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
            shape,
        })
    }

    /// Whether nothing is changed.
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// The shape that samples have afterwards.
    pub fn shape_after(&self) -> SampleShape {
        self.shape
    }

    /// The same with the channels' means over the dataset.
    #[must_use]
    pub fn with_means(self, _means: &[f32]) -> Self {
        self
    }

    /// Whether batches are mixed.
    pub fn mixes(&self) -> bool {
        false
    }

    /// Mixes each sample of a batch with another.
    pub(super) fn mix(
        &self,
        _inputs: &mut [f32],
        _shape: SampleShape,
        targets: Targets,
        _outputs: usize,
        _draws: &mut Stream,
    ) -> Targets {
        targets
    }

    /// Changes `image`, taking draws from `draws`.
    pub(super) fn apply(&self, image: &mut Image, draws: &mut Stream) {
        for change in &self.changes {
            change.apply(image, draws);
        }
    }
}
