//! witan-vault
