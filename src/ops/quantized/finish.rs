//! From sums of products to what a layer gives.

use super::affine::Affine;
use super::kernels::LANES;
use super::lanes::Lanes;
use crate::ops::microkernel::SharedValues;

/// What is done with a layer's sums: they become numbers, something is added, negative ones become 0, and the result is
/// rounded to bytes where it is wanted as such.
#[derive(Clone, Copy, Debug, Default)]
pub struct ByteFinish<'a> {
    /// What is added.
    pub added: Option<AddedTensor<'a>>,
    /// What the sums are rounded to before that.
    pub product: Option<Affine>,
    /// Whether negative numbers become 0.
    pub relu: bool,
}

/// A tensor of a result's shape that is added to it.
#[derive(Clone, Copy, Debug)]
pub enum AddedTensor<'a> {
    /// As bytes.
    Bytes(&'a [u8], Affine),
    /// As numbers.
    Values(&'a [f32]),
}

/// What a result consists of.
pub(super) trait ResultElement: Copy + Default + Send + Sync {
    /// How results stand: nothing for numbers.
    type Form: Copy + Send + Sync;

    /// What the sums' factors are divided by where they are results at once.
    fn step(form: Self::Form) -> f32;

    /// Of numbers in units of [`ResultElement::step`].
    ///
    /// # Safety
    /// The processor has the instructions of `L`.
    unsafe fn of_steps<L: Lanes>(steps: L, form: Self::Form) -> [Self; LANES];

    /// Of numbers.
    ///
    /// # Safety
    /// The processor has the instructions of `L`.
    unsafe fn of_values<L: Lanes>(values: L, form: Self::Form) -> [Self; LANES];
}

#[allow(
    clippy::undocumented_unsafe_blocks,
    reason = "the processor is the caller's promise"
)]
impl ResultElement for f32 {
    type Form = ();

    fn step((): ()) -> f32 {
        1.0
    }

    #[inline(always)]
    unsafe fn of_steps<L: Lanes>(steps: L, (): ()) -> [f32; LANES] {
        unsafe { steps.values() }
    }

    #[inline(always)]
    unsafe fn of_values<L: Lanes>(values: L, (): ()) -> [f32; LANES] {
        unsafe { values.values() }
    }
}

#[allow(
    clippy::undocumented_unsafe_blocks,
    reason = "the processor is the caller's promise"
)]
impl ResultElement for u8 {
    type Form = Affine;

    fn step(form: Affine) -> f32 {
        form.scale
    }

    #[inline(always)]
    unsafe fn of_steps<L: Lanes>(steps: L, form: Affine) -> [u8; LANES] {
        unsafe { steps.bytes(form) }
    }

    #[inline(always)]
    unsafe fn of_values<L: Lanes>(values: L, form: Affine) -> [u8; LANES] {
        unsafe { values.divide(form.scale).bytes(form) }
    }
}

/// A [`ByteFinish`] for results of a kind, with a panel's factors.
#[derive(Clone, Copy)]
pub(super) struct PanelFinish<'a, T: ResultElement> {
    pub finish: ByteFinish<'a>,
    pub form: T::Form,
    /// Of each output, what is added to its sums.
    pub bias: &'a [i32; LANES],
    /// Of each output, what its sums are multiplied with.
    pub factors: &'a [f32; LANES],
}

impl<T: ResultElement> PanelFinish<'_, T> {
    /// Writes the results of a row of sums; those of the first `width` outputs stand at `place` of the tensor.
    ///
    /// # Safety
    /// The processor has the instructions of `L`, and nobody else uses these places at the same time.
    #[inline(always)]
    pub unsafe fn write<L: Lanes>(
        &self,
        sums: &[i32; LANES],
        target: &SharedValues<T>,
        place: usize,
        width: usize,
    ) {
        // SAFETY: the caller's.
        unsafe {
            let results = self.results::<L>(sums, place, width);
            // A length that is known makes it one instruction.
            match width {
                LANES => target.write(place, &results),
                _ => target.write(place, &results[..width]),
            }
        }
    }

    /// The results of a row of sums.
    ///
    /// # Safety
    /// The processor has the instructions of `L`.
    #[inline(always)]
    unsafe fn results<L: Lanes>(&self, sums: &[i32; LANES], place: usize, width: usize) -> [T; LANES] {
        // SAFETY: the caller's.
        unsafe {
            let mut numbers = L::of_sums(sums, self.bias, self.factors);
            let Some(added) = self.finish.added else {
                if self.finish.relu {
                    numbers = numbers.relu();
                }
                return T::of_steps(numbers, self.form);
            };
            if let Some(product) = self.finish.product {
                numbers = L::of_bytes(&numbers.bytes(product), product);
            }
            numbers = numbers.add(match added {
                AddedTensor::Bytes(bytes, affine) => L::of_bytes(&row_of(bytes, place, width), affine),
                AddedTensor::Values(values) => L::of_values(&row_of(values, place, width)),
            });
            if self.finish.relu {
                numbers = numbers.relu();
            }
            T::of_values(numbers, self.form)
        }
    }
}

/// `width` values from `place` on, and zeros behind them.
#[inline(always)]
fn row_of<T: Copy + Default>(values: &[T], place: usize, width: usize) -> [T; LANES] {
    let values = &values[place..place + width];
    values.try_into().unwrap_or_else(|_| {
        let mut row = [T::default(); LANES];
        row[..width].copy_from_slice(values);
        row
    })
}
