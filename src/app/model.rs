//! The trained models of stages and trials, as folders.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::path::{Path, PathBuf};

use tempfile::TempDir;
use walkdir::{DirEntry, WalkDir};

use super::error::AppError;
use super::request::PipelineRequest;
use super::session::Session;
use super::sweep::known::{known_study, known_trials};
use super::sweep::setting::SweepSetting;
use crate::fingerprint::Digest;
use crate::plan::Decision;
use crate::prediction::model_folder;
use crate::report::{Results, Trial, TrialStatus, shown_trial};
use crate::spec::{Pipeline, Train, silence_of, suggest};

/// Where a trained model is found.
#[derive(Clone, Debug)]
pub enum ModelSource {
    /// In a folder, as `erlen get` copies it out of the store, or named by one of the files in it.
    Folder(PathBuf),
    /// The result of a stage.
    Stage {
        /// The pipeline and its parameters.
        pipeline: PipelineRequest,
        /// The stage; without a name, the only one that trains.
        stage: Option<String>,
        /// In a sweep, which trial's.
        trial: Option<TrialChoice>,
    },
}

/// Which trial of a sweep is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TrialChoice {
    /// The best by the sweep's objective.
    Best,
    /// The one of this number.
    Number(u32),
}

impl std::str::FromStr for TrialChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.parse() {
            _ if text == "best" => Ok(Self::Best),
            Ok(number) if number > 0 => Ok(Self::Number(number)),
            _ => Err("a trial is `best` or its number, from 1".to_owned()),
        }
    }
}

/// A model that can be read.
pub struct LocatedModel {
    /// The folder with its weights and its card.
    pub folder: PathBuf,
    /// What was chosen on the way, where that was not said: a sentence.
    pub note: Option<String>,
    /// The stage or the folder that it is of.
    called: String,
    /// Where a copy from the store lies as long as it is needed.
    _laid_out: Option<TempDir>,
}

impl LocatedModel {
    /// What went wrong with it, in words that call it as whoever asks does: where it lies for the time being says nothing
    /// to anybody.
    pub fn told(&self, error: &dyn Display) -> String {
        Self::told_by(std::slice::from_ref(self), error)
    }

    /// The same of several.
    pub fn told_by(models: &[Self], error: &dyn Display) -> String {
        let mut told = error.to_string();
        for model in models {
            if model._laid_out.is_some() {
                let (folder, name) = (model.folder.display().to_string(), &model.called);
                told = told.replace(&format!("in `{folder}`"), &format!("of the stage `{name}`"));
                told = told.replace(&folder, name);
            }
        }
        told
    }
}

/// What a model is wanted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ModelDuty {
    /// To tell something of new samples.
    Predict,
    /// The same, or to go on with texts.
    Serve,
}

/// A model that is known, and not at hand yet.
pub enum FoundModel {
    /// In a folder.
    Folder(PathBuf),
    /// In the store.
    Result(Box<FoundResult>),
}

/// The result of a stage that is known.
pub struct FoundResult {
    session: Session,
    stage: String,
    artifact: Digest,
    note: Option<String>,
}

impl FoundModel {
    /// The digest of what the model is made of: of a stage's result, or of the files in a folder.
    ///
    /// # Errors
    /// A file cannot be read.
    pub fn digest(&self) -> Result<Digest, AppError> {
        match self {
            Self::Result(result) => Ok(result.artifact),
            Self::Folder(folder) => digest_of(folder).map_err(AppError::io(format!(
                "reading the model in `{}`",
                folder.display()
            ))),
        }
    }

    /// Makes the model one that can be read.
    ///
    /// # Errors
    /// The store fails, or the stage's result is no model.
    pub fn lay_out(self) -> Result<LocatedModel, AppError> {
        match self {
            Self::Folder(folder) => Ok(LocatedModel {
                called: folder.display().to_string(),
                folder,
                note: None,
                _laid_out: None,
            }),
            Self::Result(result) => result.lay_out(),
        }
    }
}

