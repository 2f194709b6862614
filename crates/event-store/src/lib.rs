//! witan-event-store
