//! A server that runs beside the test, and a client that shows every byte.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::project::Project;

/// How long anything may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running `erlen serve`; it ends with the value.
pub struct RunningServer {
    child: Child,
    /// `127.0.0.1:PORT`.
    pub address: String,
    /// What was printed when it began.
    pub greeting: String,
}

impl RunningServer {
    /// Starts it with `arguments`, at a port of its own.
    #[track_caller]
    pub fn start(project: &Project, arguments: &[&str]) -> Self {
        let fixed = ["serve", "--bind", "127.0.0.1:0", "--access-log", "access.jsonl"];
        let mut command = project.command(fixed.iter().chain(arguments));
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
        let mut greeting = String::new();
        let models = arguments
            .iter()
            .filter(|argument| argument.contains('='))
            .count()
            .max(1);
        for _ in 0..models {
            match lines.next() {
                Some(Ok(line)) => greeting += &format!("{line}\n"),
                _ => {
                    let mut told = String::new();
                    let mut stderr = child.stderr.take().expect("a pipe");
                    stderr.read_to_string(&mut told).expect("text");
                    panic!("no server: {told}");
                }
            }
        }
        let address = greeting
            .split_once("http://")
            .and_then(|(_, behind)| behind.split_once('/'))
            .map(|(address, _)| address.to_owned())
            .expect("an address");
        Self {
            child,
            address,
            greeting,
        }
    }

    /// A new connection.
    pub fn client(&self) -> Client {
        Client::connect(&self.address)
    }

    pub fn signal(&self) {
        let id = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(id, rustix::process::Signal::TERM).expect("it runs");
    }

    /// Waits for its end and gives the exit code.
    pub fn end(mut self) -> Option<i32> {
        let began = Instant::now();
        while began.elapsed() < PATIENCE {
            if let Some(status) = self.child.try_wait().expect("a child") {
                return status.code();
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!("the server does not end");
    }

    /// The value of a line of `/metrics`.
    #[track_caller]
    pub fn figure(&self, line: &str) -> f64 {
        let text = self.client().get("/metrics").text();
        let found = text
            .lines()
            .find_map(|own| own.strip_prefix(line)?.trim().parse().ok());
        found.unwrap_or_else(|| panic!("no `{line}` in\n{text}"))
    }

    /// Waits until `is_so`.
    #[track_caller]
    pub fn until(&self, what: &str, is_so: impl Fn(&Self) -> bool) {
        let began = Instant::now();
        while !is_so(self) {
            assert!(began.elapsed() < PATIENCE, "{what} does not happen");
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for RunningServer {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A connection.
pub struct Client {
    stream: BufReader<TcpStream>,
}

/// An answer.
#[derive(Debug)]
pub struct Answered {
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
}

impl Client {
    pub fn connect(address: &str) -> Self {
        let stream = TcpStream::connect(address).expect("it listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a time");
        stream.set_nodelay(true).expect("a socket");
        Self {
            stream: BufReader::new(stream),
        }
    }

    pub fn get(&mut self, path: &str) -> Answered {
        self.ask("GET", path, &[], &[])
    }

    /// Asks a model with JSON.
    pub fn infer(&mut self, model: &str, json: &str) -> Answered {
        self.ask("POST", &format!("/v2/models/{model}/infer"), &[], json.as_bytes())
    }

    /// Asks a model with JSON and bytes behind it.
    pub fn infer_binary(&mut self, model: &str, json: &str, bytes: &[u8]) -> Answered {
        let length = json.len().to_string();
        let headers = [("Inference-Header-Content-Length", length.as_str())];
        let body = [json.as_bytes(), bytes].concat();
        self.ask("POST", &format!("/v2/models/{model}/infer"), &headers, &body)
    }

    #[track_caller]
    pub fn ask(&mut self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answered {
        self.try_ask(method, path, headers, body).expect("an answer")
    }

    pub fn try_ask(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> std::io::Result<Answered> {
        let mut head = format!("{method} {path} HTTP/1.1\r\nHost: test\r\n");
        for (name, value) in headers {
            head += &format!("{name}: {value}\r\n");
        }
        if method != "GET" {
            head += &format!("Content-Length: {}\r\n", body.len());
        }
        head += "\r\n";
        self.send(&[head.as_bytes(), body].concat())?;
        self.read()
    }

    pub fn send(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.stream.get_mut().write_all(bytes)
    }

    /// Says that nothing more is sent.
    pub fn finish(&mut self) {
        let told = self.stream.get_ref().shutdown(std::net::Shutdown::Write);
        // The other side may have ended the connection already.
        if let Err(error) = told {
            assert_eq!(error.kind(), std::io::ErrorKind::NotConnected);
        }
    }

    /// Reads an answer that comes in chunks, to its end.
    pub fn read_chunks(&mut self) -> std::io::Result<Answered> {
        let mut answer = self.read()?;
        if answer.header("transfer-encoding") != Some("chunked") {
            return Ok(answer);
        }
        loop {
            let mut line = String::new();
            self.stream.read_line(&mut line)?;
            let size = usize::from_str_radix(line.trim(), 16).expect("a size");
            let mut chunk = vec![0; size + 2];
            self.stream.read_exact(&mut chunk)?;
            if size == 0 {
                return Ok(answer);
            }
            answer.body.extend_from_slice(&chunk[..size]);
        }
    }

    /// Reads an answer.
    pub fn read(&mut self) -> std::io::Result<Answered> {
        let closed = || std::io::Error::from(std::io::ErrorKind::UnexpectedEof);
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if self.stream.read_line(&mut head)? == 0 {
                return Err(closed());
            }
        }
        let status = head
            .split(' ')
            .nth(1)
            .and_then(|code| code.parse().ok())
            .expect("a code");
        let mut answer = Answered {
            status,
            head,
            body: Vec::new(),
        };
        let length = answer
            .header("content-length")
            .map_or(0, |length| length.parse().expect("a length"));
        answer.body.resize(length, 0);
        self.stream.read_exact(&mut answer.body)?;
        Ok(answer)
    }
}

impl Answered {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (own, value) = line.split_once(':')?;
            own.eq_ignore_ascii_case(name).then_some(value.trim())
        })
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    #[track_caller]
    pub fn assert_status(&self, status: u16) -> &Self {
        assert_eq!(self.status, status, "{}{}", self.head, self.text());
        self
    }

    #[track_caller]
    pub fn json(&self) -> Value {
        let length = self.header("inference-header-content-length");
        let length = length.map_or(self.body.len(), |length| length.parse().expect("a length"));
        serde_json::from_slice(&self.body[..length])
            .unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    /// The bytes behind the JSON.
    #[track_caller]
    pub fn binary(&self) -> &[u8] {
        let length = self.header("inference-header-content-length").expect("a length");
        &self.body[length.parse::<usize>().expect("a length")..]
    }

    /// The values of an output in JSON.
    #[track_caller]
    pub fn output(&self, name: &str) -> Vec<Value> {
        let json = self.assert_status(200).json();
        let outputs = json["outputs"].as_array().expect("outputs");
        let output = outputs.iter().find(|output| output["name"] == name);
        output.expect("the output")["data"]
            .as_array()
            .expect("values")
            .clone()
    }
}
