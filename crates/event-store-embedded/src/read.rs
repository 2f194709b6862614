//! Reading what is durable: by position, and by stream through the index.

use std::{
    io,
    path::PathBuf,
    sync::{Arc, PoisonError, RwLock},
};

use quick_cache::sync::Cache;
use tokio::sync::watch;
use witan_event_store::{Direction, PAGE_BYTES_MAX, Position, ReadError, Recorded};

use crate::{
    damage::{Damage, Damages},
    format::segment_name,
    index::{Index, IndexError},
    page::Page,
    scan::ScanError,
    segment::Segment,
};

/// Closed segments that are kept open, with their sparse index.
const OPEN_SEGMENTS_MAX: usize = 64;
/// Reading backward takes so many events at a time.
const WINDOW_EVENTS: u64 = 1_024;

/// Which segments there are.
pub struct Layout {
    /// The first positions of the closed ones, ascending.
    pub closed: Vec<u64>,
    pub active: Arc<Segment>,
}

pub struct Reader {
    pub folder: PathBuf,
    pub layout: RwLock<Layout>,
    pub index: Index,
    pub durable: watch::Receiver<Position>,
    pub damages: Damages,
    open: Cache<u64, Arc<Segment>>,
}

impl Reader {
    pub fn new(
        folder: PathBuf,
        layout: Layout,
        index: Index,
        durable: watch::Receiver<Position>,
        damages: Damages,
    ) -> Self {
        Self { folder, layout: RwLock::new(layout), index, durable, damages, open: Cache::new(OPEN_SEGMENTS_MAX) }
    }

    /// At most `max` durable events from `from` on, and no more bytes than a page has.
    pub fn read_all(&self, from: Position, direction: Direction, max: usize) -> Result<Vec<Recorded>, ReadError> {
        let newest = self.durable.borrow().0;
        let max = u64::try_from(max).unwrap_or(u64::MAX);
        let (first, last) = match direction {
            Direction::Forward => (from.0.max(1), newest.min(from.0.max(1).saturating_add(max).saturating_sub(1))),
            Direction::Backward => {
                let last = from.0.min(newest);
                (last.saturating_sub(max).saturating_add(1), last)
            }
        };
        if max == 0 || first > last || last == 0 {
            return Ok(Vec::new());
        }
        match direction {
            Direction::Forward => {
                let mut page = Page::new(direction, PAGE_BYTES_MAX);
                self.range(first, last, &mut page)?;
                Ok(page.events.into())
            }
            Direction::Backward => self.backward(first, last),
        }
    }

    /// The log can only be read forward: so from window to window.
    fn backward(&self, first: u64, mut last: u64) -> Result<Vec<Recorded>, ReadError> {
        let (mut found, mut bytes_left) = (Vec::new(), PAGE_BYTES_MAX);
        while first <= last {
            let start = first.max((last + 1).saturating_sub(WINDOW_EVENTS));
            let mut page = Page::new(Direction::Backward, bytes_left);
            self.range(start, last, &mut page)?;
            if page.bytes > bytes_left && !found.is_empty() {
                break;
            }
            bytes_left = bytes_left.saturating_sub(page.bytes);
            found.extend(page.events.into_iter().rev());
            if page.full {
                break;
            }
            last = start - 1;
        }
        Ok(found)
    }

    /// At most `max` durable events of one stream.
    pub fn read_stream(
        &self,
        stream: &str,
        from: u64,
        direction: Direction,
        max: usize,
    ) -> Result<Vec<Recorded>, ReadError> {
        let Some(newest) = self.stream_version(stream)? else { return Ok(Vec::new()) };
        let max = u64::try_from(max).unwrap_or(u64::MAX);
        let (first, last) = match direction {
            Direction::Forward => (from, newest.min(from.saturating_add(max).saturating_sub(1))),
            Direction::Backward => {
                let last = from.min(newest);
                ((last + 1).saturating_sub(max), last)
            }
        };
        if max == 0 || first > last {
            return Ok(Vec::new());
        }
        let mut found = self.stream_range(stream, first, last)?;
        if direction == Direction::Backward {
            found.reverse();
        }
        Ok(found)
    }

    pub fn stream_version(&self, stream: &str) -> Result<Option<u64>, ReadError> {
        self.index.version(stream).map_err(|error| self.index_failed(&error, 0))
    }

