//! Which of a file's tensors are which of the network's.
//!
//! One rule for wrappers' prefixes (`module.`, `_orig_mod.`, `model.`) and for dictionaries within dictionaries
//! (`state_dict`, `model_state_dict`): the network's tensors stand under the dotted prefix under which the most
//! of them are found with their names and shapes. Where two prefixes do equally well, one that says that it
//! holds averages gives way to one that does not; else nothing is chosen, and both are told.

use std::collections::{BTreeMap, BTreeSet};

use super::timm::{self, Spelling};
use super::{StateDict, TensorPlace};
use crate::models::NetworkLayout;
use crate::spec::nearest;
use crate::train::tensor_file::{NamedTensors, counts};

/// A tensor that a network has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WantedTensor {
    /// The dimensions, as far as they are known.
    pub shape: Vec<Option<usize>>,
    /// Whether it counts something.
    pub is_integer: bool,
}

impl WantedTensor {
    /// Whether a file's tensor can take its place; `squeezed`: after its last two dimensions of one member
    /// were left out.
    fn fits(&self, place: &TensorPlace, squeezed: bool) -> bool {
        let shape = match (squeezed, place.shape.as_slice()) {
            (true, [shape @ .., 1, 1]) => shape,
            (_, shape) => shape,
        };
        let pairs = || shape.iter().zip(&self.shape);
        shape.len() == self.shape.len()
            && pairs().all(|(given, wanted)| wanted.is_none_or(|wanted| wanted == *given))
            && self.is_integer == counts(place.dtype)
    }

    /// Its shape, for messages.
    fn shown(&self) -> String {
        let sides = self.shape.iter().map(|side| match side {
            Some(side) => side.to_string(),
            None => "any".to_owned(),
        });
        format!("[{}]", sides.collect::<Vec<_>>().join(", "))
    }
}

/// A network, as far as a file of weights must fit it.
#[derive(Clone, Debug)]
pub struct WantedTensors<'a> {
    /// What its architecture is called in pipelines.
    pub model: &'a str,
    /// Its tensors by name.
    pub tensors: BTreeMap<String, WantedTensor>,
    /// The layer that gives the outputs, which another task has another of.
    pub head: String,
}

impl<'a> WantedTensors<'a> {
    /// Those of a network of such a layout, whose architecture is called `model`.
    pub fn of(model: &'a str, layout: NetworkLayout) -> Self {
        let tensors = layout.tensors.into_iter().map(|(name, tensor)| {
            let wanted = WantedTensor {
                shape: tensor.shape.into_iter().map(Some).collect(),
                is_integer: tensor.is_integer,
            };
            (name, wanted)
        });
        Self {
            model,
            tensors: tensors.collect(),
            head: layout.head,
        }
    }
}

/// Which of a file's tensors are which of the network's.
#[derive(Clone, Debug)]
pub struct Fitting {
    /// The file's names by the network's.
    taken: BTreeMap<String, String>,
    prefix: String,
    spelling: Spelling,
    /// Names in the file that nothing of the network has.
    aside: Vec<String>,
    /// Prefixes under which averages of the same weights stand.
    averages: Vec<String>,
}

impl Fitting {
    /// Finds out which tensors of `file` are those of `network`. The output layer's may be missing or of
    /// another shape, and so may counts of batches be missing, which old PyTorch did not keep.
    ///
    /// # Errors
    /// What else does not fit, with the nearest names: a sentence.
    pub fn find(network: &WantedTensors<'_>, file: &StateDict) -> Result<Self, String> {
        let spellings = timm::spellings(network.model, network.tensors.keys());
        let mut candidates: Vec<PrefixMatch> = spellings
            .iter()
            .enumerate()
            .flat_map(|(number, spelling)| candidates(number, spelling, network, file))
            .collect();
        candidates.sort_by(|left, right| left.order().cmp(&right.order()));
        let Some(best) = candidates.first() else {
            return Err(nothing_fits(network, file));
        };
        let rivals = || {
            let equal = |other: &&PrefixMatch| (other.spelling, other.body) == (best.spelling, best.body);
            candidates[1..].iter().filter(equal)
        };
        if best.body > 0
            && let Some(rival) = rivals().find(|rival| rival.is_average == best.is_average)
        {
            return Err(format!(
                "it holds weights that fit the network in two places, {} and {}; save one of them by itself, and \
                 name that file",
                place_of(&best.prefix),
                place_of(&rival.prefix)
            ));
        }
        let averages = rivals().map(|rival| rival.prefix.clone()).collect();
        let mut fitting = Self {
            taken: BTreeMap::new(),
            prefix: best.prefix.clone(),
            spelling: spellings[best.spelling].clone(),
            aside: Vec::new(),
            averages,
        };
        fitting.take(network, file)?;
        Ok(fitting)
    }

