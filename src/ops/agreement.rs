//! Every operation in each of its ways: kernels in candle's graph, kernels on the tape and the composition
//! give the same values and the same gradients, whichever operands they are wanted of and however many
//! threads there are.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use candle_core::{DType, Tensor, Var};

use super::round::round_bf16;
use super::testing::*;
use super::*;
use crate::spec::Precision;

type CaseRun = Box<dyn Fn(&[&Tensor], Precision) -> Result<Tensor, OpError> + Sync>;

/// An operation with what it is tried on.
struct Case {
    /// The type that implements it.
    operation: &'static str,
    /// Of the operands.
    shapes: Vec<Vec<usize>>,
    run: CaseRun,
}

fn case(
    operation: &'static str,
    shapes: &[&[usize]],
    run: impl Fn(&[&Tensor], Precision) -> Result<Tensor, OpError> + Sync + 'static,
) -> Case {
    Case {
        operation,
        shapes: shapes.iter().map(|shape| shape.to_vec()).collect(),
        run: Box::new(run),
    }
}

/// All of them.
fn cases() -> Vec<Case> {
    let mut cases = elementwise();
    cases.extend(convolutions());
    cases.extend(norms());
    cases.extend(pools());
    cases.extend(tokens_and_shapes());
    cases.extend(texts());
    cases.extend(losses());
    cases
}

fn elementwise() -> Vec<Case> {
    const SHAPE: &[usize] = &[5, 7, 9];
    let key = DropoutKey {
        seed: 3,
        epoch: 4,
        samples: first_samples(5),
        layer: 5,
    };
    let function = |run: fn(&Tensor, Precision) -> Result<Tensor, OpError>| {
        case("ElementwiseFunction", &[SHAPE], move |x, precision| {
            run(x[0], precision)
        })
    };
    vec![
        case("Addition", &[SHAPE, SHAPE], |x, _| add(x[0], x[1])),
        case("ElementwiseFunction", &[SHAPE], |x, _| relu(x[0])),
        case("ElementwiseFunction", &[SHAPE], |x, _| relu6(x[0])),
        function(|x, precision| leaky_relu(x, 0.1, precision)),
        function(gelu),
        function(silu),
        function(hardswish),
        function(hardsigmoid),
        function(sigmoid),
        function(tanh),
        case("Dropping", &[SHAPE], move |x, _| dropout(x[0], 0.4, key)),
        case("StochasticDepth", &[SHAPE, SHAPE], move |x, precision| {
            stochastic_depth(x[0], x[1], 0.4, key, precision)
        }),
        case(
            "ChannelConcatenation",
            &[&[3, 4, 2], &[3, 4, 5], &[3, 4, 1]],
            |x, _| concat_channels(x),
        ),
        case("ChannelScale", &[&[3, 4, 5, 6], &[3, 6]], |x, precision| {
            scale_channels(x[0], x[1], precision)
        }),
    ]
}

fn convolutions() -> Vec<Case> {
    const IMAGES: &[usize] = &[3, 7, 6, 8];
    let dilated = |groups, dilation| ConvOptions {
        stride: 2,
        padding: 1,
        dilation,
        groups,
    };
    let options = move |groups| dilated(groups, 1);
    let conv = |weight: &[usize], groups, dilation| {
        let shapes = [IMAGES, weight, &weight[..1]];
        let without = case("Convolution2d", &shapes[..2], move |x, precision| {
            conv2d(x[0], x[1], None, dilated(groups, dilation), precision)
        });
        let with = case("Convolution2d", &shapes, move |x, precision| {
            conv2d(x[0], x[1], Some(x[2]), dilated(groups, dilation), precision)
        });
        [without, with]
    };
    let weights = [(&[9, 8, 3, 3], 1), (&[8, 1, 3, 3], 8), (&[12, 4, 3, 3], 2)];
    let mut cases: Vec<Case> = weights
        .into_iter()
        .flat_map(|(weight, groups)| [1, 2].map(|dilation| conv(weight, groups, dilation)))
        .flatten()
        .collect();
    let affine: &[usize] = &[9];
    let shapes = [
        IMAGES,
        &[9, 8, 3, 3],
        affine,
        affine,
        affine,
        affine,
        affine,
        &[3, 4, 3, 9],
    ];
    cases.push(case("NormedConvolution", &shapes, move |x, precision| {
        let convolution = ConvolutionOperands {
            weight: x[1],
            bias: Some(x[2]),
            options: options(1),
        };
        let norm = NormOperands {
            weight: x[3],
            bias: x[4],
            mean: x[5],
            variance: &x[6].sqr()?,
            options: BatchNormOptions::default(),
        };
        conv2d_norm(x[0], convolution, norm, Epilogue::AddRelu(x[7]), precision)
    }));
    cases.push(case("LinearMap", &[&[5, 3, 8], &[6, 8]], |x, precision| {
        linear(x[0], x[1], None, precision)
    }));
    cases.push(case("LinearMap", &[&[5, 8], &[6, 8], &[6]], |x, precision| {
        linear(x[0], x[1], Some(x[2]), precision)
    }));
    cases
}

