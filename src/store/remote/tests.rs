//! What goes over the wire, against servers of a few lines.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use url::Url;

use super::bucket::Bucket;
use super::connection::Connection;
use super::requests::Client;
use super::web::Web;
use super::{RemoteOptions, lock};

/// A request as a server sees it: method and path, headers by their small names, content.
struct Seen {
    line: String,
    headers: HashMap<String, String>,
    content: Vec<u8>,
}

/// A server that answers with what `answer` makes of each request, head and body; whether the connection is cut
/// off after it.
fn server(
    answer: impl Fn(&Seen) -> (String, bool) + Send + Sync + 'static,
) -> (String, Arc<Mutex<Vec<Seen>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let seen: Arc<Mutex<Vec<Seen>>> = Arc::default();
    let (kept, answer) = (Arc::clone(&seen), Arc::new(answer));
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let (kept, answer) = (Arc::clone(&kept), Arc::clone(&answer));
            std::thread::spawn(move || serve(stream, &kept, answer.as_ref()));
        }
    });
    (address, seen)
}

fn serve(stream: TcpStream, kept: &Mutex<Vec<Seen>>, answer: &dyn Fn(&Seen) -> (String, bool)) -> Option<()> {
    let mut out = stream.try_clone().ok()?;
    let mut lines = BufReader::new(stream);
    loop {
        let mut line = String::new();
        lines.read_line(&mut line).ok().filter(|count| *count > 0)?;
        let mut headers = HashMap::new();
        loop {
            let mut header = String::new();
            lines.read_line(&mut header).ok()?;
            let Some((name, value)) = header.trim().split_once(':') else {
                break;
            };
            headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
        }
        let length = headers
            .get("content-length")
            .and_then(|length| length.parse().ok());
        let mut content = vec![0; length.unwrap_or(0)];
        lines.read_exact(&mut content).ok()?;
        let request = Seen {
            line: line.trim().trim_end_matches(" HTTP/1.1").to_owned(),
            headers,
            content,
        };
        let (text, is_cut_off) = answer(&request);
        lock(kept).push(request);
        out.write_all(text.as_bytes()).ok()?;
        if is_cut_off {
            return out.shutdown(std::net::Shutdown::Both).ok();
        }
    }
}

