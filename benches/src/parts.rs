//! What each part on the way of a durable mutation costs: as the server itself counts it while 256 write, and for the
//! append, whose time there is waiting for the disk, as CPU of the journal under the same load alone.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;
use witan_event_store::EventStore;
use witan_event_store_embedded::Journal;
use witan_tests::server::cpu_of;

use crate::figure::Figure;
use crate::load::Connection;
use crate::story;

/// Parts that never wait, so that their time is their CPU time.
const COUNTED: [&str; 7] = ["http", "scan", "parse", "authorise", "decide", "protect", "project"];
const WRITERS: u128 = 256;
const MESSAGES_PER_WRITER: u128 = 40;

/// Seconds by part, since the server started.
pub(crate) struct Counted(BTreeMap<&'static str, f64>);

impl Counted {
    pub(crate) async fn now(address: &str) -> Counted {
        let request = format!("GET /metrics HTTP/1.1\r\nhost: {address}\r\n\r\n");
        let mut connection = Connection::open(address).await;
        let metrics = String::from_utf8_lossy(connection.ask(request.as_bytes()).await).into_owned();
        let seconds = |part: &&'static str| (*part, seconds_of(&metrics, part).expect("the part is counted"));
        Counted(COUNTED.iter().map(seconds).collect())
    }

    /// Microseconds of each part for one of so many requests, since `before`.
    fn per_request(&self, before: &Counted, requests: u64) -> Vec<f64> {
        COUNTED.iter().map(|part| (self.0[part] - before.0[part]) * 1e6 / requests as f64).collect()
    }
}

fn seconds_of(metrics: &str, part: &str) -> Option<f64> {
    let begin = format!("witan_part_seconds_total{{part=\"{part}\"}} ");
    metrics.lines().find_map(|line| line.strip_prefix(&begin))?.trim().parse().ok()
}

/// One row a round.
#[derive(Default)]
pub(crate) struct Parts(Vec<Vec<f64>>);

impl Parts {
    pub(crate) fn add(&mut self, before: &Counted, after: &Counted, requests: u64) {
        self.0.push(after.per_request(before, requests));
    }

    /// One figure a part, in microseconds for one mutation.
    pub(crate) async fn figures(&self) -> Vec<Figure> {
        let named = |(index, part): (usize, &&str)| {
            let rounds: Vec<f64> = self.0.iter().map(|round| round[index]).collect();
            // `http` is the bare handler's figure; what our own layer adds is reading and writing JSON.
            let part = if *part == "http" { "json" } else { part };
            Figure::alone(format!("mutation_cpu {part}"), "µs", &rounds)
        };
        let mut figures: Vec<Figure> = COUNTED.iter().enumerate().map(named).collect();
        let mut append = Vec::new();
        for _ in &self.0 {
            append.push(appends().await);
        }
        figures.push(Figure::alone("mutation_cpu append", "µs", &append));
        figures
    }
}

/// CPU microseconds of one event's append, from 256 writers at once, each event by itself.
async fn appends() -> f64 {
    let folder = TempDir::new().expect("a temporary folder can be made");
    let journal = Journal::open(folder.path().join("journal"), Default::default()).expect("an empty journal opens");
    let store: Arc<dyn EventStore> = Arc::new(journal);
    let before = cpu();
    let mut writers = Vec::new();
    for writer in 1..=WRITERS {
        let store = Arc::clone(&store);
        writers.push(tokio::spawn(async move {
            for append in story::messages(writer, MESSAGES_PER_WRITER) {
                store.append(append).await.expect("the journal takes the message");
            }
        }));
    }
    for writer in writers {
        writer.await.expect("a writer does not panic");
    }
    let last = *store.durable().borrow();
    (cpu() - before).as_secs_f64() * 1e6 / last.0 as f64
}

/// CPU time of this process so far.
fn cpu() -> Duration {
    cpu_of(std::process::id())
}

#[cfg(test)]
mod tests {
    use super::*;
    use witan_event_store::Append;

    /// So that the measured appends are what they claim to be.
    #[test]
    fn a_message_is_one_append_of_one_event() {
        let appends: Vec<Append> = story::messages(1, 5).collect();
        assert_eq!(appends.len(), 5);
        assert!(appends.iter().all(|append| append.events.len() == 1));
    }

    #[test]
    fn a_part_is_read_from_the_metrics() {
        let metrics = "# TYPE x counter\nwitan_part_seconds_total{part=\"scan\"} 0.25\n";
        assert_eq!(seconds_of(metrics, "scan"), Some(0.25));
        assert_eq!(seconds_of(metrics, "parse"), None);
    }
}
