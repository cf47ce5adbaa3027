//! A training that begins with the model of a folder.

use super::Training;
use crate::event::Monitor;
use crate::models::Network;
use crate::spec::Mistake;
use crate::train::error::TrainError;
use crate::train::huggingface::PretrainedFolder;

/// Begins with the weights of a folder, and tells what of the network it does not have.
pub(super) fn load_pretrained(
    network: &Network,
    task: &Training<'_>,
    monitor: &Monitor,
    folder: &PretrainedFolder,
) -> Result<(), TrainError> {
    let from = folder.name();
    let failed = |problem: String| -> TrainError {
        Mistake::new(["model", "pretrained", "from"], format!("`{from}`: {problem}")).into()
    };
    let filled = folder.fill(network, &task.device).map_err(failed)?;
    monitor.info(match filled.fresh.as_slice() {
        [] => format!("begins with the model in `{from}`"),
        fresh => format!(
            "begins with the model in `{from}`, but for a head that it does not have and that is drawn ({})",
            fresh.join(", ")
        ),
    });
    for note in filled.notes {
        monitor.info(format!("`{from}`: {note}"));
    }
    let vocabulary = task.dataset.input().vocabulary.as_ref();
    if let (Some(vocabulary), Some(own)) = (vocabulary, folder.tokenizer_digest())
        && vocabulary.digest != own
    {
        monitor.warn(format!(
            "the data was encoded by another tokenizer than the one in `{from}`: make sure that both have the same \
             numbers for the same tokens, or encode it by that one"
        ));
    }
    Ok(())
}
