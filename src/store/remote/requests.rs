//! Requests over HTTP, each with a limit of its time, and tried again where that may help.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use ureq::http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use ureq::{Agent, AsSendBody, Body, SendBody};
use url::Url;

use super::TransferError;
use super::signer::Signer;
use super::xml;
use crate::store::error::{reading, writing};

/// How long to wait for a connection.
const CONNECT: Duration = Duration::from_secs(3);

/// How long an answer may take to begin, and each further part of it.
pub(super) const ANSWER: Duration = Duration::from_secs(10);

/// What sending may take beside that: as much as at this many bytes a second.
const SLOWEST: u64 = 50_000;

/// Further tries of a request that failed for a reason that may pass.
const RETRIES: u32 = 2;

/// The pause before the first of them; it doubles with each.
const PAUSE: Duration = Duration::from_millis(100);

/// Redirects to follow.
const HOPS: u32 = 10;

/// Connections that are kept for the next request.
const IDLE: usize = 32;

/// What an error's answer is read for: not more than this.
const LONGEST_EXPLANATION: u64 = 64 << 10;

/// A client of one remote.
pub(super) struct Client {
    agent: Agent,
    signer: Option<Signer>,
}

/// A request.
pub(super) struct Call<'a> {
    pub method: Method,
    pub url: Url,
    pub headers: HeaderMap,
    pub content: Content<'a>,
    /// The time until the answer begins, of all tries together.
    pub limit: Duration,
}

/// What a request carries.
#[derive(Clone, Copy)]
pub(super) enum Content<'a> {
    Nothing,
    Bytes(&'a [u8]),
    Part { file: &'a Path, start: u64, length: u64 },
}

impl<'a> Call<'a> {
    /// A request without headers of its own.
    pub fn new(method: Method, url: Url, content: Content<'a>) -> Self {
        let limit = match content {
            Content::Nothing => ANSWER,
            _ => ANSWER * 3 + Duration::from_secs(content.length() / SLOWEST),
        };
        Self {
            method,
            url,
            headers: HeaderMap::new(),
            content,
            limit,
        }
    }
}

impl Content<'_> {
    fn length(self) -> u64 {
        match self {
            Content::Nothing => 0,
            Content::Bytes(bytes) => bytes.len() as u64,
            Content::Part { length, .. } => length,
        }
    }

    /// All of it.
    pub fn reader(&self) -> Result<Box<dyn Read + '_>, TransferError> {
        match *self {
            Content::Nothing => Ok(Box::new(io::empty())),
            Content::Bytes(bytes) => Ok(Box::new(bytes)),
            Content::Part { file, start, length } => {
                let open = || {
                    let mut opened = File::open(file)?;
                    opened.seek(SeekFrom::Start(start))?;
                    Ok(opened.take(length))
                };
                Ok(Box::new(open().map_err(reading("read", file))?))
            }
        }
    }
}

/// Why a try failed.
enum AttemptFailure {
    /// Another may fare better.
    Passing(String),
    /// None will.
    Lasting(TransferError),
}

impl From<TransferError> for AttemptFailure {
    fn from(trouble: TransferError) -> Self {
        Self::Lasting(trouble)
    }
}

impl Client {
    /// A client whose requests are signed where there is a signer.
    pub fn new(signer: Option<Signer>) -> Self {
        let config = crate::http::configuration()
            // Each address is signed for itself, and what is sent is sent again.
            .max_redirects(0)
            .max_redirects_will_error(false)
            .allow_non_standard_methods(true)
            .max_idle_connections(IDLE)
            .max_idle_connections_per_host(IDLE)
            .timeout_resolve(Some(CONNECT))
            .timeout_connect(Some(CONNECT));
        Self {
            agent: Agent::new_with_config(config.build()),
            signer,
        }
    }

    /// A client of a service on this machine or beside it, which no proxy reaches.
    pub fn nearby() -> Self {
        let config = crate::http::configuration()
            .proxy(None)
            .timeout_connect(Some(Duration::from_secs(1)));
        Self {
            agent: Agent::new_with_config(config.build()),
            signer: None,
        }
    }

    /// The length of what is at an address, which servers may leave out (0); nothing where nothing is there.
    pub fn size(&self, url: Url, limit: Duration) -> Result<Option<u64>, String> {
        let call = Call {
            limit,
            ..Call::new(Method::HEAD, url, Content::Nothing)
        };
        let response = self.send(&call).map_err(TransferError::words)?;
        match response.status() {
            status if status.is_success() => Ok(Some(length_of(response.headers()).unwrap_or(0))),
            status if is_missing(status) => Ok(None),
            _ => Err(self.refusal(response)),
        }
    }

    /// What is at an address, in memory: for what is small.
    pub fn get(&self, url: &Url) -> Result<Option<Vec<u8>>, String> {
        let mut bytes = Vec::new();
        let there = self.receive(url, &mut |part| {
            bytes.extend_from_slice(part);
            Ok(())
        });
        Ok(there.map_err(TransferError::words)?.then_some(bytes))
    }

