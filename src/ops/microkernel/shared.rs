//! Results that several threads write.

use std::marker::PhantomData;
use std::mem::MaybeUninit;

use crate::ops::stored::{StoredNumber, ValueFormat};

/// A slice that several threads write to, each to its own part.
pub(in crate::ops) struct SharedValues<'a, T = f32> {
    start: *mut T,
    len: usize,
    life: PhantomData<&'a mut [T]>,
}

// SAFETY: it is only a place and a length; who writes through it promises to keep to his own part.
unsafe impl<T: Send> Send for SharedValues<'_, T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for SharedValues<'_, T> {}

impl<'a, T: Copy> SharedValues<'a, T> {
    pub fn new(values: &'a mut [T]) -> Self {
        Self {
            start: values.as_mut_ptr(),
            len: values.len(),
            life: PhantomData,
        }
    }

    /// The same for values that are yet to be written.
    pub fn of_spare(values: &'a mut [MaybeUninit<T>]) -> Self {
        Self {
            start: values.as_mut_ptr().cast(),
            len: values.len(),
            life: PhantomData,
        }
    }

    /// Writes `values` from `start` on.
    ///
    /// # Safety
    /// Nobody else reads or writes these places at the same time.
    pub unsafe fn write(&self, start: usize, values: &[T]) {
        let target = self.address(start, values.len());
        // SAFETY: the address is that of as many values within the slice; that nobody else uses them is the
        // caller's, and so they are not those that are read.
        unsafe { target.copy_from_nonoverlapping(values.as_ptr(), values.len()) };
    }

    /// The address of `len` values from `start`.
    pub(super) fn address(&self, start: usize, len: usize) -> *mut T {
        assert!(
            start <= self.len && len <= self.len - start,
            "a part of the slice"
        );
        self.start.wrapping_add(start)
    }
}

impl<'a> SharedValues<'a> {
    /// The same for words that are to hold f32 values.
    pub(super) fn of_spare_words(words: &'a mut [MaybeUninit<u32>]) -> Self {
        Self {
            start: words.as_mut_ptr().cast(),
            len: words.len(),
            life: PhantomData,
        }
    }
}

/// Results of either format that several threads write, each its own part.
#[derive(Clone, Copy)]
pub(in crate::ops) struct SharedResults<'a> {
    start: *mut u8,
    len: usize,
    format: ValueFormat,
    life: PhantomData<&'a mut [u8]>,
}

// SAFETY: as for [`SharedValues`].
unsafe impl Send for SharedResults<'_> {}
// SAFETY: as for [`SharedValues`].
unsafe impl Sync for SharedResults<'_> {}

impl<'a, T: StoredNumber> From<&SharedValues<'a, T>> for SharedResults<'a> {
    fn from(values: &SharedValues<'a, T>) -> Self {
        Self {
            start: values.start.cast(),
            len: values.len,
            format: T::FORMAT,
            life: PhantomData,
        }
    }
}

impl SharedResults<'_> {
    pub fn format(&self) -> ValueFormat {
        self.format
    }

    /// The address of `len` results from `start`.
    pub(super) fn address(&self, start: usize, len: usize) -> ResultPlace {
        assert!(
            start <= self.len && len <= self.len - start,
            "a part of the results"
        );
        ResultPlace(self.start.wrapping_add(start * self.format.bytes()))
    }
}

/// Where results of either format are.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct ResultPlace(*mut u8);

impl ResultPlace {
    pub const NONE: Self = Self(std::ptr::null_mut());

    pub fn is_none(self) -> bool {
        self.0.is_null()
    }

    /// As f32, which they have to be.
    pub fn wide(self) -> *mut f32 {
        self.0.cast()
    }

    /// As bf16, which they have to be.
    pub fn narrow(self) -> *mut half::bf16 {
        self.0.cast()
    }
}
