//! Amazon's Signature Version 4, in the headers of a request.
//!
//! <https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html>

use std::fmt::Write as _;

use hmac::{Hmac, KeyInit, Mac};
use jiff::Timestamp;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC};
use sha2::{Digest, Sha256};
use ureq::http::{HeaderMap, Method};
use url::Url;

/// What is percent-encoded in paths and queries: all but RFC 3986's unreserved characters.
pub(super) const ENCODED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// The digest that stands for content that is not signed.
pub(super) const UNSIGNED: &str = "UNSIGNED-PAYLOAD";

/// Who asks.
#[derive(Clone, PartialEq)]
pub(super) struct Credential {
    pub key: String,
    pub secret: String,
    pub token: Option<String>,
}

/// The time as a signature's headers have it, such as `20130524T000000Z`.
pub(super) fn stamp(time: Timestamp) -> String {
    time.strftime("%Y%m%dT%H%M%SZ").to_string()
}

/// The value of the header `Authorization` for a request to S3: its path and query as they stand in `url`, its
/// `headers`, all of which are signed (`host`, `x-amz-date` and `x-amz-content-sha256` must be among them), and
/// the digest of its content as the last of these names it.
pub(super) fn authorization(
    method: &Method,
    url: &Url,
    headers: &HeaderMap,
    credential: &Credential,
    region: &str,
) -> String {
    let header = |name: &str| {
        headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    };
    let time = header("x-amz-date");
    let scope = format!("{}/{region}/s3/aws4_request", &time[..time.len().min(8)]);

    let mut names: Vec<&str> = headers.keys().map(|name| name.as_str()).collect();
    names.sort_unstable();
    let signed = names.join(";");
    let mut request = format!("{method}\n{}\n{}\n", url.path(), canonical_query(url));
    for name in &names {
        let _ = writeln!(request, "{name}:{}", header(name).trim());
    }
    let _ = write!(request, "\n{signed}\n{}", header("x-amz-content-sha256"));

    let text = format!(
        "AWS4-HMAC-SHA256\n{time}\n{scope}\n{}",
        hexadecimal(&Sha256::digest(&request))
    );
    let mut key = format!("AWS4{}", credential.secret).into_bytes();
    for part in scope.split('/') {
        key = keyed(&key, part.as_bytes());
    }
    format!(
        "AWS4-HMAC-SHA256 Credential={}/{scope},SignedHeaders={signed},Signature={}",
        credential.key,
        hexadecimal(&keyed(&key, text.as_bytes()))
    )
}

/// The query's parameters in order, each with a `=`.
fn canonical_query(url: &Url) -> String {
    let query = url.query().unwrap_or_default();
    let mut parameters: Vec<String> = query
        .split('&')
        .filter(|parameter| !parameter.is_empty())
        .map(|parameter| match parameter.contains('=') {
            true => parameter.to_owned(),
            false => format!("{parameter}="),
        })
        .collect();
    parameters.sort_unstable();
    parameters.join("&")
}

fn keyed(key: &[u8], text: &[u8]) -> Vec<u8> {
    match Hmac::<Sha256>::new_from_slice(key) {
        Ok(mut mac) => {
            mac.update(text);
            mac.finalize().into_bytes().to_vec()
        }
        Err(_) => unreachable!("HMAC takes keys of any length"),
    }
}

/// Bytes in lower-case digits.
pub(super) fn hexadecimal(bytes: &[u8]) -> String {
    bytes
        .iter()
        .fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The signature of a request to the bucket of Amazon's page above.
    fn signature(method: Method, place: &str, more: &[(&'static str, &str)], content: &str) -> String {
        let credential = Credential {
            key: "AKIAIOSFODNN7EXAMPLE".to_owned(),
            secret: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY".to_owned(),
            token: None,
        };
        let fixed = [
            ("host", "examplebucket.s3.amazonaws.com"),
            ("x-amz-date", "20130524T000000Z"),
            ("x-amz-content-sha256", content),
        ];
        let mut headers = HeaderMap::new();
        for (name, value) in fixed.iter().chain(more) {
            headers.insert(*name, value.parse().unwrap());
        }
        let bucket = Url::parse("https://examplebucket.s3.amazonaws.com/").unwrap();
        let url = bucket.join(place).unwrap();
        let given = authorization(&method, &url, &headers, &credential, "us-east-1");
        let (_, signature) = given.split_once(",Signature=").unwrap();
        signature.to_owned()
    }

    #[test]
    fn signatures_are_those_of_amazon_s_examples() {
        const NOTHING: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(
            signature(Method::GET, "test.txt", &[("range", "bytes=0-9")], NOTHING),
            "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"
        );
        let more = [
            ("date", "Fri, 24 May 2013 00:00:00 GMT"),
            ("x-amz-storage-class", "REDUCED_REDUNDANCY"),
        ];
        let welcome = "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072";
        assert_eq!(
            signature(Method::PUT, "test%24file.text", &more, welcome),
            "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd"
        );
        assert_eq!(
            signature(Method::GET, "?lifecycle", &[], NOTHING),
            "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543"
        );
        assert_eq!(
            signature(Method::GET, "?prefix=J&max-keys=2", &[], NOTHING),
            "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"
        );
        assert_eq!(stamp("2013-05-24T00:00:00Z".parse().unwrap()), "20130524T000000Z");
    }
}
