//! The YAML that pipelines are mostly written in, read at once: block mappings and lists, plain and quoted texts on one
//! line, flow collections on one line, texts in lines of their own.
//!
//! What this reader gives is what the YAML library gives, spans included. A document that has anything else (anchors,
//! tags, rare escapes, quoted texts over several lines, numbers in unusual forms, mistakes) is left to the library as a
//! whole, which alone tells what is wrong.

use std::collections::HashSet;
use std::sync::Arc;

use super::scalar::{is_word_of_yaml, marked, plain_value, text};
use crate::spec::node::{Key, Node, Value};

/// The document, or nothing where it is to be read by the library.
pub(super) fn read(source: &str) -> Option<Node> {
    if !source.chars().all(is_usual) {
        return None;
    }
    let bytes = marked(source);
    let mut reader = BlockReader {
        source: &bytes,
        at: 0,
        indent: 0,
    };
    reader.go_to_content(0);
    let root = reader.block(DEEPEST)?;
    (reader.at == bytes.len()).then_some(root)
}

/// Collections within each other.
const DEEPEST: usize = 32;
/// Entries from which on names are looked up in a set; on one line no mapping has as many.
const MANY: usize = 64;
/// Bytes of a name: the library takes no longer ones.
const LONGEST_NAME: usize = 1000;

/// Whether a character means nothing to YAML, or what it always means.
fn is_usual(character: char) -> bool {
    match character {
        '\n' | ' '..='~' => true,
        '\u{A1}'..='\u{D7FF}' => !character.is_whitespace(),
        _ => false,
    }
}

struct BlockReader<'a> {
    source: &'a [u8],
    /// The next byte.
    at: usize,
    /// Of the line of content that the reader came to last, the column where its content begins.
    indent: usize,
}

