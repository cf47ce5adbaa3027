//! Many clients at once: whatever happens, each hears of its own rows.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::client::{Client, RunningServer};
use super::{DIGITS, binary_pixels_json, bmp, digits, grey, pixels_request};
use crate::soak::setting;

/// Clients at once.
const CLIENTS: u64 = 32;

/// The logits of an image, and the version that gave them.
fn logits(client: &mut Client, image: &[u8; 64]) -> std::io::Result<(u16, String, Vec<u8>)> {
    let json = binary_pixels_json(1);
    let length = json.len().to_string();
    let headers = [("Inference-Header-Content-Length", length.as_str())];
    let body = [json.as_bytes(), image].concat();
    let answer = client.try_ask("POST", "/v2/models/digits/infer", &headers, &body)?;
    if answer.status != 200 {
        return Ok((answer.status, answer.text(), Vec::new()));
    }
    let version = answer.json()["model_version"]
        .as_str()
        .expect("a version")
        .to_owned();
    Ok((200, version, answer.binary().to_vec()))
}

#[test]
fn no_answer_is_lost_or_swapped() {
    let project = digits();
    let server = RunningServer::start(&project, &["digits.yaml"]);
    let mut first = server.client();
    let expected: Vec<Vec<u8>> = (0..CLIENTS)
        .map(|own| logits(&mut first, &grey(own)).expect("an answer").2)
        .collect();
    assert_eq!(
        expected.iter().collect::<std::collections::BTreeSet<_>>().len(),
        CLIENTS as usize
    );
    let seconds = setting("ERLEN_SOAK_SECONDS", 2);
    let (answers, end) = (AtomicUsize::new(0), Instant::now() + Duration::from_secs(seconds));
    thread::scope(|scope| {
        for own in 0..CLIENTS {
            let (server, expected, answers) = (&server, &expected, &answers);
            scope.spawn(move || {
                let (mut client, image) = (server.client(), grey(own));
                while Instant::now() < end {
                    let (status, _, found) = logits(&mut client, &image).expect("an answer");
                    assert_eq!((status, &found), (200, &expected[own as usize]));
                    answers.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    });
    let answers = answers.load(Ordering::Relaxed) + CLIENTS as usize;
    assert_eq!(
        server.figure("erlen_answered_total{model=\"digits\"}"),
        answers as f64
    );
    // Under load requests are put together by themselves.
    assert!(server.figure("erlen_batches_total{model=\"digits\"}") < answers as f64);
    server.until("the last connection ends", |server| {
        server.figure("erlen_connections") <= 2.0
    });
    assert_eq!(server.figure("erlen_queue_length{model=\"digits\"}"), 0.0);
}

#[test]
fn an_end_under_load_loses_no_request() {
    let project = digits();
    let server = RunningServer::start(&project, &["digits.yaml"]);
    let request = pixels_request(&[grey(1)]);
    let expected = server.client().infer("digits", &request).output("logits");
    let asked = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..CLIENTS {
            let (server, request, expected, asked) = (&server, &request, &expected, &asked);
            scope.spawn(move || {
                let mut client = server.client();
                loop {
                    let answer = client.infer("digits", request);
                    assert_eq!(&answer.output("logits"), expected);
                    asked.fetch_add(1, Ordering::Relaxed);
                    // Whoever goes on asks elsewhere.
                    if answer.header("connection") == Some("close") {
                        return;
                    }
                }
            });
        }
        thread::sleep(Duration::from_millis(500));
        server.signal();
    });
    assert_eq!(server.end(), Some(0));
    let log = project.read("access.jsonl");
    let answered = log.matches("\"status\":200").count();
    assert_eq!(answered, asked.load(Ordering::Relaxed) + 1);
    assert!(log.contains("\"connections_cut\":0"));
}

#[test]
fn while_it_ends_it_is_not_ready_and_says_so() {
    let project = digits();
    let server = RunningServer::start(&project, &["digits.yaml"]);
    let mut client = server.client();
    assert_eq!(
        client
            .get("/v2/health/ready")
            .assert_status(200)
            .header("connection"),
        None
    );
    server.signal();
    // Within the second that requests on their way are given.
    thread::sleep(Duration::from_millis(300));
    let answer = client.get("/v2/health/ready");
    assert_eq!(answer.assert_status(503).header("connection"), Some("close"));
    assert_eq!(server.end(), Some(0));
}

#[test]
fn every_answer_is_of_one_version() {
    let project = digits();
    let server = RunningServer::start(&project, &["digits.yaml", "--watch"]);
    let (image, found) = (
        grey(5),
        std::sync::Mutex::new(BTreeMap::<String, Vec<Vec<u8>>>::new()),
    );
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..4 {
            let (server, found, done) = (&server, &found, &done);
            scope.spawn(move || {
                let mut client = server.client();
                while !done.load(Ordering::Relaxed) {
                    let (status, version, logits) = logits(&mut client, &image).expect("an answer");
                    assert_eq!(status, 200, "{version}");
                    let mut found = found.lock().expect("no panic");
                    let of_version = found.entry(version).or_default();
                    if !of_version.contains(&logits) {
                        of_version.push(logits);
                    }
                }
            });
        }
        // A file with a mistake, one whose result is not there yet, and then its result.
        let replace = |text: &str| {
            // At once, as editors do: half a file would be another mistake.
            project.write("next.yaml", text);
            std::fs::rename(project.path("next.yaml"), project.path("digits.yaml")).expect("a file");
        };
        replace("stages: [");
        server.until("the mistake is seen", |server| {
            server.figure("erlen_reload_failures_total{model=\"digits\"}") > 0.0
        });
        replace(&DIGITS.replace("seed: 0", "seed: 1"));
        thread::sleep(Duration::from_secs(3));
        assert_eq!(server.figure("erlen_reloads_total{model=\"digits\"}"), 0.0);
        project.erlen(["run", "digits.yaml", "model"]).assert_code(0);
        server.until("the new result is served", |server| {
            server.figure("erlen_reloads_total{model=\"digits\"}") == 1.0
        });
        thread::sleep(Duration::from_millis(300));
        done.store(true, Ordering::Relaxed);
    });
    let found = found.into_inner().expect("no panic");
    assert_eq!(found.len(), 2, "{:?}", found.keys());
    assert!(
        found.values().all(|logits| logits.len() == 1),
        "a version answers differently"
    );
    let log = project.read("access.jsonl");
    for event in ["\"event\":\"reload_failed\"", "\"event\":\"model_reloaded\""] {
        assert_eq!(log.matches(event).count(), 1, "{event}");
    }
    // What is served now is what `predict` tells of the new result.
    project.write("new.bmp", bmp(&image));
    let told = project.erlen(["predict", "digits.yaml", "new.bmp", "--format", "json-lines"]);
    let told: serde_json::Value = serde_json::from_str(&told.assert_code(0).stdout).expect("JSON");
    let served = server.client().ask(
        "POST",
        "/v2/models/digits/infer",
        &[("Content-Type", "image/bmp")],
        &bmp(&image),
    );
    assert_eq!(served.output("probability"), [told["probability"].clone()]);
}
