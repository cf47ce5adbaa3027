//! What the log and the figures hear of a request, however it ends.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use hyper::{Method, StatusCode};

use super::log::fields;
use super::queue::AnsweredRows;
use super::server::Server;
use super::writing::TokenUsage;

/// The code for a client that went before it was answered, as other servers write it.
const GONE: u16 = 499;
/// Characters of a path that are written.
const MOST_PATH: usize = 200;

/// A request, told of when it is dropped.
pub(super) struct AccessRecord {
    server: Arc<Server>,
    began: Instant,
    client: SocketAddr,
    method: Method,
    path: String,
    status: Option<StatusCode>,
    /// The model that it was for, one of the server's.
    pub model: Option<String>,
    /// The version that answered.
    pub version: Option<String>,
    /// The request's own name.
    pub id: Option<String>,
    /// Bytes of its body.
    pub bytes_in: usize,
    /// Rows that it asked about.
    pub rows: usize,
    /// How many of them are texts that were cut.
    pub texts_cut: usize,
    /// What they were answered.
    pub answered: Option<AnsweredRows>,
    /// Tokens that it used.
    pub used: Option<TokenUsage>,
    /// Why it was refused.
    pub problem: Option<String>,
    bytes_out: usize,
}

impl AccessRecord {
    pub fn new(server: &Arc<Server>, client: SocketAddr, method: &Method, path: &str) -> Self {
        Self {
            server: Arc::clone(server),
            began: Instant::now(),
            client,
            method: method.clone(),
            path: path.chars().take(MOST_PATH).collect(),
            status: None,
            model: None,
            version: None,
            id: None,
            bytes_in: 0,
            rows: 0,
            texts_cut: 0,
            answered: None,
            used: None,
            problem: None,
            bytes_out: 0,
        }
    }

    /// It is answered with `status` and so many bytes.
    pub fn end(&mut self, status: StatusCode, bytes: usize) {
        self.status = Some(status);
        self.bytes_out = bytes;
    }

    /// More bytes of its answer were sent.
    pub fn sent(&mut self, bytes: usize) {
        self.bytes_out += bytes;
    }
}

impl Drop for AccessRecord {
    fn drop(&mut self) {
        let status = self.status.map_or(GONE, |status| status.as_u16());
        self.server
            .requests
            .add(self.model.as_deref().unwrap_or(""), status);
        let mut line = fields! {
            "client": self.client.to_string(),
            "method": self.method.as_str(),
            "path": self.path.as_str(),
            "status": status,
            "seconds": self.began.elapsed().as_secs_f64(),
            "bytes_in": self.bytes_in,
            "bytes_out": self.bytes_out,
        };
        let texts = [
            ("model", &self.model),
            ("version", &self.version),
            ("id", &self.id),
            ("error", &self.problem),
        ];
        for (name, text) in texts {
            if let Some(text) = text {
                line.insert(name.to_owned(), text.as_str().into());
            }
        }
        if self.rows > 0 {
            line.insert("rows".to_owned(), self.rows.into());
        }
        if self.texts_cut > 0 {
            line.insert("texts_cut".to_owned(), self.texts_cut.into());
        }
        if let Some(used) = self.used {
            line.insert("prompt_tokens".to_owned(), used.prompt.into());
            line.insert("completion_tokens".to_owned(), used.completion.into());
        }
        if let Some(answered) = &self.answered {
            line.insert("batch".to_owned(), answered.batch.into());
            line.insert("queue_seconds".to_owned(), answered.queued.as_secs_f64().into());
            line.insert(
                "compute_seconds".to_owned(),
                answered.computed.as_secs_f64().into(),
            );
        }
        self.server.log.tell("request", line);
    }
}
