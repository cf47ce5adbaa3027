//! Files over HTTP: with retries, going on where a connection was cut off.

use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant, SystemTime};

use ureq::http::{HeaderMap, StatusCode, header};
use url::Url;

use super::partial::{PartialFile, PartialOrigin, PartialWriter};
use super::request::{FileRequest, HttpMessage};
use super::version::{FileVersion, http_date};
use super::visitor::Visitor;
use super::{DownloadProgress, too_large};
use crate::event::Monitor;
use crate::fingerprint::Digest;
use crate::spec::Download;
use crate::stages::StageError;

/// How patient and how persistent to be.
#[derive(Clone, Debug)]
pub(super) struct Http {
    /// Without a byte for this long, a connection counts as dead.
    pub stall: Duration,
    /// Tries in a row that bring the file no further.
    pub tries: u32,
    /// The pause after the first of them; it doubles with each.
    pub pause: Duration,
    /// The longest pause, whatever a server asks for.
    pub longest_pause: Duration,
    /// Redirects to follow.
    pub redirects: u32,
    /// Whether the proxy that the environment names is used.
    pub proxy: bool,
}

impl Default for Http {
    fn default() -> Self {
        Self {
            stall: Duration::from_secs(30),
            tries: 6,
            pause: Duration::from_secs(1),
            longest_pause: Duration::from_secs(60),
            redirects: 10,
            proxy: true,
        }
    }
}

/// How a try ended that did not bring the whole file.
enum FetchFailure {
    /// Another try may fare better, after the pause that the server asks for.
    Transient(String, Option<Duration>),
    /// What is there does not fit what the server has; it was dropped.
    StartAnew(String),
    /// No try will.
    Final(StageError),
}

impl From<StageError> for FetchFailure {
    fn from(error: StageError) -> Self {
        Self::Final(error)
    }
}

/// A file to get.
pub(super) struct Wanted<'a> {
    pub url: &'a Url,
    /// What messages call it.
    pub place: &'a str,
    pub visitor: &'a Visitor,
    pub spec: &'a Download,
}

impl Http {
    /// Brings `partial` to the whole file. Whether bytes of several responses were put together.
    pub fn fetch(
        &self,
        wanted: &Wanted<'_>,
        partial: &mut PartialFile,
        monitor: &Monitor,
    ) -> Result<bool, StageError> {
        let place = wanted.place;
        let mut resumed = false;
        let (mut failed, mut most) = (0, partial.size());
        loop {
            if monitor.stopped() {
                return Err(StageError::Interrupted);
            }
            let (why, wait) = match self.attempt(wanted, partial, monitor, &mut resumed) {
                Ok(()) => return Ok(resumed),
                Err(FetchFailure::Final(error)) => return Err(error),
                Err(FetchFailure::StartAnew(why)) => {
                    partial.clear()?;
                    (why, None)
                }
                Err(FetchFailure::Transient(why, wait)) => (why, wait),
            };
            // A try that brought the file further than any before starts the count anew.
            failed = if partial.size() > most { 1 } else { failed + 1 };
            most = most.max(partial.size());
            if failed >= self.tries {
                return Err(StageError::transient(format!(
                    "`{place}` failed {failed} times in a row, the last time because {why}; look whether the server \
                     and the network are up, then run again{}",
                    if partial.size() > 0 {
                        ": the download goes on where it stopped"
                    } else {
                        ""
                    }
                )));
            }
            let pause = wait
                .unwrap_or(self.pause * 2_u32.saturating_pow(failed - 1))
                .min(self.longest_pause);
            monitor.warn(format!(
                "`{place}`: {why}; trying again in {:.1} s",
                pause.as_secs_f64()
            ));
            let until = Instant::now() + pause;
            while Instant::now() < until {
                if monitor.stopped() {
                    return Err(StageError::Interrupted);
                }
                std::thread::sleep((until - Instant::now()).min(Duration::from_millis(100)));
            }
        }
    }

