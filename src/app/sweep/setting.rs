//! What a sweep is about: the file, the stages that its trials need, and how each gets into a plan.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};

use crate::app::error::AppError;
use crate::app::session::placed;
use crate::event::StageId;
use crate::fingerprint::Digest;
use crate::plan::{EarlierResults, NodeIndex, Plan, PlanError};
use crate::spec::{
    FilePlaces, MetricPath, Override, Pipeline, Search, SpecError, StageSpec, Sweep, Template,
};
use crate::store::Store;
use crate::sweep::{Definition, Values};

/// A pipeline file with a sweep, and what follows from them before anything runs.
pub struct SweepSetting {
    template: Template,
    overrides: Vec<Override>,
    /// The pipeline as the file has it.
    pub base: Pipeline,
    /// What is swept, and how.
    pub sweep: Sweep,
    /// The stages that every trial brings up to date.
    pub targets: Vec<String>,
    /// The training whose epochs the pruner judges.
    pub judged: Option<MetricPath>,
    /// Whether the space comes from overrides.
    is_asked: bool,
    /// Stages that differ from trial to trial.
    varied: BTreeSet<String>,
    /// Stages that differ from replicate to replicate.
    seeded: BTreeSet<String>,
}

/// The nodes of a trial: of each replicate, by the stages' names.
pub type Replicates = Vec<HashMap<String, NodeIndex>>;

impl SweepSetting {
    /// Reads the sweep of the pipeline `file`, with parameters replaced or swept as `overrides` say.
    ///
    /// # Errors
    /// Mistakes in the file or in `overrides`; nothing is swept.
    pub fn load(file: &Path, overrides: &[Override]) -> Result<Self, AppError> {
        Ok(Self::new(Template::load(file)?, overrides)?)
    }

    fn new(template: Template, overrides: &[Override]) -> Result<Self, SpecError> {
        let (base, sweep, fixed) = template.sweep(overrides)?;
        let is_asked = fixed.len() < overrides.len();
        let overrides = fixed;
        let judged = sweep
            .judged(&base.metrics)
            .map(|objective| objective.path().clone());
        let varied = reached(&base, |stage| {
            sweep.params.keys().any(|name| stage.params.contains(name))
        });
        let seeded = match sweep.replicates {
            NonZeroU32::MIN => BTreeSet::new(),
            _ => reached(&base, StageSpec::draws),
        };
        let targets = sweep.targets(&base);
        Ok(Self {
            template,
            overrides,
            targets: targets.into_iter().collect(),
            base,
            sweep,
            judged,
            is_asked,
            varied,
            seeded,
        })
    }

    /// The parameter of the space that chooses a fold, where trials are ranked: the best trial is then the best of
    /// single folds.
    pub fn ranked_fold(&self) -> Option<&str> {
        let mut names = self.sweep.params.keys().map(String::as_str);
        let is_ranked = !self.sweep.objective.0.is_empty();
        names.find(|name| is_ranked && self.template.chooses_fold(name))
    }

    /// All that decides which trials there are.
    pub fn definition(&self) -> Definition {
        Definition {
            sweep: self.sweep.clone(),
            own: self.own(),
            seed: self.base.seed,
            max_epochs: self.max_epochs(),
            judged: self.sweep.judged(&self.base.metrics),
        }
    }

    /// The values of the parameters that trials depend on: those that the stages behind the objectives
    /// speak of, and those that the sweep names.
    fn own(&self) -> Values {
        let mut stages = self.judging();
        let mut wanted: BTreeSet<&str> = BTreeSet::new();
        let mut seen: BTreeSet<String> = BTreeSet::new();
        while let Some(name) = stages.pop() {
            if let Some(stage) = self.base.stages.get(&name)
                && seen.insert(name)
            {
                wanted.extend(stage.params.iter().map(String::as_str));
                stages.extend(stage.upstream());
            }
        }
        wanted.extend(self.sweep.params.keys().map(String::as_str));
        for constraint in &self.sweep.constraints {
            wanted.extend(constraint.parameters());
        }
        let own = self.base.params.iter();
        own.filter(|(name, _)| wanted.contains(name.as_str()))
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect()
    }

    /// The stages that the objectives, or else the tables, speak of.
    fn judging(&self) -> Vec<String> {
        let objectives = self.sweep.objective.0.iter();
        let stages: Vec<String> = objectives
            .map(|objective| objective.path().stage.clone())
            .collect();
        if stages.is_empty() {
            self.targets.clone()
        } else {
            stages
        }
    }

    /// How many trials may run at once, if the sweep leaves it open.
    pub fn parallel(&self, cpus: usize) -> usize {
        let learns =
            matches!(self.sweep.search, Search::Tpe(_) | Search::CmaEs(_)) || self.sweep.prune.is_some();
        match self.sweep.parallel {
            Some(parallel) => parallel.get() as usize,
            None if learns => 1,
            None => cpus,
        }
    }

