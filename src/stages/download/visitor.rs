//! Who asks for a file: the headers that go with a request, and to which hosts they go.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use percent_encoding::percent_decode_str;
use ureq::http::{HeaderName, HeaderValue, header};
use url::Url;

use crate::spec::{Download, HeaderEntry, HeaderSecret};
use crate::stages::StageError;
use crate::stages::command::value_of;

/// The headers of a stage. What is secret goes to the host of the stage's `url` alone: neither to a mirror
/// elsewhere, nor to where a server redirects.
#[derive(Clone, Debug, Default)]
pub(super) struct Visitor {
    plain: Vec<(HeaderName, HeaderValue)>,
    secret: Vec<(HeaderName, HeaderValue)>,
    home: Option<Url>,
}

impl Visitor {
    /// The headers that `spec` asks for, secrets taken from the environment.
    ///
    /// # Errors
    /// A variable is not set, or a value cannot stand in a header.
    pub fn of(spec: &Download) -> Result<Self, StageError> {
        let mut visitor = Self {
            home: Url::parse(&spec.url).ok(),
            ..Self::default()
        };
        for (name, entry) in &spec.headers {
            let unfit = || {
                StageError::failed(format!(
                    "the header `{name}` cannot be sent: its name or its value has letters that no header has"
                ))
            };
            let header = HeaderName::from_bytes(name.as_bytes()).map_err(|_| unfit())?;
            let (value, headers) = match entry {
                HeaderEntry::Text(text) => (text.clone(), &mut visitor.plain),
                HeaderEntry::Secret(secret) => (secret_value(secret)?, &mut visitor.secret),
            };
            let mut value = HeaderValue::from_str(&value).map_err(|_| unfit())?;
            value.set_sensitive(matches!(entry, HeaderEntry::Secret(_)));
            headers.push((header, value));
        }
        Ok(visitor)
    }

    /// The headers for a request to `url`, to which the request for `first` has led.
    pub fn headers(&self, first: &Url, url: &Url) -> Vec<(HeaderName, HeaderValue)> {
        let mut headers = self.plain.clone();
        if self.home.as_ref().is_some_and(|home| is_same_host(home, url)) {
            headers.extend(self.secret.iter().cloned());
        }
        let named = headers.iter().any(|(name, _)| name == header::AUTHORIZATION);
        let login = login(url).or_else(|| is_same_host(first, url).then(|| login(first))?);
        if let Some(login) = login.filter(|_| !named) {
            headers.push((header::AUTHORIZATION, login));
        }
        headers
    }
}

/// The value of a header whose secret stands in the environment.
fn secret_value(secret: &HeaderSecret) -> Result<String, StageError> {
    let value = value_of(&secret.secret).map_err(StageError::failed)?;
    Ok(match &secret.user {
        Some(user) => format!("Basic {}", BASE64.encode(format!("{user}:{value}"))),
        None => format!("{}{value}", secret.prefix),
    })
}

/// The user and the password that stand in a URL (RFC 7617).
fn login(url: &Url) -> Option<HeaderValue> {
    if url.username().is_empty() && url.password().is_none() {
        return None;
    }
    let mut pair: Vec<u8> = percent_decode_str(url.username()).collect();
    pair.push(b':');
    pair.extend(percent_decode_str(url.password().unwrap_or_default()));
    let mut value = HeaderValue::from_str(&format!("Basic {}", BASE64.encode(pair))).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// Whether what is meant for the host of `home` may be sent to `url`: the same scheme, host and port, or the
/// same host by `https:` in place of `http:`.
fn is_same_host(home: &Url, url: &Url) -> bool {
    let ports = (home.port_or_known_default(), url.port_or_known_default());
    let same = home.scheme() == url.scheme() && ports.0 == ports.1;
    let safer = (home.scheme(), url.scheme()) == ("http", "https") && ports == (Some(80), Some(443));
    home.host_str().is_some() && home.host_str() == url.host_str() && (same || safer)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        Url::parse(text).unwrap()
    }

    #[test]
    fn secrets_stay_at_home() {
        let mut visitor = Visitor {
            home: Some(url("http://a.b/x")),
            ..Visitor::default()
        };
        visitor
            .plain
            .push((header::ACCEPT, HeaderValue::from_static("text/csv")));
        visitor
            .secret
            .push((header::COOKIE, HeaderValue::from_static("hush")));
        let first = url("http://a.b/x");
        for home in ["http://a.b/y?z", "http://a.b:80/", "https://a.b/x"] {
            assert_eq!(visitor.headers(&first, &url(home)).len(), 2, "{home}");
        }
        for elsewhere in [
            "http://c.a.b/x",
            "http://a.b:81/x",
            "https://a.b:8443/x",
            "http://b/a.b",
        ] {
            assert_eq!(visitor.headers(&first, &url(elsewhere)).len(), 1, "{elsewhere}");
        }
        visitor.home = Some(url("https://a.b/x"));
        assert_eq!(
            visitor.headers(&first, &url("http://a.b/x")).len(),
            1,
            "not in the open"
        );
    }

    #[test]
    fn logins_are_those_of_rfc_7617() {
        let first = url("http://Aladdin:open%20sesame@a.b/x");
        let headers = |to: &str| Visitor::default().headers(&first, &url(to));
        let expected = HeaderValue::from_static("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
        assert_eq!(headers("http://a.b/y"), [(header::AUTHORIZATION, expected)]);
        assert_eq!(headers("http://c.d/y"), []);
        assert_eq!(headers("http://me:too@c.d/y").len(), 1);
    }
}
