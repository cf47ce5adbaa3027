//! What makes a request to an S3 service one of somebody who may ask.

use std::io::Read;

use jiff::Timestamp;
use sha2::{Digest, Sha256};
use ureq::http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use url::Url;

use super::TransferError;
use super::credentials::Credentials;
use super::requests::Content;
use super::signature::{UNSIGNED, authorization, hexadecimal, stamp};

/// How requests to a bucket are signed.
pub(super) struct Signer {
    /// Whose; nobody's where the bucket is public.
    pub credentials: Option<Credentials>,
    /// The bucket's region.
    pub region: String,
    /// Whether what is sent is signed too.
    pub signs_content: bool,
    /// Whether the one who asks pays.
    pub requester_pays: bool,
}

impl Signer {
    /// Adds to the `headers` of a request what proves whose it is.
    pub fn sign(
        &self,
        method: &Method,
        url: &Url,
        headers: &mut HeaderMap,
        content: Content<'_>,
    ) -> Result<(), TransferError> {
        if self.requester_pays {
            headers.insert("x-amz-request-payer", HeaderValue::from_static("requester"));
        }
        let Some(credentials) = &self.credentials else {
            return Ok(());
        };
        let credential = credentials.current().map_err(TransferError::Remote)?;
        let host = match (url.host_str().unwrap_or_default(), url.port()) {
            (host, Some(port)) => format!("{host}:{port}"),
            (host, None) => host.to_owned(),
        };
        let digest = match self.signs_content {
            true => digest(content)?,
            false => UNSIGNED.to_owned(),
        };
        set(headers, header::HOST, &host)?;
        set(
            headers,
            HeaderName::from_static("x-amz-date"),
            &stamp(Timestamp::now()),
        )?;
        set(headers, HeaderName::from_static("x-amz-content-sha256"), &digest)?;
        if let Some(token) = &credential.token {
            set(headers, HeaderName::from_static("x-amz-security-token"), token)?;
        }
        let authorization = authorization(method, url, headers, &credential, &self.region);
        set(headers, header::AUTHORIZATION, &authorization)
    }
}

fn set(headers: &mut HeaderMap, name: HeaderName, value: &str) -> Result<(), TransferError> {
    let value = HeaderValue::from_str(value).map_err(|_| {
        TransferError::Remote(format!(
            "what would be its header `{name}` has characters that none may have"
        ))
    })?;
    headers.insert(name, value);
    Ok(())
}

fn digest(content: Content<'_>) -> Result<String, TransferError> {
    let mut hasher = Sha256::new();
    let mut reader = content.reader()?;
    let mut buffer = vec![0; 128 << 10];
    loop {
        match reader.read(&mut buffer) {
            Ok(0) => return Ok(hexadecimal(&hasher.finalize())),
            Ok(count) => hasher.update(&buffer[..count]),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => {
                return Err(TransferError::Remote(format!(
                    "a file that is to be sent cannot be read: {error}"
                )));
            }
        }
    }
}
