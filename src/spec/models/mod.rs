//! The architectures that `train` builds: the options of each in a file of its own.

mod conv_net;
mod efficientnet;
mod mlp;
mod mobilenet;
mod resnet;
mod sequential;
mod vit;

use super::choice::{ChoiceList, ChoiceOptions, choice};
use super::mistake::Mistake;

pub use conv_net::ConvNetOptions;
pub use efficientnet::EfficientNetOptions;
pub use mlp::MlpOptions;
pub use mobilenet::MobileNetOptions;
pub use resnet::{
    ResNet18Options, ResNet34Options, ResNet50Options, ResNet101Options, ResNetOptions, Stem, WideDepth,
    WideResNetOptions,
};
pub use sequential::{
    ConvLayer, DropoutLayer, Layer, LeakyReluLayer, LinearLayer, NoOptions, PoolLayer, SequentialOptions,
};
pub use vit::{VisionTransformerOptions, VitPreset};

/// The options of an architecture.
pub trait ModelOptions: ChoiceOptions {
    /// What is wrong with them whatever the data, with paths from the options on.
    fn mistakes(&self) -> Vec<Mistake> {
        Vec::new()
    }
}

choice!("A network's architecture.", Model of ModelOptions in models);

/// The architectures of this crate.
pub(super) fn built_in() -> ChoiceList<dyn ModelOptions> {
    ChoiceList::<dyn ModelOptions>::new()
        .with::<MlpOptions>()
        .with::<ConvNetOptions>()
        .with::<ResNet18Options>()
        .with::<ResNet34Options>()
        .with::<ResNet50Options>()
        .with::<ResNet101Options>()
        .with::<WideResNetOptions>()
        .with::<EfficientNetOptions>()
        .with::<MobileNetOptions>()
        .with::<VisionTransformerOptions>()
        .with::<SequentialOptions>()
}