    /// Writes what is at an address to a file; says whether anything is there.
    pub fn download(&self, url: &Url, to: &Path) -> Result<bool, TransferError> {
        let mut file = File::create(to).map_err(writing("write", to))?;
        self.receive(url, &mut |part| {
            file.write_all(part).map_err(writing("write", to))?;
            Ok(())
        })
    }

    /// Gives what is at an address to `take`, part by part, going on where a connection was cut off. Whoever
    /// wants it knows its digest, so the parts need no proof that they belong together.
    fn receive(
        &self,
        url: &Url,
        take: &mut dyn FnMut(&[u8]) -> Result<(), TransferError>,
    ) -> Result<bool, TransferError> {
        let (mut taken, mut cut_off) = (0, 0);
        let mut buffer = vec![0; 128 << 10];
        loop {
            let mut call = Call::new(Method::GET, url.clone(), Content::Nothing);
            if let (true, Ok(range)) = (taken > 0, HeaderValue::try_from(format!("bytes={taken}-"))) {
                call.headers.insert(header::RANGE, range);
            }
            let response = self.send(&call)?;
            // What is here already comes again from servers that do not know ranges.
            let mut position = match response.status() {
                StatusCode::PARTIAL_CONTENT => taken,
                status if status.is_success() => 0,
                status if is_missing(status) => return Ok(false),
                _ => return Err(TransferError::Remote(self.refusal(response))),
            };
            let end = length_of(response.headers()).map(|length| position + length);
            let mut body = response.into_body().into_reader();
            let problem = loop {
                match body.read(&mut buffer) {
                    Ok(0) if end.is_none_or(|end| position >= end) => return Ok(true),
                    Ok(0) => break "the connection was cut off".to_owned(),
                    Ok(count) => {
                        let known = usize::try_from(taken - position).unwrap_or(count).min(count);
                        take(&buffer[known..count])?;
                        position += count as u64;
                        taken = taken.max(position);
                    }
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => break words(&ureq::Error::from(error), ANSWER),
                }
            };
            cut_off += 1;
            if cut_off > RETRIES {
                return Err(TransferError::Remote(problem));
            }
        }
    }

    /// Sends a request that must succeed, and gives what the answer holds.
    pub fn command(&self, call: &Call<'_>) -> Result<(HeaderMap, String), TransferError> {
        self.command_of(self.send(call)?)
    }

    /// What the answer to a request holds that must succeed.
    pub fn command_of(&self, response: Response<Body>) -> Result<(HeaderMap, String), TransferError> {
        if !response.status().is_success() {
            return Err(TransferError::Remote(self.refusal(response)));
        }
        let (head, body) = response.into_parts();
        let mut text = Vec::new();
        let read = body.into_reader().read_to_end(&mut text);
        read.map_err(|error| TransferError::Remote(words(&error.into(), ANSWER)))?;
        Ok((head.headers, String::from_utf8_lossy(&text).into_owned()))
    }

    /// Sends a request and gives the answer, whatever its status is. What fails for a reason that may pass is
    /// tried again, while there is time.
    pub fn send(&self, call: &Call<'_>) -> Result<Response<Body>, TransferError> {
        let begun = Instant::now();
        let mut url = call.url.clone();
        let (mut retries, mut hops) = (0, 0);
        loop {
            let left = call
                .limit
                .saturating_sub(begun.elapsed())
                .max(Duration::from_millis(1));
            let problem = match self.attempt(call, &url, left) {
                Ok(response) => match redirect(call, &url, &response) {
                    Some(next) if hops < HOPS => {
                        hops += 1;
                        url = next;
                        continue;
                    }
                    Some(_) => return Err(TransferError::Remote("it redirects in a loop".to_owned())),
                    None if !is_passing(response.status()) || retries == RETRIES => return Ok(response),
                    None => self.refusal(response),
                },
                Err(AttemptFailure::Lasting(trouble)) => return Err(trouble),
                Err(AttemptFailure::Passing(problem)) => problem,
            };
            let pause = PAUSE * 2_u32.pow(retries);
            if retries == RETRIES || begun.elapsed() + pause >= call.limit {
                return Err(TransferError::Remote(problem));
            }
            std::thread::sleep(pause);
            retries += 1;
        }
    }

    fn attempt(&self, call: &Call<'_>, url: &Url, left: Duration) -> Result<Response<Body>, AttemptFailure> {
        let mut headers = call.headers.clone();
        if let Some(signer) = &self.signer {
            signer.sign(&call.method, url, &mut headers, call.content)?;
        }
        let mut source = ContentReader {
            bytes: call.content.reader()?,
            failed: false,
        };
        let ran = match call.content {
            Content::Nothing => self.run(call, url, headers, (), left),
            content => {
                headers.insert(header::CONTENT_LENGTH, HeaderValue::from(content.length()));
                self.run(call, url, headers, SendBody::from_reader(&mut source), left)
            }
        };
        ran.map_err(|error| {
            let problem = words(&error, call.limit);
            if source.failed {
                AttemptFailure::Lasting(TransferError::Remote(format!(
                    "a file cannot be read while it is sent: {problem}"
                )))
            } else if is_lasting(&error) {
                AttemptFailure::Lasting(TransferError::Remote(problem))
            } else {
                AttemptFailure::Passing(problem)
            }
        })
    }

