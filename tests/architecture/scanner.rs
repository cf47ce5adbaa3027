//! Reads imports out of source text.

use std::path::Path;

/// The module that a file is: `store::lease` for `store/lease.rs`, `store` for `store/mod.rs`.
pub fn module_path(inside: &Path) -> Vec<String> {
    let whole = inside.with_extension("");
    let mut path: Vec<String> = whole
        .iter()
        .map(|part| part.to_string_lossy().into_owned())
        .collect();
    if path.len() > 1 && path.last().is_some_and(|last| last == "mod") {
        path.pop();
    }
    path
}

/// The paths inside the crate that a text names, from the root on, with their lines: through `crate::`,
/// the crate's own name, `super::`, `self::`, or the name of a module that the file declares.
pub fn imports(inside: &Path, text: &str) -> Vec<(usize, Vec<String>)> {
    let code = without_comments_and_strings(text);
    let own = if matches!(inside.to_str(), Some("lib.rs" | "main.rs")) {
        Vec::new()
    } else {
        module_path(inside)
    };
    let mut starts: Vec<(String, Vec<String>)> = vec![("crate::".to_owned(), Vec::new())];
    if inside == Path::new("main.rs") || inside.starts_with("bin") {
        starts.push(("erlen::".to_owned(), Vec::new()));
    }
    for up in 1..=own.len() {
        starts.push(("super::".repeat(up), own[..own.len() - up].to_vec()));
    }
    starts.push(("self::".to_owned(), own.clone()));
    for declared in declared(&code) {
        let path = own.iter().cloned().chain([declared.clone()]).collect();
        starts.push((format!("{declared}::"), path));
    }
    let mut found = Vec::new();
    for (start, base) in &starts {
        for (place, _) in code.match_indices(start.as_str()) {
            let before = code[..place].chars().next_back();
            let rest = &code[place + start.len()..];
            if before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':')
                || rest.starts_with("super::")
            {
                continue;
            }
            // A visibility names a module without taking anything from it.
            if code[..place].ends_with("(in ") {
                continue;
            }
            let line = code[..place].matches('\n').count() + 1;
            let paths = paths(rest).into_iter().map(|path| [base.clone(), path].concat());
            found.extend(paths.filter(|path| !path.is_empty()).map(|path| (line, path)));
        }
    }
    found
}

/// The modules that a file declares as other files.
fn declared(code: &str) -> Vec<String> {
    let lines = code.lines().filter_map(|line| {
        let name = line.trim().strip_suffix(';')?.rsplit_once("mod ")?;
        let visibility = name.0.trim();
        (visibility.is_empty() || visibility.starts_with("pub")).then(|| name.1.to_owned())
    });
    lines.collect()
}

/// The paths of `a::b` or `{a, b::{c, d}}`, as far as they are names.
fn paths(rest: &str) -> Vec<Vec<String>> {
    let rest = rest.trim_start();
    if let Some(group) = rest.strip_prefix('{') {
        return members(group).into_iter().flat_map(paths).collect();
    }
    let name: String = rest
        .chars()
        .take_while(|c| c.is_alphanumeric() || *c == '_')
        .collect();
    match rest[name.len()..].strip_prefix("::") {
        Some(behind) if !name.is_empty() => {
            let behind = paths(behind).into_iter();
            behind.map(|path| [vec![name.clone()], path].concat()).collect()
        }
        _ if name.is_empty() => vec![Vec::new()],
        _ => vec![vec![name]],
    }
}

/// The members of a group, whose opening brace is before `group`.
fn members(group: &str) -> Vec<&str> {
    let (mut members, mut level, mut start) = (Vec::new(), 0, 0);
    for (index, c) in group.char_indices() {
        match c {
            '{' => level += 1,
            '}' if level == 0 => {
                members.push(&group[start..index]);
                break;
            }
            '}' => level -= 1,
            ',' if level == 0 => {
                members.push(&group[start..index]);
                start = index + 1;
            }
            _ => {}
        }
    }
    members.retain(|member| !member.trim().is_empty());
    members
}

/// `text` with comments and the insides of string literals as spaces; line breaks stay.
fn without_comments_and_strings(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let end = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            rest.find("*/").map_or(rest.len(), |end| end + 2)
        } else if let Some(quote) = raw_string(rest) {
            let close = format!("\"{}", "#".repeat(quote - 2));
            rest[quote..]
                .find(&close)
                .map_or(rest.len(), |end| quote + end + close.len())
        } else if first == '"' {
            end_of_string(rest)
        } else if rest.starts_with("'\"'") {
            3
        } else {
            code.push(first);
            rest = &rest[first.len_utf8()..];
            continue;
        };
        code.extend(rest[..end].chars().map(|c| if c == '\n' { '\n' } else { ' ' }));
        rest = &rest[end..];
    }
    code
}

/// The length of `r#"`, with however many `#`, if the text begins with it.
fn raw_string(text: &str) -> Option<usize> {
    let hashes = text
        .strip_prefix('r')?
        .bytes()
        .take_while(|byte| *byte == b'#')
        .count();
    (text.as_bytes().get(hashes + 1) == Some(&b'"')).then_some(hashes + 2)
}

fn end_of_string(text: &str) -> usize {
    let mut escaped = false;
    for (index, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return index + 1,
            _ => {}
        }
    }
    text.len()
}
