//! Newer versions of models, as the pipelines that they come from yield them.
//!
//! A stage whose gate fails yields none. What it yields takes the place of what answers once it has answered itself, and
//! only where it is asked and answers as before: clients go on without noticing.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::log::fields;
use super::served::{ModelSupply, ModelVersion, ServedModel};
use super::server::{HostedModel, Server};
use super::tensor::TensorInfo;
use crate::memory::settle;

/// How often it is looked whether the server ends.
const TICK: Duration = Duration::from_millis(100);

/// Looks for newer versions until the server ends, and has them answer. What cannot be loaded changes nothing.
pub(super) fn follow(server: &Server, mut supplies: Vec<(Arc<HostedModel>, Box<dyn ModelSupply>)>) {
    // Each problem is told once, and counted every time.
    let mut told: HashMap<String, String> = HashMap::new();
    let mut has_replaced = false;
    loop {
        let began = Instant::now();
        while began.elapsed() < server.options.watch {
            if server.is_draining() {
                return;
            }
            std::thread::sleep(TICK);
        }
        // By now the requests that the version before answered have gone.
        if std::mem::take(&mut has_replaced) {
            settle();
        }
        for (model, supply) in &mut supplies {
            match newer(&model.current(), supply.as_mut()) {
                Ok(None) => {
                    told.remove(&model.name);
                }
                Ok(Some(version)) => {
                    told.remove(&model.name);
                    let known = model.current().version.clone();
                    server.log.tell(
                        "model_reloaded",
                        fields! {
                            "model": model.name.as_str(),
                            "version": version.version.as_str(),
                            "fingerprint": version.fingerprint.as_str(),
                            "before": known,
                        },
                    );
                    model.replace(Arc::new(version));
                    has_replaced = true;
                    model.figures.reload(true);
                }
                Err(problem) => {
                    model.figures.reload(false);
                    if told.get(&model.name) != Some(&problem) {
                        server.log.tell(
                            "reload_failed",
                            fields! {"model": model.name.as_str(), "error": problem.as_str()},
                        );
                        told.insert(model.name.clone(), problem);
                    }
                }
            }
        }
    }
}

/// Another version than the one that answers, once it has shown that it does.
fn newer(known: &ModelVersion, supply: &mut dyn ModelSupply) -> Result<Option<ModelVersion>, String> {
    let Some(version) = supply.newer_than(&known.fingerprint)? else {
        return Ok(None);
    };
    let is_alike = matches!(
        (&known.model, &version.model),
        (ServedModel::Rows(_), ServedModel::Rows(_)) | (ServedModel::Writing(_), ServedModel::Writing(_))
    );
    if !is_alike {
        return Err(
            "the newer result is a model of another kind: start the server again to serve it".to_owned(),
        );
    }
    let (before, after) = (known.model.interface(), version.model.interface());
    let change = change("takes", before.inputs(), after.inputs())
        .or_else(|| change("gives", before.outputs(), after.outputs()));
    if let Some(change) = change {
        return Err(format!(
            "the newer result {change}, which clients do not know: start the server again to serve it"
        ));
    }
    version.check()?;
    Ok(Some(version))
}

