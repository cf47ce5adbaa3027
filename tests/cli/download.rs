//! Downloads from a server on this machine, as a user meets them.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};

use walkdir::WalkDir;

use crate::project::{Finished, Project};

/// What stands for a password and a token; nothing that is kept or told may have it.
const SECRET: &str = "oats77secret";

/// A server that gives a table to whoever says who they are, and remembers what it was asked.
struct Server {
    address: String,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Server {
    /// That asks for this in a request.
    fn asking_for(wanted: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let (heard, wanted) = (Arc::clone(&requests), wanted.to_owned());
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut reader = BufReader::new(stream.try_clone().unwrap());
                let mut request = String::new();
                while !request.ends_with("\r\n\r\n") && reader.read_line(&mut request).unwrap_or(0) > 0 {}
                let rows: String = (0..30)
                    .map(|row| format!("{row},{},{}\n", row * 3 % 7, row % 2))
                    .collect();
                let (status, body) = match request.contains(&wanted) {
                    true => ("200 OK", format!("a,b,label\n{rows}")),
                    false => ("401 Unauthorized", String::new()),
                };
                heard.lock().unwrap().push(request);
                let _ = write!(
                    stream,
                    "HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
                    body.len()
                );
            }
        });
        Self { address, requests }
    }

    fn requests(&self) -> usize {
        self.requests.lock().unwrap().len()
    }
}

fn pipeline(url: &str, more: &str) -> Project {
    Project::new().with(
        "p.yaml",
        format!(
            "name: p
params: {{base: 'http://127.0.0.1:1', tok: none}}
stages:
  raw: {{download: {{url: '{url}'{more}}}}}
  data: {{preprocess: {{input: raw, format: {{csv: {{header: true, label: label}}}}, split: {{test: 0.3}}}}}}
tables:
  t: {{columns: {{n: data.train}}}}
"
        ),
    )
}

/// Runs what shows and keeps a pipeline's parameters, keys and actions; no secret may stand in any of it.
fn nowhere_a_secret(project: &Project, set: &[String]) {
    let with = |arguments: &[&str]| -> Vec<String> {
        let words = arguments.iter().map(|word| (*word).to_owned());
        words
            .chain(set.iter().flat_map(|set| ["--set".to_owned(), set.clone()]))
            .collect()
    };
    let tell_nothing = |finished: &Finished| {
        let told = format!("{}{}", finished.stdout, finished.stderr);
        assert!(!told.contains(SECRET), "{told}");
    };
    let run = project.erlen(with(&["run", "p.yaml", "--events", "events.json"]));
    tell_nothing(run.assert_code(0));
    for command in [
        &["plan", "p.yaml", "--json"][..],
        &["plan", "p.yaml"],
        &["why", "p.yaml", "raw"],
        &["graph", "p.yaml"],
        &["report", "p.yaml"],
        &["table", "p.yaml"],
    ] {
        tell_nothing(project.erlen(with(command)).assert_code(0));
    }
    for command in [&["show", "1"][..], &["show", "1", "--json"], &["runs", "--json"]] {
        tell_nothing(project.erlen(command).assert_code(0));
    }
    // Nothing else is asked for by another password, and what is known is known by its absence too.
    for entry in WalkDir::new(project.path(".")).into_iter().flatten() {
        if !entry.file_type().is_file() {
            continue;
        }
        let bytes = std::fs::read(entry.path()).unwrap();
        let found = bytes
            .windows(SECRET.len())
            .any(|window| window == SECRET.as_bytes());
        assert!(!found, "{} has the secret", entry.path().display());
    }
}

#[test]
fn a_password_in_an_address_is_kept_nowhere() {
    // Of `lab:oats77secret`.
    let server = Server::asking_for("Basic bGFiOm9hdHM3N3NlY3JldA==");
    let project = pipeline("${base}/t.csv", "");
    let base = |password: &str| format!("base=http://lab:{password}@{}", server.address);
    nowhere_a_secret(&project, &[base(SECRET)]);
    // Another password is no reason to get the file again, another user is.
    assert_eq!(server.requests(), 1);
    let set = |base: String| project.decisions(&["p.yaml", "--set", &base])["raw"].clone();
    assert_eq!(set(base("other")), "reuse");
    assert!(set(format!("base=http://you@{}", server.address)).starts_with("run: url_digest changed"));
}

#[test]
fn a_token_in_a_query_is_kept_nowhere() {
    let server = Server::asking_for(&format!("?token={SECRET}"));
    let project = pipeline("${base}/t.csv?token=${tok}", "");
    let base = format!("base=http://{}", server.address);
    nowhere_a_secret(&project, &[base, format!("tok={SECRET}")]);
}

#[test]
fn headers_take_their_secrets_from_the_environment() {
    let server = Server::asking_for(&format!("uthorization: Bearer {SECRET}\r\n"));
    let project = pipeline(
        &format!("http://{}/t.csv", server.address),
        ", headers: {Authorization: {secret: HUB_TOKEN, prefix: 'Bearer '}}",
    );
    project
        .erlen(["run", "p.yaml"])
        .assert_code(2)
        .assert_stderr("the environment variable `HUB_TOKEN`, which is not set");
    assert_eq!(server.requests(), 0);
    let run = project
        .command(["run", "p.yaml"])
        .env("HUB_TOKEN", SECRET)
        .output()
        .unwrap();
    Finished::from(run).assert_code(0);
    // It is part of nothing that is kept: without it, everything is known.
    nowhere_a_secret(&project, &[]);
    assert_eq!(server.requests(), 1);
    // The same by a user's password.
    let basic = Server::asking_for("uthorization: Basic bGFiOm9hdHM3N3NlY3JldA==\r\n");
    let project = pipeline(
        &format!("http://{}/t.csv", basic.address),
        ", headers: {Authorization: {secret: LAB_PASSWORD, user: lab}}",
    );
    let run = project
        .command(["run", "p.yaml"])
        .env("LAB_PASSWORD", SECRET)
        .output()
        .unwrap();
    Finished::from(run).assert_code(0);
}

#[test]
fn headers_are_checked() {
    for (headers, message) in [
        (
            "{Authorization: Bearer hush}",
            "holds a secret, and the file is no place",
        ),
        ("{X-Api-Key: hush}", "{secret: VARIABLE}"),
        (
            "{Authorization: {secret: 'a b'}}",
            "`a b` cannot name an environment variable",
        ),
        ("{Range: 'bytes=0-1'}", "is not for a pipeline to set"),
        ("{'a b': c}", "`a b` cannot name a header"),
        ("{Accept: a, accept: b}", "stands twice"),
        (
            "{Authorization: {secret: A, user: b, prefix: c}}",
            "exclude each other",
        ),
        ("{Accept: [a]}", "a text, or {secret: VARIABLE}"),
    ] {
        let project = pipeline("http://127.0.0.1:1/t.csv", &format!(", headers: {headers}"));
        project
            .erlen(["check", "p.yaml"])
            .assert_code(2)
            .assert_stderr(message);
    }
    let project = pipeline("http://127.0.0.1:1/t.csv", ", headers: {Accept: text/csv}");
    project.erlen(["check", "p.yaml"]).assert_code(0);
}
