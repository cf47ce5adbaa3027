//! The names that timm (PyTorch Image Models) gives the tensors of networks that torchvision has, too.
//!
//! Its ResNets have torchvision's names. Of the others, each name is another one for the same tensor, as
//! `tests/fixtures/timm.py` found out by comparing what both programs compute with the same weights.

use std::collections::BTreeMap;

use crate::train::tensor_file::{HostTensor, NamedTensors};

/// The names of a network's tensors in files of one origin.
#[derive(Clone, Debug, Default)]
pub struct Spelling {
    /// Those that are not the network's own, by these.
    names: BTreeMap<String, String>,
    /// Layers that are no layers of convolution in the network: their kernels of one pixel are matrices.
    matrices: Vec<&'static str>,
    /// What batch norm adds to variances there and in the network, where that is not the same.
    epsilons: Option<(f32, f32)>,
    /// What it is, for messages.
    of: Option<&'static str>,
}

/// How the tensors of `model` may be spelt, of the names `own`: as they are first.
pub fn spellings<'a>(model: &str, own: impl Iterator<Item = &'a String>) -> Vec<Spelling> {
    let translate: fn(&str) -> Option<String> = match model {
        "vit" => vit,
        "efficientnet_b0" => efficientnet,
        "mobilenet_v3_small" => mobilenet,
        _ => return vec![Spelling::default()],
    };
    let names = own.filter_map(|own| Some((own.clone(), translate(own)?)));
    let mut timm = Spelling {
        names: names.collect(),
        of: Some("timm's names are taken for torchvision's"),
        ..Spelling::default()
    };
    if model == "efficientnet_b0" {
        timm.of = Some(
            "timm's names are taken for torchvision's (weights of its `tf_` variants fit too, and were trained \
             with other padding)",
        );
    }
    if model == "mobilenet_v3_small" {
        timm.matrices.push("classifier.0.weight");
        timm.epsilons = Some((1e-5, 1e-3));
    }
    vec![Spelling::default(), timm]
}

impl Spelling {
    /// The file's name for a tensor of the network.
    pub fn of<'a>(&'a self, own: &'a str) -> &'a str {
        self.names.get(own).map_or(own, String::as_str)
    }

    /// The file's name for a layer of the network that has a weight.
    pub fn of_layer<'a>(&'a self, own: &'a str) -> &'a str {
        let weight = self.names.get(&format!("{own}.weight"));
        weight
            .and_then(|name| name.strip_suffix(".weight"))
            .unwrap_or(own)
    }

    /// Whether a tensor of the network has two dimensions more in the file, of one member each.
    pub fn is_squeezed(&self, own: &str) -> bool {
        self.matrices.contains(&own)
    }

    /// What is to be told of it.
    pub fn told(&self) -> Option<String> {
        self.of.map(str::to_owned)
    }

    /// Makes of the file's tensors, which have the network's names by now, the network's.
    ///
    /// # Errors
    /// A tensor is of a type that is not computed with: a sentence.
    pub fn convert(&self, mut tensors: NamedTensors) -> Result<NamedTensors, String> {
        for name in &self.matrices {
            if let Some(tensor) = tensors.get_mut(*name) {
                tensor.squeeze(2);
            }
        }
        if let Some((there, here)) = self.epsilons {
            let layers: Vec<String> = tensors
                .keys()
                .filter_map(|name| Some(name.strip_suffix(".running_var")?.to_owned()))
                .collect();
            for layer in layers {
                let weight = format!("{layer}.weight");
                let variances = tensors[&format!("{layer}.running_var")].widened()?;
                let Some(weights) = tensors.get(&weight) else {
                    continue;
                };
                // What evaluation gives stays the same.
                let scaled = weights.widened()?.into_iter().zip(variances);
                let scaled: Vec<f32> = scaled
                    .map(|(weight, variance)| weight * ((variance + here) / (variance + there)).sqrt())
                    .collect();
                tensors.insert(weight, HostTensor::from_f32(vec![scaled.len()], &scaled));
            }
        }
        Ok(tensors)
    }
}

