//! From a request's body to its answer.

use std::sync::Arc;
use std::time::Instant;

use hyper::body::Incoming;
use hyper::header::{self, HeaderValue};
use hyper::{HeaderMap, StatusCode};
use tokio::sync::oneshot;
use tokio::task::spawn_blocking;
use tokio::time::timeout_at;

use super::access::AccessRecord;
use super::body::{BodyPacking, HeldBody, read_body};
use super::queue::{AnsweredRows, WaitingRows};
use super::refused::Refused;
use super::routes::{Answer, JSON_LENGTH, text_answer};
use super::served::{ModelVersion, ServedModel, ServedRows};
use super::server::{HostedModel, Server};
use super::tensor::TensorValues;
use super::wire::{InferenceRequest, Reply, encoded, read_image_request, read_request};
use super::writing::written_texts;
use crate::data::ReadText;

/// Bodies of more bytes are read on a thread of their own.
const QUICK: usize = 64 << 10;

/// Texts of more bytes become rows there too.
const QUICK_TEXTS: usize = 4 << 10;

/// Answers the request that `body` is.
///
/// # Errors
/// It is wrong, too large, too slow or too late, there is too much to do, or the model fails.
pub(super) async fn infer(
    server: &Server,
    model: &Arc<HostedModel>,
    version: Arc<ModelVersion>,
    headers: &HeaderMap,
    body: &mut Incoming,
    record: &mut AccessRecord,
) -> Result<Answer, Refused> {
    let arrived = Instant::now();
    record.model = Some(model.name.clone());
    record.version = Some(version.version.clone());
    let reading = BodyReading {
        packing: BodyPacking::of(headers)?,
        json: json_length(headers)?,
        is_image: is_image(headers),
        most_bytes: server.most_body(&version),
        most_rows: server.most_rows(&version),
    };
    let held = read_body(body, reading.most_bytes, &server.budget).await?;
    record.bytes_in = held.bytes.len();
    let ReadRequest { request, rows } = reading.read(held, &version).await?;
    record.id.clone_from(&request.id);
    record.rows = request.rows;
    let deadline = request.timeout.and_then(|timeout| arrived.checked_add(timeout));
    if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
        return Err(Refused::expired());
    }
    let asked = async {
        Ok(match (rows, &version.model) {
            (Some(rows), ServedModel::Rows(_)) => {
                let texts = rows.texts().to_vec();
                let answer = told(rows, model, &version, deadline).await?;
                (answer, TellingTexts::Read(texts))
            }
            _ => {
                let (texts, answer) = written_texts(&request, model, &version, deadline).await?;
                (answer, TellingTexts::Written(texts))
            }
        })
    };
    let (answer, texts) = match deadline {
        None => asked.await,
        Some(deadline) => timeout_at(deadline.into(), asked)
            .await
            .unwrap_or_else(|_| Err(Refused::expired())),
    }?;
    let tensor = |index: usize| match (&texts, &version.model) {
        (TellingTexts::Read(texts), ServedModel::Rows(model)) => model.tensor(index, &answer.outputs, texts),
        (TellingTexts::Written(texts), _) => {
            TensorValues::Strings(texts.iter().map(|text| text.as_bytes().to_vec()).collect())
        }
        (TellingTexts::Read(_), ServedModel::Writing(_)) => TensorValues::Strings(Vec::new()),
    };
    record.texts_cut = match &texts {
        TellingTexts::Read(texts) => texts.iter().filter(|text| text.is_cut).count(),
        TellingTexts::Written(_) => 0,
    };
    let reply = Reply {
        texts_cut: record.texts_cut,
        name: &model.name,
        version: &version.version,
        id: request.id.as_deref(),
        rows: request.rows,
        outputs: version.model.interface().outputs(),
        tensor: &tensor,
        wanted: &request.outputs,
    };
    let (bytes, json) = encoded(&reply)
        .map_err(|problem| Refused::bad(format!("the answer cannot be written: {problem}")))?;
    model
        .figures
        .answered(request.rows, answer.queued, answer.computed);
    record.answered = Some(answer);
    Ok(match json {
        None => text_answer("application/json", bytes),
        Some(length) => {
            let mut answer = text_answer("application/octet-stream", bytes);
            answer
                .headers_mut()
                .insert(JSON_LENGTH, HeaderValue::from(length));
            answer
        }
    })
}

