//! Group commit, on a thread of its own: what many callers ask for becomes one frame, one write, one sync; then all of them
//! are answered. Nobody sees an event before it is durable, and after a sync that failed nothing is written any more.

use std::{
    collections::HashMap,
    fs::{self, File, OpenOptions},
    io,
    path::Path,
    sync::{Arc, PoisonError, mpsc},
    time::{Duration, Instant},
};

use tokio::sync::watch;
use witan_domain::Timestamp;
use witan_event_store::{AppendError, Appended, Position, envelope::stamp};

use crate::{
    Observer,
    disk::{Disk, is_full, sync_folder},
    format::{
        CHAIN_BYTES, Chain, FRAME_HEADER_BYTES, Footer, FrameHeader, RECORD_HEADER_BYTES, SEGMENT_HEADER_BYTES,
        SegmentHeader, array, chain_after, record_bytes, seal_record, segment_name,
    },
    head::HeadFile,
    index::{IndexError, Run},
    monotonic,
    queue::{Queue, Request},
    read::Reader,
    segment::Segment,
};

/// The newest head may be unsynced this long while commits go on.
const HEAD_SYNC_EVERY: Duration = Duration::from_secs(1);
/// Those that were in the last commit together tend to come back together, once they are answered: they are waited for,
/// this part of the time that the last commit took. So many writers share each sync instead of every second one.
const COMPANY_PART: u32 = 4;
const COMPANY_WAIT_MIN: Duration = Duration::from_micros(25);
const COMPANY_WAIT_MAX: Duration = Duration::from_micros(500);
/// With nothing to commit for this long, head is synced.
const IDLE: Duration = Duration::from_millis(50);

/// Where the log ends.
pub struct End {
    pub segment: Arc<Segment>,
    pub offset: u64,
    /// The newest event.
    pub position: u64,
    pub chain: Chain,
    pub newest_at: Timestamp,
}

pub struct Committer {
    pub reader: Arc<Reader>,
    pub end: End,
    pub head: HeadFile,
    pub disk: Arc<dyn Disk>,
    pub observer: Arc<dyn Observer>,
    pub segment_bytes_max: u64,
    pub durable: watch::Sender<Position>,
    queue: Arc<Queue>,
    head_synced: Instant,
    /// How many were in the last commit, and how long to wait for as many again.
    company: (usize, Duration),
    frame: Vec<u8>,
    /// Why nothing is written any more.
    stopped: Option<String>,
}

/// Why a commit didn't happen.
enum Failure {
    /// For lack of room; it is as if it had never been tried.
    Full,
    /// Nobody knows what reached the disk.
    Unknown(String),
}

impl Failure {
    fn unknown(what: &str) -> impl FnOnce(io::Error) -> Self {
        move |error| Self::Unknown(format!("{what}: {error}"))
    }
}

impl Committer {
    pub fn new(
        reader: Arc<Reader>,
        end: End,
        head: HeadFile,
        options: &crate::Options,
        durable: watch::Sender<Position>,
    ) -> Self {
        Self {
            reader,
            end,
            head,
            disk: options.disk.clone(),
            observer: options.observer.clone(),
            segment_bytes_max: options.segment_bytes_max,
            durable,
            queue: Arc::new(Queue::new()),
            head_synced: monotonic(),
            company: (0, Duration::ZERO),
            frame: Vec::new(),
            stopped: None,
        }
    }

    pub fn queue(&self) -> Arc<Queue> {
        self.queue.clone()
    }

    /// Commits until the queue is closed. `rolled` is told of each segment that was closed.
    pub fn run(mut self, rolled: &mpsc::Sender<()>) {
        let mut group = Vec::new();
        loop {
            let patience = (self.head.unsynced() && self.stopped.is_none()).then_some(IDLE);
            if !self.queue.take(&mut group, patience, self.company) {
                break;
            }
            let idle = group.is_empty();
            if !idle {
                self.commit(&mut group, rolled);
            }
            if self.stopped.is_none() && (idle || self.head_synced.elapsed() >= HEAD_SYNC_EVERY) {
                self.sync_head();
            }
        }
        if self.stopped.is_none() {
            self.sync_head();
        }
    }

