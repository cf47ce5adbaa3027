//! From a request's body to what was written, whole or event by event.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use hyper::body::{Body, Bytes, Frame, Incoming};
use hyper::{HeaderMap, StatusCode};
use serde_json::{Value, json};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::task::spawn_blocking;

use super::queue::{TextEvent, TextEventKind, WaitingText, WrittenText};
use super::reply::{ReplyHead, TokenUsage, WrittenChoice, error_value};
use super::request::{PromptTokens, WritingForm, WritingRequest};
use crate::serve::access::AccessRecord;
use crate::serve::body::{BodyPacking, HeldBody, read_body};
use crate::serve::queue::AnsweredRows;
use crate::serve::refused::Refused;
use crate::serve::routes::{Answer, AnswerBody, json_answer, text_answer};
use crate::serve::served::{ModelVersion, ServedModel};
use crate::serve::server::{HostedModel, Server};
use crate::serve::wire::InferenceRequest;

/// Bytes of a body, at most.
const MOST_BODY: usize = 4 << 20;

/// The models that go on with texts, as a list.
pub(in crate::serve) fn list_models(server: &Server) -> Value {
    let models = server.models.values().filter_map(|model| shown(model));
    json!({"object": "list", "data": models.collect::<Vec<Value>>()})
}

/// The model `name` alone.
///
/// # Errors
/// There is none that goes on with texts.
pub(in crate::serve) fn shown_model(server: &Server, name: &str) -> Result<Value, Refused> {
    let model = server.models.get(name).and_then(|model| shown(model));
    model.ok_or_else(|| no_model(server, name))
}

fn shown(model: &HostedModel) -> Option<Value> {
    let version = model.current();
    let ServedModel::Writing(writing) = &version.model else {
        return None;
    };
    Some(json!({
        "id": model.name,
        "object": "model",
        "created": model.since,
        "owned_by": "erlen",
        "version": version.version,
        "max_model_len": writing.context(),
    }))
}

fn no_model(server: &Server, name: &str) -> Refused {
    let writes = |model: &&Arc<HostedModel>| matches!(model.current().model, ServedModel::Writing(_));
    let names: Vec<&str> = server
        .models
        .values()
        .filter(writes)
        .map(|model| model.name.as_str())
        .collect();
    let name: String = name.chars().take(80).collect();
    let known = match names.is_empty() {
        true => "none of those that are served does".to_owned(),
        false => format!("those that do are `{}`", names.join("`, `")),
    };
    let problem = format!("there is no model `{name}` that goes on with texts: {known}");
    Refused::new(StatusCode::NOT_FOUND, problem).about("model", "model_not_found")
}

/// Answers the request that `body` is.
///
/// # Errors
/// It is wrong, too large or too slow, there is too much to do, or the model fails.
pub(in crate::serve) async fn write(
    server: &Arc<Server>,
    form: WritingForm,
    headers: &HeaderMap,
    body: &mut Incoming,
    record: &mut AccessRecord,
) -> Result<Answer, Refused> {
    let packing = BodyPacking::of(headers)?;
    let held = read_body(body, MOST_BODY, &server.budget).await?;
    record.bytes_in = held.bytes.len();
    let own = Arc::clone(server);
    let read = spawn_blocking(move || ReadWriting::read(&own, held, packing, form)).await;
    let read = read.unwrap_or_else(|_| {
        let problem = "reading the request broke off";
        Err(Refused::new(StatusCode::INTERNAL_SERVER_ERROR, problem))
    })?;
    let ReadWriting {
        request,
        prompts,
        model,
        version,
    } = read;
    record.model = Some(model.name.clone());
    record.version = Some(version.version.clone());
    let answer = answered(&request, prompts, &model, &version, record).await;
    if answer.is_err() {
        model.figures.refused();
    }
    answer
}

async fn answered(
    request: &WritingRequest,
    prompts: Vec<PromptTokens>,
    model: &Arc<HostedModel>,
    version: &Arc<ModelVersion>,
    record: &mut AccessRecord,
) -> Result<Answer, Refused> {
    let texts = StartedTexts::push(request, prompts, model, version, None)?;
    record.rows = texts.ends.len();
    let kind = match request.form {
        WritingForm::Completion => "cmpl",
        WritingForm::Chat => "chatcmpl",
    };
    let head = ReplyHead {
        form: request.form,
        id: format!("{kind}-{:016x}", drawn()),
        created: jiff::Timestamp::now().as_second(),
        model: request.model.clone(),
        version: version.version.clone(),
        tells_usage: request.tells_usage,
    };
    if request.is_streamed {
        let mut answer = text_answer("text/event-stream", Vec::new());
        *answer.body_mut() = AnswerBody::Events(Box::new(EventBody::new(head, texts, Arc::clone(model))));
        return Ok(answer);
    }
    let written = texts.whole().await?;
    record.used = Some(written.usage);
    record.answered = Some(written.answered());
    model
        .figures
        .answered(written.choices.len(), written.queued, written.computed);
    Ok(json_answer(
        StatusCode::OK,
        &head.whole(&written.choices, written.usage),
    ))
}

