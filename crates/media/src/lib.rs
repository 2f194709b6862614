//! witan-media
