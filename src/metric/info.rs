//! One metric.

use std::borrow::Cow;

use super::Direction;

/// What a metric is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetricInfo {
    /// The name, as results and files spell it: `mae`.
    pub name: Cow<'static, str>,
    /// The name in words: `mean absolute error`.
    pub title: Cow<'static, str>,
    /// What exactly is measured, where the title leaves it open: `cross-entropy` of a loss.
    pub quantity: Option<Cow<'static, str>>,
    /// What it is measured in, where that says more than the title: `nats per sample`.
    pub unit: Option<Cow<'static, str>>,
    /// Which way it is better; neither for a count or a setting.
    pub better: Option<Direction>,
    /// The names of the tasks that have it; none where it has nothing to do with what is predicted.
    pub tasks: &'static [&'static str],
    /// What an evaluation must be asked for to report it; nothing where it always does.
    pub asked: Option<&'static str>,
    /// How much it tells: the smallest rank is shown first.
    pub rank: u16,
    /// Whether a training measures it after each epoch, under the names of [`EpochSplit::column`].
    pub every_epoch: bool,
    /// Whether it does so on the validation split alone.
    pub only_validated: bool,
    /// Whether a pipeline file describes it: its unit then stands in the titles of tables too.
    pub from_file: bool,
}

impl MetricInfo {
    /// The name of the figure that a training minimises.
    pub const LOSS: &str = "loss";

    /// The rank of what is not said to be important.
    pub const LAST: u16 = 1000;

    /// A metric without unit that is neither better when larger nor when smaller.
    pub fn new(name: impl Into<Cow<'static, str>>, title: impl Into<Cow<'static, str>>) -> Self {
        Self {
            name: name.into(),
            title: title.into(),
            quantity: None,
            unit: None,
            better: None,
            tasks: &[],
            asked: None,
            rank: Self::LAST,
            every_epoch: false,
            only_validated: false,
            from_file: false,
        }
    }

    /// What stands at an axis: what is measured, and its unit.
    pub fn axis(&self) -> String {
        let quantity = self.quantity.as_ref().unwrap_or(&self.title);
        match &self.unit {
            Some(unit) => format!("{quantity} ({unit})"),
            None => quantity.to_string(),
        }
    }

    /// The same, better in `direction`.
    #[must_use]
    pub fn better(mut self, direction: Direction) -> Self {
        self.better = Some(direction);
        self
    }

    /// The same, where `quantity` is measured.
    #[must_use]
    pub fn quantity(mut self, quantity: impl Into<Cow<'static, str>>) -> Self {
        self.quantity = Some(quantity.into());
        self
    }

    /// The same, measured in `unit`.
    #[must_use]
    pub fn unit(mut self, unit: impl Into<Cow<'static, str>>) -> Self {
        self.unit = Some(unit.into());
        self
    }

    /// The same, of the tasks with these names.
    #[must_use]
    pub fn tasks(mut self, tasks: &'static [&'static str]) -> Self {
        self.tasks = tasks;
        self
    }

    /// The same, reported by an evaluation that is asked for `what`.
    #[must_use]
    pub fn asked(mut self, what: &'static str) -> Self {
        self.asked = Some(what);
        self
    }

    /// The same, shown before what has a larger rank.
    #[must_use]
    pub fn rank(mut self, rank: u16) -> Self {
        self.rank = rank;
        self
    }

    /// The same, measured after each epoch of a training.
    #[must_use]
    pub fn every_epoch(mut self) -> Self {
        self.every_epoch = true;
        self
    }

    /// The same, measured on the validation split after each epoch of a training.
    #[must_use]
    pub fn validated(mut self) -> Self {
        self.only_validated = true;
        self.every_epoch()
    }

    /// Whether a training measures it on `split` after each epoch.
    pub fn is_measured_on(&self, split: EpochSplit) -> bool {
        self.every_epoch && (split == EpochSplit::Val || !self.only_validated)
    }
}

/// What an epoch's figure is measured on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EpochSplit {
    /// The training samples, while the weights change.
    Train,
    /// The validation split, with the weights of the epoch's end.
    Val,
}

impl EpochSplit {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Train, Self::Val];

    /// The column of `metric` in a training's history, which is its metric's name too: `val_loss`.
    pub fn column(self, metric: &str) -> String {
        format!("{}{metric}", self.prefix())
    }

    /// The split and the metric of a column that [`EpochSplit::column`] named.
    pub fn of_column(column: &str) -> Option<(Self, &str)> {
        let of = |split: Self| Some((split, column.strip_prefix(split.prefix())?));
        Self::ALL.into_iter().find_map(of)
    }

    /// In words, before the title of what is measured.
    pub fn title(self) -> &'static str {
        match self {
            Self::Train => "training",
            Self::Val => "validation",
        }
    }

    /// What stands before the name of what is measured.
    fn prefix(self) -> &'static str {
        match self {
            Self::Train => "train_",
            Self::Val => "val_",
        }
    }
}
