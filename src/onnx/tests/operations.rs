//! Operations of detectors and segmenters, each in a graph of its own.

use candle_core::Tensor;
use rten::Model;

use super::*;
use crate::ops::testing::random;
use crate::ops::{
    BatchNormOptions, ConvOptions, Epilogue, GroupNormOptions, OpError, ResizeMode, Statistics, batch_norm,
    concat_channels, conv2d, group_norm, name_weight, relu6, resize, to_channels_first, to_channels_last,
};

const F32: Precision = Precision::F32;
/// Channels, height and width of the images.
const SIDES: [usize; 3] = [8, 7, 6];

/// The weight `name`.
fn weight(name: &str, dims: &[usize]) -> Tensor {
    let weight = random(dims, name.len() as u64);
    name_weight(name, &weight);
    weight
}

type ImageForward = fn(&Tensor) -> Result<Tensor, OpError>;

fn forwards() -> Vec<(&'static str, ImageForward)> {
    let resized: [(&str, ImageForward); 5] = [
        ("nearest, twice the size", |x| {
            resize(x, (14, 12), ResizeMode::Nearest, F32)
        }),
        ("nearest, smaller", |x| {
            resize(x, (3, 4), ResizeMode::Nearest, F32)
        }),
        ("bilinear, larger", |x| {
            resize(x, (17, 11), ResizeMode::Bilinear, F32)
        }),
        ("bilinear, smaller", |x| {
            resize(x, (4, 5), ResizeMode::Bilinear, F32)
        }),
        ("bilinear, one pixel", |x| {
            resize(x, (1, 1), ResizeMode::Bilinear, F32)
        }),
    ];
    let normed: [(&str, ImageForward); 2] = [false, true].map(|relu| {
        let forward: ImageForward = match relu {
            false => |x| norm_groups(x, false),
            true => |x| norm_groups(x, true),
        };
        ("norm of groups", forward)
    });
    let mut forwards: Vec<(&str, ImageForward)> = vec![
        ("taps apart", |x| {
            let options = ConvOptions {
                padding: 4,
                dilation: 2,
                groups: 8,
                ..ConvOptions::default()
            };
            conv2d(x, &weight("conv.weight", &[8, 1, 5, 5]), None, options, F32)
        }),
        ("cut off at 6", |x| {
            let scaled = conv2d(
                x,
                &weight("conv.weight", &[4, 8, 1, 1]),
                None,
                ConvOptions::default(),
                F32,
            )?;
            relu6(&scaled)
        }),
        ("frozen statistics", |x| {
            let [scale, shift, mean] =
                ["n.weight", "n.bias", "n.running_mean"].map(|name| weight(name, &[8]));
            let variance = random(&[8], 3).sqr()?;
            name_weight("n.running_var", &variance);
            let statistics = Statistics::Frozen {
                mean: &mean,
                variance: &variance,
            };
            batch_norm(
                x,
                &scale,
                &shift,
                statistics,
                BatchNormOptions::default(),
                Epilogue::Relu,
                F32,
            )
        }),
        ("side by side", |x| {
            let small = resize(x, (7, 6), ResizeMode::Nearest, F32)?;
            concat_channels(&[x, &relu6(&small)?, x])
        }),
    ];
    forwards.extend(resized);
    forwards.extend(normed);
    forwards
}

fn norm_groups(x: &Tensor, relu: bool) -> Result<Tensor, OpError> {
    let options = GroupNormOptions {
        groups: 4,
        epsilon: 1e-3,
        relu,
    };
    group_norm(
        x,
        &weight("norm.weight", &[8]),
        &weight("norm.bias", &[8]),
        options,
    )
}

#[test]
fn a_runtime_gives_what_the_operations_give() {
    let [channels, height, width] = SIDES;
    let form = NetworkForm {
        input: InputShape::Image {
            channels,
            height,
            width,
        },
        gives_image: false,
    };
    for (name, forward) in forwards() {
        let of = |x: &Tensor| to_channels_first(&forward(&to_channels_last(x)?)?);
        let sample = random(&[1, channels, height, width], 1);
        let recorded = Graph::record::<OpError>(&[&sample], || Ok(vec![of(&sample)?])).expect("all is known");
        for opset in [17, 20, 27] {
            let options = options(opset);
            let graph = graph_of(&recorded, None, form, &options).expect("known");
            let files = files_of(graph, &options, ONE_FILE);
            let model =
                Model::load(files.model).unwrap_or_else(|error| panic!("{name}, opset {opset}: {error}"));
            for samples in [1, 3] {
                let x = random(&[samples, channels, height, width], 2);
                println!("{name}, opset {opset}, {samples} samples");
                assert_same(&run(&model, &x, None), &host(&of(&x).expect("fits")));
            }
        }
    }
}
