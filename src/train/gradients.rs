//! The gradients of one optimizer step, and how they are limited.
//!
//! Values are limited first, then the norm of what that leaves.

use candle_core::{CpuStorage, DType, Storage, Tensor};
use rayon::prelude::*;

use crate::models::Parameter;
use crate::ops::VariableGradients;
use crate::spec;

/// Elements that one thread looks at in one go.
const CHUNK: usize = 1 << 16;
/// Sums that run beside each other, so that they become vector instructions.
const LANES: usize = 8;

/// The gradients of an optimizer step under way.
///
/// The sum over a step's micro-batches has a fixed shape: that of the binary tree over their places in
/// the step. A node is summed as soon as both its halves are there, so few sums are held at a time, and
/// whoever computes which micro-batch, in whatever order, comes to the same bits. That is pairwise
/// summation, whose error grows with the logarithm of the number of terms (Higham, 1993).
#[derive(Debug, Default)]
pub struct Gradients {
    /// The nodes that have no sibling yet, by their place in the step.
    nodes: Vec<PartialSum>,
}

/// The sum over the micro-batches `index << level` up to `(index + 1) << level`.
#[derive(Debug)]
struct PartialSum {
    level: u32,
    index: u32,
    sums: Vec<Option<Tensor>>,
}

impl Gradients {
    /// Adds what a backward pass of the micro-batch at `place` of the step found.
    ///
    /// # Errors
    /// The addition fails.
    pub fn add(
        &mut self,
        place: u32,
        parameters: &[Parameter],
        mut found: VariableGradients,
    ) -> candle_core::Result<()> {
        let sums = parameters.iter().map(|parameter| found.remove(&parameter.var));
        self.insert(PartialSum {
            level: 0,
            index: place,
            sums: sums.collect(),
        })
    }

    /// Adds what another worker has summed of the same step: other micro-batches than these.
    ///
    /// # Errors
    /// The addition fails.
    pub fn merge(&mut self, other: Self) -> candle_core::Result<()> {
        other.nodes.into_iter().try_for_each(|node| self.insert(node))
    }

    fn insert(&mut self, mut node: PartialSum) -> candle_core::Result<()> {
        let sibling = |nodes: &[PartialSum], node: &PartialSum| {
            let is_sibling = |other: &PartialSum| other.level == node.level && other.index == node.index ^ 1;
            nodes.iter().position(is_sibling)
        };
        while let Some(at) = sibling(&self.nodes, &node) {
            let other = self.nodes.remove(at);
            let (left, right) = if other.index < node.index {
                (other, node)
            } else {
                (node, other)
            };
            node = PartialSum {
                level: left.level + 1,
                index: left.index / 2,
                sums: added(left.sums, right.sums)?,
            };
        }
        let start = |node: &PartialSum| u64::from(node.index) << node.level;
        let at = self.nodes.partition_point(|other| start(other) < start(&node));
        self.nodes.insert(at, node);
        Ok(())
    }

    /// The sums over all micro-batches. Where those of a step are no power of two, what is left over is
    /// added from the last on.
    ///
    /// # Errors
    /// The addition fails.
    pub fn total(self) -> candle_core::Result<StepGradients> {
        let mut nodes = self.nodes.into_iter().rev();
        let mut sums = nodes.next().map(|node| node.sums).unwrap_or_default();
        for node in nodes {
            sums = added(node.sums, sums)?;
        }
        Ok(StepGradients { sums })
    }
}

/// The sums of gradients, parameter by parameter.
fn added(left: Vec<Option<Tensor>>, right: Vec<Option<Tensor>>) -> candle_core::Result<Vec<Option<Tensor>>> {
    let pairs = left.into_iter().zip(right);
    let sums = pairs.map(|pair| match pair {
        (Some(left), Some(right)) => (left + right).map(Some),
        (left, right) => Ok(left.or(right)),
    });
    sums.collect()
}

/// The gradients of an optimizer step: one for each parameter that has one, in the parameters' order,
/// summed over the step's micro-batches.
#[derive(Debug)]
pub struct StepGradients {
    sums: Vec<Option<Tensor>>,
}

#[cfg(test)]
impl From<Vec<Option<Tensor>>> for StepGradients {
    fn from(sums: Vec<Option<Tensor>>) -> Self {
        Self { sums }
    }
}

