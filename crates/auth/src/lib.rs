//! witan-auth
