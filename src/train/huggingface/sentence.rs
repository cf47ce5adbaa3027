//! What sentence-transformers adds to a folder: which modules follow the network, and how its tokens are averaged.

use std::fs;
use std::path::Path;

use serde_json::{Map, Value, json};

use super::config::CONFIG_FILE;

/// The file with the modules.
const MODULES_FILE: &str = "modules.json";

/// The folder of the averaging.
const POOLING_FOLDER: &str = "1_Pooling";

/// What is to be told of a model of similarity whose tokenizer has no token to fill up texts with.
pub const NO_PAD: &str = "the tokenizer has no `pad`, with which sentence-transformers fills up texts, and without which it \
                          embeds none";

/// The modules of a folder by the ends of their types, which have been called by several paths, and their own folders.
/// Nothing where there is no such file.
fn modules(folder: &Path) -> Result<Option<Vec<(String, String)>>, String> {
    let path = folder.join(MODULES_FILE);
    if !path.is_file() {
        return Ok(None);
    }
    let bad = || format!("its {MODULES_FILE} is no list of modules");
    let text =
        fs::read_to_string(path).map_err(|error| format!("cannot read its {MODULES_FILE}: {error}"))?;
    let listed: Vec<Map<String, Value>> = serde_json::from_str(&text).map_err(|_| bad())?;
    let module = |module: &Map<String, Value>| {
        let kind = module.get("type")?.as_str()?;
        let kind = kind.rsplit('.').next().unwrap_or(kind).to_owned();
        Some((kind, module.get("path")?.as_str()?.to_owned()))
    };
    let found: Option<Vec<(String, String)>> = listed.iter().map(module).collect();
    Ok(Some(found.ok_or_else(bad)?))
}

/// Where the model is in a folder that does not have it at its top.
pub fn where_it_may_be(folder: &Path) -> Option<String> {
    let modules = modules(folder).ok()??;
    let (_, path) = modules.iter().find(|(kind, _)| kind == "Transformer")?;
    let is_there = !path.is_empty() && folder.join(path).join(CONFIG_FILE).is_file();
    is_there.then(|| format!("its model is in the folder `{path}` within it: name that one"))
}

/// Fails where the folder asks for something else than the mean of the tokens.
pub fn check(folder: &Path) -> Result<(), String> {
    let Some(modules) = modules(folder)? else {
        return Ok(());
    };
    for (kind, path) in &modules {
        match kind.as_str() {
            "Transformer" | "Normalize" => {}
            "Pooling" => check_pooling(&folder.join(path))?,
            other => {
                return Err(format!(
                    "its {MODULES_FILE} has a module `{other}` behind the network, which is not supported"
                ));
            }
        }
    }
    Ok(())
}

fn check_pooling(folder: &Path) -> Result<(), String> {
    let path = folder.join(CONFIG_FILE);
    let bad = |problem: String| format!("its `{POOLING_FOLDER}/{CONFIG_FILE}` {problem}");
    let text = fs::read_to_string(path).map_err(|error| bad(format!("cannot be read: {error}")))?;
    let config: Map<String, Value> =
        serde_json::from_str(&text).map_err(|error| bad(format!("is no JSON object: {error}")))?;
    // Version 5.4 and later name one mode, those before have a flag for each.
    let named = config.get("pooling_mode").and_then(Value::as_str);
    let asked = config
        .iter()
        .filter(|(name, value)| name.starts_with("pooling_mode_") && **value == json!(true));
    let asked: Vec<&str> = asked.map(|(name, _)| name.as_str()).collect();
    match (named, asked.as_slice()) {
        (Some("mean"), _) | (None, ["pooling_mode_mean_tokens"]) => Ok(()),
        (Some(other), _) => Err(bad(format!(
            "asks for `{other}`, and only the mean of the tokens is supported"
        ))),
        (None, asked) => Err(bad(format!(
            "asks for {}, and only `pooling_mode_mean_tokens` is supported",
            asked.join(" and ")
        ))),
    }
}

/// Whether embeddings are divided by their lengths: so they are where the folder does not tell.
pub fn normalizes(folder: &Path) -> bool {
    let modules = modules(folder).ok().flatten();
    modules.is_none_or(|modules| modules.iter().any(|(kind, _)| kind == "Normalize"))
}

/// The files that make a folder one of sentence-transformers: names and contents.
pub fn files(width: usize, max_length: usize, normalizes: bool) -> Vec<(String, Value)> {
    let module = |index: usize, path: &str, kind: &str| {
        json!({
            "idx": index, "name": index.to_string(), "path": path,
            "type": format!("sentence_transformers.models.{kind}"),
        })
    };
    let mut modules = vec![module(0, "", "Transformer"), module(1, POOLING_FOLDER, "Pooling")];
    modules.extend(normalizes.then(|| module(2, "2_Normalize", "Normalize")));
    let pooling = json!({
        "word_embedding_dimension": width,
        "pooling_mode_cls_token": false,
        "pooling_mode_mean_tokens": true,
        "pooling_mode_max_tokens": false,
        "pooling_mode_mean_sqrt_len_tokens": false,
    });
    vec![
        (MODULES_FILE.to_owned(), json!(modules)),
        (format!("{POOLING_FOLDER}/{CONFIG_FILE}"), pooling),
        (
            "sentence_bert_config.json".to_owned(),
            json!({"max_seq_length": max_length, "do_lower_case": false}),
        ),
    ]
}

/// The most tokens that the folder's own programs show the model, where it tells.
pub fn max_length(folder: &Path) -> Option<usize> {
    let text = fs::read_to_string(folder.join("sentence_bert_config.json")).ok()?;
    let config: Map<String, Value> = serde_json::from_str(&text).ok()?;
    usize::try_from(config.get("max_seq_length")?.as_u64()?).ok()
}
