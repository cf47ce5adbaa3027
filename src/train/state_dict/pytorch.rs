//! What a pickle of `torch.save` says of tensors: their names, types, shapes and places in storages.
//!
//! Only what rebuilds a plain tensor is understood (`torch/_utils.py`, `torch/_tensor.py` of PyTorch 2); what
//! else it holds is kept by what it is, so that a message can say so.

use std::collections::BTreeMap;

use safetensors::Dtype;

use super::pickle::{Pickle, PickledValue, ValueId};

/// Dictionaries within dictionaries that are looked into.
const DEEPEST: usize = 8;

/// Entries beyond which a file is refused.
const MOST_ENTRIES: usize = 1 << 20;

/// What a file of PyTorch's holds, by name; the names of dictionaries within dictionaries are joined by dots.
#[derive(Clone, Debug, Default)]
pub struct PickledTensors {
    /// Its tensors.
    pub tensors: BTreeMap<String, StorageView>,
    /// What else it holds where a tensor might be, and what that is.
    pub others: BTreeMap<String, String>,
    /// The storages that it speaks of.
    pub storages: BTreeMap<String, Storage>,
    /// Why the size of one of its storages is not known.
    pub unknown_storage: Option<String>,
}

/// Where a tensor's elements lie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StorageView {
    /// The storage's key.
    pub storage: String,
    /// The type of the elements.
    pub dtype: Dtype,
    /// The first one's place in the storage.
    pub offset: u64,
    /// The dimensions.
    pub shape: Vec<usize>,
    /// Elements between neighbours along each dimension.
    pub strides: Vec<u64>,
}

/// A run of elements that tensors are views of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Storage {
    /// The type of the elements.
    pub dtype: Dtype,
    /// How many they are.
    pub elements: u64,
}

impl PickledTensors {
    /// Looks through `pickle`.
    ///
    /// # Errors
    /// What a plain tensor's description cannot be, and what it is in: a sentence.
    pub fn of(pickle: &Pickle) -> Result<Self, String> {
        let mut found = Self::default();
        for id in pickle.ids() {
            let PickledValue::Persistent(of) = pickle.get(id) else {
                continue;
            };
            match storage(pickle, *of) {
                Ok(Some((key, storage))) => {
                    let other = found.storages.insert(key.clone(), storage);
                    if other.is_some_and(|other| other != storage) {
                        return Err(format!("it describes its storage `{key}` in two ways"));
                    }
                }
                Ok(None) => {}
                Err(problem) => found.unknown_storage = Some(problem),
            }
        }
        found.look_into(pickle, pickle.root(), "", 0)?;
        Ok(found)
    }

    fn look_into(&mut self, pickle: &Pickle, id: ValueId, name: &str, depth: usize) -> Result<(), String> {
        if self.tensors.len() + self.others.len() >= MOST_ENTRIES {
            return Err(format!("it has over {MOST_ENTRIES} entries"));
        }
        match pickle.get(id) {
            PickledValue::Dictionary(pairs) if depth < DEEPEST => {
                // Of equal keys the last one counts.
                let mut members = BTreeMap::new();
                for (key, value) in pairs {
                    if let Some(key) = key_text(pickle, *key) {
                        members.insert(key, *value);
                    }
                }
                for (key, value) in members {
                    let name = match name {
                        "" => key,
                        name => format!("{name}.{key}"),
                    };
                    self.look_into(pickle, value, &name, depth + 1)?;
                }
                return Ok(());
            }
            PickledValue::Object { .. } => match tensor(pickle, id, 0) {
                Ok(Some(view)) => {
                    if self.tensors.insert(name.to_owned(), view).is_some() {
                        return Err(format!("it holds two tensors that are both called `{name}`"));
                    }
                }
                Ok(None) => drop(self.others.insert(name.to_owned(), described(pickle, id))),
                Err(problem) => drop(self.others.insert(name.to_owned(), problem)),
            },
            PickledValue::Sequence(_) | PickledValue::Dictionary(_) | PickledValue::Persistent(_) => {
                self.others.insert(name.to_owned(), described(pickle, id));
            }
            // Numbers, texts and the like are what checkpoints hold beside weights.
            _ if name.is_empty() => drop(self.others.insert(String::new(), described(pickle, id))),
            _ => {}
        }
        Ok(())
    }
}

