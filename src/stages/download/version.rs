//! Which version of a file an answer speaks of: parts are put together only where both name the same by one
//! strong validator (RFC 9110, sections 8.8, 13.1.5 and 15.3.7.3).

use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use ureq::http::{HeaderMap, header};

/// A file that was changed so shortly before it was served may change again within the same second, or by a
/// clock that is not the server's: its date tells no versions apart.
const SETTLED_AFTER: Duration = Duration::from_secs(60);

/// What an answer says of the file's version.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct FileVersion {
    /// The entity tag, weak ones included.
    tag: Option<String>,
    /// The modification date, as it was written.
    modified: Option<String>,
    /// Whether the date tells versions apart.
    settled: bool,
}

impl FileVersion {
    /// What the header of an answer says that came just now.
    pub fn of(headers: &HeaderMap) -> Self {
        let text = |name| headers.get(name)?.to_str().ok().map(str::to_owned);
        let date = |text: Option<String>| http_date(&text?);
        let modified = text(header::LAST_MODIFIED);
        let served = date(text(header::DATE)).unwrap_or_else(SystemTime::now);
        let settled = date(modified.clone())
            .and_then(|modified| served.duration_since(modified).ok())
            .is_some_and(|age| age >= SETTLED_AFTER);
        Self {
            tag: text(header::ETAG),
            modified,
            settled,
        }
    }

    /// What `If-Range` may compare: a strong entity tag; a settled date, if there is no tag at all.
    pub fn strong(&self) -> Option<&str> {
        match (&self.tag, &self.modified) {
            (Some(tag), _) => tag.starts_with('"').then_some(tag.as_str()),
            (None, Some(modified)) if self.settled => Some(modified),
            _ => None,
        }
    }

    /// Whether a part that came with `other` is certainly of the same version.
    pub fn is_surely(&self, other: &Self) -> bool {
        self.strong().is_some()
            && self.tag == other.tag
            && (self.tag.is_some() || self.modified == other.modified)
    }
}

/// A date as HTTP writes it.
pub(super) fn http_date(text: &str) -> Option<SystemTime> {
    let date = jiff::fmt::rfc2822::parse(text).ok()?;
    Some(date.timestamp().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(lines: &[(&'static str, &str)]) -> FileVersion {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.insert(*name, value.parse().unwrap());
        }
        FileVersion::of(&headers)
    }

    const OLD: (&str, &str) = ("last-modified", "Wed, 21 Oct 2015 07:28:00 GMT");
    const NEW: (&str, &str) = ("last-modified", "Wed, 21 Oct 2015 07:28:01 GMT");

    #[test]
    fn only_one_strong_validator_joins_parts() {
        let tag = version(&[("etag", "\"a\""), OLD]);
        assert_eq!(tag.strong(), Some("\"a\""));
        assert!(tag.is_surely(&version(&[("etag", "\"a\"")])));
        for other in [&[("etag", "\"b\""), OLD][..], &[("etag", "W/\"a\"")], &[OLD], &[]] {
            assert!(!tag.is_surely(&version(other)), "{other:?}");
        }
        let date = version(&[OLD]);
        assert_eq!(date.strong(), Some(OLD.1));
        assert!(date.is_surely(&version(&[OLD])));
        for other in [&[NEW][..], &[], &[OLD, ("etag", "\"a\"")]] {
            assert!(!date.is_surely(&version(other)), "{other:?}");
        }
        for weak in [&[("etag", "W/\"a\"")][..], &[("etag", "W/\"a\""), OLD], &[]] {
            let weak = version(weak);
            assert!(weak.strong().is_none() && !weak.is_surely(&weak));
        }
    }

    #[test]
    fn a_date_must_have_settled() {
        let served = |date: &'static str| version(&[OLD, ("date", date)]).strong().is_some();
        assert!(!served("Wed, 21 Oct 2015 07:28:00 GMT"));
        assert!(!served("Wed, 21 Oct 2015 07:28:59 GMT"));
        assert!(served("Wed, 21 Oct 2015 07:29:00 GMT"));
        assert!(!served("Wed, 21 Oct 2015 07:27:00 GMT"), "before it was made");
        assert!(version(&[("last-modified", "yesterday")]).strong().is_none());
    }
}
