//! A network's weights and buffers by their names in PyTorch, out of it and into it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use candle_core::{DType, Tensor};

use super::{Network, Parameter};
use crate::models::ModelError;
use crate::ops::RunningStatistics;

/// The shape of one of a network's tensors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorLayout {
    /// The dimensions.
    pub shape: Vec<usize>,
    /// Whether it counts something; else it holds f32.
    pub is_integer: bool,
}

/// The names and shapes of a network's tensors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetworkLayout {
    /// Parameters and buffers.
    pub tensors: BTreeMap<String, TensorLayout>,
    /// The name of the layer that gives the logits, such as `fc`.
    pub head: String,
}

impl NetworkLayout {
    /// Of parameters by name and shape, and of batch norms by the name of their layer.
    pub(in crate::models) fn new(
        head: &str,
        parameters: impl IntoIterator<Item = (String, Vec<usize>)>,
        statistics: &[(String, Arc<Mutex<RunningStatistics>>)],
    ) -> Self {
        let tensor = |shape, is_integer| TensorLayout { shape, is_integer };
        let mut tensors: BTreeMap<String, TensorLayout> = parameters
            .into_iter()
            .map(|(name, shape)| (name, tensor(shape, false)))
            .collect();
        for (layer, statistics) in statistics {
            let channels = statistics
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .mean
                .len();
            tensors.insert(format!("{layer}.running_mean"), tensor(vec![channels], false));
            tensors.insert(format!("{layer}.running_var"), tensor(vec![channels], false));
            tensors.insert(format!("{layer}.num_batches_tracked"), tensor(Vec::new(), true));
        }
        Self {
            tensors,
            head: head.to_owned(),
        }
    }
}

impl Network {
    /// The names and shapes of what [`Network::state`] holds.
    pub fn layout(&self) -> NetworkLayout {
        let parameters = self.parameters.iter();
        let parameters = parameters.map(|parameter| (parameter.name.clone(), parameter.var.dims().to_vec()));
        NetworkLayout::new(self.architecture.head(), parameters, &self.statistics)
    }

    /// A copy of all parameters and buffers (batch norm's `running_mean`, `running_var` and
    /// `num_batches_tracked`, the last as an i64 scalar) by their names in PyTorch.
    ///
    /// # Errors
    /// Only what the tensor engine reports.
    pub fn state(&self) -> Result<BTreeMap<String, Tensor>, ModelError> {
        let mut state = BTreeMap::new();
        for Parameter { name, var, .. } in &self.parameters {
            state.insert(name.clone(), var.as_tensor().detach().copy()?);
        }
        for (layer, statistics) in &self.statistics {
            let statistics = statistics.lock().unwrap_or_else(PoisonError::into_inner);
            let device = self.device();
            state.insert(
                format!("{layer}.running_mean"),
                Tensor::new(statistics.mean.as_slice(), &device)?,
            );
            state.insert(
                format!("{layer}.running_var"),
                Tensor::new(statistics.variance.as_slice(), &device)?,
            );
            state.insert(
                format!("{layer}.num_batches_tracked"),
                Tensor::new(statistics.batches, &device)?,
            );
        }
        Ok(state)
    }

    /// Takes over all parameters and buffers. Floats of other widths are converted.
    ///
    /// # Errors
    /// A name that is missing, unexpected, or of another shape; then nothing is taken over.
    pub fn load_state(&self, state: &BTreeMap<String, Tensor>) -> Result<(), ModelError> {
        let current = self.state()?;
        check(&current, state, |_, _| false)?;
        self.take_over(state)
    }

