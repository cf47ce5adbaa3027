use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::ops::operation::{self, ArrayView, CpuKernel, Operation};
use crate::ops::testing::*;
use crate::ops::{BatchNormOptions, ConvOptions, Epilogue, RunningStatistics, Statistics};
use crate::ops::{add, avg_pool2d, batch_norm, conv2d, gelu, global_average_pool, linear, relu};
use crate::spec::Precision;

fn has_no_segments(entry: &TapeEntry) -> bool {
    matches!(entry, TapeEntry::Ran(node) if node.segments.is_empty())
}

struct Weights {
    conv: Var,
    scale: Var,
    shift: Var,
    head: Var,
    bias: Var,
}

impl Weights {
    fn new() -> Self {
        Self {
            conv: random_var(&[4, 4, 3, 3], 1),
            scale: random_var(&[4], 2),
            shift: random_var(&[4], 3),
            head: random_var(&[3, 4], 4),
            bias: random_var(&[3], 5),
        }
    }

    fn all(&self) -> [&Var; 5] {
        [&self.conv, &self.scale, &self.shift, &self.head, &self.bias]
    }

    /// A loss with shared tensors, residual sums, and candle's own operations in between.
    fn loss(&self, images: &Tensor, epilogue: fn(&Tensor) -> Epilogue<'_>) -> Tensor {
        let options = ConvOptions {
            padding: 1,
            ..ConvOptions::default()
        };
        let conv = |x: &Tensor| conv2d(x, &self.conv, None, options, Precision::F32).expect("fits");
        let norm = |x: &Tensor, epilogue| {
            let mut running = RunningStatistics::new(4);
            let statistics = Statistics::Batch(&mut running);
            let options = BatchNormOptions::default();
            batch_norm(
                x,
                &self.scale,
                &self.shift,
                statistics,
                options,
                epilogue,
                Precision::F32,
            )
            .expect("fits")
        };
        let x = conv(images);
        // A segment that two operations take, one of them twice.
        let segment = ((&x * 0.5).expect("runs") + 1.0).expect("runs");
        let y = norm(&conv(&segment), epilogue(&segment));
        let z = norm(&conv(&y), epilogue(&y));
        let pooled = avg_pool2d(
            &relu(&z).expect("runs"),
            crate::ops::Window {
                size: 2,
                stride: 2,
                padding: 0,
            },
            true,
            Precision::F32,
        )
        .expect("fits");
        let means = global_average_pool(&(&pooled + &pooled).expect("runs"), Precision::F32).expect("runs");
        let means = means.reshape((means.dims()[0], 1, 4)).expect("fits");
        let logits = linear(&means, &self.head, Some(&self.bias), Precision::F32).expect("fits");
        let logits = gelu(&logits, Precision::F32).expect("runs");
        logits.sqr().and_then(|squares| squares.sum_all()).expect("runs")
    }
}

fn taped(weights: &Weights, images: &Tensor, epilogue: fn(&Tensor) -> Epilogue<'_>) -> Vec<Vec<f32>> {
    let (loss, tape) = Tape::record(|| weights.loss(images, epilogue));
    assert!(tape.entries.len() >= 10);
    let mut gradients = tape.backward(&loss).expect("differentiable");
    let gradients = weights
        .all()
        .map(|variable| gradients.remove(variable).expect("reached"));
    gradients.iter().map(host).collect()
}

#[test]
fn gradients_are_those_of_candles_own_walk() {
    let images = random(&[3, 4, 4, 4], 6);
    let epilogues: [fn(&Tensor) -> Epilogue<'_>; 4] = [
        |_| Epilogue::None,
        |_| Epilogue::Relu,
        |x| Epilogue::Add(x),
        |x| Epilogue::AddRelu(x),
    ];
    for epilogue in epilogues {
        let weights = Weights::new();
        let expected = weights
            .loss(&images, epilogue)
            .backward()
            .expect("differentiable");
        for (actual, variable) in taped(&weights, &images, epilogue).iter().zip(weights.all()) {
            let expected = host64(expected.get(variable).expect("reached"));
            assert_close(actual, &expected, 1e-5);
        }
    }
}

#[test]
fn threads_do_not_matter() {
    let images = random(&[3, 4, 4, 4], 6);
    let weights = Weights::new();
    same_for_any_number_of_threads(|| taped(&weights, &images, |x| Epilogue::AddRelu(x)));
}

