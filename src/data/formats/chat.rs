//! Conversations, and which of their tokens are learnt.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::FormatReader;
use super::text::bundles::Bundles;
use super::text::vocabulary::{TextVocabulary, look_into, row};
use crate::data::digest::digest_bytes;
use crate::data::documents::find_files;
use crate::data::error::DataError;
use crate::data::field_names::LOSS_MASK;
use crate::data::intake::{Intake, IntakeSample, SplitPlace};
use crate::data::labels::Classes;
use crate::data::records::{RecordFile, RecordForm, RecordLine};
use crate::schema::{Field, Schema};
use crate::spec::{ChatOptions, ChatTargets, Mistake, SplitName, counted};
use crate::tokenizer::{ChatTemplate, LoadedTokenizer, SpecialTokens, TokenizerError};

/// The role of the template among the inputs.
const TEMPLATE: &str = "template";

/// A conversation that waits.
struct Conversation {
    origin: String,
    messages: Vec<Value>,
    tools: Option<Value>,
}

impl FormatReader for ChatOptions {
    fn read(&self, input: &Path, intake: &mut Intake<'_>) -> Result<Option<Classes>, DataError> {
        read(self, input, intake)?;
        Ok(None)
    }

    fn look_into(&self, files: &BTreeMap<String, PathBuf>) -> Vec<Mistake> {
        let mut mistakes = look_into(files, self.max_length);
        match (files.get("tokenizer"), files.get(TEMPLATE)) {
            (_, Some(path)) => {
                let compiled = read_template(path)
                    .and_then(|text| Ok(ChatTemplate::new(&text, &SpecialTokens::default())?));
                mistakes.extend(
                    compiled
                        .err()
                        .map(|error| Mistake::new([TEMPLATE], error.to_string())),
                );
            }
            (Some(path), None) if self.template.is_none() && mistakes.is_empty() => {
                // What cannot be opened has been told.
                if let Ok(tokenizer) = LoadedTokenizer::open(path) {
                    let compiled = own_template(&tokenizer);
                    mistakes.extend(
                        compiled
                            .err()
                            .map(|error| Mistake::new(["tokenizer"], error.to_string())),
                    );
                }
            }
            _ => {}
        }
        mistakes
    }
}

fn read_template(path: &Path) -> Result<String, DataError> {
    fs::read_to_string(path).map_err(DataError::io("read", path))
}

fn own_template(tokenizer: &LoadedTokenizer) -> Result<ChatTemplate, DataError> {
    match tokenizer.chat_template() {
        Some(text) => Ok(ChatTemplate::new(text, tokenizer.special())?),
        None => Err(DataError::Options(
            "the tokenizer has no chat template: name a file with one by `template`".to_owned(),
        )),
    }
}

/// Reads conversations: the fields `tokens` and `loss_mask`.
fn read(options: &ChatOptions, input: &Path, intake: &mut Intake<'_>) -> Result<(), DataError> {
    let files = find_files(input, options.files.as_deref(), &[".jsonl", ".ndjson"])?;
    let vocabulary = TextVocabulary::open(intake)?;
    let length = vocabulary.length(options.max_length)?;
    let template = match options.template {
        Some(_) => {
            let text = read_template(intake.other(TEMPLATE)?)?;
            let template = ChatTemplate::new(&text, vocabulary.tokenizer.special())?;
            intake.keep_chat_template(text);
            template
        }
        None => own_template(&vocabulary.tokenizer)?,
    };
    let schema = Schema::new(vec![vocabulary.field.clone(), Field::token_mask(LOSS_MASK)]);
    intake.begin(schema.map_err(DataError::Options)?, input)?;
    let mut has_told = false;
    let mut bundles = Bundles::new(
        |conversation: &Conversation| {
            let encoded = encode(options, &vocabulary, &template, length, conversation);
            encoded.map_err(|problem| DataError::Input {
                place: format!("`{}`", conversation.origin),
                problem,
            })
        },
        |conversation: Conversation, encoded: MaskedTokens, intake: &mut Intake<'_>| {
            if encoded.begins_twice_elsewhere && !has_told {
                has_told = true;
                intake.warn(
                    "the chat template writes the `bos` token, and the tokenizer puts one before texts too: here it stands \
                     once; programs that encode the text themselves must not add special tokens"
                        .to_owned(),
                );
            }
            let tokens = vocabulary.bytes(&encoded.ids);
            intake.count_tokens(encoded.ids.len());
            let messages = Value::Array(conversation.messages).to_string();
            let tools = conversation
                .tools
                .map_or_else(String::new, |tools| tools.to_string());
            let sample = IntakeSample {
                split: SplitName::Train,
                class: None,
                values: &[
                    row(&tokens, vocabulary.field.element.bytes()),
                    row(&encoded.mask, 1),
                ],
                origin: &conversation.origin,
            };
            let place = SplitPlace {
                unit: Some(intake.begin_document()),
                ..SplitPlace::default()
            };
            intake.push_placed(sample, digest_bytes((messages + &tools).as_bytes()), place)
        },
    );
    for (path, name) in &files {
        let mut records = RecordFile::open(path, RecordForm::JsonLines, &[])?;
        while let Some(line) = records.next_line()? {
            let origin = format!("{name}:{}", line.number);
            let found = line
                .content
                .and_then(|record| conversation(options, &origin, &record));
            let size = found.as_ref().map_or(0, |found| found.messages.len() * 256);
            let found = found.map_err(|problem| DataError::Input {
                place: format!("`{origin}`"),
                problem,
            });
            bundles.push(found, size, intake)?;
        }
    }
    bundles.flush(intake)
}