/// What is written behind each of the texts of a request of tensors, in their order.
///
/// # Errors
/// As of [`write`].
pub(in crate::serve) async fn written_texts(
    request: &InferenceRequest,
    model: &Arc<HostedModel>,
    version: &Arc<ModelVersion>,
    deadline: Option<Instant>,
) -> Result<(Vec<String>, AnsweredRows), Refused> {
    let ServedModel::Writing(writing) = &version.model else {
        return Err(Refused::bad("the model does not go on with texts"));
    };
    let request = WritingRequest::of_tensors(request)?;
    let prompts = request.encoded(writing)?;
    let written = StartedTexts::push(&request, prompts, model, version, deadline)?;
    let written = written.whole().await?;
    let answered = written.answered();
    let texts = written.choices.into_iter().map(|choice| choice.text);
    Ok((texts.collect(), answered))
}

/// A number that nobody knows before.
fn drawn() -> u64 {
    RandomState::new().build_hasher().finish()
}

/// A request that has been read, and who is to answer it.
struct ReadWriting {
    request: WritingRequest,
    prompts: Vec<PromptTokens>,
    model: Arc<HostedModel>,
    version: Arc<ModelVersion>,
}

impl ReadWriting {
    fn read(
        server: &Server,
        held: HeldBody,
        packing: BodyPacking,
        form: WritingForm,
    ) -> Result<Self, Refused> {
        let held = held.unpacked(packing, MOST_BODY)?;
        let request = WritingRequest::read(&held.bytes, form)?;
        let model = server.models.get(&request.model);
        let model = Arc::clone(model.ok_or_else(|| no_model(server, &request.model))?);
        let version = model.current();
        let prompts = match &version.model {
            ServedModel::Writing(writing) => request.encoded(writing),
            ServedModel::Rows(_) => Err(no_model(server, &request.model)),
        };
        let prompts = prompts.inspect_err(|_| model.figures.refused())?;
        Ok(Self {
            request,
            prompts,
            model,
            version,
        })
    }
}

/// Texts of a request that are being written.
struct StartedTexts {
    events: UnboundedReceiver<TextEvent>,
    /// Of each text how it ended, once it has.
    ends: Vec<Option<WrittenText>>,
    prompt: usize,
}

/// The texts of a request, at their ends.
struct WrittenTexts {
    choices: Vec<WrittenChoice>,
    usage: TokenUsage,
    queued: Duration,
    computed: Duration,
}

impl WrittenTexts {
    /// What the log hears of it.
    fn answered(&self) -> AnsweredRows {
        AnsweredRows {
            outputs: Vec::new(),
            queued: self.queued,
            computed: self.computed,
            batch: self.choices.len(),
        }
    }
}

impl StartedTexts {
    /// Has the texts of `request` wait for their turn.
    fn push(
        request: &WritingRequest,
        prompts: Vec<PromptTokens>,
        model: &HostedModel,
        version: &Arc<ModelVersion>,
        deadline: Option<Instant>,
    ) -> Result<Self, Refused> {
        let (sender, events) = unbounded_channel();
        let stops = Arc::new(request.stops.clone());
        let prompt = prompts.iter().map(|prompt| prompt.tokens.len()).sum();
        let mut texts = Vec::new();
        for PromptTokens { tokens, rules } in prompts {
            let tokens = Arc::new(tokens);
            // Equal prompts of a request without a seed are answered apart.
            let seed = request.seed.unwrap_or_else(drawn);
            for number in 0..request.count {
                texts.push(WaitingText {
                    version: Arc::clone(version),
                    index: texts.len(),
                    prompt: Arc::clone(&tokens),
                    rules: rules.clone(),
                    // Fewer than can be told by 32 bits.
                    number: (seed, number as u32),
                    stops: Arc::clone(&stops),
                    since: Instant::now(),
                    deadline,
                    events: sender.clone(),
                });
            }
        }
        let ends = vec![None; texts.len()];
        model.texts.push(texts)?;
        Ok(Self { events, ends, prompt })
    }