fn norms() -> Vec<Case> {
    const IMAGES: &[usize] = &[3, 4, 5, 6];
    let epilogues: [for<'a> fn(&'a [&'a Tensor]) -> Epilogue<'a>; 4] = [
        |_| Epilogue::None,
        |_| Epilogue::Relu,
        |x| Epilogue::Add(x[3]),
        |x| Epilogue::AddRelu(x[3]),
    ];
    let mut cases = vec![case("LayerNormalization", &[&[4, 3, 8], &[8], &[8]], |x, _| {
        layer_norm(x[0], x[1], x[2], 1e-3)
    })];
    for relu in [false, true] {
        let options = GroupNormOptions {
            groups: 2,
            epsilon: 1e-3,
            relu,
        };
        cases.push(case("GroupNormalization", &[IMAGES, &[6], &[6]], move |x, _| {
            group_norm(x[0], x[1], x[2], options)
        }));
    }
    cases.push(case("BatchNormalization", &[IMAGES, IMAGES], |x, precision| {
        let [weight, bias, mean] = [7, 8, 9].map(|seed| random(&[6], seed));
        let statistics = Statistics::Frozen {
            mean: &mean,
            variance: &random(&[6], 10).sqr()?,
        };
        let (options, epilogue) = (BatchNormOptions::default(), Epilogue::AddRelu(x[1]));
        batch_norm(x[0], &weight, &bias, statistics, options, epilogue, precision)
    }));
    for (index, epilogue) in epilogues.into_iter().enumerate() {
        let shapes: &[&[usize]] = &[IMAGES, &[6], &[6], IMAGES];
        let shapes = &shapes[..if index < 2 { 3 } else { 4 }];
        let options = BatchNormOptions::default();
        cases.push(case("BatchNormalization", shapes, move |x, precision| {
            let statistics = Statistics::Batch(&mut RunningStatistics::new(6));
            batch_norm(x[0], x[1], x[2], statistics, options, epilogue(x), precision)
        }));
        cases.push(case("BatchNormalization", shapes, move |x, precision| {
            let (mean, variance) = (random(&[6], 8), random(&[6], 9).sqr()?);
            let statistics = Statistics::Running {
                mean: &mean,
                variance: &variance,
            };
            batch_norm(x[0], x[1], x[2], statistics, options, epilogue(x), precision)
        }));
    }
    cases
}

fn pools() -> Vec<Case> {
    const IMAGES: &[usize] = &[3, 7, 6, 5];
    let window = Window {
        size: 3,
        stride: 2,
        padding: 1,
    };
    let average = |count_include_pad| {
        case("AveragePooling", &[IMAGES], move |x, precision| {
            avg_pool2d(x[0], window, count_include_pad, precision)
        })
    };
    let resized = |mode| {
        case("Resizing", &[IMAGES], move |x, precision| {
            resize(x[0], (9, 4), mode, precision)
        })
    };
    vec![
        resized(ResizeMode::Nearest),
        resized(ResizeMode::Bilinear),
        case("MaxPooling", &[IMAGES], move |x, _| max_pool2d(x[0], window)),
        average(true),
        average(false),
        case("GlobalAveragePooling", &[IMAGES], |x, precision| {
            global_average_pool(x[0], precision)
        }),
    ]
}

fn tokens_and_shapes() -> Vec<Case> {
    const IMAGES: &[usize] = &[3, 4, 5, 6];
    let attend = |dropout| {
        case("Attention", &[&[2, 7, 24]], move |x, precision| {
            let options = AttentionOptions {
                dropout,
                ..AttentionOptions::full(2, precision)
            };
            attention(AttentionOperands::SideBySide(x[0]), &options)
        })
    };
    let attend_apart = |window, dropout| {
        let shapes: [&[usize]; 3] = [&[17, 12], &[17, 6], &[17, 6]];
        case("Attention", &shapes, move |x, precision| {
            let sequences = Sequences::from_offsets(&[0, 6, 17])?;
            let options = AttentionOptions {
                key_value_heads: 2,
                causal: true,
                window,
                sequences: Some(&sequences),
                dropout,
                ..AttentionOptions::full(4, precision)
            };
            let [queries, keys, values] = [x[0], x[1], x[2]];
            attention(
                AttentionOperands::Apart {
                    queries,
                    keys,
                    values,
                },
                &options,
            )
        })
    };
    let key = DropoutKey {
        seed: 3,
        epoch: 4,
        samples: first_samples(2),
        layer: 5,
    };
    let tokens: [&[usize]; 3] = [&[3, 4, 5], &[1, 1, 5], &[1, 5, 5]];
    vec![
        attend(None),
        attend(Some((0.3, key))),
        attend_apart(None, None),
        attend_apart(Some(4), Some((0.3, key))),
        case("TokenEmbedding", &tokens, |x, _| embed_tokens(x[0], x[1], x[2])),
        case("Transposition", &[IMAGES], |x, _| to_channels_last(x[0])),
        case("Transposition", &[IMAGES], |x, _| to_channels_first(x[0])),
        case("ShapeChange", &[IMAGES], |x, _| flatten(x[0], 1, 2)),
        case("ShapeChange", &[IMAGES], |x, _| unsqueeze(x[0], &[1, 2])),
        case("ShapeChange", &[&[3, 1, 4, 1]], |x, _| squeeze(x[0], &[1, 3])),
        case("ShapeChange", &[IMAGES], |x, _| select(x[0], 2, 3)),
    ]
}

/// What networks of text are made of beside attention.
fn texts() -> Vec<Case> {
    let key = DropoutKey {
        seed: 3,
        epoch: 4,
        samples: first_samples(2),
        layer: 5,
    };
    let look_up = |padding| {
        case("Embedding", &[&[9, 5]], move |x, _| {
            let ids = Tensor::from_slice(&[3u32, 0, 8, 3, 3, 1], (2, 3), x[0].device())?;
            embedding(&ids, x[0], padding)
        })
    };
    let turn = |positions: Option<&'static [u32]>| {
        let shape: &[usize] = if positions.is_some() {
            &[6, 12]
        } else {
            &[2, 3, 12]
        };
        case("Rotation", &[shape], move |x, _| {
            rotate(x[0], &RotaryTable::new(4, 100.0, 9), positions)
        })
    };
    let predict = |shapes: &[&[usize]]| {
        case("VocabularyLoss", shapes, move |x, precision| {
            let targets = [Some(2), None, Some(8), Some(0), None];
            vocabulary_loss(x[0], x[1], x.get(2).copied(), &targets, 3.0, precision)
        })
    };
    let vocabulary: [&[usize]; 3] = [&[5, 6], &[9, 6], &[9]];
    vec![
        look_up(None),
        look_up(Some(3)),
        case("RowAddition", &[&[2, 3, 5], &[4, 5]], |x, _| {
            add_rows(x[0], x[1], TableRows::Counted { first: 1 })
        }),
        case("RowAddition", &[&[3, 5], &[4, 5]], |x, _| {
            add_rows(x[0], x[1], TableRows::Given([2, 0, 2].into()))
        }),
        case("SequenceMean", &[&[2, 3, 5]], |x, _| sequence_mean(x[0], None)),
        case("SequenceMean", &[&[7, 5]], |x, _| {
            sequence_mean(x[0], Some(&Sequences::padded(&[3, 2], 3)?))
        }),
        turn(None),
        turn(Some(&[0, 8, 2, 2, 5, 1])),
        predict(&vocabulary[..2]),
        predict(&vocabulary),
        case("RmsNormalization", &[&[4, 3, 8], &[8]], |x, _| {
            rms_norm(x[0], x[1], 1e-3)
        }),
        case("RmsNormalization", &[&[5, 12], &[4]], |x, _| {
            rms_norm(x[0], x[1], 1e-3)
        }),
        case("GatedUnit", &[&[5, 7], &[5, 7]], |x, precision| {
            swiglu(x[0], x[1], precision)
        }),
        case("ElementwiseFunction", &[&[5, 7, 9]], |x, precision| {
            gelu_tanh(x[0], precision)
        }),
        case("LinearMap", &[&[5, 3, 8], &[8, 6]], |x, precision| {
            linear_transposed(x[0], x[1], None, precision)
        }),
        case("LinearMap", &[&[5, 8], &[8, 6], &[6]], |x, precision| {
            linear_transposed(x[0], x[1], Some(x[2]), precision)
        }),
        case("Dropping", &[&[7, 5]], move |x, _| {
            dropout_rows(x[0], 0.4, key, &Sequences::padded(&[3, 2], 3)?)
        }),
    ]
}

