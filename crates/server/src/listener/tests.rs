use std::{
    net::SocketAddr,
    sync::{Mutex, atomic::AtomicUsize},
};

use axum::routing::get;
use http_body_util::BodyExt;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    task::JoinHandle,
};

use super::*;

const SHORT: Limits = Limits {
    connections_max: 4,
    header_timeout: Duration::from_millis(200),
    idle_timeout: Duration::from_millis(600),
    stall_timeout: Duration::from_millis(300),
    shutdown_grace: Duration::from_millis(800),
};

/// More than the kernel keeps for a client that doesn't read.
const LARGE_BYTES: usize = 64 << 20;

struct Running {
    address: SocketAddr,
    shutdown: watch::Sender<bool>,
    served: JoinHandle<u32>,
    cuts: Arc<Mutex<Vec<Cut>>>,
}

async fn running(limits: Limits) -> Running {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (shutdown, down) = watch::channel(false);
    let cuts = Arc::new(Mutex::new(Vec::new()));
    let told = cuts.clone();
    let router = Router::new().route("/", get(|| async { "hello" })).route(
        "/slow",
        get(|| async {
            sleep(Duration::from_millis(400)).await;
            "slow"
        }),
    );
    let large = || async { vec![b'x'; LARGE_BYTES] };
    let router = router.route("/large", get(large));
    let on_cut = move |cut| told.lock().unwrap().push(cut);
    let served = tokio::spawn(serve(listener, watch::channel(router).1, limits, down, on_cut));
    Running { address, shutdown, served, cuts }
}