    fn run(
        &self,
        call: &Call<'_>,
        url: &Url,
        headers: HeaderMap,
        body: impl AsSendBody,
        left: Duration,
    ) -> Result<Response<Body>, ureq::Error> {
        let request = Request::builder().method(call.method.clone()).uri(url.as_str());
        let mut request = request.body(body)?;
        *request.headers_mut() = headers;
        let request = self.agent.configure_request(request);
        let request = if call.method == Method::GET {
            // What it gives may take as long as it likes, part by part.
            request
                .timeout_recv_response(Some(left))
                .timeout_per_read(Some(ANSWER))
                .build()
        } else {
            request.timeout_global(Some(left)).build()
        };
        self.agent.run(request)
    }

    /// Why an answer is none that was hoped for.
    pub fn refusal(&self, response: Response<Body>) -> String {
        let status = response.status();
        let region = response.headers().get("x-amz-bucket-region").cloned();
        let mut text = Vec::new();
        // Without an explanation the status has to do.
        let _ = response
            .into_body()
            .into_reader()
            .take(LONGEST_EXPLANATION)
            .read_to_end(&mut text);
        let text = String::from_utf8_lossy(&text);
        let explanation = match (xml::text(&text, "Code"), xml::text(&text, "Message")) {
            (Some(code), Some(message)) => format!(": {code}: {message}"),
            (Some(code), None) => format!(": {code}"),
            _ => String::new(),
        };
        match (status, &self.signer) {
            (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN, Some(_)) => format!(
                "it denies access{explanation}; credentials come from the variables AWS_ACCESS_KEY_ID, \
                 AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN"
            ),
            (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN, None) => {
                format!("it denies access ({status})")
            }
            (status, Some(_)) if status.is_redirection() => {
                let region = region.as_ref().and_then(|region| region.to_str().ok());
                format!(
                    "the bucket is in another region; set `region: {}`",
                    region.unwrap_or("...")
                )
            }
            _ => format!("it answered {status}{explanation}"),
        }
    }
}

/// What is sent, and whether it could not be read.
struct ContentReader<'a> {
    bytes: Box<dyn Read + 'a>,
    failed: bool,
}

impl Read for ContentReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.bytes.read(buffer);
        self.failed |= read.is_err();
        read
    }
}

/// Where an answer sends the request on to, if it does.
fn redirect(call: &Call<'_>, url: &Url, response: &Response<Body>) -> Option<Url> {
    let keeps_content = matches!(call.content, Content::Nothing);
    let follows = match response.status() {
        StatusCode::TEMPORARY_REDIRECT | StatusCode::PERMANENT_REDIRECT => true,
        StatusCode::MOVED_PERMANENTLY | StatusCode::FOUND => keeps_content,
        _ => false,
    };
    let place = response.headers().get(header::LOCATION)?.to_str().ok()?;
    url.join(place).ok().filter(|_| follows)
}

fn is_missing(status: StatusCode) -> bool {
    matches!(status, StatusCode::NOT_FOUND | StatusCode::GONE)
}

fn is_passing(status: StatusCode) -> bool {
    let is_asked_to_wait = matches!(
        status,
        StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT
    );
    is_asked_to_wait || (status.is_server_error() && status != StatusCode::NOT_IMPLEMENTED)
}

/// Whether no other try will fare better.
fn is_lasting(error: &ureq::Error) -> bool {
    matches!(
        error,
        ureq::Error::BadUri(_)
            | ureq::Error::Http(_)
            | ureq::Error::InvalidProxyUrl
            | ureq::Error::Tls(_)
            | ureq::Error::Rustls(_)
    )
}

fn length_of(headers: &HeaderMap) -> Option<u64> {
    headers
        .get(header::CONTENT_LENGTH)?
        .to_str()
        .ok()?
        .trim()
        .parse()
        .ok()
}

fn words(error: &ureq::Error, limit: Duration) -> String {
    match error {
        ureq::Error::Timeout(ureq::Timeout::Connect) => {
            format!("it could not be connected to within {} s", CONNECT.as_secs())
        }
        ureq::Error::Timeout(_) => format!("it gave no answer within {} s", limit.as_secs()),
        ureq::Error::HostNotFound => "its host was not found".to_owned(),
        other => {
            let mut cause: &dyn std::error::Error = other;
            while let Some(next) = cause.source() {
                cause = next;
            }
            cause.to_string()
        }
    }
}
