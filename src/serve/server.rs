//! The server: its threads, from the first request to the last answer.

use std::net::TcpListener;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use indexmap::IndexMap;
use thiserror::Error;
use tokio::task::LocalSet;
use tokio::time::timeout;

use super::body::BodyBudget;
use super::connection::serve_connection;
use super::figures::{ModelFigures, ModelMoment, Moment, RequestCounts};
use super::log::{ServingLog, fields};
use super::queue::{BatchLimits, QueueLimits, RowQueue};
use super::reload::follow;
use super::served::{ModelSupply, ModelVersion, ServedModel};
use super::tensor::Datatype;
use super::token::BearerToken;
use super::worker::work;
use super::writing::{TextQueue, write_texts};
use crate::train::on_threads;

/// Connections at once; others wait to be taken in.
const MOST_CONNECTIONS: usize = 512;
/// Bytes of all bodies at once.
const BODY_BYTES: usize = 128 << 20;
/// Bytes of rows that wait for a model, but for a single request.
const QUEUE_BYTES: usize = 256 << 20;
/// Bytes of a body of image files, at least.
const IMAGE_BYTES: usize = 32 << 20;
/// Bytes that a body may have beside its tensors.
const HEADER_BYTES: usize = 64 << 10;
/// Bytes that a number takes as text, at most.
const NUMBER_BYTES: usize = 24;
/// Batches that a single request may be divided into.
const PIECES: usize = 32;
/// How long connections that have been made already are looked for once the end has begun.
const BACKLOG: Duration = Duration::from_millis(100);
/// How long requests on their way are waited for once the end has begun.
const GRACE: Duration = Duration::from_secs(1);
/// How long answers may take once the end has begun.
const DRAIN: Duration = Duration::from_secs(30);
/// How often it is looked whether the end has begun.
const TICK: Duration = Duration::from_millis(50);

/// Why a server did not run to a good end.
#[derive(Debug, Error)]
pub enum ServeError {
    /// Threads, sockets.
    #[error("the server cannot run: {0}")]
    Io(#[from] std::io::Error),
    /// The threads that compute cannot be started.
    #[error("{0}")]
    Threads(String),
    /// A version gives no sound answer.
    #[error("the model `{name}` cannot be served: {problem}")]
    Unsound {
        /// The model's name.
        name: String,
        /// What is wrong with it.
        problem: String,
    },
}

/// How models are served.
#[derive(Clone)]
pub struct ServingOptions {
    /// Rows that a model is asked about at once, at most.
    pub max_batch: usize,
    /// How long a request is kept waiting for others; without it, a model takes what waits whenever it is free.
    pub max_delay: Duration,
    /// Requests that may wait for a model.
    pub queue: usize,
    /// Threads that compute, for each model.
    pub threads: usize,
    /// What clients have to show.
    pub token: Option<BearerToken>,
    /// How often it is looked for newer versions.
    pub watch: Duration,
}

/// A model that is offered under a name.
pub struct OfferedModel {
    /// The name: letters, digits, `.`, `_` and `-`.
    pub name: String,
    /// What answers at first.
    pub version: ModelVersion,
    /// Where newer versions come from.
    pub supply: Option<Box<dyn ModelSupply>>,
}

/// A model while it is served.
pub(super) struct HostedModel {
    pub name: String,
    current: RwLock<Arc<ModelVersion>>,
    pub queue: RowQueue,
    /// The texts that are to be written, where it does that.
    pub texts: TextQueue,
    pub figures: ModelFigures,
    /// When it was first served, in seconds since 1970.
    pub since: i64,
}

impl HostedModel {
    /// The version that answers now.
    pub fn current(&self) -> Arc<ModelVersion> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Has another version answer from now on.
    pub fn replace(&self, version: Arc<ModelVersion>) {
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = version;
    }
}

/// What all threads share.
pub(super) struct Server {
    pub models: IndexMap<String, Arc<HostedModel>>,
    pub options: ServingOptions,
    pub requests: RequestCounts,
    pub log: ServingLog,
    pub budget: Arc<BodyBudget>,
    connections: AtomicUsize,
    /// Whether nothing new is taken on.
    draining: AtomicBool,
    /// Whether connections without a request are closed.
    ending: AtomicBool,
    failure: Mutex<Option<String>>,
}

impl Server {
    /// Whether nothing new is taken on.
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    /// Whether connections without a request are closed: at the end, and where others wait for their place.
    pub fn closes_idle(&self) -> bool {
        self.ending.load(Ordering::Relaxed) || self.connections.load(Ordering::Relaxed) >= MOST_CONNECTIONS
    }

