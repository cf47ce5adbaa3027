//! Requests of people who mean no good, or whose programs have mistakes.

use std::io::Write;
use std::thread;
use std::time::{Duration, Instant};

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};

use super::client::{Client, RunningServer};
use super::{binary_pixels_json, bmp, digits, grey, pixels_request};

const INFER: &str = "/v2/models/digits/infer";

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut packed = GzEncoder::new(Vec::new(), Compression::best());
    packed.write_all(bytes).expect("memory");
    packed.finish().expect("memory")
}

/// A request about pixels with `shape` and `data`.
fn pixels(shape: Value, data: Value) -> Vec<u8> {
    let inputs = json!({"inputs": [{"name": "pixels", "shape": shape, "datatype": "UINT8", "data": data}]});
    inputs.to_string().into_bytes()
}

/// A BMP file that claims so many pixels.
fn large_bmp(width: i32, height: i32) -> Vec<u8> {
    let mut file = bmp(&grey(1));
    file[18..22].copy_from_slice(&width.to_le_bytes());
    file[22..26].copy_from_slice(&height.to_le_bytes());
    file
}

/// What is wrong with a request, its headers, its body, and the code of its answer.
type WrongRequest = (&'static str, Vec<(&'static str, String)>, Vec<u8>, u16);

/// Requests that are whole.
fn wrong_requests() -> Vec<WrongRequest> {
    let zeros = |count: usize| Value::from(vec![0; count]);
    let plain = |name, body, status| (name, Vec::new(), body, status);
    let binary = |name, json: String, bytes: &[u8], status| {
        let headers = vec![("Inference-Header-Content-Length", json.len().to_string())];
        (name, headers, [json.as_bytes(), bytes].concat(), status)
    };
    let header = |name, key, value: &str, body, status| (name, vec![(key, value.to_owned())], body, status);
    let float_input = |value: f32| {
        let json = json!({"inputs": [{"name": "input", "shape": [1, 1, 8, 8], "datatype": "FP32",
            "parameters": {"binary_data_size": 256}}]});
        let bytes: Vec<u8> = std::iter::repeat_n(value, 64)
            .flat_map(f32::to_le_bytes)
            .collect();
        (json.to_string(), bytes)
    };
    let (nan, nan_bytes) = float_input(f32::NAN);
    let (infinite, infinite_bytes) = float_input(f32::INFINITY);
    let good = pixels_request(&[grey(1)]).into_bytes();
    let image = |bytes: &[u8]| {
        let json = json!({"inputs": [{"name": "image", "shape": [1], "datatype": "BYTES",
            "parameters": {"binary_data_size": bytes.len()}}]});
        (json.to_string(), bytes.to_vec())
    };
    let (lying, lying_bytes) = image(&[0xff, 0xff, 0xff, 0x7f, 1]);
    let deep = format!(
        r#"{{"inputs":[{{"name":"pixels","shape":[1,8,8,1],"datatype":"UINT8","data":{}1{}}}]}}"#,
        "[".repeat(50_000),
        "]".repeat(50_000)
    );
    vec![
        plain("nothing", Vec::new(), 400),
        plain("no JSON", b"\x00\x01\x02".to_vec(), 400),
        plain("half of JSON", good[..good.len() / 2].to_vec(), 400),
        plain("no UTF-8", b"{\"inputs\":[{\"name\":\"\xff\"}]}".to_vec(), 400),
        plain("deep lists", deep.into_bytes(), 400),
        plain("deep objects", "{\"a\":".repeat(100_000).into_bytes(), 400),
        plain(
            "a shape of 2^62 rows",
            pixels(json!([1u64 << 62, 8, 8, 1]), zeros(64)),
            413,
        ),
        plain(
            "a shape of 2^32 rows",
            pixels(json!([1u64 << 32, 8, 8, 1]), zeros(64)),
            413,
        ),
        plain("a negative shape", pixels(json!([-1, 8, 8, 1]), zeros(64)), 400),
        plain("no row", pixels(json!([0, 8, 8, 1]), zeros(0)), 400),
        plain("another shape", pixels(json!([1, 8, 8]), zeros(64)), 400),
        plain("too few values", pixels(json!([1, 8, 8, 1]), zeros(63)), 400),
        plain("too many values", pixels(json!([1, 8, 8, 1]), zeros(65)), 400),
        plain(
            "a value out of range",
            pixels(json!([1, 8, 8, 1]), json!(vec![256; 64])),
            400,
        ),
        plain(
            "texts for numbers",
            pixels(json!([1, 8, 8, 1]), json!(vec!["1"; 64])),
            400,
        ),
        plain(
            "objects for numbers",
            pixels(json!([1, 8, 8, 1]), json!([{"a": 1}])),
            400,
        ),
        plain(
            "too many rows",
            pixels(json!([1100, 8, 8, 1]), zeros(1100 * 64)),
            413,
        ),
        plain("a large body", vec![b' '; 33 << 20], 413),
        binary("fewer bytes than claimed", binary_pixels_json(2), &grey(1), 400),
        binary("more bytes than claimed", binary_pixels_json(1), &[0; 65], 400),
        binary("not a number", nan, &nan_bytes, 400),
        binary("infinite", infinite, &infinite_bytes, 400),
        binary("a text that claims 2 GiB", lying, &lying_bytes, 400),
        header(
            "a lying header",
            "Inference-Header-Content-Length",
            "99999999",
            good.clone(),
            400,
        ),
        header(
            "a negative header",
            "Inference-Header-Content-Length",
            "-1",
            good.clone(),
            400,
        ),
        header(
            "a header that is text",
            "Inference-Header-Content-Length",
            "ten",
            good.clone(),
            400,
        ),
        header(
            "a bomb",
            "Content-Encoding",
            "gzip",
            gzip(&vec![b' '; 64 << 20]),
            413,
        ),
        header(
            "a damaged gzip",
            "Content-Encoding",
            "gzip",
            gzip(&good)[..30].to_vec(),
            400,
        ),
        header("no gzip", "Content-Encoding", "gzip", good.clone(), 400),
        header("brotli", "Content-Encoding", "br", good.clone(), 415),
        header("no image", "Content-Type", "image/png", b"GIF87".to_vec(), 400),
        header("an empty image", "Content-Type", "image/png", Vec::new(), 400),
        header(
            "an image bomb",
            "Content-Type",
            "image/bmp",
            large_bmp(60_000, 60_000),
            400,
        ),
        header(
            "an image cut off",
            "Content-Type",
            "image/bmp",
            bmp(&grey(1))[..100].to_vec(),
            400,
        ),
        plain(
            "time that is over",
            {
                let mut request: Value = serde_json::from_slice(&good).expect("JSON");
                request["parameters"] = json!({"timeout": 1});
                request.to_string().into_bytes()
            },
            504,
        ),
        header("a good one in gzip", "Content-Encoding", "gzip", gzip(&good), 200),
        plain("a good one", good, 200),
    ]
}

