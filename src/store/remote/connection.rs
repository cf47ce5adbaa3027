//! Requests to a remote, each with a limit of its time.

use std::fs::File;
use std::future::Future;
use std::io::{Read, Write};
use std::path::Path as FilePath;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use object_store::aws::AmazonS3Builder;
use object_store::http::HttpBuilder;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{
    BackoffConfig, ClientOptions, Error, ObjectStore, ObjectStoreExt, PutPayload, RetryConfig, WriteMultipart,
};
use tokio::runtime::Runtime;
use tokio::time::timeout;

use super::{RemoteOptions, Trouble};
use crate::store::error::{reading, writing};

/// How long to wait for a connection.
const CONNECT: Duration = Duration::from_secs(3);

/// How long an answer may take to begin, and each further part of it.
const ANSWER: Duration = Duration::from_secs(10);

/// What a sent file may take beside that: as much as at this many bytes a second.
const SLOWEST: u64 = 50_000;

/// Larger files are sent in parts, where the remote takes parts.
const IN_PARTS: u64 = 32 << 20;

/// The size of a part.
const PART: usize = 16 << 20;

/// Parts on their way at the same time.
const PARTS_AT_ONCE: usize = 4;

/// A remote's other end.
pub(super) struct Connection {
    objects: Arc<dyn ObjectStore>,
    prefix: Path,
    /// There until the connection is dropped.
    runtime: Option<Runtime>,
}

impl Drop for Connection {
    fn drop(&mut self) {
        // What is still on its way must not be waited for: it may be what drops this.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Connection {
    /// Prepares to ask a remote; asks nothing yet.
    ///
    /// # Errors
    /// The place or the surroundings cannot be right, in words.
    pub fn new(options: &RemoteOptions) -> Result<Self, String> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("remote")
            .enable_all()
            .build()
            .map_err(|error| format!("no threads can be started: {error}"))?;
        let retry = RetryConfig {
            backoff: BackoffConfig::default(),
            max_retries: 2,
            retry_timeout: ANSWER,
        };
        let client = ClientOptions::new()
            .with_connect_timeout(CONNECT)
            .with_read_timeout(ANSWER)
            .with_timeout_disabled()
            .with_allow_http(true);
        let url = options.url.as_str();
        let (objects, prefix): (Arc<dyn ObjectStore>, Path) = if let Some(place) = url.strip_prefix("s3://") {
            trust_ring();
            let (bucket, prefix) = place.split_once('/').unwrap_or((place, ""));
            let mut builder = AmazonS3Builder::from_env()
                .with_bucket_name(bucket)
                .with_client_options(client)
                .with_retry(retry);
            if let Some(endpoint) = &options.endpoint {
                builder = builder.with_endpoint(endpoint.trim_end_matches('/'));
            }
            if let Some(region) = &options.region {
                builder = builder.with_region(region);
            }
            let objects = builder.build().map_err(|error| words(&error))?;
            (Arc::new(objects), Path::from(prefix))
        } else if url.starts_with("http://") || url.starts_with("https://") {
            trust_ring();
            let builder = HttpBuilder::new()
                .with_url(url)
                .with_client_options(client)
                .with_retry(retry);
            (
                Arc::new(builder.build().map_err(|error| words(&error))?),
                Path::default(),
            )
        } else {
            std::fs::create_dir_all(url).map_err(|error| error.to_string())?;
            let objects = LocalFileSystem::new_with_prefix(url).map_err(|error| words(&error))?;
            (Arc::new(objects), Path::default())
        };
        Ok(Self {
            objects,
            prefix,
            runtime: Some(runtime),
        })
    }

    /// Waits for a request.
    pub fn wait<T>(&self, future: impl Future<Output = T>) -> T {
        match &self.runtime {
            Some(runtime) => runtime.block_on(future),
            None => unreachable!("the runtime is taken by the drop alone"),
        }
    }

    /// Lets a request go on by itself.
    pub fn begin(&self, future: impl Future<Output = ()> + Send + 'static) {
        if let Some(runtime) = &self.runtime {
            drop(runtime.spawn(future));
        }
    }

    fn path(&self, name: &str) -> Path {
        let name = Path::from(name);
        self.prefix.parts().chain(name.parts()).collect()
    }

    /// Whether it answers within so long, whatever it says.
    pub async fn greet(&self, limit: Duration) -> Result<(), String> {
        let path = self.path("format");
        patient(limit, self.objects.head(&path)).await.map(drop)
    }

    /// How large something is; nothing where it is not there.
    pub async fn size(&self, name: &str) -> Result<Option<u64>, String> {
        let path = self.path(name);
        Ok(patient(ANSWER, self.objects.head(&path))
            .await?
            .map(|meta| meta.size))
    }

    /// What is there, in memory: for what is small.
    pub async fn get(&self, name: &str) -> Result<Option<Vec<u8>>, String> {
        let path = self.path(name);
        let Some(found) = patient(ANSWER, self.objects.get(&path)).await? else {
            return Ok(None);
        };
        let mut bytes = Vec::new();
        let mut parts = found.into_stream();
        while let Some(part) = patient_for_part(parts.next()).await? {
            bytes.extend_from_slice(&part);
        }
        Ok(Some(bytes))
    }