fn losses() -> Vec<Case> {
    let of = |kind: LossFunction| {
        case("LossOp", &[&[4, 3]], move |x, _| {
            let numbers: Vec<f32> = (0..12).map(|index| (index % 2) as f32).collect();
            let targets = match kind {
                LossFunction::CrossEntropy { .. } => LossTargets::Classes(&[0, 2, 1, 2]),
                _ => LossTargets::Values(&numbers),
            };
            loss(x[0], targets, &kind, 4.0)
        })
    };
    let pairs = |numbers: Option<[f32; 3]>| {
        case("PairLoss", &[&[6, 5]], move |x, _| {
            let targets = numbers
                .as_ref()
                .map_or(PairTargets::Matches, |numbers| PairTargets::Numbers(numbers));
            pair_loss(x[0], targets, 4.0)
        })
    };
    vec![
        pairs(None),
        pairs(Some([0.5, 3.0, 1.0])),
        of(LossFunction::CrossEntropy {
            label_smoothing: 0.1,
            class_weights: None,
            ignore_index: Some(1),
        }),
        of(LossFunction::BinaryCrossEntropy { pos_weight: None }),
        of(LossFunction::Mse),
        of(LossFunction::Huber { delta: 0.7 }),
        of(LossFunction::Distillation { temperature: 3.0 }),
    ]
}