#[test]
fn constants_get_no_gradient_and_record_nothing() {
    let (x, weight) = (random(&[2, 3], 1), random(&[2, 3], 2));
    let bias = random(&[2], 3);
    let (y, tape) = Tape::record(|| linear(&x, &weight, Some(&bias), Precision::F32).expect("fits"));
    assert!(tape.entries.is_empty() && !y.track_op());

    let trained = random_var(&[2], 3);
    let (loss, tape) = Tape::record(|| {
        let y = linear(&x, &weight, Some(&trained), Precision::F32).expect("fits");
        (y.sum_all().expect("runs") * 3.0).expect("runs")
    });
    let mut gradients = tape.backward(&loss).expect("differentiable");
    assert_eq!(host(&gradients.remove(&trained).expect("reached")), [6.0, 6.0]);
    assert!(gradients.remove(&x).is_none() && gradients.remove(&weight).is_none());
}

#[test]
fn constants_of_a_segment_get_no_gradient() {
    let (x, constant) = (random_var(&[2, 3], 1), random(&[2, 3], 2));
    let (loss, tape) = Tape::record(|| {
        let y = relu(&(x.as_tensor() + &constant).expect("fits")).expect("runs");
        (y * &constant).and_then(|y| y.sum_all()).expect("runs")
    });
    let mut gradients = tape.backward(&loss).expect("differentiable");
    assert!(gradients.remove(&x).is_some());
    assert!(gradients.sums.is_empty());
}

#[test]
fn paths_around_layers_make_no_segments() {
    let x = random_var(&[2, 3], 1);
    let forward = || {
        (0..4).fold(x.as_tensor().clone(), |x, _| {
            add(&x, &gelu(&x, Precision::F32).expect("runs")).expect("fits")
        })
    };
    let expected = forward().sum_all().and_then(|loss| loss.backward());
    let (y, tape) = Tape::record(forward);
    assert!(tape.entries.iter().all(has_no_segments));
    let mut gradients = tape
        .backward(&y.sum_all().expect("runs"))
        .expect("differentiable");
    let actual = gradients.remove(&x).expect("reached");
    let expected = expected.expect("differentiable");
    assert_eq!(host(&actual), host(expected.get(&x).expect("reached")));
}

/// The identity, which counts itself.
struct Counted(Arc<AtomicUsize>);

impl Counted {
    fn new(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Operation for Counted {
    fn name(&self) -> &'static str {
        "counted"
    }

    fn composed(&self, operands: &[Tensor]) -> Result<Tensor> {
        operands[0].copy()
    }
}

impl CpuKernel for Counted {
    fn forward(&self, operands: &[ArrayView]) -> (Vec<f32>, Shape) {
        (operands[0].values.to_vec(), operands[0].dims.into())
    }

    fn backward(
        &self,
        _operands: &[ArrayView],
        _output: &[f32],
        gradient: &[f32],
        _wanted: &[bool],
    ) -> Vec<Option<OperandGradient>> {
        // What came later has been let go.
        let count = self.0.load(Ordering::Relaxed) as f32;
        let values: Vec<f32> = gradient.iter().map(|gradient| gradient + count).collect();
        vec![Some(OperandGradient::Values(values.into()))]
    }
}

#[test]
fn what_was_kept_is_let_go_on_the_way() {
    let count = Arc::new(AtomicUsize::new(0));
    let x = random_var(&[1], 1);
    let (loss, tape) = Tape::record(|| {
        (0..3).fold(x.as_tensor().clone(), |x, _| {
            operation::run(Counted::new(&count), &[&x]).expect("runs")
        })
    });
    let gradient = tape
        .backward(&loss)
        .expect("differentiable")
        .remove(&x)
        .expect("reached");
    assert_eq!(host(&gradient), [1.0 + 3.0 + 2.0 + 1.0]);
    assert_eq!(count.load(Ordering::Relaxed), 0);
}

#[test]
fn a_recording_ends_with_its_forward_pass() {
    let x = random_var(&[2], 1);
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        Tape::record(|| panic!("in the forward pass"))
    }));
    assert!(panicked.is_err() && !is_recording());
    let nested = catch_unwind(AssertUnwindSafe(|| Tape::record(|| Tape::record(|| relu(&x)))));
    assert!(nested.is_err() && !is_recording());
    let (_, tape) = Tape::record(|| relu(&x).expect("runs"));
    assert_eq!(tape.entries.len(), 1);
    relu(&x).expect("runs");
    assert!(!is_recording());
}