/// The conversation of a record. An error says what is wrong with it.
fn conversation(options: &ChatOptions, origin: &str, record: &RecordLine) -> Result<Conversation, String> {
    let field = &options.messages;
    let messages = match record.value(field) {
        Some(Value::Array(messages)) if !messages.is_empty() => messages.clone(),
        Some(Value::Array(_)) => return Err(format!("its `{field}` are none")),
        Some(_) => return Err(format!("its `{field}` is no list of messages")),
        None => {
            return Err(format!(
                "it has no `{field}`: name the field with the messages by `messages`"
            ));
        }
    };
    for (number, message) in (1..).zip(&messages) {
        if message.get("role").and_then(Value::as_str).is_none() {
            return Err(format!(
                "its message {number} has no `role`: messages are objects with `role` and `content`{}",
                match message.get("from") {
                    Some(_) => ", and these have `from` and `value`, as ShareGPT has them: rename them",
                    None => "",
                }
            ));
        }
    }
    let tools = options.tools.as_ref().and_then(|field| record.value(field));
    Ok(Conversation {
        origin: origin.to_owned(),
        messages,
        tools: tools.filter(|tools| !tools.is_null()).cloned(),
    })
}

/// A conversation as tokens.
struct MaskedTokens {
    ids: Vec<u32>,
    /// 1 for what is learnt.
    mask: Vec<u8>,
    /// Whether the text would begin with `bos` twice if special tokens were added to it.
    begins_twice_elsewhere: bool,
}

fn encode(
    options: &ChatOptions,
    vocabulary: &TextVocabulary,
    template: &ChatTemplate,
    length: Option<u32>,
    conversation: &Conversation,
) -> Result<MaskedTokens, String> {
    let Conversation { messages, tools, .. } = conversation;
    let told = |error: TokenizerError| error.to_string();
    let tokenizer = &vocabulary.tokenizer;
    let (text, said) = match options.targets {
        ChatTargets::All => (
            template.render(messages, tools.as_ref(), false).map_err(told)?,
            None,
        ),
        ChatTargets::Assistant => {
            let found = template.conversation(messages, tools.as_ref()).map_err(told)?;
            (found.text, Some(found.said))
        }
    };
    // The template writes all special tokens itself.
    let encoded = tokenizer.encode(&text, false).map_err(told)?;
    let count = encoded.ids.len();
    if let Some(length) = length.filter(|length| count > *length as usize) {
        return Err(format!(
            "it has {}, and {length} are the most: make `max_length` larger where the tokenizer allows it, or \
             leave longer ones out by `on_error: skip`",
            counted(count, "token")
        ));
    }
    let mask = match said {
        None => vec![1; count],
        Some(said) => encoded.within(&said),
    };
    if !mask.contains(&1) {
        return Err("there is nothing to learn in it: no assistant says anything".to_owned());
    }
    let bos = tokenizer.special().bos.as_ref().map(|token| token.id);
    let begins = |ids: &[u32]| bos.is_some() && ids.len() > 1 && Some(ids[0]) == bos && Some(ids[1]) == bos;
    if begins(&encoded.ids) {
        return Err(
            "the chat template writes the `bos` token twice: remove one from the template".to_owned(),
        );
    }
    let begins_twice_elsewhere = bos.is_some()
        && encoded.ids.first().copied() == bos
        && begins(&tokenizer.ids(&text, true).map_err(told)?);
    Ok(MaskedTokens {
        ids: encoded.ids,
        mask,
        begins_twice_elsewhere,
    })
}
