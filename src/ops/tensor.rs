//! Access to the numbers of CPU tensors.

use candle_core::{CpuStorage, Error, Layout, Result, Shape, Storage, Tensor};

use super::error::OpError;
use super::operation::ArrayView;
use super::stored::Values;

/// The values of a contiguous f32 operand of a custom op.
pub(super) fn values<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [f32]> {
    let (start, end) = contiguous(layout)?;
    let values = storage.as_slice::<f32>()?.get(start..end);
    values.ok_or_else(|| Error::Msg("the tensor's values were given up for a packed form".to_string()))
}

/// A weight of which a packed form is kept: no values where it was left without them.
fn packed_view<'a>(storage: &'a CpuStorage, layout: &'a Layout) -> Result<ArrayView<'a>> {
    let dims = layout.dims();
    match storage {
        CpuStorage::F32(values) if values.is_empty() => Ok(ArrayView::of_values(&[], dims)),
        _ => view(storage, layout),
    }
}

/// A contiguous operand of f32 or u32, which may have been left without values where it `is_packed`.
pub(super) fn view_of<'a>(
    storage: &'a Storage,
    layout: &'a Layout,
    is_packed: bool,
) -> Result<ArrayView<'a>> {
    match storage {
        Storage::Cpu(storage) if is_packed => packed_view(storage, layout),
        Storage::Cpu(storage) => view(storage, layout),
        _ => Err(Error::Msg("this kernel runs on the CPU only".to_string())),
    }
}

/// A contiguous operand of f32, bf16 or u32.
pub(super) fn view<'a>(storage: &'a CpuStorage, layout: &'a Layout) -> Result<ArrayView<'a>> {
    let dims = layout.dims();
    Ok(match storage {
        CpuStorage::U32(indices) => {
            let (start, end) = contiguous(layout)?;
            ArrayView {
                indices: &indices[start..end],
                ..ArrayView::of_values(&[], dims)
            }
        }
        CpuStorage::BF16(values) => {
            let (start, end) = contiguous(layout)?;
            ArrayView {
                narrow: &values[start..end],
                ..ArrayView::of_values(&[], dims)
            }
        }
        _ => ArrayView::of_values(values(storage, layout)?, dims),
    })
}

fn contiguous(layout: &Layout) -> Result<(usize, usize)> {
    layout
        .contiguous_offsets()
        .ok_or_else(|| Error::Msg("this operation needs contiguous operands".to_string()))
}

/// Calls `body` with the values of CPU tensors of f32, bf16 or u32, made contiguous if need be.
pub(super) fn with_arrays<'a, T>(
    tensors: impl IntoIterator<Item = &'a Tensor>,
    body: impl FnOnce(&[ArrayView]) -> T,
) -> Result<T> {
    with_arrays_and_packed(tensors, None, body)
}

/// The same where one operand may have been left without values.
pub(super) fn with_arrays_and_packed<'a, T>(
    tensors: impl IntoIterator<Item = &'a Tensor>,
    packed: Option<usize>,
    body: impl FnOnce(&[ArrayView]) -> T,
) -> Result<T> {
    let tensors = tensors
        .into_iter()
        .map(Tensor::contiguous)
        .collect::<Result<Vec<_>>>()?;
    let storages: Vec<_> = tensors.iter().map(Tensor::storage_and_layout).collect();
    let arrays = storages
        .iter()
        .enumerate()
        .map(|(index, (storage, layout))| view_of(storage, layout, Some(index) == packed))
        .collect::<Result<Vec<_>>>()?;
    Ok(body(&arrays))
}

/// A CPU tensor of `values`.
pub(super) fn from_values(values: Vec<f32>, shape: impl Into<Shape>) -> Result<Tensor> {
    Tensor::from_vec(values, shape.into(), &candle_core::Device::Cpu)
}

/// The same of values in either format.
pub(super) fn from_stored(values: Values, shape: impl Into<Shape>) -> Result<Tensor> {
    match values {
        Values::F32(values) => from_values(values, shape),
        Values::Bf16(values) => Tensor::from_vec(values, shape.into(), &candle_core::Device::Cpu),
    }
}

/// The dimensions of a channels-last activation.
pub(super) fn channels_last(op: &'static str, x: &Tensor) -> std::result::Result<Images, OpError> {
    match *x.dims() {
        [_, height, width, channels] if height * width * channels > 0 => Ok(Images::of(x.dims())),
        _ => Err(OpError::rank(
            op,
            "[N, H, W, C] without an empty dimension",
            x.shape(),
        )),
    }
}

/// The dimensions `[N, H, W, C]` of a channels-last activation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Images {
    pub batch: usize,
    pub height: usize,
    pub width: usize,
    pub channels: usize,
}

impl Images {
    /// Of dimensions that [`channels_last`] has found to be right.
    pub fn of(dims: &[usize]) -> Self {
        let [batch, height, width, channels] = *dims else {
            unreachable!("images have four dimensions, not {dims:?}");
        };
        Self {
            batch,
            height,
            width,
            channels,
        }
    }

    /// Values of one image.
    pub fn image_len(&self) -> usize {
        self.height * self.width * self.channels
    }

    /// Values of all images.
    pub fn len(&self) -> usize {
        self.batch * self.image_len()
    }

    /// As candle wants it.
    pub fn shape(&self) -> (usize, usize, usize, usize) {
        (self.batch, self.height, self.width, self.channels)
    }
}
