//! Augmentation: changes to images on their way into the network.
//!
//! In go the pixels of one image, `[C, H, W]` u8 before normalisation, and the image's own stream of
//! draws; out come the changed pixels. Changes work in the order in which the pipeline file lists
//! them, as torchvision's transforms (v2) of the same names do on u8 tensors. All of a sample's draws
//! come from the sample's stream, so neither threads nor neighbours matter, and how many draws a
//! change takes never depends on what is in the picture. A new change is a file here, with an
//! [`ImageChange`]. Mixing of whole, normalised batches comes last, with a stream for each batch.

mod affine;
mod blur;
mod color;
mod crop;
mod erase;
mod flip;
mod jitter;
mod mix;
mod policy;
mod resize;
mod resized_crop;
mod sharpness;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod tone;

use super::error::DataError;
use super::shape::SampleShape;
use super::targets::Targets;
use crate::random::Stream;
use crate::schema::InputShape;
use crate::spec;

use affine::{RandomAffine, RandomRotation};
use blur::GaussianBlur;
use color::RandomGrayscale;
use crop::{CenterCrop, RandomCrop};
use erase::RandomErasing;
use flip::{HorizontalFlip, VerticalFlip};
use jitter::ColorJitter;
use mix::Mixing;
use policy::Policy;
use resize::Resize;
use resized_crop::RandomResizedCrop;

/// More values than this in one image (1 GiB as f32) are taken for a slip.
const MOST_VALUES: usize = 1 << 28;

/// The changes that every sample goes through, in order, and how batches are mixed.
pub struct Augmentation {
    changes: Vec<Box<dyn ImageChange>>,
    /// The changes' names.
    names: Vec<&'static str>,
    /// Each batch draws one of them.
    mixing: Vec<Mixing>,
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

/// One change to single images.
trait ImageChange: Send + Sync {
    /// Why images of so many channels and this size (`[H, W]`; nothing where sizes vary) cannot be
    /// changed.
    fn check(&self, _channels: usize, _size: Option<[usize; 2]>) -> Result<(), String> {
        Ok(())
    }

    /// The size that images of `size` have afterwards.
    fn size_after(&self, size: Option<[usize; 2]>) -> Option<[usize; 2]> {
        size
    }

    /// Takes note of the channels' means over the dataset.
    fn set_means(&mut self, _means: &[u8]) {}

    /// Changes `image`, taking draws from `draws`.
    fn apply(&self, image: &mut Image, draws: &mut Stream);
}

impl Augmentation {
    /// The changes of a pipeline file, for samples of `shape`.
    ///
    /// # Errors
    /// The samples are no images, or a change does not fit them: ranges that run backwards, a crop
    /// larger than the image, colours of grey images, mixing that is not the last.
    pub fn new(specs: &[spec::Augment], shape: SampleShape) -> Result<Self, DataError> {
        let mut augmentation = Self {
            changes: Vec::new(),
            names: Vec::new(),
            mixing: Vec::new(),
            shape,
        };
        if specs.is_empty() {
            return Ok(augmentation);
        }
        let mut size = match shape {
            SampleShape::Image { height, width, .. } => Some([height, width]),
            SampleShape::Images { .. } => None,
            SampleShape::Features { .. } => {
                return Err(DataError::Options(
                    "`augment` changes images, and the data is a table: remove `augment`".into(),
                ));
            }
        };
        if let Some(mistake) = spec::augment_mistakes(specs).into_iter().next() {
            return Err(DataError::Options(format!(
                "{}: {}",
                mistake.message, mistake.help
            )));
        }
        let channels = shape.channels();
        for spec in specs {
            let change = match step(spec) {
                Step::Change(change) => change,
                Step::Mix(mixing) => {
                    augmentation.mixing.push(mixing);
                    continue;
                }
            };
            let fails = |problem| DataError::Options(format!("`{}`: {problem}", spec.name()));
            change.check(channels, size).map_err(fails)?;
            let after = change.size_after(size);
            if let Some(after) = after
                && needs_too_much(channels, size.unwrap_or(after), after)
            {
                return Err(fails(format!("{}: choose a smaller size", too_large(after))));
            }
            size = after;
            augmentation.names.push(spec.name());
            augmentation.changes.push(change);
        }
        augmentation.shape = match size {
            Some([height, width]) => SampleShape::Image {
                channels,
                height,
                width,
            },
            None => SampleShape::Images { channels },
        };
        Ok(augmentation)
    }

    /// The same with the channels' means over the dataset (of pixels scaled to `[0, 1]`, as
    /// normalisation has them), which [`spec::RandomErasing`] fills its rectangles with. Before
    /// this it fills them with black.
    #[must_use]
    pub fn with_means(mut self, means: &[f32]) -> Self {
        let grey = |mean: &f32| (mean * 255.0).round_ties_even().clamp(0.0, 255.0) as u8;
        let means: Vec<u8> = means.iter().map(grey).collect();
        for change in &mut self.changes {
            change.set_means(&means);
        }
        self
    }

    /// Whether no sample is changed by itself.
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// The shape that samples have after all changes; [`SampleShape::Images`] where it is not one.
    pub fn shape_after(&self) -> SampleShape {
        self.shape
    }

