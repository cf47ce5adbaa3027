//! Tiles of images for Winograd's minimal filtering.

use std::marker::PhantomData;

use super::shared::ResultPlace;
use super::transforms::TileTransform;
use super::{Finish, Kernels, SharedResults};
use crate::ops::stored::{Stored, ValueFormat};

/// A transform of Winograd's minimal filtering, from tiles of so many elements to tiles of so many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::ops) enum Transform {
    /// Pixels, 6x6 to 6x6.
    Pixels,
    /// Products, 6x6 to 4x4 pixels of the result.
    Products,
    /// Gradients of the result, 4x4 to 6x6 gradients of products.
    Gradients,
    /// Weights, 3x3 to 6x6.
    Weights,
    /// Gradients of transformed weights, 6x6 to 3x3.
    WeightGradients,
}

impl Transform {
    /// Elements of a transformed tile.
    fn results(self) -> usize {
        match self {
            Self::Pixels | Self::Gradients | Self::Weights => 36,
            Self::Products => 16,
            Self::WeightGradients => 9,
        }
    }
}

/// A tile whose elements are rows of channels, to be transformed.
pub(in crate::ops) struct Tile<'a> {
    sources: [*const u8; 36],
    source_count: usize,
    format: ValueFormat,
    life: PhantomData<Stored<'a>>,
    channels: usize,
}

impl<'a> Tile<'a> {
    /// A tile whose `count` elements begin at `element(index)`, all of one format.
    pub fn new<S: Into<Stored<'a>>>(channels: usize, count: usize, element: impl Fn(usize) -> S) -> Self {
        let mut sources = [std::ptr::null(); 36];
        let mut format = ValueFormat::F32;
        for (index, source) in sources[..count].iter_mut().enumerate() {
            let values: Stored = element(index).into();
            assert!(values.len() >= channels, "{channels} channels");
            assert!(index == 0 || values.format() == format, "one format");
            format = values.format();
            *source = values.start();
        }
        Self {
            sources,
            source_count: count,
            format,
            life: PhantomData,
            channels,
        }
    }

    /// Writes the transform's element `index` to `target` from `place(index)`, unless that
    /// is `None`.
    ///
    /// # Safety
    /// Nobody else reads or writes these places at the same time, and they do not overlap.
    pub unsafe fn transform<'b>(
        &self,
        kernels: &Kernels,
        transform: Transform,
        target: impl Into<SharedResults<'b>>,
        place: impl Fn(usize) -> Option<usize>,
        round_sources: bool,
        finish: Finish,
    ) {
        assert!(finish.is_for(self.channels), "scale and shift of each channel");
        let count = transform.results();
        let mut residuals = [std::ptr::null(); 36];
        let mut targets = [ResultPlace::NONE; 36];
        let target = target.into();
        for (index, element) in targets[..count].iter_mut().enumerate() {
            *element = match place(index) {
                Some(start) => {
                    residuals[index] = finish.residual(start, self.channels);
                    target.address(start, self.channels)
                }
                None => ResultPlace::NONE,
            };
        }
        let tile = TileTransform {
            sources: &self.sources[..self.source_count],
            format: self.format,
            targets: &targets[..count],
            channels: self.channels,
            round_sources,
            finish: finish.from(0, target.format()),
            residuals: &residuals[..count],
        };
        // SAFETY: `available` only gives kernels that the processor can run; sources and targets have as
        // many values as there are channels, as scale, shift and residuals do; that nobody else uses
        // the targets is the caller's.
        unsafe { (kernels.transform)(transform, &tile) };
        if let Some(function) = finish.function {
            assert!(target.format() == ValueFormat::F32, "functions are of f32");
            for &results in targets[..count].iter().filter(|results| !results.is_none()) {
                // SAFETY: the transform has just stored so many of them; that nobody else uses them is the caller's.
                function.apply(unsafe { std::slice::from_raw_parts_mut(results.wide(), self.channels) });
            }
        }
    }
}