    /// The events `first..=last`, all of them durable, as far as the page takes them.
    fn range(&self, first: u64, last: u64, page: &mut Page) -> Result<(), ReadError> {
        self.refuse_damaged(first, last)?;
        let (mut next, mut goes_on) = (first, true);
        while next <= last && goes_on {
            let (segment, end) = self.segment_of(next)?;
            let to = last.min(end);
            let read = segment.read(next, to, |event| {
                goes_on = page.take(event);
                goes_on
            });
            read.map_err(|error| self.fault(&segment, error))?;
            next = to + 1;
        }
        Ok(())
    }

    fn stream_range(&self, stream: &str, first: u64, last: u64) -> Result<Vec<Recorded>, ReadError> {
        let runs = self.index.runs(stream, first, last).map_err(|error| self.index_failed(&error, 0))?;
        let mut found = Vec::new();
        let mut next = first;
        for run in runs {
            if run.last_version() < next {
                continue;
            }
            if run.version > next {
                break;
            }
            let end = run.position + u64::from(run.count) - 1;
            self.refuse_damaged(run.position, end)?;
            let (segment, _) = self.segment_of(run.position)?;
            let skipped = (next - run.version) as usize;
            let wanted = (last.min(run.last_version()) - run.version + 1) as u32;
            let start = found.len();
            segment
                .read_run(run.position, run.offset, wanted, &mut found)
                .map_err(|error| self.fault(&segment, error))?;
            found.drain(start..start + skipped);
            for event in &found[start..] {
                if event.envelope.stream() != stream || event.envelope.version() != next {
                    let error = IndexError::Damaged("it points to another event".into());
                    return Err(self.index_failed(&error, event.position.0));
                }
                next += 1;
            }
        }
        if next <= last {
            return Err(self.index_failed(&IndexError::Damaged("it has lost events".into()), 0));
        }
        Ok(found)
    }

    /// The segment that holds the position, and the last position that it can hold.
    fn segment_of(&self, position: u64) -> Result<(Arc<Segment>, u64), ReadError> {
        let (first, end) = {
            let layout = self.layout.read().unwrap_or_else(PoisonError::into_inner);
            if position >= layout.active.first {
                return Ok((layout.active.clone(), u64::MAX));
            }
            let after = layout.closed.partition_point(|first| *first <= position);
            let end = layout.closed.get(after).copied().unwrap_or(layout.active.first) - 1;
            let first = after.checked_sub(1).and_then(|index| layout.closed.get(index)).copied();
            (first.ok_or_else(|| ReadError::Damaged { position: Position(position), what: "no segment".into() })?, end)
        };
        let opened = self.open.get_or_insert_with(&first, || {
            Segment::open_closed(&self.folder, first).map(|(segment, _)| Arc::new(segment))
        });
        match opened {
            Ok(segment) => Ok((segment, end)),
            Err(ScanError::Io(error)) => Err(error.into()),
            Err(ScanError::Fault(fault)) => {
                let damage = self.damage(first, fault.offset, fault.position, fault.what.into());
                self.damages.note(damage.clone(), end);
                Err(refusal(&damage))
            }
        }
    }

    fn refuse_damaged(&self, first: u64, last: u64) -> Result<(), ReadError> {
        self.damages.touching(first, last).map_or(Ok(()), |damage| Err(refusal(&damage)))
    }

    pub fn damage(&self, segment: u64, offset: u64, position: u64, what: String) -> Damage {
        Damage { file: self.folder.join(segment_name(segment)), offset, position, what }
    }

    fn fault(&self, segment: &Segment, error: ScanError) -> ReadError {
        match error {
            ScanError::Io(error) => error.into(),
            ScanError::Fault(fault) => {
                let damage = self.damage(segment.first, fault.offset, fault.position, fault.what.into());
                self.damages.note(damage.clone(), damage.position);
                refusal(&damage)
            }
        }
    }

    fn index_failed(&self, error: &IndexError, position: u64) -> ReadError {
        match error {
            IndexError::Unavailable(_) => ReadError::Io(io::Error::other(error.to_string())),
            // It can be rebuilt: it is, at the next open.
            IndexError::Damaged(_) => {
                tracing::error!(%error, position, "it is rebuilt at the next start");
                self.index.mark_damaged();
                let what = format!("{error}; it is rebuilt at the next start");
                ReadError::Damaged { position: Position(position), what }
            }
        }
    }
}

fn refusal(damage: &Damage) -> ReadError {
    ReadError::Damaged { position: Position(damage.position), what: damage.to_string() }
}
