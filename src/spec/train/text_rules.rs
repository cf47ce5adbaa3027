//! What makes a recipe impossible for texts, or for a network of text.

use super::{DataFacts, Train};
use crate::spec::formats::SampleKind;
use crate::spec::mistake::Mistake;
use crate::spec::models::TextModelFacts;
use crate::spec::preprocess::TargetKind;

/// Networks of text for other data and the other way round, heads that do not give what is predicted, and rows that do
/// not fit.
pub(super) fn text_mistakes(train: &Train, facts: &DataFacts<'_>) -> Vec<Mistake> {
    let mut mistakes = Vec::new();
    let (name, text) = (train.model.name(), train.model.text());
    match (facts.kind, text) {
        (Some(kind), Some(_)) if kind != SampleKind::Texts => {
            let message = format!(
                "`{name}` is for texts, and `{}` is {}",
                train.data,
                kind.dataset()
            );
            let help = match kind {
                SampleKind::Images => "use a network for images, such as `resnet18` or `vit`",
                _ => "use `mlp`",
            };
            mistakes.push(Mistake::new(["model"], message).help(help));
            return mistakes;
        }
        // What a model that is there reads is known once its folder is.
        (Some(SampleKind::Texts), None) if train.model.base().is_some() => {}
        (Some(SampleKind::Texts), None) => {
            let message = format!(
                "`{name}` does not read texts, and `{}` is a dataset of them",
                train.data
            );
            let help = match facts.task.map(|task| task.data) {
                Some(TargetKind::NextToken) => "use `gpt2` or `llama`, or `bert` for hidden tokens",
                _ => "use `bert`, `gpt2` or `llama`",
            };
            mistakes.push(Mistake::new(["model"], message).help(help));
            return mistakes;
        }
        (Some(SampleKind::Texts), Some(text)) => {
            mistakes.extend(head_mistake(train, facts, &text));
            mistakes.extend(size_mistakes(train, facts, &text));
            mistakes.extend(padding_mistake(train, facts, &text));
            mistakes.extend(lonely_pair_mistake(train, facts));
        }
        _ => {}
    }
    let is_text = facts.kind.map(|kind| kind == SampleKind::Texts);
    if is_text == Some(false) && train.batch_tokens.is_some() {
        let message = format!(
            "`batch_tokens` counts the tokens of texts, and `{}` has none",
            train.data
        );
        mistakes.push(Mistake::new(["batch_tokens"], message).help("use `batch_size` alone"));
    }
    if train.pack.is_some() {
        let is_packed = facts.task.map(|task| task.data == TargetKind::NextToken);
        if is_packed == Some(false) || is_text == Some(false) {
            let message = match is_text {
                Some(false) => format!("`pack` is for texts, and `{}` has none", train.data),
                _ => "`pack` is for language models: other samples stay whole, and nothing fills up shorter ones"
                    .to_owned(),
            };
            mistakes.push(Mistake::new(["pack"], message).help("leave it out"));
        }
    }
    if is_text == Some(true) && train.normalize.is_some() {
        let message = "tokens are no numbers that could be normalised";
        mistakes.push(Mistake::new(["normalize"], message).help("leave it out"));
    }
    mistakes
}

/// A head that does not give what is predicted.
fn head_mistake(train: &Train, facts: &DataFacts<'_>, text: &TextModelFacts) -> Option<Mistake> {
    let (name, task) = (train.model.name(), facts.task?);
    if let Some(head) = text.head.filter(|head| *head != task.head) {
        let message = format!(
            "the head `{}` does not give what is predicted: `{}` has {} to predict",
            head.name(),
            train.data,
            task.predicts
        );
        let help = format!("leave it out: it is `{}` then", task.head.name());
        return Some(Mistake::new(["model", name, "head"], message).help(help));
    }
    if text.can_have(task.head) {
        return None;
    }
    let message = match text.is_causal {
        true => format!("a token of `{name}` does not see those behind it, so it cannot tell hidden ones"),
        false => {
            format!("a token of `{name}` sees those behind it, so there is nothing in telling the next one")
        }
    };
    let help = match text.is_causal {
        true => "use `bert`, or `task: next_token`",
        false => "use `gpt2` or `llama`",
    };
    Some(Mistake::new(["model"], message).help(help))
}