    /// Bytes that a body for `version` may have.
    pub fn most_body(&self, version: &ModelVersion) -> usize {
        let (model, batch) = (version.model.interface(), self.options.max_batch);
        let input_bytes = model.inputs().iter().map(|info| match info.datatype {
            Datatype::Bytes => model.text_bytes(),
            _ => info.row_values().saturating_mul(NUMBER_BYTES),
        });
        let row = match model.takes_one_of() {
            true => input_bytes.max().unwrap_or(0),
            false => input_bytes.fold(0, usize::saturating_add),
        };
        let takes_files =
            model.takes_one_of() && model.inputs().iter().any(|info| info.datatype == Datatype::Bytes);
        let least = if takes_files { IMAGE_BYTES } else { 0 };
        let rows = row.saturating_mul(batch).max(least);
        rows.saturating_add(HEADER_BYTES).min(BODY_BYTES)
    }

    /// Rows that a request for `version` may have.
    pub fn most_rows(&self, version: &ModelVersion) -> usize {
        let row = version.model.interface().row_bytes().max(1);
        let batch = self.options.max_batch;
        let most = batch.saturating_mul(PIECES).min(QUEUE_BYTES / row);
        most.max(batch)
    }

    /// What is known at this moment.
    pub fn moment(&self) -> Moment<'_> {
        let models = self.models.iter().map(|(name, model)| {
            let version = model.current();
            let moment = ModelMoment {
                version: version.version.clone(),
                fingerprint: version.fingerprint.clone(),
                queue: match &version.model {
                    ServedModel::Rows(_) => model.queue.length(),
                    ServedModel::Writing(_) => model.texts.length(),
                },
                counts: model.figures.snapshot(),
            };
            (name.clone(), moment)
        });
        Moment {
            requests: &self.requests,
            models: models.collect(),
            connections: self.connections.load(Ordering::Relaxed),
            log_lines_lost: self.log.lost(),
            is_ready: !self.is_draining(),
        }
    }
}

/// Answers requests to `listener` about `models` until `stop` becomes true: then nothing new is taken on, what waits is
/// answered, for 30 seconds at most, and the log is written to its end.
///
/// # Errors
/// Threads cannot be started, the listener fails, or a model gives no sound answer at the beginning.
pub fn serve(
    listener: TcpListener,
    models: Vec<OfferedModel>,
    options: ServingOptions,
    log: ServingLog,
    stop: &AtomicBool,
) -> Result<(), ServeError> {
    let (mut hosted, mut supplies) = (IndexMap::new(), Vec::new());
    let limits = QueueLimits {
        requests: options.queue,
        bytes: QUEUE_BYTES,
    };
    for OfferedModel {
        name,
        version,
        supply,
    } in models
    {
        version.check().map_err(|problem| ServeError::Unsound {
            name: name.clone(),
            problem,
        })?;
        let model = Arc::new(HostedModel {
            name: name.clone(),
            current: RwLock::new(Arc::new(version)),
            queue: RowQueue::new(limits),
            texts: TextQueue::new(options.queue),
            since: jiff::Timestamp::now().as_second(),
            figures: ModelFigures::new(),
        });
        supplies.extend(supply.map(|supply| (Arc::clone(&model), supply)));
        hosted.insert(name, model);
    }
    let server = Arc::new(Server {
        models: hosted,
        options,
        requests: RequestCounts::default(),
        log,
        budget: BodyBudget::new(BODY_BYTES),
        connections: AtomicUsize::new(0),
        draining: AtomicBool::new(false),
        ending: AtomicBool::new(false),
        failure: Mutex::new(None),
    });
    let ended = run(&server, listener, supplies, stop);
    server.log.finish();
    ended
}

