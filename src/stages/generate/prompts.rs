//! Prompts as tokens.

use std::fs;

use serde_json::json;

use crate::spec::{ChatTurn, Generate, Prompt};
use crate::stages::{Job, StageError};
use crate::tokenizer::{ChatTemplate, LoadedTokenizer, TokenizerError};

/// A prompt as the network is shown it.
pub struct EncodedPrompt {
    /// As it was written; of a conversation, as its template has it.
    pub text: String,
    /// Its tokens.
    pub tokens: Vec<u32>,
}

/// All prompts of a stage, in order.
///
/// # Errors
/// A file that cannot be read or has no lines, a text that cannot be encoded, a conversation without a template.
pub fn encode_prompts(
    options: &Generate,
    job: &Job,
    tokenizer: &LoadedTokenizer,
) -> Result<Vec<EncodedPrompt>, StageError> {
    let mut encoded = Vec::new();
    for (index, prompt) in options.prompts.iter().enumerate() {
        match prompt {
            Prompt::Text(text) => encoded.push(EncodedPrompt::of_text(text, tokenizer)?),
            Prompt::File { file } => {
                let path = job.input(&Generate::prompt_role(index))?;
                let text = fs::read_to_string(path).map_err(|error| {
                    StageError::failed(format!("cannot read the prompts in `{file}`: {error}"))
                })?;
                let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
                let mut lines = text.lines().filter(|line| !line.trim().is_empty()).peekable();
                if lines.peek().is_none() {
                    let problem = format!("there are no prompts in `{file}`: write one a line");
                    return Err(StageError::failed(problem));
                }
                for line in lines {
                    encoded.push(EncodedPrompt::of_text(line, tokenizer)?);
                }
            }
            Prompt::Chat { messages } => encoded.push(EncodedPrompt::of_chat(messages, tokenizer)?),
        }
    }
    Ok(encoded)
}

fn failed(error: &TokenizerError) -> StageError {
    StageError::failed(error.to_string())
}

impl EncodedPrompt {
    fn of_text(text: &str, tokenizer: &LoadedTokenizer) -> Result<Self, StageError> {
        Ok(Self {
            text: text.to_owned(),
            tokens: tokenizer.prompt_ids(text).map_err(|error| failed(&error))?,
        })
    }

    fn of_chat(messages: &[ChatTurn], tokenizer: &LoadedTokenizer) -> Result<Self, StageError> {
        let Some(template) = tokenizer.chat_template() else {
            return Err(StageError::failed(
                "a conversation is to be answered, and the tokenizer has no template of conversations \
                 (chat_template.jinja): write the prompt as a text, or name a tokenizer with one by `tokenizer`",
            ));
        };
        let template = ChatTemplate::new(template, tokenizer.special()).map_err(|error| failed(&error))?;
        let messages: Vec<serde_json::Value> = messages
            .iter()
            .map(|turn| json!({"role": turn.role, "content": turn.content}))
            .collect();
        let text = template
            .render(&messages, None, true)
            .map_err(|error| failed(&error))?;
        // The template writes the special tokens itself.
        let tokens = tokenizer.ids(&text, false).map_err(|error| failed(&error))?;
        Ok(Self { text, tokens })
    }

    /// Its beginning, for messages.
    pub fn shown(&self) -> String {
        const SHOWN: usize = 40;
        let beginning: String = self.text.chars().take(SHOWN).collect();
        let more = if self.text.chars().count() > SHOWN {
            "..."
        } else {
            ""
        };
        format!("{beginning:?}{more}")
    }

    /// What `tokens` add to its text.
    ///
    /// # Errors
    /// The tokenizer cannot decode them.
    pub fn continuation(
        &self,
        tokens: &[u32],
        tokenizer: &LoadedTokenizer,
    ) -> Result<String, TokenizerError> {
        // Decoded behind the prompt, as a token may begin with a space that one at the beginning would lose.
        let before = tokenizer.decode(&self.tokens, true)?;
        let whole = tokenizer.decode(&[&self.tokens, tokens].concat(), true)?;
        match whole.strip_prefix(&before) {
            Some(text) => Ok(text.to_owned()),
            None => tokenizer.decode(tokens, true),
        }
    }
}
