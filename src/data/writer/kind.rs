//! How samples are kept, and what has to be known of each beside its bytes.

use std::io;
use std::path::Path;

use super::Sample;
use super::output::Output;
use super::spool::Spool;
use crate::data::error::DataError;
use crate::data::layout::Samples;
use crate::data::shape::SampleShape;
use crate::spec::Color;

/// How samples are kept.
pub(super) enum Kind {
    Pixels {
        shape: SampleShape,
    },
    Features {
        columns: Vec<String>,
    },
    Images {
        channels: usize,
        sizes: Sizes,
        ends: Spool,
    },
    Files {
        color: Color,
        sizes: Sizes,
        ends: Spool,
    },
}

/// The sizes of images.
pub(super) struct Sizes {
    /// Heights and widths; nothing where only their being the same counts.
    all: Option<Spool>,
    first: Option<[usize; 2]>,
    same: bool,
}

impl Kind {
    /// The shape of the samples, as long as more may come.
    pub fn shape(&self) -> SampleShape {
        match self {
            Self::Pixels { shape } => *shape,
            Self::Features { columns } => SampleShape::Features {
                columns: columns.len(),
            },
            Self::Images { channels, .. } => SampleShape::Images { channels: *channels },
            Self::Files { color, .. } => SampleShape::Images {
                channels: color.channels(),
            },
        }
    }

    /// Whether `sample` is one of this dataset's.
    pub fn fits(&self, sample: Sample<'_>) -> bool {
        let side = |side: usize| side > 0 && u32::try_from(side).is_ok();
        match (self, sample) {
            (Self::Pixels { shape }, Sample::Pixels(pixels)) => pixels.len() == shape.len(),
            (Self::Features { columns }, Sample::Features(features)) => features.len() == columns.len(),
            (
                Self::Images { channels, .. },
                Sample::Image {
                    pixels,
                    height,
                    width,
                },
            ) => {
                let wanted = height
                    .checked_mul(width)
                    .and_then(|len| len.checked_mul(*channels));
                side(height) && side(width) && wanted == Some(pixels.len())
            }
            (Self::Files { .. }, Sample::File { bytes, height, width }) => {
                side(height) && side(width) && !bytes.is_empty()
            }
            _ => false,
        }
    }

    /// Takes note of a sample whose bytes end at `end`.
    pub fn note(&mut self, sample: Sample<'_>, end: u64) -> io::Result<()> {
        if let (
            Self::Images { sizes, ends, .. } | Self::Files { sizes, ends, .. },
            Sample::Image { height, width, .. } | Sample::File { height, width, .. },
        ) = (self, sample)
        {
            ends.push(&end.to_le_bytes())?;
            sizes.push([height, width])?;
        }
        Ok(())
    }

    /// Writes what belongs to the samples beside their bytes.
    pub fn finish(self, output: &mut Output) -> Result<Samples, DataError> {
        let data = output.data();
        Ok(match self {
            Self::Pixels { shape } => Samples::Pixels { shape, data },
            Self::Features { columns } => Samples::Features { columns, data },
            Self::Images {
                channels,
                sizes,
                ends,
            } => match (sizes.shape(channels), sizes.all) {
                (SampleShape::Images { channels }, Some(sizes)) => Samples::Images {
                    channels,
                    sizes: output.spooled(sizes)?,
                    ends: output.spooled(ends)?,
                    data,
                },
                (shape, _) => Samples::Pixels { shape, data },
            },
            Self::Files { color, sizes, ends } => Samples::Files {
                color,
                shape: sizes.shape(color.channels()),
                ends: output.spooled(ends)?,
                data,
            },
        })
    }

    /// Bytes of memory that its buffers hold.
    #[cfg(test)]
    pub fn memory(&self) -> usize {
        match self {
            Self::Pixels { .. } | Self::Features { .. } => 0,
            Self::Images { sizes, ends, .. } | Self::Files { sizes, ends, .. } => {
                ends.memory() + sizes.all.as_ref().map_or(0, Spool::memory)
            }
        }
    }
}

impl Sizes {
    /// Sizes that will be written.
    pub fn kept(folder: &Path) -> Result<Self, DataError> {
        Ok(Self {
            all: Some(Spool::new(folder)?),
            ..Self::compared()
        })
    }

    /// Sizes that are only compared.
    pub fn compared() -> Self {
        Self {
            all: None,
            first: None,
            same: true,
        }
    }

    fn push(&mut self, size: [usize; 2]) -> io::Result<()> {
        self.same &= *self.first.get_or_insert(size) == size;
        let Some(all) = &mut self.all else {
            return Ok(());
        };
        // `fits` has seen that they fit 32 bits.
        size.iter()
            .try_for_each(|side| all.push(&(*side as u32).to_le_bytes()))
    }

    /// The shape of the images.
    fn shape(&self, channels: usize) -> SampleShape {
        match self.first {
            Some([height, width]) if self.same => SampleShape::Image {
                channels,
                height,
                width,
            },
            _ => SampleShape::Images { channels },
        }
    }
}