#[test]
fn wrong_requests_get_the_right_code_and_a_sentence() {
    let project = digits();
    let server = RunningServer::start(&project, &["digits.yaml"]);
    let (mut codes, mut client) = (Vec::new(), server.client());
    for (name, headers, body, status) in wrong_requests() {
        let headers: Vec<(&str, &str)> = headers
            .iter()
            .map(|(key, value)| (*key, value.as_str()))
            .collect();
        // A connection may end with a refusal.
        let answer = client.try_ask("POST", INFER, &headers, &body).or_else(|_| {
            client = server.client();
            client.try_ask("POST", INFER, &headers, &body)
        });
        let answer = answer.unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(answer.status, status, "{name}: {}", answer.text());
        if status != 200 {
            let told = answer.json()["error"].as_str().expect("a sentence").to_owned();
            assert!(!told.is_empty() && told.len() < 1000, "{name}: {told}");
        }
        codes.push(status);
    }
    assert!(codes.len() > 30);

    // What is no request about rows.
    for (method, path, status) in [
        ("GET", "/v2/models/none", 404),
        ("GET", "/v2/models/digits/versions/9", 404),
        ("GET", "/v2/models/digits/config", 404),
        ("GET", "/../../etc/passwd", 404),
        ("GET", INFER, 405),
        ("DELETE", "/v2/models/digits", 405),
        ("POST", "/metrics", 405),
    ] {
        let answer = server.client().ask(method, path, &[], &[]);
        assert_eq!(answer.status, status, "{method} {path}");
    }
    let long = format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "a".repeat(40_000));
    let many = format!("GET / HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(2_000));
    let wide = format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "a".repeat(40_000));
    for (bytes, allowed) in [
        (b"\x16\x03\x01\x02\x00\x01\x00\x01".to_vec(), [400, 400]),
        (b"GET\r\n\r\n".to_vec(), [400, 400]),
        (
            b"POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n".to_vec(),
            [400, 400],
        ),
        (
            b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n".to_vec(),
            [400, 400],
        ),
        (long.into_bytes(), [414, 431]),
        (many.into_bytes(), [431, 431]),
        (wide.into_bytes(), [431, 431]),
    ] {
        let mut client = server.client();
        // What is not read to its end may be refused while it is sent.
        let _ = client.send(&bytes);
        client.finish();
        let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(40)]).into_owned();
        match client.read() {
            Ok(answer) => assert!(allowed.contains(&answer.status), "{shown}: {}", answer.head),
            Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "{shown}"),
        }
    }
    server
        .client()
        .infer("digits", &pixels_request(&[grey(1)]))
        .assert_status(200);
    server.signal();
    assert_eq!(server.end(), Some(0));
}

