//! Requests as OpenAI's programs make them.

use serde_json::{Value, json};

use super::model::WritingModel;
use super::sampling::{RequestFields, wrong};
use crate::generation::GenerationRules;
use crate::serve::refused::Refused;
use crate::serve::tensor::TensorValues;
use crate::serve::wire::InferenceRequest;
use crate::spec::SampleOptions;

/// Texts of one request, at most.
const MOST_TEXTS: usize = 128;
/// Tokens behind a prompt where a completion does not say how many, as at OpenAI.
const USUAL_TOKENS: usize = 16;

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::serve) enum WritingForm {
    /// Texts are gone on with.
    Completion,
    /// Conversations are answered.
    Chat,
}

/// A request that has been read.
#[derive(Debug)]
pub(super) struct WritingRequest {
    pub form: WritingForm,
    /// The model that is to write.
    pub model: String,
    asked: AskedTexts,
    /// Texts behind each prompt.
    pub count: usize,
    /// The most tokens behind a prompt.
    pub tokens: Option<usize>,
    sample: Option<SampleOptions>,
    pub stops: Vec<String>,
    pub seed: Option<u64>,
    /// Whether it is answered while it is written.
    pub is_streamed: bool,
    /// Whether what was used is told at the end of that.
    pub tells_usage: bool,
}

/// What is gone on with.
#[derive(Debug)]
enum AskedTexts {
    Prompts(Vec<AskedPrompt>),
    Conversation(Vec<Value>),
}

#[derive(Debug)]
enum AskedPrompt {
    Text(String),
    Tokens(Vec<u32>),
}

/// Prompts as tokens, with what is written behind each.
#[derive(Debug)]
pub(super) struct PromptTokens {
    pub tokens: Vec<u32>,
    pub rules: GenerationRules,
}

impl WritingRequest {
    /// Reads a body.
    ///
    /// # Errors
    /// It is no such request, or asks for what is not done here.
    pub fn read(body: &[u8], form: WritingForm) -> Result<Self, Refused> {
        let value: Value = serde_json::from_slice(body)
            .map_err(|error| Refused::bad(format!("the body is no JSON: {error}")))?;
        let Value::Object(fields) = value else {
            return Err(Refused::bad("the body is no JSON object"));
        };
        let mut fields = RequestFields::new(fields);
        let model = match fields.take("model") {
            Some(Value::String(model)) => model,
            Some(value) => return Err(wrong("model", "the name of a model", &value)),
            None => {
                return Err(
                    Refused::bad("`model` is missing: name one of those at /v1/models")
                        .about("model", "missing_required_parameter"),
                );
            }
        };
        let asked = match form {
            WritingForm::Completion => AskedTexts::Prompts(prompts(&mut fields)?),
            WritingForm::Chat => AskedTexts::Conversation(messages(&mut fields)?),
        };
        let count = fields.whole("n", 1, MOST_TEXTS as u64)?.unwrap_or(1);
        let mut tokens = fields.whole("max_tokens", 1, u64::MAX)?;
        if form == WritingForm::Chat {
            tokens = fields.whole("max_completion_tokens", 1, u64::MAX)?.or(tokens);
        }
        let sample = fields.sample()?;
        let (stops, seed) = (fields.stop()?, fields.seed()?);
        let is_streamed = fields.flag("stream")?;
        let tells_usage = stream_options(&mut fields, is_streamed)?;
        check_others(&mut fields, form, count)?;
        let size = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
        let request = Self {
            form,
            model,
            asked,
            count: size(count),
            tokens: tokens.map(size),
            sample,
            stops,
            seed,
            is_streamed,
            tells_usage,
        };
        if let AskedTexts::Prompts(prompts) = &request.asked
            && prompts.len().saturating_mul(request.count) > MOST_TEXTS
        {
            let problem = format!(
                "{} prompts of {} texts each are more than the {MOST_TEXTS} texts that a request may ask for",
                prompts.len(),
                request.count
            );
            return Err(Refused::bad(problem).about("prompt", "invalid_value"));
        }
        Ok(request)
    }

