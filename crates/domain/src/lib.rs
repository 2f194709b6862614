//! witan-domain
