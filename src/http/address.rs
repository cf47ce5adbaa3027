//! What of a web address may be shown and kept: not a user and a password, and of a query only a digest, for
//! it may hold a token or a signature.

/// What stands in a secret's place.
const MASK: &str = "***";

/// Words that names of secrets have.
const SECRET_WORDS: [&str; 19] = [
    "accesskey",
    "apikey",
    "auth",
    "authentication",
    "authorization",
    "cookie",
    "credential",
    "credentials",
    "jwt",
    "key",
    "pass",
    "passphrase",
    "passwd",
    "pwd",
    "sas",
    "session",
    "sessionid",
    "sig",
    "signature",
];

/// What stands in names of secrets, however they are written.
const SECRET_PARTS: [&str; 3] = ["password", "secret", "token"];

/// Letters that end an address in a text.
const BEHIND: [char; 7] = [' ', '\t', '\n', '"', '\'', '<', '>'];

/// A shorter value is not taken for a secret by its looks.
const SHORTEST_LIKENESS: usize = 24;

/// The parts of a web address, whatever is wrong with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Address<'a> {
    whole: &'a str,
    scheme: &'a str,
    /// Without the password.
    user: Option<&'a str>,
    /// Host and path.
    place: &'a str,
    /// With the fragment.
    query: Option<&'a str>,
}

impl<'a> Address<'a> {
    /// Takes an address apart.
    pub fn new(whole: &'a str) -> Self {
        let (before, query) = match whole.split_once('?') {
            Some((before, query)) => (before, Some(query)),
            None => (whole, None),
        };
        let (scheme, rest) = match before.find("://") {
            Some(at) => before.split_at(at + 3),
            None => ("", before),
        };
        let authority = &rest[..rest.find(['/', '\\', '#']).unwrap_or(rest.len())];
        let (login, place) = match authority.rfind('@') {
            Some(at) if !scheme.is_empty() => (Some(&rest[..at]), &rest[at + 1..]),
            _ => (None, rest),
        };
        Self {
            whole,
            scheme,
            user: login.map(|login| login.split_once(':').map_or(login, |(user, _)| user)),
            place,
            query,
        }
    }

    /// The address without user, password and query.
    pub fn place(&self) -> String {
        format!("{}{}", self.scheme, self.place)
    }

    /// What messages and keys call it.
    pub fn shown(&self) -> String {
        if self.user.is_none() && self.query.is_none() {
            return self.whole.to_owned();
        }
        let query = if self.query.is_some() { "?..." } else { "" };
        self.place() + query
    }

    /// What is not shown and may tell files apart: the user and the query, of which a digest may be kept. The
    /// password does not, and could be guessed from a digest.
    pub fn hidden(&self) -> Option<String> {
        if self.user.is_none() && self.query.is_none() {
            return None;
        }
        Some(format!("{:?}", (self.user, self.query)))
    }
}

/// Whether what is called so (a header, a parameter of a query) is a secret.
pub(crate) fn is_secret_name(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let has_word = name
        .split(|letter: char| !letter.is_ascii_alphanumeric())
        .any(|word| SECRET_WORDS.contains(&word));
    has_word || SECRET_PARTS.iter().any(|part| name.contains(part))
}

/// Whether a value of a query looks like a secret whatever it is called: long, and of letters and digits
/// without a sense.
pub(crate) fn is_secret_value(value: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_%+=~".contains(&byte);
    value.len() >= SHORTEST_LIKENESS
        && value.bytes().all(plain)
        && value.bytes().any(|byte| byte.is_ascii_digit())
        && value.bytes().any(|byte| byte.is_ascii_alphabetic())
}

