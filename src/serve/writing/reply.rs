//! Answers and events as OpenAI's programs read them.

use hyper::StatusCode;
use serde_json::{Value, json};

use super::request::WritingForm;
use crate::serve::refused::Refused;

/// What all of an answer, or each of its events, has.
#[derive(Clone, Debug)]
pub(super) struct ReplyHead {
    pub form: WritingForm,
    /// The answer's name.
    pub id: String,
    /// Seconds since 1970.
    pub created: i64,
    /// The model as the request called it.
    pub model: String,
    /// The version that answers.
    pub version: String,
    /// Whether each event has a place for what was used.
    pub tells_usage: bool,
}

/// A text that was written.
#[derive(Clone, Debug, Default)]
pub(super) struct WrittenChoice {
    pub text: String,
    /// Why it ended.
    pub reason: Option<&'static str>,
}

/// Tokens that were used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::serve) struct TokenUsage {
    /// Those of the prompts.
    pub prompt: usize,
    /// Those behind them.
    pub completion: usize,
}

impl TokenUsage {
    fn value(self) -> Value {
        json!({
            "prompt_tokens": self.prompt,
            "completion_tokens": self.completion,
            "total_tokens": self.prompt + self.completion,
        })
    }
}

impl ReplyHead {
    /// The whole answer.
    pub fn whole(&self, choices: &[WrittenChoice], usage: TokenUsage) -> Value {
        let choices = choices.iter().enumerate().map(|(index, choice)| match self.form {
            WritingForm::Completion => json!({
                "index": index,
                "text": choice.text,
                "logprobs": null,
                "finish_reason": choice.reason,
            }),
            WritingForm::Chat => json!({
                "index": index,
                "message": {"role": "assistant", "content": choice.text, "refusal": null},
                "logprobs": null,
                "finish_reason": choice.reason,
            }),
        });
        let object = match self.form {
            WritingForm::Completion => "text_completion",
            WritingForm::Chat => "chat.completion",
        };
        let mut answer = self.object(object, choices.collect());
        answer["usage"] = usage.value();
        answer
    }

    /// The event that an answer of the text `index` begins, where it has one.
    pub fn begin(&self, index: usize) -> Option<Value> {
        match self.form {
            WritingForm::Completion => None,
            WritingForm::Chat => Some(self.event(index, json!({"role": "assistant", "content": ""}), None)),
        }
    }

    /// The event that the text `index` goes on by `text`.
    pub fn piece(&self, index: usize, text: &str) -> Value {
        match self.form {
            WritingForm::Completion => self.event(index, text.into(), None),
            WritingForm::Chat => self.event(index, json!({"content": text}), None),
        }
    }

    /// The event that the text `index` ended.
    pub fn end(&self, index: usize, reason: &str) -> Value {
        match self.form {
            WritingForm::Completion => self.event(index, "".into(), Some(reason)),
            WritingForm::Chat => self.event(index, json!({}), Some(reason)),
        }
    }

    /// The event that tells what was used.
    pub fn usage(&self, usage: TokenUsage) -> Value {
        let mut event = self.object(self.event_object(), Vec::new());
        event["usage"] = usage.value();
        event
    }

    fn event_object(&self) -> &'static str {
        match self.form {
            WritingForm::Completion => "text_completion",
            WritingForm::Chat => "chat.completion.chunk",
        }
    }

    fn event(&self, index: usize, content: Value, reason: Option<&str>) -> Value {
        let choice = match self.form {
            WritingForm::Completion => {
                json!({"index": index, "text": content, "logprobs": null, "finish_reason": reason})
            }
            WritingForm::Chat => {
                json!({"index": index, "delta": content, "logprobs": null, "finish_reason": reason})
            }
        };
        let mut event = self.object(self.event_object(), vec![choice]);
        if self.tells_usage {
            event["usage"] = Value::Null;
        }
        event
    }

    fn object(&self, object: &str, choices: Vec<Value>) -> Value {
        json!({
            "id": self.id,
            "object": object,
            "created": self.created,
            "model": self.model,
            "system_fingerprint": self.version,
            "choices": choices,
        })
    }
}

/// An error in the form that OpenAI's programs read.
pub(in crate::serve) fn error_value(refused: &Refused) -> Value {
    let kind = match refused.status {
        StatusCode::TOO_MANY_REQUESTS => "rate_limit_error",
        status if status.is_server_error() => "server_error",
        _ => "invalid_request_error",
    };
    let (parameter, code) = match &refused.parameter {
        Some((parameter, code)) => (Some(parameter.as_str()), Some(*code)),
        None if refused.status == StatusCode::UNAUTHORIZED => (None, Some("invalid_api_key")),
        None => (None, None),
    };
    json!({"error": {"message": refused.message, "type": kind, "param": parameter, "code": code}})
}
