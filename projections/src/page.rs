//! Pages of lists: so many rows after a cursor, forward or backward.

use serde::de::DeserializeOwned;

use crate::{Key, ProjectionError, ReadModels};

/// How many rows a page holds at most.
pub const PAGE_ROWS_MAX: usize = 100;

/// Which part of a list is wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// At most [`PAGE_ROWS_MAX`].
    pub rows_max: usize,
    /// From the end towards the beginning.
    pub backward: bool,
    /// The cursor of the row after which (backward: before which) it begins.
    pub after: Option<Vec<u8>>,
}

/// A page's rows, each with its cursor, and whether there are more beyond.
#[derive(Clone, Debug, PartialEq)]
pub struct Listed<R> {
    pub rows: Vec<(Vec<u8>, R)>,
    pub more: bool,
}

impl ReadModels {
    /// Lists the rows that the entries of an index name.
    pub(crate) fn list<E: DeserializeOwned, R>(
        &self,
        table: &'static str,
        prefix: &Key,
        page: &Page,
        row: impl Fn(E) -> Result<Option<R>, ProjectionError>,
    ) -> Result<Listed<R>, ProjectionError> {
        let rows_max = page.rows_max.min(PAGE_ROWS_MAX);
        let after = page.after.as_ref().map(|cursor| prefix.clone().raw(cursor));
        let mut entries = self.rows(table).list::<E>(prefix, after.as_ref(), page.backward, rows_max + 1)?;
        let more = entries.len() > rows_max;
        entries.truncate(rows_max);
        let mut rows = Vec::with_capacity(entries.len());
        for (cursor, entry) in entries {
            if let Some(row) = row(entry)? {
                rows.push((cursor, row));
            }
        }
        Ok(Listed { rows, more })
    }
}
