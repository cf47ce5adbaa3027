//! The architectures that `train` builds: the options of each in a file of its own.

mod bert;
mod conv_net;
mod efficientnet;
mod gpt2;
mod llama;
mod mlp;
mod mobilenet;
mod pretrained;
mod resnet;
mod sequential;
mod text_head;
mod unet;
mod vit;

use std::num::NonZeroU32;

use super::choice::{ChoiceList, ChoiceOptions, choice};
use super::mistake::Mistake;
use super::reference::Reference;

pub use bert::{BertOptions, BertVariant};
pub use conv_net::ConvNetOptions;
pub use efficientnet::EfficientNetOptions;
pub use gpt2::Gpt2Options;
pub use llama::{LlamaOptions, LlamaVariant};
pub use mlp::MlpOptions;
pub use mobilenet::MobileNetOptions;
pub use pretrained::PretrainedOptions;
pub use resnet::{
    ResNet18Options, ResNet34Options, ResNet50Options, ResNet101Options, ResNetOptions, Stem, WideDepth,
    WideResNetOptions,
};
pub use sequential::{
    ConvLayer, DropoutLayer, Layer, LeakyReluLayer, LinearLayer, NoOptions, PoolLayer, SequentialOptions,
};
pub use text_head::{MlpActivation, TextHead};
pub use unet::UNetOptions;
pub use vit::{VisionTransformerOptions, VitPreset};

/// The options of an architecture.
pub trait ModelOptions: ChoiceOptions {
    /// What is wrong with them whatever the data, with paths from the options on.
    fn mistakes(&self) -> Vec<Mistake> {
        Vec::new()
    }

    /// A model that is there and that this one is made from: the field that names it, and where it is. It counts by its
    /// content.
    fn base(&self) -> Option<(&'static str, &Reference)> {
        None
    }

    /// What is known of a network of text; nothing of others.
    fn text(&self) -> Option<TextModelFacts> {
        None
    }

    /// Whether it says something of each pixel of an image, and not of the image.
    fn judges_pixels(&self) -> bool {
        false
    }

    /// Whether it is a row of blocks of which each sees nothing but what the one before gives.
    fn has_blocks(&self) -> bool {
        self.text().is_some() || self.base().is_some()
    }

    /// The same network of text with the head `head`; nothing of other networks.
    fn with_head(&self, head: TextHead) -> Option<Model> {
        let _ = head;
        None
    }
}

/// What is known of a network of text without tensors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TextModelFacts {
    /// Tokens of the longest sample.
    pub context: usize,
    /// Values of a token.
    pub width: usize,
    /// Rows of the embedding, where they are given.
    pub vocabulary: Option<usize>,
    /// The head, where it is given.
    pub head: Option<TextHead>,
    /// Whether a token sees none of those behind it.
    pub is_causal: bool,
    /// The token whose embedding is not trained, since it fills up samples elsewhere.
    pub padding: Option<u32>,
}

impl TextModelFacts {
    /// Whether a network of the family can have the head `head`.
    pub fn can_have(&self, head: TextHead) -> bool {
        match head {
            TextHead::Causal => self.is_causal,
            TextHead::Masked => !self.is_causal,
            TextHead::Classification | TextHead::Tokens | TextHead::Similarity => true,
        }
    }
}

choice!("A network's architecture.", Model of ModelOptions in models);

/// The architectures of this crate that are shown images and rows, in the order in which users are told of them. `$each` is a macro that is handed their
/// types: whatever is done with all of them follows from this list.
macro_rules! built_in_models {
    ($each:ident) => {
        $each! {
            $crate::spec::MlpOptions,
            $crate::spec::ConvNetOptions,
            $crate::spec::ResNet18Options,
            $crate::spec::ResNet34Options,
            $crate::spec::ResNet50Options,
            $crate::spec::ResNet101Options,
            $crate::spec::WideResNetOptions,
            $crate::spec::EfficientNetOptions,
            $crate::spec::MobileNetOptions,
            $crate::spec::VisionTransformerOptions,
            $crate::spec::UNetOptions,
            $crate::spec::SequentialOptions,
        }
    };
}

pub(crate) use built_in_models;

/// Those that are shown texts, behind the others.
macro_rules! built_in_text_models {
    ($each:ident) => {
        $each! {
            $crate::spec::Gpt2Options,
            $crate::spec::BertOptions,
            $crate::spec::LlamaOptions,
            $crate::spec::PretrainedOptions,
        }
    };
}

pub(crate) use built_in_text_models;

/// The list of them; of those alone that are asked about images and rows in a program that only asks models.
pub(super) fn built_in() -> ChoiceList<dyn ModelOptions> {
    let mut models = ChoiceList::<dyn ModelOptions>::new();
    macro_rules! listed {
        ($($entry:path,)*) => { $(models = models.with::<$entry>();)* };
    }
    built_in_models!(listed);
    if cfg!(feature = "full") {
        built_in_text_models!(listed);
    }
    models
}

/// A size, or what it is where none is given.
fn or(given: Option<NonZeroU32>, otherwise: usize) -> usize {
    given.map_or(otherwise, |given| given.get() as usize)
}

/// What is wrong where heads cannot share a width; the field to change is `heads` where it is given.
fn undivided(heads_given: bool, width: usize, heads: usize) -> Vec<Mistake> {
    if width.is_multiple_of(heads) {
        return Vec::new();
    }
    let field = if heads_given { "heads" } else { "width" };
    let message = format!("{heads} heads do not divide a width of {width}");
    vec![Mistake::new([field], message).help("choose a width that is a multiple of the heads")]
}
