//! Whether each variable fits where it is used (GraphQL, section 5.8.5). async-graphql 7.2 has this rule, but what chains
//! its rules doesn't hand input values on, so it never speaks.

use std::collections::HashSet;

use async_graphql::{
    Pos, Positioned, ServerError, Value as ConstValue,
    parser::types::{BaseType, Directive, ExecutableDocument, Selection, SelectionSet, Type, VariableDefinition},
};
use async_graphql_value::Value;

use crate::nulls::Types;

/// An argument or an input field: its type, whether it may be left out though that is non-null, and what stands then.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub of: Type,
    pub has_default: bool,
    /// The default, where it is a whole number.
    pub default_number: Option<u64>,
}

/// Refuses a document that uses a variable where its type does not fit. What is not known of the schema is not judged.
pub(crate) fn check(types: &Types, document: &ExecutableDocument) -> Result<(), Box<ServerError>> {
    for (_, operation) in document.operations.iter() {
        let Some(root) = types.root_of(operation.node.ty) else { continue };
        let variables = &operation.node.variable_definitions;
        let mut walk = Walk { types, document, variables, seen: HashSet::new() };
        walk.directives(&operation.node.directives)?;
        walk.set(&operation.node.selection_set.node, root)?;
    }
    Ok(())
}

struct Walk<'a> {
    types: &'a Types,
    document: &'a ExecutableDocument,
    variables: &'a [Positioned<VariableDefinition>],
    /// The fragments that this operation was led into: once is enough, for a fragment has one type.
    seen: HashSet<&'a str>,
}