impl BlockReader<'_> {
    fn byte(&self, at: usize) -> u8 {
        self.source.get(at).copied().unwrap_or(b'\n')
    }

    /// Where the line of `at` ends.
    fn line_end(&self, at: usize) -> usize {
        let rest = &self.source[at..];
        at + rest.iter().position(|&byte| byte == b'\n').unwrap_or(rest.len())
    }

    /// How many spaces stand at `at`.
    fn spaces(&self, at: usize) -> usize {
        self.source[at..].iter().take_while(|&&byte| byte == b' ').count()
    }

    fn is_at_end(&self) -> bool {
        self.at == self.source.len()
    }

    /// Goes to the content of the line that begins at `start`, or of the next that has any; to the end where none has.
    fn go_to_content(&mut self, mut start: usize) {
        while start < self.source.len() {
            let spaces = self.spaces(start);
            match self.byte(start + spaces) {
                b'\n' | b'#' => start = self.line_end(start) + 1,
                _ => {
                    (self.at, self.indent) = (start + spaces, spaces);
                    return;
                }
            }
        }
        (self.at, self.indent) = (self.source.len(), 0);
    }

    /// Where something ended in a line: nothing but a comment may follow, and the reader goes to the next content.
    fn end_line(&mut self, at: usize) -> Option<()> {
        let spaces = self.spaces(at);
        let next = self.byte(at + spaces);
        let is_over = next == b'\n' || spaces > 0 && next == b'#';
        is_over.then(|| self.go_to_content(self.line_end(at) + 1))
    }

    fn is_at_item(&self) -> bool {
        self.byte(self.at) == b'-' && matches!(self.byte(self.at + 1), b' ' | b'\n')
    }

    /// The collection that begins where the reader is.
    fn block(&mut self, depth: usize) -> Option<Node> {
        let depth = depth.checked_sub(1)?;
        match self.is_at_item() {
            true => self.list(self.indent, false, depth),
            false => self.mapping(self.indent, depth),
        }
    }

    fn mapping(&mut self, indent: usize, depth: usize) -> Option<Node> {
        let source = self.source;
        let span = (self.at, 0).into();
        let mut entries: Vec<(Key, Node)> = Vec::new();
        let mut names: HashSet<&[u8]> = HashSet::new();
        loop {
            let (key, after) = self.key()?;
            let written = |key: &Key| &source[key.span.offset()..key.span.offset() + key.span.len()];
            let is_known = match entries.len() < MANY {
                true => entries.iter().any(|(other, _)| other.name == key.name),
                false => {
                    if names.is_empty() {
                        names.extend(entries.iter().map(|(key, _)| written(key)));
                    }
                    !names.insert(written(&key))
                }
            };
            if is_known {
                return None;
            }
            let value = self.value(after, indent, true, depth)?;
            entries.push((key, value));
            if self.is_at_end() || self.indent < indent {
                break;
            }
            if self.indent > indent {
                return None;
            }
        }
        entries.shrink_to_fit();
        Some(Node::new(Value::Map(Arc::new(entries)), span))
    }

    fn list(&mut self, indent: usize, is_beside: bool, depth: usize) -> Option<Node> {
        let span = match is_beside {
            true => self.first_item()?,
            false => self.at,
        };
        let span = (span, 0).into();
        let mut items = Vec::new();
        loop {
            items.push(self.value(self.at + 1, indent, false, depth)?);
            if self.is_at_end() || self.indent < indent || !self.is_at_item() {
                break;
            }
            if self.indent > indent {
                return None;
            }
        }
        items.shrink_to_fit();
        Some(Node::new(Value::List(Arc::new(items)), span))
    }

    /// Where the library says that a list begins that stands in the column of its key: at its first item.
    fn first_item(&self) -> Option<usize> {
        let after = self.at + 1;
        let spaces = self.spaces(after);
        match self.byte(after + spaces) {
            b'\n' => (spaces == 0).then_some(after),
            b'#' => None,
            _ => Some(after + spaces),
        }
    }

    /// What stands behind a key or a dash, which belong to a collection of `indent`.
    fn value(&mut self, after: usize, indent: usize, is_member: bool, depth: usize) -> Option<Node> {
        let spaces = self.spaces(after);
        let start = after + spaces;
        let byte = self.byte(start);
        if byte == b'\n' || byte == b'#' && spaces > 0 {
            self.go_to_content(self.line_end(start) + 1);
            let is_below = !self.is_at_end() && self.indent > indent;
            let is_beside = is_member && !self.is_at_end() && self.indent == indent && self.is_at_item();
            return match (is_below, is_beside) {
                (true, _) => self.block(depth),
                (_, true) => self.list(indent, true, depth.checked_sub(1)?),
                _ => None,
            };
        }
        if matches!(byte, b'|' | b'>') {
            return self.lines(start, indent);
        }
        if !is_member {
            // A collection that begins behind the dash stands in the column where it begins.
            self.at = start;
            let column = indent + 1 + spaces;
            let is_list = self.is_at_item();
            if is_list || self.key().is_some() {
                let depth = depth.checked_sub(1)?;
                let node = match is_list {
                    true => self.list(column, false, depth)?,
                    false => self.mapping(column, depth)?,
                };
                return (self.is_at_end() || self.indent <= indent).then_some(node);
            }
        }
        let (node, end) = match byte {
            b'[' | b'{' => self.flow(start, self.line_end(start), depth)?,
            b'"' | b'\'' => self.quoted(start, self.line_end(start))?,
            _ => self.plain(start, false)?,
        };
        self.end_line(end)?;
        // A text that goes on in the next line.
        (self.is_at_end() || self.indent <= indent).then_some(node)
    }

    /// A name, its colon, and where what belongs to it begins.
    fn key(&self) -> Option<(Key, usize)> {
        let (name, end) = self.name(self.at)?;
        let key = Key {
            name,
            span: (self.at, end - self.at).into(),
        };
        let is_key = self.byte(end) == b':' && matches!(self.byte(end + 1), b' ' | b'\n');
        is_key.then_some((key, end + 1))
    }

    fn name(&self, start: usize) -> Option<(String, usize)> {
        let is_part = |byte: &&u8| {
            byte.is_ascii_alphanumeric()
                || matches!(
                    byte,
                    b'_' | b'-' | b'.' | b'/' | b' ' | b'(' | b')' | b'+' | b'=' | 0x80..
                )
        };
        let len = self.source[start..].iter().take_while(is_part).count();
        let name = &self.source[start..start + len];
        let begins = matches!(name.first(), Some(b'_' | b'a'..=b'z' | b'A'..=b'Z' | 0x80..));
        let is_name = begins && len <= LONGEST_NAME && name.last() != Some(&b' ') && !is_word_of_yaml(name);
        is_name.then(|| (text(name), start + len))
    }

    /// A text or number on one line, and where it ends.
    fn plain(&self, start: usize, in_flow: bool) -> Option<(Node, usize)> {
        let first = self.byte(start);
        let second = self.byte(start + 1);
        let begins = first.is_ascii_alphanumeric()
            || matches!(first, b'_' | b'/' | b'.' | b'$' | b'(' | 0x80..)
            || first == b'-' && (second.is_ascii_alphanumeric() || matches!(second, b'.' | b'-'));
        if !begins {
            return None;
        }
        let mut end = start;
        while let byte = self.byte(end)
            && byte != b'\n'
        {
            let next = self.byte(end + 1);
            match byte {
                b',' | b'[' | b']' | b'{' | b'}' if in_flow => break,
                b':' if matches!(next, b' ' | b'\n') => return None,
                b':' if in_flow && matches!(next, b',' | b'[' | b']' | b'{' | b'}') => return None,
                b' ' if next == b'#' => break,
                _ => end += 1,
            }
        }
        let words = self.source[start..end].trim_ascii_end();
        Some((Node::new(plain_value(words)?, (start, words.len()).into()), end))
    }

    /// A text in quotes on the line that ends at `line`, with the commonest escapes, and where it ends.
    fn quoted(&self, start: usize, line: usize) -> Option<(Node, usize)> {
        let quote = self.byte(start);
        let line = &self.source[start + 1..line];
        let mut words = Vec::new();
        let mut rest = line.iter();
        loop {
            match *rest.next()? {
                byte if byte == quote => break,
                b'\\' if quote == b'"' => words.push(match rest.next()? {
                    b'n' => b'\n',
                    b't' => b'\t',
                    byte @ (b'"' | b'\\') => *byte,
                    _ => return None,
                }),
                byte => words.push(byte),
            }
        }
        let len = line.len() - rest.len();
        let end = start + 1 + len;
        if self.byte(end) == quote {
            return None;
        }
        Some((Node::new(Value::Text(text(&words)), (start, len + 1).into()), end))
    }

    /// The name of a member of a mapping in braces, and where what belongs to it begins; nothing where it is
    /// among `known`, or these are many.
    fn member(&self, start: usize, known: &[(Key, Node)]) -> Option<(Key, usize)> {
        let (name, end) = self.name(start)?;
        let is_member = self.byte(end) == b':' && self.byte(end + 1) == b' ';
        let is_known = known.len() >= MANY || known.iter().any(|(key, _)| key.name == name);
        let span = (start, end - start).into();
        (is_member && !is_known).then(|| (Key { name, span }, end + 1))
    }

    /// A collection in brackets on the line that ends at `line`, and where it ends.
    fn flow(&self, start: usize, line: usize, depth: usize) -> Option<(Node, usize)> {
        let depth = depth.checked_sub(1)?;
        let is_list = self.byte(start) == b'[';
        let close = if is_list { b']' } else { b'}' };
        let skip = |at: usize| at + self.spaces(at);
        let (mut items, mut entries): (Vec<Node>, Vec<(Key, Node)>) = (Vec::new(), Vec::new());
        let mut at = skip(start + 1);
        while self.byte(at) != close {
            let member = self.member(at, &entries);
            if member.is_none() && !is_list {
                return None;
            }
            let from = member.as_ref().map_or(at, |(_, after)| skip(*after));
            let (node, end) = match self.byte(from) {
                b'[' | b'{' => self.flow(from, line, depth)?,
                b'"' | b'\'' => self.quoted(from, line)?,
                _ => self.plain(from, true)?,
            };
            match member {
                // A member in a list is a mapping of its own.
                Some((key, _)) if is_list => {
                    let value = Value::Map(Arc::new(vec![(key, node)]));
                    items.push(Node::new(value, (at, 0).into()));
                }
                Some((key, _)) => entries.push((key, node)),
                None => items.push(node),
            }
            at = skip(end);
            match self.byte(at) {
                b',' => at = skip(at + 1),
                byte if byte == close => {}
                _ => return None,
            }
        }
        let value = match is_list {
            true => Value::List(Arc::new(items)),
            false => Value::Map(Arc::new(entries)),
        };
        Some((Node::new(value, (start, 1).into()), at + 1))
    }

    /// A text in lines of their own, which are indented by more than `indent`: as they are, or folded into one.
    fn lines(&mut self, start: usize, indent: usize) -> Option<Node> {
        let strip = self.byte(start + 1) == b'-';
        let header = start + 1 + usize::from(strip);
        if self.byte(header) != b'\n' || header >= self.source.len() {
            return None;
        }
        let mut next = header + 1;
        let (mut column, mut span) = (None, None);
        let mut lines: Vec<&[u8]> = Vec::new();
        while next < self.source.len() {
            let end = self.line_end(next);
            if end == self.source.len() {
                // Whether its last line ends is a question of its own.
                return None;
            }
            let line = &self.source[next..end];
            let spaces = self.spaces(next);
            if spaces == line.len() {
                // Spaces alone may be part of the text or not.
                if spaces > 0 {
                    return None;
                }
                lines.push(line);
            } else {
                let column = *column.get_or_insert(spaces);
                if column <= indent {
                    return None;
                }
                if spaces < column {
                    if spaces > indent {
                        return None;
                    }
                    break;
                }
                span.get_or_insert((next + column, line[column..].trim_ascii_end().len()).into());
                lines.push(&line[column..]);
            }
            next = end + 1;
        }
        while lines.last().is_some_and(|line| line.is_empty()) {
            lines.pop();
        }
        let span = span?;
        let is_folded = self.byte(start) == b'>';
        if is_folded && lines.iter().any(|line| matches!(line.first(), None | Some(b' '))) {
            return None;
        }
        let mut words = text(&lines.join(if is_folded { &b' ' } else { &b'\n' }));
        if !strip {
            words.push('\n');
        }
        self.go_to_content(next);
        Some(Node::new(Value::Text(words), span))
    }
}

#[cfg(test)]
mod tests;
