//! Weights and tokens that a formula makes, so that references of other programs need no files: the scripts beside the
//! fixtures (`tests/fixtures/text_models.py`) make the same.

use candle_core::{Device, Tensor};

use super::network::{Network, Parameter};

const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;

/// SplitMix64's finaliser.
fn mixed(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// FNV-1a of 64 bits.
fn fnv(name: &str) -> u64 {
    name.bytes().fold(0xCBF2_9CE4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01B3)
    })
}

/// The value `index` of what is called `name`, within 0.05 of 0.
pub fn value(name: &str, index: usize) -> f64 {
    let bits = mixed(fnv(name).wrapping_add((index as u64 + 1).wrapping_mul(GOLDEN)));
    (2.0 * ((bits >> 11) as f64) / 2f64.powi(53) - 1.0) * 0.05
}

/// The values of the tensor `name`; those of norms, which are vectors called weight, are around 1.
pub fn tensor(name: &str, shape: &[usize]) -> Vec<f64> {
    let around = f64::from(u8::from(shape.len() == 1 && name.ends_with("weight")));
    let count: usize = shape.iter().product();
    (0..count).map(|index| value(name, index) + around).collect()
}

/// The token at a place of all that are drawn, one of `vocabulary`.
pub fn token(place: usize, vocabulary: usize) -> u32 {
    (mixed(12_345u64.wrapping_add((place as u64).wrapping_mul(GOLDEN))) % vocabulary as u64) as u32
}

/// Fills a network's parameters, each made from its values by the formula.
pub fn fill(network: &Network, change: impl Fn(&Parameter, f64) -> f64) {
    for parameter in network.parameters() {
        let values = tensor(&parameter.name, parameter.var.dims());
        let values: Vec<f32> = values
            .into_iter()
            .map(|value| change(parameter, value) as f32)
            .collect();
        let values =
            Tensor::from_vec(values, parameter.var.shape(), &Device::Cpu).expect("as many as it holds");
        parameter.var.set(&values).expect("the same shape");
    }
}

#[test]
fn the_formula_is_that_of_the_reference() {
    assert_eq!(fnv("transformer.wte.weight"), 0x1784_db15_dc26_1b4e);
    for (index, expected) in [-0.025_956_05, 0.033_194_81, 0.011_394_24]
        .into_iter()
        .enumerate()
    {
        assert!((value("transformer.wte.weight", index) - expected).abs() < 1e-8);
    }
    let first = [18, 35, 30, 32, 9, 32, 23, 9, 24, 3, 24, 26, 49, 15, 31, 17];
    assert_eq!(first, std::array::from_fn(|place| token(place, 61)));
}
