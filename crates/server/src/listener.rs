//! The listener: HTTP/1.1 and HTTP/2 (with prior knowledge) over TCP, bounded in connections and in time.
//!
//! hyper is driven directly, because `axum::serve` sets no timeout: a client that sends its headers byte by byte, or
//! nothing at all, would hold its connection for ever.

use std::{
    io,
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed},
    },
    task::{Context, Poll},
    time::Duration,
};

use axum::{Router, body::Body};
use hyper::{Request, body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    time::{Instant, sleep, timeout},
};
use tower::ServiceExt;

/// How many bytes a request's headers may have together.
const HEADER_BYTES_MAX: u32 = 32 << 10;
/// How many headers a request may have.
const HEADERS_MAX: usize = 100;
/// How many requests one HTTP/2 connection may have at a time.
const STREAMS_MAX: u32 = 100;
/// How long to wait when the system can't give another connection (no file descriptors, say).
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How an HTTP/2 connection with prior knowledge begins (RFC 9113, section 3.4).
const HTTP2_PREFACE: &[u8; 3] = b"PRI";

#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub connections_max: u32,
    /// From a connection's start, or a request's first byte, to the end of its headers.
    pub header_timeout: Duration,
    /// Without a byte in either direction and without a request being answered.
    pub idle_timeout: Duration,
    /// While there is something to write of which the client takes no byte.
    pub stall_timeout: Duration,
    /// From the shutdown to the cutting of what is still open.
    pub shutdown_grace: Duration,
}

/// Why a connection was cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    SlowHeaders,
    Idle,
    Stalled,
}

