//! The node as its server sees it: a process at a socket.

use std::{
    io::Write,
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::Duration,
};

use serde_json::{Value, json};
use tempfile::TempDir;
use witan_domain::{OfferId, ParticipantId, SessionId, StreamId};
use witan_media::{Media, MediaError, MediaSource, Publication, Standing, contract};
use witan_media_protocol::{Attached, RemoteMedia, settings::Settings};

struct Node {
    folder: TempDir,
    child: Child,
    media: RemoteMedia,
    attached: Attached,
}

impl Node {
    async fn start() -> Self {
        let folder = TempDir::new().unwrap();
        let socket = folder.path().join("node.sock");
        let settings = Settings {
            socket: socket.clone(),
            listen: vec!["127.0.0.1".parse().unwrap()],
            announced: Vec::new(),
            port: 0,
            workers: 1,
            turn: None,
            idle_seconds: 60,
        };
        let mut child = Command::new(env!("CARGO_BIN_EXE_witan-media-node"))
            .stdin(Stdio::piped())
            .stderr(std::fs::File::create(folder.path().join("log")).unwrap())
            .spawn()
            .unwrap();
        writeln!(child.stdin.take().unwrap(), "{}", serde_json::to_string(&settings).unwrap()).unwrap();
        let media = RemoteMedia::new();
        let attached = attach(&media, &socket).await;
        Self { folder, child, media, attached }
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap()
    }

