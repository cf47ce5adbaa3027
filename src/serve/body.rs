//! Bodies of requests, as much of them as is borne.

use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};
use hyper::{HeaderMap, StatusCode, header};
use tokio::time::{Instant, timeout_at};

use super::refused::Refused;

/// How long the first byte may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// Bytes a second that a body comes with at least, once the patience is over.
const SLOWEST: u64 = 16 << 10;
/// What is read of a body that is not wanted, so that its sender gets to read why.
const DISCARDED: usize = 64 << 20;
/// How long that may take.
const DISCARDING: Duration = Duration::from_secs(1);

/// Bytes of all bodies that may be held at once.
pub(super) struct BodyBudget {
    most: usize,
    held: AtomicUsize,
}

impl BodyBudget {
    pub fn new(most: usize) -> Arc<Self> {
        Arc::new(Self {
            most,
            held: AtomicUsize::new(0),
        })
    }

    fn take(&self, bytes: usize) -> Result<(), Refused> {
        let held = self.held.fetch_add(bytes, Ordering::Relaxed) + bytes;
        if held > self.most {
            self.held.fetch_sub(bytes, Ordering::Relaxed);
            return Err(Refused::busy(
                "the requests that are being read take all the memory that they may: try again",
            ));
        }
        Ok(())
    }
}

/// A body that counts as held until it is dropped.
pub(super) struct HeldBody {
    pub bytes: Vec<u8>,
    counted: usize,
    budget: Arc<BodyBudget>,
}

impl Drop for HeldBody {
    fn drop(&mut self) {
        self.budget.held.fetch_sub(self.counted, Ordering::Relaxed);
    }
}

impl HeldBody {
    fn empty(budget: &Arc<BodyBudget>) -> Self {
        Self {
            bytes: Vec::new(),
            counted: 0,
            budget: Arc::clone(budget),
        }
    }

    fn grow(&mut self, bytes: usize) -> Result<(), Refused> {
        self.budget.take(bytes)?;
        self.counted += bytes;
        Ok(())
    }

    /// The body as it was before it was compressed.
    ///
    /// # Errors
    /// It is damaged, or has more than `most` bytes.
    pub fn unpacked(self, packing: BodyPacking, most: usize) -> Result<Self, Refused> {
        let mut unpacked = Self::empty(&self.budget);
        let mut reader: Box<dyn Read + '_> = match packing {
            BodyPacking::Plain => return Ok(self),
            BodyPacking::Gzip => Box::new(flate2::read::MultiGzDecoder::new(self.bytes.as_slice())),
            BodyPacking::Zlib => Box::new(flate2::read::ZlibDecoder::new(self.bytes.as_slice())),
        };
        let mut piece = vec![0; 64 << 10];
        loop {
            let read = reader.read(&mut piece);
            let read = read.map_err(|error| Refused::bad(format!("the body cannot be unpacked: {error}")))?;
            if read == 0 {
                break;
            }
            if unpacked.bytes.len() + read > most {
                return Err(Refused::too_large(most));
            }
            unpacked.grow(read)?;
            unpacked.bytes.extend_from_slice(&piece[..read]);
        }
        drop(reader);
        Ok(unpacked)
    }
}

/// How a body is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BodyPacking {
    Plain,
    Gzip,
    Zlib,
}

impl BodyPacking {
    /// As the headers of a request say.
    ///
    /// # Errors
    /// In a way that is not known.
    pub fn of(headers: &HeaderMap) -> Result<Self, Refused> {
        let Some(encoding) = headers.get(header::CONTENT_ENCODING) else {
            return Ok(Self::Plain);
        };
        match encoding.to_str().map(str::to_ascii_lowercase).as_deref() {
            Ok("identity" | "") => Ok(Self::Plain),
            Ok("gzip" | "x-gzip") => Ok(Self::Gzip),
            Ok("deflate") => Ok(Self::Zlib),
            _ => Err(Refused::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "the body's Content-Encoding is neither gzip nor deflate",
            )),
        }
    }
}