    /// What a request of tensors asks for: its texts are gone on with by the likeliest tokens, unless its parameters tell
    /// how to draw them.
    ///
    /// # Errors
    /// A text is not UTF-8, or a parameter is none.
    pub fn of_tensors(request: &InferenceRequest) -> Result<Self, Refused> {
        let mut prompts = Vec::new();
        for input in &request.inputs {
            let TensorValues::Strings(texts) = &input.values else {
                continue;
            };
            for (row, text) in texts.iter().enumerate() {
                let text = std::str::from_utf8(text).map_err(|_| {
                    Refused::bad(format!(
                        "input `{}`, row {}: a text is not UTF-8",
                        input.name,
                        row + 1
                    ))
                })?;
                prompts.push(AskedPrompt::Text(text.to_owned()));
            }
        }
        let mut fields = RequestFields::new(request.parameters.clone());
        let draws = ["temperature", "top_p", "top_k", "min_p"];
        let draws = draws.iter().any(|name| request.parameters.contains_key(*name));
        let tokens = fields.whole("max_tokens", 1, u64::MAX)?;
        let sample = fields.sample()?.filter(|_| draws);
        let (stops, seed) = (fields.stop()?, fields.seed()?);
        fields.idle("n", &[json!(1)], "ask for each text in a row of its own")?;
        fields.idle("stream", &[json!(false)], "ask at /v1/completions")?;
        // Of the protocol: they are for models that remember requests, or for other queues.
        for name in ["priority", "sequence_id", "sequence_start", "sequence_end"] {
            fields.take(name);
        }
        check_others(&mut fields, WritingForm::Completion, 1)?;
        Ok(Self {
            form: WritingForm::Completion,
            model: String::new(),
            asked: AskedTexts::Prompts(prompts),
            count: 1,
            tokens: tokens.map(|tokens| usize::try_from(tokens).unwrap_or(usize::MAX)),
            sample,
            stops,
            seed,
            is_streamed: false,
            tells_usage: false,
        })
    }

    /// The prompts as `model` is shown them.
    ///
    /// # Errors
    /// A text cannot be encoded, a conversation has no template, or the model has too few positions.
    pub fn encoded(&self, model: &WritingModel) -> Result<Vec<PromptTokens>, Refused> {
        let name = match self.form {
            WritingForm::Completion => "prompt",
            WritingForm::Chat => "messages",
        };
        let bad = |problem: String| Refused::bad(problem).about(name, "invalid_value");
        // Before any work is done for it.
        let fits = |text: &str| match text.len() <= model.most_bytes() {
            true => Ok(()),
            false => Err(Refused::bad(format!(
                "the model's context has {} tokens, and the prompt {} bytes, which are more: make it shorter",
                model.context(),
                text.len()
            ))
            .about(name, "context_length_exceeded")),
        };
        // Of several prompts it is told which.
        let count = match &self.asked {
            AskedTexts::Prompts(prompts) => prompts.len(),
            AskedTexts::Conversation(_) => 1,
        };
        let placed = |index: usize, refused: Refused| match count {
            1 => refused,
            _ => Refused {
                message: format!("prompt {}: {}", index + 1, refused.message),
                ..refused
            },
        };
        let prompts = match &self.asked {
            AskedTexts::Prompts(prompts) => prompts
                .iter()
                .enumerate()
                .map(|(index, prompt)| match prompt {
                    AskedPrompt::Text(text) => {
                        fits(text).map_err(|refused| placed(index, refused))?;
                        let tokens = model.tokenizer().prompt_ids(text);
                        tokens.map_err(|error| placed(index, bad(error.to_string())))
                    }
                    AskedPrompt::Tokens(tokens) => Ok(tokens.clone()),
                })
                .collect::<Result<Vec<_>, _>>()?,
            AskedTexts::Conversation(_) if !model.has_template() => {
                return Err(Refused::bad(
                    "the model's tokenizer has no template of conversations (chat_template.jinja): ask for a completion, at \
                     /v1/completions",
                )
                .about("messages", "no_chat_template"));
            }
            AskedTexts::Conversation(messages) => {
                let text = model
                    .conversation(messages)
                    .map_err(|error| bad(error.to_string()))?;
                fits(&text)?;
                let tokens = model.tokenizer().ids(&text, false);
                vec![tokens.map_err(|error| bad(error.to_string()))?]
            }
        };
        let encoded = |tokens: Vec<u32>| {
            if tokens.is_empty() {
                return Err(bad(
                    "a prompt without any token gives nothing to go on with".to_owned()
                ));
            }
            if let Some(token) = tokens.iter().find(|token| **token as usize >= model.vocabulary()) {
                return Err(bad(format!(
                    "the prompt has the token {token}, and the model knows those under {}",
                    model.vocabulary()
                )));
            }
            let rules = self.rules(name, tokens.len(), model)?;
            Ok(PromptTokens { tokens, rules })
        };
        let all = prompts.into_iter().enumerate();
        all.map(|(index, tokens)| encoded(tokens).map_err(|refused| placed(index, refused)))
            .collect()
    }

