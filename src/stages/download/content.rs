//! What a file is by its beginning, for messages: the web page that a server sends in place of a file, an
//! error in JSON, an archive of a kind that is not read here.

use crate::data::Packing;

/// So many bytes of the beginning are enough to tell.
pub(super) const ENOUGH: usize = 4096;

/// The longest piece of a text that is shown.
const LONGEST_PIECE: usize = 100;

/// What the file is that begins with `start`: "it is ..." or "it begins with ...".
pub(super) fn description(start: &[u8]) -> String {
    if start.is_empty() {
        return "it is empty".to_owned();
    }
    if is_web_page(start) {
        return match title(start) {
            Some(title) => format!("it is a web page (HTML) with the title `{title}`"),
            None => "it is a web page (HTML)".to_owned(),
        };
    }
    if Packing::is_lzma_alone(start) {
        return "it is an LZMA file (.lzma), the format before xz, which is not read here; unpack it in a `command` stage, \
                as by `xz --format=lzma -d`, or pack it anew as xz"
            .to_owned();
    }
    if let Some(name) = foreign_archive(start) {
        return format!(
            "it is {name}, which is not read here; unpack it in a `command` stage, or pack it anew"
        );
    }
    if let Some(text) = text(start) {
        return format!("it begins with the text `{}`", piece(text));
    }
    let first: Vec<String> = start.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    format!("it begins with the bytes `{}`", first.join(" "))
}

/// Whether `start` is the beginning of a web page.
pub(super) fn is_web_page(start: &[u8]) -> bool {
    let text = String::from_utf8_lossy(&start[..start.len().min(ENOUGH)]).to_ascii_lowercase();
    let mut rest = text.trim_start_matches('\u{feff}').trim_start();
    // Comments and the XML declaration may stand before.
    loop {
        let skipped = [("<!--", "-->"), ("<?xml", "?>")]
            .iter()
            .find_map(|(opens, closes)| {
                let inside = rest.strip_prefix(opens)?;
                Some(inside.split_once(closes)?.1)
            });
        match skipped {
            Some(after) => rest = after.trim_start(),
            None => break,
        }
    }
    ["<!doctype html", "<html", "<head", "<body"].iter().any(|tag| {
        rest.strip_prefix(tag)
            .is_some_and(|after| !after.starts_with(|c: char| c.is_alphanumeric() || c == '-'))
    })
}

/// The title of a web page.
fn title(start: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(start);
    // In lower case all letters of ASCII keep their places.
    let lower = text.to_ascii_lowercase();
    let opens = lower.find("<title")?;
    let begins = opens + lower[opens..].find('>')? + 1;
    let ends = begins + lower[begins..].find("</title")?;
    let title = piece(&text[begins..ends]);
    (!title.is_empty()).then_some(title)
}

/// An archive of a kind that is not read here.
fn foreign_archive(start: &[u8]) -> Option<&'static str> {
    let kinds: [(&[u8], &str); 9] = [
        (b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
        (b"Rar!\x1a\x07", "a RAR archive"),
        (b"\x04\x22\x4d\x18", "an lz4 file"),
        (b"LZIP", "an lzip file"),
        (b"\x1f\x9d", "a file of `compress` (.Z)"),
        (b"MSCF", "a cabinet (.cab)"),
        (b"xar!", "a xar archive"),
        (b"!<arch>\n", "an ar archive"),
        (b"070701", "a cpio archive"),
    ];
    kinds
        .iter()
        .find(|(magic, _)| start.starts_with(magic))
        .map(|(_, name)| *name)
}

/// `start` as a text, if it is one.
fn text(start: &[u8]) -> Option<&str> {
    let valid = match std::str::from_utf8(start) {
        Ok(text) => text,
        // A letter may be cut in two at the end.
        Err(error) if error.error_len().is_none() => {
            std::str::from_utf8(&start[..error.valid_up_to()]).ok()?
        }
        Err(_) => return None,
    };
    let printable = |letter: char| !letter.is_control() || letter.is_ascii_whitespace();
    (valid.chars().all(printable) && !valid.trim().is_empty()).then_some(valid)
}

/// The first words of a text, on one line.
fn piece(text: &str) -> String {
    let mut words = String::new();
    for word in text.split_whitespace() {
        if !words.is_empty() {
            words.push(' ');
        }
        words.push_str(word);
        if words.chars().count() > LONGEST_PIECE {
            words = words.chars().take(LONGEST_PIECE).collect();
            words.push_str("...");
            break;
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn web_pages_are_told_from_data() {
        for page in [
            "<!DOCTYPE html>\n<p>x",
            "\u{feff}\n  <HTML lang=en>",
            "<!-- saved --><!doctype HTML PUBLIC>",
            "<?xml version='1.0'?><!DOCTYPE html><html>",
            "<head><title>x",
        ] {
            assert!(is_web_page(page.as_bytes()), "{page}");
        }
        for data in [
            "a,b\n1,<html>\n",
            "<?xml version='1.0'?><annotation>",
            "<htmlish>",
            "<header>",
            "",
            "<!-- html -->",
        ] {
            assert!(!is_web_page(data.as_bytes()), "{data}");
        }
    }

    #[test]
    fn what_it_is_is_told() {
        for (start, words) in [
            (&b""[..], "it is empty"),
            (
                b"<html><head><TITLE>\n Quota\n exceeded </TITLE>",
                "a web page (HTML) with the title `Quota exceeded`",
            ),
            (
                b"{\"error\": \"no such\n record\"}",
                "the text `{\"error\": \"no such record\"}`",
            ),
            (b"7z\xbc\xaf\x27\x1c\0\x04", "a 7z archive"),
            (b"\x00\x01\x02", "the bytes `00 01 02`"),
            (
                "nur Text \u{e4}".as_bytes().split_last().unwrap().1,
                "the text `nur Text`",
            ),
        ] {
            let told = description(start);
            assert!(told.contains(words), "{told}");
        }
        assert!(description("x".repeat(500).as_bytes()).len() < 200);
    }
}
