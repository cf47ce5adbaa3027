//! A remote in a bucket of an S3-compatible service.

use std::path::Path;

use percent_encoding::utf8_percent_encode;
use ureq::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use url::Url;

use super::credentials::{Credentials, is_yes};
use super::requests::{Call, Client, Content};
use super::signature::ENCODED;
use super::signer::Signer;
use super::{RemoteOptions, TransferError, threads, xml};

/// Larger files are sent in parts.
const IN_PARTS: u64 = 32 << 20;

/// The size of a part, where there are not too many of them.
const PART: u64 = 16 << 20;

/// The service takes no more parts than this.
const MOST_PARTS: u64 = 10_000;

/// Parts on their way at the same time.
const PARTS_AT_ONCE: usize = 4;

/// The bucket.
pub(super) struct Bucket {
    pub client: Client,
    root: Url,
    prefix: String,
    /// How what is sent is to be encrypted there.
    encryption: HeaderMap,
}

impl Bucket {
    /// Prepares to ask a bucket, `place` being its name and a prefix; asks nothing yet. What the options do not
    /// say, the variables of the surroundings say, which `variable` looks up.
    ///
    /// # Errors
    /// They do not fit together, in words.
    pub fn new(
        place: &str,
        options: &RemoteOptions,
        variable: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, String> {
        let (name, prefix) = place.split_once('/').unwrap_or((place, ""));
        let is_set = |name: &str| variable(name).is_some_and(|value| is_yes(&value));
        let region = options.region.clone();
        let region = region
            .or_else(|| variable("AWS_REGION"))
            .or_else(|| variable("AWS_DEFAULT_REGION"))
            .unwrap_or_else(|| "us-east-1".to_owned());
        let endpoint = options.endpoint.clone();
        let endpoint = endpoint
            .or_else(|| variable("AWS_ENDPOINT_URL_S3"))
            .or_else(|| variable("AWS_ENDPOINT_URL"))
            .or_else(|| variable("AWS_ENDPOINT"));
        // A service of one's own whose hosts are named after buckets is named with the bucket.
        let root = match (&endpoint, is_set("AWS_VIRTUAL_HOSTED_STYLE_REQUEST")) {
            (Some(endpoint), true) => endpoint.trim_end_matches('/').to_owned(),
            (Some(endpoint), false) => format!("{}/{name}", endpoint.trim_end_matches('/')),
            (None, true) => format!("https://{name}.s3.{region}.amazonaws.com"),
            (None, false) => format!("https://s3.{region}.amazonaws.com/{name}"),
        };
        let root = Url::parse(&root).map_err(|error| format!("`{root}` is no address: {error}"))?;
        let credentials = match is_set("AWS_SKIP_SIGNATURE") {
            true => None,
            false => Some(Credentials::from_variables(variable, &region)?),
        };
        let signer = Signer {
            credentials,
            region,
            signs_content: !is_set("AWS_UNSIGNED_PAYLOAD"),
            requester_pays: is_set("AWS_REQUEST_PAYER"),
        };
        Ok(Self {
            client: Client::new(Some(signer)),
            root,
            prefix: prefix
                .split('/')
                .filter(|part| !part.is_empty())
                .fold(String::new(), |prefix, part| prefix + part + "/"),
            encryption: encryption(variable)?,
        })
    }

    /// The address of something.
    pub fn url(&self, name: &str) -> Url {
        let mut url = self.root.clone();
        let key = format!("{}{name}", self.prefix);
        let key: Vec<String> = key
            .split('/')
            .map(|part| utf8_percent_encode(part, ENCODED).to_string())
            .collect();
        url.set_path(&format!("{}/{}", url.path().trim_end_matches('/'), key.join("/")));
        url
    }

    /// Puts something there.
    pub fn put(&self, name: &str, content: Content<'_>) -> Result<(), TransferError> {
        let mut call = Call::new(Method::PUT, self.url(name), content);
        call.headers = self.encryption.clone();
        self.client.command(&call).map(drop)
    }

    /// Puts a file of `size` bytes there, a large one part by part.
    pub fn upload(&self, name: &str, from: &Path, size: u64) -> Result<(), TransferError> {
        if size > IN_PARTS {
            return self.upload_in_parts(name, from, size);
        }
        let content = Content::Part {
            file: from,
            start: 0,
            length: size,
        };
        self.put(name, content)
    }

    /// <https://docs.aws.amazon.com/AmazonS3/latest/userguide/mpuoverview.html>
    fn upload_in_parts(&self, name: &str, from: &Path, size: u64) -> Result<(), TransferError> {
        let mut call = Call::new(
            Method::POST,
            with_query(self.url(name), &[("uploads", "")]),
            Content::Bytes(&[]),
        );
        call.headers = self.encryption.clone();
        let (_, text) = self.client.command(&call)?;
        let Some(upload) = xml::text(&text, "UploadId") else {
            return Err(TransferError::Remote(
                "it begins an upload in parts without a name for it".to_owned(),
            ));
        };
        let sent = self.send_parts(name, from, size, &upload);
        if sent.is_err() {
            let url = with_query(self.url(name), &[("uploadId", &upload)]);
            // The parts that are there cost money; where even this fails, the bucket's owner has to see to it.
            let _ = self
                .client
                .send(&Call::new(Method::DELETE, url, Content::Nothing));
        }
        sent
    }

    fn send_parts(&self, name: &str, from: &Path, size: u64, upload: &str) -> Result<(), TransferError> {
        let part_size = PART.max(size.div_ceil(MOST_PARTS));
        let numbers: Vec<u64> = (0..size.div_ceil(part_size)).collect();
        let (tags, trouble) = threads::map(&numbers, PARTS_AT_ONCE, |index| {
            let start = index * part_size;
            let content = Content::Part {
                file: from,
                start,
                length: part_size.min(size - start),
            };
            let number = (index + 1).to_string();
            let url = with_query(self.url(name), &[("partNumber", &number), ("uploadId", upload)]);
            let (headers, _) = self.client.command(&Call::new(Method::PUT, url, content))?;
            match headers.get(header::ETAG).and_then(|tag| tag.to_str().ok()) {
                Some(tag) => Ok(format!(
                    "<Part><PartNumber>{number}</PartNumber><ETag>{tag}</ETag></Part>"
                )),
                None => Err(TransferError::Remote(
                    "it gives no tag for a part of an upload".to_owned(),
                )),
            }
        });
        if let Some(trouble) = trouble {
            return Err(trouble);
        }
        let list = format!(
            "<CompleteMultipartUpload>{}</CompleteMultipartUpload>",
            tags.concat()
        );
        let url = with_query(self.url(name), &[("uploadId", upload)]);
        let (_, text) =
            self.client
                .command(&Call::new(Method::POST, url, Content::Bytes(list.as_bytes())))?;
        // It begins its answer before it knows how this ends.
        match xml::text(&text, "Code") {
            Some(code) => Err(TransferError::Remote(format!(
                "it could not put an upload's parts together: {code}"
            ))),
            None => Ok(()),
        }
    }

    /// The names of everything below the folder `name`.
    pub fn list(&self, name: &str) -> Result<Vec<String>, String> {
        let prefix = format!("{}{name}/", self.prefix);
        let mut names = Vec::new();
        let mut token: Option<String> = None;
        loop {
            let mut parameters = vec![("list-type", "2"), ("prefix", prefix.as_str())];
            parameters.extend(token.as_deref().map(|token| ("continuation-token", token)));
            let url = with_query(self.root.clone(), &parameters);
            let response = self
                .client
                .send(&Call::new(Method::GET, url, Content::Nothing))
                .map_err(TransferError::words)?;
            if response.status() == StatusCode::NOT_FOUND {
                return Ok(Vec::new());
            }
            let (_, text) = self.client.command_of(response).map_err(TransferError::words)?;
            names.extend(
                xml::texts(&text, "Key").filter_map(|key| key.strip_prefix(&self.prefix).map(str::to_owned)),
            );
            token = xml::text(&text, "NextContinuationToken");
            if token.is_none() {
                return Ok(names);
            }
        }
    }
}

/// What the surroundings say about encryption.
fn encryption(variable: &dyn Fn(&str) -> Option<String>) -> Result<HeaderMap, String> {
    let mut headers = HeaderMap::new();
    let wanted = [
        ("AWS_SERVER_SIDE_ENCRYPTION", "x-amz-server-side-encryption"),
        (
            "AWS_SSE_KMS_KEY_ID",
            "x-amz-server-side-encryption-aws-kms-key-id",
        ),
        (
            "AWS_SSE_BUCKET_KEY_ENABLED",
            "x-amz-server-side-encryption-bucket-key-enabled",
        ),
    ];
    for (name, header) in wanted {
        let Some(value) = variable(name) else { continue };
        let value = match (name, value.as_str()) {
            (_, "sse-c") => return Err("AWS_SERVER_SIDE_ENCRYPTION=sse-c is not supported".to_owned()),
            (_, "sse-s3") => "AES256",
            (_, "sse-kms") => "aws:kms",
            (_, value) => value,
        };
        let value =
            HeaderValue::from_str(value).map_err(|_| format!("the value of {name} cannot be sent"))?;
        headers.insert(HeaderName::from_static(header), value);
    }
    Ok(headers)
}

/// An address with a query, encoded as signatures want it.
fn with_query(mut url: Url, parameters: &[(&str, &str)]) -> Url {
    let parameters: Vec<String> = parameters
        .iter()
        .map(|(name, value)| format!("{name}={}", utf8_percent_encode(value, ENCODED)))
        .collect();
    url.set_query(Some(&parameters.join("&")));
    url
}
