//! Conversations as the texts that models are shown.

use std::ops::Range;

use hf_chat_template::{ChatTemplate as CompiledTemplate, Error as RenderError};
use serde_json::{Map, Value, json};

use super::error::TokenizerError;
use super::special::SpecialTokens;

/// Stands where a template's `generation` block begins; of Unicode's private use.
const BEGIN: char = '\u{F8E0}';

/// Stands where it ends.
const END: char = '\u{F8E1}';

/// A template of conversations, in the dialect of Jinja that transformers runs.
#[derive(Debug)]
pub struct ChatTemplate {
    plain: CompiledTemplate,
    /// With marks around what assistants say, where the template tells by `generation` blocks.
    marked: Option<CompiledTemplate>,
    /// `bos_token` and the like.
    special: Map<String, Value>,
}

/// A conversation as text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConversationText {
    /// The text.
    pub text: String,
    /// The bytes of it that assistants say, in order.
    pub said: Vec<Range<usize>>,
}

impl ChatTemplate {
    /// Compiles `template`, which may name the tokens of `special`.
    ///
    /// # Errors
    /// It is no template.
    pub fn new(template: &str, special: &SpecialTokens) -> Result<Self, TokenizerError> {
        let compile = |text: &str| {
            CompiledTemplate::from_str(text)
                .map_err(|error| TokenizerError::Options(format!("the chat template is wrong: {error}")))
        };
        let mut tokens = Map::new();
        for (name, token) in special.named() {
            if let Some(token) = token {
                tokens.insert(format!("{name}_token"), json!(token.text));
            }
        }
        let marked = marked(template).map(|text| compile(&text)).transpose()?;
        Ok(Self {
            plain: compile(template)?,
            marked,
            special: tokens,
        })
    }

    /// Whether the template itself tells what assistants say.
    pub fn tells(&self) -> bool {
        self.marked.is_some()
    }

    /// `messages` as text; with `prompt`, with what an assistant's answer begins behind.
    ///
    /// # Errors
    /// The template refuses them, or goes wrong.
    pub fn render(
        &self,
        messages: &[Value],
        tools: Option<&Value>,
        prompt: bool,
    ) -> Result<String, TokenizerError> {
        self.render_by(&self.plain, messages, tools, prompt)
    }

    /// `messages` as text, and what of it assistants say: what the template's `generation` blocks tell, or, without
    /// them, what an assistant's message adds behind the prompt for it.
    ///
    /// # Errors
    /// The template refuses them, or writes earlier messages otherwise once later ones follow, so that nobody can tell.
    pub fn conversation(
        &self,
        messages: &[Value],
        tools: Option<&Value>,
    ) -> Result<ConversationText, TokenizerError> {
        if let Some(marked) = &self.marked {
            return Ok(unmarked(&self.render_by(marked, messages, tools, false)?));
        }
        let text = self.render(messages, tools, false)?;
        let mut said: Vec<Range<usize>> = Vec::new();
        for (index, message) in messages.iter().enumerate() {
            if role(message) != Some("assistant") {
                continue;
            }
            let before = self.render(&messages[..index], tools, true)?;
            let after = self.render(&messages[..=index], tools, false)?;
            if !after.starts_with(&before) || !text.starts_with(&after) {
                return Err(TokenizerError::Text(format!(
                    "message {} (from 1) is written otherwise once others follow, so that it cannot be told what the \
                     assistant says: put {{% generation %}} and {{% endgeneration %}} around it in the template, or \
                     learn all of the text (`targets: all`)",
                    index + 1
                )));
            }
            said.push(before.len()..after.len());
        }
        Ok(ConversationText { text, said })
    }

    fn render_by(
        &self,
        template: &CompiledTemplate,
        messages: &[Value],
        tools: Option<&Value>,
        prompt: bool,
    ) -> Result<String, TokenizerError> {
        let mut context = self.special.clone();
        context.insert("messages".to_owned(), Value::Array(messages.to_vec()));
        if let Some(tools) = tools {
            context.insert("tools".to_owned(), tools.clone());
        }
        context.insert("add_generation_prompt".to_owned(), json!(prompt));
        template.render_context(&context).map_err(|error| {
            TokenizerError::Text(match error {
                RenderError::TemplateRaised { message } => format!("the chat template refuses it: {message}"),
                error => format!("the chat template goes wrong: {error}"),
            })
        })
    }
}

/// The role of a message.
pub(super) fn role(message: &Value) -> Option<&str> {
    message.get("role")?.as_str()
}