    /// Reads the network's tensors, by its own names.
    ///
    /// # Errors
    /// The file cannot be read, or is damaged: a sentence.
    pub fn read(&self, file: &StateDict) -> Result<NamedTensors, String> {
        let mut given = file.read(self.taken.values().map(String::as_str))?;
        let mut tensors = NamedTensors::new();
        for (own, name) in &self.taken {
            if let Some(tensor) = given.remove(name) {
                tensors.insert(own.clone(), tensor);
            }
        }
        self.spelling.convert(tensors)
    }

    /// What was done to the names, for whoever watches; nothing where they are the network's.
    pub fn told(&self) -> Vec<String> {
        let mut told = Vec::new();
        if !self.prefix.is_empty() {
            let mut line = format!("its tensors stand {}", place_of(&self.prefix));
            if let Some(average) = self.averages.first() {
                line.push_str(&format!(
                    "; the averages {} are not taken (to begin with them, save them by themselves)",
                    place_of(average)
                ));
            }
            told.push(line);
        }
        told.extend(self.spelling.told());
        if !self.aside.is_empty() {
            told.push(format!(
                "{} of its tensors are left aside: {}",
                self.aside.len(),
                abridged(&self.aside, 4)
            ));
        }
        told
    }

    /// Settles which tensor is which.
    fn take(&mut self, network: &WantedTensors<'_>, file: &StateDict) -> Result<(), String> {
        let head = format!("{}.", network.head);
        let mut names = BTreeSet::new();
        let (mut missing, mut misfits) = (Vec::new(), Vec::new());
        for (own, wanted) in &network.tensors {
            let spelt = self.spelling.of(own);
            let name = format!("{}{spelt}", self.prefix);
            let place = file.tensors().get(&name);
            names.insert(name.clone());
            match place {
                Some(place) if wanted.fits(place, self.spelling.is_squeezed(own)) => {
                    self.taken.insert(own.clone(), name);
                }
                _ if own.starts_with(&head) => {}
                None if own.ends_with(".num_batches_tracked") => {}
                None => missing.push(match file.other(&name) {
                    Some(what) => format!("{spelt} (in the file: {what})"),
                    None => spelt.to_owned(),
                }),
                Some(place) => misfits.push(format!(
                    "{spelt} ({} wanted, {:?} of {:?} given)",
                    wanted.shown(),
                    place.shape,
                    place.dtype
                )),
            }
        }
        let spelt_head = format!("{}{}", self.prefix, self.spelling.of_layer(&network.head));
        let mut unexpected = Vec::new();
        for name in file.tensors().keys().filter(|name| !names.contains(*name)) {
            match name.strip_prefix(&self.prefix) {
                // The output layer of another task may be several layers.
                Some(inside) if !name.starts_with(&format!("{spelt_head}.")) => {
                    unexpected.push(inside.to_owned());
                }
                _ => self.aside.push(name.clone()),
            }
        }
        for name in missing.iter_mut().take(3) {
            if let Some(near) = nearest(name, unexpected.iter().map(String::as_str)) {
                name.push_str(&format!(" (the nearest in the file: {near})"));
            }
        }
        let problems: Vec<String> = [
            ("missing", missing),
            ("unexpected", unexpected),
            ("of another shape or type", misfits),
        ]
        .into_iter()
        .filter(|(_, names)| !names.is_empty())
        .map(|(problem, names)| format!("{problem} {}", abridged(&names, 8)))
        .collect();
        if problems.is_empty() {
            return Ok(());
        }
        let place = match self.prefix.as_str() {
            "" => String::new(),
            prefix => format!(" (of those {})", place_of(prefix)),
        };
        Err(format!(
            "the weights do not fit the network{place}: {}",
            problems.join("; ")
        ))
    }
}

