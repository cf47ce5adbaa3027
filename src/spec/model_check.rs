//! What is wrong with an architecture whatever the data: told before any is touched.

use std::num::NonZeroU32;

use miette::SourceSpan;

use super::diagnostic::Diagnostic;
use super::{Layer, Model, PoolLayer, Sequential, VisionTransformer, VitPreset};

/// The mistakes of `model`; `place` gives the span of a path within the recipe.
pub(super) fn model_mistakes(
    model: &Model,
    mistakes: &mut Vec<Diagnostic>,
    place: &dyn Fn(&[&str]) -> SourceSpan,
) {
    match model {
        Model::ConvNet(net) if net.channels.is_empty() => mistakes.push(
            Diagnostic::new(
                "the network has no blocks",
                place(&["model", "conv_net", "channels"]),
            )
            .help("give each block its number of channels, such as [32, 64]"),
        ),
        Model::Vit(vit) => mistakes.extend(heads_mistake(vit, place)),
        Model::Sequential(net) => sequential_mistakes(net, mistakes, place),
        _ => {}
    }
}

fn heads_mistake(vit: &VisionTransformer, place: &dyn Fn(&[&str]) -> SourceSpan) -> Option<Diagnostic> {
    let (width, heads) = match vit.preset {
        VitPreset::Tiny => (192, 3),
        VitPreset::Small => (384, 6),
    };
    let width = vit.width.map_or(width, NonZeroU32::get);
    let heads = vit.heads.map_or(heads, NonZeroU32::get);
    let field = if vit.heads.is_some() { "heads" } else { "width" };
    (!width.is_multiple_of(heads)).then(|| {
        Diagnostic::new(
            format!("{heads} heads do not divide a width of {width}"),
            place(&["model", "vit", field]),
        )
        .help("choose a width that is a multiple of the heads")
    })
}

/// What flows from layer to layer.
#[derive(Clone, Copy, PartialEq)]
enum Flow {
    /// Whatever the data is.
    Unknown,
    /// An image, of so many channels where a convolution gave them.
    Image(Option<u32>),
    /// A row.
    Row,
}

fn sequential_mistakes(
    net: &Sequential,
    mistakes: &mut Vec<Diagnostic>,
    place: &dyn Fn(&[&str]) -> SourceSpan,
) {
    let path = ["model", "sequential", "layers"];
    if net.layers.is_empty() {
        mistakes.push(Diagnostic::new("the network has no layers", place(&path)).help("list them in order"));
        return;
    }
    let mut flow = Flow::Unknown;
    for (index, layer) in net.layers.iter().enumerate() {
        let span = place(&[&path[..], &[index.to_string().as_str(), layer.name()]].concat());
        let mut tell =
            |message: String, help: &str| mistakes.push(Diagnostic::new(message, span).help(help.to_owned()));
        let wants_image = matches!(
            layer,
            Layer::Conv(_) | Layer::MaxPool(_) | Layer::AvgPool(_) | Layer::GlobalAvgPool(_)
        );
        if wants_image && flow == Flow::Row {
            tell(
                format!("`{}` needs an image, and is given a row", layer.name()),
                "put it before what makes a row of the image (flatten, global_avg_pool, linear)",
            );
        }
        if matches!(layer, Layer::Linear(_) | Layer::LayerNorm(_)) && matches!(flow, Flow::Image(_)) {
            tell(
                format!("`{}` needs a row, and is given an image", layer.name()),
                "put `flatten` or `global_avg_pool` before it",
            );
        }
        if let Layer::MaxPool(pool) | Layer::AvgPool(pool) = layer
            && too_padded(pool)
        {
            tell(
                format!(
                    "a padding of {} is more than half a window of {}",
                    pool.padding, pool.size
                ),
                "make it smaller",
            );
        }
        if let Layer::Conv(conv) = layer {
            let divides = |channels: u32| channels.is_multiple_of(conv.groups.get());
            let given = match flow {
                Flow::Image(Some(channels)) => divides(channels),
                _ => true,
            };
            if !divides(conv.channels.get()) || !given {
                tell(
                    format!("{} groups do not divide the numbers of channels", conv.groups),
                    "choose channels, before and after, that are multiples of the groups",
                );
            }
        }
        flow = match layer {
            Layer::Conv(conv) => Flow::Image(Some(conv.channels.get())),
            Layer::MaxPool(_) | Layer::AvgPool(_) if flow == Flow::Unknown => Flow::Image(None),
            Layer::GlobalAvgPool(_) | Layer::Flatten(_) | Layer::Linear(_) | Layer::LayerNorm(_) => Flow::Row,
            _ => flow,
        };
    }
    if let Flow::Image(_) = flow {
        let last = (net.layers.len() - 1).to_string();
        mistakes.push(
            Diagnostic::new(
                "the network ends with an image, and must end with a row of outputs",
                place(&[&path[..], &[last.as_str()]].concat()),
            )
            .help("end with `flatten` or `global_avg_pool`, and `linear`"),
        );
    }
}

fn too_padded(pool: &PoolLayer) -> bool {
    pool.padding > pool.size.get() / 2
}
