//! What is done to images on their way into the network.

use std::num::NonZeroU32;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::spec::values::{NonNegative, Positive, Probability};

/// A change to training images, as the transform of torchvision with the same name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Augment {
    /// Scale to a size.
    Resize(ResizeOptions),
    /// Take the middle.
    CenterCrop(CenterCropOptions),
    /// Pad with zeros and crop back at a random place.
    RandomCrop(RandomCropOptions),
    /// Crop a random share of the image, of random proportions, and scale it to a size.
    RandomResizedCrop(RandomResizedCropOptions),
    /// Mirror left and right.
    RandomHorizontalFlip(RandomFlipOptions),
    /// Mirror top and bottom.
    RandomVerticalFlip(RandomFlipOptions),
    /// Rotate about the middle.
    RandomRotation(RandomRotationOptions),
    /// Rotate, shift, scale and shear about the middle.
    RandomAffine(RandomAffineOptions),
    /// Change brightness, contrast, saturation and hue, in random order.
    ColorJitter(ColorJitterOptions),
    /// Take the colours out.
    RandomGrayscale(RandomGrayscaleOptions),
    /// Blur with a Gaussian of random width.
    GaussianBlur(GaussianBlurOptions),
    /// Set a random rectangle to the channels' means.
    RandomErasing(RandomErasingOptions),
    /// Crop a random window around some of the objects; needs data with objects.
    RandomIouCrop(RandomIouCropOptions),
    /// Put the image on a larger black canvas.
    RandomZoomOut(RandomZoomOutOptions),
    /// Change brightness, contrast, saturation and hue and swap channels, each with a probability of its own.
    RandomPhotometricDistort(RandomPhotometricDistortOptions),
    /// One random change of random strength (Müller and Hutter, 2021).
    TrivialAugment(TrivialAugmentOptions),
    /// Some random changes of one strength (Cubuk et al., 2020).
    RandAugment(RandAugmentOptions),
    /// Mix pairs of samples and their targets (Zhang et al., 2018). The last of the list.
    Mixup(MixupOptions),
    /// Paste a rectangle of one sample into another (Yun et al., 2019). The last of the list; where
    /// mixup stands there too, each sample draws one of the two.
    Cutmix(CutmixOptions),
}

impl Augment {
    /// Whether it mixes a sample with another.
    pub fn mixes(&self) -> bool {
        matches!(self, Self::Mixup(_) | Self::Cutmix(_))
    }

    /// The name in a pipeline file.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Resize(_) => "resize",
            Self::CenterCrop(_) => "center_crop",
            Self::RandomCrop(_) => "random_crop",
            Self::RandomResizedCrop(_) => "random_resized_crop",
            Self::RandomHorizontalFlip(_) => "random_horizontal_flip",
            Self::RandomVerticalFlip(_) => "random_vertical_flip",
            Self::RandomRotation(_) => "random_rotation",
            Self::RandomAffine(_) => "random_affine",
            Self::ColorJitter(_) => "color_jitter",
            Self::RandomGrayscale(_) => "random_grayscale",
            Self::GaussianBlur(_) => "gaussian_blur",
            Self::RandomErasing(_) => "random_erasing",
            Self::RandomIouCrop(_) => "random_iou_crop",
            Self::RandomZoomOut(_) => "random_zoom_out",
            Self::RandomPhotometricDistort(_) => "random_photometric_distort",
            Self::TrivialAugment(_) => "trivial_augment",
            Self::RandAugment(_) => "rand_augment",
            Self::Mixup(_) => "mixup",
            Self::Cutmix(_) => "cutmix",
        }
    }
}

/// A change to every image that is judged.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum EvalTransform {
    /// Scale to a size.
    Resize(ResizeOptions),
    /// Take the middle.
    CenterCrop(CenterCropOptions),
}

impl From<&EvalTransform> for Augment {
    fn from(transform: &EvalTransform) -> Self {
        match transform {
            EvalTransform::Resize(resize) => Self::Resize(resize.clone()),
            EvalTransform::CenterCrop(crop) => Self::CenterCrop(crop.clone()),
        }
    }
}

