//! What running stages has to know of their kinds.

use crate::spec::Kind;
use crate::stages::{
    CommandStage, DownloadStage, EvaluateStage, ExportStage, PreprocessStage, Stage, TrainStage,
};

/// The implementation of a kind.
pub(super) fn runner_of(kind: &Kind) -> &'static dyn Stage {
    match kind {
        Kind::Download(_) => &DownloadStage,
        Kind::Preprocess(_) => &PreprocessStage,
        Kind::Train(_) => &TrainStage,
        Kind::Evaluate(_) => &EvaluateStage,
        Kind::Export(_) => &ExportStage,
        Kind::Command(_) => &CommandStage,
    }
}

/// Whether a stage of the kind computes, with all threads that it may have, and so runs apart from the
/// dispatcher.
pub(super) fn is_heavy(kind: &Kind) -> bool {
    kind.is_heavy()
}

/// Whether a stage of the kind computes on a graphics processor where there is one.
pub(super) fn uses_gpu(kind: &Kind) -> bool {
    matches!(kind, Kind::Train(_) | Kind::Evaluate(_))
}
