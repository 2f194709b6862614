//! witan-event-store-embedded