/// A size in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Size {
    /// Of the shorter side where images are scaled, of both sides where they are cropped.
    Side(NonZeroU32),
    /// Height and width.
    HeightWidth([NonZeroU32; 2]),
}

/// Scale to a size, bilinearly, averaging where the image shrinks (`antialias=True`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ResizeOptions {
    /// One number is the shorter side's; two are height and width.
    pub size: Size,
}

/// Take the middle; what is smaller is padded with zeros.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CenterCropOptions {
    /// One number is both sides'; two are height and width.
    pub size: Size,
}

/// Pad with zeros, then crop at a random place. Where images of various sizes are smaller than the
/// crop even so, they are padded further (`pad_if_needed=True`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RandomCropOptions {
    /// The size after the crop; by default the size before the padding.
    #[serde(default)]
    pub size: Option<Size>,
    /// Pixels added on each side.
    #[serde(default)]
    pub padding: u32,
}

/// Crop a random share, of random proportions, and scale it to a size.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RandomResizedCropOptions {
    /// One number is both sides'; two are height and width.
    pub size: Size,
    /// The share of the image's area.
    #[serde(default = "crop_scale")]
    pub scale: [Positive; 2],
    /// Width over height.
    #[serde(default = "crop_ratio")]
    pub ratio: [Positive; 2],
}

/// A random mirror image.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RandomFlipOptions {
    /// The probability.
    #[serde(default = "half")]
    pub p: Probability,
}

/// A rotation; what comes into view is black.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RandomRotationOptions {
    /// The largest angle either way.
    pub degrees: NonNegative,
}

/// An affine map; what comes into view is black.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RandomAffineOptions {
    /// The largest rotation either way.
    pub degrees: NonNegative,
    /// The largest shift either way, as a share of width and of height.
    #[serde(default)]
    pub translate: Option<[Probability; 2]>,
    /// The scale, from and to.
    #[serde(default)]
    pub scale: Option<[Positive; 2]>,
    /// The largest shear either way along the rows, in degrees.
    #[serde(default)]
    pub shear: NonNegative,
}

/// Random colours. A factor is drawn from `[max(0, 1 - x), 1 + x]`, the hue's shift from `[-x, x]`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ColorJitterOptions {
    /// Of all values.
    #[serde(default)]
    pub brightness: NonNegative,
    /// Around the mean of the grey image.
    #[serde(default)]
    pub contrast: NonNegative,
    /// Around the grey image.
    #[serde(default)]
    pub saturation: NonNegative,
    /// In turns, at most 0.5.
    #[serde(default)]
    pub hue: NonNegative,
}

/// Grey in all channels.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RandomGrayscaleOptions {
    /// The probability.
    #[serde(default = "tenth")]
    pub p: Probability,
}

/// A blur.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GaussianBlurOptions {
    /// Pixels of the kernel's side: an odd number.
    pub kernel_size: NonZeroU32,
    /// The standard deviation in pixels, from and to.
    #[serde(default = "blur_sigma")]
    pub sigma: [Positive; 2],
}

/// A rectangle without content.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RandomErasingOptions {
    /// The probability.
    #[serde(default = "half")]
    pub p: Probability,
    /// The share of the image's area.
    #[serde(default = "erasing_scale")]
    pub scale: [Positive; 2],
    /// Height over width.
    #[serde(default = "erasing_ratio")]
    pub ratio: [Positive; 2],
}

/// A crop around objects. Windows are of many sizes: a `resize` has to follow.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RandomIouCropOptions {
    /// The shares of the image's width and of its height, from and to.
    #[serde(default = "iou_crop_scale")]
    pub scale: [Positive; 2],
    /// Width over height, from and to.
    #[serde(default = "iou_crop_ratio")]
    pub ratio: [Positive; 2],
    /// Each image draws one: the least intersection over union of the window and an object; with 1 the image stays as it is.
    #[serde(default = "iou_crop_overlaps")]
    pub overlaps: Vec<Probability>,
    /// How many windows are tried before another overlap is drawn.
    #[serde(default = "iou_crop_trials")]
    pub trials: NonZeroU32,
}

