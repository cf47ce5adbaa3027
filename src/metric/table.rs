//! What is known of all metrics.

use std::collections::BTreeMap;

use super::{Direction, EpochSplit, MetricInfo, built_in};

/// What is known of metrics, by name: of all stages, and of single stages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetricTable {
    everywhere: BTreeMap<String, MetricInfo>,
    of_stages: BTreeMap<String, BTreeMap<String, MetricInfo>>,
}

/// A figure's name, understood: a metric, and for a figure of an epoch what it is measured on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Described<'a> {
    /// The metric.
    pub info: &'a MetricInfo,
    /// What an epoch's figure is measured on.
    pub split: Option<EpochSplit>,
}

impl Default for MetricTable {
    fn default() -> Self {
        Self::built_in()
    }
}

impl MetricTable {
    /// What Erlen itself reports.
    pub fn built_in() -> Self {
        let mut table = Self {
            everywhere: BTreeMap::new(),
            of_stages: BTreeMap::new(),
        };
        for info in built_in::metrics() {
            table.add(info);
        }
        table
    }

    /// Adds a metric that any stage may report, in place of one of the same name.
    pub fn add(&mut self, info: MetricInfo) {
        self.everywhere.insert(info.name.to_string(), info);
    }

    /// Adds a metric of one stage, which goes before what is known of its name elsewhere.
    pub fn add_to(&mut self, stage: &str, info: MetricInfo) {
        let metrics = self.of_stages.entry(stage.to_owned()).or_default();
        metrics.insert(info.name.to_string(), info);
    }

    /// The metric of this name, whatever stage reports it.
    pub fn get(&self, name: &str) -> Option<&MetricInfo> {
        self.everywhere.get(name)
    }

    /// What was said of a stage's metric of this name for that stage alone.
    pub fn of_stage(&self, stage: &str, name: &str) -> Option<&MetricInfo> {
        self.of_stages.get(stage)?.get(name)
    }

    /// What the figure `name` of `stage` is: the metric of this name, or else that of an epoch's
    /// split, such as `loss` for `val_loss`. The stage of a trial is named as in the pipeline.
    pub fn describe(&self, stage: &str, name: &str) -> Option<Described<'_>> {
        let find = |name: &str| self.of_stage(stage, name).or_else(|| self.get(name));
        if let Some(info) = find(name) {
            return Some(Described { info, split: None });
        }
        let (split, metric) = EpochSplit::of_column(name)?;
        let info = find(metric).filter(|info| info.is_measured_on(split))?;
        Some(Described {
            info,
            split: Some(split),
        })
    }

    /// Which way the figure `name` of `stage` is better, where one is.
    pub fn better(&self, stage: &str, name: &str) -> Option<Direction> {
        self.describe(stage, name)?.info.better
    }

    /// The figure `name` of `stage` in words: its own name with spaces where nothing is known.
    pub fn title(&self, stage: &str, name: &str) -> String {
        match self.describe(stage, name) {
            Some(described) => described.title(),
            None => name.replace('_', " "),
        }
    }

    /// What stands at an axis for the figure `name` of `stage`, whatever split it is measured on.
    pub fn axis(&self, stage: &str, name: &str) -> String {
        match self.describe(stage, name) {
            Some(described) => described.info.axis(),
            None => self.title(stage, name),
        }
    }

    /// The names of the figures that a training has of an epoch, the most telling first: those of
    /// the validation split, then those of the training samples.
    pub fn of_epochs(&self) -> Vec<String> {
        let of = |split: EpochSplit| {
            let metrics = self.by_rank(|info| info.is_measured_on(split)).into_iter();
            metrics.map(move |info| split.column(&info.name))
        };
        of(EpochSplit::Val).chain(of(EpochSplit::Train)).collect()
    }

    /// The names of the metrics that an evaluation reports which is asked for `asked`, whatever is
    /// predicted, the most telling first.
    pub fn of_evaluation(&self, asked: &[&str]) -> Vec<String> {
        let reported = |info: &MetricInfo| info.asked.is_none_or(|what| asked.contains(&what));
        let metrics = self.by_rank(|info| !info.tasks.is_empty() && reported(info));
        metrics.iter().map(|info| info.name.to_string()).collect()
    }

    fn by_rank(&self, wanted: impl Fn(&MetricInfo) -> bool) -> Vec<&MetricInfo> {
        let mut metrics: Vec<&MetricInfo> = self.everywhere.values().filter(|info| wanted(info)).collect();
        metrics.sort_by_key(|info| info.rank);
        metrics
    }

    /// The names of the figures of `names` by what they tell of `stage`, the most telling first:
    /// what is measured on training samples and what is unknown come last.
    pub fn most_telling<'a>(&self, stage: &str, names: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
        let mut names: Vec<&str> = names.collect();
        names.sort_by_cached_key(|name| self.order(stage, name));
        names
    }

    /// The place of the figure `name` of `stage` among others, the most telling first.
    pub fn order(&self, stage: &str, name: &str) -> impl Ord + use<> {
        let described = self.describe(stage, name);
        let rank = described.map_or(MetricInfo::LAST, |described| described.info.rank);
        let on_train = described.is_some_and(|described| described.split == Some(EpochSplit::Train));
        (rank == MetricInfo::LAST, on_train, rank, name.to_owned())
    }
}

