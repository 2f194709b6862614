//! The list of read models: to add one, write its file and name it here.

use std::sync::Arc;

use rocksdb::DB;

use crate::{Projection, follower::CURSORS};

/// Every read model, ready to fold.
pub fn all(_db: &Arc<DB>) -> Vec<Box<dyn Projection>> {
    vec![]
}

/// Every column family.
pub fn tables() -> impl Iterator<Item = &'static str> {
    std::iter::once(CURSORS)
}
