//! How many rows an operation may ask for: pages and lists within each other multiply, which no count of the document's
//! text shows.

use async_graphql::{
    Name, Value, Variables,
    parser::types::{ExecutableDocument, Field, OperationDefinition, Selection, SelectionSet},
};

use crate::nulls::Types;

/// Rows of a page when nobody says, and at most (what a resolver refuses needs no more).
const PAGE_ROWS_DEFAULT: u64 = 20;
const PAGE_ROWS_MAX: u64 = 100;
/// What a past moment counts for: it is folded from a stream.
const PAST_ROWS: u64 = 100;
/// What a plain list of objects counts for, whose length nobody asked for: a unit's path, a participant's consents.
const LIST_ROWS: u64 = 4;

/// The rows of all connections and lists of an operation, if each page were full.
pub(crate) fn rows(
    types: &Types,
    document: &ExecutableDocument,
    operation: &OperationDefinition,
    variables: &Variables,
) -> u64 {
    let Some(root) = types.root_of(operation.ty) else { return 0 };
    Count { types, document, operation, variables }.within(&operation.selection_set.node, root, 1)
}

struct Count<'a> {
    types: &'a Types,
    document: &'a ExecutableDocument,
    operation: &'a OperationDefinition,
    variables: &'a Variables,
}

impl Count<'_> {
    /// The rows of one selection set that is answered `times` times. Only documents whose expansion is limited come here.
    fn within(&self, set: &SelectionSet, of: &str, times: u64) -> u64 {
        let rows = set.items.iter().map(|selection| match &selection.node {
            Selection::Field(field) => self.of_field(&field.node, of, times),
            Selection::InlineFragment(inline) => {
                let of = inline.node.type_condition.as_ref().map_or(of, |condition| condition.node.on.node.as_str());
                self.within(&inline.node.selection_set.node, of, times)
            }
            Selection::FragmentSpread(spread) => {
                self.document.fragments.get(&spread.node.fragment_name.node).map_or(0, |fragment| {
                    let of = fragment.node.type_condition.node.on.node.as_str();
                    self.within(&fragment.node.selection_set.node, of, times)
                })
            }
        });
        rows.fold(0, u64::saturating_add)
    }

    fn of_field(&self, field: &Field, of: &str, times: u64) -> u64 {
        let Some(inner) = self.types.type_of(of, &field.name.node) else { return 0 };
        // What a connection lists are the rows that it was counted for itself; introspection is bounded by the schema.
        let in_list = self.types.is_list(of, &field.name.node)
            && !field.selection_set.node.items.is_empty()
            && !of.ends_with("Connection")
            && !of.starts_with("__");
        let rows = match (inner.ends_with("Connection"), in_list) {
            (true, _) => self.page_rows(field),
            (false, true) => self.list_rows(field, of),
            (false, false) => {
                let past = if is_past(&field.name.node) { times.saturating_mul(PAST_ROWS) } else { 0 };
                return self.within(&field.selection_set.node, inner, times).saturating_add(past);
            }
        };
        let times = times.saturating_mul(rows);
        self.within(&field.selection_set.node, inner, times).saturating_add(times)
    }

    fn page_rows(&self, field: &Field) -> u64 {
        self.asked_rows(field).unwrap_or(PAGE_ROWS_DEFAULT).min(PAGE_ROWS_MAX)
    }

    /// `first` or `last`, as arguments or in an argument that is an object.
    fn asked_rows(&self, field: &Field) -> Option<u64> {
        field.arguments.iter().find_map(|(name, value)| {
            match value.node.clone().into_const_with(|name| self.variable(&name)).ok()? {
                Value::Number(rows) if is_size(&name.node) => rows.as_u64(),
                Value::Object(members) => members.iter().find_map(|(name, value)| match value {
                    Value::Number(rows) if is_size(name) => rows.as_u64(),
                    _ => None,
                }),
                _ => None,
            }
        })
    }

    /// As many as were asked for, ids were named, or come where nobody says; or a guess.
    fn list_rows(&self, field: &Field, of: &str) -> u64 {
        let named = field.arguments.iter().find_map(|(_, value)| {
            match value.node.clone().into_const_with(|name| self.variable(&name)).ok()? {
                Value::List(ids) => u64::try_from(ids.len()).ok(),
                _ => None,
            }
        });
        let asked = self.asked_rows(field).or(named);
        let by_default = || self.types.argument(of, &field.name.node, "first")?.default_number;
        asked.or_else(by_default).unwrap_or(LIST_ROWS)
    }

    /// A variable's value or its default; the validator says what is wrong with one that isn't there.
    fn variable(&self, name: &Name) -> Result<Value, ()> {
        let given = self.variables.get(name);
        let definition = || self.operation.variable_definitions.iter().find(|one| one.node.name.node == *name);
        Ok(given.or_else(|| definition()?.node.default_value()).cloned().unwrap_or(Value::Null))
    }
}

fn is_size(name: &str) -> bool {
    matches!(name, "first" | "last")
}

fn is_past(name: &str) -> bool {
    matches!(name, "asOf" | "sessionAsOf")
}

