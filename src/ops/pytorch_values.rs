//! Operations of detectors and segmenters against PyTorch's values and gradients, which
//! `tests/fixtures/vision_operations.py` makes.

use candle_core::{Device, Tensor, Var};
use serde_json::Value;

use super::testing::*;
use super::*;

fn numbers(value: &Value) -> Vec<f64> {
    let list = value.as_array().expect("a list").iter();
    list.map(|number| number.as_f64().expect("a number")).collect()
}

fn whole(value: &Value) -> usize {
    value.as_u64().expect("a whole number") as usize
}

fn dims(value: &Value) -> Vec<usize> {
    value.as_array().expect("a list").iter().map(whole).collect()
}

fn run(operation: &str, options: &Value, x: &[&Tensor]) -> Result<Tensor, OpError> {
    let float = |name: &str| options[name].as_f64().expect("a number");
    match operation {
        "conv2d" => {
            let [stride, padding, dilation, groups] =
                ["stride", "padding", "dilation", "groups"].map(|name| whole(&options[name]));
            let options = ConvOptions {
                stride,
                padding,
                dilation,
                groups,
            };
            conv2d(x[0], x[1], None, options, Precision::F32)
        }
        "resize" => {
            let mode = match options["mode"].as_str() {
                Some("nearest") => ResizeMode::Nearest,
                _ => ResizeMode::Bilinear,
            };
            let [height, width] = [0, 1].map(|axis: usize| whole(&options["size"][axis]));
            resize(x[0], (height, width), mode, Precision::F32)
        }
        "group_norm" => {
            let options = GroupNormOptions {
                groups: whole(&options["groups"]),
                epsilon: float("epsilon"),
                relu: options["relu"] == true,
            };
            group_norm(x[0], x[1], x[2], options)
        }
        "frozen_batch_norm" => {
            let statistics = Statistics::Frozen {
                mean: x[3],
                variance: x[4],
            };
            let options = BatchNormOptions {
                epsilon: float("epsilon"),
                ..BatchNormOptions::default()
            };
            batch_norm(
                x[0],
                x[1],
                x[2],
                statistics,
                options,
                Epilogue::None,
                Precision::F32,
            )
        }
        other => panic!("{other} is not tested"),
    }
}

#[test]
fn values_and_gradients_are_those_of_pytorch() {
    let fixture = include_str!("../../tests/fixtures/vision_operations.json");
    let fixture: Value = serde_json::from_str(fixture).expect("JSON");
    let cases = fixture["cases"].as_array().expect("a list");
    assert_eq!(cases.len(), 19);
    for case in cases {
        let operands: Vec<Var> = case["operands"]
            .as_array()
            .expect("a list")
            .iter()
            .map(|operand| {
                let values: Vec<f32> = numbers(&operand["values"])
                    .iter()
                    .map(|&value| value as f32)
                    .collect();
                let tensor = Tensor::from_vec(values, dims(&operand["dims"]), &Device::Cpu);
                Var::from_tensor(&tensor.expect("as many values")).expect("valid")
            })
            .collect();
        let tensors: Vec<&Tensor> = operands.iter().map(Var::as_tensor).collect();
        let operation = case["operation"].as_str().expect("a name");
        let weights: Vec<f32> = numbers(&case["weights"])
            .iter()
            .map(|&weight| weight as f32)
            .collect();
        let gradients = case["gradients"].as_array().expect("a list");
        let trained: Vec<(&Var, &Value)> = operands
            .iter()
            .zip(gradients)
            .filter(|(_, gradient)| !gradient.is_null())
            .collect();
        let variables: Vec<&Var> = trained.iter().map(|(variable, _)| *variable).collect();
        for (y, tolerance) in [
            (run(operation, &case["options"], &tensors), 2e-6),
            (composing(|| run(operation, &case["options"], &tensors)), 1e-5),
        ] {
            let y = y.expect("fits");
            assert_eq!(y.dims(), dims(&case["dims"]));
            assert_close(&host(&y), &numbers(&case["values"]), tolerance);
            let actual = gradients_of(&y, &weights, &variables);
            for (actual, (_, expected)) in actual.iter().zip(&trained) {
                assert_close(actual, &numbers(expected), tolerance);
            }
        }
    }
}
