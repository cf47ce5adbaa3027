//! Each way to compute a convolution, on each set of kernels that this processor has, against the
//! definition in f64.

use proptest::prelude::*;

use super::super::{correlate, weight_gradient, winograd};
use super::*;
use crate::ops::microkernel::{Finish, Kernels, WIDENED, WordFormat};
use crate::ops::round::copy_rounded;
use crate::ops::stored::{Stored, ValueFormat, Values};

/// The definition's gradients of input and weight, in f64.
fn naive_gradients(x: &[f64], weight: &[f64], gradient: &[f64], g: &Geometry) -> [Vec<f64>; 2] {
    let (input, output, size) = (g.input, g.output, g.window.size);
    let mut of_x = vec![0.0; x.len()];
    let mut of_weight = vec![0.0; weight.len()];
    for (index, gradient) in gradient.iter().enumerate() {
        let (o, pixel) = (index % output.channels, index / output.channels);
        let (column, pixel) = (pixel % output.width, pixel / output.width);
        let (row, n) = (pixel % output.height, pixel / output.height);
        for tap in 0..size * size {
            let (y, x_) = (under(g, row, tap / size), under(g, column, tap % size));
            if y >= input.height || x_ >= input.width {
                continue;
            }
            for i in 0..input.channels {
                let place = ((n * input.height + y) * input.width + x_) * input.channels + i;
                let tap = (o * input.channels + i) * size * size + tap;
                of_x[place] += gradient * weight[tap];
                of_weight[tap] += gradient * x[place];
            }
        }
    }
    [of_x, of_weight]
}

/// Random operands, of which all but the bias are for the ways to round.
struct Operands {
    geometry: Geometry,
    precision: Precision,
    x: Vec<f32>,
    weight: Vec<f32>,
    bias: Vec<f32>,
    gradient: Vec<f32>,
}

impl Operands {
    fn new(
        input: [usize; 4],
        outputs: usize,
        size: usize,
        options: ConvOptions,
        precision: Precision,
    ) -> Option<Self> {
        let (x, weight) = (random(&input, 1), random(&[outputs, input[3], size, size], 2));
        let geometry = geometry(&x, &weight, None, options).ok()?;
        Some(Self {
            precision,
            x: host(&x),
            weight: host(&weight),
            bias: host(&random(&[outputs], 3)),
            gradient: host(&random(&[geometry.output.len()], 4)),
            geometry,
        })
    }

    /// Output, gradient of the input, gradient of the weight.
    fn reference(&self) -> [Vec<f64>; 3] {
        let wide = |values: &[f32]| -> Vec<f64> {
            let mut rounded = vec![0.0; values.len()];
            copy_rounded(values, &mut rounded, self.precision);
            rounded.into_iter().map(f64::from).collect()
        };
        let (x, weight) = (wide(&self.x), wide(&self.weight));
        let mut y = naive(&x, &weight, &self.geometry);
        for (y, bias) in y.iter_mut().zip(self.bias.iter().cycle()) {
            *y += f64::from(*bias);
        }
        let [of_x, of_weight] = naive_gradients(&x, &weight, &wide(&self.gradient), &self.geometry);
        [y, of_x, of_weight]
    }