    /// Waits for all texts.
    async fn whole(mut self) -> Result<WrittenTexts, Refused> {
        let mut choices = vec![WrittenChoice::default(); self.ends.len()];
        while !self.is_done() {
            let Some(TextEvent { index, kind }) = self.events.recv().await else {
                return Err(unanswered());
            };
            match kind {
                TextEventKind::Piece(text) => choices[index].text.push_str(&text),
                TextEventKind::End(end) => {
                    choices[index].reason = Some(reason(end));
                    self.ends[index] = Some(end);
                }
                TextEventKind::Failed(refused) => return Err(refused),
            }
        }
        Ok(self.written(choices))
    }

    fn is_done(&self) -> bool {
        self.ends.iter().all(Option::is_some)
    }

    fn written(&self, choices: Vec<WrittenChoice>) -> WrittenTexts {
        let ends = || self.ends.iter().flatten();
        WrittenTexts {
            choices,
            usage: TokenUsage {
                prompt: self.prompt,
                completion: ends().map(|end| end.tokens).sum(),
            },
            queued: ends().map(|end| end.queued).max().unwrap_or_default(),
            computed: ends().map(|end| end.computed).max().unwrap_or_default(),
        }
    }
}

fn unanswered() -> Refused {
    Refused::new(StatusCode::INTERNAL_SERVER_ERROR, "the request was not answered")
}

/// Why a text ended, in OpenAI's words.
fn reason(end: WrittenText) -> &'static str {
    match end.is_full {
        true => "length",
        false => "stop",
    }
}

/// An answer while it is written: an event for each piece of a text.
pub(in crate::serve) struct EventBody {
    head: ReplyHead,
    texts: StartedTexts,
    model: Arc<HostedModel>,
    /// Which texts have begun.
    begun: Vec<bool>,
    /// Events that wait to be sent.
    waiting: VecDeque<Bytes>,
    is_over: bool,
    /// What the log hears at the end.
    pub record: Option<AccessRecord>,
}

impl EventBody {
    fn new(head: ReplyHead, texts: StartedTexts, model: Arc<HostedModel>) -> Self {
        Self {
            begun: vec![false; texts.ends.len()],
            head,
            texts,
            model,
            waiting: VecDeque::new(),
            is_over: false,
            record: None,
        }
    }

    fn send(&mut self, event: &Value) {
        self.waiting.push_back(Bytes::from(format!("data: {event}\n\n")));
    }

    fn begin(&mut self, index: usize) {
        if !std::mem::replace(&mut self.begun[index], true)
            && let Some(event) = self.head.begin(index)
        {
            self.send(&event);
        }
    }

    /// What an event of a text is to the client.
    fn take(&mut self, event: Option<TextEvent>) {
        let failed = match event {
            None => Some(unanswered()),
            Some(TextEvent { index, kind }) => match kind {
                TextEventKind::Piece(text) => {
                    self.begin(index);
                    self.send(&self.head.piece(index, &text));
                    None
                }
                TextEventKind::End(end) => {
                    self.begin(index);
                    self.send(&self.head.end(index, reason(end)));
                    self.texts.ends[index] = Some(end);
                    None
                }
                TextEventKind::Failed(refused) => Some(refused),
            },
        };
        if let Some(refused) = &failed {
            self.model.figures.refused();
            self.send(&error_value(refused));
            if let Some(record) = &mut self.record {
                record.problem = Some(refused.message.clone());
            }
        } else if self.texts.is_done() {
            let written = self.texts.written(Vec::new());
            if self.head.tells_usage {
                self.send(&self.head.usage(written.usage));
            }
            self.model
                .figures
                .answered(self.texts.ends.len(), written.queued, written.computed);
            if let Some(record) = &mut self.record {
                record.used = Some(written.usage);
                record.answered = Some(AnsweredRows {
                    batch: self.texts.ends.len(),
                    ..written.answered()
                });
            }
        } else {
            return;
        }
        self.waiting.push_back(Bytes::from_static(b"data: [DONE]\n\n"));
        self.is_over = true;
    }
}

impl Body for EventBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        loop {
            if let Some(event) = self.waiting.pop_front() {
                if let Some(record) = &mut self.record {
                    record.sent(event.len());
                }
                return Poll::Ready(Some(Ok(Frame::data(event))));
            }
            if self.is_over {
                return Poll::Ready(None);
            }
            let event = ready!(self.texts.events.poll_recv(context));
            self.take(event);
        }
    }
}

impl Drop for EventBody {
    fn drop(&mut self) {
        if !self.is_over
            && let Some(record) = &mut self.record
        {
            record.problem = Some("the client went before the end".to_owned());
        }
    }
}
