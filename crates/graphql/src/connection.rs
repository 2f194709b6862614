//! Relay connections: pages of lists, each row with its cursor.

use async_graphql::{InputObject, SimpleObject};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use witan_auth::{Operation, Resource};
use witan_projections::{Listed, PAGE_ROWS_MAX, Page};

use crate::{call::Call, refusal};

/// How many rows a page has when nobody says.
const PAGE_ROWS_DEFAULT: usize = 20;

/// Where a page stands in its list.
#[derive(Clone, Debug, Default, SimpleObject)]
pub struct PageInfo {
    /// Whether there are more rows after this page.
    has_next_page: bool,
    /// Whether there are more rows before this page. Known only when paging backward.
    has_previous_page: bool,
    /// The cursor of the page's first row.
    start_cursor: Option<String>,
    /// The cursor of the page's last row.
    end_cursor: Option<String>,
}

/// Which page of a list is wanted: `first` and `after` forward, `last` and `before` backward.
#[derive(Clone, Debug, Default, InputObject)]
pub struct PageInput {
    /// So many rows from the start of the list, or after `after`: 1 to 100, 20 when nothing is said.
    first: Option<i32>,
    /// The cursor after which the page begins.
    after: Option<String>,
    /// So many rows from the end of the list, or before `before`: 1 to 100.
    last: Option<i32>,
    /// The cursor before which the page ends.
    before: Option<String>,
}

impl PageInput {
    pub fn new(first: Option<i32>, after: Option<String>, last: Option<i32>, before: Option<String>) -> Self {
        Self { first, after, last, before }
    }

    pub fn page(&self) -> async_graphql::Result<Page> {
        let backward = self.last.is_some() || self.before.is_some();
        if backward && (self.first.is_some() || self.after.is_some()) {
            return Err(refusal("INVALID_INPUT", "Use first and after, or last and before, not both."));
        }
        let (name, rows) = if backward { ("last", self.last) } else { ("first", self.first) };
        let rows_max = match rows {
            None => PAGE_ROWS_DEFAULT,
            Some(rows) => usize::try_from(rows)
                .ok()
                .filter(|rows| (1..=PAGE_ROWS_MAX).contains(rows))
                .ok_or_else(|| refusal("INVALID_INPUT", format!("{name} is {rows}; expected 1 to {PAGE_ROWS_MAX}.")))?,
        };
        let cursor = if backward { &self.before } else { &self.after };
        let after = cursor.as_deref().map(decode).transpose()?;
        Ok(Page { rows_max, backward, after })
    }
}

pub fn encode(cursor: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(cursor)
}

fn decode(cursor: &str) -> async_graphql::Result<Vec<u8>> {
    let wrong = || refusal("INVALID_INPUT", "A cursor is none that this list gave.");
    URL_SAFE_NO_PAD.decode(cursor).map_err(|_| wrong())
}

/// The edges of a page in list order, and where it stands.
pub fn edges<R, N, E>(
    listed: Listed<R>,
    page: &Page,
    mut node: impl FnMut(R) -> Option<N>,
    edge: impl Fn(String, N) -> E,
) -> (Vec<E>, PageInfo) {
    let Listed { mut rows, more } = listed;
    if page.backward {
        rows.reverse();
    }
    let page_info = PageInfo {
        has_next_page: more && !page.backward,
        has_previous_page: more && page.backward,
        start_cursor: rows.first().map(|(cursor, _)| encode(cursor)),
        end_cursor: rows.last().map(|(cursor, _)| encode(cursor)),
    };
    let edges = rows.into_iter().filter_map(|(cursor, row)| node(row).map(|node| edge(encode(&cursor), node)));
    (edges.collect(), page_info)
}

/// The rows that the caller may see. The others keep their place, so that their cursors still lead on.
pub async fn visible<R>(
    call: &Call<'_>,
    listed: Listed<R>,
    operation: Operation,
    resource: impl Fn(&R) -> Resource,
) -> Listed<Option<R>> {
    let mut rows = Vec::with_capacity(listed.rows.len());
    for (cursor, row) in listed.rows {
        let allowed = call.allows(operation, &resource(&row)).await;
        rows.push((cursor, allowed.then_some(row)));
    }
    Listed { rows, more: listed.more }
}

/// Defines a connection and its edge.
macro_rules! connection {
    ($(#[$doc:meta])* $connection:ident, $edge:ident, $node:ty) => {
        $(#[$doc])*
        #[derive(async_graphql::SimpleObject)]
        pub struct $connection {
            /// The page's rows, each with its cursor.
            pub edges: Vec<$edge>,
            /// Where the page stands in the list.
            pub page_info: $crate::connection::PageInfo,
        }

        /// A row of a page.
        #[derive(async_graphql::SimpleObject)]
        pub struct $edge {
            /// By which to ask for the rows after or before this one.
            pub cursor: String,
            /// The row itself.
            pub node: $node,
        }
    };
}
pub(crate) use connection;

/// Cursors of a stream's events: their versions.
pub mod versions {
    use crate::refusal;

    pub fn cursor(version: u64) -> Vec<u8> {
        version.to_be_bytes().to_vec()
    }

    /// The first version after the cursor; 0 without one.
    pub fn after(cursor: Option<&[u8]>) -> async_graphql::Result<u64> {
        let Some(cursor) = cursor else { return Ok(0) };
        let version = <[u8; 8]>::try_from(cursor).map(u64::from_be_bytes).ok();
        version
            .and_then(|version| version.checked_add(1))
            .ok_or_else(|| refusal("INVALID_INPUT", "A cursor is none that this list gave."))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_asked_for_in_one_direction() {
        assert_eq!(PageInput::default().page().unwrap().rows_max, PAGE_ROWS_DEFAULT);
        let backward = PageInput::new(None, None, Some(5), Some(encode(b"x"))).page().unwrap();
        assert_eq!(backward, Page { rows_max: 5, backward: true, after: Some(b"x".to_vec()) });
        for wrong in [
            PageInput::new(Some(0), None, None, None),
            PageInput::new(Some(101), None, None, None),
            PageInput::new(Some(-1), None, None, None),
            PageInput::new(Some(1), None, Some(1), None),
            PageInput::new(Some(1), Some("!".into()), None, None),
        ] {
            assert!(wrong.page().is_err(), "{wrong:?}");
        }
    }
}