/// The texts by which an answer is told.
enum TellingTexts {
    /// Those that were asked about, as tokens.
    Read(Vec<Arc<ReadText>>),
    /// Those that were written.
    Written(Vec<String>),
}

/// What the model says of rows.
async fn told(
    rows: ServedRows,
    model: &HostedModel,
    version: &Arc<ModelVersion>,
    deadline: Option<Instant>,
) -> Result<AnsweredRows, Refused> {
    let (reply, answer) = oneshot::channel();
    model.queue.push(WaitingRows {
        version: Arc::clone(version),
        rows,
        since: Instant::now(),
        deadline,
        reply,
    })?;
    let broke_off = |_| Refused::new(StatusCode::INTERNAL_SERVER_ERROR, "the request was not answered");
    answer.await.map_err(broke_off)?
}

/// How a body is to be read.
#[derive(Clone, Copy)]
struct BodyReading {
    packing: BodyPacking,
    /// Bytes of JSON before binary tensors.
    json: Option<usize>,
    is_image: bool,
    most_bytes: usize,
    most_rows: usize,
}

/// A request with its rows.
struct ReadRequest {
    request: InferenceRequest,
    /// Nothing where the texts are to be gone on with.
    rows: Option<ServedRows>,
}

impl BodyReading {
    /// Reads a body, on this thread where that is quick.
    async fn read(self, held: HeldBody, version: &Arc<ModelVersion>) -> Result<ReadRequest, Refused> {
        let is_quick = held.bytes.len() <= QUICK && self.packing == BodyPacking::Plain && !self.is_image;
        let request = match is_quick {
            true => Some(self.request(&held.bytes, version)?),
            false => None,
        };
        // Files are decoded elsewhere, however small they are, and texts of more than a few lines.
        let decodes = |request: &InferenceRequest| {
            let strings = request.inputs.iter().filter_map(|input| match &input.values {
                TensorValues::Strings(strings) => Some(strings.iter().map(Vec::len).sum::<usize>()),
                _ => None,
            });
            let bytes: Vec<usize> = strings.collect();
            match version.model.interface().takes_one_of() {
                true => !bytes.is_empty(),
                false => bytes.iter().sum::<usize>() > QUICK_TEXTS,
            }
        };
        match request {
            Some(request) if !decodes(&request) => rows_of(request, version),
            request => {
                let version = Arc::clone(version);
                let work = move || match request {
                    Some(request) => rows_of(request, &version),
                    None => {
                        let held = held.unpacked(self.packing, self.most_bytes)?;
                        rows_of(self.request(&held.bytes, &version)?, &version)
                    }
                };
                let read = spawn_blocking(work).await;
                read.unwrap_or_else(|_| {
                    let problem = "reading the request broke off";
                    Err(Refused::new(StatusCode::INTERNAL_SERVER_ERROR, problem))
                })
            }
        }
    }

    fn request(self, bytes: &[u8], version: &ModelVersion) -> Result<InferenceRequest, Refused> {
        let model = version.model.interface();
        match self.is_image {
            true => read_image_request(bytes.to_vec(), model),
            false => read_request(bytes, self.json, model, self.most_rows),
        }
    }
}

fn rows_of(mut request: InferenceRequest, version: &ModelVersion) -> Result<ReadRequest, Refused> {
    let ServedModel::Rows(model) = &version.model else {
        return Ok(ReadRequest { request, rows: None });
    };
    let inputs = std::mem::take(&mut request.inputs);
    let rows = model.rows(inputs, request.rows).map_err(Refused::bad)?;
    Ok(ReadRequest {
        request,
        rows: Some(rows),
    })
}

/// The length of the JSON before binary tensors.
fn json_length(headers: &HeaderMap) -> Result<Option<usize>, Refused> {
    let Some(value) = headers.get(JSON_LENGTH) else {
        return Ok(None);
    };
    let length = value.to_str().ok().and_then(|text| text.trim().parse().ok());
    match length {
        Some(length) => Ok(Some(length)),
        None => Err(Refused::bad(
            "Inference-Header-Content-Length is no number of bytes",
        )),
    }
}

/// Whether a body is an image file and nothing else.
fn is_image(headers: &HeaderMap) -> bool {
    let content = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    content.is_some_and(|content| content.trim_start().to_ascii_lowercase().starts_with("image/"))
}
