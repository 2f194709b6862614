//! The reference of the API, in Markdown, made from the printed schema: so it says what the schema says, and no more.

use std::fmt::Write;

use async_graphql::{
    Positioned,
    parser::{
        parse_schema,
        types::{
            ConstDirective, FieldDefinition, InputValueDefinition, ServiceDocument, TypeDefinition, TypeKind,
            TypeSystemDefinition,
        },
    },
};

const HEAD: &str = "\
# API reference

Every query, mutation, subscription and type, made from the schema (`witan schema --markdown`); a test fails when this page is
stale, and `WITAN_BLESS=1 cargo test -p witan-graphql` writes it anew. What holds everywhere (errors, retries, pages, limits) is in
the [guide](api.md).

`!` means never null; `[T!]!` is a list. A default stands after `=`.
";

/// The roots of the schema and what their operations are called.
const ROOTS: [(&str, &str); 3] =
    [("QueryRoot", "Queries"), ("MutationRoot", "Mutations"), ("SubscriptionRoot", "Subscriptions")];

/// The page for a schema in the schema definition language. A text that is none gives the parser's complaint.
pub fn markdown(sdl: &str) -> String {
    match parse_schema(sdl) {
        Ok(document) => page(&document),
        Err(error) => format!("{HEAD}\nThe schema can't be read: {error}\n"),
    }
}

fn page(document: &ServiceDocument) -> String {
    let mut types: Vec<&TypeDefinition> = document
        .definitions
        .iter()
        .filter_map(|definition| match definition {
            TypeSystemDefinition::Type(definition) => Some(&definition.node),
            TypeSystemDefinition::Schema(_) | TypeSystemDefinition::Directive(_) => None,
        })
        .collect();
    types.sort_by_key(|definition| definition.name.node.as_str());
    let mut text = HEAD.to_owned();
    let mut take = |text: &mut String, title: &str, wanted: &dyn Fn(&TypeDefinition) -> bool| {
        let (found, rest): (Vec<_>, Vec<_>) = types.iter().copied().partition(|definition| wanted(definition));
        types = rest;
        text.push_str(&format!("\n## {title}\n"));
        for definition in found {
            one(text, definition);
        }
    };
    for (root, title) in ROOTS {
        take(&mut text, title, &|definition| definition.name.node == root);
    }
    take(&mut text, "Objects and interfaces", &|it| {
        matches!(it.kind, TypeKind::Object(_) | TypeKind::Interface(_) | TypeKind::Union(_))
    });
    take(&mut text, "Inputs", &|it| matches!(it.kind, TypeKind::InputObject(_)));
    take(&mut text, "Enumerations", &|it| matches!(it.kind, TypeKind::Enum(_)));
    take(&mut text, "Scalars", &|_| true);
    text
}

fn one(text: &mut String, definition: &TypeDefinition) {
    let name = definition.name.node.as_str();
    let is_root = ROOTS.iter().any(|(root, _)| *root == name);
    if !is_root {
        add(text, format!("\n### {name}\n"));
        paragraph(text, definition.description.as_ref());
    }
    match &definition.kind {
        TypeKind::Object(object) if is_root => object.fields.iter().for_each(|field| operation(text, &field.node)),
        TypeKind::Object(object) => fields(text, &object.fields),
        TypeKind::Interface(interface) => fields(text, &interface.fields),
        TypeKind::InputObject(input) => {
            if has_directive(&definition.directives, "oneOf") {
                add(text, "\nExactly one of these.\n".into());
            }
            add(text, "\n| field | type | what |\n| --- | --- | --- |\n".into());
            input.fields.iter().for_each(|field| input_row(text, &field.node));
        }
        TypeKind::Enum(values) => {
            add(text, "\n| value | what |\n| --- | --- |\n".into());
            for value in &values.values {
                let what = cell(value.node.description.as_ref());
                add(text, format!("| `{}` | {what} |\n", value.node.value.node));
            }
        }
        TypeKind::Union(union) => {
            let members: Vec<_> = union.members.iter().map(|member| format!("`{}`", member.node)).collect();
            add(text, format!("\nOne of {}.\n", members.join(", ")));
        }
        TypeKind::Scalar => {}
    }
}

