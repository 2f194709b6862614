//! `docs/events.md`: what each event's payload is, made from the events themselves: their doc comments, their fields', and
//! their golden files. `WITAN_BLESS=1 cargo test -p witan-domain` writes it.

use std::{collections::BTreeMap, fmt::Write, fs, path::Path};

use crate::{
    aggregate::{Aggregate, EventPayload},
    api_key::ApiKey,
    audit::{self, AuditEvent},
    chat::Chat,
    event,
    invitation::Invitation,
    media::SessionMedia,
    organization::Organization,
    person::Person,
    reservation::Reservation,
    room::Room,
    session::Session,
    units::Units,
    user::User,
};

const INTRODUCTION: &str = "# Events

What each event of the log says, for whoever reads it: an auditor, a client of `sessionEvents`, `organizationActivity`, `history` or
`event`, a bundle that `witan-verify` checked. Made from the code; a test fails when it is stale.

An event is a fact, never changed. Its **payload** is below; who did it, when, why, and by which request stands in its envelope. Each example
is a payload as it is stored. In the API the same comes as `data`, with these differences:

* what is personal is stored as `{\"person\", \"ciphertext\"}` and read as `{\"person\", \"value\", \"erased\"}`: `value` is null once the person is
  erased;
* hashes of secrets (`secret_sha256`, `resume_secret_sha256`, a password's) are left out.

Ids are written as everywhere, times are microseconds since 1970-01-01 (UTC), and a member that has nothing to say is null.

The number behind an event's name is the **schema** of its payload. When its shape changes the number grows; what was stored before keeps its
bytes, and is shown in the newest shape.
";

/// A stream's category, what its name has for an id, and the kinds of its events.
fn streams() -> [(&'static str, &'static str, &'static [&'static str]); 12] {
    fn of<A: Aggregate>(id: &'static str) -> (&'static str, &'static str, &'static [&'static str]) {
        (A::CATEGORY, id, A::Event::KINDS)
    }
    [
        of::<Organization>("the organization's id"),
        of::<Units>("the organization's id: one stream has its whole tree"),
        of::<User>("the user's id"),
        of::<ApiKey>("the key's id"),
        of::<Room>("the room's id"),
        of::<Invitation>("the invitation's id"),
        of::<Session>("the session's id"),
        of::<SessionMedia>("the session's id"),
        of::<Chat>("the session's id"),
        of::<Person>("the person's id"),
        of::<Reservation>("where the name is unique, and the name; of a login its alias"),
        (audit::CATEGORY, "the organization's id", AuditEvent::KINDS),
    ]
}

/// A struct or an enum as its source has it: what is said of it, and its members.
#[derive(Default)]
struct Described {
    says: String,
    /// Of an enum: whether its values are stored in snake case.
    snake_case: bool,
    members: Vec<Member>,
}

struct Member {
    says: String,
    name: String,
    /// A field's type; nothing of a variant.
    of: String,
}

/// Every struct and enum of the domain's sources by its name, and the events of a stream by its category.
fn described() -> BTreeMap<String, Described> {
    let mut described = BTreeMap::new();
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                read(&fs::read_to_string(&path).unwrap(), &mut described);
            }
        }
    }
    described
}

fn read(source: &str, described: &mut BTreeMap<String, Described>) {
    let (mut next, mut open) = (Described::default(), None::<String>);
    for line in source.lines() {
        let code = line.trim();
        if let Some(comment) = code.strip_prefix("///") {
            next.says += comment;
        } else if code.starts_with("#[") {
            next.snake_case |= code == "#[serde(rename_all = \"snake_case\")]";
        } else if let Some(what) = code.strip_prefix("pub struct ").or_else(|| code.strip_prefix("pub enum ")) {
            // `events!` has `pub enum RoomEvent of "room" {`.
            let name = match what.split_once(" of \"") {
                Some((_, category)) => category.split('"').next(),
                None => what.split(|end: char| !end.is_alphanumeric()).next(),
            };
            let name = name.unwrap_or_default().to_owned();
            described.insert(name.clone(), std::mem::take(&mut next));
            open = code.ends_with('{').then_some(name);
        } else if let Some(its) = open.as_ref().and_then(|name| described.get_mut(name))
            && let Some(member) = code.strip_suffix(',')
        {
            let field = member.strip_prefix("pub ").and_then(|field| field.split_once(": "));
            let (name, of) = field.unwrap_or((member, ""));
            its.members.push(Member { says: next.says.trim().into(), name: name.into(), of: of.into() });
            next = Described::default();
        } else {
            next = Described::default();
            open = open.filter(|_| code != "}");
        }
    }
}

