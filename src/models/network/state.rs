//! A network's weights and buffers by their names in PyTorch, out of it and into it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use candle_core::{CpuStorage, DType, InplaceOp1, Layout, Storage, Tensor, Var};

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
        check(&self.layout().tensors, &layouts_of(state), |_, _| false)?;
        let read = |name: &str| Ok::<_, ModelError>(state[name].clone());
        self.take_over(&BTreeSet::new(), read, |var, value| var.set(&value))
    }

    /// The same of tensors that are `read` one by one, by their names. They are nobody else's, so that none is held beside
    /// the network's own.
    ///
    /// # Errors
    /// As [`Network::load_state`]; or a tensor that cannot be read: then some of them are taken over.
    pub fn load_each<E: From<ModelError>>(
        &self,
        given: &BTreeMap<String, TensorLayout>,
        read: impl FnMut(&str) -> Result<Tensor, E>,
    ) -> Result<(), E> {
        check(&self.layout().tensors, given, |_, _| false)?;
        self.take_over(&BTreeSet::new(), read, move_into)
    }

    /// The same of some tensors: the others stay as they are.
    ///
    /// # Errors
    /// As [`Network::load_each`], but for names that are missing.
    pub fn load_some<E: From<ModelError>>(
        &self,
        given: &BTreeMap<String, TensorLayout>,
        read: impl FnMut(&str) -> Result<Tensor, E>,
    ) -> Result<(), E> {
        let own = self.layout().tensors;
        check(&own, given, |_, given| given.is_none())?;
        let others = own.into_keys().filter(|name| !given.contains_key(name));
        self.take_over(&others.collect(), read, move_into)
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
        let (current, given) = (self.layout().tensors, layouts_of(state));
        let head = format!("{}.", self.architecture.head());
        let is_count = |name: &str| name.ends_with(".num_batches_tracked");
        check(&current, &given, |name, given| {
            name.starts_with(&head) || (given.is_none() && is_count(name))
        })?;
        let stays = |(name, own): (&String, &TensorLayout)| {
            let wanted = with_head || !name.starts_with(&head);
            let fits = given.get(name).is_some_and(|given| wanted && own == given);
            (!fits).then(|| name.clone())
        };
        let kept: BTreeSet<String> = current.iter().filter_map(stays).collect();
        let read = |name: &str| Ok::<_, ModelError>(state[name].clone());
        self.take_over(&kept, read, |var, value| var.set(&value))?;
        Ok(kept.into_iter().filter(|name| !is_count(name)).collect())
    }

    /// Takes over what is known to fit, but for what is `kept` as it is. `put` gives a variable its values.
    fn take_over<E: From<ModelError>>(
        &self,
        kept: &BTreeSet<String>,
        mut read: impl FnMut(&str) -> Result<Tensor, E>,
        put: impl Fn(&Var, Tensor) -> candle_core::Result<()>,
    ) -> Result<(), E> {
        let mut read = |name: String| match kept.contains(&name) {
            true => Ok(None),
            false => read(&name).map(Some),
        };
        let engine = |error: candle_core::Error| E::from(ModelError::from(error));
        for (layer, own) in &self.statistics {
            let mean = read(format!("{layer}.running_mean"))?;
            let variance = read(format!("{layer}.running_var"))?;
            let batches = read(format!("{layer}.num_batches_tracked"))?;
            let floats = |tensor: Tensor| as_type(tensor, DType::F32)?.flatten_all()?.to_vec1();
            let mut own = own.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(mean) = mean {
                own.mean = floats(mean).map_err(engine)?;
            }
            if let Some(variance) = variance {
                own.variance = floats(variance).map_err(engine)?;
            }
            if let Some(batches) = batches {
                let count = as_type(batches, DType::I64).and_then(|count| count.to_scalar());
                own.batches = count.map_err(engine)?;
            }
        }
        for Parameter { name, var, .. } in &self.parameters {
            if let Some(value) = read(name.clone())? {
                let value =
                    as_type(value, DType::F32).and_then(|value| value.to_device(var.device())?.contiguous());
                value.and_then(|value| put(var, value)).map_err(engine)?;
            }
        }
        Ok(())
    }
}

/// The same numbers as `dtype`, which those of files are that were made for it: for others there is code for each pair of
/// types, and none of it in a program that only asks models.
fn as_type(tensor: Tensor, dtype: DType) -> candle_core::Result<Tensor> {
    match tensor.dtype() {
        own if own == dtype => Ok(tensor),
        _ if cfg!(feature = "full") => tensor.to_dtype(dtype),
        own => candle_core::bail!("a tensor is of type {own:?}, and {dtype:?} is expected"),
    }
}

/// Gives a variable the values of a tensor that nobody else has: on the CPU they are moved, so that they do not stand
/// there twice.
fn move_into(var: &Var, value: Tensor) -> candle_core::Result<()> {
    if !(is_whole(var) && is_whole(&value) && var.dims() == value.dims()) {
        return var.set(&value);
    }
    let moved = MovedValues(Mutex::new(None));
    value.inplace_op1(&moved)?;
    var.inplace_op1(&moved)
}

/// Whether a tensor on the CPU has all numbers of its storage, in their order.
fn is_whole(tensor: &Tensor) -> bool {
    let (storage, layout) = tensor.storage_and_layout();
    let numbers = match &*storage {
        Storage::Cpu(CpuStorage::F32(numbers)) => numbers.len(),
        _ => return false,
    };
    layout.is_contiguous() && layout.start_offset() == 0 && numbers == tensor.elem_count()
}

/// Takes the values out of the first tensor, and puts them into the second one.
struct MovedValues(Mutex<Option<CpuStorage>>);

impl InplaceOp1 for MovedValues {
    fn name(&self) -> &'static str {
        "move"
    }

    fn cpu_fwd(&self, storage: &mut CpuStorage, _layout: &Layout) -> candle_core::Result<()> {
        let mut moved = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match moved.take() {
            None => *moved = Some(std::mem::replace(storage, CpuStorage::F32(Vec::new()))),
            Some(values) => *storage = values,
        }
        Ok(())
    }
}

/// The shapes of some tensors.
fn layouts_of(tensors: &BTreeMap<String, Tensor>) -> BTreeMap<String, TensorLayout> {
    let layout = |(name, tensor): (&String, &Tensor)| {
        let (shape, is_integer) = (tensor.dims().to_vec(), tensor.dtype().is_int());
        (name.clone(), TensorLayout { shape, is_integer })
    };
    tensors.iter().map(layout).collect()
}

/// Fails unless `given` holds what `own` holds, in the same shapes, and nothing else. What is missing
/// or misfits passes where `tolerated` holds for its name and what is given in its place.
fn check(
    own: &BTreeMap<String, TensorLayout>,
    given: &BTreeMap<String, TensorLayout>,
    tolerated: impl Fn(&str, Option<&TensorLayout>) -> bool,
) -> Result<(), ModelError> {
    let kind = |layout: &TensorLayout| match layout.is_integer {
        true => "integers",
        false => "floats",
    };
    let mut missing = Vec::new();
    let mut misfits = Vec::new();
    for (name, own) in own {
        let given = given.get(name);
        if given == Some(own) || tolerated(name, given) {
            continue;
        }
        match given {
            None => missing.push(name.clone()),
            Some(given) => misfits.push(format!(
                "{name} ({:?} wanted, {:?} of {} given)",
                own.shape,
                given.shape,
                kind(given)
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
