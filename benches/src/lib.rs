//! witan-benches
