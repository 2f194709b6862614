//! Requests through the whole server: a session by id beside a bare handler that answers the same bytes; a durable
//! mutation alone beside one sync; and many at once.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::json;
use witan_tests::server::{Options, cpu_of};

use crate::figure::{Figure, Goal, median};
use crate::load::{self, Connection, Measured, drive, now};
use crate::parts::{Counted, Parts};
use crate::stage::{self, Scene, Stage};

/// Long enough for thousands of requests, short enough for twenty of them.
const ROUND: Duration = Duration::from_millis(1_500);
const READERS: usize = 32;
const WRITERS: usize = 256;
const SYNCS_PER_ROUND: usize = 200;
/// About what one message takes in the journal.
const SYNC_BYTES: usize = 512;
const WRITES_PER_SECOND: f64 = 5_000.0;
/// What the bare handler answers to a message.
const RECORDED: &str = r#"{"data":{"sendMessage":{"messageId":"message_00000000000000000000000001","userErrors":[],"position":"1","projected":true}}}"#;
const THIRD: f64 = 1.0 / 3.0;

pub(crate) fn figures(rounds: usize) -> Vec<Figure> {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime starts");
    runtime.block_on(async {
        let stage = Stage::open(Options::default()).await;
        let scenes = stage.scenes(WRITERS).await;
        let by_id = read(&stage, &scenes[0], rounds, "session_by_id", stage::SESSION).await;
        let mut figures = vec![by_id.goal(Goal::RatioAtLeast(THIRD))];
        figures.push(read(&stage, &scenes[0], rounds, "session_page", stage::SESSION_PAGE).await);
        figures.push(mutation_alone(&stage, &scenes[0], rounds).await);
        figures.extend(mutations(&stage, &scenes, rounds).await);
        figures
    })
}

async fn read(stage: &Stage, scene: &Scene, rounds: usize, name: &str, document: &str) -> Figure {
    let (address, key) = (stage.server.address().to_owned(), stage.server.api_key().to_owned());
    let request = load::post(&address, &key, &stage::body(document, &json!({ "id": scene.session })));
    let answer = Connection::open(&address).await.ask(&request).await.to_vec();
    let text = String::from_utf8_lossy(&answer).into_owned();
    assert!(text.contains(&scene.session) && !text.contains("\"errors\""), "the session is answered: {text}");
    let bare = Bare::start(&answer);
    let load = async |address: &str| {
        let request = request.clone();
        drive(address, READERS, ROUND, "\"data\"", move |_, _| request.clone()).await
    };
    let (mut ours, mut baseline) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        ours.push(load(&address).await.per_second);
        baseline.push(load(&bare.address).await.per_second);
    }
    Figure::new(name, "requests/s", &ours, &baseline)
}

async fn mutation_alone(stage: &Stage, scene: &Scene, rounds: usize) -> Figure {
    let (mut ours, mut baseline) = (Vec::new(), Vec::new());
    for round in 0..rounds {
        let measured = send_messages(stage.server.address(), std::slice::from_ref(scene), round).await;
        ours.push(measured.median_ms());
        baseline.push(sync_ms(stage));
    }
    Figure::new("durable_mutation 1", "ms", &ours, &baseline).goal(Goal::OverBaselineAtMost(1.0))
}

async fn mutations(stage: &Stage, scenes: &[Scene], rounds: usize) -> Vec<Figure> {
    let (mut per_second, mut cpu, mut latency, mut http) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let bare = Bare::start(RECORDED.as_bytes());
    let mut parts = Parts::default();
    for round in 0..rounds {
        let counted = Counted::now(stage.server.address()).await;
        let before = stage.server.cpu();
        let measured = send_messages(stage.server.address(), scenes, rounds + round).await;
        let spent = stage.server.cpu() - before;
        per_second.push(measured.per_second);
        cpu.push(spent.as_secs_f64() * 1e6 / measured.requests() as f64);
        parts.add(&counted, &Counted::now(stage.server.address()).await, measured.requests());
        // The same requests to the bare handler: what HTTP alone costs.
        let before = cpu_of(bare.child.id());
        let answered = send_messages(&bare.address, scenes, round).await.requests();
        http.push((cpu_of(bare.child.id()) - before).as_secs_f64() * 1e6 / answered as f64);
        latency.push(load::as_ms(measured.latencies.value_at_quantile(0.99)));
    }
    let mut figures = vec![
        Figure::alone("durable_mutation 256", "requests/s", &per_second).goal(Goal::AtLeast(WRITES_PER_SECOND)),
        Figure::alone("durable_mutation_p99 256", "ms", &latency),
        Figure::alone("mutation_cpu all", "µs", &cpu),
        Figure::alone("mutation_cpu http", "µs", &http),
    ];
    figures.extend(parts.figures().await);
    figures
}

/// Each scene's host writes one message after another into its chat, over a connection of its own.
async fn send_messages(address: &str, scenes: &[Scene], round: usize) -> Measured {
    let writers: Vec<(String, String)> = scenes
        .iter()
        .map(|scene| (scene.session.clone(), scene.host.client().credential().unwrap_or_default().to_owned()))
        .collect();
    let connections = writers.len();
    let to = address.to_owned();
    let request = move |connection: usize, turn: u64| {
        let (session, credential) = &writers[connection];
        let body = stage::send_message_body(session, &format!("message {turn} of round {round}"));
        load::post(&to, credential, &body)
    };
    drive(address, connections, ROUND, "\"userErrors\":[]", request).await
}

/// The median of plain appends, each with its own `fdatasync`, on the file system that has the journal.
fn sync_ms(stage: &Stage) -> f64 {
    let path = stage.server.scratch().join("synced");
    let mut file = File::create(&path).expect("a file can be made");
    let bytes = [0x5a; SYNC_BYTES];
    let mut times = Vec::with_capacity(SYNCS_PER_ROUND);
    for _ in 0..SYNCS_PER_ROUND {
        let start = now();
        file.write_all(&bytes).expect("the file takes the bytes");
        file.sync_data().expect("the file syncs");
        times.push(start.elapsed().as_secs_f64() * 1e3);
    }
    median(&times)
}

/// The bare handler, in a process of its own as ours is.
struct Bare {
    child: Child,
    address: String,
    _answer: tempfile::NamedTempFile,
}

impl Bare {
    fn start(answer: &[u8]) -> Bare {
        let mut file = tempfile::NamedTempFile::new().expect("a temporary file can be made");
        file.write_all(answer).expect("the file takes the answer");
        let own = std::env::current_exe().expect("a process has an executable");
        let mut command = Command::new(own);
        command.arg("--bare").arg(file.path()).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("our own executable can be started");
        let mut address = String::new();
        let stdout = child.stdout.take().expect("stdout is piped");
        BufReader::new(stdout).read_line(&mut address).expect("it says where it listens");
        Bare { child, address: address.trim().to_owned(), _answer: file }
    }
}

impl Drop for Bare {
    fn drop(&mut self) {
        // Nothing to do about a child that can't be killed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
