//! What several formats ask of a training before it is carried out.

use crate::spec::Train;
use crate::spec::mistake::Mistake;

/// A training of a network that no Hugging Face program knows.
pub(super) fn not_of_text(format: &str, train: &Train) -> Option<Mistake> {
    if train.model.text().is_some() || train.model.base().is_some() {
        return None;
    }
    let message = format!(
        "`{format}` is a format for models of text that Hugging Face's programs know, and this is a `{}`",
        train.model.name()
    );
    Some(Mistake::new(Vec::<String>::new(), message).help("use `format: safetensors`"))
}

/// A training of the weights themselves.
pub(super) fn no_changes(train: &Train, consequence: &str) -> Option<Mistake> {
    if train.lora.is_some() {
        return None;
    }
    let message = format!("the training has no low-rank changes (`lora`), so {consequence}");
    Some(Mistake::new(Vec::<String>::new(), message).help("use `format: huggingface`, or train with `lora`"))
}
