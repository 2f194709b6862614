//! Puts the nulls where they belong. async-graphql 7.2 leaves a field that failed out of `data`, and makes an object whose
//! fields all failed null; the specification (GraphQL, section 6.4.4) wants null for the field, or for its nearest nullable
//! ancestor when its type is non-null.

use std::collections::HashMap;

use async_graphql::{
    Executor, Name, PathSegment, Request, Response, Value,
    parser::types::{ExecutableDocument, Field, OperationDefinition, OperationType, Selection, SelectionSet, Type},
};
use futures_util::FutureExt;
use serde::Deserialize;

use crate::variables::Place;

/// What is asked of the schema when the router is made. Seven wrappers are `[[[T!]!]!]!`.
const INTROSPECTION: &str = "{__schema{queryType{name}mutationType{name}subscriptionType{name}types{name \
    fields(includeDeprecated:true){name type{...T}args{...I}}inputFields{...I}}}}\
    fragment I on __InputValue{name defaultValue type{...T}}fragment T on __Type{kind name ofType{kind name ofType{kind name \
    ofType{kind name ofType{kind name ofType{kind name ofType{kind name ofType{kind name}}}}}}}}";

/// A field's type: for each level of lists, from the outside in, whether null may stand there; then the name inside.
#[derive(Debug, Clone)]
struct FieldType {
    nullable: Vec<bool>,
    name: String,
    arguments: HashMap<String, Place>,
}

/// The types of a schema, as far as they say where null may stand, and what goes into arguments.
#[derive(Debug, Default)]
pub(crate) struct Types {
    roots: HashMap<&'static str, String>,
    fields: HashMap<String, HashMap<String, FieldType>>,
    /// By input object, then by field.
    input_fields: HashMap<String, HashMap<String, Place>>,
}

