//! Hostile documents, and the promise that nothing is counted too low.

use std::{fmt::Write, time::Duration};

use async_graphql::parser::{
    parse_query,
    types::{ExecutableDocument, OperationType, Selection, SelectionSet},
};
use proptest::prelude::*;

use crate::{
    documents::Documents,
    limits::Limits,
    scan::{Limit, Refused, scan, scan_json},
    testing::{House, cpu_time},
};

/// What one hostile request may cost.
const CPU_MAX: Duration = Duration::from_millis(100);

#[track_caller]
fn refused(text: &str) -> Refused {
    let before = cpu_time();
    let refused = scan(text, &Limits::default()).expect_err("this document must be refused");
    let cost = cpu_time() - before;
    assert!(cost < CPU_MAX, "the scan took {cost:?}");
    refused
}

#[track_caller]
fn refused_for(limit: Limit, text: &str) -> u64 {
    match refused(text) {
        Refused::OverLimit { limit: found_limit, found, .. } if found_limit == limit => found,
        other => panic!("refused for another reason: {other}"),
    }
}

/// `levels` fragments that each spread the next `width` times.
fn fragment_bomb(levels: usize, width: usize) -> String {
    let mut text = "{ item { ...F0 } }".to_owned();
    for level in 0..levels {
        let spread = format!("...F{} ", level + 1).repeat(width);
        write!(text, "fragment F{level} on Item {{ {spread}}}").unwrap();
    }
    write!(text, "fragment F{levels} on Item {{ id }}").unwrap();
    text
}

#[test]
fn the_fragment_bomb_is_refused() {
    let bomb = fragment_bomb(16, 2);
    assert!(bomb.len() < 1_000, "{}", bomb.len());
    assert!(refused_for(Limit::Selections, &bomb) > 100_000);
    // Wider than any number can count.
    assert_eq!(refused_for(Limit::Selections, &fragment_bomb(70, 30)), u64::MAX);
    let at_the_root = fragment_bomb(16, 2).replace("{ item { ...F0 } }", "{ ...F0 }");
    assert_eq!(refused_for(Limit::RootFields, &at_the_root), 65_536);
}

#[test]
fn twenty_thousand_nested_brackets_are_refused() {
    for open in ["{a", "{a:", "{a(b:", "{a(b:[", "query($a:[", "{...{", "{a(b:{c:"] {
        assert!(refused_for(Limit::Nesting, &open.repeat(30_000 / open.len())) > 5_000, "{open}");
    }
    for open in ["[", "(", "\"\"{"] {
        assert!(matches!(refused(&open.repeat(10_000)), Refused::Syntax { .. }), "{open}");
    }
    let list = format!("{{item{{named(names:{}{})}}}}", "[".repeat(15_000), "]".repeat(15_000));
    assert_eq!(refused_for(Limit::Nesting, &list), 15_003);
}

#[test]
fn ten_thousand_aliases_are_refused() {
    let text = format!("{{{}}}", "a:b ".repeat(10_000));
    assert_eq!(refused_for(Limit::DocumentBytes, &text), 40_002);
    let text = format!("{{{}}}", "a:b".repeat(10_000));
    assert_eq!(refused_for(Limit::Aliases, &text), 10_000);
    let message = refused(&text).to_string();
    assert_eq!(message, "too many aliases: found 10000, allowed are 100");
}

