//! The file formats of exported models: the options of each in a file of its own.

mod huggingface;
mod onnx;
mod peft;
mod rules;
mod safetensors;

use super::choice::{ChoiceList, ChoiceOptions, choice};
use super::mistake::Mistake;
use super::train::Train;

pub use huggingface::HuggingFaceOptions;
pub use onnx::{OnnxExportOptions, OnnxInput, OnnxNumbers, Opset};
pub use peft::PeftOptions;
pub use safetensors::SafetensorsOptions;

/// The options of a file format for models.
pub trait ExportFormatOptions: ChoiceOptions {
    /// Whether a model may be a folder that was not made here.
    fn takes_folders(&self) -> bool {
        false
    }

    /// Whether what is written is a whole model, which a stage that takes one in can read.
    fn is_whole(&self) -> bool {
        true
    }

    /// Why the format cannot hold a quantized model, with a path from the options on; by default since it has no place for
    /// the whole numbers of its weights.
    fn quantized_mistake(&self) -> Option<Mistake> {
        let message = format!(
            "`{}` has no place for the weights of a quantized model",
            self.name()
        );
        Some(Mistake::new(Vec::<String>::new(), message).help("use `format: onnx`"))
    }

    /// What is wrong with them whatever the model, with paths from the options on.
    fn mistakes(&self) -> Vec<Mistake> {
        Vec::new()
    }

    /// Why the format cannot hold what `train` makes, as far as its recipe tells.
    fn model_mistake(&self, train: &Train) -> Option<Mistake> {
        let _ = train;
        None
    }
}

choice!("The file format of an exported model.", ExportFormat of ExportFormatOptions in export_formats);

impl Default for ExportFormat {
    fn default() -> Self {
        SafetensorsOptions.into()
    }
}

/// The file formats of this crate, in the order in which users are told of them. `$each` is a macro that is handed their
/// types: whatever is done with all of them follows from this list.
macro_rules! built_in_export_formats {
    ($each:ident) => {
        $each! {
            $crate::spec::SafetensorsOptions,
            $crate::spec::OnnxExportOptions,
            $crate::spec::HuggingFaceOptions,
            $crate::spec::PeftOptions,
        }
    };
}

#[cfg(feature = "full")]
pub(crate) use built_in_export_formats;

/// The list of them.
pub(super) fn built_in() -> ChoiceList<dyn ExportFormatOptions> {
    macro_rules! listed {
        ($($entry:path,)*) => { ChoiceList::<dyn ExportFormatOptions>::new()$(.with::<$entry>())* };
    }
    built_in_export_formats!(listed)
}
