//! Which parameters hold secrets: they are shown and kept without them.
//!
//! A value may be a web address with a user and a password in it, and then it is that part that is hidden; or
//! it is put into such a place of a download's address, and then it is a secret as a whole.

use std::collections::BTreeSet;

use indexmap::IndexMap;
use serde_json::Value as Json;

use super::node::{CLOSE, Node, OPEN, Value};
use crate::http;

/// The parameters that are secrets as a whole, by where downloads put them; `written` is the file's tree
/// before parameters were put in.
pub(super) fn secret_params(written: &Node, parameters: &IndexMap<String, Node>) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let Some(Value::Map(stages)) = written.get("stages").map(|node| &node.value) else {
        return found;
    };
    for (_, stage) in stages.iter() {
        let Some(download) = stage.get("download") else {
            continue;
        };
        for field in ["url", "mirrors"] {
            match download.get(field).map(|node| &node.value) {
                Some(Value::Text(url)) => collect(url, parameters, &mut found),
                Some(Value::List(urls)) => {
                    for url in urls.iter() {
                        if let Value::Text(url) = &url.value {
                            collect(url, parameters, &mut found);
                        }
                    }
                }
                _ => {}
            }
        }
    }
    found
}

/// Adds the parameters that stand where an address has secrets.
fn collect(url: &str, parameters: &IndexMap<String, Node>, found: &mut BTreeSet<String>) {
    for (at, _) in url.match_indices(OPEN) {
        let before = &url[..at];
        let Some((name, behind)) = url[at + OPEN.len_utf8()..].split_once(CLOSE) else {
            continue;
        };
        let name = name.trim();
        let secret = match before.split_once('?') {
            Some((_, query)) => {
                let part = query.rsplit('&').next().unwrap_or_default();
                let called = part.split_once('=').map_or("", |(called, _)| called);
                let value = parameters.get(name).map(|node| &node.value);
                http::is_secret_name(called)
                    || matches!(value, Some(Value::Text(text)) if http::is_secret_value(text))
            }
            // Before the `@` of a login, if that is still to come in this part of the address.
            None => {
                let in_authority = before
                    .rsplit_once("://")
                    .is_some_and(|(_, authority)| !authority.contains(['/', '\\', '#']));
                let authority = &behind[..behind.find(['/', '\\', '?', '#']).unwrap_or(behind.len())];
                in_authority && authority.contains('@')
            }
        };
        if secret {
            found.insert(name.to_owned());
        }
    }
}

/// A parameter's value as it may be shown and kept.
pub(super) fn without_secrets(value: Json, is_secret: bool) -> Json {
    match value {
        _ if is_secret => Json::String("***".to_owned()),
        Json::String(text) => Json::String(http::without_secrets(&text)),
        Json::Array(items) => {
            let items = items.into_iter().map(|item| without_secrets(item, false));
            Json::Array(items.collect())
        }
        Json::Object(fields) => {
            let fields = fields.into_iter().map(|(name, item)| {
                let item = without_secrets(item, false);
                (name, item)
            });
            Json::Object(fields.collect())
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use serde_json::json;

    use crate::spec::{Override, Pipeline};

    #[test]
    fn parameters_are_kept_without_secrets() {
        let source = "params: {base: http://127.0.0.1, tok: none, user: me, pass: hush, year: 2020, note: x, file: a}
stages:
  a: {download: {url: '${base}/x?token=${tok}&year=${year}', mirrors: ['https://${user}:${pass}@b.c/${file}?v=${note}']}}
  b: {command: {run: 'echo ${note}'}}
";
        let overrides: Vec<Override> = ["base=http://lab:hush@127.0.0.1:1", "tok=hush"]
            .iter()
            .map(|text| text.parse().unwrap())
            .collect();
        let pipeline = Pipeline::parse(Path::new("p.yaml"), source, &overrides).unwrap();
        assert_eq!(
            json!(pipeline.params),
            json!({
                "base": "http://***@127.0.0.1:1", "tok": "***", "user": "***", "pass": "***", "year": 2020,
                "note": "x", "file": "a",
            })
        );
        // What is fetched is what was given.
        let url = &pipeline.stages["a"].kind.key_fields()["url"];
        assert_eq!(url, "http://127.0.0.1:1/x?...");
        assert!(format!("{:?}", pipeline.stages["a"].kind).contains("lab:hush@127.0.0.1:1/x?token=hush"));
    }
}