#[test]
fn everything_else_that_is_too_much_is_refused_by_its_name() {
    let limits = Limits::default();
    assert_eq!(refused_for(Limit::DocumentBytes, &" ".repeat(70_000)), 70_000);
    assert_eq!(refused_for(Limit::Tokens, &format!("{{a(b:[{}])}}", "1 ".repeat(9_000))), 9_009);
    assert_eq!(refused_for(Limit::NameBytes, &format!("{{{}}}", "a".repeat(129))), 129);
    assert_eq!(refused_for(Limit::Directives, &format!("{{a {}}}", "@b ".repeat(51))), 51);
    assert_eq!(refused_for(Limit::Directives, &format!("query($a:Int {}){{a}}", "@b ".repeat(51))), 51);
    assert_eq!(refused_for(Limit::Operations, &"query{a}".repeat(21)), 21);
    assert_eq!(refused_for(Limit::RootFields, &format!("{{{}}}", "a ".repeat(41))), 41);
    assert_eq!(refused_for(Limit::RootFields, &format!("{{...on Query{{{}}}}}", "a ".repeat(41))), 41);
    assert_eq!(refused_for(Limit::Selections, &format!("{{a{{{}}}}}", "b ".repeat(2_000))), 2_001);
    let deep = (0..9).fold(String::from("fragment F9 on T{a{a{a}}}"), |text, level| {
        format!("fragment F{level} on T{{a{{a{{...F{}}}}}}}{text}", level + 1)
    });
    assert_eq!(refused_for(Limit::Depth, &deep), 30);
    let types = "{__schema{types{fields{type{fields{type{fields{type{fields{name}}}}}}}}}}";
    assert_eq!(refused_for(Limit::IntrospectionLists, types), 4);
    assert!(scan(&types.replace("__schema", "schema"), &limits).is_ok());
}

#[test]
fn fragments_that_contain_themselves_are_refused() {
    for text in [
        "{...A} fragment A on T{...A}",
        "{...A} fragment A on T{a ...B} fragment B on T{...C} fragment C on T{b{...A}}",
        "{a} fragment A on T{...B} fragment B on T{...A}",
    ] {
        assert!(matches!(refused(text), Refused::FragmentCycle { .. }), "{text}");
    }
    let chain = (0..1_500).fold(String::from("{...F0}"), |mut text, level| {
        write!(text, "fragment F{level} on T{{...F{}}}", (level + 1) % 1_500).unwrap();
        text
    });
    let mut limits = Limits { tokens_max: 1_000_000, ..Limits::default() };
    limits.document_bytes_max = 1_000_000;
    assert!(matches!(scan(&chain, &limits), Err(Refused::FragmentCycle { .. })));
}

#[test]
fn a_syntax_error_says_where() {
    for (text, line, column) in [
        ("{a}\n  %", 2, 3),
        ("{a(b:\"x)}", 1, 6),
        ("{é}", 1, 2),
        ("{a", 1, 3),
        ("query Q", 1, 8),
        ("type A {a: Int}", 1, 5),
        ("{a]}", 1, 4),
        ("{a(b:1]}", 1, 8),
    ] {
        match refused(text) {
            Refused::Syntax { line: l, column: c, .. } => assert_eq!((l, c), (line, column), "{text}"),
            other => panic!("{other}"),
        }
    }
}

#[test]
fn strings_and_comments_hide_what_looks_like_brackets() {
    let text =
        "\u{feff}query A($a: S = \"{{{\") { # {{{\n b(c: \"\"\" \\\"\"\" {{{ \" \"\" \"\"\", d: \"\\\"{{{\") @e }";
    let facts = scan(text, &Limits { nesting_max: 2, ..Limits::default() }).unwrap();
    assert_eq!(facts.selections, 1);
    assert!(parse_query(text).is_ok());
}

#[test]
fn operations_are_found_with_name_and_kind() {
    let text = "query A{a} mutation B{b} subscription C{c}";
    let document = Documents::new(Limits::default()).get(text).unwrap();
    let kind = |name| document.find_operation(name).map(|operation| operation.ty);
    assert_eq!(kind(Some("A")), Some(OperationType::Query));
    assert_eq!(kind(Some("B")), Some(OperationType::Mutation));
    assert_eq!(kind(Some("C")), Some(OperationType::Subscription));
    assert_eq!((kind(Some("D")), kind(None)), (None, None));
}