    fn attempt(
        &self,
        wanted: &Wanted<'_>,
        partial: &mut PartialFile,
        monitor: &Monitor,
        resumed: &mut bool,
    ) -> Result<(), FetchFailure> {
        let Wanted { url, place, spec, .. } = *wanted;
        let range = resumable(partial, url, spec.sha256.is_some());
        if let Some((start, _)) = range
            && partial
                .origin()
                .is_some_and(|origin| origin.length == Some(start))
        {
            *resumed = true;
            return Ok(());
        }
        let messages = self.request(wanted, range.clone());
        let (status, headers) = match self.next(&messages, monitor)? {
            HttpMessage::Head(status, headers) => (status, headers),
            HttpMessage::Failed(why, true) => return Err(FetchFailure::Transient(why, None)),
            HttpMessage::Failed(why, false) => {
                return Err(StageError::failed(format!("`{place}`: {why}")).into());
            }
            HttpMessage::Bytes(_) | HttpMessage::End => {
                return Err(FetchFailure::Transient("it sent no header".to_owned(), None));
            }
        };
        let (mut writer, total) = match (status, range) {
            (StatusCode::OK, _) => {
                let length = number(&headers, header::CONTENT_LENGTH);
                refuse_large(length, place, spec)?;
                *resumed = false;
                (partial.begin(origin(url, &headers, length))?, length)
            }
            (StatusCode::PARTIAL_CONTENT, Some((start, _))) => {
                let total = part(partial, start, &headers, spec.sha256.is_some())
                    .map_err(|why| FetchFailure::StartAnew(why.to_owned()))?;
                refuse_large(total, place, spec)?;
                *resumed = true;
                (partial.resume()?, total)
            }
            (StatusCode::RANGE_NOT_SATISFIABLE, Some((start, _))) => {
                // It says how long the file is, and nothing of its version.
                if content_range(&headers).1 == Some(start) && spec.sha256.is_some() {
                    *resumed = true;
                    return Ok(());
                }
                return Err(FetchFailure::StartAnew(format!(
                    "there is no byte {start} in the file any more"
                )));
            }
            (status, _) => return Err(refusal(status, &headers, place)),
        };
        self.receive(&messages, &mut writer, total, place, spec, monitor)
    }

    /// Writes the body down.
    fn receive(
        &self,
        messages: &Receiver<HttpMessage>,
        writer: &mut PartialWriter<'_>,
        total: Option<u64>,
        place: &str,
        spec: &Download,
        monitor: &Monitor,
    ) -> Result<(), FetchFailure> {
        let mut progress = DownloadProgress::new("download", total, monitor);
        let mut size = writer.append(&[])?;
        loop {
            match self.next(messages, monitor)? {
                HttpMessage::Bytes(bytes) => {
                    if size + bytes.len() as u64 > spec.max_size.0 {
                        return Err(too_large(place, size + bytes.len() as u64, spec.max_size).into());
                    }
                    size = writer.append(&bytes)?;
                    if let Some(total) = total.filter(|total| size > *total) {
                        let why = format!("it sent more than the {total} bytes that it had announced");
                        return Err(FetchFailure::StartAnew(why));
                    }
                    progress.at(size)?;
                }
                HttpMessage::End if total.is_none_or(|total| total == size) => return Ok(()),
                HttpMessage::End => return Err(FetchFailure::Transient(cut_off(size, total), None)),
                HttpMessage::Failed(why, true) => {
                    return Err(FetchFailure::Transient(
                        format!("{}: {why}", cut_off(size, total)),
                        None,
                    ));
                }
                HttpMessage::Failed(why, false) => {
                    return Err(StageError::failed(format!("`{place}`: {why}")).into());
                }
                HttpMessage::Head(..) => {}
            }
        }
    }

    /// The next message; an interruption and a stall end the wait.
    fn next(&self, messages: &Receiver<HttpMessage>, monitor: &Monitor) -> Result<HttpMessage, FetchFailure> {
        let begin = Instant::now();
        loop {
            if monitor.stopped() {
                return Err(StageError::Interrupted.into());
            }
            match messages.recv_timeout(Duration::from_millis(100)) {
                Ok(message) => return Ok(message),
                Err(RecvTimeoutError::Timeout) if begin.elapsed() < self.stall => {}
                Err(RecvTimeoutError::Timeout) => {
                    let why = format!("nothing came for {:.0} s", self.stall.as_secs_f64());
                    return Err(FetchFailure::Transient(why, None));
                }
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(FetchFailure::Transient(
                        "the connection's thread ended".to_owned(),
                        None,
                    ));
                }
            }
        }
    }

    /// Asks for the file, or for it from a byte on.
    fn request(&self, wanted: &Wanted<'_>, range: Option<(u64, Option<String>)>) -> Receiver<HttpMessage> {
        let request = FileRequest {
            url: wanted.url.clone(),
            visitor: wanted.visitor.clone(),
            range,
            redirects: self.redirects,
            patience: self.stall,
            proxy: self.proxy,
        };
        request.send()
    }
}

