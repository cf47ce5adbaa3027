//! All that a pipeline file can choose by name.

use std::cell::RefCell;
use std::sync::{Arc, LazyLock};

use super::choice::{ChoiceList, ListedOptions};
use super::export_formats::{self, ExportFormatOptions};
use super::formats::{self, FormatOptions};
use super::kinds::{self, StageKind};
use super::models::{self, ModelOptions};
use super::preprocess::TargetKind;
use super::tasks::TaskRules;
use super::train::optimizers::{self, OptimizerOptions};
use super::train::schedules::{self, ScheduleOptions};
use crate::metric::{MetricInfo, MetricTable};

/// The lists of what can be chosen by name: a value that whoever reads a pipeline, a job or a card, or
/// makes the schema, is handed. The lists of this crate are its first entries; a program of another
/// crate adds its own.
#[derive(Clone, Debug)]
pub struct Vocabulary(Arc<Lists>);

#[derive(Clone, Debug)]
pub(super) struct Lists {
    pub metrics: MetricTable,
    pub tasks: Vec<&'static TaskRules>,
    pub kinds: ChoiceList<dyn StageKind>,
    pub formats: ChoiceList<dyn FormatOptions>,
    pub models: ChoiceList<dyn ModelOptions>,
    pub optimizers: ChoiceList<dyn OptimizerOptions>,
    pub schedules: ChoiceList<dyn ScheduleOptions>,
    pub export_formats: ChoiceList<dyn ExportFormatOptions>,
}

static BUILT_IN: LazyLock<Vocabulary> = LazyLock::new(|| {
    Vocabulary(Arc::new(Lists {
        metrics: MetricTable::built_in(),
        tasks: TaskRules::BUILT_IN.to_vec(),
        kinds: of_the_whole(kinds::built_in),
        formats: of_the_whole(formats::built_in),
        models: models::built_in(),
        optimizers: of_the_whole(optimizers::built_in),
        schedules: of_the_whole(schedules::built_in),
        export_formats: of_the_whole(export_formats::built_in),
    }))
});

/// A list of what no model's card names; empty, so that nothing of it is linked, in a program that only asks models.
fn of_the_whole<T: ?Sized>(list: fn() -> ChoiceList<T>) -> ChoiceList<T> {
    if cfg!(feature = "full") {
        list()
    } else {
        ChoiceList::new()
    }
}

thread_local! {
    /// What [`Vocabulary::reading`] reads with on this thread.
    static CURRENT: RefCell<Option<Vocabulary>> = const { RefCell::new(None) };
}

impl Vocabulary {
    /// What this crate brings.
    pub fn built_in() -> Self {
        BUILT_IN.clone()
    }

    /// With one more kind of stages.
    #[must_use]
    pub fn with_kind<O: StageKind + ListedOptions>(self) -> Self {
        self.with(|lists| lists.kinds = lists.kinds.clone().with::<O>())
    }

    /// With one more format of input files.
    #[must_use]
    pub fn with_format<O: FormatOptions + ListedOptions>(self) -> Self {
        self.with(|lists| lists.formats = lists.formats.clone().with::<O>())
    }

    /// With one more architecture.
    #[must_use]
    pub fn with_model<O: ModelOptions + ListedOptions>(self) -> Self {
        self.with(|lists| lists.models = lists.models.clone().with::<O>())
    }

    /// With one more file format for models.
    #[must_use]
    pub fn with_export_format<O: ExportFormatOptions + ListedOptions>(self) -> Self {
        self.with(|lists| lists.export_formats = lists.export_formats.clone().with::<O>())
    }

    /// With one more task; one of the same name gives way.
    #[must_use]
    pub fn with_task(self, task: &'static TaskRules) -> Self {
        self.with(|lists| {
            lists.tasks.retain(|known| known.name != task.name);
            lists.tasks.push(task);
        })
    }

    /// With one more metric.
    #[must_use]
    pub fn with_metric(self, metric: MetricInfo) -> Self {
        self.with(|lists| lists.metrics.add(metric))
    }

    /// With one more optimizer.
    #[must_use]
    pub fn with_optimizer<O: OptimizerOptions + ListedOptions>(self) -> Self {
        self.with(|lists| lists.optimizers = lists.optimizers.clone().with::<O>())
    }

    /// With one more schedule.
    #[must_use]
    pub fn with_schedule<O: ScheduleOptions + ListedOptions>(self) -> Self {
        self.with(|lists| lists.schedules = lists.schedules.clone().with::<O>())
    }

    fn with(mut self, change: impl FnOnce(&mut Lists)) -> Self {
        change(Arc::make_mut(&mut self.0));
        self
    }

    /// What is known of metrics.
    pub fn metrics(&self) -> &MetricTable {
        &self.0.metrics
    }

    /// The tasks.
    pub(super) fn tasks(&self) -> &[&'static TaskRules] {
        &self.0.tasks
    }

    /// The task called `name`.
    pub(super) fn task(&self, name: &str) -> Option<&'static TaskRules> {
        self.0.tasks.iter().copied().find(|task| task.name == name)
    }

    /// The task of data that holds `held`, where nothing else is asked for.
    pub(super) fn task_for(&self, held: TargetKind) -> Option<&'static TaskRules> {
        self.0.tasks.iter().copied().find(|task| task.data == held)
    }

    pub(super) fn lists(&self) -> &Lists {
        &self.0
    }

    /// Calls `read`; whatever it decodes on this thread, from whatever format, chooses among these
    /// lists. Elsewhere the choice is among those of [`Vocabulary::built_in`].
    ///
    /// serde hands a type nothing but its data, so what else it needs has to lie at hand.
    pub fn reading<R>(&self, read: impl FnOnce() -> R) -> R {
        struct Restore(Option<Vocabulary>);

        impl Drop for Restore {
            fn drop(&mut self) {
                CURRENT.set(self.0.take());
            }
        }

        let _restore = Restore(CURRENT.replace(Some(self.clone())));
        read()
    }

    /// The lists that choices on this thread are among.
    pub(super) fn current() -> Self {
        CURRENT.with_borrow(Clone::clone).unwrap_or_else(Self::built_in)
    }
}