/// A dictionary's key as a part of a name.
fn key_text(pickle: &Pickle, key: ValueId) -> Option<String> {
    match pickle.get(key) {
        PickledValue::Text(text) => Some(text.clone()),
        PickledValue::Int(number) => Some(number.to_string()),
        _ => None,
    }
}

/// What a value is, for messages.
fn described(pickle: &Pickle, id: ValueId) -> String {
    match pickle.get(id) {
        PickledValue::None => "nothing (`None`)".to_owned(),
        PickledValue::Bool(_) | PickledValue::Int(_) => "a number".to_owned(),
        PickledValue::Other(what) => (*what).to_owned(),
        PickledValue::Text(_) => "a text".to_owned(),
        PickledValue::Sequence(_) => "a list".to_owned(),
        PickledValue::Dictionary(_) => "a dictionary deep within others".to_owned(),
        PickledValue::Global(name) => format!("`{name}`"),
        PickledValue::Persistent(_) => "a storage, or a class with its source".to_owned(),
        PickledValue::Object { callable, .. } => match pickle.global(*callable) {
            Some(name) if name.starts_with("numpy.") => {
                "a numpy array, where a tensor is expected".to_owned()
            }
            Some(name) => format!("an object of `{name}`"),
            None => "an object of a class that is kept with it".to_owned(),
        },
    }
}

/// The tensor that an object is, where it is one.
fn tensor(pickle: &Pickle, id: ValueId, depth: usize) -> Result<Option<StorageView>, String> {
    let PickledValue::Object { callable, arguments } = pickle.get(id) else {
        return Ok(None);
    };
    if depth > DEEPEST {
        return Err("a tensor within tensors".to_owned());
    }
    let (Some(name), Some(arguments)) = (pickle.global(*callable), pickle.sequence(*arguments)) else {
        return Ok(None);
    };
    match (name, arguments) {
        // The data, whether it takes part in autograd, hooks; and with state what programs have hung on it.
        ("torch._utils._rebuild_parameter" | "torch._utils._rebuild_parameter_with_state", [data, ..]) => {
            tensor(pickle, *data, depth + 1)
        }
        ("torch._tensor._rebuild_from_type_v2", [function, class, arguments, _]) => {
            let class = pickle.global(*class).unwrap_or_default();
            let plain = [
                "torch.Tensor",
                "torch.nn.parameter.Parameter",
                "torch.nn.parameter.Buffer",
            ];
            if !plain.contains(&class) {
                return Err(format!(
                    "a tensor of the class `{class}`, whose values may mean something else"
                ));
            }
            match (pickle.global(*function), pickle.sequence(*arguments)) {
                (Some(function), Some(arguments)) => rebuilt(pickle, function, arguments),
                _ => Err("a tensor that is made in an unknown way".to_owned()),
            }
        }
        (name, arguments) => rebuilt(pickle, name, arguments),
    }
}