/// What a file with this header belongs to.
fn origin(url: &Url, headers: &HeaderMap, length: Option<u64>) -> PartialOrigin {
    let encoding = headers.get(header::CONTENT_ENCODING);
    PartialOrigin {
        source: Digest::of_bytes(url.as_str().as_bytes()),
        version: FileVersion::of(headers),
        length,
        encoding: encoding.map(|encoding| String::from_utf8_lossy(encoding.as_bytes()).into_owned()),
    }
}

/// The byte to go on from and how to make sure that the file is the same; none to start anew.
fn resumable(partial: &PartialFile, url: &Url, has_checksum: bool) -> Option<(u64, Option<String>)> {
    let origin = partial.origin().filter(|_| partial.size() > 0)?;
    if origin.source == Digest::of_bytes(url.as_str().as_bytes())
        && let Some(validator) = origin.version.strong()
    {
        return Some((partial.size(), Some(validator.to_owned())));
    }
    // From elsewhere, or without a validator: only the checksum can tell that the parts fit.
    has_checksum.then_some((partial.size(), None))
}

/// The whole file's size, if the part of it that begins in an answer with this header certainly belongs to
/// what is there up to `start`; with a checksum, if it may. Else why it does not.
fn part(
    partial: &PartialFile,
    start: u64,
    headers: &HeaderMap,
    has_checksum: bool,
) -> Result<Option<u64>, &'static str> {
    let (first, total) = content_range(headers);
    if first != Some(start) {
        return Err("it sent another part of the file than it was asked for");
    }
    let known = partial.origin().and_then(|origin| origin.length);
    if known.is_some() && total.is_some() && known != total {
        return Err("the file has changed");
    }
    let now = FileVersion::of(headers);
    let is_same = partial
        .origin()
        .is_some_and(|origin| origin.version.is_surely(&now));
    if !is_same && !has_checksum {
        return Err("the file has changed, or the server does not tell that it has not");
    }
    let ends = number(headers, header::CONTENT_LENGTH).map(|rest| start + rest);
    Ok(total.or(known).or(ends))
}

fn refuse_large(length: Option<u64>, place: &str, spec: &Download) -> Result<(), StageError> {
    match length {
        Some(length) if length > spec.max_size.0 => Err(too_large(place, length, spec.max_size)),
        _ => Ok(()),
    }
}

/// What a status means that brings no file.
fn refusal(status: StatusCode, headers: &HeaderMap, place: &str) -> FetchFailure {
    let why = format!("the server answered {status}");
    match status.as_u16() {
        408 | 425 | 429 | 500 | 502 | 503 | 504 => FetchFailure::Transient(why, retry_after(headers)),
        206 | 416 => FetchFailure::StartAnew(why),
        code => {
            let advice = match code {
                401 | 403 | 407 => "the file needs a permission that this download does not have",
                404 | 410 => "look whether the address is right, or name a mirror",
                _ => "open the address in a browser to see what it says",
            };
            StageError::failed(format!("`{place}`: {why}; {advice}")).into()
        }
    }
}

/// The pause that the server asks for, in seconds or until a date.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    http_date(text)?.duration_since(SystemTime::now()).ok()
}

fn number(headers: &HeaderMap, name: header::HeaderName) -> Option<u64> {
    headers.get(name)?.to_str().ok()?.trim().parse().ok()
}

/// First byte and whole size in `Content-Range: bytes 5-9/10`, as far as they are given.
fn content_range(headers: &HeaderMap) -> (Option<u64>, Option<u64>) {
    let text = headers
        .get(header::CONTENT_RANGE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let (part, total) = text
        .trim_start_matches("bytes")
        .trim()
        .split_once('/')
        .unwrap_or_default();
    (
        part.split('-').next().and_then(|first| first.trim().parse().ok()),
        total.trim().parse().ok(),
    )
}

fn cut_off(size: u64, total: Option<u64>) -> String {
    match total {
        Some(total) => format!("the connection was cut off after {size} of {total} bytes"),
        None => format!("the connection was cut off after {size} bytes"),
    }
}
