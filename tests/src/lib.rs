//! witan-tests
