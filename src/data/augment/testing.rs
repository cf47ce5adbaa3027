//! What the tests of augmentation share.

use serde_json::Value;

use super::Image;
use crate::random::{Purpose, Stream};

/// Values of torchvision; `tests/fixtures/augment.py` made them.
pub fn fixture() -> Value {
    serde_json::from_str(include_str!("../../../tests/fixtures/augment.json")).unwrap()
}

pub fn floats(value: &Value) -> Vec<f32> {
    let values = value.as_array().unwrap().iter();
    values.map(|value| value.as_f64().unwrap() as f32).collect()
}

/// An image that the fixture's script makes by the same formula: no two channels are alike, and no
/// channel is its own mirror image.
pub fn image(channels: usize, height: usize, width: usize) -> Image {
    let mut pixels = Vec::new();
    for c in 0..channels {
        for y in 0..height {
            for x in 0..width {
                pixels.push(((c * 97 + y * 53 + x * 31 + x * y * 7 + c * x * 11 + 3) % 256) as u8);
            }
        }
    }
    Image {
        pixels,
        channels,
        height,
        width,
        spare: vec![7; 3],
        riders: Vec::new(),
    }
}

pub fn stream(item: u32) -> Stream {
    Stream::new(11, Purpose::Augment, 0, item)
}

/// One result of torchvision.
pub struct Case {
    name: String,
    shape: [usize; 3],
    /// Whether values lie between 40 and 169 only.
    flat: bool,
    pub arguments: Value,
    output_size: [usize; 2],
    output: Vec<u8>,
}

impl Case {
    /// All results of `name`, of which there must be some.
    pub fn all(name: &str) -> Vec<Self> {
        let fixture = fixture();
        let cases = fixture["cases"].as_array().unwrap().iter();
        let cases: Vec<Self> = cases.filter(|case| case["name"] == name).map(Self::new).collect();
        assert!(!cases.is_empty(), "no case of {name}");
        cases
    }

    fn new(case: &Value) -> Self {
        let number = |value: &Value| value.as_u64().unwrap() as usize;
        let hex = case["output"].as_str().unwrap().as_bytes();
        let digit = |digit: u8| (digit as char).to_digit(16).unwrap() as u8;
        Self {
            name: format!("{} {}", case["name"], case["arguments"]),
            shape: [0, 1, 2].map(|at| number(&case["shape"][at])),
            flat: case["flat"] == true,
            arguments: case["arguments"].clone(),
            output_size: [0, 1].map(|at| number(&case["output_size"][at])),
            output: hex
                .chunks(2)
                .map(|pair| digit(pair[0]) * 16 + digit(pair[1]))
                .collect(),
        }
    }

    pub fn number(&self, name: &str) -> f64 {
        self.arguments[name].as_f64().unwrap()
    }

    pub fn pair(&self, name: &str) -> [f64; 2] {
        [0, 1].map(|at| self.arguments[name][at].as_f64().unwrap())
    }

    pub fn sizes(&self, name: &str) -> [usize; 2] {
        self.pair(name).map(|side| side as usize)
    }

    /// Fails where `change` gives anything that is more than `tolerance` from torchvision's result.
    pub fn check(&self, tolerance: u8, change: impl FnOnce(&mut Image)) {
        let [channels, height, width] = self.shape;
        let mut changed = image(channels, height, width);
        if self.flat {
            for pixel in &mut changed.pixels {
                *pixel = 40 + *pixel % 130;
            }
        }
        change(&mut changed);
        assert_eq!([changed.height, changed.width], self.output_size, "{}", self.name);
        assert_eq!(changed.pixels.len(), self.output.len(), "{}", self.name);
        let pairs = changed.pixels.iter().zip(&self.output).enumerate();
        for (at, (found, expected)) in pairs {
            assert!(
                found.abs_diff(*expected) <= tolerance,
                "{} {:?}, value {at}: {found}, and torchvision gives {expected}",
                self.name,
                self.shape
            );
        }
    }
}