impl StepGradients {
    /// The sums, in the parameters' order.
    pub fn sums(&self) -> &[Option<Tensor>] {
        &self.sums
    }

    /// The L2 norm over all gradients, each multiplied by `factor` and then limited to `clip_value`
    /// in absolute value. Sums are made in f64, in a fixed order.
    ///
    /// # Errors
    /// A gradient is not f32.
    pub fn norm(&self, factor: f32, clip_value: Option<f32>) -> candle_core::Result<f64> {
        let limit = clip_value.unwrap_or(f32::INFINITY);
        let sums: Vec<Squares> = self
            .sums
            .iter()
            .flatten()
            .map(|gradient| sum_of_squares(gradient, factor, limit))
            .collect::<candle_core::Result<_>>()?;
        // The sums of a device are read all at once.
        let on_device: Vec<&Tensor> = sums
            .iter()
            .filter_map(|sum| match sum {
                Squares::Device(sum) => Some(sum),
                Squares::Host(_) => None,
            })
            .collect();
        let mut read = match on_device.as_slice() {
            [] => Vec::new(),
            sums => Tensor::stack(sums, 0)?.to_vec1::<f64>()?,
        }
        .into_iter();
        let sum: f64 = sums
            .iter()
            .map(|sum| match sum {
                Squares::Host(sum) => *sum,
                Squares::Device(_) => read.next().unwrap_or(f64::NAN),
            })
            .fold(0.0, |sum, square| sum + square);
        Ok(sum.sqrt())
    }
}

/// What an optimizer is told so that a step's gradients keep to the limits of a recipe.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ClipLimits {
    /// What each element is multiplied by.
    pub gradient_factor: f32,
    /// What it is limited to afterwards.
    pub clip_value: Option<f32>,
}

impl ClipLimits {
    /// The limits that `clip` asks for, of gradients that are first multiplied by `unscale`, one over
    /// the loss scale, and then have the norm `norm`.
    ///
    /// PyTorch's `clip_grad_value_` and then `clip_grad_norm_` give the same: `c clamp(u g, v)` is
    /// `clamp(c u g, c v)`.
    ///
    /// # Errors
    /// A gradient is not f32.
    pub fn new(
        clip: &spec::Clip,
        gradients: &StepGradients,
        unscale: f32,
        norm: f64,
    ) -> candle_core::Result<Self> {
        let clip_value = clip.value.map(|value| value.get() as f32);
        let Some(largest) = clip.norm else {
            return Ok(Self {
                gradient_factor: unscale,
                clip_value,
            });
        };
        let norm = match clip_value {
            Some(_) => gradients.norm(unscale, clip_value)?,
            None => norm,
        };
        let factor = clip_factor(norm, largest.get());
        Ok(Self {
            gradient_factor: unscale * factor,
            clip_value: clip_value.map(|value| value * factor),
        })
    }
}

/// What gradients of this norm are multiplied by so that it becomes at most `max`, as
/// `torch.nn.utils.clip_grad_norm_` has it. NaN where the norm is.
pub fn clip_factor(norm: f64, max: f64) -> f32 {
    let factor = max / (norm + 1e-6);
    if factor >= 1.0 { 1.0 } else { factor as f32 }
}

/// A gradient's element, multiplied by `factor` and then limited to `limit` in absolute value. NaN
/// stays NaN.
pub(super) fn limited(gradient: f32, factor: f32, limit: f32) -> f32 {
    let gradient = gradient * factor;
    if gradient > limit {
        limit
    } else if gradient < -limit {
        -limit
    } else {
        gradient
    }
}

/// The same for a whole tensor.
pub(super) fn limited_tensor(gradient: &Tensor, factor: f32, limit: f32) -> candle_core::Result<Tensor> {
    let gradient = (gradient * f64::from(factor))?;
    if limit == f32::INFINITY {
        return Ok(gradient);
    }
    // On some devices a minimum of NaN and a number is the number.
    let is_nan = gradient.ne(&gradient)?;
    is_nan.where_cond(&gradient, &gradient.clamp(-limit, limit)?)
}

/// A sum of squares, where it was computed.
enum Squares {
    Host(f64),
    /// An f64.
    Device(Tensor),
}

