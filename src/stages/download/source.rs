//! Where a file may come from.

use std::fmt::{self, Display, Formatter};
use std::path::{Component, Path, PathBuf};

use url::Url;

use crate::http::Address;
use crate::spec::Download;
use crate::stages::{Job, StageError};

/// A place that a file may come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum DownloadSource {
    /// A file on this machine.
    File(PathBuf),
    /// An `http:` or `https:` URL.
    Url(Url),
}

impl Display for DownloadSource {
    /// For messages and logs: without a password, and without a query, which may hold a secret.
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Url(url) => f.write_str(&Address::new(url.as_str()).shown()),
        }
    }
}

/// The places to try, in order, each once.
pub(super) fn candidates(spec: &Download, job: &Job) -> Result<Vec<DownloadSource>, StageError> {
    let mut sources = Vec::new();
    for url in std::iter::once(&spec.url).chain(&spec.mirrors) {
        for (prefix, place) in &job.surroundings.mirrors {
            if let Some(rest) = url.strip_prefix(prefix.as_str()) {
                sources.push(substitute(place, rest, &job.surroundings.project)?);
            }
        }
        sources.push(parse(url, &job.surroundings.project)?);
    }
    let mut seen: Vec<DownloadSource> = Vec::new();
    sources.retain(|source| {
        let new = !seen.contains(source);
        seen.push(source.clone());
        new
    });
    Ok(sources)
}

/// What a URL means.
fn parse(url: &str, project: &Path) -> Result<DownloadSource, StageError> {
    match scheme(url) {
        None => Ok(DownloadSource::File(project.join(url))),
        Some("file") => {
            let parsed = Url::parse(url).map_err(|error| malformed(url, &error))?;
            parsed.to_file_path().map(DownloadSource::File).map_err(|()| {
                StageError::failed(format!(
                    "`{}` names no file of this machine; write file:///path/to/file",
                    masked(url)
                ))
            })
        }
        Some("http" | "https") => {
            let mut parsed = Url::parse(url).map_err(|error| malformed(url, &error))?;
            parsed.set_fragment(None);
            Ok(DownloadSource::Url(parsed))
        }
        Some(other) => Err(StageError::failed(format!(
            "`{}` has the scheme `{other}:`, which is not supported; use https:, http:, file:, or the path of a file of \
             the project",
            masked(url)
        ))),
    }
}

/// The place that stands in for a URL: `rest` is what follows the mapped prefix.
fn substitute(place: &str, rest: &str, project: &Path) -> Result<DownloadSource, StageError> {
    let rest = rest.trim_start_matches('/');
    if scheme(place).is_some() {
        let slash = if rest.is_empty() || place.ends_with('/') {
            ""
        } else {
            "/"
        };
        return parse(&format!("{place}{slash}{rest}"), project);
    }
    let rest = decode(rest.split(['?', '#']).next().unwrap_or_default());
    let folder = project.join(place);
    inside(&folder, &rest)
        .map(DownloadSource::File)
        .ok_or_else(|| StageError::failed(format!("`{rest}` leads outside the mirror `{place}`")))
}

/// The scheme of a URL, in lower case as it is written; none for a path.
fn scheme(url: &str) -> Option<&str> {
    let (scheme, _) = url.split_once(':')?;
    let word = |text: &str| {
        text.bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
    };
    (scheme.len() > 1 && scheme.starts_with(|first: char| first.is_ascii_alphabetic()) && word(scheme))
        .then_some(scheme)
}

/// `path` below `folder`, unless it leads outside.
fn inside(folder: &Path, path: &str) -> Option<PathBuf> {
    let path = Path::new(path);
    let plain = path
        .components()
        .all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
    plain.then(|| folder.join(path))
}

fn malformed(url: &str, error: &url::ParseError) -> StageError {
    StageError::failed(format!("`{}` is not a URL: {error}", masked(url)))
}

/// What may be shown of an address that is none: its user and password may end anywhere.
fn masked(url: &str) -> String {
    let shown = Address::new(url).shown();
    match (shown.find("://"), shown.rfind('@')) {
        (Some(scheme), Some(at)) if at > scheme => format!("{}***{}", &shown[..scheme + 3], &shown[at..]),
        _ => shown,
    }
}

/// Text with its `%xx` decoded; what is not UTF-8 then is replaced.
fn decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        let digits = after
            .get(..2)
            .filter(|pair| *first == b'%' && pair.iter().all(u8::is_ascii_hexdigit));
        let code = digits.and_then(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok());
        bytes.push(code.unwrap_or(*first));
        rest = if code.is_some() { &after[2..] } else { after };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// A file's name, without what could make it more than a name.
pub(super) fn safe_name(name: &str) -> String {
    let safe = |letter: char| {
        if letter.is_control() || "/\\".contains(letter) {
            '_'
        } else {
            letter
        }
    };
    let mut name: String = name.chars().map(safe).collect();
    while name.len() > 200 {
        name.pop();
    }
    if matches!(name.as_str(), "" | "." | "..") {
        "download".to_owned()
    } else {
        name
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_safe() {
        for (given, name) in [
            ("data.tar.gz", "data.tar.gz"),
            ("..", "download"),
            ("a/b\\c\0", "a_b_c_"),
            ("", "download"),
        ] {
            assert_eq!(safe_name(given), name);
        }
        assert_eq!(safe_name(&"ä".repeat(300)).len(), 200);
    }

    #[test]
    fn urls_and_paths_are_told_apart() {
        let project = Path::new("/p");
        let file = |path: &str| DownloadSource::File(PathBuf::from(path));
        assert_eq!(parse("data/x.csv", project).unwrap(), file("/p/data/x.csv"));
        assert_eq!(parse("file:///q/x%20y", project).unwrap(), file("/q/x y"));
        assert!(
            matches!(parse("https://a.b/c#d", project).unwrap(), DownloadSource::Url(url) if url.as_str() == "https://a.b/c")
        );
        assert_eq!(parse("/q/x", project).unwrap(), file("/q/x"));
        assert_eq!(parse("../x", project).unwrap(), file("/p/../x"));
        for wrong in ["ftp://a.b/c", "http://", "s3://b/k"] {
            assert!(parse(wrong, project).is_err(), "{wrong}");
        }
    }

    #[test]
    fn mirrors_stand_in_for_prefixes() {
        let project = Path::new("/p");
        assert_eq!(
            substitute("vendor", "/a%20b.tar?v=1", project).unwrap(),
            DownloadSource::File(PathBuf::from("/p/vendor/a b.tar"))
        );
        assert!(substitute("vendor", "%2e%2e/x", project).is_err());
        assert_eq!(
            substitute("http://m/x", "y", project).unwrap().to_string(),
            "http://m/x/y"
        );
    }

    #[test]
    fn secrets_are_not_shown() {
        let source = parse("https://me:secret@a.b/c?token=secret", Path::new("/")).unwrap();
        assert_eq!(source.to_string(), "https://a.b/c?...");
        for url in [
            "http://me:secret/@a.b",
            "http://me:secret@a.b:x/",
            "ftp://me:secret@a.b/?secret",
            "file://me:secret@a.b",
        ] {
            let error = parse(url, Path::new("/")).unwrap_err().to_string();
            assert!(!error.contains("secret"), "{error}");
        }
    }
}