/// A field of a root, with its arguments.
fn operation(text: &mut String, field: &FieldDefinition) {
    add(text, format!("\n### `{}`: `{}`\n", field.name.node, field.ty.node));
    paragraph(text, field.description.as_ref());
    if !field.arguments.is_empty() {
        add(text, "\n| argument | type | what |\n| --- | --- | --- |\n".into());
        field.arguments.iter().for_each(|argument| input_row(text, &argument.node));
    }
}

fn fields(text: &mut String, fields: &[Positioned<FieldDefinition>]) {
    add(text, "\n| field | type | what |\n| --- | --- | --- |\n".into());
    for field in fields.iter().map(|field| &field.node) {
        let arguments: Vec<String> = field.arguments.iter().map(|argument| signature(&argument.node)).collect();
        let arguments = if arguments.is_empty() { String::new() } else { format!("({})", arguments.join(", ")) };
        let what = cell(field.description.as_ref());
        add(text, format!("| `{}{arguments}` | `{}` | {what} |\n", field.name.node, field.ty.node));
    }
}

fn input_row(text: &mut String, input: &InputValueDefinition) {
    let what = cell(input.description.as_ref());
    let default = default(input);
    add(text, format!("| `{}` | `{}{default}` | {what} |\n", input.name.node, input.ty.node));
}

fn signature(input: &InputValueDefinition) -> String {
    format!("{}: {}{}", input.name.node, input.ty.node, default(input))
}

fn default(input: &InputValueDefinition) -> String {
    input.default_value.as_ref().map(|value| format!(" = {}", value.node)).unwrap_or_default()
}

fn has_directive(directives: &[Positioned<ConstDirective>], name: &str) -> bool {
    directives.iter().any(|directive| directive.node.name.node == name)
}

fn paragraph(text: &mut String, description: Option<&Positioned<String>>) {
    if let Some(description) = description {
        add(text, format!("\n{}\n", description.node.trim()));
    }
}

/// A description as one cell of a table.
fn cell(description: Option<&Positioned<String>>) -> String {
    let text = description.map(|description| description.node.split_whitespace().collect::<Vec<_>>().join(" "));
    text.unwrap_or_default().replace('|', "\\|")
}

fn add(text: &mut String, more: String) {
    // Writing to a String can't fail.
    let _ = text.write_str(&more);
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    #[test]
    fn the_reference_of_the_api_is_up_to_date() {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/api-reference.md");
        let made = super::markdown(&crate::sdl());
        if std::env::var_os("WITAN_BLESS").is_some() {
            std::fs::write(&file, &made).unwrap();
        }
        let kept = std::fs::read_to_string(&file).unwrap_or_default();
        assert!(
            kept == made,
            "docs/api-reference.md is stale: WITAN_BLESS=1 cargo test -p witan-graphql writes it anew"
        );
    }

    #[test]
    fn shows_types_arguments_defaults_and_descriptions() {
        let page = super::markdown(
            "schema { query: QueryRoot }\n\"Not shown\"\ntype QueryRoot { \"A | thing.\" thing(\"Which.\" id: ID! = \"a\"): Thing }\n\
             \"What it is.\"\ntype Thing { \"So many.\" items(first: Int = 20): [Int!]! }\nenum Colour { \"Like blood.\" RED }\n\
             \"One.\"\ninput Choice @oneOf { \"It.\" a: Int }\n\"Any time.\"\nscalar Time",
        );
        for expected in [
            "### `thing`: `Thing`\n\nA | thing.\n",
            "| `id` | `ID! = \"a\"` | Which. |",
            "### Thing\n\nWhat it is.\n",
            "| `items(first: Int = 20)` | `[Int!]!` | So many. |",
            "| `RED` | Like blood. |",
            "Exactly one of these.",
            "### Time\n\nAny time.\n",
        ] {
            assert!(page.contains(expected), "no {expected:?} in\n{page}");
        }
        assert!(!page.contains("Not shown"));
        assert!(super::markdown("type {").contains("can't be read"));
    }
}