    /// Writes what is there to a file; says whether it is there.
    pub async fn download(&self, name: &str, to: &FilePath) -> Result<bool, Trouble> {
        let path = self.path(name);
        let found = patient(ANSWER, self.objects.get(&path)).await;
        let Some(found) = found.map_err(Trouble::Remote)? else {
            return Ok(false);
        };
        let mut file = File::create(to).map_err(writing("write", to))?;
        let mut parts = found.into_stream();
        while let Some(part) = patient_for_part(parts.next()).await.map_err(Trouble::Remote)? {
            file.write_all(&part).map_err(writing("write", to))?;
        }
        Ok(true)
    }

    /// Puts bytes there.
    pub async fn put(&self, name: &str, bytes: Vec<u8>) -> Result<(), String> {
        let limit = ANSWER * 3 + Duration::from_secs(bytes.len() as u64 / SLOWEST);
        let path = self.path(name);
        let put = self.objects.put(&path, PutPayload::from(bytes));
        patient(limit, put)
            .await?
            .map(drop)
            .ok_or_else(|| "there is no such place".to_owned())
    }

    /// Puts a file of `size` bytes there.
    pub async fn upload(&self, name: &str, from: &FilePath, size: u64) -> Result<(), Trouble> {
        if size > IN_PARTS && self.upload_in_parts(name, from).await? {
            return Ok(());
        }
        let bytes = std::fs::read(from).map_err(reading("read", from))?;
        self.put(name, bytes).await.map_err(Trouble::Remote)
    }

    /// Puts a file there part by part; says whether the remote takes parts.
    async fn upload_in_parts(&self, name: &str, from: &FilePath) -> Result<bool, Trouble> {
        let path = self.path(name);
        let upload = match timeout(ANSWER, self.objects.put_multipart(&path)).await {
            Ok(Ok(upload)) => upload,
            Ok(Err(Error::NotImplemented { .. } | Error::NotSupported { .. })) => return Ok(false),
            Ok(Err(error)) => return Err(Trouble::Remote(words(&error))),
            Err(_) => return Err(Trouble::Remote(no_answer(ANSWER))),
        };
        let mut parts = WriteMultipart::new_with_chunk_size(upload, PART);
        let mut file = File::open(from).map_err(reading("read", from))?;
        let mut buffer = vec![0; PART];
        let limit = ANSWER * 3 + Duration::from_secs(PART as u64 / SLOWEST);
        loop {
            let count = file.read(&mut buffer).map_err(reading("read", from))?;
            if count == 0 {
                break;
            }
            let room = patient(limit, parts.wait_for_capacity(PARTS_AT_ONCE)).await;
            room.map_err(Trouble::Remote)?;
            parts.write(&buffer[..count]);
        }
        patient(limit * 4, parts.finish())
            .await
            .map_err(Trouble::Remote)?;
        Ok(true)
    }

    /// The names of everything below the folder `name`.
    pub async fn list(&self, name: &str) -> Result<Vec<String>, String> {
        let folder = self.path(name);
        let mut items = self.objects.list(Some(&folder));
        let mut names = Vec::new();
        while let Some(item) = patient_for_part(items.next()).await? {
            if let Some(name) = item.location.prefix_match(&self.prefix) {
                names.push(
                    name.map(|part| part.as_ref().to_owned())
                        .collect::<Vec<_>>()
                        .join("/"),
                );
            }
        }
        Ok(names)
    }
}

/// TLS by ring, as in the rest of the program.
fn trust_ring() {
    // Whoever comes first chooses, and all choose the same.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

/// Waits for an answer, but not for ever; nothing where there is no such thing.
async fn patient<T>(
    limit: Duration,
    request: impl Future<Output = object_store::Result<T>>,
) -> Result<Option<T>, String> {
    match timeout(limit, request).await {
        Ok(Ok(answer)) => Ok(Some(answer)),
        Ok(Err(Error::NotFound { .. })) => Ok(None),
        Ok(Err(error)) => Err(words(&error)),
        Err(_) => Err(no_answer(limit)),
    }
}

async fn patient_for_part<T>(
    part: impl Future<Output = Option<object_store::Result<T>>>,
) -> Result<Option<T>, String> {
    match timeout(ANSWER, part).await {
        Ok(None) => Ok(None),
        Ok(Some(part)) => part.map(Some).map_err(|error| words(&error)),
        Err(_) => Err(no_answer(ANSWER)),
    }
}

fn no_answer(limit: Duration) -> String {
    format!("it gave no answer within {} s", limit.as_secs())
}

/// The innermost cause of an error, which says what happened, and for what is denied also the outermost.
fn words(error: &Error) -> String {
    if let Error::PermissionDenied { .. } | Error::Unauthenticated { .. } = error {
        return "it denies access; credentials come from the variables AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and \
                AWS_SESSION_TOKEN"
            .to_owned();
    }
    let mut cause: &dyn std::error::Error = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    cause.to_string()
}