/// A prefix under which some of the network's names are found.
struct PrefixMatch {
    /// Which spelling of the names.
    spelling: usize,
    prefix: String,
    /// Names that are found with their shapes.
    fitting: usize,
    /// Those of them that are not of the output layer: two places that are equal in these are two networks.
    body: usize,
    /// Names that are found.
    named: usize,
    is_average: bool,
}

impl PrefixMatch {
    /// The best one is the least.
    fn order(&self) -> impl Ord + use<'_> {
        let most = |count: usize| usize::MAX - count;
        (
            most(self.body),
            self.is_average,
            most(self.fitting),
            most(self.named),
            self.spelling,
            (self.prefix.len(), &self.prefix),
        )
    }
}

/// The prefixes under which names of the network in this spelling are found.
fn candidates(
    number: usize,
    spelling: &Spelling,
    network: &WantedTensors<'_>,
    file: &StateDict,
) -> Vec<PrefixMatch> {
    let by_spelling: BTreeMap<&str, (&String, &WantedTensor)> = network
        .tensors
        .iter()
        .map(|(own, wanted)| (spelling.of(own), (own, wanted)))
        .collect();
    let head = format!("{}.", network.head);
    let mut found: BTreeMap<&str, [usize; 3]> = BTreeMap::new();
    for (name, place) in file.tensors() {
        let starts = name.match_indices('.').map(|(dot, _)| dot + 1);
        for start in std::iter::once(0).chain(starts) {
            if let Some((own, wanted)) = by_spelling.get(&name[start..]) {
                let fits = wanted.fits(place, spelling.is_squeezed(own));
                let counts = found.entry(&name[..start]).or_default();
                counts[0] += usize::from(fits);
                counts[1] += usize::from(fits && !own.starts_with(&head));
                counts[2] += 1;
            }
        }
    }
    let candidate = |(prefix, [fitting, body, named]): (&str, [usize; 3])| PrefixMatch {
        spelling: number,
        prefix: prefix.to_owned(),
        fitting,
        body,
        named,
        is_average: is_average(prefix),
    };
    found.into_iter().map(candidate).collect()
}

/// Whether a prefix says that averages of weights stand there.
fn is_average(prefix: &str) -> bool {
    let mut words = prefix.split(['.', '_']).map(str::to_lowercase);
    words.any(|word| matches!(word.as_str(), "ema" | "swa" | "averaged" | "avg" | "shadow"))
}

/// A prefix, for messages.
fn place_of(prefix: &str) -> String {
    match prefix {
        "" => "without a prefix".to_owned(),
        prefix => format!("under `{prefix}`"),
    }
}

fn nothing_fits(network: &WantedTensors<'_>, file: &StateDict) -> String {
    let given: Vec<String> = file.tensors().keys().cloned().collect();
    let wanted: Vec<String> = network.tensors.keys().cloned().collect();
    let mut text = format!(
        "the weights do not fit the network: none of its names ({}) is in the file, which has {}",
        abridged(&wanted, 3),
        abridged(&given, 3)
    );
    if let Some((name, what)) = file
        .described
        .others
        .iter()
        .find(|(_, what)| what.contains("object"))
    {
        text.push_str(&format!(
            "; `{name}` in it is {what}, which only the program that made it can read: save its `state_dict()`"
        ));
    }
    text
}

/// The first few of a list of names, and how many more there are.
fn abridged(names: &[String], shown: usize) -> String {
    let text = names
        .iter()
        .take(shown)
        .map(String::as_str)
        .collect::<Vec<_>>()
        .join(", ");
    match names.len().saturating_sub(shown) {
        0 => text,
        more => format!("{text} and {more} more"),
    }
}