    fn finish(&self, precision: Precision) -> Finish<'_> {
        Finish {
            shift: Some(&self.bias),
            round: precision == Precision::Bf16,
            ..Finish::default()
        }
    }

    /// By the direct way, of operands and to results that are stored in a format.
    fn direct(&self, kernels: &'static Kernels, precision: Precision, format: ValueFormat) -> [Vec<f32>; 3] {
        let plan = &ConvPlan {
            kernels,
            geometry: self.geometry,
            precision,
        };
        let (finish, once) = (self.finish(precision), ConvWeight::once(&self.weight));
        let [x, gradient] = self.stored(format);
        let (x, gradient) = (x.as_stored(), gradient.as_stored());
        [
            correlate::forward(plan, x, once, finish, format).into_f32(),
            correlate::input_gradient(plan, once, gradient, Finish::default(), format).into_f32(),
            weight_gradient::weight_gradient(plan, x, gradient),
        ]
    }

    /// The same by Winograd's transforms.
    fn winograd(
        &self,
        kernels: &'static Kernels,
        precision: Precision,
        format: ValueFormat,
    ) -> [Vec<f32>; 3] {
        let plan = &ConvPlan {
            kernels,
            geometry: self.geometry,
            precision,
        };
        let (finish, once) = (self.finish(precision), ConvWeight::once(&self.weight));
        let [x, gradient] = self.stored(format);
        let (x, gradient) = (x.as_stored(), gradient.as_stored());
        [
            winograd::forward(plan, x, once, finish, format).into_f32(),
            winograd::input_gradient(plan, &self.weight, gradient, format).into_f32(),
            winograd::weight_gradient(plan, x, gradient),
        ]
    }

    /// Input and the output's gradient.
    fn stored(&self, format: ValueFormat) -> [Values; 2] {
        [&self.x, &self.gradient].map(|values| Values::F32(values.clone()).in_format(format))
    }
}

/// Results but the last are rounded in a narrow format.
#[track_caller]
fn check(actual: &[Vec<f32>; 3], expected: &[Vec<f64>; 3], precision: Precision, tolerance: f64) {
    let half_step = if precision == Precision::Bf16 {
        1.0 / 256.0
    } else {
        0.0
    };
    for (index, (actual, expected)) in actual.iter().zip(expected).enumerate() {
        let rounding = if index < 2 { half_step } else { 0.0 };
        assert_close(actual, expected, tolerance + rounding);
    }
}

/// Relative to the largest result. Products are summed in another order than the definition's.
const DIRECT: f64 = 2e-6;
/// The transforms multiply by up to 8 and divide by up to 24, and what they add cancels out again.
const WINOGRAD: f64 = 2e-5;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn direct_ways_agree_with_the_definition(
        [batch, height, width] in [1usize..10, 1usize..11, 1usize..11],
        (inputs, outputs) in (1usize..40, 1usize..70),
        size in 1usize..6,
        stride in 1usize..4,
        padding in 0usize..4,
        dilation in 1usize..4,
        narrow in any::<bool>(),
    ) {
        let precision = if narrow { Precision::Bf16 } else { Precision::F32 };
        let options = dilated(dilation, moving(stride, padding));
        let operands = Operands::new([batch, height, width, inputs], outputs, size, options, precision);
        let Some(operands) = operands else { return Ok(()) };
        let expected = operands.reference();
        for kernels in Kernels::available() {
            if kernels.format == WordFormat::F32 || narrow {
                let results = operands.direct(kernels, precision, ValueFormat::F32);
                check(&results, &expected, precision, DIRECT);
                if narrow {
                    prop_assert_eq!(&operands.direct(kernels, precision, ValueFormat::Bf16), &results);
                }
            }
        }
    }

    #[test]
    fn winograd_agrees_with_the_definition(
        [batch, height, width] in [1usize..6, 1usize..14, 1usize..14],
        (inputs, outputs) in (1usize..40, 1usize..70),
        padding in 0usize..3,
        narrow in any::<bool>(),
    ) {
        let precision = if narrow { Precision::Bf16 } else { Precision::F32 };
        let operands = Operands::new([batch, height, width, inputs], outputs, 3, moving(1, padding), precision);
        let Some(operands) = operands else { return Ok(()) };
        let expected = operands.reference();
        for kernels in Kernels::available().iter().filter(|kernels| kernels.format == WordFormat::F32) {
            let results = operands.winograd(kernels, precision, ValueFormat::F32);
            check(&results, &expected, precision, WINOGRAD);
            if narrow {
                prop_assert_eq!(&operands.winograd(kernels, precision, ValueFormat::Bf16), &results);
            }
        }
    }
}

