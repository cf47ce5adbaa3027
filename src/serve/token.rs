//! What clients show to be answered.

use hyper::{HeaderMap, StatusCode, header};

use super::refused::Refused;

/// A secret that clients send as `Authorization: Bearer SECRET`. Only its digest is kept.
#[derive(Clone)]
pub struct BearerToken(blake3::Hash);

impl BearerToken {
    /// The secret `text`, without the spaces around it.
    ///
    /// # Errors
    /// A sentence: it is empty, or cannot stand in a header.
    pub fn new(text: &str) -> Result<Self, String> {
        let text = text.trim();
        if text.is_empty() {
            return Err("the token is empty".to_owned());
        }
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err("the token has a character that a header cannot hold".to_owned());
        }
        Ok(Self(blake3::hash(text.as_bytes())))
    }

    /// Checks what a request shows, in a time that does not tell how much of it is right.
    ///
    /// # Errors
    /// It shows nothing, or something else.
    pub(super) fn check(&self, headers: &HeaderMap) -> Result<(), Refused> {
        let shown = headers
            .get(header::AUTHORIZATION)
            .and_then(|value| value.to_str().ok());
        let shown = shown.and_then(|shown| shown.split_once(' '));
        let token = shown.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
        // Digests are compared in constant time.
        match token {
            Some((_, token)) if blake3::hash(token.trim().as_bytes()) == self.0 => Ok(()),
            _ => Err(Refused::new(
                StatusCode::UNAUTHORIZED,
                "show the server's token: `Authorization: Bearer TOKEN`",
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_token_opens() {
        let token = BearerToken::new(" s3cret\n").unwrap();
        let check = |text: Option<&str>| {
            let mut headers = HeaderMap::new();
            if let Some(text) = text {
                headers.insert(header::AUTHORIZATION, text.parse().unwrap());
            }
            token.check(&headers).is_ok()
        };
        assert!(check(Some("Bearer s3cret")) && check(Some("bearer  s3cret")));
        for wrong in [
            None,
            Some("Bearer"),
            Some("Bearer "),
            Some("Bearer s3cre"),
            Some("Basic s3cret"),
            Some("s3cret"),
        ] {
            assert!(!check(wrong), "{wrong:?}");
        }
        assert!(BearerToken::new(" \n").is_err() && BearerToken::new("a b").is_err());
    }
}