/// Accepts and serves what `router` holds at the moment of each request, until `shutdown` becomes true, then drains: lets requests end, at most for the grace. Returns how
/// many connections were still open after it. `on_cut` is told of each connection that ran out of time.
pub async fn serve(
    listener: TcpListener,
    router: watch::Receiver<Router>,
    limits: Limits,
    mut shutdown: watch::Receiver<bool>,
    on_cut: impl Fn(Cut) + Clone + Send + Sync + 'static,
) -> u32 {
    let permits = Arc::new(Semaphore::new(limits.connections_max as usize));
    let builder = Arc::new(builder(limits));
    loop {
        let accepted = tokio::select! {
            accepted = accept(&listener, &permits) => accepted,
            _ = shutdown.wait_for(|down| *down) => break,
        };
        match accepted {
            Ok((stream, permit)) => {
                let activity = Arc::new(Activity::new());
                let stream = Watched { stream, activity: activity.clone(), _permit: permit };
                let (builder, router) = (builder.clone(), router.clone());
                let (shutdown, on_cut) = (shutdown.clone(), on_cut.clone());
                tokio::spawn(async move {
                    if let Some(cut) = connection(&builder, stream, activity, router, limits, shutdown).await {
                        on_cut(cut);
                    }
                });
            }
            Err(error) => {
                tracing::warn!(%error, "can't accept a connection");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    let drained = timeout(limits.shutdown_grace, permits.acquire_many(limits.connections_max)).await;
    if drained.is_ok() { 0 } else { limits.connections_max - permits.available_permits() as u32 }
}

/// A place is taken before a connection is accepted: beyond the bound, clients wait in the kernel's queue.
async fn accept(listener: &TcpListener, permits: &Arc<Semaphore>) -> io::Result<(TcpStream, OwnedSemaphorePermit)> {
    let permit = permits.clone().acquire_owned().await.map_err(io::Error::other)?;
    let (stream, _) = listener.accept().await?;
    stream.set_nodelay(true)?;
    Ok((stream, permit))
}

fn builder(limits: Limits) -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .max_headers(HEADERS_MAX)
        .max_buf_size(HEADER_BYTES_MAX as usize)
        .header_read_timeout(limits.idle_timeout);
    builder.http2().timer(TokioTimer::new()).max_concurrent_streams(STREAMS_MAX).max_header_list_size(HEADER_BYTES_MAX);
    builder
}

async fn connection(
    builder: &auto::Builder<TokioExecutor>,
    stream: Watched,
    activity: Arc<Activity>,
    router: watch::Receiver<Router>,
    limits: Limits,
    mut shutdown: watch::Receiver<bool>,
) -> Option<Cut> {
    let for_requests = activity.clone();
    let service = service_fn(move |request: Request<Incoming>| {
        let in_flight = for_requests.begin();
        let router = router.borrow().clone();
        async move {
            let response = router.oneshot(request.map(Body::new)).await;
            drop(in_flight);
            response
        }
    });
    let mut served = pin!(builder.serve_connection_with_upgrades(TokioIo::new(stream), service));
    let mut expired = pin!(activity.expired(limits));
    let mut told = false;
    loop {
        tokio::select! {
            // What a client does to its own connection (a reset, bad HTTP) is answered by hyper and no matter for the log.
            _ = served.as_mut() => return None,
            cut = expired.as_mut() => return Some(cut),
            _ = shutdown.wait_for(|down| *down), if !told => {
                served.as_mut().graceful_shutdown();
                told = true;
            }
        }
    }
}

/// What has moved on a connection, and when, in milliseconds since it was accepted.
struct Activity {
    accepted: Instant,
    last: AtomicU64,
    /// Since when headers are awaited, plus one; 0 while none are.
    headers_since: AtomicU64,
    /// Since when the client takes nothing of what is written, plus one; 0 while it does.
    blocked_since: AtomicU64,
    requests: AtomicU32,
    /// Bytes read, up to the preface's length.
    seen: AtomicU32,
    http2: AtomicBool,
}

impl Activity {
    fn new() -> Self {
        Self {
            accepted: Instant::now(),
            last: AtomicU64::new(0),
            headers_since: AtomicU64::new(1),
            blocked_since: AtomicU64::new(0),
            requests: AtomicU32::new(0),
            seen: AtomicU32::new(0),
            http2: AtomicBool::new(true),
        }
    }

    fn now(&self) -> u64 {
        self.accepted.elapsed().as_millis() as u64
    }

    fn read(&self, bytes: &[u8]) {
        let now = self.now();
        self.last.store(now, Relaxed);
        let seen = self.seen.load(Relaxed) as usize;
        if seen < HTTP2_PREFACE.len() {
            let upto = (seen + bytes.len()).min(HTTP2_PREFACE.len());
            if bytes[..upto - seen] != HTTP2_PREFACE[seen..upto] {
                self.http2.store(false, Relaxed);
            }
            self.seen.store(upto as u32, Relaxed);
        }
        // HTTP/2 has frames between requests (pings, windows), which don't begin one.
        if !self.http2.load(Relaxed) && self.requests.load(Relaxed) == 0 {
            let _ = self.headers_since.compare_exchange(0, now + 1, Relaxed, Relaxed);
        }
    }

    fn wrote(&self) {
        self.last.store(self.now(), Relaxed);
        self.blocked_since.store(0, Relaxed);
    }

    /// The client's window is full.
    fn blocked(&self) {
        let _ = self.blocked_since.compare_exchange(0, self.now() + 1, Relaxed, Relaxed);
    }

    /// A request's headers are there; it is in flight until the value is dropped.
    fn begin(self: &Arc<Self>) -> InFlight {
        self.requests.fetch_add(1, Relaxed);
        self.headers_since.store(0, Relaxed);
        InFlight(self.clone())
    }

    /// Waits until the connection has run out of time.
    async fn expired(&self, limits: Limits) -> Cut {
        let (header, idle) = (limits.header_timeout.as_millis() as u64, limits.idle_timeout.as_millis() as u64);
        let stall = limits.stall_timeout.as_millis() as u64;
        let look = (limits.header_timeout.min(limits.idle_timeout).min(limits.stall_timeout) / 4)
            .max(Duration::from_millis(5));
        loop {
            sleep(look).await;
            let now = self.now();
            let headers_since = self.headers_since.load(Relaxed);
            if headers_since > 0 && now >= headers_since - 1 + header {
                return Cut::SlowHeaders;
            }
            let blocked_since = self.blocked_since.load(Relaxed);
            if blocked_since > 0 && now >= blocked_since - 1 + stall {
                return Cut::Stalled;
            }
            // While a request is being answered nothing need move: that has a bound of its own.
            if self.requests.load(Relaxed) == 0 && now >= self.last.load(Relaxed) + idle {
                return Cut::Idle;
            }
        }
    }
}

struct InFlight(Arc<Activity>);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.requests.fetch_sub(1, Relaxed);
    }
}

/// A connection that tells its activity. It holds its place among the connections for as long as it is open, also after
/// it has become a WebSocket.
struct Watched {
    stream: TcpStream,
    activity: Arc<Activity>,
    _permit: OwnedSemaphorePermit,
}

impl AsyncRead for Watched {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(cx, buf);
        if buf.filled().len() > before {
            self.activity.read(&buf.filled()[before..]);
        }
        polled
    }
}

impl Watched {
    fn told(&self, polled: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        match polled {
            Poll::Ready(Ok(bytes)) if bytes > 0 => self.activity.wrote(),
            Poll::Pending => self.activity.blocked(),
            Poll::Ready(_) => {}
        }
        polled
    }
}

impl AsyncWrite for Watched {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.told(polled)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.told(polled)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests;
