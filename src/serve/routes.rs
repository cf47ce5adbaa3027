//! Which request is answered how.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http_body_util::Full;
use hyper::body::{Body, Bytes, Frame, Incoming, SizeHint};
use hyper::header::{self, HeaderName, HeaderValue};
use hyper::{HeaderMap, Method, Request, Response, StatusCode};
use serde_json::{Value, json};

use super::access::AccessRecord;
use super::body::discard;
use super::figures::ModelCounts;
use super::infer::infer;
use super::page;
use super::refused::Refused;
use super::served::ModelVersion;
use super::server::{HostedModel, Server};
use super::tensor::TensorInfo;
use super::writing::{EventBody, WritingForm, error_value, list_models, shown_model, write};

pub(super) type Answer = Response<AnswerBody>;

/// What is answered.
pub(super) enum AnswerBody {
    Whole(Full<Bytes>),
    /// Event by event, as it is written.
    Events(Box<EventBody>),
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match self.get_mut() {
            Self::Whole(body) => Pin::new(body).poll_frame(context),
            Self::Events(body) => Pin::new(body.as_mut()).poll_frame(context),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(body) => body.is_end_stream(),
            Self::Events(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(body) => body.size_hint(),
            Self::Events(body) => body.size_hint(),
        }
    }
}

/// The parts of the protocol beyond its core that are spoken.
const EXTENSIONS: [&str; 4] = [
    "binary_tensor_data",
    "classification",
    "model_repository",
    "statistics",
];

/// Where the length of the JSON before binary tensors stands.
pub(super) const JSON_LENGTH: HeaderName = HeaderName::from_static("inference-header-content-length");

