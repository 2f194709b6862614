//! One page of events on its way to a reader: it holds no more bytes than it may.

use std::collections::VecDeque;

use witan_event_store::{Direction, Recorded};

/// Events in the log's order. Read forward, what doesn't fit ends it; read backward, the oldest make room for the newer.
pub struct Page {
    direction: Direction,
    bytes_max: usize,
    pub events: VecDeque<Recorded>,
    pub bytes: usize,
    /// Something didn't fit.
    pub full: bool,
}

impl Page {
    pub fn new(direction: Direction, bytes_max: usize) -> Self {
        Self { direction, bytes_max, events: VecDeque::new(), bytes: 0, full: false }
    }

    /// Takes the log's next event, and says whether to go on. One event is taken however large it is, so that no reader
    /// stands before it forever.
    pub fn take(&mut self, event: Recorded) -> bool {
        let bytes = event.envelope.bytes().len();
        while self.bytes + bytes > self.bytes_max && !self.events.is_empty() {
            self.full = true;
            if self.direction == Direction::Forward {
                return false;
            }
            let oldest = self.events.pop_front();
            self.bytes -= oldest.map_or(0, |oldest| oldest.envelope.bytes().len());
        }
        self.bytes += bytes;
        self.events.push_back(event);
        true
    }
}
