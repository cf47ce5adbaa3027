//! Trained models behind HTTP.

use std::io::Write;
use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use super::error::AppError;
use super::model::{FoundModel, ModelDuty, ModelSource};
use crate::serve::{
    BearerToken, ModelLoading, ModelSupply, ModelVersion, OfferedModel, ServeError, ServedModel, ServingLog,
    ServingOptions, serve,
};
use crate::spec::NarrowWeights;
use crate::stages::{DeviceChoice, Registry};

/// How often it is looked for newer results.
const WATCH: Duration = Duration::from_secs(2);

/// Bytes of a model's name.
const MOST_NAME: usize = 64;

/// A model that is to be served.
#[derive(Clone, Debug)]
pub struct ServedSource {
    /// What clients call it.
    pub name: String,
    /// Where it is found.
    pub source: ModelSource,
}

impl ServedSource {
    /// Whether a model can be called so: letters, digits, `.`, `_` and `-`, which stand in addresses as they are.
    pub fn is_name(name: &str) -> bool {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
        // What browsers take for a folder, and the protocol for something else, is no name.
        let is_taken = matches!(name, "." | ".." | "stats");
        (1..=MOST_NAME).contains(&name.len()) && name.bytes().all(fits) && !is_taken
    }
}

/// What is to be served, and how.
#[derive(Clone)]
pub struct ServingRequest {
    /// The models.
    pub models: Vec<ServedSource>,
    /// The address to listen at, such as `127.0.0.1:8080`; port 0 takes a free one.
    pub bind: String,
    /// Rows that a model is asked about at once, or texts that it writes at once, at most.
    pub max_batch: usize,
    /// How long a request is kept waiting for others.
    pub max_delay: Duration,
    /// Requests that may wait for a model.
    pub queue: usize,
    /// Whether newer results of the pipelines take the place of what is served.
    pub watch: bool,
    /// What clients have to show.
    pub token: Option<BearerToken>,
    /// Where to compute.
    pub device: DeviceChoice,
    /// What the weights of models that go on with texts are rounded to.
    pub weights: Option<NarrowWeights>,
    /// How many threads to use.
    pub threads: usize,
}

/// A model that is served from now on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServedName {
    /// What clients call it.
    pub name: String,
    /// The version that answers.
    pub version: String,
    /// What was chosen on the way, where that was not said: a sentence.
    pub note: Option<String>,
}

/// Who follows a server, and what stops it.
pub struct ServingFollower<'a> {
    /// Hears where it listens, and what it serves, before the first request is answered.
    pub listening: &'a mut dyn FnMut(SocketAddr, &[ServedName]),
    /// Takes a line of JSON for each request and whatever else happens.
    pub log: Box<dyn Write + Send>,
    /// Ends it: what was begun is answered.
    pub stop: &'a AtomicBool,
}

