//! The exponential moving average of the weights.

use candle_core::{CpuStorage, Device, InplaceOp2, Layout, Result, Tensor, Var, bail};
use rayon::prelude::*;

use super::tensor_file::{HostTensor, NamedTensors};
use crate::models::Parameter;
use crate::spec;

/// Elements that one thread updates at a time.
const CHUNK: usize = 1 << 14;

/// An average for each parameter, as `torch.optim.swa_utils.AveragedModel` keeps it with
/// `get_ema_multi_avg_fn`: the first update copies the weights, each later one moves the averages
/// towards them. Running statistics are no parameters, so they are those of the network.
pub struct Ema {
    /// How far an average moves, as a share of its distance from the weight.
    share: f32,
    slots: Vec<EmaBuffer>,
    /// None before the first update.
    averages: Vec<Var>,
    /// Whether the averages stand in the network and the weights here.
    swapped: bool,
}

/// What a parameter's average must fit.
struct EmaBuffer {
    name: String,
    shape: Vec<usize>,
    device: Device,
}

/// How much of the first step's weights an average still holds after `steps` steps, where that is more than a
/// little.
pub fn share_of_the_start(decay: f64, steps: u64) -> Option<f64> {
    const LITTLE: f64 = 0.05;
    let left = decay.powf(steps.saturating_sub(1) as f64);
    (left > LITTLE).then_some(left)
}

impl Ema {
    /// No averages yet, of `parameters`.
    pub fn new(recipe: &spec::EmaOptions, parameters: &[Parameter]) -> Self {
        Self {
            share: (1.0 - recipe.decay.get()) as f32,
            slots: parameters
                .iter()
                .map(|parameter| EmaBuffer {
                    name: parameter.name.clone(),
                    shape: parameter.var.dims().to_vec(),
                    device: parameter.var.device().clone(),
                })
                .collect(),
            averages: Vec::new(),
            swapped: false,
        }
    }

    /// Takes the weights after an optimizer step into the averages.
    ///
    /// # Errors
    /// The weights are swapped, or a tensor is not contiguous f32 on the CPU.
    pub fn update(&mut self, parameters: &[Parameter]) -> Result<()> {
        self.check_not_swapped()?;
        if self.averages.is_empty() {
            self.averages = parameters
                .iter()
                .map(|parameter| copy_of(&parameter.var))
                .collect::<Result<_>>()?;
            return Ok(());
        }
        let lerp = Lerp { share: self.share };
        for (average, parameter) in self.averages.iter().zip(parameters) {
            if average.device().is_cpu() {
                average.inplace_op2(&parameter.var.as_detached_tensor(), &lerp)?;
            } else {
                average.set(&lerp.of_tensors(average, &parameter.var)?)?;
            }
        }
        Ok(())
    }

    /// Exchanges the weights of the network and the averages, bit for bit; a second call puts both
    /// back. Does nothing before the first update, when the averages are the weights.
    ///
    /// # Errors
    /// The device fails.
    pub fn swap(&mut self, parameters: &[Parameter]) -> Result<()> {
        for (average, parameter) in self.averages.iter().zip(parameters) {
            let weights = parameter.var.as_detached_tensor().copy()?;
            parameter.var.set(average)?;
            average.set(&weights)?;
        }
        self.swapped = !self.swapped && !self.averages.is_empty();
        Ok(())
    }

    /// A copy of the averages, by parameter; nothing before the first update.
    ///
    /// # Errors
    /// The weights are swapped, or a device's memory cannot be read.
    pub fn state(&self) -> Result<NamedTensors> {
        self.check_not_swapped()?;
        let copied = self
            .slots
            .iter()
            .zip(&self.averages)
            .map(|(slot, average)| Ok((slot.name.clone(), HostTensor::from_tensor(average)?)));
        copied.collect()
    }