#[test]
fn json_that_nests_or_swells_is_refused() {
    let limits = Limits::default();
    let code = |json: &str| scan_json(json.as_bytes(), &limits).map_err(|refused| refused.code());
    assert_eq!(code(&"[".repeat(500_000)), Err("VARIABLES_TOO_DEEP"));
    assert_eq!(code(&format!("[{}]", "0,".repeat(20_000))), Err("TOO_MANY_VARIABLE_VALUES"));
    assert_eq!(code("{\"a\":\"[[[[\\\"[[[[\",\"b\":[[]]}"), Ok(()));
    assert_eq!(code(&format!("\"{}", "\\")), Ok(()), "an unfinished escape is the deserializer's to refuse");
}

#[test]
fn a_known_document_is_found_and_the_cache_stays_bounded() {
    let limits = Limits { document_cache_bytes_max: 64 * 1024, ..Limits::default() };
    let documents = Documents::new(limits);
    for number in 0..1_000 {
        documents.get(&format!("{{a{number} b c d e f g h}}")).unwrap();
        documents.get("{hello}").unwrap();
    }
    let (hits, misses) = documents.hits_and_misses();
    assert!(hits >= 900, "{hits} hits, {misses} misses");
    assert!(documents.bytes() <= 64 * 1024, "{}", documents.bytes());
}

/// The most expensive documents that the limits let through, by the part of async-graphql that they burden.
fn costly() -> Vec<(&'static str, String)> {
    let unknown = (0..39).map(|i| format!("{}{i} ", "z".repeat(120))).collect::<String>();
    let wide = format!("{{wide{{{}}}}}", (0..250).map(|i| format!("w{i}{} ", "z".repeat(110))).collect::<String>());
    let inner = (0..1_800).map(|i| format!("u{i:05} ")).collect::<String>();
    let lists = format!("{{item{{named(names:{}{})}}}}", "[".repeat(29), "]".repeat(29));
    let objects = format!("{{item{{named(names:{}1{})}}}}", "{a:".repeat(29), "}".repeat(29));
    let open = format!("{{item{{named(names:{}", "[".repeat(29));
    let default = format!("query($a:[Int]={}{}){{hello}}", "[".repeat(29), "]".repeat(29));
    let values = format!("{{item{{named(names:[{}])}}}}", "\"a\" ".repeat(4_900));
    let arguments = (0..1_200).map(|i| format!("a{i}:1 ")).collect::<String>();
    let variables = (0..480).map(|i| format!("$v{i}:Int ")).collect::<String>();
    let uses = (0..480).map(|i| format!("v{i}:$v{i} ")).collect::<String>();
    let spreads = (0..18).fold(format!("{{item{{{}}}}}", "...F0 ".repeat(4)), |mut text, level| {
        write!(text, "fragment F{level} on Item{{id ...F{}}}", level + 1).unwrap();
        text
    });
    vec![
        ("long unknown names", format!("{{{unknown}}}")),
        ("unknown fields of a wide type", wide),
        ("unknown fields", format!("{{item{{{inner}}}}}")),
        ("same field", format!("{{item{{{}}}}}", "id ".repeat(1_900))),
        ("same field with arguments", format!("{{item{{{}}}}}", "named(names:[\"a\"]) ".repeat(480))),
        ("lists", lists),
        ("objects", objects),
        ("open lists", open),
        ("default", default),
        ("values", values),
        ("arguments", format!("{{double({arguments})}}")),
        ("variables", format!("query({variables}){{double({uses})}}")),
        ("fragment chain", spreads + "fragment F18 on Item{id}"),
        ("fragment bomb within limits", fragment_bomb(3, 3)),
        (
            "operations",
            (0..20).map(|i| format!("query Q{i}{{...F}} ")).collect::<String>()
                + fragment_bomb(2, 2).trim_start_matches("{ item { ...F0 } }"),
        ),
        ("comments", format!("{{hello {}}}", "#\n".repeat(15_000))),
        ("one string", format!("{{item{{named(names:\"{}\")}}}}", "\\u0041".repeat(5_000))),
        ("block string", format!("{{item{{named(names:\"\"\"{}\"\"\")}}}}", "\n ".repeat(15_000))),
    ]
}