/// Serves models until it is told to stop.
///
/// # Errors
/// A model is not found or cannot be asked, the address is taken, or the server breaks off.
pub fn serve_models(
    request: &ServingRequest,
    registry: &Registry,
    follower: ServingFollower<'_>,
) -> Result<(), AppError> {
    if !has_port(&request.bind) {
        return Err(AppError::Request(format!(
            "`--bind {}` names no port: write ADDRESS:PORT, such as 127.0.0.1:8080 or [::1]:8080",
            request.bind
        )));
    }
    let (mut offered, mut names) = (Vec::new(), Vec::<ServedName>::new());
    for model in &request.models {
        if names.iter().any(|known| known.name == model.name) {
            return Err(AppError::Request(format!(
                "two models are called `{}`: name them, as NAME=MODEL",
                model.name
            )));
        }
        if request.watch && matches!(model.source, ModelSource::Folder(_)) {
            return Err(AppError::Request(format!(
                "`--watch` follows the results of a pipeline, and `{}` is a folder: name the model as FILE.yaml:STAGE, or \
                 leave `--watch` out",
                model.name
            )));
        }
        let loader = ModelLoader {
            source: model.source.clone(),
            how: ModelLoading {
                device: request.device,
                weights: request.weights,
                texts: request.max_batch,
            },
            registry: registry.clone(),
        };
        let (version, note) = loader.load(loader.source.find(ModelDuty::Serve)?)?;
        names.push(ServedName {
            name: model.name.clone(),
            version: version.version.clone(),
            note,
        });
        offered.push(OfferedModel {
            name: model.name.clone(),
            version,
            supply: request.watch.then(|| Box::new(loader) as Box<dyn ModelSupply>),
        });
    }
    let listener =
        TcpListener::bind(&request.bind).map_err(AppError::io(format!("listening at {}", request.bind)))?;
    let address = listener
        .local_addr()
        .map_err(AppError::io("asking for the address"))?;
    let log = ServingLog::new(follower.log).map_err(AppError::io("starting a thread"))?;
    (follower.listening)(address, &names);
    let options = ServingOptions {
        max_batch: request.max_batch,
        max_delay: request.max_delay,
        queue: request.queue,
        threads: request.threads,
        token: request.token.clone(),
        watch: WATCH,
    };
    serve(listener, offered, options, log, follower.stop)
        .map_err(|error: ServeError| AppError::Stopped(error.to_string()))
}

/// Whether an address says its port, as `127.0.0.1:80` does and neither `::1` nor `localhost`.
fn has_port(address: &str) -> bool {
    let Some((host, port)) = address.rsplit_once(':') else {
        return false;
    };
    let is_whole = !host.contains(':') || (host.starts_with('[') && host.ends_with(']'));
    is_whole && !host.is_empty() && port.parse::<u16>().is_ok()
}

/// Loads the versions of a model.
struct ModelLoader {
    source: ModelSource,
    how: ModelLoading,
    registry: Registry,
}

impl ModelLoader {
    /// The model as it is now, and what was chosen on the way.
    fn load(&self, found: FoundModel) -> Result<(ModelVersion, Option<String>), AppError> {
        let digest = found.digest()?;
        let located = found.lay_out()?;
        let model = ServedModel::load(&located.folder, self.how, self.registry.training());
        let version = ModelVersion {
            model: model.map_err(|error| AppError::Stopped(located.told(&error)))?,
            version: digest.short(),
            fingerprint: digest.to_string(),
        };
        Ok((version, located.note))
    }

    fn newer(&self, fingerprint: &str) -> Result<Option<ModelVersion>, AppError> {
        let found = match self.source.find(ModelDuty::Serve) {
            Ok(found) => found,
            // The result is not there yet: what is served stays.
            Err(AppError::Stopped(_)) => return Ok(None),
            Err(error) => return Err(error),
        };
        if found.digest()?.to_string() == fingerprint {
            return Ok(None);
        }
        Ok(Some(self.load(found)?.0))
    }
}

impl ModelSupply for ModelLoader {
    fn newer_than(&mut self, fingerprint: &str) -> Result<Option<ModelVersion>, String> {
        // The pipeline is read on the thread that looks for newer results.
        let newer = self.registry.vocabulary().reading(|| self.newer(fingerprint));
        newer.map_err(|error| error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_name_a_port() {
        for address in ["127.0.0.1:0", "localhost:8080", "[::1]:80"] {
            assert!(has_port(address), "{address}");
        }
        for address in [
            "127.0.0.1",
            "::1",
            "localhost",
            "host:",
            "host:http",
            "1:2:3",
            ":80",
            "a:70000",
        ] {
            assert!(!has_port(address), "{address}");
        }
    }

    #[test]
    fn names_stand_in_addresses() {
        for name in ["digits", "a.b-C_9"] {
            assert!(ServedSource::is_name(name), "{name}");
        }
        let long = "a".repeat(65);
        for name in ["", ".", "..", "stats", "a/b", "a b", "ä", "a\"b", "a%20", &long] {
            assert!(!ServedSource::is_name(name), "{name}");
        }
    }
}