fn sum_of_squares(tensor: &Tensor, factor: f32, limit: f32) -> candle_core::Result<Squares> {
    let tensor = tensor.contiguous()?;
    let (storage, layout) = tensor.storage_and_layout();
    if let (Storage::Cpu(CpuStorage::F32(values)), Some((from, to))) =
        (&*storage, layout.contiguous_offsets())
    {
        let sums: Vec<f64> = values[from..to]
            .par_chunks(CHUNK)
            .map(|chunk| chunk_of_squares(chunk, factor, limit))
            .collect();
        return Ok(Squares::Host(sums.iter().sum()));
    }
    drop(storage);
    let values = limited_tensor(&tensor, factor, limit)?.to_dtype(DType::F64)?;
    Ok(Squares::Device(values.sqr()?.sum_all()?))
}

fn chunk_of_squares(values: &[f32], factor: f32, limit: f32) -> f64 {
    let square = |value: f32| {
        let value = f64::from(limited(value, factor, limit));
        value * value
    };
    let (rows, rest) = values.as_chunks::<LANES>();
    let mut lanes = [0.0; LANES];
    for row in rows {
        for (lane, &value) in lanes.iter_mut().zip(row) {
            *lane += square(value);
        }
    }
    lanes.iter().sum::<f64>() + rest.iter().map(|&value| square(value)).sum::<f64>()
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
    use crate::ops::Tape;
    use crate::random::{Purpose, Stream};
    use crate::train::{Collective, TrainError};

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
        for (place, factor) in [(0, 1.0), (1, 10.0)] {
            let (loss, tape) = Tape::record(|| (parameters[0].var.as_tensor() * factor)?.sum_all());
            let found = tape.backward(&loss.unwrap()).unwrap();
            gradients.add(place, &parameters, found).unwrap();
        }
        let gradients = gradients.total().unwrap();
        let sum = gradients.sums()[0].as_ref().unwrap();
        assert_eq!(sum.to_vec1::<f32>().unwrap(), [11.0, 11.0]);
        assert!(gradients.sums()[1].is_none());
        assert!((gradients.norm(1.0, None).unwrap() - 242f64.sqrt()).abs() < 1e-9);
    }

    /// Two workers that exchange what they have summed.
    struct Pair<'a> {
        rank: u32,
        other: &'a std::sync::Mutex<Option<Gradients>>,
    }

    impl Collective for Pair<'_> {
        fn rank(&self) -> u32 {
            self.rank
        }

        fn size(&self) -> u32 {
            2
        }

        fn sum(&self, gradients: &mut Gradients) -> Result<(), TrainError> {
            let other = self.other.lock().unwrap().take().unwrap();
            Ok(gradients.merge(other)?)
        }
    }

    /// A step of up to nine micro-batches, shared between two workers in every way.
    #[test]
    fn workers_that_share_a_step_come_to_the_bits_of_a_single_one() {
        let parameters = ["weight"].map(|name| Parameter {
            name: name.to_owned(),
            var: Var::zeros(40, DType::F32, &Device::Cpu).unwrap(),
            decays: true,
            frozen: false,
        });
        let backward = |place: u32| {
            let mut stream = Stream::new(1, Purpose::Bootstrap, 0, place);
            let values: Vec<f32> = (0..40).map(|_| stream.normal() as f32).collect();
            let values = Tensor::new(values.as_slice(), &Device::Cpu).unwrap();
            let (loss, tape) = Tape::record(|| (parameters[0].var.as_tensor() * &values)?.sum_all());
            tape.backward(&loss.unwrap()).unwrap()
        };
        let share = |places: &mut dyn Iterator<Item = u32>| {
            let mut gradients = Gradients::default();
            for place in places {
                gradients.add(place, &parameters, backward(place)).unwrap();
            }
            gradients
        };
        let bits = |gradients: Gradients| {
            let total = gradients.total().unwrap();
            let sums = total.sums()[0].as_ref().unwrap().to_vec1::<f32>().unwrap();
            sums.into_iter().map(f32::to_bits).collect::<Vec<_>>()
        };
        let mut sequential = share(&mut [0].into_iter());
        for count in 2..10u32 {
            let alone = bits(share(&mut (0..count)));
            assert_eq!(
                alone,
                bits(share(&mut (0..count).rev())),
                "the order of arrival is nothing"
            );
            for division in 1..(1 << count) - 1u32 {
                let is_of = |rank: u32| move |place: &u32| division >> place & 1 == rank;
                for rank in [0, 1] {
                    let other = std::sync::Mutex::new(Some(share(&mut (0..count).filter(is_of(1 - rank)))));
                    let mut own = share(&mut (0..count).filter(is_of(rank)));
                    Pair { rank, other: &other }.sum(&mut own).unwrap();
                    assert_eq!(bits(own), alone, "{count} micro-batches, {division:b}");
                }
            }
            sequential
                .add(count - 1, &parameters, backward(count - 1))
                .unwrap();
        }
        assert_eq!(bits(sequential), bits(share(&mut (0..9))));
    }

    fn gradients(values: &[Option<Vec<f32>>]) -> StepGradients {
        let tensor = |values: &Vec<f32>| Tensor::new(values.as_slice(), &Device::Cpu).unwrap();
        let sums: Vec<Option<Tensor>> = values.iter().map(|values| values.as_ref().map(tensor)).collect();
        StepGradients::from(sums)
    }

    #[test]
    fn the_norm_is_over_all_gradients_after_factor_and_limit() {
        let small = gradients(&[Some(vec![6.0, -8.0]), None, Some(vec![0.0, 24.0])]);
        assert_eq!(small.norm(0.5, None).unwrap(), 13.0);
        assert_eq!(
            small.norm(1.0, Some(8.0)).unwrap(),
            (36.0 + 64.0 + 64.0f64).sqrt()
        );
        assert_eq!(
            Gradients::default().total().unwrap().norm(1.0, None).unwrap(),
            0.0
        );
        let bad = gradients(&[Some(vec![1.0, f32::NAN])]);
        assert!(bad.norm(1.0, Some(1.0)).unwrap().is_nan());
    }

    #[test]
    fn the_norm_of_long_gradients_is_exact_and_the_same_for_any_number_of_threads() {
        let length = 3 * CHUNK + 13;
        let long: Vec<f32> = (0..length).map(|index| (index % 7) as f32 - 3.0).collect();
        let squares: f64 = long.iter().map(|&value| f64::from(value).powi(2)).sum();
        let long = gradients(&[Some(long)]);
        assert_eq!(long.norm(1.0, None).unwrap(), squares.sqrt());
        let rough: Vec<f32> = (0..length).map(|index| 1.0 / (1.0 + index as f32)).collect();
        let rough = gradients(&[Some(rough)]);
        crate::ops::testing::same_for_any_number_of_threads(|| rough.norm(0.3, Some(0.1)).unwrap().to_bits());
        // What other devices do.
        let tensor = limited_tensor(rough.sums()[0].as_ref().unwrap(), 0.3, 0.1).unwrap();
        let sum: f64 = tensor
            .to_vec1::<f32>()
            .unwrap()
            .iter()
            .map(|&x| f64::from(x).powi(2))
            .sum();
        assert!((rough.norm(0.3, Some(0.1)).unwrap() - sum.sqrt()).abs() < 1e-9);
    }

    #[test]
    fn norms_are_clipped_as_pytorch_does() {
        assert_eq!(clip_factor(0.5, 1.0), 1.0);
        assert_eq!(clip_factor(2.0, 1.0), (1.0 / (2.0 + 1e-6)) as f32);
        assert_eq!(clip_factor(f64::INFINITY, 1.0), 0.0);
        assert!(clip_factor(f64::NAN, 1.0).is_nan());
    }

    #[test]
    fn values_are_limited_before_the_norm() {
        let clip: spec::Clip = serde_json::from_str(r#"{"value": 1.0, "norm": 1.0}"#).unwrap();
        let steep = gradients(&[Some(vec![16.0, 2.0])]);
        let limits = ClipLimits::new(&clip, &steep, 0.25, steep.norm(0.25, None).unwrap()).unwrap();
        let factor = clip_factor(1.25f64.sqrt(), 1.0);
        assert_eq!(limits.gradient_factor, 0.25 * factor);
        let limited = |value| limited(value, limits.gradient_factor, limits.clip_value.unwrap());
        assert_eq!([16.0, 2.0].map(limited), [factor, 0.5 * factor]);
        let none = ClipLimits::new(&spec::Clip::default(), &steep, 0.25, 1.0).unwrap();
        assert_eq!((none.gradient_factor, none.clip_value), (0.25, None));
    }
}