/// The output, with all that can be done to it before it is stored.
fn finished(
    plan: &ConvPlan,
    (x, residual): (&[f32], &[f32]),
    (scale, shift): (&[f32], &[f32]),
    weight: ConvWeight,
    by_winograd: bool,
) -> Vec<f32> {
    let finish = Finish {
        scale: Some(scale),
        shift: Some(shift),
        residual: Some(residual),
        relu: true,
        round: plan.precision == Precision::Bf16,
        function: None,
    };
    let (x, format) = (Stored::F32(x), ValueFormat::F32);
    let y = match by_winograd {
        true => winograd::forward(plan, x, weight, finish, format),
        false => correlate::forward(&plan.of_pixels(), x, weight, finish, format),
    };
    y.into_f32()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// Few rows go through tiles of their own, and through panels in another order, rows of few images are shared out, and
    /// few tiles transform weights as they go.
    #[test]
    fn an_image_gets_the_bytes_that_it_gets_alone(
        [height, width] in [1usize..15, 1usize..15],
        (inputs, outputs) in (1usize..40, prop_oneof![1usize..70, 120usize..300]),
        size in 1usize..4,
        stride in 1usize..3,
        by_winograd in any::<bool>(),
        narrow in any::<bool>(),
    ) {
        const BATCH: usize = 20;
        let (size, stride) = if by_winograd { (3, 1) } else { (size, stride) };
        let narrow = narrow && !by_winograd;
        let precision = if narrow { Precision::Bf16 } else { Precision::F32 };
        let options = moving(stride, size / 2);
        let Some(many) = Operands::new([BATCH, height, width, inputs], outputs, size, options, precision) else {
            return Ok(());
        };
        let one = |geometry: Geometry| Geometry {
            input: Images { batch: 1, ..geometry.input },
            output: Images { batch: 1, ..geometry.output },
            ..geometry
        };
        let scale = host(&random(&[outputs], 5));
        let widened = WIDENED.iter().map(|(_, widened)| *widened).filter(|_| narrow);
        let fits = |kernels: &&Kernels| kernels.format == WordFormat::F32 || narrow;
        let runs = |kernels: &&Kernels| {
            let available = Kernels::available();
            available.iter().any(|known| kernels.name.starts_with(known.name))
        };
        for kernels in Kernels::available().iter().copied().filter(fits).chain(widened).filter(runs) {
            let plan = ConvPlan { kernels, geometry: many.geometry, precision };
            let affine = (&*scale, &*many.bias);
            let all = finished(&plan, (&many.x, &many.gradient), affine, ConvWeight::once(&many.weight), by_winograd);
            let alone = ConvPlan { geometry: one(many.geometry), ..plan };
            let kept = PackedOnce::default();
            let (of_input, of_output) = (many.geometry.input.image_len(), many.geometry.output.image_len());
            for image in [0, BATCH - 1] {
                let own = (&many.x[image * of_input..][..of_input], &many.gradient[image * of_output..][..of_output]);
                for weight in [ConvWeight::once(&many.weight), kept.weight(&many.weight)] {
                    let y = finished(&alone, own, affine, weight, by_winograd);
                    prop_assert!(y == all[image * of_output..][..of_output], "{}", kernels.name);
                }
            }
        }
    }
}

#[test]
fn long_sums_stay_exact_and_large_weights_are_taken_whole() {
    // Over 2^22 transformed weights; several blocks of tiles in the weight's gradient.
    for (input, outputs) in [
        ([3, 4, 5, 352], 352),
        ([8, 20, 20, 352], 352),
        ([9, 30, 29, 64], 64),
    ] {
        let operands = Operands::new(input, outputs, 3, moving(1, 1), Precision::F32).expect("fits");
        let best = Kernels::best(Precision::F32);
        let exact = operands.direct(best, Precision::F32, ValueFormat::F32);
        let exact = exact.map(|values| values.into_iter().map(f64::from).collect());
        check(
            &operands.winograd(best, Precision::F32, ValueFormat::F32),
            &exact,
            Precision::F32,
            WINOGRAD,
        );
    }
}