    fn sync_head(&mut self) {
        self.head_synced = monotonic();
        self.write_head();
        if self.stopped.is_none()
            && let Err(error) = self.head.sync(&*self.disk)
        {
            self.stop(format!("head can't be synced: {error}"));
        }
    }

    /// Writes where the log ends to head, if that isn't there yet. An older head is a weaker promise, not a wrong one: on a
    /// full disk it waits.
    fn write_head(&mut self) {
        let End { segment, offset, position, chain, .. } = &self.end;
        if self.head.names() == (*position, segment.first) {
            return;
        }
        match self.head.write(&*self.disk, *position, segment.first, *offset, *chain) {
            Err(error) if !is_full(&error) => self.stop(format!("head can't be written: {error}")),
            Ok(()) | Err(_) => {}
        }
    }

    fn stop(&mut self, why: String) {
        tracing::error!(why, "the journal writes nothing more until a restart");
        self.observer.stopped(&why);
        self.stopped = Some(why);
    }

    /// Commits a group and answers all of it.
    fn commit(&mut self, group: &mut Vec<Request>, rolled: &mpsc::Sender<()>) {
        let began = monotonic();
        let Composed { outcomes, runs, events, newest_at } = match &self.stopped {
            None => self.compose(group),
            Some(why) => return self.refuse(group, || AppendError::Stopped(why.clone())),
        };
        if events > 0 {
            match self.write(events, rolled) {
                Ok(()) => self.publish(group, &runs, newest_at),
                // A conflict may be one with an event of this very group, so nobody's outcome stands.
                Err(Failure::Full) => {
                    self.observer.full();
                    return self.refuse(group, || AppendError::Full);
                }
                Err(Failure::Unknown(why)) => {
                    self.stop(why);
                    return self.refuse(group, || AppendError::OutcomeUnknown);
                }
            }
            let took = began.elapsed();
            let wait = took / COMPANY_PART;
            self.company = if wait < COMPANY_WAIT_MIN { (0, wait) } else { (group.len(), wait.min(COMPANY_WAIT_MAX)) };
            self.observer.committed(group.len() as u64, events, self.frame.len() as u64, took);
        }
        let answered = monotonic();
        for (request, outcome) in group.drain(..).zip(outcomes) {
            if outcome.is_ok() {
                let bytes = request.records.len() as u64;
                self.observer.appended(u64::from(request.count), bytes, answered - request.asked);
            }
            // A caller that went away doesn't hear it; it is committed all the same.
            let _ = request.answer.send(outcome);
        }
        // Last, while those who were answered make their next request.
        self.write_head();
    }

    fn refuse(&self, group: &mut Vec<Request>, why: impl Fn() -> AppendError) {
        for request in group.drain(..) {
            let _ = request.answer.send(Err(why()));
        }
    }

    /// Decides each request in turn, and makes the frame of those that pass.
    fn compose(&mut self, group: &[Request]) -> Composed {
        self.frame.clear();
        self.frame.resize(FRAME_HEADER_BYTES, 0);
        let mut outcomes = Vec::with_capacity(group.len());
        let mut runs = Vec::with_capacity(group.len());
        let mut versions: HashMap<&str, u64> = HashMap::with_capacity(group.len());
        let (mut position, mut newest_at) = (self.end.position, self.end.newest_at);
        for (index, request) in group.iter().enumerate() {
            let version = match self.decide(request, versions.get(request.append.stream.as_str())) {
                Ok(version) => version,
                Err(refused) => {
                    outcomes.push(Err(refused));
                    continue;
                }
            };
            newest_at = newest_at.max(request.append.now);
            let run = Run { version, position: position + 1, offset: self.frame.len() as u64, count: request.count };
            self.copy_records(&request.records, run, newest_at);
            position += u64::from(request.count);
            versions.insert(&request.append.stream, run.last_version());
            let (first, last) = (Position(run.position), Position(position));
            outcomes.push(Ok(Appended { first, last, version: run.last_version(), recorded_at: newest_at }));
            runs.push((index, run));
        }
        let events = position - self.end.position;
        let header = FrameHeader {
            records_bytes: (self.frame.len() - FRAME_HEADER_BYTES) as u32,
            first: self.end.position + 1,
            count: events as u32,
        };
        self.frame[..FRAME_HEADER_BYTES].copy_from_slice(&header.encode());
        let chain = chain_after(&self.end.chain, &self.frame);
        self.frame.extend_from_slice(&chain);
        Composed { outcomes, runs, events, newest_at }
    }

