//! A load generator that costs little itself: requests that are ready as bytes, over connections that stay open, each with
//! one request on its way.

use std::sync::Arc;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const READ_BYTES: usize = 16 * 1024;
/// Latencies above a minute are a broken run.
const LATENCY_MICROSECONDS_MAX: u64 = 60_000_000;

/// What a run of requests took.
pub(crate) struct Measured {
    pub(crate) per_second: f64,
    /// Of single requests, in microseconds.
    pub(crate) latencies: Histogram<u64>,
}

impl Measured {
    pub(crate) fn requests(&self) -> u64 {
        self.latencies.len()
    }

    /// In milliseconds.
    pub(crate) fn median_ms(&self) -> f64 {
        as_ms(self.latencies.value_at_quantile(0.5))
    }
}

pub(crate) fn as_ms(microseconds: u64) -> f64 {
    microseconds as f64 / 1000.0
}

/// A latency histogram in microseconds.
pub(crate) fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, LATENCY_MICROSECONDS_MAX, 3).expect("the bounds are in order")
}

#[expect(clippy::disallowed_methods, reason = "a benchmark measures time")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// A POST of a GraphQL body, as bytes.
pub(crate) fn post(address: &str, credential: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!(
        "POST /graphql HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {credential}\r\n\
         content-type: application/json\r\naccept: application/graphql-response+json\r\n\
         content-length: {length}\r\n\r\n{body}"
    )
    .into_bytes()
}

/// Sends what `request` gives for (connection, turn) over so many connections for so long. Each answer must be a 200
/// whose body holds `expected`.
pub(crate) async fn drive<R>(
    address: &str,
    connections: usize,
    time: Duration,
    expected: &'static str,
    request: R,
) -> Measured
where
    R: Fn(usize, u64) -> Vec<u8> + Send + Sync + 'static,
{
    let request = Arc::new(request);
    let mut open = Vec::new();
    for _ in 0..connections {
        open.push(Connection::open(address).await);
    }
    let start = now();
    let mut tasks = Vec::new();
    for (number, mut connection) in open.into_iter().enumerate() {
        let request = Arc::clone(&request);
        tasks.push(tokio::spawn(async move {
            let mut latencies = histogram();
            let mut turn = 0;
            while start.elapsed() < time {
                let bytes = request(number, turn);
                let sent = now();
                let body = connection.ask(&bytes).await;
                let taken = u64::try_from(sent.elapsed().as_micros()).unwrap_or(LATENCY_MICROSECONDS_MAX);
                assert!(holds(body, expected), "an answer is wrong: {}", String::from_utf8_lossy(body));
                latencies.saturating_record(taken);
                turn += 1;
            }
            latencies
        }));
    }
    let mut latencies = histogram();
    for task in tasks {
        latencies.add(task.await.expect("a connection works until the end")).expect("bounds are equal");
    }
    let per_second = latencies.len() as f64 / start.elapsed().as_secs_f64();
    Measured { per_second, latencies }
}

fn holds(body: &[u8], expected: &str) -> bool {
    body.windows(expected.len()).any(|window| window == expected.as_bytes())
}

/// One connection of HTTP/1.1 with keep-alive.
pub(crate) struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Connection {
    pub(crate) async fn open(address: &str) -> Connection {
        let stream = TcpStream::connect(address).await.expect("the server accepts");
        stream.set_nodelay(true).expect("a TCP socket has this option");
        Connection { stream, buffer: Vec::with_capacity(READ_BYTES) }
    }

    /// Sends the request and gives the body of the answer, which must be a 200.
    pub(crate) async fn ask(&mut self, request: &[u8]) -> &[u8] {
        self.stream.write_all(request).await.expect("the server reads");
        self.buffer.clear();
        let (body, end) = loop {
            let read = self.stream.read_buf(&mut self.buffer).await.expect("the server answers");
            assert!(read > 0, "the server closed the connection");
            if let Some(answer) = body_of(&self.buffer).filter(|(_, end)| *end <= self.buffer.len()) {
                break answer;
            }
        };
        &self.buffer[body..end]
    }
}

/// Where the body begins and ends, once the header is there.
fn body_of(answer: &[u8]) -> Option<(usize, usize)> {
    const END: &[u8] = b"\r\n\r\n";
    let header_end = answer.windows(END.len()).position(|window| window == END)?;
    let header = std::str::from_utf8(&answer[..header_end]).expect("a header is ASCII");
    assert!(header.starts_with("HTTP/1.1 200"), "not a 200: {}", String::from_utf8_lossy(answer));
    let length = header.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
    });
    let body = header_end + END.len();
    Some((body, body + length.expect("the answer says its length")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_ends_where_it_says() {
        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}";
        assert_eq!(body_of(answer), Some((38, 40)));
        assert_eq!(body_of(&answer[..20]), None);
    }
}
