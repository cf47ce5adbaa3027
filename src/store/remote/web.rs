//! A remote behind a web server that takes GET, HEAD and PUT. One that knows WebDAV makes folders and lists
//! them too.

use percent_encoding::percent_decode_str;
use ureq::http::{HeaderValue, Method, StatusCode};
use url::Url;

use super::TransferError;
use super::requests::{Call, Client, Content};
use super::xml;

/// The web server.
pub(super) struct Web {
    pub client: Client,
    root: Url,
}

impl Web {
    /// Prepares to ask what is below an address; asks nothing yet.
    ///
    /// # Errors
    /// It is no address, in words.
    pub fn new(address: &str) -> Result<Self, String> {
        let mut root = Url::parse(address).map_err(|error| error.to_string())?;
        if !root.path().ends_with('/') {
            root.set_path(&format!("{}/", root.path()));
        }
        Ok(Self {
            client: Client::new(None),
            root,
        })
    }

    /// The address of something.
    pub fn url(&self, name: &str) -> Url {
        let mut url = self.root.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(name.split('/'));
        }
        url
    }

    /// Puts something there, with the folders above it where the server wants them made.
    pub fn put(&self, name: &str, content: Content<'_>) -> Result<(), TransferError> {
        let call = Call::new(Method::PUT, self.url(name), content);
        let response = self.client.send(&call)?;
        match response.status() {
            StatusCode::CONFLICT | StatusCode::NOT_FOUND => {
                self.make_folders(name)?;
                self.client.command(&call).map(drop)
            }
            status if status.is_success() => Ok(()),
            _ => Err(TransferError::Remote(self.client.refusal(response))),
        }
    }

    /// Makes the folders above `name`, the outermost first.
    fn make_folders(&self, name: &str) -> Result<(), TransferError> {
        for (end, _) in name.match_indices('/') {
            let call = Call::new(method("MKCOL"), self.url(&name[..end]), Content::Nothing);
            let response = self.client.send(&call)?;
            // That is what it says of a folder that is there.
            let is_there = response.status() == StatusCode::METHOD_NOT_ALLOWED;
            if !response.status().is_success() && !is_there {
                return Err(TransferError::Remote(self.client.refusal(response)));
            }
        }
        Ok(())
    }

    /// The names of all files below the folder `name`, where the server knows WebDAV.
    pub fn list(&self, name: &str) -> Result<Vec<String>, String> {
        let mut call = Call::new(method("PROPFIND"), self.url(name), Content::Nothing);
        call.headers.insert("depth", HeaderValue::from_static("infinity"));
        let response = self.client.send(&call).map_err(TransferError::words)?;
        match response.status() {
            StatusCode::NOT_FOUND => return Ok(Vec::new()),
            StatusCode::METHOD_NOT_ALLOWED | StatusCode::NOT_IMPLEMENTED => {
                return Err("a web server without WebDAV does not list what it has".to_owned());
            }
            _ => {}
        }
        let (_, text) = self.client.command_of(response).map_err(TransferError::words)?;
        let root = decoded(self.root.path());
        let names = xml::texts(&text, "href").filter_map(|place| {
            // A path, or a whole address.
            let place = decoded(self.root.join(&place).ok()?.path());
            Some(place.strip_prefix(&root)?.to_owned())
        });
        Ok(names
            .filter(|name| !name.is_empty() && !name.ends_with('/'))
            .collect())
    }
}

fn method(name: &str) -> Method {
    match Method::from_bytes(name.as_bytes()) {
        Ok(method) => method,
        Err(_) => unreachable!("WebDAV's methods are methods"),
    }
}

fn decoded(path: &str) -> String {
    percent_decode_str(path).decode_utf8_lossy().into_owned()
}
