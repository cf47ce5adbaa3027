//! What is wrong with a list of layers whatever the data: told before any is touched.

use super::{Layer, PoolLayer};
use crate::spec::mistake::Mistake;

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

/// The mistakes of `layers`, with paths from the options on.
pub(super) fn mistakes(layers: &[Layer]) -> Vec<Mistake> {
    let mut mistakes = Vec::new();
    if layers.is_empty() {
        return vec![Mistake::new(["layers"], "the network has no layers").help("list them in order")];
    }
    let mut flow = Flow::Unknown;
    for (index, layer) in layers.iter().enumerate() {
        let mut tell = |message: String, help: &str| {
            let path = ["layers", &index.to_string(), layer.name()];
            mistakes.push(Mistake::new(path, message).help(help));
        };
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
        let last = (layers.len() - 1).to_string();
        mistakes.push(
            Mistake::new(
                ["layers", &last],
                "the network ends with an image, and must end with a row of outputs",
            )
            .help("end with `flatten` or `global_avg_pool`, and `linear`"),
        );
    }
    mistakes
}

fn too_padded(pool: &PoolLayer) -> bool {
    pool.padding > pool.size.get() / 2
}
