//! The gradients of one optimizer step.

use candle_core::backprop::GradStore;
use candle_core::{CpuStorage, Storage, Tensor};
use rayon::prelude::*;

use crate::models::Parameter;

/// Elements that one thread looks at in one go.
const CHUNK: usize = 1 << 16;

/// One gradient for each parameter that has one, in the parameters' order, summed over the
/// micro-batches of a step in their order.
#[derive(Default)]
pub struct Gradients {
    sums: Vec<Option<Tensor>>,
}

impl Gradients {
    /// Adds what a backward pass of the next micro-batch left in `store`.
    ///
    /// # Errors
    /// The addition fails.
    pub fn add(&mut self, parameters: &[Parameter], mut store: GradStore) -> candle_core::Result<()> {
        self.sums.resize(parameters.len(), None);
        for (sum, parameter) in self.sums.iter_mut().zip(parameters) {
            let gradient = store.remove(&parameter.var);
            *sum = match (sum.take(), gradient) {
                (Some(sum), Some(gradient)) => Some((sum + gradient)?),
                (sum, gradient) => sum.or(gradient),
            };
        }
        Ok(())
    }

    /// The sums, in the parameters' order.
    pub fn sums(&self) -> &[Option<Tensor>] {
        &self.sums
    }

    /// Whether every element is finite.
    ///
    /// # Errors
    /// A gradient is not f32.
    pub fn all_finite(&self) -> candle_core::Result<bool> {
        for gradient in self.sums.iter().flatten() {
            if !all_finite(gradient)? {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// Whether every element of an f32 tensor is finite.
///
/// # Errors
/// The tensor is not f32.
pub fn all_finite(tensor: &Tensor) -> candle_core::Result<bool> {
    let tensor = tensor.contiguous()?;
    let (storage, layout) = tensor.storage_and_layout();
    if let (Storage::Cpu(CpuStorage::F32(values)), Some((from, to))) =
        (&*storage, layout.contiguous_offsets())
    {
        return Ok(values[from..to].par_chunks(CHUNK).all(chunk_is_finite));
    }
    drop(storage);
    Ok(chunk_is_finite(&tensor.flatten_all()?.to_vec1::<f32>()?))
}

/// Without an early exit, so that it becomes vector instructions.
fn chunk_is_finite(values: &[f32]) -> bool {
    const EXPONENT: u32 = 0x7f80_0000;
    let all_set = |value: &f32| value.to_bits() & EXPONENT == EXPONENT;
    !values.iter().fold(false, |bad, value| bad | all_set(value))
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Var};

    use super::*;

    #[test]
    fn finds_one_bad_value_anywhere() {
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            for place in [0, CHUNK, 2 * CHUNK + 4] {
                let mut values = vec![f32::MAX; 2 * CHUNK + 5];
                assert!(all_finite(&Tensor::new(values.as_slice(), &Device::Cpu).unwrap()).unwrap());
                values[place] = bad;
                assert!(!all_finite(&Tensor::new(values, &Device::Cpu).unwrap()).unwrap());
            }
        }
    }

    #[test]
    fn sums_in_order_and_keeps_what_has_no_gradient_empty() {
        let device = Device::Cpu;
        let parameters = ["used", "unused"].map(|name| Parameter {
            name: name.to_owned(),
            var: Var::new(&[2f32, 3.0], &device).unwrap(),
            decays: true,
            frozen: false,
        });
        let mut gradients = Gradients::default();
        for factor in [1.0, 10.0] {
            let loss = (parameters[0].var.as_tensor() * factor)
                .unwrap()
                .sum_all()
                .unwrap();
            gradients.add(&parameters, loss.backward().unwrap()).unwrap();
        }
        let sum = gradients.sums()[0].as_ref().unwrap();
        assert_eq!(sum.to_vec1::<f32>().unwrap(), [11.0, 11.0]);
        assert!(gradients.sums()[1].is_none());
        assert!(gradients.all_finite().unwrap());
    }
}
