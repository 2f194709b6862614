//! witan-app
