//! Pooling.

mod average;
mod global_average;
mod max;

use candle_core::Tensor;

use super::attributes::Attributes;
use super::conv::Window;
use super::error::OpError;
use super::tensor::{Images, channels_last};
pub use average::avg_pool2d;
pub use global_average::global_average_pool;
pub use max::max_pool2d;

/// Fails unless `window` fits in the images `x`.
fn check_window(op: &'static str, x: &Tensor, window: Window) -> Result<(), OpError> {
    let Images { height, width, .. } = channels_last(op, x)?;
    let Window { size, padding, .. } = window;
    if size == 0 || padding > size / 2 {
        let problem = format!("padding {padding} is over half of the window of {size}x{size}");
        return Err(OpError::shape(op, problem));
    }
    if window.positions(height).is_none() || window.positions(width).is_none() {
        let problem = format!("a {size}x{size} window does not fit in an image of {height}x{width}");
        return Err(OpError::shape(op, problem));
    }
    Ok(())
}

/// The dimensions after pooling, where [`check_window`] has found the window to fit.
fn output_of(input: Images, window: Window) -> Images {
    let positions = |extent| match window.positions(extent) {
        Some(positions) => positions,
        None => unreachable!("the window was found to fit"),
    };
    Images {
        height: positions(input.height),
        width: positions(input.width),
        ..input
    }
}

/// A window in ONNX's words.
fn attributes_of(window: Window) -> Attributes {
    Attributes::default()
        .with("kernel_shape", [window.size; 2])
        .with("strides", [window.stride; 2])
        .with("pads", [window.padding; 4])
}

#[cfg(test)]
mod tests;