impl ModelSource {
    /// Finds the model.
    ///
    /// # Errors
    /// There is no such folder, stage or trial; the stage trains nothing, or something else than is wanted, or its result is
    /// not known ([`AppError::Stopped`]).
    pub fn find(&self, duty: ModelDuty) -> Result<FoundModel, AppError> {
        match self {
            Self::Folder(path) => Ok(FoundModel::Folder(folder_of_model(path)?)),
            Self::Stage {
                pipeline,
                stage,
                trial: None,
            } => {
                let session = Session::open(pipeline)?;
                let stage = stage_of(&session.pipeline, stage.as_deref())?.to_owned();
                check_duty(&session.pipeline, &stage, duty)?;
                let artifact = known_result(&session, pipeline, &stage)?;
                Ok(FoundModel::Result(Box::new(FoundResult {
                    session,
                    stage,
                    artifact,
                    note: None,
                })))
            }
            Self::Stage {
                pipeline,
                stage,
                trial: Some(choice),
            } => {
                let setting = SweepSetting::load(&pipeline.file, &pipeline.overrides)?;
                let session = Session::with(setting.base.clone(), &pipeline.file, pipeline.store.as_deref())?;
                let stage = stage_of(&session.pipeline, stage.as_deref())?.to_owned();
                check_duty(&session.pipeline, &stage, duty)?;
                let (results, _) = known_trials(&setting, &session)?;
                let trial = chosen(*choice, &results, &setting, &session)?;
                let (artifact, note) = result_of(trial, &stage, &session)?;
                Ok(FoundModel::Result(Box::new(FoundResult {
                    session,
                    stage,
                    artifact,
                    note: Some(note),
                })))
            }
        }
    }

    /// Finds the model and makes it one that can be read.
    ///
    /// # Errors
    /// As for [`ModelSource::find`] and [`FoundModel::lay_out`].
    pub fn locate(&self, duty: ModelDuty) -> Result<LocatedModel, AppError> {
        self.find(duty)?.lay_out()
    }
}

/// The digest of the files in a model's folder, by their paths: at any depth, since the tokenizer may lie in a folder of
/// its own. What is hidden is no part of a model.
fn digest_of(folder: &Path) -> std::io::Result<Digest> {
    if folder.is_file() {
        return Digest::of_file(folder);
    }
    let mut files = BTreeMap::new();
    let is_shown =
        |entry: &DirEntry| entry.depth() == 0 || !entry.file_name().as_encoded_bytes().starts_with(b".");
    for entry in WalkDir::new(folder)
        .follow_links(true)
        .into_iter()
        .filter_entry(is_shown)
    {
        let entry = entry?;
        if entry.file_type().is_file() {
            let path = entry.path().strip_prefix(folder).unwrap_or(entry.path());
            files.insert(
                path.to_string_lossy().into_owned(),
                Digest::of_file(entry.path())?,
            );
        }
    }
    Ok(Digest::of_value("model folder", &files))
}

/// The folder with a model that `path` names.
fn folder_of_model(path: &Path) -> Result<PathBuf, AppError> {
    model_folder(path).ok_or_else(|| {
        AppError::Request(format!(
            "there is no model at `{}`: name a folder with model.json and model.safetensors, as `erlen get` leaves it, or a \
             stage as FILE.yaml:STAGE",
            path.display()
        ))
    })
}

/// Fails where the file tells that a stage's model is not what is wanted, trained or not.
fn check_duty(pipeline: &Pipeline, stage: &str, duty: ModelDuty) -> Result<(), AppError> {
    match silence_of(&pipeline.stages, stage, duty == ModelDuty::Serve) {
        None => Ok(()),
        Some((problem, help)) => Err(AppError::Request(format!("{problem}: {help}"))),
    }
}

/// The stage of this name, or the only one that trains.
fn stage_of<'a>(pipeline: &'a Pipeline, name: Option<&str>) -> Result<&'a str, AppError> {
    let stages = &pipeline.stages;
    if let Some(name) = name {
        return match stages.get_key_value(name) {
            Some((name, _)) => Ok(name),
            None => {
                let help = suggest(name, "stages", stages.keys().map(String::as_str));
                Err(AppError::Request(format!("there is no stage `{name}`; {help}")))
            }
        };
    }
    let trains = stages
        .iter()
        .filter(|(_, stage)| stage.kind.options::<Train>().is_some());
    let trains: Vec<&str> = trains.map(|(name, _)| name.as_str()).collect();
    match trains.as_slice() {
        [only] => Ok(only),
        [] => Err(AppError::Request(format!(
            "no stage of `{}` trains a model: name the stage that has one, as FILE.yaml:STAGE",
            pipeline.name
        ))),
        several => Err(AppError::Request(format!(
            "`{}` trains several models: name one of them, as FILE.yaml:STAGE: {}",
            pipeline.name,
            several.join(", ")
        ))),
    }
}

/// The artifact of a stage.
fn known_result(session: &Session, request: &PipelineRequest, stage: &str) -> Result<Digest, AppError> {
    let plan = session.plan(&request.for_stages(vec![stage.to_owned()]))?;
    match plan.find(stage).map(|node| &node.decision) {
        Some(Decision::Reuse(action)) => Ok(action.artifact),
        _ => {
            let overrides = request
                .overrides
                .iter()
                .map(|set| format!(" --set {}={}", set.name, set.value));
            let store = request
                .store
                .iter()
                .map(|store| format!(" --store {}", store.display()));
            Err(AppError::Stopped(format!(
                "the result of `{stage}` is not known yet: `erlen run {} {stage}{}` makes it",
                session.file().display(),
                overrides.chain(store).collect::<String>()
            )))
        }
    }
}