/// A text without the secrets of the web addresses in it.
pub(crate) fn without_secrets(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let (before, after) = rest.split_at(at + 3);
        out.push_str(before);
        let ends = after.find(BEHIND).unwrap_or(after.len());
        let (address, behind) = after.split_at(ends);
        let authority = address.find(['/', '\\', '?', '#']).unwrap_or(address.len());
        let address = match address[..authority].rfind('@') {
            Some(at) => {
                out.push_str(MASK);
                &address[at..]
            }
            None => address,
        };
        match address.split_once('?') {
            Some((place, query)) => {
                out.push_str(place);
                out.push('?');
                push_query(query, &mut out);
            }
            None => out.push_str(address),
        }
        rest = behind;
    }
    out.push_str(rest);
    out
}

/// Adds a query without the values that are secrets.
fn push_query(query: &str, out: &mut String) {
    for (index, part) in query.split('&').enumerate() {
        if index > 0 {
            out.push('&');
        }
        match part.split_once('=') {
            Some((name, value)) if !value.is_empty() && (is_secret_name(name) || is_secret_value(value)) => {
                out.push_str(name);
                out.push('=');
                out.push_str(MASK);
            }
            None if is_secret_value(part) => out.push_str(MASK),
            _ => out.push_str(part),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_secret_is_shown() {
        for (url, shown) in [
            ("https://a.b/c#d", "https://a.b/c#d"),
            ("https://me:oats@a.b/c?token=oats", "https://a.b/c?..."),
            ("https://me@a.b:8/c/@v1/d", "https://a.b:8/c/@v1/d"),
            ("https://me:o@ts@a.b", "https://a.b"),
            ("https://a.b/u@c/d", "https://a.b/u@c/d"),
            ("https://me:oats@a.b\\c", "https://a.b\\c"),
            ("data/a@b.csv", "data/a@b.csv"),
            ("https://a.b?x", "https://a.b?..."),
        ] {
            assert_eq!(Address::new(url).shown(), shown);
        }
    }

    #[test]
    fn what_is_hidden_tells_addresses_apart() {
        let hidden = |url: &str| Address::new(url).hidden();
        assert_eq!(hidden("https://a.b/c#d"), None);
        let urls = [
            "https://a.b/c?id=1",
            "https://a.b/c?id=2",
            "https://a.b/c?",
            "https://me@a.b/c",
            "https://you@a.b/c",
            "https://me@a.b/c?id=1",
        ];
        for (index, url) in urls.iter().enumerate() {
            assert!(
                urls[..index].iter().all(|other| hidden(other) != hidden(url)),
                "{url}"
            );
        }
        assert_eq!(hidden("https://me:one@a.b/c"), hidden("https://me:two@a.b/c"));
    }

    #[test]
    fn secrets_in_texts_are_masked() {
        for (text, masked) in [
            ("plain: text? token=x", "plain: text? token=x"),
            ("base=http://me:oats@a.b:1/c", "base=http://***@a.b:1/c"),
            (
                "http://me@a.b http://you:o@c.d/'x",
                "http://***@a.b http://***@c.d/'x",
            ),
            (
                "http://a.b/c?id=7&access_token=oats#x",
                "http://a.b/c?id=7&access_token=***",
            ),
            (
                "http://a.b/?X-Amz-Signature=12&part=3",
                "http://a.b/?X-Amz-Signature=***&part=3",
            ),
            ("http://a.b/?q=0123456789abcdef0123456789", "http://a.b/?q=***"),
            (
                "http://a.b/?file=resnet18-f37072fd-and-more.pth",
                "http://a.b/?file=resnet18-f37072fd-and-more.pth",
            ),
            ("http://a.b/@v1?x", "http://a.b/@v1?x"),
        ] {
            assert_eq!(without_secrets(text), masked);
        }
        for name in [
            "Authorization",
            "PRIVATE-TOKEN",
            "X-Dataverse-key",
            "apikey",
            "sig",
            "clientSecret",
        ] {
            assert!(is_secret_name(name), "{name}");
        }
        for name in ["Accept", "id", "keyword", "design", "User-Agent", "monkey"] {
            assert!(!is_secret_name(name), "{name}");
        }
    }
}