#[derive(Deserialize)]
struct Answer {
    #[serde(rename = "__schema")]
    schema: SchemaAnswer,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SchemaAnswer {
    query_type: Named,
    mutation_type: Option<Named>,
    subscription_type: Option<Named>,
    types: Vec<TypeAnswer>,
}

#[derive(Deserialize)]
struct Named {
    name: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct TypeAnswer {
    name: String,
    fields: Option<Vec<FieldAnswer>>,
    input_fields: Option<Vec<InputAnswer>>,
}

#[derive(Deserialize)]
struct FieldAnswer {
    name: String,
    #[serde(rename = "type")]
    of: TypeRef,
    args: Vec<InputAnswer>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct InputAnswer {
    name: String,
    default_value: Option<String>,
    #[serde(rename = "type")]
    of: TypeRef,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct TypeRef {
    kind: String,
    name: Option<String>,
    of_type: Option<Box<TypeRef>>,
}

impl TypeRef {
    fn text(&self) -> String {
        let inner = || self.of_type.as_ref().map(|inner| inner.text()).unwrap_or_default();
        match self.kind.as_str() {
            "NON_NULL" => format!("{}!", inner()),
            "LIST" => format!("[{}]", inner()),
            _ => self.name.clone().unwrap_or_default(),
        }
    }
}

fn places(inputs: Vec<InputAnswer>) -> HashMap<String, Place> {
    let place = |input: InputAnswer| {
        let of = Type::new(&input.of.text())?;
        let default_number = input.default_value.as_deref().and_then(|value| value.parse().ok());
        Some((input.name, Place { of, has_default: input.default_value.is_some(), default_number }))
    };
    inputs.into_iter().filter_map(place).collect()
}

impl FieldType {
    fn new(of: TypeRef, arguments: HashMap<String, Place>) -> Self {
        let mut nullable = vec![true];
        let mut of = of;
        loop {
            if of.kind == "NON_NULL"
                && let Some(innermost) = nullable.last_mut()
            {
                *innermost = false;
            } else if of.kind == "LIST" {
                nullable.push(true);
            }
            match of.of_type {
                Some(inner) => of = *inner,
                None => return Self { nullable, name: of.name.unwrap_or_default(), arguments },
            }
        }
    }

    /// Whether null may stand at this level; where we don't know, it may.
    fn may_be_null(&self, level: usize) -> bool {
        self.nullable.get(level).copied().unwrap_or(true)
    }
}

impl Types {
    /// By introspection; nothing is known of a schema that forbids it.
    pub(crate) fn of_schema<E: Executor>(schema: &E) -> Self {
        // Introspection waits for nothing, so the answer is there at once.
        let response = schema.execute(Request::new(INTROSPECTION)).now_or_never().unwrap_or_default();
        let Ok(Answer { schema }) = async_graphql::from_value(response.data) else { return Self::default() };
        let roots = [
            ("query", Some(schema.query_type)),
            ("mutation", schema.mutation_type),
            ("subscription", schema.subscription_type),
        ];
        let roots = roots.into_iter().filter_map(|(kind, named)| Some((kind, named?.name))).collect();
        let (mut fields, mut input_fields) = (HashMap::new(), HashMap::new());
        for of in schema.types {
            let of_type = of.fields.unwrap_or_default().into_iter();
            let of_type = of_type.map(|field| (field.name, FieldType::new(field.of, places(field.args))));
            fields.insert(of.name.clone(), of_type.collect());
            input_fields.insert(of.name, places(of.input_fields.unwrap_or_default()));
        }
        Self { roots, fields, input_fields }
    }

    /// Whether the field answers with a list.
    pub(crate) fn is_list(&self, of: &str, field: &str) -> bool {
        self.fields.get(of).and_then(|fields| fields.get(field)).is_some_and(|field| field.nullable.len() > 1)
    }

    /// Whether the schema has a type of this name; yes for all when nothing is known.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.fields.is_empty() || self.fields.contains_key(name)
    }

    /// The type of queries, mutations or subscriptions.
    pub(crate) fn root(&self, kind: &str) -> Option<&str> {
        self.roots.get(kind).map(String::as_str)
    }

    /// The type of the operations of this kind.
    pub(crate) fn root_of(&self, kind: OperationType) -> Option<&str> {
        self.root(match kind {
            OperationType::Query => "query",
            OperationType::Mutation => "mutation",
            OperationType::Subscription => "subscription",
        })
    }

    /// What goes into an argument of a field.
    pub(crate) fn argument(&self, of: &str, field: &str, name: &str) -> Option<&Place> {
        self.field(of, field)?.arguments.get(name)
    }

    /// What goes into a field of an input object.
    pub(crate) fn input_field(&self, of: &str, name: &str) -> Option<&Place> {
        self.input_fields.get(of)?.get(name)
    }

    /// The named type of a field, without lists and nulls.
    pub(crate) fn type_of(&self, of: &str, field: &str) -> Option<&str> {
        self.field(of, field).map(|field| field.name.as_str())
    }

    fn field(&self, of: &str, name: &str) -> Option<&FieldType> {
        self.fields.get(of)?.get(name)
    }
}

/// Gives each field that failed its null. Faster than parsing, and done only when there are errors.
pub(crate) fn complete(
    response: &mut Response,
    types: &Types,
    document: &ExecutableDocument,
    operation: &OperationDefinition,
) {
    let Some(root) = types.root_of(operation.ty) else { return };
    let walk = Walk { types, document };
    let sets = [&operation.selection_set.node];
    let paths = response.errors.iter().map(|error| error.path.as_slice()).filter(|path| !path.is_empty());
    // First every field that failed is there as null, then the nulls go up to where they may stand.
    for path in paths.clone() {
        fill(&mut response.data, path);
    }
    for path in paths {
        if walk.raise_in_object(&mut response.data, &sets, root, path) {
            response.data = Value::Null;
        }
    }
}

/// Puts null at the end of the path, and makes objects on the way where async-graphql left null for an empty one.
fn fill(value: &mut Value, path: &[PathSegment]) {
    let Some((first, rest)) = path.split_first() else { return };
    match first {
        PathSegment::Field(key) => {
            if *value == Value::Null {
                *value = Value::Object(Default::default());
            }
            let Value::Object(object) = value else { return };
            match object.get_mut(key.as_str()) {
                Some(child) => fill(child, rest),
                // A list of which one item failed is left out whole.
                None => {
                    object.insert(Name::new(key), Value::Null);
                }
            }
        }
        PathSegment::Index(index) => {
            if let Value::List(items) = value
                && let Some(item) = items.get_mut(*index)
            {
                fill(item, rest);
            }
        }
    }
}

struct Walk<'a> {
    types: &'a Types,
    document: &'a ExecutableDocument,
}

impl<'a> Walk<'a> {
    /// Whether the object itself must become null because of the field that the path leads to.
    fn raise_in_object(&self, value: &mut Value, sets: &[&'a SelectionSet], of: &str, path: &[PathSegment]) -> bool {
        let (Value::Object(object), Some((PathSegment::Field(key), rest))) = (value, path.split_first()) else {
            return false;
        };
        let Some(child) = object.get_mut(key.as_str()) else { return false };
        let mut fields = Vec::new();
        self.fields_of(sets, key, &mut fields);
        // Of an interface's implementations we don't know which; its own fields are the same in all.
        let known = fields.iter().find_map(|field| self.types.field(of, &field.name.node));
        let Some(known) = known else { return false };
        let inner: Vec<&SelectionSet> = fields.iter().map(|field| &field.selection_set.node).collect();
        self.raise(child, &inner, known, 0, rest)
    }

    /// Whether what contains `value` must become null. `level` counts the lists of the field's type.
    fn raise(
        &self,
        value: &mut Value,
        sets: &[&'a SelectionSet],
        of: &FieldType,
        level: usize,
        path: &[PathSegment],
    ) -> bool {
        let becomes_null = match (&mut *value, path.split_first()) {
            (Value::Null, _) => true,
            (Value::List(items), Some((PathSegment::Index(index), rest))) => {
                items.get_mut(*index).is_some_and(|item| self.raise(item, sets, of, level + 1, rest))
            }
            (Value::Object(_), Some((PathSegment::Field(_), _))) => self.raise_in_object(value, sets, &of.name, path),
            _ => false,
        };
        if becomes_null {
            *value = Value::Null;
        }
        becomes_null && !of.may_be_null(level)
    }

    /// The fields with this response key, fragments included. Only documents whose depth is limited come here.
    fn fields_of(&self, sets: &[&'a SelectionSet], key: &str, found: &mut Vec<&'a Field>) {
        for selection in sets.iter().flat_map(|set| &set.items) {
            match &selection.node {
                Selection::Field(field) if field.node.response_key().node == key => found.push(&field.node),
                Selection::Field(_) => {}
                Selection::InlineFragment(inline) => self.fields_of(&[&inline.node.selection_set.node], key, found),
                Selection::FragmentSpread(spread) => {
                    if let Some(fragment) = self.document.fragments.get(&spread.node.fragment_name.node) {
                        self.fields_of(&[&fragment.node.selection_set.node], key, found);
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use async_graphql::{EmptyMutation, EmptySubscription, Error, Object, Result, Schema};
    use serde_json::{Value as Json, json};

    use super::*;
    use crate::documents::Documents;

    struct Query;
    struct Node;

    #[Object]
    impl Node {
        async fn fine(&self) -> u32 {
            1
        }
        async fn maybe(&self) -> Result<Option<u32>> {
            Err(Error::new("no"))
        }
        async fn surely(&self) -> Result<u32> {
            Err(Error::new("no"))
        }
        async fn node(&self) -> Option<Node> {
            Some(Node)
        }
        async fn firm(&self) -> Node {
            Node
        }
        async fn nodes(&self) -> Vec<Option<Node>> {
            vec![Some(Node), None]
        }
        async fn firm_nodes(&self) -> Option<Vec<Node>> {
            Some(vec![Node, Node])
        }
    }

    #[Object]
    impl Query {
        async fn node(&self) -> Option<Node> {
            Some(Node)
        }
        async fn firm(&self) -> Node {
            Node
        }
        async fn maybe(&self) -> Result<Option<u32>> {
            Err(Error::new("no"))
        }
        async fn fine(&self) -> u32 {
            1
        }
    }

    fn data(query: &str) -> Json {
        let schema = Schema::new(Query, EmptyMutation, EmptySubscription);
        let document =
            Documents::of_types(Default::default(), Types::of_schema(&schema), Default::default()).get(query).unwrap();
        let mut response = schema.execute(query).now_or_never().unwrap();
        assert!(!response.errors.is_empty());
        let operation = document.find_operation(None).unwrap();
        complete(&mut response, &Types::of_schema(&schema), &document.parsed, operation);
        response.data.into_json().unwrap()
    }

    #[test]
    fn a_nullable_field_that_failed_is_null() {
        assert_eq!(data("{maybe}"), json!({"maybe": null}));
        assert_eq!(data("{fine a:maybe}"), json!({"fine": 1, "a": null}));
        assert_eq!(data("{node{maybe}}"), json!({"node": {"maybe": null}}));
        assert_eq!(
            data("{firm{...F}} fragment F on Node{fine ...on Node{b:maybe}}"),
            json!({"firm": {"fine": 1, "b": null}})
        );
    }

    #[test]
    fn a_non_null_field_that_failed_makes_its_nearest_nullable_ancestor_null() {
        assert_eq!(data("{fine node{fine surely}}"), json!({"fine": 1, "node": null}));
        assert_eq!(data("{fine firm{surely}}"), Json::Null);
        assert_eq!(data("{node{firm{firm{surely}}}}"), json!({"node": null}));
        assert_eq!(data("{node{node{a:firm{surely}} fine}}"), json!({"node": {"node": null, "fine": 1}}));
        assert_eq!(data("{node{maybe surely}}"), json!({"node": null}), "not revived by the other error");
        assert_eq!(data("{node{surely maybe}}"), json!({"node": null}));
    }

    #[test]
    fn lists_lose_the_item_or_themselves() {
        assert_eq!(data("{node{nodes{fine surely}}}"), json!({"node": {"nodes": [null, null]}}));
        assert_eq!(data("{node{nodes{fine maybe}}}"), json!({"node": {"nodes": [{"fine": 1, "maybe": null}, null]}}));
        assert_eq!(data("{node{fine firmNodes{surely}}}"), json!({"node": {"fine": 1, "firmNodes": null}}));
    }
}
