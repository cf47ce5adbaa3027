//! The file formats of exported models: the options of each in a file of its own.

mod safetensors;

use super::choice::{ChoiceList, ChoiceOptions, choice};

pub use safetensors::SafetensorsOptions;

/// The options of a file format for models.
pub trait ExportFormatOptions: ChoiceOptions {}

choice!("The file format of an exported model.", ExportFormat of ExportFormatOptions in export_formats);

impl Default for ExportFormat {
    fn default() -> Self {
        SafetensorsOptions.into()
    }
}

/// The file formats of this crate.
pub(super) fn built_in() -> ChoiceList<dyn ExportFormatOptions> {
    ChoiceList::<dyn ExportFormatOptions>::new().with::<SafetensorsOptions>()
}