/// The template with marks where its `generation` blocks begin and end; nothing where it has none.
///
/// A mark stands in a block of its own, which takes the blanks around it as the tag would have.
fn marked(template: &str) -> Option<String> {
    let mut out = String::new();
    let mut rest = template;
    let mut has_any = false;
    while let Some(open) = rest.find("{%") {
        let Some(length) = rest[open..].find("%}") else {
            break;
        };
        let (tag, behind) = rest[open..].split_at(length + 2);
        let inner = &tag[2..tag.len() - 2];
        let left = if inner.starts_with(['-', '+']) {
            &inner[..1]
        } else {
            ""
        };
        let inner = &inner[left.len()..];
        let right = if inner.ends_with(['-', '+']) {
            &inner[inner.len() - 1..]
        } else {
            ""
        };
        let mark = match inner[..inner.len() - right.len()].trim() {
            "generation" => Some(BEGIN),
            "endgeneration" => Some(END),
            _ => None,
        };
        out.push_str(&rest[..open]);
        match mark {
            Some(mark) => {
                has_any = true;
                out.push_str(&format!("{{%{left} if true %}}{mark}{{% endif {right}%}}"));
            }
            None => out.push_str(tag),
        }
        rest = behind;
    }
    out.push_str(rest);
    has_any.then_some(out)
}

/// A text without its marks, and what stood between them.
fn unmarked(text: &str) -> ConversationText {
    let mut conversation = ConversationText {
        text: String::with_capacity(text.len()),
        said: Vec::new(),
    };
    let mut begin = None;
    for character in text.chars() {
        match character {
            BEGIN => begin = Some(conversation.text.len()),
            END => {
                if let Some(begin) = begin.take() {
                    conversation.said.push(begin..conversation.text.len());
                }
            }
            _ => conversation.text.push(character),
        }
    }
    conversation
}

#[cfg(test)]
mod tests {
    use super::*;

    fn messages() -> Vec<Value> {
        let message = |role: &str, content: &str| json!({"role": role, "content": content});
        vec![
            message("user", "hi"),
            message("assistant", "hello"),
            message("user", "bye"),
            message("assistant", "see you"),
        ]
    }

    const PLAIN: &str = "{% for m in messages %}<{{ m.role }}>{{ m.content }}</s>\n{% endfor %}\
                         {% if add_generation_prompt %}<assistant>{% endif %}";

    #[test]
    fn what_assistants_say_is_found_without_blocks() {
        let template = ChatTemplate::new(PLAIN, &SpecialTokens::default()).unwrap();
        assert!(!template.tells());
        let found = template.conversation(&messages(), None).unwrap();
        let said: Vec<&str> = found
            .said
            .iter()
            .map(|range| &found.text[range.clone()])
            .collect();
        assert_eq!(said, ["hello</s>\n", "see you</s>\n"]);
        assert_eq!(
            template.render(&messages()[..1], None, true).unwrap(),
            "<user>hi</s>\n<assistant>"
        );
    }

    #[test]
    fn what_assistants_say_is_found_by_blocks() {
        let text = "{%- for m in messages %}\n<{{ m.role }}>\n{%- if m.role == 'assistant' %}\n    \
                    {%- generation -%}\n    {{ m.content }}|\n    {%- endgeneration -%}\n    {%- else %}\n    \
                    {{- m.content }}\n{%- endif %}\n{%- endfor %}";
        let template = ChatTemplate::new(text, &SpecialTokens::default()).unwrap();
        assert!(template.tells());
        let found = template.conversation(&messages(), None).unwrap();
        let said: Vec<&str> = found
            .said
            .iter()
            .map(|range| &found.text[range.clone()])
            .collect();
        assert_eq!(said, ["hello|", "see you|"]);
        // The marks change nothing.
        assert_eq!(found.text, template.render(&messages(), None, false).unwrap());
    }

    #[test]
    fn templates_that_rewrite_the_past_or_refuse_are_told_of() {
        let forgets = "{% for m in messages %}{% if loop.last or m.role == 'user' %}{{ m.content }}{% endif %}\
                       {% endfor %}";
        let template = ChatTemplate::new(forgets, &SpecialTokens::default()).unwrap();
        let error = template.conversation(&messages(), None).unwrap_err().to_string();
        assert!(
            error.contains("message 2") && error.contains("generation"),
            "{error}"
        );
        let refuses =
            ChatTemplate::new("{{ raise_exception('no system') }}", &SpecialTokens::default()).unwrap();
        let error = refuses.render(&messages(), None, false).unwrap_err().to_string();
        assert_eq!(error, "the chat template refuses it: no system");
        let wrong = ChatTemplate::new("{% for %}", &SpecialTokens::default())
            .unwrap_err()
            .to_string();
        assert!(wrong.contains("template is wrong"), "{wrong}");
    }
}