#[tokio::test]
async fn whatever_passes_the_limits_is_parsed_and_validated_in_time() {
    let house = House::new();
    for (name, text) in costly() {
        let before = cpu_time();
        let scanned = scan(&text, &Limits::default());
        let scan_cost = cpu_time() - before;
        if scanned.is_ok() {
            let _ = house.schemas.strict.execute(text.as_str()).await;
        }
        let cost = cpu_time() - before;
        println!("{name}: {} bytes, scan {scan_cost:?}, all {cost:?}, {:?}", text.len(), scanned.err());
        assert!(cost < CPU_MAX, "{name}: {cost:?}");
    }
}

/// The introspection query of GraphiQL and graphql-js 16, with all its options.
const INTROSPECTION: &str = "query IntrospectionQuery{__schema{description queryType{name kind}mutationType{name kind}\
    subscriptionType{name kind}types{...FullType}directives{name description isRepeatable locations args(includeDeprecated:true)\
    {...InputValue}}}}fragment FullType on __Type{kind name description specifiedByURL fields(includeDeprecated:true){name \
    description args(includeDeprecated:true){...InputValue}type{...TypeRef}isDeprecated deprecationReason}inputFields\
    (includeDeprecated:true){...InputValue}interfaces{...TypeRef}enumValues(includeDeprecated:true){name description \
    isDeprecated deprecationReason}possibleTypes{...TypeRef}}fragment InputValue on __InputValue{name description \
    type{...TypeRef}defaultValue isDeprecated deprecationReason}fragment TypeRef on __Type{kind name ofType{kind name \
    ofType{kind name ofType{kind name ofType{kind name ofType{kind name ofType{kind name ofType{kind name ofType{kind \
    name ofType{kind name}}}}}}}}}}";

#[tokio::test]
async fn the_usual_introspection_query_passes() {
    let facts = scan(INTROSPECTION, &Limits::default()).unwrap();
    assert!(facts.introspects && facts.selections > 100);
    let response = House::new().schemas.strict.execute(INTROSPECTION).await;
    assert!(response.errors.is_empty(), "{:?}", response.errors);
}

/// The counts of a parsed document, in the most naive way.
#[derive(Debug, Default, PartialEq)]
struct Naive {
    selections: u64,
    depth: u64,
    roots: u64,
    aliases: u64,
    directives: u64,
}

fn expanded(document: &ExecutableDocument, set: &SelectionSet, depth: u64, root: bool, naive: &mut Naive) {
    naive.depth = naive.depth.max(depth);
    for selection in &set.items {
        naive.selections += 1;
        match &selection.node {
            Selection::Field(field) => {
                naive.roots += u64::from(root);
                if !field.node.selection_set.node.items.is_empty() {
                    expanded(document, &field.node.selection_set.node, depth + 1, false, naive);
                }
            }
            Selection::FragmentSpread(spread) => {
                if let Some(fragment) = document.fragments.get(&spread.node.fragment_name.node) {
                    expanded(document, &fragment.node.selection_set.node, depth + 1, root, naive);
                }
            }
            Selection::InlineFragment(inline) => {
                expanded(document, &inline.node.selection_set.node, depth + 1, root, naive);
            }
        }
    }
}

fn written(set: &SelectionSet, naive: &mut Naive) {
    for selection in &set.items {
        naive.directives += selection.node.directives().len() as u64;
        match &selection.node {
            Selection::Field(field) => {
                naive.aliases += u64::from(field.node.alias.is_some());
                written(&field.node.selection_set.node, naive);
            }
            Selection::FragmentSpread(_) => {}
            Selection::InlineFragment(inline) => written(&inline.node.selection_set.node, naive),
        }
    }
}

fn naive(document: &ExecutableDocument) -> Naive {
    let mut naive = Naive::default();
    for (_, operation) in document.operations.iter() {
        let mut one = Naive::default();
        expanded(document, &operation.node.selection_set.node, 1, true, &mut one);
        naive.selections += one.selections;
        naive.depth = naive.depth.max(one.depth);
        naive.roots = naive.roots.max(one.roots);
        naive.directives += operation.node.directives.len() as u64;
        written(&operation.node.selection_set.node, &mut naive);
    }
    for fragment in document.fragments.values() {
        let mut one = Naive::default();
        expanded(document, &fragment.node.selection_set.node, 1, true, &mut one);
        naive.depth = naive.depth.max(one.depth);
        naive.directives += fragment.node.directives.len() as u64;
        written(&fragment.node.selection_set.node, &mut naive);
    }
    naive
}

