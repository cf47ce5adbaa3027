//! Which of a folder's tensors are which of a network's.
//!
//! Bodies are found with and without their prefix, so that a base model begins one with a head and the other way
//! round; names of old versions are known. A tensor of the body that is missing is a mistake, whatever transformers
//! does about it (it draws a new one). A head that the folder does not have can be a fresh one, which is told.

use std::collections::{BTreeMap, BTreeSet};

use super::family::FolderFamily;
use super::files::FolderWeights;
use crate::models::NetworkLayout;
use crate::spec::nearest;

/// Which of a folder's tensors are which of the network's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FolderFitting {
    /// The folder's names by the network's.
    pub taken: BTreeMap<String, String>,
    /// The network's tensors that the folder does not have: those of a head that is drawn anew.
    pub fresh: Vec<String>,
    /// The folder's tensors that the network does not have: those of other heads.
    pub aside: Vec<String>,
}

/// How a folder is looked at.
#[derive(Clone, Copy, Debug)]
pub struct FittingRules {
    pub family: FolderFamily,
    /// Whether the head's weight is the embedding.
    pub tied: bool,
}

/// A tensor's name without the prefix of the body, spelt as new versions do.
pub fn core_name(family: FolderFamily, name: &str) -> String {
    let name = name.strip_prefix(family.prefix()).unwrap_or(name);
    for (old, new) in [(".gamma", ".weight"), (".beta", ".bias")] {
        if let Some(layer) = name.strip_suffix(old)
            && layer.ends_with("LayerNorm")
        {
            return format!("{layer}{new}");
        }
    }
    name.to_owned()
}

/// Whether a tensor is no weight: old versions kept constants among them.
pub fn is_constant(core: &str) -> bool {
    let endings = [
        "position_ids",
        "token_type_ids",
        ".attn.bias",
        ".attn.masked_bias",
        "rotary_emb.inv_freq",
    ];
    endings.iter().any(|ending| core.ends_with(ending))
}

impl FolderFitting {
    /// Finds the tensors of `network` in `weights`. The rows of a head's outputs may be another number, and then the
    /// head is a fresh one.
    ///
    /// # Errors
    /// What does not fit: a sentence with all names concerned.
    pub fn find(
        rules: FittingRules,
        network: &NetworkLayout,
        weights: &FolderWeights,
    ) -> Result<Self, String> {
        let FittingRules { family, tied } = rules;
        let mut by_core: BTreeMap<String, &str> = BTreeMap::new();
        for (name, _) in weights.shapes() {
            let core = core_name(family, name);
            if is_constant(&core) {
                continue;
            }
            if let Some(other) = by_core.insert(core, name) {
                return Err(format!(
                    "its weights hold one tensor twice, as `{other}` and `{name}`"
                ));
            }
        }
        let mut fitting = Self::default();
        let mut missing: Vec<(String, String)> = Vec::new();
        let mut misfits = Vec::new();
        let mut used = BTreeSet::new();
        for (own, wanted) in &network.tensors {
            let core = core_name(family, own);
            let found = by_core.get(&core).copied().or_else(|| {
                // Of a tied pair either name stands for both.
                let [_, twin] = family.twins().iter().find(|[one, _]| *one == core)?;
                by_core
                    .get(*twin)
                    .copied()
                    .filter(|_| tied || !twin.ends_with("weight"))
            });
            let Some(name) = found else {
                missing.push((core, own.clone()));
                continue;
            };
            used.insert(name);
            let shape = weights.shape(name).unwrap_or_default();
            let layer = core.rsplit_once('.').map_or("", |(layer, _)| layer);
            if shape == wanted.shape {
                fitting.taken.insert(own.clone(), name.to_owned());
            } else if family.is_output_layer(layer) && shape.get(1..) == wanted.shape.get(1..) {
                fitting.fresh.push(own.clone());
            } else {
                misfits.push(format!("{name} ({:?} wanted, {shape:?} given)", wanted.shape));
            }
        }
        // A layer of a head is missing as a whole or not at all.
        let is_partly_there = |core: &str| {
            let layer = core.rsplit_once('.').map_or(core, |(layer, _)| layer);
            let of_layer = |other: &String| other.rsplit_once('.').is_some_and(|(other, _)| other == layer);
            by_core.keys().any(of_layer)
        };
        let (heads, bodies): (Vec<_>, Vec<_>) = missing
            .into_iter()
            .partition(|(core, _)| family.is_head(core) && !is_partly_there(core));
        // What a decoder's next token is told by is no head of one's own choice.
        let (heads, untied): (Vec<_>, Vec<_>) = heads.into_iter().partition(|(core, _)| {
            !matches!(family, FolderFamily::Gpt2 | FolderFamily::Llama(_)) || core != "lm_head.weight"
        });
        fitting.fresh.extend(heads.into_iter().map(|(_, own)| own));
        let twins: BTreeSet<&str> = family.twins().iter().flatten().copied().collect();
        let mut unexpected = Vec::new();
        for (core, name) in &by_core {
            if used.contains(name) {
                continue;
            }
            match family.is_head(core) || twins.contains(core.as_str()) {
                true => fitting.aside.push((*name).to_owned()),
                false => unexpected.push((*name).to_owned()),
            }
        }
        let mut problems = Vec::new();
        if !bodies.is_empty() {
            let mut names: Vec<String> = bodies.into_iter().map(|(_, own)| own).collect();
            for name in names.iter_mut().take(3) {
                if let Some(near) = nearest(name, unexpected.iter().map(String::as_str)) {
                    name.push_str(&format!(" (the nearest in the folder: {near})"));
                }
            }
            problems.push(format!("missing {}", abridged(&names)));
        }
        if !untied.is_empty() {
            problems.push(
                "`lm_head.weight` is missing, and its config.json does not tie it to the embedding (transformers would \
                 draw a new one): say `tied: true` if it is the embedding"
                    .to_owned(),
            );
        }
        if !unexpected.is_empty() {
            problems.push(format!("unexpected {}", abridged(&unexpected)));
        }
        if !misfits.is_empty() {
            problems.push(format!("of another shape {}", abridged(&misfits)));
        }
        match problems.is_empty() {
            true => Ok(fitting),
            false => Err(format!(
                "its weights do not fit its config.json: {}",
                problems.join("; ")
            )),
        }
    }
}

/// The first few of a list of names, and how many more there are.
pub fn abridged(names: &[String]) -> String {
    const SHOWN: usize = 8;
    let shown = names.iter().take(SHOWN).map(String::as_str).collect::<Vec<_>>();
    match names.len().saturating_sub(SHOWN) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}