/// A larger canvas. Canvases are of many sizes: a `resize` has to follow.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RandomZoomOutOptions {
    /// The canvas's sides over the image's, from and to: at least 1.
    #[serde(default = "zoom_out_sides")]
    pub side_range: [Positive; 2],
    /// The probability.
    #[serde(default = "half")]
    pub p: Probability,
}

/// Random colours, as SSD is trained with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RandomPhotometricDistortOptions {
    /// The factor of all values, from and to.
    #[serde(default = "distort_brightness")]
    pub brightness: [NonNegative; 2],
    /// The factor around the mean of the grey image.
    #[serde(default = "distort_contrast")]
    pub contrast: [NonNegative; 2],
    /// The factor around the grey image.
    #[serde(default = "distort_contrast")]
    pub saturation: [NonNegative; 2],
    /// The shift of the hue in turns, from -0.5 to 0.5.
    #[serde(default = "distort_hue")]
    pub hue: [f64; 2],
    /// The probability of each change.
    #[serde(default = "half")]
    pub p: Probability,
}

/// TrivialAugment (wide) has no options.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TrivialAugmentOptions {}

/// RandAugment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RandAugmentOptions {
    /// Changes an image, up to 14.
    #[serde(default = "rand_ops")]
    pub num_ops: NonZeroU32,
    /// Their strength, from 0 to 30.
    #[serde(default = "rand_magnitude")]
    pub magnitude: u32,
}

/// Mixup.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MixupOptions {
    /// Shares are drawn from Beta(alpha, alpha).
    #[serde(default = "unit")]
    pub alpha: Positive,
}

/// CutMix.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CutmixOptions {
    /// Shares are drawn from Beta(alpha, alpha).
    #[serde(default = "unit")]
    pub alpha: Positive,
}

fn half() -> Probability {
    Probability::new(0.5).expect("0.5 is a probability")
}

fn tenth() -> Probability {
    Probability::new(0.1).expect("0.1 is a probability")
}

fn unit() -> Positive {
    positive(1.0)
}

fn positive(value: f64) -> Positive {
    Positive::new(value).expect("the defaults are positive")
}

fn crop_scale() -> [Positive; 2] {
    [0.08, 1.0].map(positive)
}

fn crop_ratio() -> [Positive; 2] {
    [3.0 / 4.0, 4.0 / 3.0].map(positive)
}

fn blur_sigma() -> [Positive; 2] {
    [0.1, 2.0].map(positive)
}

fn erasing_scale() -> [Positive; 2] {
    [0.02, 0.33].map(positive)
}

fn erasing_ratio() -> [Positive; 2] {
    [0.3, 3.3].map(positive)
}

fn rand_ops() -> NonZeroU32 {
    NonZeroU32::new(2).unwrap_or(NonZeroU32::MIN)
}

fn rand_magnitude() -> u32 {
    9
}

fn iou_crop_scale() -> [Positive; 2] {
    [0.3, 1.0].map(positive)
}

fn iou_crop_ratio() -> [Positive; 2] {
    [0.5, 2.0].map(positive)
}

fn iou_crop_overlaps() -> Vec<Probability> {
    let overlaps = [0.0, 0.1, 0.3, 0.5, 0.7, 0.9, 1.0];
    overlaps.into_iter().filter_map(Probability::new).collect()
}

fn iou_crop_trials() -> NonZeroU32 {
    NonZeroU32::MIN.saturating_add(39)
}

fn zoom_out_sides() -> [Positive; 2] {
    [1.0, 4.0].map(positive)
}

fn distort_brightness() -> [NonNegative; 2] {
    [0.875, 1.125].map(non_negative)
}

fn distort_contrast() -> [NonNegative; 2] {
    [0.5, 1.5].map(non_negative)
}

fn distort_hue() -> [f64; 2] {
    [-0.05, 0.05]
}

fn non_negative(value: f64) -> NonNegative {
    NonNegative::new(value).expect("the defaults are not negative")
}