#[test]
fn slow_clients_are_cut_and_others_do_not_wait_for_them() {
    let project = digits();
    let server = RunningServer::start(&project, &["digits.yaml"]);
    let head = format!("POST {INFER} HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n");
    let connect = |bytes: &str| {
        let mut client = server.client();
        client.send(bytes.as_bytes()).expect("it is taken");
        client
    };
    let began = Instant::now();
    let heads: Vec<Client> = (0..20).map(|_| connect("GET / HTTP/1.1\r\nHost: ")).collect();
    let bodies: Vec<Client> = (0..20).map(|_| connect(&head)).collect();
    let request = pixels_request(&[grey(1)]);
    let mut client = server.client();
    for _ in 0..50 {
        client.infer("digits", &request).assert_status(200);
    }
    assert!(began.elapsed() < Duration::from_secs(9), "others waited");
    for mut client in heads {
        assert!(client.read().is_err(), "a head that never ends is not answered");
    }
    for mut client in bodies {
        client.read().expect("an answer").assert_status(408);
    }
    assert!(began.elapsed() >= Duration::from_secs(9));
}

#[test]
fn a_full_queue_and_clients_that_go_leave_room_for_others() {
    let project = digits();
    // Whoever waits for a batch of this size waits for the delay.
    let limits = [
        "digits.yaml",
        "--queue",
        "2",
        "--max-delay",
        "3s",
        "--max-batch",
        "64",
    ];
    let server = RunningServer::start(&project, &limits);
    let request = pixels_request(&[grey(1)]);
    let text = format!(
        "POST {INFER} HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{request}",
        request.len()
    );
    let waiting = |server: &RunningServer| server.figure("erlen_queue_length{model=\"digits\"}");
    let began = Instant::now();
    let connect = || {
        let mut client = server.client();
        client.send(text.as_bytes()).expect("it is taken");
        client
    };
    let (mut first, gone) = (connect(), connect());
    server.until("both wait", |server| waiting(server) == 2.0);
    let refused = server.client().infer("digits", &request);
    assert_eq!(refused.assert_status(503).header("retry-after"), Some("1"));
    drop(gone);
    first.read().expect("an answer").assert_status(200);
    assert!(began.elapsed() >= Duration::from_secs(3));
    thread::sleep(Duration::from_millis(200));
    assert_eq!(
        server.figure("erlen_rows_total{model=\"digits\"}"),
        1.0,
        "a client that went was answered"
    );
    assert_eq!(
        server.figure("erlen_requests_total{model=\"digits\",code=\"499\"}"),
        1.0
    );
    assert_eq!(server.figure("erlen_batch_rows_sum{model=\"digits\"}"), 1.0);
    // A deadline that ends while the request waits.
    let mut late: Value = serde_json::from_str(&request).expect("JSON");
    late["parameters"] = json!({"timeout": 100_000});
    let began = Instant::now();
    server
        .client()
        .infer("digits", &late.to_string())
        .assert_status(504);
    assert!(began.elapsed() < Duration::from_secs(2));
}