impl Running {
    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    async fn says(&self, text: &str) -> String {
        let mut stream = self.connect().await;
        stream.write_all(text.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    fn cuts(&self) -> Vec<Cut> {
        self.cuts.lock().unwrap().clone()
    }
}

/// Reads until the other side closes; how long that took.
async fn until_closed(stream: &mut TcpStream) -> Duration {
    let start = Instant::now();
    let mut rest = Vec::new();
    let _ = stream.read_to_end(&mut rest).await;
    start.elapsed()
}

#[tokio::test]
async fn answers_http_1() {
    let server = running(SHORT).await;
    let answer = server.says("GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("hello"), "{answer}");
}

#[tokio::test]
async fn answers_http_2_with_prior_knowledge() {
    let server = running(SHORT).await;
    let io = TokioIo::new(server.connect().await);
    let (mut send, connection) =
        hyper::client::conn::http2::handshake::<_, _, Body>(TokioExecutor::new(), io).await.unwrap();
    tokio::spawn(connection);
    for _ in 0..2 {
        let request = Request::get(format!("http://{}/", server.address)).body(Body::empty()).unwrap();
        let response = send.send_request(request).await.unwrap();
        assert_eq!(response.version(), http::Version::HTTP_2);
        assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "hello");
    }
}

#[tokio::test]
async fn cuts_who_says_nothing() {
    let server = running(SHORT).await;
    let took = until_closed(&mut server.connect().await).await;
    assert!(took >= Duration::from_millis(150) && took < Duration::from_millis(500), "{took:?}");
    sleep(Duration::from_millis(50)).await;
    assert_eq!(server.cuts(), [Cut::SlowHeaders]);
}

#[tokio::test]
async fn cuts_slow_headers() {
    for beginning in ["GET / HTTP/1.1\r\n", "PRI * HTTP/2.0"] {
        let server = running(SHORT).await;
        let mut stream = server.connect().await;
        let start = Instant::now();
        stream.write_all(beginning.as_bytes()).await.unwrap();
        while start.elapsed() < Duration::from_secs(2) {
            sleep(Duration::from_millis(40)).await;
            if stream.write_all(b"x").await.is_err() {
                break;
            }
        }
        assert!(start.elapsed() < Duration::from_millis(700), "{beginning:?} held for {:?}", start.elapsed());
    }
}

#[tokio::test]
async fn a_second_request_may_be_slow_neither() {
    let server = running(SHORT).await;
    let mut stream = server.connect().await;
    stream.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let mut answer = vec![0; 1024];
    assert!(stream.read(&mut answer).await.unwrap() > 0);
    stream.write_all(b"GET / HT").await.unwrap();
    let took = until_closed(&mut stream).await;
    assert!(took < Duration::from_millis(450), "{took:?}");
    assert_eq!(server.cuts(), [Cut::SlowHeaders]);
}

#[tokio::test]
async fn keeps_a_connection_alive_until_it_is_idle_too_long() {
    let server = running(SHORT).await;
    let mut stream = server.connect().await;
    let mut answer = vec![0; 1024];
    for _ in 0..2 {
        stream.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        assert!(stream.read(&mut answer).await.unwrap() > 0);
        sleep(Duration::from_millis(300)).await;
    }
    let took = until_closed(&mut stream).await;
    assert!(took < Duration::from_millis(800), "{took:?}");
}

#[tokio::test]
async fn a_slow_answer_is_not_slow_headers() {
    let server = running(SHORT).await;
    let answer = server.says("GET /slow HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await;
    assert!(answer.ends_with("slow"), "{answer}");
}

#[tokio::test]
async fn connections_are_bounded_and_the_rest_wait() {
    let server = running(Limits { header_timeout: Duration::from_millis(300), ..SHORT }).await;
    let held: Vec<_> =
        [server.connect().await, server.connect().await, server.connect().await, server.connect().await].into();
    let start = Instant::now();
    let answer = server.says("GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await;
    assert!(answer.ends_with("hello"), "{answer}");
    assert!(start.elapsed() > Duration::from_millis(150), "the fifth should have waited: {:?}", start.elapsed());
    drop(held);
}

#[tokio::test]
async fn a_shutdown_lets_requests_end() {
    let server = running(SHORT).await;
    let mut idle = server.connect().await;
    idle.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let mut answer = vec![0; 1024];
    assert!(idle.read(&mut answer).await.unwrap() > 0);
    let mut busy = server.connect().await;
    busy.write_all(b"GET /slow HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    sleep(Duration::from_millis(50)).await;
    server.shutdown.send_replace(true);
    assert!(until_closed(&mut idle).await < Duration::from_millis(200));
    let mut answer = String::new();
    busy.read_to_string(&mut answer).await.unwrap();
    assert!(answer.ends_with("slow"), "{answer}");
    assert_eq!(server.served.await.unwrap(), 0);
    assert!(TcpStream::connect(server.address).await.is_err());
}

#[tokio::test]
async fn a_shutdown_is_bounded() {
    static STARTED: AtomicUsize = AtomicUsize::new(0);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (shutdown, down) = watch::channel(false);
    let router = Router::new().route(
        "/",
        get(|| async {
            STARTED.fetch_add(1, Relaxed);
            sleep(Duration::from_secs(60)).await
        }),
    );
    let limits = Limits { shutdown_grace: Duration::from_millis(200), ..SHORT };
    let served = tokio::spawn(serve(listener, watch::channel(router).1, limits, down, |_| {}));
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    while STARTED.load(Relaxed) == 0 {
        sleep(Duration::from_millis(5)).await;
    }
    shutdown.send_replace(true);
    assert_eq!(timeout(Duration::from_secs(2), served).await.unwrap().unwrap(), 1);
}

#[tokio::test]
async fn a_client_that_does_not_read_its_answer_is_cut() {
    let server = running(SHORT).await;
    let mut stream = server.connect().await;
    stream.write_all(b"GET /large HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    sleep(Duration::from_millis(900)).await;
    assert_eq!(server.cuts(), [Cut::Stalled]);
    let mut rest = Vec::new();
    let read = stream.read_to_end(&mut rest).await;
    assert!(read.is_err() || rest.len() < LARGE_BYTES, "{read:?}");
}

#[tokio::test]
async fn a_client_that_reads_slowly_gets_its_answer() {
    let server = running(SHORT).await;
    let mut stream = server.connect().await;
    stream.write_all(b"GET /large HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.unwrap();
    let (mut read, mut buffer) = (0, vec![0; 4 << 20]);
    loop {
        match stream.read(&mut buffer).await.unwrap() {
            0 => break,
            bytes => read += bytes,
        }
        sleep(Duration::from_millis(5)).await;
    }
    assert!(read > LARGE_BYTES, "{read}");
    assert!(server.cuts().is_empty());
}
