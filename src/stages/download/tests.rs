//! Downloads from the project and from a server that behaves as badly as asked.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use sha2::Digest as _;
use tempfile::TempDir;

use super::*;
use crate::fingerprint::Digest;
use crate::stages::Surroundings;

/// A server on this machine that answers each request by the next of its answers (the last one
/// again and again), and remembers what it was asked.
struct Server {
    address: String,
    requests: Arc<Mutex<Vec<String>>>,
}

/// What the server does with a request: writes whatever it likes.
type Answer = Box<dyn Fn(&str, &mut TcpStream) + Send>;

impl Server {
    fn new(answers: Vec<Answer>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let requests = Arc::new(Mutex::new(Vec::new()));
        let heard = Arc::clone(&requests);
        std::thread::spawn(move || {
            for (number, stream) in listener.incoming().enumerate() {
                let mut stream = stream.unwrap();
                let mut request = String::new();
                let mut reader = BufReader::new(stream.try_clone().unwrap());
                while !request.ends_with("\r\n\r\n") && reader.read_line(&mut request).unwrap_or(0) > 0 {}
                let request = request.to_ascii_lowercase();
                heard.lock().unwrap().push(request.clone());
                answers[number.min(answers.len() - 1)](&request, &mut stream);
            }
        });
        Self { address, requests }
    }

    fn url(&self) -> String {
        format!("{}/data.bin", self.address)
    }

    fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

const CONTENT: &[u8] = b"the quick brown fox jumps over the lazy dog";

/// An answer with these header lines and this body.
fn says(status: &str, headers: &str, body: &[u8]) -> Answer {
    let head = format!("HTTP/1.1 {status}\r\nConnection: close\r\n{headers}\r\n");
    let bytes = [head.as_bytes(), body].concat();
    Box::new(move |_, stream| {
        let _ = stream.write_all(&bytes);
    })
}

fn whole() -> Answer {
    says(
        "200 OK",
        &format!("Content-Length: {}\r\nETag: \"v1\"\r\n", CONTENT.len()),
        CONTENT,
    )
}

/// The first `count` bytes, with the length of all.
fn cut(count: usize, headers: &str) -> Answer {
    says(
        "200 OK",
        &format!("Content-Length: {}\r\n{headers}", CONTENT.len()),
        &CONTENT[..count],
    )
}

/// The rest from `start` on, of the same version.
fn rest(start: usize) -> Answer {
    rest_with(start, "ETag: \"v1\"\r\n")
}

/// The rest from `start` on, with these header lines.
fn rest_with(start: usize, headers: &str) -> Answer {
    let total = CONTENT.len();
    let headers = format!(
        "Content-Length: {}\r\nContent-Range: bytes {start}-{}/{total}\r\n{headers}",
        total - start,
        total - 1
    );
    says("206 Partial Content", &headers, &CONTENT[start..])
}

fn sum(bytes: &[u8]) -> String {
    sha2::Sha256::digest(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// A file as gzip makes it.
fn gz(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// An answer with this body and header lines.
fn sends(body: &[u8], headers: &str) -> Answer {
    says(
        "200 OK",
        &format!("Content-Length: {}\r\n{headers}", body.len()),
        body,
    )
}

struct Test {
    folder: TempDir,
    spec: serde_json::Value,
    mirrors: Vec<(String, String)>,
    stop: Arc<AtomicBool>,
    stall: Duration,
}

impl Test {
    fn new(url: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for name in ["project", "scratch", "output"] {
            fs::create_dir(folder.path().join(name)).unwrap();
        }
        Self {
            folder,
            spec: serde_json::json!({"url": url}),
            mirrors: Vec::new(),
            stop: Arc::default(),
            stall: Duration::from_secs(5),
        }
    }

    fn set(mut self, field: &str, value: impl Into<serde_json::Value>) -> Self {
        self.spec[field] = value.into();
        self
    }

    fn path(&self, path: &str) -> PathBuf {
        self.folder.path().join(path)
    }

    fn run(&self) -> Result<Outcome, StageError> {
        let http = Http {
            stall: self.stall,
            tries: 3,
            pause: Duration::from_millis(1),
            longest_pause: Duration::from_millis(50),
            redirects: 5,
            proxy: false,
        };
        let options: Download = serde_json::from_value(self.spec.clone()).unwrap();
        let job = Job {
            stage: "raw".to_owned(),
            kind: options.clone().into(),
            seed: 0,
            draws: false,
            fingerprint: Digest::of_bytes(b""),
            inputs: BTreeMap::new(),
            provenance: BTreeMap::new(),
            scratch: self.path("scratch"),
            output: self.path("output"),
            log: self.path("log.txt"),
            limits: None,
            shorter: None,
            surroundings: Surroundings {
                mirrors: self.mirrors.clone(),
                ..Surroundings::of_project(self.path("project"))
            },
        };
        download(
            &options,
            &job,
            &Monitor::new(|_| {}, Arc::clone(&self.stop)),
            &http,
        )
    }

    /// It worked, and gave the content.
    fn gives_content(&self) {
        self.run().unwrap();
        assert_eq!(fs::read(self.path("output/data.bin")).unwrap(), CONTENT);
        assert_eq!(fs::read_dir(self.path("output")).unwrap().count(), 1);
    }

    /// It failed with these words, and gave nothing.
    fn fails(&self, words: &[&str], transient: bool) {
        let error = self.run().unwrap_err();
        for word in words {
            assert!(error.to_string().contains(word), "no `{word}` in: {error}");
        }
        assert!(
            matches!(error, StageError::Failed { transient: found, .. } if found == transient),
            "{error:?}"
        );
        assert_eq!(fs::read_dir(self.path("output")).unwrap().count(), 0);
    }
}

#[test]
fn project_files_are_taken() {
    let test = Test::new("sets/data.bin").set("sha256", sum(CONTENT));
    fs::create_dir(test.path("project/sets")).unwrap();
    fs::write(test.path("project/sets/data.bin"), CONTENT).unwrap();
    test.gives_content();
    assert_eq!(fs::read(test.path("project/sets/data.bin")).unwrap(), CONTENT);
    Test::new("sets/gone.bin").fails(&["cannot find", "gone.bin"], false);
    Test::new("../gone.bin").fails(&["cannot find", "gone.bin"], false);
    Test::new(".").fails(&["is not a file"], false);
    let url = format!("file://{}", test.path("project/sets/data.bin").display());
    Test::new(&url).gives_content();
}

#[test]
fn wrong_checksums_are_named() {
    let test = Test::new("data.bin").set("sha256", "00".repeat(32));
    fs::write(test.path("project/data.bin"), CONTENT).unwrap();
    test.fails(
        &["data.bin", "43 B", &"00".repeat(32), &sum(CONTENT), "`sha256`"],
        false,
    );
    assert!(test.path("project/data.bin").exists());

    let server = Server::new(vec![whole()]);
    let test = Test::new(&server.url()).set("sha256", "00".repeat(32));
    test.fails(&[&server.url(), &"00".repeat(32), &sum(CONTENT)], false);
    assert_eq!(server.requests().len(), 1);
    assert_eq!(fs::read_dir(test.path("scratch")).unwrap().count(), 0);
}

#[test]
fn files_come_over_http() {
    let server = Server::new(vec![whole()]);
    let test = Test::new(&server.url()).set("sha256", sum(CONTENT));
    test.gives_content();
    assert!(server.requests()[0].starts_with("get /data.bin http/1.1"));
    let chunked = says(
        "200 OK",
        "Transfer-Encoding: chunked\r\n",
        &[
            format!("{:x}\r\n", CONTENT.len()).as_bytes(),
            CONTENT,
            b"\r\n0\r\n\r\n",
        ]
        .concat(),
    );
    Test::new(&Server::new(vec![chunked]).url()).gives_content();
}

#[test]
fn an_archive_is_unpacked() {
    let test = Test::new("data.bin.gz").set("unpack", true);
    fs::write(test.path("project/data.bin.gz"), gz(CONTENT)).unwrap();
    test.gives_content();
}

#[test]
fn cut_off_downloads_go_on() {
    for headers in [
        "ETag: \"v1\"\r\n",
        "Last-Modified: Wed, 21 Oct 2015 07:28:00 GMT\r\n",
    ] {
        let server = Server::new(vec![cut(10, headers), rest_with(10, headers)]);
        Test::new(&server.url()).gives_content();
        let requests = server.requests();
        assert!(requests[1].contains("range: bytes=10-"), "{requests:?}");
        assert!(requests[1].contains("if-range: "), "{requests:?}");
    }
    // Even when they are cut off again and again, as long as each brings something.
    let mut answers = vec![cut(2, "ETag: \"v1\"\r\n")];
    for start in (2..CONTENT.len()).step_by(2) {
        let total = CONTENT.len();
        let headers = format!(
            "Content-Length: {}\r\nContent-Range: bytes {start}-{}/{total}\r\nETag: \"v1\"\r\n",
            total - start,
            total - 1
        );
        answers.push(says(
            "206 Partial Content",
            &headers,
            &CONTENT[start..(start + 2).min(total)],
        ));
    }
    Test::new(&Server::new(answers).url()).gives_content();
}

#[test]
fn without_a_validator_only_a_checksum_allows_going_on() {
    let server = Server::new(vec![cut(10, ""), whole()]);
    Test::new(&server.url()).gives_content();
    assert!(!server.requests()[1].contains("range:"));
    let server = Server::new(vec![cut(10, ""), rest_with(10, "")]);
    Test::new(&server.url())
        .set("sha256", sum(CONTENT))
        .gives_content();
    assert!(server.requests()[1].contains("range: bytes=10-"));
}

#[test]
fn servers_without_ranges_start_anew() {
    let server = Server::new(vec![cut(10, "ETag: \"v1\"\r\n"), whole()]);
    Test::new(&server.url()).gives_content();
}

#[test]
fn files_that_change_in_between_start_anew() {
    let other = says(
        "206 Partial Content",
        "Content-Range: bytes 10-19/20\r\nContent-Length: 10\r\n",
        b"xxxxxxxxxx",
    );
    let server = Server::new(vec![cut(10, "ETag: \"v1\"\r\n"), other, whole()]);
    Test::new(&server.url()).gives_content();
    assert!(!server.requests()[2].contains("range:"));
    let gone = says(
        "416 Range Not Satisfiable",
        "Content-Range: bytes */5\r\nContent-Length: 0\r\n",
        b"",
    );
    Test::new(&Server::new(vec![cut(10, "ETag: \"v1\"\r\n"), gone, whole()]).url()).gives_content();
    // A part of the same length, with another tag or date than asked for, or without any.
    const DATES: [&str; 2] = [
        "Last-Modified: Wed, 21 Oct 2015 07:28:00 GMT\r\n",
        "Last-Modified: Wed, 21 Oct 2015 07:28:01 GMT\r\n",
    ];
    for (first, then) in [
        ("ETag: \"v1\"\r\n", "ETag: \"v2\"\r\n"),
        ("ETag: \"v1\"\r\n", "ETag: W/\"v1\"\r\n"),
        ("ETag: \"v1\"\r\n", DATES[0]),
        (DATES[0], DATES[1]),
        ("ETag: \"v1\"\r\n", ""),
        (DATES[0], ""),
    ] {
        let total = CONTENT.len();
        let headers = format!(
            "Content-Length: {}\r\nContent-Range: bytes 10-{}/{total}\r\n{then}",
            total - 10,
            total - 1
        );
        let other = says("206 Partial Content", &headers, &vec![b'x'; total - 10]);
        let server = Server::new(vec![cut(10, first), other, whole()]);
        Test::new(&server.url()).gives_content();
        assert!(!server.requests()[2].contains("range:"), "{first} {then}");
    }
    // That the length is right says nothing of the version.
    let endless = says(
        "200 OK",
        "ETag: \"v1\"\r\nTransfer-Encoding: chunked\r\n",
        b"2\r\nxx\r\n",
    );
    let complete = says(
        "416 Range Not Satisfiable",
        "Content-Range: bytes */2\r\nContent-Length: 0\r\n",
        b"",
    );
    Test::new(&Server::new(vec![endless, complete, whole()]).url()).gives_content();
    // Parts that do not fit together show in the checksum.
    let total = CONTENT.len();
    let headers = format!(
        "Content-Length: {}\r\nContent-Range: bytes 10-{}/{total}\r\n",
        total - 10,
        total - 1
    );
    let wrong = says("206 Partial Content", &headers, &vec![b'x'; total - 10]);
    let server = Server::new(vec![cut(10, "ETag: \"v1\"\r\n"), wrong, whole()]);
    Test::new(&server.url())
        .set("sha256", sum(CONTENT))
        .gives_content();
}

#[test]
fn an_interrupted_download_goes_on_in_the_next_run() {
    let stops = Arc::new(AtomicBool::new(false));
    let stop = Arc::clone(&stops);
    let hang: Answer = Box::new(move |_, stream| {
        cut(10, "ETag: \"v1\"\r\n")("", stream);
        std::thread::sleep(Duration::from_millis(400));
        stop.store(true, Ordering::SeqCst);
        std::thread::sleep(Duration::from_secs(1));
    });
    let server = Server::new(vec![hang, rest(10)]);
    let mut test = Test::new(&server.url());
    test.stop = Arc::clone(&stops);
    let begin = Instant::now();
    assert_eq!(test.run(), Err(StageError::Interrupted));
    assert!(begin.elapsed() < Duration::from_secs(3));
    stops.store(false, Ordering::SeqCst);
    test.gives_content();
    assert!(server.requests()[1].contains("range: bytes=10-"));
}

#[test]
fn errors_are_retried_only_where_that_can_help() {
    let server = Server::new(vec![says("404 Not Found", "Content-Length: 0\r\n", b"")]);
    Test::new(&server.url()).fails(&["404", "address is right"], false);
    assert_eq!(server.requests().len(), 1);

    let busy = || {
        says(
            "503 Service Unavailable",
            "Retry-After: 0\r\nContent-Length: 4\r\n",
            b"busy",
        )
    };
    let server = Server::new(vec![
        busy(),
        says("429 Too Many Requests", "Content-Length: 0\r\n", b""),
        whole(),
    ]);
    Test::new(&server.url()).gives_content();

    let server = Server::new(vec![busy()]);
    Test::new(&server.url()).fails(&["3 times in a row", "503"], true);
    assert_eq!(server.requests().len(), 3);

    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    Test::new(&format!("http://{free}/x")).fails(&["3 times in a row"], true);
}

#[test]
fn redirects_are_followed_but_not_for_ever() {
    let server = Server::new(vec![
        says("302 Found", "Location: /other\r\nContent-Length: 0\r\n", b""),
        whole(),
    ]);
    Test::new(&server.url()).gives_content();
    assert!(server.requests()[1].starts_with("get /other "));
    let server = Server::new(vec![says(
        "302 Found",
        "Location: /data.bin\r\nContent-Length: 0\r\n",
        b"",
    )]);
    Test::new(&server.url()).fails(&["redirects in a loop"], false);
    assert!(server.requests().len() < 10);
}

#[test]
fn stalls_end() {
    let hang: Answer = Box::new(|_, stream| {
        cut(10, "ETag: \"v1\"\r\n")("", stream);
        std::thread::sleep(Duration::from_secs(2));
    });
    let server = Server::new(vec![hang, rest(10)]);
    let mut test = Test::new(&server.url());
    test.stall = Duration::from_millis(300);
    // The server is busy with its sleep at first; that counts as a stall too.
    let outcome = test.run();
    if let Err(StageError::Failed {
        message, transient, ..
    }) = &outcome
    {
        assert!(
            *transient && message.contains("goes on where it stopped"),
            "{message}"
        );
        std::thread::sleep(Duration::from_secs(2));
        test.gives_content();
    }
    assert_eq!(fs::read(test.path("output/data.bin")).unwrap(), CONTENT);
}

#[test]
fn lies_about_the_length_are_caught() {
    // Too short, each time, with no way to go on.
    let server = Server::new(vec![cut(10, "")]);
    Test::new(&server.url()).fails(&["cut off after 10 of 43 bytes"], true);
    let server = Server::new(vec![whole()]);
    Test::new(&server.url())
        .set("max_size", 42)
        .fails(&["43 B", "`max_size` of 42 B"], false);
    let endless: Answer = Box::new(|_, stream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n");
        while stream.write_all(&[0; 1 << 16]).is_ok() {}
    });
    Test::new(&Server::new(vec![endless]).url())
        .set("max_size", 1 << 20)
        .fails(&["max_size"], false);
}

#[test]
fn mirrors_stand_in() {
    let bad = Server::new(vec![says("404 Not Found", "Content-Length: 0\r\n", b"")]);
    let good = Server::new(vec![whole()]);
    Test::new(&bad.url())
        .set("mirrors", vec![good.url()])
        .gives_content();

    // What `erlen.yaml` maps comes first: here a folder, so that the server is never asked.
    let server = Server::new(vec![whole()]);
    let mut test = Test::new(&server.url());
    test.mirrors = vec![(format!("{}/", server.address), "vendor".to_owned())];
    fs::create_dir(test.path("project/vendor")).unwrap();
    fs::write(test.path("project/vendor/data.bin"), CONTENT).unwrap();
    test.gives_content();
    assert_eq!(server.requests().len(), 0);
    // Without the file there, the URL itself serves.
    fs::remove_file(test.path("project/vendor/data.bin")).unwrap();
    fs::remove_file(test.path("output/data.bin")).unwrap();
    test.gives_content();

    Test::new(&bad.url())
        .set("mirrors", vec!["gone.bin"])
        .fails(&["none of the 2 sources", "404", "gone.bin"], false);
}

#[test]
fn what_cannot_be_unpacked_is_asked_for_again() {
    let packed = gz(CONTENT);
    let mut damaged = packed.clone();
    let last = damaged.len() - 6;
    damaged[last] ^= 1;
    let tag = "ETag: \"v1\"\r\n";
    let server = Server::new(vec![sends(&damaged, tag), sends(&packed, "ETag: \"v2\"\r\n")]);
    let test = Test::new(&server.url()).set("unpack", true);
    test.fails(&["damaged or cut off"], false);
    assert_eq!(fs::read_dir(test.path("scratch")).unwrap().count(), 0);
    test.gives_content();
    assert!(!server.requests()[1].contains("range:"));
    // With a mirror, it stands in at once.
    let (bad, good) = (
        Server::new(vec![sends(&damaged, tag)]),
        Server::new(vec![sends(&packed, tag)]),
    );
    Test::new(&bad.url())
        .set("unpack", true)
        .set("mirrors", vec![format!("{}/other.gz", good.address)])
        .gives_content();
    // What is sound and only too large for a limit is kept until the limit is raised.
    let server = Server::new(vec![sends(&packed, tag)]);
    let test = Test::new(&server.url())
        .set("unpack", true)
        .set("max_unpacked", 10);
    assert!(test.run().unwrap_err().to_string().contains("max_unpacked"));
    fs::remove_file(test.path("output/data.bin")).unwrap();
    test.set("max_unpacked", 1000).gives_content();
    assert_eq!(server.requests().len(), 1);
}

#[test]
fn a_page_or_nothing_in_place_of_the_file_is_told() {
    let page = b"<!doctype html><title>Sign in</title>";
    for (body, words) in [
        (&page[..], "a web page (HTML) with the title `Sign in`"),
        (b"", "an empty file"),
    ] {
        let server = Server::new(vec![sends(body, "ETag: \"v1\"\r\n"), whole()]);
        let test = Test::new(&server.url());
        test.fails(&[words, &server.url()], false);
        test.gives_content();
        let unpacking = Test::new(&Server::new(vec![sends(body, "")]).url()).set("unpack", true);
        unpacking.fails(&[words], false);
        let sum_says = Test::new(&Server::new(vec![sends(body, "")]).url()).set("sha256", sum(CONTENT));
        sum_says.fails(
            &[
                "wrong checksum",
                if body.is_empty() { "it is empty" } else { "Sign in" },
            ],
            false,
        );
        // Who knows its checksum means it.
        Test::new(&Server::new(vec![sends(body, "")]).url())
            .set("sha256", sum(body))
            .run()
            .unwrap();
    }
    let server = Server::new(vec![sends(page, "")]);
    Test::new(&format!("{}/page.html", server.address)).run().unwrap();
}

#[test]
fn files_that_are_encoded_on_the_way_are_decoded() {
    let packed = gz(CONTENT);
    let encoded = || Server::new(vec![sends(&packed, "Content-Encoding: gzip\r\n")]);
    let server = encoded();
    Test::new(&server.url()).gives_content();
    assert!(server.requests()[0].contains("accept-encoding: identity"));
    Test::new(&encoded().url())
        .set("sha256", sum(CONTENT))
        .gives_content();
    // The sum of what was sent, or a name that says the same: a mere label.
    let test = Test::new(&encoded().url()).set("sha256", sum(&packed));
    test.run().unwrap();
    assert_eq!(fs::read(test.path("output/data.bin")).unwrap(), packed);
    let test = Test::new(&format!("{}/data.gz", encoded().address));
    test.run().unwrap();
    assert_eq!(fs::read(test.path("output/data.gz")).unwrap(), packed);
    let other = Server::new(vec![sends(&packed, "Content-Encoding: br\r\n")]);
    Test::new(&other.url()).fails(&["Content-Encoding: br"], false);
    let bomb = Server::new(vec![sends(&gz(&[0; 100_000]), "Content-Encoding: gzip\r\n")]);
    Test::new(&bomb.url())
        .set("max_size", 50_000)
        .fails(&["max_size"], false);
}

#[test]
fn who_asks_is_told_to_the_first_host_alone() {
    let other = Server::new(vec![whole()]);
    // Another port is another host.
    let away = says(
        "302 Found",
        &format!("Location: {}/data.bin\r\nContent-Length: 0\r\n", other.address),
        b"",
    );
    let near = says("302 Found", "Location: /near\r\nContent-Length: 0\r\n", b"");
    let server = Server::new(vec![near, away]);
    // The variable is set for all tests: cargo's own, which holds a path.
    let headers = serde_json::json!({
        "Accept": "text/csv",
        "X-Api-Key": {"secret": "CARGO_MANIFEST_DIR", "prefix": "of "},
    });
    let url = server.url().replace("http://", "http://lab:oats@");
    Test::new(&url).set("headers", headers).gives_content();
    let secret = format!("x-api-key: of {}", env!("CARGO_MANIFEST_DIR")).to_ascii_lowercase();
    for request in server.requests() {
        assert!(request.contains("authorization: basic bgfiom9hdhm="), "{request}");
        assert!(
            request.contains(&secret) && request.contains("accept: text/csv"),
            "{request}"
        );
    }
    assert_eq!(server.requests().len(), 2);
    let request = &other.requests()[0];
    assert!(
        !request.contains("authorization") && !request.contains("x-api-key"),
        "{request}"
    );
    assert!(request.contains("accept: text/csv"), "{request}");

    // Nor to a mirror, nor is it written down with what has come.
    let bad = Server::new(vec![says("404 Not Found", "Content-Length: 0\r\n", b"")]);
    let mirror = Server::new(vec![cut(10, "ETag: \"v1\"\r\n")]);
    let url = bad.url().replace("http://", "http://lab:oats@");
    let test = Test::new(&url)
        .set("mirrors", vec![format!("{}?token=oats", mirror.url())])
        .set(
            "headers",
            serde_json::json!({"Authorization": {"secret": "CARGO_MANIFEST_DIR", "user": "lab"}}),
        );
    let error = test.run().unwrap_err().to_string();
    assert!(!error.contains("oats"), "{error}");
    assert!(
        bad.requests()[0].contains("authorization: basic bgfio"),
        "{:?}",
        bad.requests()
    );
    assert!(!mirror.requests()[0].contains("authorization"));
    assert!(
        !fs::read_to_string(test.path("scratch/packed.json"))
            .unwrap()
            .contains("oats")
    );
}