    /// Takes over a state that [`Ema::state`] gave.
    ///
    /// # Errors
    /// A sentence that says what does not fit.
    pub fn load_state(&mut self, state: &NamedTensors) -> std::result::Result<(), String> {
        if !state.is_empty() && state.len() != self.slots.len() {
            return Err(format!(
                "the moving average has {} tensors, but the model has {} parameters",
                state.len(),
                self.slots.len()
            ));
        }
        let mut averages = Vec::with_capacity(state.len());
        for EmaBuffer { name, shape, device } in self.slots.iter().take(state.len()) {
            let saved = state.get(name);
            let saved = saved.ok_or_else(|| format!("the moving average of `{name}` is missing"))?;
            if saved.shape() != shape {
                return Err(format!(
                    "the moving average of `{name}` has shape {:?}, but {shape:?} is expected",
                    saved.shape()
                ));
            }
            let tensor = saved
                .to_f32()
                .and_then(|_| saved.to_tensor(device))
                .map_err(|problem| format!("the moving average of `{name}`: {problem}"))?;
            averages.push(Var::from_tensor(&tensor).map_err(|error| error.to_string())?);
        }
        self.averages = averages;
        self.swapped = false;
        Ok(())
    }

    fn check_not_swapped(&self) -> Result<()> {
        if self.swapped {
            bail!("the moving averages stand in the network; swap them back first")
        }
        Ok(())
    }
}

fn copy_of(var: &Var) -> Result<Var> {
    Var::from_tensor(&var.as_detached_tensor().copy()?)
}

/// `torch.lerp`, in the same two forms: each is exact at its end of the way.
struct Lerp {
    share: f32,
}

impl Lerp {
    fn of_tensors(&self, average: &Tensor, weight: &Tensor) -> Result<Tensor> {
        let (average, weight) = (average.detach(), weight.detach());
        let way = (&weight - &average)?;
        if self.share < 0.5 {
            average + (way * f64::from(self.share))?
        } else {
            weight - (way * f64::from(1.0 - self.share))?
        }
    }

    fn update(&self, averages: &mut [f32], weights: &[f32]) {
        let share = self.share;
        let pairs = averages.iter_mut().zip(weights);
        if share < 0.5 {
            for (average, &weight) in pairs {
                *average += share * (weight - *average);
            }
        } else {
            for (average, &weight) in pairs {
                *average = weight - (weight - *average) * (1.0 - share);
            }
        }
    }
}

