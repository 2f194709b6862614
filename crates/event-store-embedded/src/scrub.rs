//! The background scrub: reads closed segments from the disk, again and again, and takes what is damaged out of service.

use std::{
    fs::File,
    sync::{Arc, Condvar, Mutex, PoisonError},
    time::Duration,
};

use rustix::fs::{Advice, fadvise};

use crate::{
    Options,
    format::{SEGMENT_HEADER_BYTES, SegmentHeader, segment_name},
    read::Reader,
    scan::{Fault, Scan, ScanError, Step, read_up_to},
    segment::read_footer,
};

/// It rests after so many bytes.
const STRIDE_BYTES: u64 = 1 << 20;

pub struct Scrub {
    reader: Arc<Reader>,
    bytes_per_second: u64,
    pause: Duration,
    stopped: Mutex<bool>,
    told: Condvar,
}

impl Scrub {
    pub fn new(reader: Arc<Reader>, options: &Options) -> Self {
        Self {
            reader,
            bytes_per_second: options.scrub_bytes_per_second,
            pause: options.scrub_pause,
            stopped: Mutex::default(),
            told: Condvar::new(),
        }
    }

    /// Pass after pass, until it is stopped.
    pub fn run(&self) {
        while self.rest(self.pause) {
            self.pass(Some(self.bytes_per_second));
        }
    }

    pub fn stop(&self) {
        *self.stopped.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.told.notify_all();
    }

    /// Says whether to go on.
    fn rest(&self, time: Duration) -> bool {
        let stopped = self.stopped.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.told.wait_timeout_while(stopped, time, |stopped| !*stopped);
        !*waited.unwrap_or_else(PoisonError::into_inner).0
    }

    /// Reads all segments that are closed now; at most so many bytes a second.
    pub fn pass(&self, bytes_per_second: Option<u64>) {
        let (closed, active) = {
            let layout = self.reader.layout.read().unwrap_or_else(PoisonError::into_inner);
            (layout.closed.clone(), layout.active.first)
        };
        let ends = closed.iter().skip(1).copied().chain([active]);
        for (first, next) in closed.iter().copied().zip(ends) {
            match self.segment(first, next - 1, bytes_per_second) {
                Ok(true) => {}
                Ok(false) => return,
                Err(ScanError::Fault(fault)) => self.note(first, fault, next - 1),
                Err(ScanError::Io(error)) => {
                    let what = format!("can't be read: {error}");
                    let damage = self.reader.damage(first, 0, first, what);
                    self.reader.damages.note(damage, next - 1);
                }
            }
        }
    }

    fn note(&self, segment: u64, Fault { offset, position, what }: Fault, last: u64) {
        self.reader.damages.note(self.reader.damage(segment, offset, position, what.into()), last);
    }

    /// Says whether to go on with the next one. An error is damage to all the rest of this one.
    fn segment(&self, first: u64, last: u64, bytes_per_second: Option<u64>) -> Result<bool, ScanError> {
        let file = File::open(self.reader.folder.join(segment_name(first)))?;
        // What is in the page cache may hide what is on the disk; without it, the pass is merely weaker.
        let _ = fadvise(&file, 0, None, Advice::DontNeed);
        let whole_segment =
            |what: &'static str| ScanError::Fault(Fault { offset: 0, position: first, what: what.into() });
        let mut header = Vec::new();
        read_up_to(&file, &mut header, SEGMENT_HEADER_BYTES, 0)?;
        let header = SegmentHeader::decode(&header).map_err(whole_segment)?;
        let (_, footer) = read_footer(&file, first)?;
        let mut scan = Scan::open(&file, u64::MAX, header)?;
        let mut since_rest = 0;
        let mut chained = true;
        loop {
            let before = scan.offset;
            match scan.step() {
                Ok(Step::Frame(_)) => {}
                Ok(Step::End | Step::Footer) => break,
                Err(ScanError::Fault(fault)) => {
                    let touched = scan.step_over()?.ok_or_else(|| ScanError::Fault(fault.clone()))?;
                    self.note(first, fault, touched);
                    chained = false;
                }
                Err(error) => return Err(error),
            }
            since_rest += scan.offset - before;
            if since_rest >= STRIDE_BYTES
                && let Some(rate) = bytes_per_second
            {
                if !self.rest(Duration::from_micros(since_rest * 1_000_000 / rate.max(1))) {
                    return Ok(false);
                }
                since_rest = 0;
            }
        }
        if scan.next != last + 1 || (chained && scan.chain != footer.chain) || footer.count != last + 1 - first {
            return Err(whole_segment("the segment doesn't hold what its footer says"));
        }
        Ok(true)
    }
}