/// The trial that is meant.
fn chosen<'a>(
    choice: TrialChoice,
    results: &'a Results,
    setting: &SweepSetting,
    session: &Session,
) -> Result<&'a Trial, AppError> {
    let file = session.file().display();
    let numbered = |number: u32| results.trials.iter().find(|trial| trial.number == number);
    let number = match choice {
        TrialChoice::Number(number) => number,
        TrialChoice::Best => match results.objectives.len() {
            0 => {
                return Err(AppError::Request(format!(
                    "the sweep of `{file}` has no objective, so no trial is the best: name one by its number"
                )));
            }
            1 if results
                .trials
                .iter()
                .any(|trial| trial.status == TrialStatus::Done) =>
            {
                shown_trial(results).unwrap_or_default()
            }
            1 => {
                return Err(AppError::Stopped(format!(
                    "no trial of `{file}` has come to its end yet: `erlen sweep {file}` runs them"
                )));
            }
            _ => {
                let front = known_study(setting, session)?.study().best();
                let front: Vec<String> = front.iter().map(u32::to_string).collect();
                return Err(AppError::Request(format!(
                    "the sweep of `{file}` has several objectives: name one of the trials that no other beats in all of \
                     them: {}",
                    front.join(", ")
                )));
            }
        },
    };
    numbered(number).ok_or_else(|| {
        let known = results.trials.iter().map(|trial| trial.number).max();
        let known = match known {
            Some(last) => format!("the last one is {last}"),
            None => format!("none is known: `erlen sweep {file}` runs them"),
        };
        AppError::Request(format!("the sweep of `{file}` has no trial {number}: {known}"))
    })
}

/// The artifact of a trial's stage, and what was chosen.
fn result_of(trial: &Trial, stage: &str, session: &Session) -> Result<(Digest, String), AppError> {
    let number = trial.number;
    let known = trial
        .replicates
        .iter()
        .find_map(|replicate| Some((replicate, replicate.stages.get(stage)?)));
    let Some((replicate, result)) = known else {
        let why = match &trial.status {
            TrialStatus::Pruned { epoch } => format!("the trial was stopped after epoch {epoch}"),
            TrialStatus::Failed { error } => format!("the trial failed: {error}"),
            TrialStatus::Missing | TrialStatus::Done => {
                format!("`erlen sweep {}` makes it", session.file().display())
            }
        };
        return Err(AppError::Stopped(format!(
            "the result of `{stage}` of trial {number} is not known: {why}"
        )));
    };
    let seeds = match trial.replicates.len() {
        0 | 1 => String::new(),
        count => format!(", the first of {count} seeds ({})", replicate.seed),
    };
    Ok((result.artifact, format!("the model of trial {number}{seeds}")))
}

impl FoundResult {
    /// Lays the model out of the store.
    fn lay_out(self) -> Result<LocatedModel, AppError> {
        let Self {
            session,
            stage,
            artifact,
            note,
        } = self;
        // The store shares its bytes with what it lays out where it lies beside it.
        let around = tempfile::tempdir_in(&session.project.store)
            .or_else(|_| tempfile::tempdir())
            .map_err(AppError::io("making a folder"))?;
        let folder = around.path().join("model");
        session.store.materialise(&artifact, None, &folder)?;
        if !MODEL_CARDS.iter().any(|card| folder.join(card).is_file()) {
            let kind = session
                .pipeline
                .stages
                .get(&stage)
                .map_or("", |stage| stage.kind.name());
            return Err(AppError::Request(format!(
                "`{stage}` ({kind}) holds no model: name a stage of the kind `train` or `export`"
            )));
        }
        Ok(LocatedModel {
            called: stage,
            folder,
            note,
            _laid_out: Some(around),
        })
    }
}

/// The files of which one tells that a folder holds a model: Erlen's, or those of Hugging Face's programs.
const MODEL_CARDS: [&str; 2] = ["model.json", "config.json"];

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn another_tokenizer_makes_another_model() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let digest = || digest_of(folder.path()).unwrap();
        fs::create_dir(path("tokenizer")).unwrap();
        fs::write(path("model.json"), "{}").unwrap();
        fs::write(path("tokenizer/tokenizer.json"), "1").unwrap();
        let first = digest();
        fs::create_dir(path(".git")).unwrap();
        fs::write(path(".git/index"), "?").unwrap();
        assert_eq!(digest(), first);
        fs::write(path("tokenizer/tokenizer.json"), "2").unwrap();
        assert_ne!(digest(), first);
    }
}