impl Described<'_> {
    /// In words: `validation loss`.
    pub fn title(&self) -> String {
        match self.split {
            Some(split) => format!("{} {}", split.title(), self.info.title),
            None => self.info.title.to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_metrics_or_splits_of_them() {
        let table = MetricTable::built_in();
        let described = table.describe("model", "val_mae").unwrap();
        assert_eq!(described.info.name, "mae");
        assert_eq!(described.split, Some(EpochSplit::Val));
        assert_eq!(described.title(), "validation mean absolute error");
        assert_eq!(table.better("model", "val_mae"), Some(Direction::Minimize));
        for unknown in ["my_loss", "val_lr", "train_", "val_rmse", "error"] {
            assert_eq!(table.describe("model", unknown), None, "{unknown}");
        }
    }

    #[test]
    fn every_metric_of_models_has_a_better() {
        let table = MetricTable::built_in();
        let without: Vec<_> = table
            .everywhere
            .values()
            .filter(|info| info.better.is_none() && !info.tasks.is_empty())
            .collect();
        assert!(without.is_empty(), "{without:?}");
    }

    #[test]
    fn a_stage_knows_its_own_metrics_best() {
        let mut table = MetricTable::built_in();
        table.add_to(
            "scores",
            MetricInfo::new("accuracy", "hits").better(Direction::Minimize),
        );
        table.add(
            MetricInfo::new("dice", "Dice")
                .better(Direction::Maximize)
                .every_epoch(),
        );
        assert_eq!(table.better("scores", "accuracy"), Some(Direction::Minimize));
        assert_eq!(table.better("test", "accuracy"), Some(Direction::Maximize));
        assert_eq!(table.better("test", "val_dice"), Some(Direction::Maximize));
        assert_eq!(table.title("test", "words_said"), "words said");
    }

    #[test]
    fn the_most_telling_come_first() {
        let table = MetricTable::built_in();
        let names = [
            "a",
            "epochs",
            "train_accuracy",
            "train_loss",
            "val_accuracy",
            "val_loss",
        ];
        assert_eq!(
            table.most_telling("model", names.into_iter()),
            [
                "val_accuracy",
                "val_loss",
                "train_accuracy",
                "train_loss",
                "a",
                "epochs"
            ]
        );
        let names = ["calibration_error", "exact_match", "loss", "roc_auc", "accuracy"];
        assert_eq!(
            table.most_telling("test", names.into_iter()),
            ["accuracy", "loss", "exact_match", "roc_auc", "calibration_error"]
        );
        assert_eq!(
            table.of_epochs().join(" "),
            "val_entity_f1 val_perplexity val_bits_per_byte val_miou val_pixel_accuracy val_accuracy val_loss val_mae \
             train_pixel_accuracy train_accuracy train_loss train_mae"
        );
        assert_eq!(
            table.of_evaluation(&["per_class", "confusion"]).join(" "),
            "entity_f1 perplexity miou pixel_accuracy accuracy loss rmse mae r2 macro_f1 macro_precision macro_recall \
             entity_f1_strict entity_precision entity_recall scored_tokens"
        );
    }
}