    /// The version of the request's first event, or why it is refused. `pending`: the stream's version in this group.
    fn decide(&self, request: &Request, pending: Option<&u64>) -> Result<u64, AppendError> {
        let actual = match pending {
            Some(version) => Some(*version),
            None => self.reader.index.version(&request.append.stream).map_err(|error| {
                if matches!(error, IndexError::Damaged(_)) {
                    self.reader.index.mark_damaged();
                }
                AppendError::Stopped(error.to_string())
            })?,
        };
        request.append.expect(actual)?;
        Ok(actual.map_or(0, |version| version + 1))
    }

    /// Copies a request's records into the frame, with their versions, positions, recorded time and checksums.
    fn copy_records(&mut self, records: &[u8], run: Run, recorded_at: Timestamp) {
        let mut at = self.frame.len();
        self.frame.extend_from_slice(records);
        for number in 0..u64::from(run.count) {
            let Some(length) = record_bytes(&self.frame[at..]) else { return };
            let record = &mut self.frame[at..at + length];
            stamp(&mut record[RECORD_HEADER_BYTES..], run.version + number, recorded_at);
            seal_record(record, run.position + number);
            at += length;
        }
    }

    /// Writes the frame where the log ends, and syncs it.
    fn write(&mut self, events: u64, rolled: &mpsc::Sender<()>) -> Result<(), Failure> {
        let bytes = self.frame.len() as u64;
        let begun = self.end.offset > SEGMENT_HEADER_BYTES as u64;
        if begun && self.end.offset + bytes > self.segment_bytes_max {
            self.roll()?;
            // The thread ends only after this one.
            let _ = rolled.send(());
        }
        self.enter_segment()?;
        let file = &self.end.segment.file;
        if let Err(error) = self.disk.write_all_at(file, &self.frame, self.end.offset) {
            if !is_full(&error) {
                return Err(Failure::Unknown(format!("a write failed: {error}")));
            }
            file.set_len(self.end.offset).map_err(Failure::unknown("a half-written commit can't be cut off"))?;
            tracing::warn!("the disk is full: nothing is recorded until there is room");
            return Err(Failure::Full);
        }
        self.disk.sync(file).map_err(Failure::unknown("a sync failed"))?;
        self.end.segment.note_frame(self.end.position + 1, self.end.offset);
        self.end.offset += bytes;
        self.end.position += events;
        self.end.chain = array(&self.frame, self.frame.len() - CHAIN_BYTES);
        Ok(())
    }

    /// Nothing is written to a segment before head, on the disk, lies in it: so a segment that lost its file is missed.
    fn enter_segment(&mut self) -> Result<(), Failure> {
        if self.head.names().1 == self.end.segment.first {
            return Ok(());
        }
        let End { segment, offset, position, chain, .. } = &self.end;
        match self.head.write(&*self.disk, *position, segment.first, *offset, *chain) {
            Ok(()) => {}
            Err(error) if is_full(&error) => return Err(Failure::Full),
            Err(error) => return Err(Failure::Unknown(format!("head can't be written: {error}"))),
        }
        self.head_synced = monotonic();
        self.head.sync(&*self.disk).map_err(Failure::unknown("head can't be synced"))
    }

