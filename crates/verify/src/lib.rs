//! witan-verify
