//! Newer versions of models, as the pipelines that they come from yield them.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::log::fields;
use super::served::{ModelSupply, ModelVersion, ServedModel};
use super::server::{HostedModel, Server};

/// How often it is looked whether the server ends.
const TICK: Duration = Duration::from_millis(100);

/// Looks for newer versions until the server ends, and has them answer. What cannot be loaded changes nothing.
pub(super) fn follow(server: &Server, mut supplies: Vec<(Arc<HostedModel>, Box<dyn ModelSupply>)>) {
    // Each problem is told once, and counted every time.
    let mut told: HashMap<String, String> = HashMap::new();
    loop {
        let began = Instant::now();
        while began.elapsed() < server.options.watch {
            if server.is_draining() {
                return;
            }
            std::thread::sleep(TICK);
        }
        for (model, supply) in &mut supplies {
            match newer(model, supply.as_mut()) {
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
fn newer(model: &HostedModel, supply: &mut dyn ModelSupply) -> Result<Option<ModelVersion>, String> {
    let known = model.current();
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
    version.check()?;
    Ok(Some(version))
}