/// Answers a request, whatever it is.
pub(super) async fn respond(server: Arc<Server>, client: SocketAddr, request: Request<Incoming>) -> Answer {
    let (parts, mut body) = request.into_parts();
    let mut record = AccessRecord::new(&server, client, &parts.method, parts.uri.path());
    let routed = route(&server, &parts.method, parts.uri.path(), &parts.headers);
    let answer = match routed {
        Ok(Routed::Answer(answer)) => Ok(answer),
        Ok(Routed::Infer(model, version)) => {
            let answer = infer(&server, &model, version, &parts.headers, &mut body, &mut record).await;
            answer.inspect_err(|_| model.figures.refused())
        }
        Ok(Routed::Write(form)) => write(&server, form, &parts.headers, &mut body, &mut record).await,
        Err(refused) => Err(refused),
    };
    let mut answer = match answer {
        Ok(answer) => answer,
        Err(refused) => {
            // Whoever asks before sending hears at once.
            if !parts.headers.contains_key(header::EXPECT) {
                discard(&mut body).await;
            }
            record.problem = Some(refused.message.clone());
            refusal(&refused, parts.uri.path())
        }
    };
    if server.is_draining() {
        answer
            .headers_mut()
            .insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    let bytes = answer.body().size_hint().lower();
    record.end(answer.status(), usize::try_from(bytes).unwrap_or(usize::MAX));
    // It is told of once the last event is sent.
    if let AnswerBody::Events(events) = answer.body_mut() {
        events.record = Some(record);
    }
    answer
}

/// What a request leads to.
enum Routed {
    Answer(Answer),
    /// Its body is to be read.
    Infer(Arc<HostedModel>, Arc<ModelVersion>),
    /// The same, and names the model.
    Write(WritingForm),
}

fn route(server: &Server, method: &Method, path: &str, headers: &HeaderMap) -> Result<Routed, Refused> {
    let parts: Vec<&str> = path
        .trim_start_matches('/')
        .trim_end_matches('/')
        .split('/')
        .collect();
    let get = |answer: fn(&Server) -> Answer| {
        only(method, &[Method::GET, Method::HEAD]).map(|()| Routed::Answer(answer(server)))
    };
    // What needs no token: nothing of the models is in it.
    match parts.as_slice() {
        [""] => return get(|_| page::html()),
        ["page.js"] => return get(|_| page::script()),
        ["page.css"] => return get(|_| page::style()),
        ["v2", "health", "live"] => return get(|_| json_answer(StatusCode::OK, &json!({"live": true}))),
        ["v2", "health", "ready"] => return get(readiness),
        _ => {}
    }
    if let Some(token) = &server.options.token {
        token.check(headers)?;
    }
    match parts.as_slice() {
        ["metrics"] => {
            get(|server| text_answer("text/plain; version=0.0.4", server.moment().text().into_bytes()))
        }
        ["v2"] => get(|_| {
            let about = json!({
                "name": "erlen",
                "version": env!("CARGO_PKG_VERSION"),
                "extensions": EXTENSIONS,
            });
            json_answer(StatusCode::OK, &about)
        }),
        ["v1", "models"] => get(|server| json_answer(StatusCode::OK, &list_models(server))),
        ["v1", "models", name] => {
            only(method, &[Method::GET, Method::HEAD])?;
            Ok(Routed::Answer(json_answer(
                StatusCode::OK,
                &shown_model(server, name)?,
            )))
        }
        ["v1", "completions"] => {
            only(method, &[Method::POST]).map(|()| Routed::Write(WritingForm::Completion))
        }
        ["v1", "chat", "completions"] => {
            only(method, &[Method::POST]).map(|()| Routed::Write(WritingForm::Chat))
        }
        ["v2", "repository", "index"] => {
            only(method, &[Method::POST])?;
            let models = server.models.values().map(|model| {
                json!({"name": model.name, "version": model.current().version, "state": "READY", "reason": ""})
            });
            let models: Vec<Value> = models.collect();
            Ok(Routed::Answer(json_answer(StatusCode::OK, &Value::from(models))))
        }
        ["v2", "models", "stats"] => get(|server| {
            let stats = server.models.values().map(|model| statistics(model));
            let stats: Vec<Value> = stats.collect();
            json_answer(StatusCode::OK, &json!({"model_stats": stats}))
        }),
        ["v2", "models", name, rest @ ..] => {
            let model = hosted(server, name)?;
            let current = model.current();
            let rest = match rest {
                ["versions", version, rest @ ..] => {
                    if *version != current.version {
                        let problem = format!(
                            "`{name}` has no version `{}`: the one that answers is `{}`",
                            shown(version),
                            current.version
                        );
                        return Err(Refused::new(StatusCode::NOT_FOUND, problem));
                    }
                    rest
                }
                rest => rest,
            };
            of_model(server, method, path, rest, model, current)
        }
        _ => Err(nothing_at(path)),
    }
}

fn of_model(
    server: &Server,
    method: &Method,
    path: &str,
    rest: &[&str],
    model: &Arc<HostedModel>,
    current: Arc<ModelVersion>,
) -> Result<Routed, Refused> {
    let answer = match rest {
        ["infer"] => {
            only(method, &[Method::POST])?;
            return Ok(Routed::Infer(Arc::clone(model), current));
        }
        [] => json_answer(StatusCode::OK, &metadata(&model.name, &current)),
        ["ready"] => readiness(server),
        ["stats"] => json_answer(StatusCode::OK, &json!({"model_stats": [statistics(model)]})),
        _ => return Err(nothing_at(path)),
    };
    only(method, &[Method::GET, Method::HEAD])?;
    Ok(Routed::Answer(answer))
}

fn hosted<'a>(server: &'a Server, name: &str) -> Result<&'a Arc<HostedModel>, Refused> {
    server.models.get(name).ok_or_else(|| {
        let names: Vec<&str> = server.models.keys().map(String::as_str).collect();
        let problem = format!(
            "there is no model `{}`: those that are served are `{}`",
            shown(name),
            names.join("`, `")
        );
        Refused::new(StatusCode::NOT_FOUND, problem)
    })
}

fn nothing_at(path: &str) -> Refused {
    Refused::new(
        StatusCode::NOT_FOUND,
        format!("there is nothing at `{}`", shown(path)),
    )
}

