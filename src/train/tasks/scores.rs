//! Sums of scores where the outputs are.

use candle_core::{CpuStorage, DType, Device, Result, Storage, Tensor};

/// The sum of a batch's scores as an f64 on the device of `outputs`, `[N, outputs]` of f32: by `host`
/// from the values themselves where those are in the host's memory, else by `device` from operations of
/// the device, without a copy.
///
/// # Errors
/// An operation fails.
pub fn score_sum(
    outputs: &Tensor,
    host: impl FnOnce(&[f32]) -> f64,
    device: impl FnOnce(&Tensor) -> Result<Tensor>,
) -> Result<Tensor> {
    let outputs = outputs.detach().contiguous()?;
    if !is_composing() {
        let (storage, layout) = outputs.storage_and_layout();
        if let (Storage::Cpu(CpuStorage::F32(values)), Some((from, to))) =
            (&*storage, layout.contiguous_offsets())
        {
            return Tensor::new(host(&values[from..to]), &Device::Cpu);
        }
    }
    device(&outputs)?.to_dtype(DType::F64)?.sum_all()
}

#[cfg(not(test))]
fn is_composing() -> bool {
    false
}

#[cfg(test)]
thread_local! {
    static COMPOSING: std::cell::Cell<bool> = const { std::cell::Cell::new(false) };
}

#[cfg(test)]
fn is_composing() -> bool {
    COMPOSING.get()
}

/// Calls `body`, in which sums on this thread are computed as on other devices.
#[cfg(test)]
pub(super) fn composing<T>(body: impl FnOnce() -> T) -> T {
    COMPOSING.set(true);
    let result = body();
    COMPOSING.set(false);
    result
}