#[cfg(test)]
mod tests {
    use async_graphql::{EmptyMutation, EmptySubscription, InputObject, Object, Schema, value};

    use super::*;
    use crate::{
        documents::Documents,
        scan::{Limit, Refused},
    };

    struct Query;
    struct Room;
    struct RoomConnection;

    #[derive(InputObject)]
    struct PageInput {
        first: Option<i32>,
    }

    #[Object]
    impl RoomConnection {
        async fn nodes(&self) -> Vec<Room> {
            Vec::new()
        }
    }

    #[Object]
    impl Room {
        async fn id(&self) -> u32 {
            1
        }
        async fn rooms(&self, first: Option<i32>, last: Option<i32>) -> RoomConnection {
            let _ = (first, last);
            RoomConnection
        }
        async fn path(&self) -> Vec<Room> {
            Vec::new()
        }
        async fn people(&self, #[graphql(default = 400)] first: i32) -> Vec<Room> {
            let _ = first;
            Vec::new()
        }
        async fn as_of(&self) -> Room {
            Room
        }
        async fn paged(&self, page: PageInput) -> RoomConnection {
            let _ = page.first;
            RoomConnection
        }
    }

    #[Object]
    impl Query {
        async fn room(&self) -> Room {
            Room
        }
        async fn named(&self, ids: Vec<i32>) -> Vec<Room> {
            let _ = ids;
            Vec::new()
        }
    }

    fn rows_of(query: &str, variables: Value) -> u64 {
        let schema = Schema::new(Query, EmptyMutation, EmptySubscription);
        let types = Types::of_schema(&schema);
        let document = Documents::new(Default::default()).get(query).unwrap();
        let operation = document.find_operation(None).unwrap();
        rows(&types, &document.parsed, operation, &Variables::from_value(variables))
    }

    #[test]
    fn pages_within_pages_multiply() {
        let none = || value!({});
        assert_eq!(rows_of("{room{id}}", none()), 0);
        assert_eq!(rows_of("{room{rooms(first: 7){nodes{id}}}}", none()), 7);
        assert_eq!(rows_of("{room{rooms{nodes{rooms(last: 3){nodes{id}}}}}}", none()), 20 + 60);
        assert_eq!(rows_of("{room{a:rooms(first: 2){nodes{id}} b:paged(page: {first: 4}){nodes{id}}}}", none()), 6);
        let fragments =
            "{room{...F}} fragment F on Room{rooms(first:10){nodes{...on Room{rooms(first:10){nodes{id}}}}}}";
        assert_eq!(rows_of(fragments, none()), 110);
    }

    #[test]
    fn lists_multiply_as_pages_do() {
        let none = || value!({});
        assert_eq!(rows_of("{room{path{id}}}", none()), 4);
        assert_eq!(rows_of("{room{path{path{path{id}}}}}", none()), 4 + 16 + 64);
        assert_eq!(rows_of("{room{people{path{id}}}}", none()), 400 + 1_600);
        assert_eq!(rows_of("{room{a:people(first: 1000){id} b:people(first: 50){id}}}", none()), 1_050);
        assert_eq!(rows_of("query($n: Int!){room{people(first: $n){id}}}", value!({"n": 7})), 7);
        assert_eq!(rows_of("{named(ids: [1, 1, 1]){rooms(first: 7){nodes{id}}}}", none()), 3 + 21);
        assert_eq!(rows_of("query($i: [Int!]!){named(ids: $i){id}}", value!({"i": [1, 2]})), 2);
        assert_eq!(rows_of("{__schema{types{fields{name}}}}", none()), 0);
    }

    #[test]
    fn a_past_moment_counts_as_a_page() {
        assert_eq!(rows_of("{room{asOf{id}}}", value!({})), 100);
        assert_eq!(rows_of("{room{rooms(first: 7){nodes{asOf{path{id}}}}}}", value!({})), 7 + 700 + 28);
    }

    #[test]
    fn variables_and_their_defaults_count() {
        let query = "query($n: Int = 5, $p: PageInput!){room{rooms(first: $n){nodes{paged(page: $p){nodes{id}}}}}}";
        assert_eq!(rows_of(query, value!({"p": {"first": 3}})), 5 + 15);
        assert_eq!(rows_of(query, value!({"n": 50, "p": {"first": 1_000_000}})), 50 + 5_000);
    }

    #[test]
    fn too_many_rows_are_refused() {
        let schema = Schema::new(Query, EmptyMutation, EmptySubscription);
        let documents = Documents::of_types(Default::default(), Types::of_schema(&schema), Default::default());
        let check = |query: &str| {
            let document = documents.get(query).unwrap();
            documents.check_rows(&document, document.find_operation(None).unwrap(), &Variables::default())
        };
        assert_eq!(check("{room{rooms(first:90){nodes{rooms(first:100){nodes{id}}}}}}"), Ok(()));
        let refused = check("{room{rooms(first:100){nodes{rooms(first:100){nodes{id}}}}}}").unwrap_err();
        assert_eq!(
            (refused.code(), refused),
            ("TOO_COMPLEX", Refused::OverLimit { limit: Limit::Rows, found: 10_100, max: 10_000 })
        );
    }
}
