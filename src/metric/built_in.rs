//! The metrics that Erlen itself reports: a line each.

use super::Direction::{Maximize, Minimize};
use super::MetricInfo;

const CLASSES: &[&str] = &["classification"];
const LABELS: &[&str] = &["multi_label"];
const NUMBERS: &[&str] = &["regression"];
const CLASSES_OR_LABELS: &[&str] = &["classification", "multi_label"];
const ANY: &[&str] = &["classification", "multi_label", "regression"];

const SAMPLES: &str = "share of samples";

/// All of them.
#[rustfmt::skip]
pub(super) fn metrics() -> Vec<MetricInfo> {
    let metric = |name: &'static str, title: &'static str| MetricInfo::new(name, title);
    vec![
        // Of models.
        metric("accuracy", "accuracy").unit(SAMPLES).better(Maximize).tasks(CLASSES_OR_LABELS).rank(10).every_epoch(),
        metric(MetricInfo::LOSS, "loss").better(Minimize).tasks(ANY).rank(20).every_epoch(),
        metric("rmse", "root mean squared error").better(Minimize).tasks(NUMBERS).rank(30),
        metric("mae", "mean absolute error").better(Minimize).tasks(NUMBERS).rank(40).every_epoch(),
        metric("r2", "coefficient of determination").better(Maximize).tasks(NUMBERS).rank(50),
        metric("exact_match", "exact match").unit(SAMPLES).better(Maximize).tasks(LABELS).asked("exact_match").rank(60),
        metric("top3", "top-3 accuracy").unit(SAMPLES).better(Maximize).tasks(CLASSES).asked("top3").rank(70),
        metric("top5", "top-5 accuracy").unit(SAMPLES).better(Maximize).tasks(CLASSES).asked("top5").rank(80),
        metric("macro_f1", "macro F1").better(Maximize).tasks(CLASSES_OR_LABELS).asked("per_class").rank(90),
        metric("macro_precision", "macro precision").better(Maximize).tasks(CLASSES_OR_LABELS).asked("per_class").rank(100),
        metric("macro_recall", "macro recall").better(Maximize).tasks(CLASSES_OR_LABELS).asked("per_class").rank(110),
        metric("roc_auc", "area under the ROC curve").better(Maximize).tasks(CLASSES_OR_LABELS).asked("roc_auc").rank(120),
        metric("calibration_error", "expected calibration error").better(Minimize).tasks(CLASSES).asked("calibration_error").rank(130),
        // Of trainings.
        metric("lr", "learning rate"),
        metric("gradient_norm", "gradient norm"),
        metric("loss_scale", "loss scale"),
        metric("skipped_steps", "skipped steps").unit("count"),
        metric("parameters", "parameters").unit("count"),
        metric("epochs", "epochs").unit("count"),
        // Of data.
        metric("samples", "samples").unit("count"),
        metric("train", "training samples").unit("count"),
        metric("val", "validation samples").unit("count"),
        metric("test", "test samples").unit("count"),
        metric("classes", "classes").unit("count"),
        metric("skipped", "skipped samples").unit("count"),
        // Of tokenizers and texts.
        metric("vocabulary", "tokens in the vocabulary").unit("count"),
        metric("tokens", "tokens").unit("count"),
        metric("bytes_per_token", "bytes a token"),
        metric("unknown", "unknown tokens").unit("share of tokens"),
    ]
}