/// What is said of a type's members, those of their own types among them.
fn write_members(page: &mut String, all: &BTreeMap<String, Described>, name: &str, depth: usize) {
    // What is private is said once, above.
    let Some(its) = all.get(name).filter(|_| name != "Private") else { return };
    for member in its.members.iter().filter(|member| !member.of.is_empty()) {
        let of = member.of.trim_start_matches("Option<").trim_start_matches("Vec<").trim_start_matches("Box<");
        let of = of.trim_end_matches('>');
        let mut within = String::new();
        write_members(&mut within, all, of, depth + 1);
        let values = all.get(of).map(values).unwrap_or_default();
        let says: Vec<_> = [&member.says, &values].into_iter().filter(|text| !text.is_empty()).cloned().collect();
        if !says.is_empty() || !within.is_empty() {
            let indent = "  ".repeat(depth);
            let colon = if says.is_empty() { "" } else { ": " };
            writeln!(page, "{indent}* `{}`{colon}{}", member.name, says.join(" ")).unwrap();
            *page += &within;
        }
    }
}

/// The values of an enum of plain names.
fn values(of: &Described) -> String {
    let plain = |member: &Member| member.of.is_empty() && member.name.chars().all(char::is_alphanumeric);
    if !of.snake_case || of.members.is_empty() || !of.members.iter().all(plain) {
        return String::new();
    }
    let values = of.members.iter().map(|member| match member.says.trim_end_matches('.') {
        "" => format!("`{}`", snake_case(&member.name)),
        says => format!("`{}` ({says})", snake_case(&member.name)),
    });
    format!("One of {}.", values.collect::<Vec<_>>().join(", "))
}

fn snake_case(name: &str) -> String {
    let mut text = String::new();
    for char in name.chars() {
        if char.is_ascii_uppercase() && !text.is_empty() {
            text.push('_');
        }
        text.push(char.to_ascii_lowercase());
    }
    text
}

/// One thing to a line, in the order in which it is stored.
fn pretty(json: &str) -> String {
    let (mut text, mut depth) = (String::new(), 0);
    let line = |depth: usize| format!("\n{}", "  ".repeat(depth));
    let mut chars = json.trim_end().chars().peekable();
    while let Some(char) = chars.next() {
        match char {
            '"' => {
                let mut escaped = false;
                text.push(char);
                for char in chars.by_ref() {
                    text.push(char);
                    if char == '"' && !escaped {
                        break;
                    }
                    escaped = char == '\\' && !escaped;
                }
            }
            '{' | '[' if matches!(chars.peek(), Some('}' | ']')) => {
                text.push(char);
                text.extend(chars.next());
            }
            '{' | '[' => {
                depth += 1;
                text += &format!("{char}{}", line(depth));
            }
            '}' | ']' => {
                depth -= 1;
                text += &format!("{}{char}", line(depth));
            }
            ',' => text += &format!(",{}", line(depth)),
            ':' => text += ": ",
            char => text.push(char),
        }
    }
    text
}

fn page() -> String {
    let (described, mut page) = (described(), INTRODUCTION.to_owned());
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden");
    for (category, id, kinds) in streams() {
        let says = |name: &str| {
            let says = described.get(name).map(|found| found.says.trim()).unwrap_or_default();
            assert!(!says.is_empty(), "{name} has no doc comment: docs/events.md is made from it");
            says
        };
        writeln!(page, "\n## `{category}-…`\n\n{} Behind the `-` stands {id}.", says(category)).unwrap();
        for kind in kinds {
            let schema = event::schema(category, kind);
            writeln!(page, "\n### {kind} ({schema})\n\n{}\n", says(kind)).unwrap();
            let mut members = String::new();
            write_members(&mut members, &described, kind, 0);
            if !members.is_empty() {
                writeln!(page, "{members}").unwrap();
            }
            let stored = fs::read_to_string(golden.join(category).join(format!("{kind}.v{schema}.json"))).unwrap();
            writeln!(page, "```json\n{}\n```", pretty(&stored)).unwrap();
        }
    }
    page
}

#[test]
fn the_page_of_events_is_up_to_date() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/events.md");
    let page = page();
    if std::env::var_os("WITAN_BLESS").is_some() {
        fs::write(&file, &page).unwrap();
    }
    let there = fs::read_to_string(&file).unwrap_or_default();
    assert!(there == page, "docs/events.md is stale: WITAN_BLESS=1 cargo test -p witan-domain writes it anew");
}

#[test]
fn json_is_shown_one_thing_to_a_line() {
    let shown = pretty("{\"a\":{},\"b\":[1,{\"c\":\"x, \\\"{y}:\"}],\"d\":null}\n");
    let expected =
        "{\n  \"a\": {},\n  \"b\": [\n    1,\n    {\n      \"c\": \"x, \\\"{y}:\"\n    }\n  ],\n  \"d\": null\n}";
    assert_eq!(shown, expected);
}