/// What the scan counts, read from its refusals with every limit at zero but the one asked for.
fn counted(text: &str) -> Naive {
    let no_limits = || Limits {
        tokens_max: usize::MAX,
        nesting_max: usize::MAX,
        aliases_max: usize::MAX,
        directives_max: usize::MAX,
        root_fields_max: usize::MAX,
        selections_max: usize::MAX,
        depth_max: usize::MAX,
        ..Limits::default()
    };
    let found = |limits: &Limits| match scan(text, limits) {
        Err(Refused::OverLimit { found, .. }) => found,
        Ok(_) => 0,
        Err(other) => panic!("{other}: {text}"),
    };
    Naive {
        selections: found(&Limits { selections_max: 0, ..no_limits() }),
        depth: found(&Limits { depth_max: 0, ..no_limits() }),
        roots: found(&Limits { root_fields_max: 0, ..no_limits() }),
        aliases: found(&Limits { aliases_max: 0, ..no_limits() }),
        directives: found(&Limits { directives_max: 0, ..no_limits() }),
    }
}

fn selections(level: usize) -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("a".to_owned()),
        Just("on".to_owned()),
        Just("fragment : query".to_owned()),
        Just("b: c(d: [1, {e: \"}\"}, $f]) @g(h: \"\"\"{\"\"\")".to_owned()),
        (level + 1..=4).prop_map(|next| format!("...F{next}")),
        (level + 1..=4).prop_map(|next| format!("... F{next} @skip(if: true)")),
        Just("i # {\n".to_owned()),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        let set = prop::collection::vec(inner, 1..4).prop_map(|items| format!("{{{}}}", items.join(" ")));
        prop_oneof![
            set.clone().prop_map(|set| format!("j {set}")),
            set.clone().prop_map(|set| format!("k:l(m:-1.5e3)@n{set}")),
            set.clone().prop_map(|set| format!("...on T @o {set}")),
            set.clone().prop_map(|set| format!("...@include(if:$p){set}")),
            set.prop_map(|set| format!("... {set}")),
        ]
    })
}

fn documents() -> impl Strategy<Value = String> {
    let set = |level| prop::collection::vec(selections(level), 1..4).prop_map(|items| items.join(" "));
    (set(0), set(0), set(1), set(2), set(3)).prop_map(|(query, mutation, one, two, three)| {
        format!(
            "query Q($a: [T!]! = [{{b: 1}}]) @c {{{query}}} fragment F1 on T {{{one}}} mutation M {{{mutation}}}
             fragment F2 on T @d {{{two}}} fragment F3 on T {{{three}}} fragment F4 on T {{z}}"
        )
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn the_scan_counts_what_the_parser_builds(text in documents()) {
        let parsed = parse_query(&text).expect("the generator makes valid documents");
        prop_assert_eq!(counted(&text), naive(&parsed), "{}", text);
    }

    #[test]
    fn what_the_parser_takes_the_scan_counts_in_full(
        tokens in prop::collection::vec(prop::sample::select(vec![
            "{", "}", "(", ")", "[", "]", "a", "b", "on", "query", "fragment", "...", ":", "@", "$", "\"s\"", "1", "!", "=", "#x\n",
        ]), 0..24)
    ) {
        let text = tokens.join(" ");
        if let Ok(parsed) = parse_query(&text) {
            prop_assert_eq!(counted(&text), naive(&parsed), "{}", text);
        }
    }

    #[test]
    fn no_text_makes_the_scan_panic(text in "\\PC{0,80}", bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = scan(&text, &Limits::default());
        let _ = scan(&String::from_utf8_lossy(&bytes), &Limits::default());
        let _ = scan_json(&bytes, &Limits::default());
    }
}