    /// Lets everybody see what was just synced.
    fn publish(&mut self, group: &[Request], runs: &[(usize, Run)], newest_at: Timestamp) {
        let start = self.end.offset - self.frame.len() as u64;
        let runs = runs.iter().filter_map(|(index, run)| {
            let stream = group.get(*index)?.append.stream.as_str();
            Some((stream, Run { offset: start + run.offset, ..*run }))
        });
        self.reader.index.note(runs);
        self.end.newest_at = newest_at;
        self.durable.send_replace(Position(self.end.position));
    }

    /// Closes the segment and begins the next. The new one is durable, with its name, before the old one gets its footer:
    /// so a footer without a successor is a missing file.
    fn roll(&mut self) -> Result<(), Failure> {
        let first = self.end.position + 1;
        let path = self.reader.folder.join(segment_name(first));
        let new = match self.create_segment(&path, first) {
            Ok(new) => new,
            Err(error) if is_full(&error) => {
                self.remove_segment(&path)?;
                return Err(Failure::Full);
            }
            Err(error) => return Err(Failure::Unknown(format!("a new segment can't be made: {error}"))),
        };
        let old = self.end.segment.clone();
        let footer = Footer {
            first: old.first,
            count: first - old.first,
            newest_at: self.end.newest_at.0,
            chain: self.end.chain,
            sparse: old.sparse(),
        };
        if let Err(error) = self.disk.write_all_at(&old.file, &footer.encode(), self.end.offset) {
            if !is_full(&error) {
                return Err(Failure::Unknown(format!("a footer can't be written: {error}")));
            }
            // In this order, a crash in between leaves a new segment without events, never a footer without a successor.
            old.file.set_len(self.end.offset).map_err(Failure::unknown("a half-written footer can't be cut off"))?;
            self.disk.sync(&old.file).map_err(Failure::unknown("a sync failed"))?;
            self.remove_segment(&path)?;
            return Err(Failure::Full);
        }
        self.disk.sync(&old.file).map_err(Failure::unknown("a sync failed"))?;
        let digest = self.end.segment.digest(self.end.position);
        let digest = digest.map_err(|_| Failure::Unknown("the newest event can't be read back".into()))?;
        let active = Arc::new(Segment::new(first, new, Vec::new()));
        self.reader.index.roll(self.end.position, digest);
        {
            let mut layout = self.reader.layout.write().unwrap_or_else(PoisonError::into_inner);
            layout.closed.push(old.first);
            layout.active = active.clone();
        }
        self.end.segment = active;
        self.end.offset = SEGMENT_HEADER_BYTES as u64;
        Ok(())
    }

    fn create_segment(&self, path: &Path, first: u64) -> io::Result<File> {
        // A file that is there already is left from a roll that found the disk full: it holds no event.
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(path)?;
        let header = SegmentHeader { first, chain: self.end.chain };
        self.disk.write_all_at(&file, &header.encode(), 0)?;
        self.disk.sync(&file)?;
        sync_folder(&self.reader.folder)?;
        Ok(file)
    }

    fn remove_segment(&self, path: &Path) -> Result<(), Failure> {
        let removed = fs::remove_file(path).or_else(|error| match error.kind() {
            io::ErrorKind::NotFound => Ok(()),
            _ => Err(error),
        });
        removed
            .and_then(|()| sync_folder(&self.reader.folder))
            .map_err(Failure::unknown("a segment that was not begun can't be removed"))
    }
}

/// However the thread ends, nobody waits for it in vain: what it leaves unanswered has an unknown outcome.
impl Drop for Committer {
    fn drop(&mut self) {
        self.queue.abandon();
    }
}

struct Composed {
    /// What becomes of each request if the commit succeeds.
    outcomes: Vec<Result<Appended, AppendError>>,
    /// With the index of their request; offsets count from the frame's start.
    runs: Vec<(usize, Run)>,
    events: u64,
    newest_at: Timestamp,
}