    fn is_alive(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the node's log:\n{}", self.log());
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

async fn attach(media: &RemoteMedia, socket: &PathBuf) -> Attached {
    for _ in 0..400 {
        if let Ok(attached) = media.attach(socket).await {
            return attached;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("the node does not answer");
}

#[tokio::test]
async fn a_node_keeps_the_contract() {
    let node = Node::start().await;
    contract::contract(&node.media).await;
}

#[tokio::test]
async fn a_node_that_is_killed_is_noticed_and_its_signals_say_so() {
    use futures_util::StreamExt;
    let mut node = Node::start().await;
    let (session, anna) = (SessionId(1), ParticipantId(1));
    node.media.open_session(session).await.unwrap();
    node.media.enter(session, anna, Standing::default()).await.unwrap();
    let mut signals = node.media.receive(session, anna, contract::rtp_capabilities()).await.unwrap();
    node.child.kill().unwrap();
    let noticed = async { while node.attached.next_load().await.is_some() {} };
    tokio::time::timeout(Duration::from_secs(2), noticed).await.expect("noticed in time");
    let last = tokio::time::timeout(Duration::from_secs(2), signals.next()).await.expect("told in time");
    assert_eq!(last, Some(witan_media::Signal::Restarted));
    assert_eq!(node.media.open_session(session).await, Err(MediaError::NoNode));
}

/// Clients send what they like: nothing of it may end the node.
#[tokio::test]
async fn nonsense_is_refused_and_ends_nothing() {
    let mut node = Node::start().await;
    let (session, anna, bela) = (SessionId(1), ParticipantId(1), ParticipantId(2));
    let media = &node.media;
    media.open_session(session).await.unwrap();
    media.enter(session, anna, Standing::default()).await.unwrap();
    media.enter(session, bela, Standing::default()).await.unwrap();
    let _signals = media.receive(session, bela, contract::rtp_capabilities()).await.unwrap();
    let mut stream = 0;
    let mut taken = 0;
    let seeds =
        [microphone(), contract::camera_parameters(), contract::dtls_parameters(), contract::rtp_capabilities()];
    for nonsense in seeds.iter().flat_map(mutations) {
        let who = ParticipantId(1000 + stream);
        let entrance = media.enter(session, who, Standing::default()).await.unwrap();
        for source in [MediaSource::Microphone, MediaSource::Camera] {
            stream += 1;
            let publication =
                Publication { stream: StreamId(stream), source, rtp_parameters: nonsense.clone(), paused: false };
            taken += usize::from(refused(&nonsense, media.publish(session, who, publication).await.map(|_| ())));
        }
        taken += usize::from(refused(
            &nonsense,
            media.connect_transport(session, who, &entrance.send.id, nonsense.clone()).await,
        ));
        taken += usize::from(refused(&nonsense, media.receive(session, who, nonsense.clone()).await.map(|_| ())));
        media.disconnect(session, who).await.unwrap();
    }
    assert!(taken > 0, "some of it made sense");
    for layers in [(0, None), (255, Some(255)), (7, Some(0))] {
        let set = media.set_preferred_layers(session, bela, OfferId(1), layers.0, layers.1).await;
        assert_eq!(set, Err(MediaError::NotThere("offer")));
    }
    // It still does its work.
    let publication = Publication {
        stream: StreamId(9999),
        source: MediaSource::Microphone,
        rtp_parameters: microphone(),
        paused: false,
    };
    media.publish(session, anna, publication).await.unwrap();
    assert!(node.is_alive());
    let log = node.log();
    assert!(!log.contains("panicked"), "{log}");
}

/// Whether it was taken; refused, it is said to be invalid.
fn refused(nonsense: &Value, result: Result<(), MediaError>) -> bool {
    match result {
        Ok(()) => true,
        Err(MediaError::Invalid { field, message }) => {
            assert!(!field.is_empty() && !message.is_empty());
            false
        }
        Err(other) => panic!("{nonsense}: {other:?}"),
    }
}

fn microphone() -> Value {
    json!({
        "mid": "0",
        "codecs": [{
            "mimeType": "audio/opus", "payloadType": 111, "clockRate": 48000, "channels": 2,
            "parameters": { "useinbandfec": 1 }, "rtcpFeedback": [{ "type": "transport-cc", "parameter": "" }],
        }],
        "headerExtensions": [
            { "uri": "urn:ietf:params:rtp-hdrext:ssrc-audio-level", "id": 1, "encrypt": false, "parameters": {} },
        ],
        "encodings": [{ "ssrc": 1234, "dtx": false }],
        "rtcp": { "cname": "nonsense", "reducedSize": true },
    })
}

/// Every value in it, one after the other, replaced by others, left out, or doubled.
fn mutations(seed: &Value) -> Vec<Value> {
    let others = [
        json!(null),
        json!(true),
        json!(-1),
        json!(0),
        json!(255),
        json!(65_536),
        json!(4_294_967_296_u64),
        json!(1e300),
        json!(""),
        json!("\u{0}\u{1f4a9}"),
        json!("x".repeat(5_000)),
        json!([]),
        json!({}),
        json!([[[[]]]]),
        json!([null, 1, "a"]),
    ];
    let mut paths = Vec::new();
    collect(seed, String::new(), &mut paths);
    let mut made = Vec::new();
    for path in paths {
        for other in &others {
            let mut mutated = seed.clone();
            if let Some(place) = mutated.pointer_mut(&path) {
                *place = other.clone();
                made.push(mutated);
            }
        }
        let mut doubled = seed.clone();
        if let Some(Value::Array(list)) = doubled.pointer_mut(&path) {
            let again = list.clone();
            (0..20).for_each(|_| list.extend(again.clone()));
            made.push(doubled);
        }
        let mut without = seed.clone();
        if let Some((parent, name)) = path.rsplit_once('/')
            && let Some(Value::Object(object)) = without.pointer_mut(parent)
        {
            object.remove(name);
            made.push(without);
        }
    }
    made
}

fn collect(value: &Value, path: String, paths: &mut Vec<String>) {
    match value {
        Value::Object(object) => {
            object.iter().for_each(|(name, inner)| collect(inner, format!("{path}/{name}"), paths))
        }
        Value::Array(list) => {
            list.iter().enumerate().for_each(|(index, inner)| collect(inner, format!("{path}/{index}"), paths));
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
    paths.push(path);
}