#[test]
fn instruction_sets_agree() {
    for precision in [Precision::F32, Precision::Bf16] {
        let operands = Operands::new([6, 9, 8, 37], 45, 3, moving(1, 1), precision).expect("fits");
        let portable = Kernels::available().last().expect("one is always there");
        assert_eq!(portable.name, "portable");
        let wide = |results: [Vec<f32>; 3]| results.map(|values| values.into_iter().map(f64::from).collect());
        let direct = wide(operands.direct(portable, precision, ValueFormat::F32));
        let winograd = wide(operands.winograd(portable, precision, ValueFormat::F32));
        for kernels in Kernels::available() {
            if kernels.format == WordFormat::F32 {
                check(
                    &operands.winograd(kernels, precision, ValueFormat::F32),
                    &winograd,
                    precision,
                    WINOGRAD,
                );
                check(
                    &operands.direct(kernels, precision, ValueFormat::F32),
                    &direct,
                    precision,
                    DIRECT,
                );
            } else if precision == Precision::Bf16 {
                check(
                    &operands.direct(kernels, precision, ValueFormat::F32),
                    &direct,
                    precision,
                    DIRECT,
                );
            }
        }
    }
}

#[test]
fn bf16_that_is_widened_gives_the_bytes_of_f32() {
    let available = |kernels: &Kernels| {
        Kernels::available()
            .iter()
            .any(|other| other.name == kernels.name)
    };
    for (size, inputs) in [(1, 37), (3, 6)] {
        let operands =
            Operands::new([6, 9, 8, inputs], 45, size, moving(1, 0), Precision::Bf16).expect("fits");
        for (plain, widened) in WIDENED {
            if available(plain) {
                let [[y, x_gradient, _], [other_y, other_x_gradient, _]] = [plain, widened]
                    .map(|kernels| operands.direct(kernels, Precision::Bf16, ValueFormat::F32));
                assert!(y == other_y && x_gradient == other_x_gradient, "{}", widened.name);
            }
        }
    }
}

#[test]
fn threads_do_not_matter_to_any_way() {
    for precision in [Precision::F32, Precision::Bf16] {
        let operands = Operands::new([7, 16, 15, 40], 48, 3, moving(1, 1), precision).expect("fits");
        same_for_any_number_of_threads(|| {
            operands.direct(Kernels::best(precision), precision, ValueFormat::F32)
        });
        same_for_any_number_of_threads(|| {
            operands.winograd(Kernels::best(precision).of_f32(), precision, ValueFormat::F32)
        });
        for [height, width, inputs] in [[2, 2, 40], [8, 8, 40], [16, 15, 6]] {
            let few =
                Operands::new([1, height, width, inputs], 200, 3, moving(1, 1), precision).expect("fits");
            same_for_any_number_of_threads(|| {
                few.direct(Kernels::best(precision), precision, ValueFormat::F32)
            });
            same_for_any_number_of_threads(|| {
                few.winograd(Kernels::best(precision).of_f32(), precision, ValueFormat::F32)
            });
        }
    }
}

#[test]
fn what_is_not_a_number_stays_where_it_belongs() {
    let mut operands = Operands::new([1, 9, 9, 33], 32, 3, moving(1, 1), Precision::Bf16).expect("fits");
    operands.x[0] = f32::NAN;
    for kernels in Kernels::available() {
        let [y, ..] = operands.direct(kernels, Precision::Bf16, ValueFormat::F32);
        for (index, y) in y.iter().enumerate() {
            let (row, column) = (index / 32 / 9, index / 32 % 9);
            assert_eq!(y.is_nan(), row < 2 && column < 2, "{}: {index}", kernels.name);
        }
    }
}