    /// Why an image of this size, `[H, W]`, cannot be changed, where images have various sizes.
    pub(super) fn check_image(&self, channels: usize, mut size: [usize; 2]) -> Result<(), String> {
        for (change, name) in self.changes.iter().zip(&self.names) {
            let after = change.size_after(Some(size)).unwrap_or(size);
            if needs_too_much(channels, size, after) {
                let [height, width] = size;
                return Err(format!(
                    "`{name}` cannot change its {height}x{width} pixels (height x width): {}; choose a smaller \
                     `size`, give both sides of it, or leave the image out",
                    too_large(after)
                ));
            }
            size = after;
        }
        Ok(())
    }

    /// Changes `image`, taking draws from `draws`.
    pub(super) fn apply(&self, image: &mut Image, draws: &mut Stream) {
        for change in &self.changes {
            change.apply(image, draws);
        }
    }

    /// Whether batches are mixed.
    pub fn mixes(&self) -> bool {
        !self.mixing.is_empty()
    }

    /// Mixes each sample of a batch with the one before it (the first with the last), and their
    /// targets with it.
    ///
    /// `inputs` are `[N, C, H, W]`, normalised; samples have `shape`. Classes become probabilities,
    /// `[N, outputs]`; probabilities and values, `[N, outputs]` too, are mixed as they are: linearly by
    /// mixup, by the share of the area by CutMix.
    pub(super) fn mix(
        &self,
        inputs: &mut [f32],
        shape: InputShape,
        targets: Targets,
        outputs: usize,
        draws: &mut Stream,
    ) -> Targets {
        let InputShape::Image {
            channels,
            height,
            width,
        } = shape
        else {
            return targets;
        };
        let mixing = match &self.mixing[..] {
            [] => return targets,
            [mixing] => mixing,
            several => &several[draws.below(several.len() as u32) as usize],
        };
        mixing.apply(inputs, [channels, height, width], targets, outputs, draws)
    }
}

/// Whether a change from one size, `[H, W]`, to another takes more memory than is sensible. What is
/// scaled is scaled along its rows first.
fn needs_too_much(channels: usize, before: [usize; 2], after: [usize; 2]) -> bool {
    let rows = before[0].max(after[0]);
    channels.saturating_mul(rows).saturating_mul(after[1]) > MOST_VALUES
}

fn too_large([height, width]: [usize; 2]) -> String {
    format!("images of {height}x{width} pixels are too large")
}

enum Step {
    Change(Box<dyn ImageChange>),
    Mix(Mixing),
}

fn step(spec: &spec::Augment) -> Step {
    use spec::Augment;
    Step::Change(match spec {
        Augment::Resize(spec) => Box::new(Resize::new(spec)),
        Augment::CenterCrop(spec) => Box::new(CenterCrop::new(spec)),
        Augment::RandomCrop(spec) => Box::new(RandomCrop::new(spec)),
        Augment::RandomResizedCrop(spec) => Box::new(RandomResizedCrop::new(spec)),
        Augment::RandomHorizontalFlip(spec) => Box::new(HorizontalFlip::new(spec)),
        Augment::RandomVerticalFlip(spec) => Box::new(VerticalFlip::new(spec)),
        Augment::RandomRotation(spec) => Box::new(RandomRotation::new(spec)),
        Augment::RandomAffine(spec) => Box::new(RandomAffine::new(spec)),
        Augment::ColorJitter(spec) => Box::new(ColorJitter::new(spec)),
        Augment::RandomGrayscale(spec) => Box::new(RandomGrayscale::new(spec)),
        Augment::GaussianBlur(spec) => Box::new(GaussianBlur::new(spec)),
        Augment::RandomErasing(spec) => Box::new(RandomErasing::new(spec)),
        Augment::TrivialAugment(_) => Box::new(Policy::trivial()),
        Augment::RandAugment(spec) => Box::new(Policy::rand(spec)),
        Augment::Mixup(spec) => return Step::Mix(Mixing::mixup(spec)),
        Augment::Cutmix(spec) => return Step::Mix(Mixing::cutmix(spec)),
    })
}

/// Height and width of `size`, where one number stands for both.
fn both_sides(size: spec::Size) -> [usize; 2] {
    match size {
        spec::Size::Side(side) => [side.get() as usize; 2],
        spec::Size::HeightWidth(sides) => sides.map(|side| side.get() as usize),
    }
}

/// Fails unless images are grey or in colour.
fn check_colors(channels: usize) -> Result<(), String> {
    if channels == 1 || channels == 3 {
        return Ok(());
    }
    Err(format!(
        "it needs 1 or 3 channels, and the data has {channels}: take it out of the list"
    ))
}

impl Image {
    /// Makes what was written to `spare` the pixels.
    fn swap(&mut self) {
        std::mem::swap(&mut self.pixels, &mut self.spare);
    }

    /// Pixels a channel.
    fn plane(&self) -> usize {
        self.height * self.width
    }

    /// Red, green and blue, where the image has 3 channels.
    fn red_green_blue(&mut self) -> Option<[&mut [u8]; 3]> {
        if self.channels != 3 {
            return None;
        }
        let plane = self.plane();
        let (red, rest) = self.pixels.split_at_mut(plane);
        let (green, blue) = rest.split_at_mut(plane);
        Some([red, green, blue])
    }
}
