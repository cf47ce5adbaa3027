//! One connection, which is watched: nobody holds it without saying something.

use std::cell::Cell;
use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use hyper::body::{Body, Bytes, Frame, SizeHint};
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::routes::{AnswerBody, respond};
use super::server::Server;

/// How long the head of a request may take.
const HEAD: Duration = Duration::from_secs(10);
/// How long a connection may be kept without a request.
const IDLE: Duration = Duration::from_secs(75);
/// How long a client may take no byte of its answer.
const STUCK: Duration = Duration::from_secs(30);
/// Bytes that the head of a request may have.
const MOST_HEAD: usize = 16 << 10;
/// How often it is looked at.
const TICK: Duration = Duration::from_millis(250);

/// What a connection does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Nothing, since then.
    Idle(Instant),
    /// The head of a request comes, since then.
    Head(Instant),
    /// A request is being answered.
    Busy,
}

/// What is seen of a connection.
struct ConnectionWatch {
    phase: Cell<Phase>,
    /// Since when the client takes no more bytes.
    stuck: Cell<Option<Instant>>,
}

/// What becomes of a connection.
#[derive(Debug, PartialEq, Eq)]
enum ConnectionFate {
    Keep,
    /// It ends with the answer that is under way, or at once where there is none.
    Finish,
    Cut,
}

impl ConnectionWatch {
    fn fate(&self, now: Instant, closes_idle: bool) -> ConnectionFate {
        let over = |since: Instant, limit: Duration| now.saturating_duration_since(since) >= limit;
        if self.stuck.get().is_some_and(|since| over(since, STUCK)) {
            return ConnectionFate::Cut;
        }
        match self.phase.get() {
            Phase::Head(since) if over(since, HEAD) => ConnectionFate::Cut,
            Phase::Idle(since) if over(since, IDLE) => ConnectionFate::Finish,
            _ if closes_idle => ConnectionFate::Finish,
            _ => ConnectionFate::Keep,
        }
    }
}

/// A stream whose bytes are seen.
struct WatchedStream {
    stream: TokioIo<TcpStream>,
    watch: Rc<ConnectionWatch>,
}

impl Read for WatchedStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        if read.is_ready() && matches!(self.watch.phase.get(), Phase::Idle(_)) {
            self.watch.phase.set(Phase::Head(Instant::now()));
        }
        read
    }
}

impl WatchedStream {
    fn written<T>(&self, written: Poll<T>) -> Poll<T> {
        let since = match written.is_ready() {
            true => None,
            false => self.watch.stuck.get().or_else(|| Some(Instant::now())),
        };
        self.watch.stuck.set(since);
        written
    }
}

impl Write for WatchedStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.written(written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, pieces);
        self.written(written)
    }
}

/// A request that is being answered.
struct Busy(Rc<ConnectionWatch>);

impl Busy {
    fn new(watch: &Rc<ConnectionWatch>) -> Self {
        watch.phase.set(Phase::Busy);
        Self(Rc::clone(watch))
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.phase.set(Phase::Idle(Instant::now()));
    }
}

/// An answer, whose request is being answered until all of it is written.
struct BusyBody {
    body: AnswerBody,
    _busy: Busy,
}

impl Body for BusyBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Answers the requests of a connection until it ends.
pub(super) async fn serve_connection(server: Arc<Server>, stream: TcpStream, client: SocketAddr) {
    // Without it small answers wait for the client's acknowledgement; where it cannot be had they do.
    let _ = stream.set_nodelay(true);
    let watch = Rc::new(ConnectionWatch {
        phase: Cell::new(Phase::Head(Instant::now())),
        stuck: Cell::new(None),
    });
    let stream = WatchedStream {
        stream: TokioIo::new(stream),
        watch: Rc::clone(&watch),
    };
    let service = {
        let (server, watch) = (Arc::clone(&server), Rc::clone(&watch));
        service_fn(move |request| {
            let (server, busy) = (Arc::clone(&server), Busy::new(&watch));
            async move {
                let response = respond(server, client, request).await;
                Ok::<_, Infallible>(response.map(|body| BusyBody { body, _busy: busy }))
            }
        })
    };
    let mut builder = http1::Builder::new();
    // A client that closes its half has gone: one that waits for an answer all the same looks alike.
    builder.max_buf_size(MOST_HEAD).header_read_timeout(None);
    let mut connection = pin!(builder.serve_connection(stream, service));
    let mut tick = tokio::time::interval(TICK);
    poll_fn(|context| {
        loop {
            if connection.as_mut().poll(context).is_ready() {
                return Poll::Ready(());
            }
            if tick.poll_tick(context).is_pending() {
                return Poll::Pending;
            }
            match watch.fate(Instant::now(), server.closes_idle()) {
                ConnectionFate::Keep => {}
                ConnectionFate::Finish => connection.as_mut().graceful_shutdown(),
                ConnectionFate::Cut => return Poll::Ready(()),
            }
        }
    })
    .await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slow_heads_and_stuck_answers_are_cut() {
        let start = Instant::now();
        let fate = |phase, stuck: Option<Instant>, seconds, closes_idle| {
            let watch = ConnectionWatch {
                phase: Cell::new(phase),
                stuck: Cell::new(stuck),
            };
            watch.fate(start + Duration::from_secs(seconds), closes_idle)
        };
        assert_eq!(fate(Phase::Head(start), None, 9, false), ConnectionFate::Keep);
        assert_eq!(fate(Phase::Head(start), None, 10, false), ConnectionFate::Cut);
        assert_eq!(fate(Phase::Idle(start), None, 74, false), ConnectionFate::Keep);
        assert_eq!(fate(Phase::Idle(start), None, 75, false), ConnectionFate::Finish);
        assert_eq!(fate(Phase::Busy, None, 3600, false), ConnectionFate::Keep);
        assert_eq!(fate(Phase::Busy, Some(start), 30, false), ConnectionFate::Cut);
        assert_eq!(fate(Phase::Busy, None, 0, true), ConnectionFate::Finish);
    }
}