/// As much of a text of a request as a message has room for.
fn shown(text: &str) -> String {
    text.chars().take(80).collect()
}

fn only(method: &Method, allowed: &[Method]) -> Result<(), Refused> {
    if allowed.contains(method) {
        return Ok(());
    }
    let (words, header) = match allowed.contains(&Method::POST) {
        true => ("POST", "POST"),
        false => ("GET", "GET, HEAD"),
    };
    Err(Refused {
        allowed: Some(header),
        ..Refused::new(StatusCode::METHOD_NOT_ALLOWED, format!("it is asked by {words}"))
    })
}

fn readiness(server: &Server) -> Answer {
    match server.is_draining() {
        false => json_answer(StatusCode::OK, &json!({"ready": true})),
        true => json_answer(StatusCode::SERVICE_UNAVAILABLE, &json!({"ready": false})),
    }
}

/// What a model takes and gives.
fn metadata(name: &str, version: &ModelVersion) -> Value {
    let model = version.model.interface();
    let tensors = |infos: &[TensorInfo]| -> Vec<Value> { infos.iter().map(tensor).collect() };
    json!({
        "name": name,
        "versions": [version.version],
        "platform": "erlen",
        "inputs": tensors(model.inputs()),
        "outputs": tensors(model.outputs()),
        "parameters": {
            "fingerprint": version.fingerprint,
            "inputs": if model.takes_one_of() { "one of them" } else { "all of them" },
        },
    })
}

fn tensor(info: &TensorInfo) -> Value {
    let mut parameters = json!({"description": info.description});
    if !info.labels.is_empty() {
        parameters["labels"] = info.labels.clone().into();
    }
    json!({
        "name": info.name,
        "datatype": info.datatype.name(),
        "shape": info.shape(),
        "parameters": parameters,
    })
}

/// The figures of a model as the protocol's extension for statistics has them. Times are in nanoseconds.
fn statistics(model: &HostedModel) -> Value {
    let ModelCounts {
        answered,
        refused,
        rows,
        batches,
        queued,
        spent,
        computed,
        last,
        ..
    } = model.figures.snapshot();
    let time = |count: u64, time: std::time::Duration| json!({"count": count, "ns": u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)});
    let none = time(0, std::time::Duration::ZERO);
    json!({
        "name": model.name,
        "version": model.current().version,
        "last_inference": last,
        "inference_count": rows,
        "execution_count": batches,
        "inference_stats": {
            "success": time(answered, spent),
            "fail": time(refused, std::time::Duration::ZERO),
            "queue": time(answered, queued),
            "compute_input": none,
            "compute_infer": time(batches, computed),
            "compute_output": none,
            "cache_hit": none,
            "cache_miss": none,
        },
        "batch_stats": [],
    })
}

/// Says why a request at `path` is refused, in the words of the protocol that is spoken there.
fn refusal(refused: &Refused, path: &str) -> Answer {
    let said = match path.trim_start_matches('/').split('/').next() {
        Some("v1") => error_value(refused),
        _ => json!({"error": refused.message}),
    };
    let mut answer = json_answer(refused.status, &said);
    let headers = answer.headers_mut();
    if let Some(allowed) = refused.allowed {
        headers.insert(header::ALLOW, HeaderValue::from_static(allowed));
    }
    if let Some(seconds) = refused.retry_after {
        headers.insert(header::RETRY_AFTER, seconds.into());
    }
    if refused.status == StatusCode::UNAUTHORIZED {
        headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    answer
}

/// JSON.
pub(super) fn json_answer(status: StatusCode, value: &Value) -> Answer {
    let mut answer = text_answer("application/json", value.to_string().into_bytes());
    *answer.status_mut() = status;
    answer
}

/// A body of some type.
pub(super) fn text_answer(content_type: &'static str, body: Vec<u8>) -> Answer {
    let mut answer = Response::new(AnswerBody::Whole(Full::new(Bytes::from(body))));
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    // Nobody guesses another type, or keeps what may be old.
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}
