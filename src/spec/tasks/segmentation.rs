//! The task of a class for each pixel of an image.

use super::{TaskMetric, TaskRules};
use crate::spec::{TargetKind, TextHead};

/// For each pixel of an image one of some classes. Figures are those of all pixels of a split together, not means over images.
pub static SEGMENTATION: TaskRules = TaskRules {
    name: "segmentation",
    data: TargetKind::Segmentation,
    predicts: "classes of pixels",
    outputs: "the classes",
    losses: &["cross_entropy"],
    head: TextHead::Classification,
    score: "pixel_accuracy",
    further: &["miou"],
    monitor: "val_miou",
    standardizes: false,
    taught: None,
    metrics: &[
        TaskMetric {
            name: "miou",
            about: "The mean over classes of intersection over union (the Jaccard index), of all pixels of the split together, as torchmetrics' `MulticlassJaccardIndex`: classes that neither a mask nor a prediction has are left out.",
            figures: &["miou"],
            always: true,
            of_numbers: false,
        },
        TaskMetric {
            name: "pixel_accuracy",
            about: "The share of pixels whose most likely class is right.",
            figures: &["pixel_accuracy"],
            always: true,
            of_numbers: false,
        },
        TaskMetric {
            name: "dice",
            about: "The mean over the same classes as `miou` of Dice's coefficient, twice the intersection over the sum of both.",
            figures: &["dice"],
            always: false,
            of_numbers: false,
        },
        TaskMetric {
            name: "confusion",
            about: "`confusion.csv`: rows are true classes, columns predicted ones; pixels are counted.",
            figures: &[],
            always: false,
            of_numbers: false,
        },
        TaskMetric {
            name: "per_class",
            about: "`classes.csv`: precision, recall, F1 (which is Dice's coefficient), pixels and IoU of each class.",
            figures: &[],
            always: false,
            of_numbers: false,
        },
    ],
};
