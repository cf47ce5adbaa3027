//! New values that are written once, without zeroing their memory first.

use std::mem::MaybeUninit;

use rayon::prelude::*;

use super::HAS_GRADIENTS;
use super::microkernel::{SharedResults, SharedValues};
use super::stored::{ValueFormat, Values};

/// `len` values, made in blocks of `block` that run in parallel: `write` is given the index of each
/// block and its values.
///
/// # Safety
/// `write` writes every value of each block.
pub(super) unsafe fn in_blocks<T: Copy + Send>(
    len: usize,
    block: usize,
    write: impl Fn(usize, &mut [MaybeUninit<T>]) + Sync + Send,
) -> Vec<T> {
    let mut values = Vec::with_capacity(len);
    for_each_block(&mut values.spare_capacity_mut()[..len], block, &write);
    // SAFETY: the caller's `write` has written them all.
    unsafe { values.set_len(len) };
    values
}

/// Calls `write` with each block of `block` values and its index, in parallel. Not generic over `write`: how work is
/// shared out is hundreds of instructions, and once for all operations.
fn for_each_block<T: Send>(
    values: &mut [MaybeUninit<T>],
    block: usize,
    write: &(dyn Fn(usize, &mut [MaybeUninit<T>]) + Sync),
) {
    values
        .par_chunks_mut(block.max(1))
        .enumerate()
        .for_each(|(index, values)| write(index, values));
}

/// `len` values, made in blocks of `block` that run in parallel: `write` is given the index of each
/// block and its values, which are 0 yet.
pub(super) fn in_zeroed_blocks(
    len: usize,
    block: usize,
    write: impl Fn(usize, &mut [f32]) + Sync + Send,
) -> Vec<f32> {
    let zeroed = |index: usize, values: &mut [MaybeUninit<f32>]| {
        values.fill(MaybeUninit::new(0.0));
        // SAFETY: all of them are 0 now.
        write(index, unsafe { values.assume_init_mut() });
    };
    // SAFETY: each block is filled.
    unsafe { in_blocks(len, block, zeroed) }
}

/// A copy of `values`, of which `change` changes each block of `block` once it is copied, in parallel.
pub(super) fn changed(
    values: &[f32],
    block: usize,
    change: impl Fn(usize, &mut [f32]) + Sync + Send,
) -> Vec<f32> {
    let copied = |index: usize, target: &mut [MaybeUninit<f32>]| {
        let source = &values[index * block..][..target.len()];
        change(index, target.write_copy_of_slice(source));
    };
    // SAFETY: each block is copied.
    unsafe { in_blocks(values.len(), block, copied) }
}

/// `len` values that `write` puts in their places.
///
/// # Safety
/// `write` writes every value.
pub(super) unsafe fn in_places<T: Copy>(len: usize, write: impl FnOnce(&SharedValues<T>)) -> Vec<T> {
    let mut values = Vec::with_capacity(len);
    write(&SharedValues::of_spare(&mut values.spare_capacity_mut()[..len]));
    // SAFETY: the caller's `write` has written them all.
    unsafe { values.set_len(len) };
    values
}

/// `len` values of a format that `write` puts in their places.
///
/// # Safety
/// `write` writes every value.
pub(super) unsafe fn in_places_of(
    format: ValueFormat,
    len: usize,
    write: impl FnOnce(SharedResults),
) -> Values {
    // SAFETY: the caller's.
    unsafe {
        match format {
            ValueFormat::Bf16 if HAS_GRADIENTS => {
                Values::Bf16(in_places(len, |target| write(SharedResults::from(target))))
            }
            _ => Values::F32(in_places(len, |target| write(SharedResults::from(target)))),
        }
    }
}
