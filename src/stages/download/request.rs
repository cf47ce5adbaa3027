//! One request for a file, its redirects included: on a thread of its own, so that an interruption or a stall
//! is noticed whatever the connection does; a thread that is left behind ends at its next timeout.

use std::io::Read;
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::time::Duration;

use ureq::Agent;
use ureq::http::{HeaderMap, StatusCode, header};
use url::Url;

use super::visitor::Visitor;

/// What the reading thread tells.
pub(super) enum HttpMessage {
    Head(StatusCode, Box<HeaderMap>),
    Bytes(Vec<u8>),
    End,
    /// Why it failed, and whether another request may fare better.
    Failed(String, bool),
}

/// A request for a file, or for the rest of it.
pub(super) struct FileRequest {
    pub url: Url,
    pub visitor: Visitor,
    /// The byte to begin with, and what `If-Range` compares.
    pub range: Option<(u64, Option<String>)>,
    /// Redirects to follow.
    pub redirects: u32,
    /// How long to wait for each step.
    pub patience: Duration,
    /// Whether the proxy that the environment names is used.
    pub proxy: bool,
}

impl FileRequest {
    /// Asks; gives what the thread tells.
    pub fn send(self) -> Receiver<HttpMessage> {
        let (sender, messages) = mpsc::sync_channel(8);
        std::thread::spawn(move || {
            // An error means that nobody listens any more.
            let _ = self.answer(&sender);
        });
        messages
    }

    /// Runs the request and passes on what comes.
    fn answer(self, sender: &SyncSender<HttpMessage>) -> Result<(), mpsc::SendError<HttpMessage>> {
        let (status, headers, mut reader) = match self.follow() {
            Ok(response) => {
                let (head, body) = response.into_parts();
                (head.status, head.headers, body.into_reader())
            }
            Err(failure) => return sender.send(failure),
        };
        sender.send(HttpMessage::Head(status, Box::new(headers)))?;
        let mut buffer = vec![0; 128 << 10];
        loop {
            match reader.read(&mut buffer) {
                Ok(0) => return sender.send(HttpMessage::End),
                Ok(count) => sender.send(HttpMessage::Bytes(buffer[..count].to_vec()))?,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return sender.send(HttpMessage::Failed(error.to_string(), true)),
            }
        }
    }

    /// The answer at the end of the redirects. They are followed here and not by the client, which would
    /// carry headers of any name on to other hosts.
    fn follow(&self) -> Result<ureq::http::Response<ureq::Body>, HttpMessage> {
        let agent = self.agent();
        let mut url = self.url.clone();
        for _ in 0..=self.redirects {
            let response = self.call(&agent, &url).map_err(|error| failure(&error))?;
            let location = match response.status().as_u16() {
                301 | 302 | 303 | 307 | 308 => response.headers().get(header::LOCATION),
                _ => None,
            };
            let Some(location) = location else {
                return Ok(response);
            };
            let location = String::from_utf8_lossy(location.as_bytes()).into_owned();
            let next = url.join(&location).ok();
            url = next
                .filter(|url| matches!(url.scheme(), "http" | "https"))
                .ok_or_else(|| {
                    HttpMessage::Failed(
                        "it redirects to an address that is none of the web's".to_owned(),
                        false,
                    )
                })?;
            url.set_fragment(None);
        }
        Err(HttpMessage::Failed(
            "it redirects in a loop, or too often; open it in a browser and use the address that it ends at"
                .to_owned(),
            false,
        ))
    }

    fn agent(&self) -> Agent {
        let mut config = crate::http::configuration()
            .max_redirects(0)
            .timeout_resolve(Some(self.patience))
            .timeout_connect(Some(self.patience))
            .timeout_per_read(Some(self.patience))
            .timeout_per_write(Some(self.patience));
        if !self.proxy {
            config = config.proxy(None);
        }
        Agent::new_with_config(config.build())
    }

    fn call(&self, agent: &Agent, url: &Url) -> Result<ureq::http::Response<ureq::Body>, ureq::Error> {
        let mut plain = url.clone();
        // Both fail only for URLs that cannot have a user. The login is in the headers.
        let _ = plain.set_password(None);
        let _ = plain.set_username("");
        let mut request = agent.get(plain.as_str());
        for (name, value) in self.visitor.headers(&self.url, url) {
            request = request.header(name, value);
        }
        if let Some((start, validator)) = &self.range {
            request = request.header(header::RANGE, format!("bytes={start}-"));
            if let Some(validator) = validator {
                request = request.header(header::IF_RANGE, validator);
            }
        }
        request.call()
    }
}

/// Why a request failed, and whether another may fare better.
fn failure(error: &ureq::Error) -> HttpMessage {
    let transient = matches!(
        error,
        ureq::Error::Io(_)
            | ureq::Error::Timeout(_)
            | ureq::Error::HostNotFound
            | ureq::Error::ConnectionFailed
            | ureq::Error::ConnectProxyFailed(_)
            | ureq::Error::Protocol(_)
            | ureq::Error::BodyStalled
    );
    let why = match error {
        ureq::Error::HostNotFound => "the host was not found".to_owned(),
        // It would show the address.
        ureq::Error::BadUri(_) => "its address, or the one that it redirects to, is none".to_owned(),
        other => other.to_string(),
    };
    HttpMessage::Failed(why, transient)
}