fn run(
    server: &Arc<Server>,
    listener: TcpListener,
    supplies: Vec<(Arc<HostedModel>, Box<dyn ModelSupply>)>,
    stop: &AtomicBool,
) -> Result<(), ServeError> {
    listener.set_nonblocking(true)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .max_blocking_threads(server.options.threads.clamp(1, 4))
        .thread_name("serve-decode")
        .build()?;
    for (name, model) in &server.models {
        let version = model.current();
        server.log.tell(
            "model_loaded",
            fields! {
                "model": name.as_str(),
                "version": version.version.as_str(),
                "fingerprint": version.fingerprint.as_str(),
            },
        );
    }
    let served = std::thread::scope(|scope| {
        for model in server.models.values() {
            let worker = || work_for(server, model);
            let started = std::thread::Builder::new()
                .name("serve-model".to_owned())
                .spawn_scoped(scope, worker);
            if let Err(error) = started {
                close(server);
                return Err(error.into());
            }
        }
        if !supplies.is_empty() {
            let watcher = || follow(server, supplies);
            let started = std::thread::Builder::new()
                .name("serve-watch".to_owned())
                .spawn_scoped(scope, watcher);
            if let Err(error) = started {
                close(server);
                return Err(error.into());
            }
        }
        let served = LocalSet::new().block_on(&runtime, accept(server, listener, stop));
        close(server);
        served
    });
    runtime.shutdown_background();
    served?;
    let failure = server
        .failure
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .take();
    failure.map_or(Ok(()), |problem| Err(ServeError::Threads(problem)))
}

/// Has the threads end once all that waits is answered.
fn close(server: &Server) {
    server.draining.store(true, Ordering::Relaxed);
    server.ending.store(true, Ordering::Relaxed);
    for model in server.models.values() {
        model.queue.close();
        model.texts.close();
    }
}

/// Answers what waits for a model.
fn work_for(server: &Server, model: &HostedModel) {
    let limits = BatchLimits {
        rows: server.options.max_batch.max(1),
        delay: server.options.max_delay,
    };
    let writes = matches!(model.current().model, ServedModel::Writing(_));
    let worked = on_threads(server.options.threads, || {
        match writes {
            true => write_texts(&model.texts, limits.rows, &model.figures),
            false => work(&model.queue, limits, &model.figures),
        }
        Ok(())
    });
    if let Err(error) = worked {
        model.queue.close();
        model.texts.close();
        let mut failure = server.failure.lock().unwrap_or_else(PoisonError::into_inner);
        failure.get_or_insert_with(|| error.to_string());
    }
}

/// Takes connections until the end begins, and sees them to theirs.
async fn accept(server: &Arc<Server>, listener: TcpListener, stop: &AtomicBool) -> Result<(), ServeError> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let has_failed = || {
        let failure = server.failure.lock();
        failure.unwrap_or_else(PoisonError::into_inner).is_some()
    };
    while !stop.load(Ordering::Relaxed) && !has_failed() {
        if server.connections.load(Ordering::Relaxed) >= MOST_CONNECTIONS {
            tokio::time::sleep(TICK).await;
            continue;
        }
        match timeout(TICK, listener.accept()).await {
            Err(_) => {}
            Ok(Ok((stream, client))) => take_on(server, stream, client),
            // Of one connection, or of too many open files: the next one may be fine.
            Ok(Err(error)) => {
                server
                    .log
                    .tell("accept_failed", fields! {"error": error.to_string()});
                tokio::time::sleep(TICK).await;
            }
        }
    }
    server.draining.store(true, Ordering::Relaxed);
    server.log.tell(
        "draining",
        fields! {"connections": server.connections.load(Ordering::Relaxed)},
    );
    for model in server.models.values() {
        model.queue.hurry();
    }
    // What has been taken in by the system is answered too.
    let began = Instant::now();
    while began.elapsed() < BACKLOG
        && let Ok(Ok((stream, client))) = timeout(BACKLOG / 10, listener.accept()).await
    {
        take_on(server, stream, client);
    }
    drop(listener);
    let began = Instant::now();
    while server.connections.load(Ordering::Relaxed) > 0 && began.elapsed() < DRAIN {
        if began.elapsed() >= GRACE {
            server.ending.store(true, Ordering::Relaxed);
        }
        tokio::time::sleep(TICK / 5).await;
    }
    let left = server.connections.load(Ordering::Relaxed);
    server.log.tell("stopped", fields! {"connections_cut": left});
    Ok(())
}

/// Serves a connection beside the others.
fn take_on(server: &Arc<Server>, stream: tokio::net::TcpStream, client: std::net::SocketAddr) {
    struct Counted(Arc<Server>);

    impl Drop for Counted {
        fn drop(&mut self) {
            self.0.connections.fetch_sub(1, Ordering::Relaxed);
        }
    }

    server.connections.fetch_add(1, Ordering::Relaxed);
    let counted = Counted(Arc::clone(server));
    tokio::task::spawn_local(async move {
        serve_connection(Arc::clone(&counted.0), stream, client).await;
        drop(counted);
    });
}