/// What is another tensor `after` than `before`, if anything is: what is said of them may differ.
fn change(does: &str, before: &[TensorInfo], after: &[TensorInfo]) -> Option<String> {
    let names = |tensors: &[TensorInfo]| {
        let names: Vec<&str> = tensors.iter().map(|info| info.name.as_str()).collect();
        format!("`{}`", names.join("`, `"))
    };
    let is_named = |(one, other): (&TensorInfo, &TensorInfo)| one.name == other.name;
    if before.len() != after.len() || !before.iter().zip(after).all(is_named) {
        return Some(format!("{does} {} instead of {}", names(after), names(before)));
    }
    before.iter().zip(after).find_map(|(before, after)| {
        let name = &after.name;
        if (before.datatype, before.shape()) != (after.datatype, after.shape()) {
            return Some(format!(
                "{does} `{name}` as {} {:?} instead of {} {:?}",
                after.datatype,
                after.shape(),
                before.datatype,
                before.shape()
            ));
        }
        (before.labels != after.labels)
            .then(|| format!("{does} `{name}` of other classes or in another order"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::ReadText;
    use crate::serve::served::{ModelInterface, Served, ServedRows};
    use crate::serve::tensor::{Datatype, InputTensor, TensorValues};
    use crate::serve::testing::EchoModel;

    /// Gives a version once.
    struct OneVersion(Option<ModelVersion>);

    impl ModelSupply for OneVersion {
        fn newer_than(&mut self, _: &str) -> Result<Option<ModelVersion>, String> {
            Ok(self.0.take())
        }
    }

    fn version(model: impl Served + 'static) -> ModelVersion {
        ModelVersion {
            model: ServedModel::Rows(Box::new(model)),
            version: "b".to_owned(),
            fingerprint: "b".to_owned(),
        }
    }

    fn reloaded(model: impl Served + 'static) -> Result<(), String> {
        let mut supply = OneVersion(Some(version(model)));
        let newer = newer(&version(EchoModel::new()), &mut supply)?;
        assert!(newer.is_some());
        Ok(())
    }

    /// An [`EchoModel`] with other outputs, which are not finite where a number of a row is `bad`.
    struct OtherModel {
        echo: EchoModel,
        outputs: Vec<TensorInfo>,
        bad: f32,
    }

    impl OtherModel {
        fn new(labels: [&str; 2], bad: f32) -> Self {
            Self {
                echo: EchoModel::new(),
                outputs: vec![TensorInfo {
                    labels: labels.map(str::to_owned).to_vec(),
                    ..TensorInfo::new("outputs", Datatype::Fp32, vec![2], "other words")
                }],
                bad,
            }
        }
    }

    impl ModelInterface for OtherModel {
        fn inputs(&self) -> &[TensorInfo] {
            self.echo.inputs()
        }

        fn takes_one_of(&self) -> bool {
            false
        }

        fn outputs(&self) -> &[TensorInfo] {
            &self.outputs
        }

        fn row_bytes(&self) -> usize {
            self.echo.row_bytes()
        }
    }

    impl Served for OtherModel {
        fn rows(&self, inputs: Vec<InputTensor>, rows: usize) -> Result<ServedRows, String> {
            self.echo.rows(inputs, rows)
        }

        fn trials(&self) -> ServedRows {
            self.echo.trials()
        }

        fn answer(&self, rows: ServedRows) -> Result<Vec<Vec<f32>>, String> {
            let ServedRows::Numbers { values, .. } = &rows else {
                return Err("no numbers".to_owned());
            };
            let bad: Vec<bool> = values.chunks(2).map(|row| row.contains(&self.bad)).collect();
            let mut outputs = self.echo.answer(rows)?;
            for (row, _) in outputs.iter_mut().zip(bad).filter(|(_, is_bad)| *is_bad) {
                row[1] = f32::NAN;
            }
            Ok(outputs)
        }

        fn tensor(&self, index: usize, outputs: &[Vec<f32>], texts: &[Arc<ReadText>]) -> TensorValues {
            self.echo.tensor(index, outputs, texts)
        }
    }

    #[test]
    fn a_newer_version_is_asked_and_answers_as_before() {
        assert_eq!(reloaded(EchoModel::new()), Ok(()));
        // What is said of outputs is no part of what clients rely on.
        assert_eq!(reloaded(OtherModel::new(["sum", "difference"], 9.0)), Ok(()));
        assert_eq!(
            reloaded(OtherModel::new(["difference", "sum"], 9.0)).unwrap_err(),
            "the newer result gives `outputs` of other classes or in another order, which clients do not know: start the \
             server again to serve it"
        );
        let of = |name: &str, row: Vec<usize>| {
            EchoModel::of(vec![TensorInfo::new(name, Datatype::Fp32, row, "")], false)
        };
        let told = reloaded(of("input", vec![3])).unwrap_err();
        assert!(
            told.contains("takes `input` as FP32 [-1, 3] instead of FP32 [-1, 2]"),
            "{told}"
        );
        let told = reloaded(of("size", vec![2])).unwrap_err();
        assert!(told.contains("takes `size` instead of `input`"), "{told}");
    }

    #[test]
    fn a_newer_version_gives_sound_answers() {
        // Of zeros, of ones, and of what is usual.
        for bad in [0.0, 1.0, -2.0] {
            let told = reloaded(OtherModel::new(["sum", "difference"], bad)).unwrap_err();
            assert!(told.contains("are not finite"), "{bad}: {told}");
        }
    }
}
