//! witan-ledger