    /// Takes over the weights of a network that was trained on another task: as
    /// [`Network::load_state`], but tensors of the output layer that are missing or of another shape
    /// stay as they are, and their names are returned; so do all of them where it is not taken `with_head`.
    /// So do counts of batches
    /// (`num_batches_tracked`) that are missing, which old PyTorch did not keep; they are not returned.
    ///
    /// # Errors
    /// Anything else that is missing, unexpected, or of another shape; then nothing is taken over.
    pub fn load_pretrained(
        &self,
        state: &BTreeMap<String, Tensor>,
        with_head: bool,
    ) -> Result<Vec<String>, ModelError> {
        let current = self.state()?;
        let head = format!("{}.", self.architecture.head());
        let is_count = |name: &str| name.ends_with(".num_batches_tracked");
        check(&current, state, |name, given| {
            name.starts_with(&head) || (given.is_none() && is_count(name))
        })?;
        let mut complete = state.clone();
        let mut kept = Vec::new();
        for (name, own) in current {
            let wanted = with_head || !name.starts_with(&head);
            let fits = state.get(&name).is_some_and(|given| wanted && fits(&own, given));
            if !fits {
                if !is_count(&name) {
                    kept.push(name.clone());
                }
                complete.insert(name, own);
            }
        }
        self.take_over(&complete)?;
        Ok(kept)
    }

    /// Takes over a state that is known to fit. The conversions that could still fail come before the
    /// first change.
    fn take_over(&self, state: &BTreeMap<String, Tensor>) -> Result<(), ModelError> {
        let floats = |name: &str| -> Result<Vec<f32>, ModelError> {
            Ok(state[name].to_dtype(DType::F32)?.flatten_all()?.to_vec1()?)
        };
        let mut statistics = Vec::new();
        for (layer, _) in &self.statistics {
            statistics.push(RunningStatistics {
                mean: floats(&format!("{layer}.running_mean"))?,
                variance: floats(&format!("{layer}.running_var"))?,
                batches: state[&format!("{layer}.num_batches_tracked")]
                    .to_dtype(DType::I64)?
                    .to_scalar()?,
            });
        }
        let mut values = Vec::new();
        for Parameter { name, var, .. } in &self.parameters {
            values.push(
                state[name]
                    .to_dtype(DType::F32)?
                    .to_device(var.device())?
                    .contiguous()?,
            );
        }
        for (parameter, value) in self.parameters.iter().zip(values) {
            parameter.var.set(&value)?;
        }
        for ((_, own), given) in self.statistics.iter().zip(statistics) {
            *own.lock().unwrap_or_else(PoisonError::into_inner) = given;
        }
        Ok(())
    }
}

/// Whether a tensor can take another's place.
fn fits(own: &Tensor, given: &Tensor) -> bool {
    own.dims() == given.dims() && own.dtype().is_int() == given.dtype().is_int()
}

/// Fails unless `given` holds what `own` holds, in the same shapes, and nothing else. What is missing
/// or misfits passes where `tolerated` holds for its name and what is given in its place.
fn check(
    own: &BTreeMap<String, Tensor>,
    given: &BTreeMap<String, Tensor>,
    tolerated: impl Fn(&str, Option<&Tensor>) -> bool,
) -> Result<(), ModelError> {
    let mut missing = Vec::new();
    let mut misfits = Vec::new();
    for (name, own) in own {
        let tensor = given.get(name);
        if tensor.is_some_and(|tensor| fits(own, tensor)) || tolerated(name, tensor) {
            continue;
        }
        match tensor {
            None => missing.push(name.clone()),
            Some(tensor) => misfits.push(format!(
                "{name} ({:?} wanted, {:?} of {} given)",
                own.dims(),
                tensor.dims(),
                tensor.dtype().as_str()
            )),
        }
    }
    let unexpected: Vec<String> = given
        .keys()
        .filter(|name| !own.contains_key(*name))
        .cloned()
        .collect();
    let problems: Vec<String> = [
        ("missing", missing),
        ("unexpected", unexpected),
        ("of another shape or type", misfits),
    ]
    .into_iter()
    .filter(|(_, names)| !names.is_empty())
    .map(|(problem, names)| format!("{problem} {}", abridged(&names)))
    .collect();
    match problems.is_empty() {
        true => Ok(()),
        false => Err(ModelError::State { problems }),
    }
}

/// The first few of a list of names, and how many more there are.
fn abridged(names: &[String]) -> String {
    const SHOWN: usize = 8;
    let shown = names
        .iter()
        .take(SHOWN)
        .map(String::as_str)
        .collect::<Vec<_>>()
        .join(", ");
    match names.len().saturating_sub(SHOWN) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}