fn reply(status: &str, body: &str) -> (String, bool) {
    (
        format!(
            "HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        ),
        false,
    )
}

fn lines(seen: &Mutex<Vec<Seen>>) -> Vec<String> {
    lock(seen).iter().map(|request| request.line.clone()).collect()
}

fn options(url: &str) -> RemoteOptions {
    RemoteOptions {
        url: url.to_owned(),
        endpoint: None,
        region: None,
        read: true,
        write: true,
    }
}

fn bucket(place: &str, endpoint: &str, variables: &[(&str, &str)]) -> Result<Bucket, String> {
    let options = RemoteOptions {
        endpoint: Some(endpoint.to_owned()),
        ..options("")
    };
    let variable = |name: &str| {
        let found = variables.iter().find(|(known, _)| *known == name);
        found.map(|(_, value)| (*value).to_owned())
    };
    Bucket::new(place, &options, &variable)
}

const KEYS: [(&str, &str); 2] = [("AWS_ACCESS_KEY_ID", "key"), ("AWS_SECRET_ACCESS_KEY", "secret")];

#[test]
fn what_may_pass_is_tried_again_and_what_may_not_is_told() {
    let (address, seen) = server(|request| match request.line.as_str() {
        "GET /busy" => reply("503 Slow Down", ""),
        "GET /secret" => reply("403 Forbidden", ""),
        _ => reply("404 Not Found", ""),
    });
    let web = Web::new(&address).unwrap();
    let get = |name: &str| web.client.get(&web.url(name));
    assert_eq!(get("busy").unwrap_err(), "it answered 503 Service Unavailable");
    assert_eq!(get("secret").unwrap_err(), "it denies access (403 Forbidden)");
    assert_eq!(get("missing"), Ok(None));
    assert_eq!(
        lines(&seen),
        [
            "GET /busy",
            "GET /busy",
            "GET /busy",
            "GET /secret",
            "GET /missing"
        ]
    );
}

#[test]
fn a_download_goes_on_where_it_was_cut_off() {
    // The first connection ends early; the second is asked for the rest, or sends everything again.
    for knows_ranges in [true, false] {
        let (address, seen) = server(
            move |request| match request.headers.get("range").map(String::as_str) {
                None => (
                    "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n01234".to_owned(),
                    true,
                ),
                Some("bytes=5-") if knows_ranges => reply("206 Partial Content", "56789"),
                Some(_) => reply("200 OK", "0123456789"),
            },
        );
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        let url = Url::parse(&address).unwrap();
        assert!(Client::new(None).download(&url, &file).unwrap());
        assert_eq!(std::fs::read(&file).unwrap(), b"0123456789");
        assert_eq!(lock(&seen).len(), 2);
    }
}

#[test]
fn a_redirect_is_followed_with_what_is_sent() {
    let (there, seen) = server(|_| reply("201 Created", ""));
    let (address, _) = server(move |request| {
        let path = request.line.split(' ').nth(1).unwrap_or_default();
        let head = format!("HTTP/1.1 307 Temporary Redirect\r\nLocation: {there}{path}\r\n");
        (head + "Content-Length: 0\r\n\r\n", false)
    });
    let connection = Connection::new(&options(&address)).unwrap();
    connection.put("actions/a b", b"content").unwrap();
    let seen = lock(&seen);
    assert_eq!(
        (seen[0].line.as_str(), &seen[0].content[..]),
        ("PUT /actions/a%20b", &b"content"[..])
    );
}

#[test]
fn a_web_server_with_folders_has_them_made_and_lists_them() {
    let folders: Mutex<Vec<String>> = Mutex::default();
    let (address, seen) = server(move |request| {
        let (method, path) = request.line.split_once(' ').unwrap_or_default();
        let parent = path.rsplit_once('/').map_or("", |(parent, _)| parent).to_owned();
        let is_there = parent == "/dav" || lock(&folders).contains(&parent);
        match method {
            "PUT" | "MKCOL" if !is_there => reply("409 Conflict", ""),
            "MKCOL" if lock(&folders).iter().any(|known| known == path) => {
                reply("405 Method Not Allowed", "")
            }
            "MKCOL" => {
                lock(&folders).push(path.to_owned());
                reply("201 Created", "")
            }
            "PROPFIND" => reply(
                "207 Multi-Status",
                "<d:multistatus xmlns:d='DAV:'><d:response><d:href>/dav/actions/</d:href></d:response>\
                 <d:response><d:href>/dav/actions/ab/c%20d.json</d:href></d:response>\
                 <d:response><d:href>http://elsewhere/other</d:href></d:response></d:multistatus>",
            ),
            _ => reply("201 Created", ""),
        }
    });
    let connection = Connection::new(&options(&format!("{address}/dav"))).unwrap();
    connection.put("actions/ab/c.json", b"{}").unwrap();
    connection.put("actions/cd/e.json", b"{}").unwrap();
    assert_eq!(
        lines(&seen),
        [
            "PUT /dav/actions/ab/c.json",
            "MKCOL /dav/actions",
            "MKCOL /dav/actions/ab",
            "PUT /dav/actions/ab/c.json",
            "PUT /dav/actions/cd/e.json",
            "MKCOL /dav/actions",
            "MKCOL /dav/actions/cd",
            "PUT /dav/actions/cd/e.json",
        ]
    );
    assert_eq!(connection.list("actions").unwrap(), ["actions/ab/c d.json"]);
}

#[test]
fn a_large_file_goes_in_parts_and_is_taken_back_where_that_fails() {
    let size = 40_u64 << 20;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::File::create(&file).unwrap().set_len(size).unwrap();
    for fails in [false, true] {
        let (address, seen) = server(move |request| {
            let (line, length) = (&request.line, request.content.len());
            if line.ends_with("?uploads=") {
                reply(
                    "200 OK",
                    "<InitiateMultipartUploadResult><UploadId>a/b</UploadId></InitiateMultipartUploadResult>",
                )
            } else if line.starts_with("PUT") && fails && line.contains("partNumber=3") {
                reply(
                    "400 Bad Request",
                    "<Error><Code>BadDigest</Code><Message>no &amp; no</Message></Error>",
                )
            } else if line.starts_with("PUT") {
                (
                    format!("HTTP/1.1 200 OK\r\nETag: \"{length}\"\r\nContent-Length: 0\r\n\r\n"),
                    false,
                )
            } else {
                reply("200 OK", "")
            }
        });
        let bucket = bucket("b/p q", &address, &KEYS).unwrap();
        let sent = bucket.upload("objects/x", &file, size);
        let seen = lock(&seen);
        let last = seen.last().unwrap();
        if fails {
            let problem = sent.unwrap_err().words();
            assert_eq!(problem, "it answered 400 Bad Request: BadDigest: no & no");
            assert_eq!(last.line, "DELETE /b/p%20q/objects/x?uploadId=a%2Fb");
            continue;
        }
        sent.unwrap();
        assert_eq!(last.line, "POST /b/p%20q/objects/x?uploadId=a%2Fb");
        let part = |number: u64, length: u64| {
            format!("<Part><PartNumber>{number}</PartNumber><ETag>\"{length}\"</ETag></Part>")
        };
        let parts = part(1, 16 << 20) + &part(2, 16 << 20) + &part(3, 8 << 20);
        let list = format!("<CompleteMultipartUpload>{parts}</CompleteMultipartUpload>");
        assert_eq!(String::from_utf8_lossy(&last.content), list);
        for request in &*seen {
            assert!(request.headers["authorization"].starts_with("AWS4-HMAC-SHA256 Credential=key/"));
        }
    }
}

#[test]
fn a_bucket_is_listed_page_by_page() {
    let (address, seen) = server(|request| match request.line.contains("continuation-token") {
        false => reply(
            "200 OK",
            "<ListBucketResult><Contents><Key>p/actions/a</Key></Contents>\
             <NextContinuationToken>1/x==</NextContinuationToken></ListBucketResult>",
        ),
        true => reply(
            "200 OK",
            "<ListBucketResult><Contents><Key>p/actions/b</Key></Contents></ListBucketResult>",
        ),
    });
    let bucket = bucket("b/p", &address, &KEYS).unwrap();
    assert_eq!(bucket.list("actions").unwrap(), ["actions/a", "actions/b"]);
    assert_eq!(
        lines(&seen),
        [
            "GET /b?list-type=2&prefix=p%2Factions%2F",
            "GET /b?list-type=2&prefix=p%2Factions%2F&continuation-token=1%2Fx%3D%3D",
        ]
    );
}

#[test]
fn credentials_come_from_where_amazon_s_tools_look_for_them() {
    let json = r#"{"AccessKeyId": "given", "SecretAccessKey": "s", "Token": "t", "Expiration": "2999-01-01T00:00:00Z"}"#;
    let folder = tempfile::tempdir().unwrap();
    let token = folder.path().join("token");
    std::fs::write(&token, "proof\n").unwrap();
    let token = token.to_str().unwrap();
    let (service, seen) = server(move |request| match request.line.as_str() {
        "PUT /latest/api/token" => reply("200 OK", "machine"),
        "GET /latest/meta-data/iam/security-credentials/" => reply("200 OK", "role\n"),
        "GET /latest/meta-data/iam/security-credentials/role" | "GET /container" => reply("200 OK", json),
        line if line.starts_with("POST /?Action=AssumeRoleWithWebIdentity") => reply(
            "200 OK",
            "<R><Credentials><AccessKeyId>given</AccessKeyId><SecretAccessKey>s</SecretAccessKey>\
             <SessionToken>t</SessionToken><Expiration>2999-01-01T00:00:00Z</Expiration></Credentials></R>",
        ),
        _ => reply("404 Not Found", ""),
    });
    let container = format!("{service}/container");
    let sources: [&[(&str, &str)]; 3] = [
        &[("AWS_METADATA_ENDPOINT", &service)],
        &[
            ("AWS_CONTAINER_CREDENTIALS_FULL_URI", &container),
            ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", token),
        ],
        &[
            ("AWS_WEB_IDENTITY_TOKEN_FILE", token),
            ("AWS_ROLE_ARN", "arn:r"),
            ("AWS_ENDPOINT_URL_STS", &service),
        ],
    ];
    for variables in sources {
        let before = lock(&seen).len();
        let bucket = bucket("b", &service, variables).unwrap();
        for _ in 0..2 {
            let size = bucket.client.size(bucket.url("x"), Duration::from_secs(5));
            assert_eq!(size, Ok(None), "{variables:?}");
        }
        let seen = lock(&seen);
        let asked: Vec<&Seen> = seen[before..]
            .iter()
            .filter(|request| request.line == "HEAD /b/x")
            .collect();
        assert_eq!(asked.len(), 2);
        for request in asked {
            assert!(request.headers["authorization"].contains("Credential=given/"));
            assert_eq!(request.headers["x-amz-security-token"], "t");
        }
        // They are asked for once.
        assert_eq!(seen.len() - before - 2, if variables.len() == 1 { 3 } else { 1 });
    }
    let seen = lock(&seen);
    let sent = |line: &str, header: &str| {
        let request = seen
            .iter()
            .find(|request| request.line.starts_with(line))
            .unwrap();
        request.headers.get(header).cloned()
    };
    let machine = "GET /latest/meta-data/iam/security-credentials/role";
    assert_eq!(
        sent(machine, "x-aws-ec2-metadata-token").as_deref(),
        Some("machine")
    );
    assert_eq!(sent("GET /container", "authorization").as_deref(), Some("proof"));
    assert!(
        seen.iter().any(
            |request| request.line.contains("WebIdentityToken=proof") && request.line.contains("arn%3Ar")
        )
    );
}

#[test]
fn half_of_the_credentials_is_told_and_none_may_be_meant() {
    let problem = bucket("b", "http://localhost", &KEYS[..1]).err().unwrap();
    assert_eq!(
        problem,
        "AWS_ACCESS_KEY_ID is set and AWS_SECRET_ACCESS_KEY is not"
    );
    let (address, seen) = server(|_| reply("404 Not Found", ""));
    let public = bucket("b", &address, &[("AWS_SKIP_SIGNATURE", "true")]).unwrap();
    assert_eq!(public.client.get(&public.url("x")), Ok(None));
    assert!(!lock(&seen)[0].headers.contains_key("authorization"));
    let denied = server(|_| reply("403 Forbidden", "<Error><Code>InvalidAccessKeyId</Code></Error>")).0;
    let denied = bucket("b", &denied, &KEYS).unwrap();
    let problem = denied.client.get(&denied.url("x")).unwrap_err();
    assert!(
        problem.starts_with("it denies access: InvalidAccessKeyId; credentials come from"),
        "{problem}"
    );
}
