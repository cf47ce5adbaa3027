//! What the answers of S3 services and WebDAV servers say. They are flat lists of named texts, so their tags are
//! looked for, and what stands around them does not matter.

/// The text of each element called `name`, whatever its namespace's prefix is, in their order. Elements inside
/// one another are not told apart: an element that is asked for holds text alone.
pub(super) fn texts<'a>(xml: &'a str, name: &'a str) -> impl Iterator<Item = String> + 'a {
    let mut rest = xml;
    std::iter::from_fn(move || {
        loop {
            let (_, after) = rest.split_once('<')?;
            let (tag, after) = after.split_once('>')?;
            rest = after;
            let tag_name = tag.split_whitespace().next().unwrap_or_default();
            let local = tag_name.rsplit(':').next().unwrap_or_default();
            if local == name && !tag_name.starts_with('/') && !tag.ends_with('/') {
                let (text, _) = after.split_once('<')?;
                return Some(unescape(text));
            }
        }
    })
}

/// The text of the first element called `name`.
pub(super) fn text(xml: &str, name: &str) -> Option<String> {
    texts(xml, name).next()
}

fn unescape(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('&') {
        plain.push_str(before);
        let known = after.split_once(';').and_then(|(name, after)| {
            let character = match name {
                "amp" => '&',
                "lt" => '<',
                "gt" => '>',
                "quot" => '"',
                "apos" => '\'',
                number => {
                    let number = number.strip_prefix('#')?;
                    let code = match number.strip_prefix('x') {
                        Some(digits) => u32::from_str_radix(digits, 16),
                        None => number.parse(),
                    };
                    char::from_u32(code.ok()?)?
                }
            };
            Some((character, after))
        });
        rest = match known {
            Some((character, after)) => {
                plain.push(character);
                after
            }
            None => {
                plain.push('&');
                after
            }
        };
    }
    plain + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_are_found_with_and_without_a_namespace() {
        let xml = "<?xml version=\"1.0\"?>\n<D:multistatus xmlns:D=\"DAV:\"><D:response><D:href>/a%20b</D:href>\
                   </D:response><D:response>\n<D:href >/c&amp;d</D:href><D:hrefs>no</D:hrefs></D:response>\
                   <D:href/></D:multistatus>";
        assert_eq!(texts(xml, "href").collect::<Vec<_>>(), ["/a%20b", "/c&d"]);
        assert_eq!(text("<Key>a</Key>", "Key").as_deref(), Some("a"));
        assert_eq!(text("<Key>a</Key>", "Code"), None);
    }

    #[test]
    fn references_are_resolved_and_what_is_none_stays() {
        assert_eq!(unescape("&lt;a&gt; &#65;&#x42; &quot;&apos;"), "<a> AB \"'");
        assert_eq!(
            unescape("a & b; &unknown; &#xffffffff; &"),
            "a & b; &unknown; &#xffffffff; &"
        );
        for broken in ["<", "<Key", "<Key>", "<Key>a", "</Key>", "<>"] {
            assert_eq!(text(broken, "Key"), None, "{broken}");
        }
    }
}