    /// By what a text behind `prompt` tokens is written.
    fn rules(
        &self,
        name: &'static str,
        prompt: usize,
        model: &WritingModel,
    ) -> Result<GenerationRules, Refused> {
        let context = model.context();
        let left = context.saturating_sub(prompt);
        if left == 0 {
            return Err(Refused::bad(format!(
                "the model's context has {context} tokens, and the prompt {prompt}: make it shorter"
            ))
            .about(name, "context_length_exceeded"));
        }
        let tokens = match (self.tokens, self.form) {
            (Some(tokens), _) if tokens > left => {
                return Err(Refused::bad(format!(
                    "the model's context has {context} tokens, and the request asks for {}: {prompt} of the prompt and \
                     {tokens} behind it; ask for fewer, or make the prompt shorter",
                    prompt.saturating_add(tokens)
                ))
                .about(name, "context_length_exceeded"));
            }
            (Some(tokens), _) => tokens,
            (None, WritingForm::Completion) => USUAL_TOKENS.min(left),
            (None, WritingForm::Chat) => left,
        };
        Ok(GenerationRules {
            tokens,
            ends: model.ends().to_vec(),
            sample: self.sample.clone(),
            ..GenerationRules::default()
        })
    }
}

/// The prompts of a completion: a text, tokens, or a list of either.
fn prompts(fields: &mut RequestFields) -> Result<Vec<AskedPrompt>, Refused> {
    let Some(value) = fields.take("prompt") else {
        return Err(Refused::bad("`prompt` is missing: it is the text to go on with")
            .about("prompt", "missing_required_parameter"));
    };
    let tokens = |list: &[Value]| -> Option<AskedPrompt> {
        let numbers = list.iter().map(|token| u32::try_from(token.as_u64()?).ok());
        let numbers: Option<Vec<u32>> = numbers.collect();
        numbers
            .filter(|numbers| !numbers.is_empty())
            .map(AskedPrompt::Tokens)
    };
    let read = match &value {
        Value::String(text) => Some(vec![AskedPrompt::Text(text.clone())]),
        Value::Array(list) if list.first().is_some_and(Value::is_u64) => {
            tokens(list).map(|prompt| vec![prompt])
        }
        Value::Array(list) if !list.is_empty() => list
            .iter()
            .map(|prompt| match prompt {
                Value::String(text) => Some(AskedPrompt::Text(text.clone())),
                Value::Array(list) => tokens(list),
                _ => None,
            })
            .collect(),
        _ => None,
    };
    read.ok_or_else(|| wrong("prompt", "a text, a list of tokens, or a list of such", &value))
}

