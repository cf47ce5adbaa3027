//! What the tests of the operations share.

use std::cell::Cell;

use candle_core::{DType, Device, Tensor, Var};

use crate::random::{Purpose, Stream};

/// A tensor of standard normal numbers.
pub(crate) fn random(shape: &[usize], seed: u64) -> Tensor {
    let mut stream = Stream::new(seed, Purpose::Init, 0, 0);
    let values: Vec<f32> = (0..shape.iter().product())
        .map(|_| stream.normal() as f32)
        .collect();
    Tensor::from_vec(values, shape, &Device::Cpu).expect("as many values as the shape holds")
}

/// A variable of standard normal numbers.
pub(crate) fn random_var(shape: &[usize], seed: u64) -> Var {
    Var::from_tensor(&random(shape, seed)).expect("a CPU tensor becomes a variable")
}

/// All values in order.
pub(crate) fn host(x: &Tensor) -> Vec<f32> {
    x.flatten_all()
        .and_then(|x| x.to_dtype(DType::F32)?.to_vec1())
        .expect("a tensor of floats")
}

/// All values in order, as f64.
pub(crate) fn host64(x: &Tensor) -> Vec<f64> {
    host(x).into_iter().map(f64::from).collect()
}

/// The gradient of `sum(y * weights)` with respect to `x`.
pub(crate) fn gradient_of(y: &Tensor, weights: &[f32], x: &Var) -> Vec<f32> {
    gradients_of(y, weights, &[x]).remove(0)
}

/// The gradients of `sum(y * weights)` with respect to each variable.
pub(crate) fn gradients_of(y: &Tensor, weights: &[f32], variables: &[&Var]) -> Vec<Vec<f32>> {
    let weights = Tensor::from_slice(weights, y.shape(), &Device::Cpu).expect("a weight for each value");
    // candle's sum accumulates sequentially; only its gradient, the weights themselves, matters here.
    let sum = (y * weights)
        .and_then(|products| products.sum_all())
        .expect("equal shapes");
    let gradients = sum.backward().expect("differentiable");
    variables
        .iter()
        .map(|x| host(gradients.get(x).expect("reached by the gradient")))
        .collect()
}

/// Central differences of `f` at `x`, in f64.
pub(crate) fn differences(x: &[f64], f: impl Fn(&[f64]) -> f64) -> Vec<f64> {
    let step = 1e-5;
    let mut x = x.to_vec();
    (0..x.len())
        .map(|index| {
            let centre = x[index];
            x[index] = centre + step;
            let above = f(&x);
            x[index] = centre - step;
            let below = f(&x);
            x[index] = centre;
            (above - below) / (2.0 * step)
        })
        .collect()
}

/// `sum(y * weights)` in f64.
pub(crate) fn weighted(y: &[f64], weights: &[f32]) -> f64 {
    y.iter()
        .zip(weights)
        .map(|(y, &weight)| y * f64::from(weight))
        .sum()
}

/// Fails unless each value lies within `tolerance` of what is expected, relative to the largest.
#[track_caller]
pub(crate) fn assert_close(actual: &[f32], expected: &[f64], tolerance: f64) {
    assert_eq!(actual.len(), expected.len());
    let scale = expected
        .iter()
        .fold(1e-3f64, |scale, value| scale.max(value.abs()));
    for (index, (&actual, &expected)) in actual.iter().zip(expected).enumerate() {
        let error = (f64::from(actual) - expected).abs();
        assert!(
            error <= tolerance * scale,
            "at {index}: {actual} instead of {expected}, scale {scale}"
        );
    }
}

/// Runs `body` with 1, 2 and 3 threads and checks that the results are equal, bit for bit.
#[track_caller]
pub(crate) fn same_for_any_number_of_threads<T: Send + PartialEq>(body: impl Fn() -> T + Sync) -> T {
    let with = |threads| {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .expect("threads start");
        pool.install(&body)
    };
    let one = with(1);
    assert!(with(2) == one, "2 threads give another result than 1");
    assert!(with(3) == one, "3 threads give another result than 1");
    one
}

thread_local! {
    static IS_COMPOSING: Cell<bool> = const { Cell::new(false) };
}

/// Whether operations are to be composed of candle's on the CPU too.
pub(crate) fn is_composing() -> bool {
    IS_COMPOSING.get()
}

/// Runs `body` with operations composed of candle's, as on a device without kernels of ours.
pub(crate) fn composing<T>(body: impl FnOnce() -> T) -> T {
    struct Restore(bool);

    impl Drop for Restore {
        fn drop(&mut self) {
            IS_COMPOSING.set(self.0);
        }
    }

    let _restore = Restore(IS_COMPOSING.replace(true));
    body()
}

/// While the result lives, this thread convolves directly, without Winograd's transforms.
pub(crate) fn without_winograd() -> super::conv::WithoutWinograd {
    super::conv::WithoutWinograd::new()
}

/// The indices of a split's first `count` samples, at most 4096.
pub fn first_samples(count: usize) -> &'static [u32] {
    static SAMPLES: [u32; 4096] = {
        let mut samples = [0; 4096];
        let mut index = 0;
        while index < samples.len() {
            samples[index] = index as u32;
            index += 1;
        }
        samples
    };
    &SAMPLES[..count]
}
