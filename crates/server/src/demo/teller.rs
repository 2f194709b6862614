//! How the story is told: lines for people, or one JSON object a line for programs.

use std::io::{IsTerminal, stdout};

use serde_json::{Value, json};

use crate::{
    commands::{print, print_json},
    failure::Failure,
};

pub struct Teller {
    json: bool,
    colour: bool,
    act: String,
    /// Whether the act's title is yet to be shown: it comes with the first line.
    untitled: bool,
    /// How many things were checked, and held.
    checked: u32,
}

impl Teller {
    pub fn new(json: bool) -> Self {
        // https://no-color.org
        let colour = !json && stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        Self { json, colour, act: String::new(), untitled: false, checked: 0 }
    }

    /// A new part of the story.
    pub fn act(&mut self, title: &str) {
        title.clone_into(&mut self.act);
        self.untitled = true;
    }

    /// One line of the story.
    pub fn tell(&mut self, line: &str) {
        self.line(line, None);
    }

    /// Something that must hold: told when it does, the end of the story when it does not.
    pub fn check(&mut self, what: &str, expected: &Value, found: &Value) -> Result<(), Failure> {
        if expected != found {
            let text = format!("not as told: {what}: expected {expected}, found {found}");
            self.line(&text, Some(false));
            return Err(Failure::found_wrong(text));
        }
        self.checked += 1;
        self.line(what, Some(true));
        Ok(())
    }

    fn line(&mut self, line: &str, holds: Option<bool>) {
        if self.json {
            return print_json(&json!({ "act": self.act, "line": line, "holds": holds }));
        }
        if std::mem::take(&mut self.untitled) {
            print(&format!("\n{}\n", self.painted("1", &self.act)));
        }
        let mark = match holds {
            None => "  ".to_owned(),
            Some(true) => format!("{} ", self.painted("32", "✓")),
            Some(false) => format!("{} ", self.painted("31", "✗")),
        };
        print(&format!("  {mark}{line}\n"));
    }

    /// The end: what the story leaves behind.
    pub fn end(&self, left: &[(&str, String)]) {
        if self.json {
            let mut object = serde_json::Map::from_iter([("checked".to_owned(), json!(self.checked))]);
            object.extend(left.iter().map(|(name, value)| ((*name).to_owned(), json!(value))));
            return print_json(&json!({ "done": object }));
        }
        let done = format!("All as told: {} things checked.", self.checked);
        print(&format!("\n{}\n\n", self.painted("1;32", &done)));
        for (name, value) in left {
            print(&format!("  {name:14} {value}\n"));
        }
    }

    fn painted(&self, code: &str, text: &str) -> String {
        if self.colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}