/// The messages of a conversation, whose contents are texts.
fn messages(fields: &mut RequestFields) -> Result<Vec<Value>, Refused> {
    let Some(value) = fields.take("messages") else {
        let problem = "`messages` is missing: it is the conversation to answer";
        return Err(Refused::bad(problem).about("messages", "missing_required_parameter"));
    };
    let refused = |place: Option<usize>, problem: &str| {
        let place = place.map_or_else(String::new, |place| format!("[{place}]"));
        Refused::bad(format!("`messages{place}` {problem}")).about("messages", "invalid_value")
    };
    let Value::Array(list) = value else {
        return Err(refused(None, "is no list"));
    };
    if list.is_empty() {
        return Err(refused(None, "is empty: it is the conversation to answer"));
    }
    let message = |(place, message): (usize, Value)| {
        let Value::Object(mut message) = message else {
            return Err(refused(Some(place), "is no object with `role` and `content`"));
        };
        if !message.get("role").is_some_and(Value::is_string) {
            return Err(refused(Some(place), "has no `role`, such as \"user\""));
        }
        if message
            .get("tool_calls")
            .is_some_and(|calls| *calls != json!([]) && !calls.is_null())
        {
            return Err(refused(
                Some(place),
                "has `tool_calls`, and tools are not supported here",
            ));
        }
        let content = match message.get("content") {
            Some(Value::String(text)) => text.clone(),
            Some(Value::Array(parts)) => {
                let text = |part: &Value| match part["type"].as_str() {
                    Some("text") => part["text"].as_str().map(str::to_owned),
                    _ => None,
                };
                let texts: Option<Vec<String>> = parts.iter().map(text).collect();
                texts
                    .ok_or_else(|| {
                        refused(
                            Some(place),
                            "has a part that is no text, and the model reads texts alone",
                        )
                    })?
                    .concat()
            }
            _ => return Err(refused(Some(place), "has no `content` that is a text")),
        };
        message.insert("content".to_owned(), content.into());
        Ok(Value::Object(message))
    };
    list.into_iter().enumerate().map(message).collect()
}

/// Whether what was used is told at the end of a stream.
fn stream_options(fields: &mut RequestFields, is_streamed: bool) -> Result<bool, Refused> {
    let Some(value) = fields.take("stream_options") else {
        return Ok(false);
    };
    if !is_streamed {
        return Err(
            Refused::bad("`stream_options` is for answers with `stream: true` alone")
                .about("stream_options", "invalid_value"),
        );
    }
    match (&value, &value["include_usage"]) {
        (Value::Object(_), Value::Bool(tells)) => Ok(*tells),
        (Value::Object(_), Value::Null) => Ok(false),
        _ => Err(wrong(
            "stream_options",
            "an object such as {\"include_usage\": true}",
            &value,
        )),
    }
}

/// Fails at what would change the answer and is not done here; what would not is passed over.
fn check_others(fields: &mut RequestFields, form: WritingForm, count: u64) -> Result<(), Refused> {
    let leave_out = "leave it out";
    fields.idle("frequency_penalty", &[json!(0)], leave_out)?;
    fields.idle("presence_penalty", &[json!(0)], leave_out)?;
    fields.idle("logit_bias", &[json!({})], leave_out)?;
    match form {
        WritingForm::Completion => {
            fields.idle("logprobs", &[], leave_out)?;
            fields.idle(
                "echo",
                &[json!(false)],
                "leave it out, and put the prompt in front of the text",
            )?;
            fields.idle("best_of", &[json!(count)], "ask for several texts by `n`")?;
            fields.idle("suffix", &[json!("")], leave_out)?;
        }
        WritingForm::Chat => {
            fields.idle("logprobs", &[json!(false)], leave_out)?;
            fields.idle("top_logprobs", &[json!(0)], leave_out)?;
            fields.idle("tools", &[json!([])], "the model calls no tools")?;
            fields.idle(
                "tool_choice",
                &[json!("none"), json!("auto")],
                "the model calls no tools",
            )?;
            fields.idle("functions", &[json!([])], "the model calls no functions")?;
            fields.idle(
                "function_call",
                &[json!("none"), json!("auto")],
                "the model calls no functions",
            )?;
            fields.idle("response_format", &[json!({"type": "text"})], "answers are texts")?;
            fields.idle("modalities", &[json!(["text"])], "answers are texts")?;
            fields.take("parallel_tool_calls");
        }
    }
    for name in [
        "user",
        "metadata",
        "store",
        "service_tier",
        "safety_identifier",
        "prompt_cache_key",
        "prompt_cache_retention",
    ] {
        fields.take(name);
    }
    match fields.first() {
        None => Ok(()),
        Some(name) => {
            let shown: String = name.chars().take(60).collect();
            Err(
                Refused::bad(format!("`{shown}` is nothing that is known here: leave it out"))
                    .about(&shown, "unknown_parameter"),
            )
        }
    }
}
