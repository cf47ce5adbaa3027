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