impl InplaceOp2 for Lerp {
    fn name(&self) -> &'static str {
        "moving-average"
    }

    fn cpu_fwd(
        &self,
        averages: &mut CpuStorage,
        averages_layout: &Layout,
        weights: &CpuStorage,
        weights_layout: &Layout,
    ) -> Result<()> {
        let (CpuStorage::F32(averages), CpuStorage::F32(weights)) = (averages, weights) else {
            bail!("parameters must be f32")
        };
        let places = (
            averages_layout.contiguous_offsets(),
            weights_layout.contiguous_offsets(),
        );
        let (Some((from, to)), Some((weights_from, weights_to))) = places else {
            bail!("parameters must be contiguous")
        };
        averages[from..to]
            .par_chunks_mut(CHUNK)
            .zip(weights[weights_from..weights_to].par_chunks(CHUNK))
            .for_each(|(averages, weights)| self.update(averages, weights));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LENGTH: usize = CHUNK + 5;

    fn parameter(name: &str, values: Vec<f32>) -> Parameter {
        let length = values.len();
        Parameter {
            name: name.to_owned(),
            var: Var::from_vec(values, length, &Device::Cpu).unwrap(),
            decays: true,
            frozen: false,
        }
    }

    fn parameters() -> Vec<Parameter> {
        vec![
            parameter("left", (0..LENGTH).map(|index| (index as f32).sin()).collect()),
            parameter("right", vec![f32::from_bits(1), -0.0, 3.5]),
        ]
    }

    fn bits(parameters: &[Parameter]) -> Vec<Vec<u32>> {
        let of = |parameter: &Parameter| {
            let values = parameter.var.to_vec1::<f32>().unwrap();
            values.into_iter().map(f32::to_bits).collect()
        };
        parameters.iter().map(of).collect()
    }

    fn shift(parameters: &[Parameter]) {
        for parameter in parameters {
            let next = (parameter.var.as_tensor() * 0.7)
                .unwrap()
                .affine(1.0, 0.3)
                .unwrap();
            parameter.var.set(&next).unwrap();
        }
    }

    fn ema(decay: f64, parameters: &[Parameter]) -> Ema {
        let recipe = serde_json::from_value(serde_json::json!({"decay": decay})).unwrap();
        Ema::new(&recipe, parameters)
    }

    #[test]
    fn the_first_update_copies_and_later_ones_move_towards_the_weights() {
        for decay in [0.0, 0.25, 0.5, 0.9] {
            let parameters = parameters();
            let mut ema = ema(decay, &parameters);
            ema.update(&parameters).unwrap();
            let first = parameters[0].var.to_vec1::<f32>().unwrap();
            assert_eq!(ema.averages[0].to_vec1::<f32>().unwrap(), first);
            shift(&parameters);
            let second = parameters[0].var.to_vec1::<f32>().unwrap();
            let composed = Lerp { share: ema.share }
                .of_tensors(&ema.averages[0], &parameters[0].var)
                .unwrap();
            ema.update(&parameters).unwrap();
            let averages = ema.averages[0].to_vec1::<f32>().unwrap();
            assert_eq!(averages, composed.to_vec1::<f32>().unwrap());
            for ((average, first), second) in averages.iter().zip(first).zip(second) {
                let expected = decay * f64::from(first) + (1.0 - decay) * f64::from(second);
                assert!((f64::from(*average) - expected).abs() < 1e-6);
            }
        }
    }

    #[test]
    fn swapping_twice_changes_no_bit() {
        let parameters = parameters();
        let mut ema = ema(0.9, &parameters);
        let start = bits(&parameters);
        ema.swap(&parameters).unwrap();
        assert_eq!(bits(&parameters), start);

        ema.update(&parameters).unwrap();
        shift(&parameters);
        let moved = bits(&parameters);
        ema.swap(&parameters).unwrap();
        assert_eq!(bits(&parameters), start);
        assert!(ema.update(&parameters).is_err());
        assert!(ema.state().is_err());
        ema.swap(&parameters).unwrap();
        assert_eq!(bits(&parameters), moved);
        ema.update(&parameters).unwrap();
    }

    #[test]
    fn a_restored_state_continues_to_the_bit() {
        let parameters = parameters();
        let mut ema = ema(0.9, &parameters);
        assert!(ema.state().unwrap().is_empty());
        for _ in 0..3 {
            ema.update(&parameters).unwrap();
            shift(&parameters);
        }
        let state = ema.state().unwrap();
        let mut other = self::ema(0.9, &parameters);
        other.load_state(&state).unwrap();
        assert_eq!(other.state().unwrap(), state);
        ema.update(&parameters).unwrap();
        other.update(&parameters).unwrap();
        assert_eq!(other.state().unwrap(), ema.state().unwrap());

        other.load_state(&NamedTensors::new()).unwrap();
        assert!(other.state().unwrap().is_empty());
        let refused = |parameters: &[Parameter]| self::ema(0.9, parameters).load_state(&state).unwrap_err();
        let error = refused(&parameters[..1]);
        assert!(
            error.contains("has 2 tensors, but the model has 1 parameters"),
            "{error}"
        );
        let strangers = [parameter("left", vec![0.0; 3]), parameter("right", vec![0.0; 3])];
        let error = refused(&strangers);
        assert!(error.contains("`left` has shape"), "{error}");
        let strangers = [
            parameter("up", vec![0.0; LENGTH]),
            parameter("right", vec![0.0; 3]),
        ];
        let error = refused(&strangers);
        assert!(error.contains("`up` is missing"), "{error}");
    }
}
