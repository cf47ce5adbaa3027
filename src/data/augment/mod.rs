//! Augmentation: changes to samples on their way into the network.
//!
//! In go the pixels of one image, `[C, H, W]` u8 before normalisation, with what rides along (masks,
//! boxes, further images), and the sample's own stream of draws; out come the changed pixels, and what
//! rides along at the places where the changes moved it. Changes work in the order in which the
//! pipeline file lists them, as torchvision's transforms (v2) of the same names do on u8 tensors. All
//! of a sample's draws come from the sample's stream, so neither threads nor neighbours matter, and how
//! many draws a change takes never depends on what is in the picture. A new change is a file here, with
//! a [`SampleTransform`]. Mixing with the next sample of the epoch comes last, on normalised values.

mod affine;
mod blur;
mod color;
mod crop;
mod erase;
mod flip;
mod iou_crop;
mod jitter;
mod mix;
mod photometric;
mod policy;
mod resize;
mod resized_crop;
mod riders;
mod sharpness;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod tone;
mod zoom_out;

use super::error::DataError;
use crate::random::Stream;
use crate::schema::{Dimensions, Field, FieldKind, FieldRole, Schema};
use crate::spec;

use affine::{RandomAffine, RandomRotation};
use blur::GaussianBlur;
use color::RandomGrayscale;
use crop::{CenterCrop, RandomCrop};
use erase::RandomErasing;
use flip::{HorizontalFlip, VerticalFlip};
use iou_crop::RandomIouCrop;
use jitter::ColorJitter;
use mix::Mixing;
pub(super) use mix::blend;
use photometric::RandomPhotometricDistort;
use policy::Policy;
use resize::Resize;
pub(in crate::data) use resize::nearest;
use resized_crop::RandomResizedCrop;
use zoom_out::RandomZoomOut;

pub(super) use riders::Rider;

/// More values than this in one image (1 GiB as f32) are taken for a slip.
const MOST_VALUES: usize = 1 << 28;

/// The changes that every sample goes through, in order, and how samples are mixed.
pub struct Augmentation {
    changes: Vec<Box<dyn SampleTransform>>,
    /// The changes' names.
    names: Vec<&'static str>,
    /// Each sample draws one of them.
    mixing: Vec<Mixing>,
    /// What samples hold after all changes.
    schema: Schema,
    /// The index of what the changes are about.
    input: usize,
}

/// An image that is being changed, what rides along, and room to work in.
pub(super) struct Image {
    /// `[C, H, W]`.
    pub pixels: Vec<u8>,
    pub channels: usize,
    pub height: usize,
    pub width: usize,
    /// For changes that cannot work in place: of any content, to be swapped with `pixels`.
    pub spare: Vec<u8>,
    /// What is moved as the image is.
    pub riders: Vec<Rider>,
}

/// One change to single samples: from schema to schema, and from sample to sample.
trait SampleTransform: Send + Sync {
    /// Why images of so many channels and this size (`[H, W]`; nothing where sizes vary) cannot be
    /// changed.
    fn check(&self, _channels: usize, _size: Option<[usize; 2]>) -> Result<(), String> {
        Ok(())
    }

    /// The size that images of `size` have afterwards.
    fn size_after(&self, size: Option<[usize; 2]>) -> Option<[usize; 2]> {
        size
    }

    /// The largest size that an image of `size` may have afterwards, where that varies.
    fn largest_after(&self, size: [usize; 2]) -> [usize; 2] {
        self.size_after(Some(size)).unwrap_or(size)
    }

    /// Why samples that hold `schema` cannot be changed.
    fn check_schema(&self, _schema: &Schema) -> Result<(), String> {
        Ok(())
    }

    /// Takes note of the channels' means over the dataset.
    fn set_means(&mut self, _means: &[u8]) {}

    /// What samples hold afterwards that hold `schema` before, and whose image is its field `input`: all
    /// images and masks have the new size.
    ///
    /// # Errors
    /// A sentence: such images cannot be changed.
    fn schema_after(&self, schema: &Schema, input: usize) -> Result<Schema, String> {
        let Some(image) = schema.fields().get(input) else {
            return Err("there is no image".to_owned());
        };
        let (channels, size) = (image.channels(), image.dimensions.size());
        self.check(channels, size)?;
        self.check_schema(schema)?;
        let after = self.size_after(size);
        if let Some(after) = after.or_else(|| size.map(|size| self.largest_after(size)))
            && needs_too_much(channels, size.unwrap_or(after), after)
        {
            return Err(format!("{}: choose a smaller size", too_large(after)));
        }
        let fields = schema.fields().iter().map(|field| {
            let moves = is_moved(field);
            let dimensions = Dimensions::image(field.channels(), after);
            let field = field.clone();
            if moves {
                field.with_dimensions(dimensions)
            } else {
                field
            }
        });
        Schema::new(fields.collect())
    }

    /// Changes `image`, taking draws from `draws`.
    fn apply(&self, image: &mut Image, draws: &mut Stream);
}