/// `encoder.layers.encoder_layer_3.mlp.0.weight` is `blocks.3.mlp.fc1.weight`.
fn vit(own: &str) -> Option<String> {
    let whole = [
        ("class_token", "cls_token"),
        ("encoder.pos_embedding", "pos_embed"),
        ("conv_proj.", "patch_embed.proj."),
        ("encoder.ln.", "norm."),
        ("heads.head.", "head."),
    ];
    if let Some(renamed) = renamed(own, &whole) {
        return Some(renamed);
    }
    let (layer, part) = own
        .strip_prefix("encoder.layers.encoder_layer_")?
        .split_once('.')?;
    let parts = [
        ("ln_1.", "norm1."),
        ("self_attention.in_proj_", "attn.qkv."),
        ("self_attention.out_proj.", "attn.proj."),
        ("ln_2.", "norm2."),
        ("mlp.0.", "mlp.fc1."),
        ("mlp.3.", "mlp.fc2."),
    ];
    Some(format!("blocks.{layer}.{}", renamed(part, &parts)?))
}

/// `features.2.0.block.1.0.weight` is `blocks.1.0.conv_dw.weight`.
fn efficientnet(own: &str) -> Option<String> {
    let whole = [
        ("features.0.0.", "conv_stem."),
        ("features.0.1.", "bn1."),
        ("features.8.0.", "conv_head."),
        ("features.8.1.", "bn2."),
        ("classifier.1.", "classifier."),
    ];
    if let Some(renamed) = renamed(own, &whole) {
        return Some(renamed);
    }
    let (stage, rest) = own.strip_prefix("features.")?.split_once('.')?;
    let stage: usize = stage.parse().ok()?;
    let (block, part) = rest.split_once(".block.")?;
    // The first stage does not expand.
    let part = inverted_residual(part, stage > 1, Some(if stage > 1 { 2 } else { 1 }))?;
    Some(format!("blocks.{}.{block}.{part}", stage.checked_sub(1)?))
}

/// `features.4.block.1.0.weight` is `blocks.2.0.conv_dw.weight`.
fn mobilenet(own: &str) -> Option<String> {
    let whole = [
        ("features.0.0.", "conv_stem."),
        ("features.0.1.", "bn1."),
        ("features.12.0.", "blocks.5.0.conv."),
        ("features.12.1.", "blocks.5.0.bn1."),
        ("classifier.0.", "conv_head."),
        ("classifier.3.", "classifier."),
    ];
    if let Some(renamed) = renamed(own, &whole) {
        return Some(renamed);
    }
    let (number, part) = own.strip_prefix("features.")?.split_once(".block.")?;
    let number: usize = number.parse().ok()?;
    // Stages of blocks of one number of channels: timm counts within them.
    let starts = [1, 2, 4, 7, 9];
    let stage = starts.iter().rposition(|start| *start <= number)?;
    let squeezes = !(2..=3).contains(&number);
    let place = match (number, squeezes) {
        (_, false) => None,
        (1, true) => Some(1),
        _ => Some(2),
    };
    let part = inverted_residual(part, number > 1, place)?;
    Some(format!("blocks.{stage}.{}.{part}", number - starts[stage]))
}

/// A part of an inverted residual block: after an expansion, where it `expands`; with squeeze and excitation at
/// the place `squeezes`.
fn inverted_residual(part: &str, expands: bool, squeezes: Option<usize>) -> Option<String> {
    let (place, rest) = part.split_once('.')?;
    let place: usize = place.parse().ok()?;
    if squeezes == Some(place) {
        return renamed(rest, &[("fc1.", "se.conv_reduce."), ("fc2.", "se.conv_expand.")]);
    }
    // The layers beside squeeze and excitation, each a convolution and its batch norm.
    let layer = place - usize::from(squeezes.is_some_and(|squeezes| squeezes < place));
    let names: &[(&str, &str)] = match expands {
        true => &[("conv_pw.", "bn1."), ("conv_dw.", "bn2."), ("conv_pwl.", "bn3.")],
        false => &[("conv_dw.", "bn1."), ("conv_pw.", "bn2.")],
    };
    let (convolution, norm) = names.get(layer)?;
    renamed(rest, &[("0.", convolution), ("1.", norm)])
}

/// `name` with its beginning replaced by the first pair that fits.
fn renamed(name: &str, pairs: &[(&str, &str)]) -> Option<String> {
    let renamed = |(from, to): &(&str, &str)| Some(format!("{to}{}", name.strip_prefix(from)?));
    pairs.iter().find_map(renamed)
}