impl<'a> Walk<'a> {
    fn set(&mut self, set: &'a SelectionSet, of: &'a str) -> Result<(), Box<ServerError>> {
        for selection in &set.items {
            match &selection.node {
                Selection::Field(field) => {
                    let field = &field.node;
                    self.directives(&field.directives)?;
                    for (name, value) in &field.arguments {
                        if let Some(place) = self.types.argument(of, &field.name.node, &name.node) {
                            self.value(&value.node, value.pos, &place.of, place.has_default)?;
                        }
                    }
                    if let Some(inner) = self.types.type_of(of, &field.name.node) {
                        self.set(&field.selection_set.node, inner)?;
                    }
                }
                Selection::InlineFragment(inline) => {
                    self.directives(&inline.node.directives)?;
                    let condition = inline.node.type_condition.as_ref();
                    self.set(&inline.node.selection_set.node, condition.map_or(of, |it| it.node.on.node.as_str()))?;
                }
                Selection::FragmentSpread(spread) => {
                    self.directives(&spread.node.directives)?;
                    let name = &spread.node.fragment_name.node;
                    if let Some(fragment) = self.document.fragments.get(name)
                        && self.seen.insert(name.as_str())
                    {
                        let of = fragment.node.type_condition.node.on.node.as_str();
                        self.set(&fragment.node.selection_set.node, of)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// `@skip` and `@include` are all that there are.
    fn directives(&self, directives: &[Positioned<Directive>]) -> Result<(), Box<ServerError>> {
        let condition = Type { base: BaseType::Named(async_graphql::Name::new("Boolean")), nullable: false };
        for (_, value) in directives.iter().flat_map(|directive| &directive.node.arguments) {
            self.value(&value.node, value.pos, &condition, false)?;
        }
        Ok(())
    }

    fn value(&self, value: &Value, pos: Pos, expected: &Type, has_default: bool) -> Result<(), Box<ServerError>> {
        match (value, &expected.base) {
            (Value::Variable(name), _) => {
                let Some(variable) = self.variables.iter().find(|one| one.node.name.node == *name) else {
                    return Ok(());
                };
                if is_allowed(&variable.node, expected, has_default) {
                    return Ok(());
                }
                let of = &variable.node.var_type.node;
                let message = format!("variable \"${name}\" of type \"{of}\" is used where \"{expected}\" is expected");
                Err(Box::new(ServerError::new(message, Some(pos))))
            }
            (Value::List(items), BaseType::List(inner)) => {
                items.iter().try_for_each(|item| self.value(item, pos, inner, false))
            }
            (Value::Object(members), BaseType::Named(object)) => {
                members.iter().try_for_each(|(name, value)| match self.types.input_field(object, name) {
                    Some(place) => self.value(value, pos, &place.of, place.has_default),
                    None => Ok(()),
                })
            }
            _ => Ok(()),
        }
    }
}

/// `IsVariableUsageAllowed` of the specification.
fn is_allowed(variable: &VariableDefinition, expected: &Type, has_default: bool) -> bool {
    let of = &variable.var_type.node;
    if !expected.nullable && of.nullable {
        let own_default = variable.default_value.as_ref().is_some_and(|value| value.node != ConstValue::Null);
        return (own_default || has_default) && bases_fit(&of.base, &expected.base);
    }
    fits(of, expected)
}

/// `AreTypesCompatible` of the specification.
fn fits(of: &Type, expected: &Type) -> bool {
    (expected.nullable || !of.nullable) && bases_fit(&of.base, &expected.base)
}

fn bases_fit(of: &BaseType, expected: &BaseType) -> bool {
    match (of, expected) {
        (BaseType::Named(of), BaseType::Named(expected)) => of == expected,
        (BaseType::List(of), BaseType::List(expected)) => fits(of, expected),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use async_graphql::{EmptyMutation, EmptySubscription, ID, InputObject, Object, Schema};

    use super::*;

    struct Query;

    #[derive(InputObject)]
    struct Wanted {
        id: ID,
        #[graphql(default = 3)]
        count: i32,
        inner: Option<Box<Wanted>>,
    }

    #[Object]
    impl Query {
        async fn one(&self, id: ID, name: Option<String>, #[graphql(default = 5)] first: i32) -> i32 {
            let _ = (id, name);
            first
        }
        async fn many(&self, ids: Vec<ID>) -> usize {
            ids.len()
        }
        async fn wanted(&self, input: Wanted) -> i32 {
            let _ = (input.id, input.inner);
            input.count
        }
    }

    fn refusal(query: &str) -> Option<String> {
        let schema = Schema::new(Query, EmptyMutation, EmptySubscription);
        let parsed = async_graphql::parser::parse_query(query).unwrap();
        check(&Types::of_schema(&schema), &parsed).err().map(|error| error.message)
    }

    #[test]
    fn what_fits_is_let_through() {
        for query in [
            "query($id: ID!) { one(id: $id) }",
            "query($id: ID!, $name: String) { one(id: $id, name: $name) }",
            "query($id: ID!, $name: String!) { one(id: $id, name: $name) }",
            "query($id: ID = \"a\") { one(id: $id) }",
            "query($id: ID!, $first: Int) { one(id: $id, first: $first) }",
            "query($ids: [ID!]!) { many(ids: $ids) }",
            "query($id: ID!) { many(ids: [$id, \"b\"]) }",
            "query($input: Wanted!) { wanted(input: $input) }",
            "query($id: ID!, $n: Int) { wanted(input: {id: $id, inner: {id: $id, count: $n}}) }",
            "query($id: ID!, $if: Boolean!) { one(id: $id) @include(if: $if) }",
            "query($id: ID!) { ...F } fragment F on Query { one(id: $id) }",
        ] {
            assert_eq!(refusal(query), None, "{query}");
        }
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        for (query, of, expected) in [
            ("query($id: Int!) { one(id: $id) }", "Int!", "ID!"),
            ("query($id: ID) { one(id: $id) }", "ID", "ID!"),
            ("query($id: ID = null) { one(id: $id) }", "ID", "ID!"),
            ("query($ids: [ID]!) { many(ids: $ids) }", "[ID]!", "[ID!]!"),
            ("query($id: ID!) { many(ids: $id) }", "ID!", "[ID!]!"),
            ("query($id: ID) { many(ids: [$id]) }", "ID", "ID!"),
            ("query($id: String!) { wanted(input: {id: \"a\", inner: {id: $id}}) }", "String!", "ID!"),
            ("query($if: Boolean) { one(id: \"a\") @skip(if: $if) }", "Boolean", "Boolean!"),
            ("query($id: ID) { ...F } fragment F on Query { one(id: $id) }", "ID", "ID!"),
        ] {
            let refused = refusal(query).unwrap_or_else(|| panic!("{query} was let through"));
            assert!(refused.contains(&format!("of type \"{of}\" is used where \"{expected}\"")), "{query}: {refused}");
        }
    }
}