/// The tensor that a call of PyTorch's gives.
fn rebuilt(pickle: &Pickle, function: &str, arguments: &[ValueId]) -> Result<Option<StorageView>, String> {
    let (of, offset, shape, strides, rest) = match (function, arguments) {
        // With whether it takes part in autograd, hooks, and marks.
        ("torch._utils._rebuild_tensor_v2", [of, offset, shape, strides, rest @ ..]) => {
            (of, offset, shape, strides, rest.get(2))
        }
        ("torch._utils._rebuild_tensor", [of, offset, shape, strides]) => (of, offset, shape, strides, None),
        (other, _) if other.starts_with("torch._utils._rebuild_") => {
            return Err(format!("a tensor made by `{other}`, which gives no plain one"));
        }
        _ => return Ok(None),
    };
    if let Some(marks) = rest {
        plain_marks(pickle, *marks)?;
    }
    let wrong = || "a tensor whose description is damaged".to_owned();
    let PickledValue::Persistent(of) = pickle.get(*of) else {
        return Err(wrong());
    };
    let (key, Storage { dtype, .. }) = storage(pickle, *of)?.ok_or_else(wrong)?;
    let naturals = |id: &ValueId| -> Option<Vec<u64>> {
        pickle
            .sequence(*id)?
            .iter()
            .map(|id| pickle.natural(*id))
            .collect()
    };
    let shape = naturals(shape).ok_or_else(wrong)?;
    let shape: Result<Vec<usize>, _> = shape.into_iter().map(usize::try_from).collect();
    let shape = shape.map_err(|_| wrong())?;
    let strides = naturals(strides).ok_or_else(wrong)?;
    if strides.len() != shape.len() || shape.len() > 16 {
        return Err(wrong());
    }
    Ok(Some(StorageView {
        storage: key,
        dtype,
        offset: pickle.natural(*offset).ok_or_else(wrong)?,
        shape,
        strides,
    }))
}

/// A tensor can be marked as the negative or the conjugate of what lies in its storage.
fn plain_marks(pickle: &Pickle, marks: ValueId) -> Result<(), String> {
    let marked = match pickle.get(marks) {
        PickledValue::None => false,
        PickledValue::Dictionary(marks) => {
            let is_off = |value: ValueId| *pickle.get(value) == PickledValue::Bool(false);
            !marks.iter().all(|(_, value)| is_off(*value))
        }
        _ => true,
    };
    match marked {
        true => Err("a view that negates or conjugates its storage; save `tensor.resolve_neg()`".to_owned()),
        false => Ok(()),
    }
}

/// The storage that something outside of the pickle is, by its key; nothing where it is something else.
fn storage(pickle: &Pickle, of: ValueId) -> Result<Option<(String, Storage)>, String> {
    let Some(parts) = pickle.sequence(of) else {
        return Ok(None);
    };
    let &[kind, class, key, _device, elements, ref view @ ..] = parts else {
        return Ok(None);
    };
    if pickle.text(kind) != Some("storage") {
        return Ok(None);
    }
    let wrong = || "a storage that is described in an unknown way".to_owned();
    if view.iter().any(|view| *pickle.get(*view) != PickledValue::None) {
        return Err("a view of a storage, as PyTorch before 0.4 wrote them".to_owned());
    }
    let class = pickle.global(class).ok_or_else(wrong)?;
    let key = key_text(pickle, key).ok_or_else(wrong)?;
    let elements = pickle.natural(elements).ok_or_else(wrong)?;
    let dtype = element_type(class).ok_or_else(|| {
        format!("a tensor of the type `{class}`, which is neither a float of 16 to 64 bits nor an integer")
    })?;
    Ok(Some((key, Storage { dtype, elements })))
}

/// The type of the elements of a storage of such a class.
fn element_type(class: &str) -> Option<Dtype> {
    let name = class.strip_prefix("torch.")?;
    let name = name.strip_prefix("cuda.").unwrap_or(name);
    Some(match name.strip_suffix("Storage")? {
        "Float" => Dtype::F32,
        "Double" => Dtype::F64,
        "Half" => Dtype::F16,
        "BFloat16" => Dtype::BF16,
        "Long" => Dtype::I64,
        "Int" => Dtype::I32,
        "Short" => Dtype::I16,
        "Char" => Dtype::I8,
        "Byte" => Dtype::U8,
        "Bool" => Dtype::BOOL,
        _ => return None,
    })
}