impl Augmentation {
    /// The changes of a pipeline file, for samples that hold `schema`.
    ///
    /// # Errors
    /// The samples are no images, or a change does not fit them: ranges that run backwards, a crop
    /// larger than the image, colours of grey images, mixing that is not the last or meets what cannot
    /// be blended.
    pub fn new(specs: &[spec::Augment], schema: &Schema) -> Result<Self, DataError> {
        let is_input = |field: &Field| field.role == FieldRole::Input;
        let Some(input) = schema.fields().iter().position(is_input) else {
            return Err(DataError::Options(
                "the samples have nothing to show a network".into(),
            ));
        };
        let mut augmentation = Self {
            changes: Vec::new(),
            names: Vec::new(),
            mixing: Vec::new(),
            schema: schema.clone(),
            input,
        };
        if specs.is_empty() {
            return Ok(augmentation);
        }
        if !schema.fields()[input].is_image() {
            return Err(DataError::Options(
                "`augment` changes images, and the data is a table: remove `augment`".into(),
            ));
        }
        if let Some(mistake) = spec::augment_mistakes(specs).into_iter().next() {
            return Err(DataError::Options(format!(
                "{}: {}",
                mistake.message, mistake.help
            )));
        }
        for spec in specs {
            let fails = |problem| DataError::Options(format!("`{}`: {problem}", spec.name()));
            match step(spec).map_err(fails)? {
                AugmentStep::Change(change) => {
                    augmentation.schema = change.schema_after(&augmentation.schema, input).map_err(fails)?;
                    augmentation.names.push(spec.name());
                    augmentation.changes.push(change);
                }
                AugmentStep::Mix(mixing) => {
                    check_mixable(schema, input).map_err(fails)?;
                    augmentation.mixing.push(mixing);
                }
            }
        }
        Ok(augmentation)
    }

    /// The same with the channels' means over the dataset (of pixels scaled to `[0, 1]`, as
    /// normalisation has them), which [`spec::RandomErasingOptions`] fills its rectangles with. Before
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

    /// What samples hold after all changes.
    pub fn schema_after(&self) -> &Schema {
        &self.schema
    }

    /// What a network is shown after all changes.
    pub fn input_after(&self) -> &Field {
        &self.schema.fields()[self.input]
    }

    /// Why an image of this size, `[H, W]`, cannot be changed, where images have various sizes.
    pub(super) fn check_image(&self, channels: usize, mut size: [usize; 2]) -> Result<(), String> {
        for (change, name) in self.changes.iter().zip(&self.names) {
            let after = change.largest_after(size);
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

    /// Whether samples are mixed.
    pub fn mixes(&self) -> bool {
        !self.mixing.is_empty()
    }

    /// Mixes a sample with another, and gives the share of it that stays, which its targets are to be
    /// blended by: linear in mixup, the share of the area in CutMix.
    ///
    /// `own` and `other` are images of `shape`, `[C, H, W]`, normalised.
    pub(super) fn mix(&self, own: &mut [f32], other: &[f32], shape: [usize; 3], draws: &mut Stream) -> f64 {
        let mixing = match &self.mixing[..] {
            [] => return 1.0,
            [mixing] => mixing,
            several => &several[draws.below(several.len() as u32) as usize],
        };
        mixing.apply(own, other, shape, draws)
    }
}

/// Whether a field holds what is moved as the sample's image is, and has its size.
fn is_moved(field: &Field) -> bool {
    matches!(field.kind, FieldKind::Image | FieldKind::Mask)
}

/// Fails where samples hold what cannot be blended.
fn check_mixable(schema: &Schema, input: usize) -> Result<(), String> {
    let blends = |(index, field): &(usize, &Field)| {
        *index == input
            || matches!(
                field.kind,
                FieldKind::Class | FieldKind::Labels | FieldKind::Numbers | FieldKind::Probabilities
            ) && field.dimensions.is_fixed()
            || field.role == FieldRole::Origin
    };
    match schema.fields().iter().enumerate().find(|field| !blends(field)) {
        None => Ok(()),
        Some((_, field)) => Err(format!(
            "it blends samples, and `{}` cannot be blended: take it out of the list",
            field.name
        )),
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

enum AugmentStep {
    Change(Box<dyn SampleTransform>),
    Mix(Mixing),
}

fn step(spec: &spec::Augment) -> Result<AugmentStep, String> {
    use spec::Augment;
    Ok(AugmentStep::Change(match spec {
        Augment::Resize(spec) => Box::new(Resize::new(spec)),
        Augment::CenterCrop(spec) => Box::new(CenterCrop::new(spec)),
        // Those that follow are for training: nothing of them is linked in a program that only asks models.
        _ if !cfg!(feature = "full") => return Err("this program only asks models".to_owned()),
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
        Augment::RandomIouCrop(spec) => Box::new(RandomIouCrop::new(spec)),
        Augment::RandomZoomOut(spec) => Box::new(RandomZoomOut::new(spec)),
        Augment::RandomPhotometricDistort(spec) => Box::new(RandomPhotometricDistort::new(spec)),
        Augment::TrivialAugment(_) => Box::new(Policy::trivial()),
        Augment::RandAugment(spec) => Box::new(Policy::rand(spec)),
        Augment::Mixup(spec) => return Ok(AugmentStep::Mix(Mixing::mixup(spec))),
        Augment::Cutmix(spec) => return Ok(AugmentStep::Mix(Mixing::cutmix(spec))),
    }))
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
    /// An image to be filled.
    pub fn empty() -> Self {
        Self {
            pixels: Vec::new(),
            channels: 0,
            height: 0,
            width: 0,
            spare: Vec::new(),
            riders: Vec::new(),
        }
    }

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
