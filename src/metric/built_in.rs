//! The metrics that Erlen itself reports: a line each.

use super::Direction::{Maximize, Minimize};
use super::MetricInfo;

const CLASSES: &[&str] = &["classification"];
const LABELS: &[&str] = &["multi_label"];
const NUMBERS: &[&str] = &["regression"];
const PIXELS: &[&str] = &["segmentation"];
const CLASSES_OR_LABELS: &[&str] = &["classification", "multi_label"];
const ANY: &[&str] = &[
    "classification",
    "multi_label",
    "regression",
    "segmentation",
    "token_classes",
    "similarity",
    "next_token",
    "masked_token",
];
const NUMBERS_OR_PAIRS: &[&str] = &["regression", "similarity"];
const NEXT_TOKEN: &[&str] = &["next_token"];
const TOKEN_CLASSES: &[&str] = &["token_classes"];
const CLASSES_OF_ANY: &[&str] = &["classification", "multi_label", "token_classes"];
const NAMES: &[&str] = &[
    "classification",
    "multi_label",
    "token_classes",
    "similarity",
    "next_token",
    "masked_token",
];
const VOCABULARY: &[&str] = &["next_token", "masked_token"];

const SAMPLES: &str = "share of samples";

/// All of them.
#[rustfmt::skip]
pub(super) fn metrics() -> Vec<MetricInfo> {
    let metric = |name: &'static str, title: &'static str| MetricInfo::new(name, title);
    vec![
        // Of models.
        metric("accuracy", "accuracy").unit(SAMPLES).better(Maximize).tasks(NAMES).rank(10).every_epoch(),
        metric(MetricInfo::LOSS, "loss").better(Minimize).tasks(ANY).rank(20).every_epoch(),
        metric("rmse", "root mean squared error").better(Minimize).tasks(NUMBERS).rank(30),
        metric("mae", "mean absolute error").better(Minimize).tasks(NUMBERS).rank(40).every_epoch(),
        metric("r2", "coefficient of determination").better(Maximize).tasks(NUMBERS).rank(50),
        metric("exact_match", "exact match").unit(SAMPLES).better(Maximize).tasks(LABELS).asked("exact_match").rank(60),
        metric("top3", "top-3 accuracy").unit(SAMPLES).better(Maximize).tasks(CLASSES).asked("top3").rank(70),
        metric("top5", "top-5 accuracy").unit(SAMPLES).better(Maximize).tasks(CLASSES).asked("top5").rank(80),
        metric("macro_f1", "macro F1").better(Maximize).tasks(CLASSES_OF_ANY).asked("per_class").rank(90),
        metric("macro_precision", "macro precision").better(Maximize).tasks(CLASSES_OF_ANY).asked("per_class").rank(100),
        metric("macro_recall", "macro recall").better(Maximize).tasks(CLASSES_OF_ANY).asked("per_class").rank(110),
        metric("roc_auc", "area under the ROC curve").better(Maximize).tasks(CLASSES_OR_LABELS).asked("roc_auc").rank(120),
        metric("calibration_error", "expected calibration error").better(Minimize).tasks(CLASSES).asked("calibration_error").rank(130),
        metric("entity_f1", "F1 of entities").better(Maximize).tasks(TOKEN_CLASSES).rank(5).validated(),
        metric("entity_f1_strict", "F1 of entities, strictly read").better(Maximize).tasks(TOKEN_CLASSES).rank(140),
        metric("entity_precision", "precision of entities").better(Maximize).tasks(TOKEN_CLASSES).rank(150),
        metric("entity_recall", "recall of entities").better(Maximize).tasks(TOKEN_CLASSES).rank(160),
        metric("perplexity", "perplexity").better(Minimize).tasks(NEXT_TOKEN).rank(6).validated(),
        metric("bits_per_byte", "bits a byte").better(Minimize).tasks(NEXT_TOKEN).asked("bits_per_byte").rank(7).validated(),
        metric("scored_tokens", "tokens that were predicted").unit("count").better(Maximize).tasks(VOCABULARY).rank(900),
        metric("miou", "mean IoU").better(Maximize).tasks(PIXELS).rank(8).validated(),
        metric("pixel_accuracy", "pixel accuracy").unit("share of pixels").better(Maximize).tasks(PIXELS).rank(9).every_epoch(),
        metric("dice", "mean Dice").better(Maximize).tasks(PIXELS).asked("dice").rank(11),
        metric("f1", "F1").better(Maximize).tasks(CLASSES).asked("f1").rank(85),
        metric("mcc", "Matthews' correlation").better(Maximize).tasks(CLASSES).asked("mcc").rank(86),
        metric("pearson", "Pearson's correlation").better(Maximize).tasks(NUMBERS_OR_PAIRS).asked("pearson").rank(52),
        metric("spearman", "Spearman's correlation").better(Maximize).tasks(NUMBERS_OR_PAIRS).asked("spearman").rank(54),
        // Of models on a machine.
        metric("samples_per_second", "samples a second").unit("samples/s").better(Maximize).tasks(ANY).asked("speed").rank(910),
        metric("latency_ms", "latency").unit("ms").better(Minimize).tasks(ANY).asked("speed").rank(911),
        // Of quantized models.
        metric("agreement", "agreement with the model in f32").better(Maximize).rank(160),
        metric("score", "score").better(Maximize).rank(161),
        metric("score_f32", "score in f32").better(Maximize).rank(162),
        metric("score_drop", "fall of the score").better(Minimize).rank(163),
        metric("score_drop_low", "fall of the score, lower end of 95 %"),
        metric("score_drop_high", "fall of the score, upper end of 95 %"),
        metric("quantized_layers", "quantized layers").unit("count"),
        metric("weight_bytes", "size of the weights").unit("bytes").better(Minimize).rank(905),
        metric("weight_bytes_f32", "size of the weights in f32").unit("bytes").better(Minimize).rank(906),
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