/// A result, and the gradients of the operands that are variables.
type CaseResults = (Vec<f32>, Vec<Option<Vec<f32>>>);

impl Case {
    /// Random operands, of which those are variables that `trained` names.
    fn operands(&self, trained: impl Fn(usize) -> bool) -> Vec<Tensor> {
        let operands = self.shapes.iter().zip(1..).enumerate();
        operands
            .map(|(index, (shape, seed))| match trained(index) {
                true => random_var(shape, seed).into_inner(),
                false => random(shape, seed),
            })
            .collect()
    }

    fn run(&self, operands: &[Tensor], precision: Precision) -> Tensor {
        (self.run)(&operands.iter().collect::<Vec<_>>(), precision).expect("fits")
    }

    /// Such as any format holds.
    fn weights(y: &Tensor) -> Tensor {
        rounded_to_bf16(&random(y.dims(), 99))
    }

    /// With the gradients by candle's own walk, of the sum of the results weighted at random.
    fn in_candles_graph(&self, operands: &[Tensor], precision: Precision) -> CaseResults {
        let y = self.run(operands, precision);
        let loss = (&y * Self::weights(&y))
            .and_then(|y| y.sum_all())
            .expect("equal shapes");
        let gradients = loss.backward().expect("differentiable");
        let of = |operand: &Tensor| {
            let gradient = operand.is_variable().then(|| gradients.get(operand));
            gradient.flatten().map(host)
        };
        (host(&y), operands.iter().map(of).collect())
    }

    fn on_the_tape(&self, operands: &[Tensor], precision: Precision) -> CaseResults {
        let ((y, loss), tape) = Tape::record(|| {
            let y = self.run(operands, precision);
            let weighted = y.to_dtype(DType::F32).and_then(|y| &y * Self::weights(&y));
            let loss = weighted.and_then(|y| y.sum_all());
            (y, loss.expect("equal shapes"))
        });
        let mut gradients = tape.backward(&loss).expect("differentiable");
        let of = |operand: &Tensor| gradients.remove(operand).as_ref().map(host);
        (host(&y), operands.iter().map(of).collect())
    }
}

fn rounded_to_bf16(x: &Tensor) -> Tensor {
    let narrow = x.to_dtype(DType::BF16);
    narrow
        .and_then(|x| x.to_dtype(DType::F32))
        .expect("a tensor of floats")
}

const PRECISIONS: [(Precision, f64); 3] = [
    (Precision::F32, 1e-5),
    (Precision::Bf16, 2e-2),
    (Precision::F16, 3e-3),
];

#[test]
fn kernels_and_compositions_agree() {
    for case in cases() {
        let operands = case.operands(|_| true);
        for (precision, tolerance) in PRECISIONS {
            let (y, gradients) = case.in_candles_graph(&operands, precision);
            let (composed_y, composed) = composing(|| case.in_candles_graph(&operands, precision));
            let wide = |values: &[f32]| -> Vec<f64> { values.iter().map(|&value| value.into()).collect() };
            let what = format!("{}, {precision:?}", case.operation);
            assert_eq!(gradients.len(), composed.len(), "{what}");
            assert_near(&y, &wide(&composed_y), tolerance, &what);
            // A constant to autograd, with kernels of ours.
            if case.operation == "NormedConvolution" {
                assert!(gradients.iter().all(Option::is_none));
                continue;
            }
            for (index, (own, composed)) in gradients.iter().zip(&composed).enumerate() {
                let what = format!("{what}, gradient {index}");
                let own = own.as_ref().unwrap_or_else(|| panic!("{what} is missing"));
                let composed = composed.as_ref().unwrap_or_else(|| panic!("{what} is missing"));
                assert_near(own, &wide(composed), tolerance, &what);
            }
        }
    }
}