/// Reads a body of at most `most` bytes.
///
/// # Errors
/// It has more, comes too slowly or breaks off, or there is no room for it now.
pub(super) async fn read_body(
    body: &mut Incoming,
    most: usize,
    budget: &Arc<BodyBudget>,
) -> Result<HeldBody, Refused> {
    let (mut held, began) = (HeldBody::empty(budget), Instant::now());
    let told = body.size_hint().lower();
    if told > most as u64 {
        return Err(Refused::too_large(most));
    }
    // Addresses alone: what is never sent takes no memory, and what is sent is not copied while it grows.
    held.bytes.reserve_exact(told as usize);
    loop {
        let earned = Duration::from_secs(held.bytes.len() as u64 / SLOWEST);
        let frame = timeout_at(began + PATIENCE + earned, body.frame()).await;
        let frame = frame.map_err(|_| {
            Refused::new(
                StatusCode::REQUEST_TIMEOUT,
                "the body comes too slowly: it is not waited for any longer",
            )
        })?;
        let Some(frame) = frame else { break };
        let frame = frame.map_err(|error| Refused::bad(format!("the body broke off: {error}")))?;
        // Trailers are nothing that is asked for.
        let Ok(data) = frame.into_data() else { continue };
        if held.bytes.len() + data.len() > most {
            return Err(Refused::too_large(most));
        }
        held.grow(data.len())?;
        held.bytes.extend_from_slice(&data);
    }
    Ok(held)
}

/// Reads on for a moment and forgets it: a connection that is closed on unread bytes takes the answer with it.
pub(super) async fn discard(body: &mut Incoming) {
    let (mut bytes, end) = (0, Instant::now() + DISCARDING);
    while bytes < DISCARDED {
        match timeout_at(end, body.frame()).await {
            Ok(Some(Ok(frame))) => bytes += frame.data_ref().map_or(0, |data| data.len()),
            _ => break,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::{GzEncoder, ZlibEncoder};

    use super::*;

    fn held(bytes: Vec<u8>, budget: &Arc<BodyBudget>) -> HeldBody {
        let mut held = HeldBody::empty(budget);
        held.grow(bytes.len()).unwrap();
        held.bytes = bytes;
        held
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut packed = GzEncoder::new(Vec::new(), Compression::best());
        packed.write_all(bytes).unwrap();
        packed.finish().unwrap()
    }

    #[test]
    fn compressed_bodies_are_unpacked_and_bounded() {
        let budget = BodyBudget::new(1 << 20);
        let text = vec![7u8; 100_000];
        let mut zlib = ZlibEncoder::new(Vec::new(), Compression::best());
        zlib.write_all(&text).unwrap();
        for (packing, packed) in [
            (BodyPacking::Gzip, gzip(&text)),
            (BodyPacking::Zlib, zlib.finish().unwrap()),
            (BodyPacking::Plain, text.clone()),
        ] {
            let body = held(packed.clone(), &budget).unpacked(packing, 100_000).unwrap();
            assert_eq!(body.bytes, text);
            if packing == BodyPacking::Plain {
                continue;
            }
            let told = held(packed.clone(), &budget).unpacked(packing, 99_999);
            assert_eq!(told.err().unwrap().status.as_u16(), 413);
            let damaged = held(packed[..packed.len() / 2].to_vec(), &budget).unpacked(packing, 100_000);
            assert_eq!(damaged.err().unwrap().status.as_u16(), 400);
        }
        assert_eq!(budget.held.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn what_is_held_is_bounded_and_given_back() {
        let budget = BodyBudget::new(10_000);
        let first = held(vec![0; 8_000], &budget);
        assert_eq!(budget.take(4_000).unwrap_err().status.as_u16(), 503);
        drop(first);
        assert_eq!(budget.take(4_000), Ok(()));
        let bomb = held(gzip(&vec![0; 1 << 20]), &budget).unpacked(BodyPacking::Gzip, 1 << 21);
        assert_eq!(bomb.err().unwrap().status.as_u16(), 503);
    }
}