    /// The place of the sweep's journal: one for each content of the stages that the objectives
    /// (or else the tables) speak of, whatever the file sweeps; and one for each space that the
    /// overrides ask for.
    ///
    /// # Errors
    /// A project file that is not there, or a store that fails.
    pub fn folder(&self, places: &FilePlaces, store: &Store) -> Result<PathBuf, AppError> {
        let mut plan = Plan::empty(&self.base.name, places, store, EarlierResults::default());
        let stages = self.judging();
        let nodes = plan
            .grow(&self.base, &stages, &StageId::shared)
            .map_err(|error| placed(&self.template, &self.base, error))?;
        let recipes: BTreeMap<&String, Digest> = stages
            .iter()
            .map(|name| (name, plan.node(nodes[name]).recipe))
            .collect();
        let asked = self.is_asked.then_some(&self.sweep.params);
        let digest = Digest::of_value("sweep", &(&self.base.name, recipes, asked));
        let name: String = self
            .base
            .name
            .chars()
            .filter(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'))
            .take(40)
            .collect();
        Ok(store
            .root()
            .join("sweeps")
            .join(format!("{name}-{}", digest.short())))
    }

    /// The stages that are the same in all trials.
    pub fn shared(&self) -> Vec<String> {
        let names = self.base.stages.keys();
        names
            .filter(|name| !self.varied.contains(*name) && !self.seeded.contains(*name))
            .cloned()
            .collect()
    }

    /// Adds the stages of a trial to `plan`.
    ///
    /// # Errors
    /// The values do not fit together, a project file is not there, or the store fails.
    fn grow(&self, plan: &mut Plan, trial: u32, values: &Values) -> Result<Replicates, AppError> {
        let mut replicates = Vec::new();
        for replicate in 0..self.sweep.replicates.get() {
            let seed = self.seed(replicate);
            let pipeline = self.template.trial(&self.overrides, values, seed)?;
            let name_of = |stage: &str| {
                if self.seeded.contains(stage) {
                    StageId::of_trial(stage, trial, Some(replicate + 1))
                } else if self.varied.contains(stage) {
                    StageId::of_trial(stage, trial, None)
                } else {
                    StageId::shared(stage)
                }
            };
            let grown = plan.grow(&pipeline, &self.targets, &name_of);
            replicates.push(grown.map_err(|error| placed(&self.template, &pipeline, error))?);
        }
        Ok(replicates)
    }

    /// As [`SweepSetting::grow`], but what is wrong with the trial alone is given as a sentence.
    ///
    /// # Errors
    /// The store fails.
    pub fn plan(
        &self,
        plan: &mut Plan,
        trial: u32,
        values: &Values,
    ) -> Result<Result<Replicates, String>, AppError> {
        match self.grow(plan, trial, values) {
            Ok(replicates) => Ok(Ok(replicates)),
            // Values that fit one by one, and not together.
            Err(AppError::Spec(error)) => Ok(Err(format!("its values do not fit together: {error}"))),
            Err(AppError::Plan { problem, place })
                if matches!(
                    *problem,
                    PlanError::Unreadable { .. }
                        | PlanError::UnknownRoot { .. }
                        | PlanError::NoSuchPath { .. }
                ) =>
            {
                let mistakes = place.map(|place| place.mistakes).unwrap_or_default();
                let help = mistakes.into_iter().find_map(|mistake| mistake.help);
                let help = help.map_or_else(String::new, |help| format!(" ({help})"));
                Ok(Err(format!("{problem}{help}")))
            }
            Err(error) => Err(error),
        }
    }

    /// The seed of a replicate, counted from 0.
    pub fn seed(&self, replicate: u32) -> u64 {
        self.base.seed.wrapping_add(u64::from(replicate))
    }

    /// Every parameter's value in a trial.
    pub fn parameters(&self, values: &Values) -> Values {
        let mut parameters = self.base.params.clone();
        for (name, value) in values {
            parameters.insert(name.clone(), value.clone());
        }
        parameters
    }

    /// The epochs of the judged training, if they are the same all over the space.
    fn max_epochs(&self) -> Option<u32> {
        let judged = self.judged.as_ref()?;
        let epochs = |pipeline: &Pipeline| pipeline.stages.get(&judged.stage)?.kind.epochs();
        let own = epochs(&self.base)?;
        let same = self.sweep.params.iter().all(|(name, parameter)| {
            parameter.domain.probes().into_iter().all(|value| {
                let values = Values::from([(name.clone(), value)]);
                let pipeline = self.template.trial(&self.overrides, &values, self.base.seed);
                pipeline.is_ok_and(|pipeline| epochs(&pipeline) == Some(own))
            })
        });
        same.then_some(own)
    }
}

/// The stages that `holds` is true of, and all that depend on them.
fn reached(pipeline: &Pipeline, holds: impl Fn(&StageSpec) -> bool) -> BTreeSet<String> {
    let mut reached: BTreeSet<String> = BTreeSet::new();
    loop {
        let more: Vec<String> = pipeline
            .stages
            .iter()
            .filter(|(name, stage)| {
                !reached.contains(*name)
                    && (holds(stage) || stage.upstream().iter().any(|name| reached.contains(name)))
            })
            .map(|(name, _)| name.clone())
            .collect();
        if more.is_empty() {
            return reached;
        }
        reached.extend(more);
    }
}