#[track_caller]
fn assert_near(actual: &[f32], expected: &[f64], tolerance: f64, what: &str) {
    assert_eq!(actual.len(), expected.len(), "{what}");
    let scale = expected
        .iter()
        .fold(1e-3f64, |scale, value| scale.max(value.abs()));
    for (index, (&actual, &expected)) in actual.iter().zip(expected).enumerate() {
        let error = (f64::from(actual) - expected).abs();
        assert!(
            error <= tolerance * scale,
            "{what}, at {index}: {actual} instead of {expected}, scale {scale}"
        );
    }
}

#[test]
fn the_tape_and_candles_graph_agree_to_the_bit_and_threads_do_not_matter() {
    for case in cases() {
        let operands = case.operands(|_| true);
        for (precision, _) in PRECISIONS {
            let expected = case.in_candles_graph(&operands, precision);
            let taped = same_for_any_number_of_threads(|| case.on_the_tape(&operands, precision));
            assert!(taped == expected, "{}, {precision:?}", case.operation);
        }
    }
}

/// Operands that are stored in bf16 give the same result, and gradients that are the nearest ones.
#[test]
fn the_tape_takes_bf16_as_it_is_stored() {
    // What is made of its operands beforehand would be rounded.
    let cases = cases()
        .into_iter()
        .filter(|case| case.operation != "NormedConvolution");
    for case in cases {
        let wide: Vec<Tensor> = case.operands(|_| false).iter().map(rounded_to_bf16).collect();
        let variables = |dtype| {
            let variable = |x: &Tensor| Var::from_tensor(&x.to_dtype(dtype)?).map(Var::into_inner);
            let variables: candle_core::Result<Vec<Tensor>> = wide.iter().map(variable).collect();
            variables.expect("CPU tensors become variables")
        };
        let (y, gradients) = case.in_candles_graph(&variables(DType::F32), Precision::Bf16);
        let nearest = |gradient: Vec<f32>| gradient.into_iter().map(round_bf16).collect::<Vec<f32>>();
        let expected = (
            y,
            gradients
                .into_iter()
                .map(|gradient| gradient.map(nearest))
                .collect(),
        );
        let narrow = variables(DType::BF16);
        let stored = same_for_any_number_of_threads(|| case.on_the_tape(&narrow, Precision::Bf16));
        assert!(stored == expected, "{}", case.operation);
    }
}

#[test]
fn an_operand_gets_the_same_gradient_whichever_others_are_trained() {
    for case in cases() {
        let (_, all) = case.on_the_tape(&case.operands(|_| true), Precision::F32);
        for trained in 0..case.shapes.len() {
            let operands = case.operands(|index| index == trained);
            for (_, gradients) in [
                case.on_the_tape(&operands, Precision::F32),
                case.in_candles_graph(&operands, Precision::F32),
            ] {
                for (index, gradient) in gradients.iter().enumerate() {
                    let expected = if index == trained { &all[index] } else { &None };
                    assert!(gradient == expected, "{} of {trained}: {index}", case.operation);
                }
            }
        }
    }
}

#[test]
fn no_operation_is_left_out() {
    let mut written = BTreeSet::new();
    names_of_operations(
        Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src/ops")),
        &mut written,
    );
    let tried = cases().iter().map(|case| case.operation.to_string()).collect();
    assert_eq!(written, tried);
}

/// The types that implement `Operation` in the files of `folder` but the tests'.
fn names_of_operations(folder: &Path, names: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).expect("the source is there") {
        let path = entry.expect("readable").path();
        if path.is_dir() {
            names_of_operations(&path, names);
        } else if path.extension().is_some_and(|extension| extension == "rs")
            && path.file_name().is_some_and(|name| name != "tests.rs")
        {
            let text = fs::read_to_string(&path).expect("readable");
            let implemented = text.lines().filter_map(|line| {
                let name = line.strip_prefix("impl Operation for ")?;
                Some(name.trim_end_matches(" {").to_string())
            });
            names.extend(implemented);
        }
    }
}
