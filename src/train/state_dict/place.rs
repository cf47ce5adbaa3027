//! Where a tensor's elements lie in a file, and how they are read.

use std::fs::File;
use std::os::unix::fs::FileExt;

use safetensors::Dtype;

use super::pytorch::{Storage, StorageView};
use crate::train::tensor_file::HostTensor;

/// A tensor in a file, of which only the description has been read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorPlace {
    /// The type of the elements.
    pub dtype: Dtype,
    /// The dimensions.
    pub shape: Vec<usize>,
    /// The first element's first byte in the file.
    start: u64,
    /// The bytes from there to behind the last element.
    span: u64,
    /// Elements between neighbours along each dimension, where they do not lie row by row.
    strides: Option<Vec<u64>>,
    /// Whether the highest byte of an element comes first.
    big_endian: bool,
    /// The check sum (CRC-32) of the bytes, where it is known.
    check: Option<u32>,
}

/// A run of bytes in a file that PyTorch keeps elements in.
#[derive(Clone, Copy, Debug)]
pub struct StorageBytes {
    /// The first byte.
    pub start: u64,
    /// How many they are.
    pub length: u64,
    /// The check sum (CRC-32), where it is known.
    pub check: Option<u32>,
    /// Whether the highest byte of an element comes first.
    pub big_endian: bool,
}

impl TensorPlace {
    /// A tensor whose elements lie row by row in the bytes from `start` to `end`.
    pub fn rows(dtype: Dtype, shape: Vec<usize>, start: u64, end: u64) -> Self {
        Self {
            dtype,
            shape,
            start,
            span: end.saturating_sub(start),
            strides: None,
            big_endian: false,
            check: None,
        }
    }

    /// A view of a storage that lies in `bytes`.
    ///
    /// # Errors
    /// It leads outside of the storage, or the storage has another size: a sentence.
    pub fn view(view: &StorageView, storage: Storage, bytes: StorageBytes) -> Result<Self, String> {
        let outside = || "a tensor that leads outside of its storage".to_owned();
        let size = element_size(view.dtype).ok_or("a type of unknown size")?;
        if storage.elements.checked_mul(size) != Some(bytes.length) {
            return Err(format!(
                "a storage of {} bytes that is said to have {} elements of {size} bytes",
                bytes.length, storage.elements
            ));
        }
        let (mut elements, mut last) = (1u64, view.offset);
        for (&length, &stride) in view.shape.iter().zip(&view.strides) {
            let length = u64::try_from(length).map_err(|_| outside())?;
            elements = elements.checked_mul(length).ok_or_else(outside)?;
            let reach = length.saturating_sub(1).checked_mul(stride);
            last = reach
                .and_then(|reach| last.checked_add(reach))
                .ok_or_else(outside)?;
        }
        if elements == 0 {
            return Ok(Self::rows(
                view.dtype,
                view.shape.clone(),
                bytes.start,
                bytes.start,
            ));
        }
        if last >= storage.elements {
            return Err(outside());
        }
        let span = (last - view.offset + 1) * size;
        let by_rows = is_by_rows(&view.shape, &view.strides);
        Ok(Self {
            dtype: view.dtype,
            shape: view.shape.clone(),
            start: bytes.start + view.offset * size,
            span,
            strides: (!by_rows).then(|| view.strides.clone()),
            big_endian: bytes.big_endian,
            check: bytes.check.filter(|_| span == bytes.length),
        })
    }

    /// The bytes that have to be read.
    pub fn span(&self) -> u64 {
        self.span
    }

    /// Reads it.
    ///
    /// # Errors
    /// The file cannot be read, or is damaged: a sentence.
    pub fn read(&self, file: &File) -> Result<HostTensor, String> {
        let span = usize::try_from(self.span).map_err(|_| "a tensor over this machine's memory")?;
        let mut bytes = vec![0; span];
        file.read_exact_at(&mut bytes, self.start)
            .map_err(|error| format!("cannot read it: {error}"))?;
        if let Some(check) = self.check
            && crc32fast::hash(&bytes) != check
        {
            return Err("its check sum does not fit: the file is damaged; get it again".to_owned());
        }
        let size = element_size(self.dtype).ok_or("a type of unknown size")? as usize;
        if let Some(strides) = &self.strides {
            bytes = gathered(&bytes, size, &self.shape, strides);
        }
        if self.big_endian {
            bytes.chunks_exact_mut(size).for_each(<[u8]>::reverse);
        }
        Ok(HostTensor::new(self.dtype, self.shape.clone(), bytes))
    }
}

/// The bytes of an element, where they are whole ones.
pub fn element_size(dtype: Dtype) -> Option<u64> {
    let bits = dtype.bitsize();
    bits.is_multiple_of(8).then_some(bits as u64 / 8)
}

/// Whether elements lie row by row. How far apart the members of a dimension of one member are, means nothing.
fn is_by_rows(shape: &[usize], strides: &[u64]) -> bool {
    let mut expected = 1;
    for (&length, &stride) in shape.iter().zip(strides).rev() {
        if length != 1 && stride != expected {
            return false;
        }
        expected *= length as u64;
    }
    true
}

/// The elements row by row. The strides lead to no place outside of `bytes`.
fn gathered(bytes: &[u8], size: usize, shape: &[usize], strides: &[u64]) -> Vec<u8> {
    let elements: usize = shape.iter().product();
    let mut rows = Vec::with_capacity(elements * size);
    let mut index = vec![0; shape.len()];
    let mut at = 0;
    for _ in 0..elements {
        rows.extend_from_slice(&bytes[at * size..(at + 1) * size]);
        for dimension in (0..shape.len()).rev() {
            index[dimension] += 1;
            at += strides[dimension] as usize;
            if index[dimension] < shape[dimension] {
                break;
            }
            at -= index[dimension] * strides[dimension] as usize;
            index[dimension] = 0;
        }
    }
    rows
}