/// Pairs that have no other to be compared with.
fn lonely_pair_mistake(train: &Train, facts: &DataFacts<'_>) -> Option<Mistake> {
    let compares = facts.task.is_some_and(|task| task.data == TargetKind::Similarity);
    (compares && train.batch_size.get() == 1).then(|| {
        let message = "a pair is compared with the others of its batch, and there would be none";
        Mistake::new(["batch_size"], message).help("make it larger, such as 32")
    })
}

/// A token of texts that would never be trained, since it is taken for what fills them up.
fn padding_mistake(train: &Train, facts: &DataFacts<'_>, text: &TextModelFacts) -> Option<Mistake> {
    let (row, roles) = (text.padding?, facts.roles?);
    let path = ["model", train.model.name(), "padding"];
    if let Some(pad) = roles.pad.filter(|pad| *pad != row) {
        let message = format!(
            "the embedding of the token {row} would not be trained, and what fills up texts is {pad}"
        );
        return Some(Mistake::new(path, message).help(format!("write `padding: {pad}`")));
    }
    let meaning = [
        ("eos", roles.eos),
        ("bos", roles.bos),
        ("cls", roles.cls),
        ("sep", roles.sep),
        ("mask", roles.mask),
        ("unk", roles.unk),
    ];
    let (name, _) = meaning.into_iter().find(|(_, token)| *token == Some(row))?;
    let message =
        format!("the embedding of the token {row} would not be trained, which is the tokenizer's `{name}`");
    let help = match roles.pad {
        Some(_) => "give the tokenizer a `pad` of its own",
        None => "give the tokenizer a `pad`, or let `padding` be a token that texts do not have",
    };
    Some(Mistake::new(path, message).help(help))
}

/// Samples that are longer than the positions, and a vocabulary that is too small.
fn size_mistakes(train: &Train, facts: &DataFacts<'_>, text: &TextModelFacts) -> Vec<Mistake> {
    let mut mistakes = Vec::new();
    let name = train.model.name();
    let length = train
        .pack
        .and_then(|pack| pack.length)
        .map(|length| length.get() as usize);
    if let Some(length) = length.filter(|length| *length > text.context) {
        let message = format!(
            "rows of {length} tokens are longer than the {} positions of `{name}`",
            text.context
        );
        mistakes.push(
            Mistake::new(["pack", "length"], message).help("make `context` larger, or the rows shorter"),
        );
    }
    if let Some(longest) = facts.longest.filter(|longest| *longest > text.context) {
        let message = format!(
            "`{}` has a sample of {longest} tokens, and `{name}` has {} positions",
            train.data, text.context
        );
        let help = "make `context` larger, or the samples shorter by `max_length` of their format";
        mistakes.push(Mistake::new(["model", name, "context"], message).help(help));
    }
    if let (Some(rows), Some(tokens)) = (text.vocabulary, facts.vocabulary)
        && rows < tokens
    {
        let message = format!(
            "{rows} rows are too few for the {tokens} tokens of `{}`",
            train.data
        );
        mistakes.push(
            Mistake::new(["model", name, "vocabulary"], message).help("make it larger, or leave it out"),
        );
    }
    let most = train.batch_tokens.map(|tokens| tokens.get() as usize);
    if let (Some(length), Some(most)) = (length, most)
        && most < length
    {
        let message = format!("a row of {length} tokens does not fit a batch of {most}");
        mistakes.push(Mistake::new(["batch_tokens"], message).help("make it larger, or the rows shorter"));
    }
    mistakes
}
