//! Looks at a document before async-graphql's parser does, which has no limit of its own: 4 KB of nested lists overflow
//! its stack, 816 bytes of fragments keep it busy for 13 s.
//!
//! The scan reads the text once, in linear time and without recursion: the tokens of the GraphQL specification (September
//! 2025, section 2.1), an explicit stack of open brackets, and the fragments with their cost counted once each. It is
//! lenient where the parser is strict: it must never count too little for a text that the parser accepts.

use std::collections::HashMap;

use crate::limits::Limits;

/// What may be too much of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Limit {
    DocumentBytes,
    Tokens,
    Nesting,
    NameBytes,
    Aliases,
    Directives,
    Operations,
    RootFields,
    Selections,
    Depth,
    IntrospectionLists,
    JsonDepth,
    JsonValues,
}

impl Limit {
    /// The value of `extensions.code`.
    pub const fn code(self) -> &'static str {
        match self {
            Self::DocumentBytes => "DOCUMENT_TOO_LARGE",
            Self::Tokens => "TOO_MANY_TOKENS",
            Self::Nesting | Self::Depth => "TOO_DEEP",
            Self::NameBytes => "NAME_TOO_LONG",
            Self::Aliases => "TOO_MANY_ALIASES",
            Self::Directives => "TOO_MANY_DIRECTIVES",
            Self::Operations => "TOO_MANY_OPERATIONS",
            Self::RootFields => "TOO_MANY_ROOT_FIELDS",
            Self::Selections => "TOO_COMPLEX",
            Self::IntrospectionLists => "INTROSPECTION_TOO_DEEP",
            Self::JsonDepth => "VARIABLES_TOO_DEEP",
            Self::JsonValues => "TOO_MANY_VARIABLE_VALUES",
        }
    }

    const fn counted(self) -> &'static str {
        match self {
            Self::DocumentBytes => "bytes of document",
            Self::Tokens => "tokens",
            Self::Nesting => "brackets open at once",
            Self::NameBytes => "bytes in one name",
            Self::Aliases => "aliases",
            Self::Directives => "directives",
            Self::Operations => "operations",
            Self::RootFields => "root fields in one operation",
            Self::Selections => "selections with fragments expanded",
            Self::Depth => "selection sets within each other with fragments expanded",
            Self::IntrospectionLists => "lists within each other in an introspection query",
            Self::JsonDepth => "arrays and objects within each other in the request's JSON",
            Self::JsonValues => "values in the request's JSON",
        }
    }
}

/// Why a document isn't given to the parser.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    #[error("too many {}: found {found}, allowed are {max}", limit.counted())]
    OverLimit { limit: Limit, found: u64, max: u64 },
    #[error("fragment \"{name}\" contains itself")]
    FragmentCycle { name: String },
    /// `line` and `column` count from 1.
    #[error("syntax error at line {line}, column {column}: {message}")]
    Syntax { line: usize, column: usize, message: String },
}

impl Refused {
    /// The value of `extensions.code`.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::OverLimit { limit, .. } => limit.code(),
            Self::FragmentCycle { .. } => "FRAGMENT_CYCLE",
            Self::Syntax { .. } => "PARSE_FAILED",
        }
    }
}

/// What a scan found in a document that keeps to the limits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// Whether `__schema` or `__type` is asked for anywhere.
    pub introspects: bool,
    pub tokens: usize,
    /// Selections of all operations, fragments expanded.
    pub selections: u64,
}

/// Refuses a document that is over a limit, or that isn't GraphQL in its tokens and brackets.
pub fn scan(text: &str, limits: &Limits) -> Result<Facts, Refused> {
    over(Limit::DocumentBytes, text.len() as u64, limits.document_bytes_max)?;
    let mut scanner = Scanner::new(text);
    let read = scanner.read();
    // Counts first: of a document that is both too large and broken, the size is the better answer.
    scanner.counts.check(limits)?;
    read?;
    let Scanner { counts, definitions, .. } = scanner;
    let total = expand(&definitions)?;
    over(Limit::RootFields, total.roots, limits.root_fields_max)?;
    over(Limit::Selections, total.selections, limits.selections_max)?;
    over(Limit::Depth, total.depth, limits.depth_max)?;
    if counts.introspects {
        over(Limit::IntrospectionLists, total.lists, limits.introspection_lists_max)?;
    }
    Ok(Facts { introspects: counts.introspects, tokens: counts.tokens, selections: total.selections })
}

/// Refuses JSON that nests too deep or holds too many values, before a deserializer builds them.
pub fn scan_json(json: &[u8], limits: &Limits) -> Result<(), Refused> {
    let (mut depth, mut deepest, mut values) = (0_usize, 0_usize, 1_usize);
    let mut at = 0;
    while let Some(byte) = json.get(at) {
        match byte {
            b'"' => at = json_string_end(json, at + 1),
            b'[' | b'{' => {
                depth += 1;
                values += 1;
                deepest = deepest.max(depth);
            }
            b']' | b'}' => depth = depth.saturating_sub(1),
            b',' => values += 1,
            _ => {}
        }
        at += 1;
    }
    over(Limit::JsonDepth, deepest as u64, limits.json_depth_max)?;
    over(Limit::JsonValues, values as u64, limits.json_values_max)
}

/// The index of the quote that ends the string whose content begins at `at`.
fn json_string_end(json: &[u8], mut at: usize) -> usize {
    while let Some(byte) = json.get(at) {
        match byte {
            b'"' => return at,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    at
}

fn over(limit: Limit, found: u64, max: usize) -> Result<(), Refused> {
    let max = max as u64;
    if found > max { Err(Refused::OverLimit { limit, found, max }) } else { Ok(()) }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token<'a> {
    Name(&'a str),
    Punctuator(u8),
    Spread,
    Number,
    Text,
}

/// The lexical grammar (section 2.1): what is ignored (white space, commas, comments, a byte order mark) and what counts.
struct Lexer<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Lexer<'a> {
    fn next(&mut self) -> Result<Option<Token<'a>>, Refused> {
        self.skip_ignored();
        let bytes = self.text.as_bytes();
        let Some(&byte) = bytes.get(self.at) else { return Ok(None) };
        let start = self.at;
        let token = match byte {
            b'_' | b'a'..=b'z' | b'A'..=b'Z' => {
                self.skip_while(|byte| byte == b'_' || byte.is_ascii_alphanumeric());
                Token::Name(&self.text[start..self.at])
            }
            b'-' | b'0'..=b'9' => {
                self.skip_while(|byte| matches!(byte, b'-' | b'+' | b'.' | b'e' | b'E' | b'0'..=b'9'));
                Token::Number
            }
            b'"' => {
                self.skip_text()?;
                Token::Text
            }
            b'.' if bytes[start..].starts_with(b"...") => {
                self.at += 3;
                Token::Spread
            }
            b'!' | b'$' | b'&' | b'(' | b')' | b':' | b'=' | b'@' | b'[' | b']' | b'{' | b'|' | b'}' => {
                self.at += 1;
                Token::Punctuator(byte)
            }
            _ => return Err(self.wrong(start, "this character has no place outside a string or comment")),
        };
        Ok(Some(token))
    }

    /// What the next token begins with, without taking it.
    fn peek(&mut self) -> Option<u8> {
        self.skip_ignored();
        self.text.as_bytes().get(self.at).copied()
    }

    fn skip_while(&mut self, wanted: impl Fn(u8) -> bool) {
        while self.text.as_bytes().get(self.at).is_some_and(|&byte| wanted(byte)) {
            self.at += 1;
        }
    }

    fn skip_ignored(&mut self) {
        loop {
            self.skip_while(|byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | b','));
            if self.text[self.at..].starts_with('\u{feff}') {
                self.at += '\u{feff}'.len_utf8();
            } else if self.text.as_bytes().get(self.at) == Some(&b'#') {
                self.skip_while(|byte| !matches!(byte, b'\n' | b'\r'));
            } else {
                return;
            }
        }
    }

    /// A string or block string, from its first quote (section 2.9.4). Its end is searched in bytes: a quote or a
    /// backslash is never a part of another character in UTF-8.
    fn skip_text(&mut self) -> Result<(), Refused> {
        let start = self.at;
        let bytes = self.text.as_bytes();
        let block = bytes[start..].starts_with(b"\"\"\"");
        self.at += if block { 3 } else { 1 };
        while let Some(&byte) = bytes.get(self.at) {
            let rest = &bytes[self.at..];
            match byte {
                b'\\' if block && rest.starts_with(b"\\\"\"\"") => self.at += 4,
                b'\\' if !block => self.at += 2,
                b'"' if !block || rest.starts_with(b"\"\"\"") => {
                    self.at += if block { 3 } else { 1 };
                    return Ok(());
                }
                b'\n' | b'\r' if !block => break,
                _ => self.at += 1,
            }
        }
        // A backslash as the last byte jumped past the end.
        self.at = self.at.min(bytes.len());
        Err(self.wrong(start, "this string doesn't end"))
    }

    fn wrong(&self, at: usize, message: &str) -> Refused {
        let before = &self.text.as_bytes()[..at.min(self.text.len())];
        let line = before.iter().filter(|&&byte| byte == b'\n').count() + 1;
        let line_start = before.iter().rposition(|&byte| byte == b'\n').map_or(0, |newline| newline + 1);
        // Bytes that continue a UTF-8 character aren't columns.
        let column = before[line_start..].iter().filter(|&&byte| byte & 0xC0 != 0x80).count() + 1;
        Refused::Syntax { line, column, message: message.to_owned() }
    }
}

/// An open bracket.
#[derive(Clone, Copy)]
enum Open {
    /// A selection set; `root` when its fields are those of the operation's type (or, in a fragment, of the fragment's).
    Selections { root: bool, lists: u64 },
    /// Arguments, variable definitions, a list or an object, and the byte that closes it.
    Values(u8),
}

/// What a `{` within a selection set would belong to.
#[derive(Clone, Copy, PartialEq)]
enum Opener {
    Field { list: bool },
    InlineFragment,
}

#[derive(Default)]
struct Counts {
    tokens: usize,
    nesting: usize,
    name_bytes: usize,
    aliases: usize,
    directives: usize,
    operations: usize,
    introspects: bool,
}

impl Counts {
    fn check(&self, limits: &Limits) -> Result<(), Refused> {
        over(Limit::Nesting, self.nesting as u64, limits.nesting_max)?;
        over(Limit::Aliases, self.aliases as u64, limits.aliases_max)?;
        over(Limit::Directives, self.directives as u64, limits.directives_max)?;
        over(Limit::Operations, self.operations as u64, limits.operations_max)?;
        over(Limit::NameBytes, self.name_bytes as u64, limits.name_bytes_max)?;
        over(Limit::Tokens, self.tokens as u64, limits.tokens_max)
    }
}

/// An operation or a fragment, with what stands in its own text.
#[derive(Default)]
struct Definition<'a> {
    /// `None` for an operation, whatever its name.
    fragment: Option<&'a str>,
    own: Cost,
    spreads: Vec<Spread<'a>>,
}

struct Spread<'a> {
    name: &'a str,
    /// Selection sets, and lists of an introspection, that are open around it.
    depth: u64,
    lists: u64,
    root: bool,
}

#[derive(Clone, Copy, Default)]
struct Cost {
    selections: u64,
    roots: u64,
    depth: u64,
    lists: u64,
}

/// What stands before a definition's selection set.
#[derive(Clone, Copy, PartialEq)]
enum Head {
    None,
    Operation,
    Fragment { named: bool },
}

struct Scanner<'a> {
    lexer: Lexer<'a>,
    counts: Counts,
    open: Vec<Open>,
    head: Head,
    opener: Opener,
    before: Option<Token<'a>>,
    /// The next name is the type of an inline fragment.
    type_follows: bool,
    /// The name before it was an alias, and its colon comes next.
    colon_follows: bool,
    definitions: Vec<Definition<'a>>,
}

impl<'a> Scanner<'a> {
    fn new(text: &'a str) -> Self {
        Self {
            lexer: Lexer { text, at: 0 },
            counts: Counts::default(),
            open: Vec::new(),
            head: Head::None,
            opener: Opener::InlineFragment,
            before: None,
            type_follows: false,
            colon_follows: false,
            definitions: Vec::new(),
        }
    }

    fn read(&mut self) -> Result<(), Refused> {
        while let Some(token) = self.lexer.next()? {
            self.counts.tokens += 1;
            match token {
                Token::Name(name) => self.counts.name_bytes = self.counts.name_bytes.max(name.len()),
                Token::Punctuator(b'@') => self.counts.directives += 1,
                Token::Punctuator(_) | Token::Spread | Token::Number | Token::Text => {}
            }
            match self.open.last().copied() {
                None => self.outside(token)?,
                Some(Open::Selections { root, lists }) => self.in_selections(token, root, lists)?,
                Some(Open::Values(close)) => self.in_values(token, close)?,
            }
            self.before = Some(token);
        }
        if self.open.is_empty() && self.head == Head::None {
            Ok(())
        } else {
            Err(self.wrong("the document ends too early"))
        }
    }

    fn wrong(&self, message: &str) -> Refused {
        self.lexer.wrong(self.lexer.at, message)
    }

    fn push(&mut self, bracket: Open) {
        self.open.push(bracket);
        self.counts.nesting = self.counts.nesting.max(self.open.len());
    }

    /// Between definitions, or in what stands before a definition's selection set.
    fn outside(&mut self, token: Token<'a>) -> Result<(), Refused> {
        match (token, self.head) {
            (Token::Name("fragment"), Head::None) => {
                self.definitions.push(Definition::default());
                self.head = Head::Fragment { named: false };
            }
            (Token::Name("query" | "mutation" | "subscription"), Head::None) => self.begin_operation(),
            (Token::Punctuator(b'{'), head) => {
                if head == Head::None {
                    self.begin_operation();
                }
                self.head = Head::None;
                self.push(Open::Selections { root: true, lists: 0 });
                self.note_depth(0);
            }
            // A description (section 2.3).
            (Token::Text, Head::None) => {}
            (Token::Name(_), Head::Fragment { .. }) if self.before == Some(Token::Punctuator(b'@')) => {}
            (Token::Name(name), Head::Fragment { named: false }) => {
                self.head = Head::Fragment { named: true };
                if let Some(definition) = self.definitions.last_mut() {
                    definition.fragment = Some(name);
                }
            }
            // The name of an operation, a directive, or a fragment's type.
            (Token::Name(_), Head::Operation | Head::Fragment { named: true }) => {}
            (Token::Punctuator(b'('), Head::Operation | Head::Fragment { .. }) => self.push(Open::Values(b')')),
            (Token::Punctuator(b'@'), Head::Operation | Head::Fragment { .. }) => {}
            _ => return Err(self.wrong("expected a query, mutation, subscription or fragment")),
        }
        Ok(())
    }

    fn begin_operation(&mut self) {
        self.counts.operations += 1;
        self.definitions.push(Definition::default());
        self.head = Head::Operation;
    }

    fn in_values(&mut self, token: Token<'a>, close: u8) -> Result<(), Refused> {
        match token {
            Token::Punctuator(b'(') => self.push(Open::Values(b')')),
            Token::Punctuator(b'[') => self.push(Open::Values(b']')),
            Token::Punctuator(b'{') => self.push(Open::Values(b'}')),
            Token::Punctuator(byte @ (b')' | b']' | b'}')) => {
                if byte != close {
                    return Err(self.wrong("this bracket closes none that is open"));
                }
                self.open.pop();
            }
            Token::Name(_) | Token::Punctuator(_) | Token::Spread | Token::Number | Token::Text => {}
        }
        Ok(())
    }

    fn in_selections(&mut self, token: Token<'a>, root: bool, lists: u64) -> Result<(), Refused> {
        match token {
            Token::Name(name) => self.name_in_selections(name, root, lists),
            Token::Spread => {
                self.opener = Opener::InlineFragment;
                self.count_selection();
            }
            Token::Punctuator(b'(') => self.push(Open::Values(b')')),
            Token::Punctuator(b'{') => {
                let (root, lists) = match self.opener {
                    Opener::Field { list } => (false, lists + u64::from(list)),
                    Opener::InlineFragment => (root, lists),
                };
                self.push(Open::Selections { root, lists });
                self.note_depth(lists);
            }
            Token::Punctuator(b'}') => {
                self.open.pop();
                // What follows a closed selection set is a new selection.
                self.opener = Opener::InlineFragment;
            }
            Token::Punctuator(b'@') => {}
            Token::Punctuator(b':') if self.colon_follows => self.colon_follows = false,
            Token::Punctuator(_) | Token::Number | Token::Text => {
                return Err(self.wrong("expected a field, a spread or the end of the selection set"));
            }
        }
        Ok(())
    }

    /// The name of a directive, a spread fragment, a fragment's type, an alias or a field.
    fn name_in_selections(&mut self, name: &'a str, root: bool, lists: u64) {
        if self.before == Some(Token::Punctuator(b'@')) {
            return;
        }
        if self.before == Some(Token::Spread) {
            if name == "on" {
                self.type_follows = true;
            } else {
                let depth = self.open.len() as u64;
                if let Some(definition) = self.definitions.last_mut() {
                    definition.spreads.push(Spread { name, depth, lists, root });
                }
            }
            return;
        }
        if std::mem::take(&mut self.type_follows) {
            return;
        }
        if self.lexer.peek() == Some(b':') {
            self.counts.aliases += 1;
            self.colon_follows = true;
            return;
        }
        self.counts.introspects |= matches!(name, "__schema" | "__type");
        // The fields of the introspection types whose lists lead back to types (GraphQL, section 4.2).
        let list = matches!(name, "fields" | "interfaces" | "possibleTypes" | "inputFields");
        self.opener = Opener::Field { list };
        self.count_selection();
        if root && let Some(definition) = self.definitions.last_mut() {
            definition.own.roots += 1;
        }
    }

    fn count_selection(&mut self) {
        if let Some(definition) = self.definitions.last_mut() {
            definition.own.selections += 1;
        }
    }

    fn note_depth(&mut self, lists: u64) {
        let depth = self.open.len() as u64;
        if let Some(definition) = self.definitions.last_mut() {
            definition.own.depth = definition.own.depth.max(depth);
            definition.own.lists = definition.own.lists.max(lists);
        }
    }
}

/// How far the walk through a fragment has come.
#[derive(Clone, Copy)]
enum Walk {
    NotYet,
    Begun,
    Done(Cost),
}

/// The cost of all operations together with their fragments expanded, each fragment counted once and then remembered.
fn expand(definitions: &[Definition<'_>]) -> Result<Cost, Refused> {
    let fragments: HashMap<&str, usize> =
        definitions.iter().enumerate().filter_map(|(index, one)| Some((one.fragment?, index))).collect();
    let mut walks = vec![Walk::NotYet; definitions.len()];
    let mut total = Cost::default();
    for (index, definition) in definitions.iter().enumerate() {
        let cost = cost_of(index, definitions, &fragments, &mut walks)?;
        total.depth = total.depth.max(cost.depth);
        total.lists = total.lists.max(cost.lists);
        if definition.fragment.is_none() {
            total.roots = total.roots.max(cost.roots);
            total.selections = total.selections.saturating_add(cost.selections);
        }
    }
    Ok(total)
}

/// Depth first with a stack of our own: a chain of fragments may be as long as the document.
fn cost_of(
    start: usize,
    definitions: &[Definition<'_>],
    fragments: &HashMap<&str, usize>,
    walks: &mut [Walk],
) -> Result<Cost, Refused> {
    let mut stack = vec![(start, 0_usize, definitions[start].own)];
    let mut result = Cost::default();
    while let Some((index, next, cost)) = stack.last_mut() {
        if *next == 0
            && let Walk::Done(known) = walks[*index]
        {
            result = known;
            stack.pop();
            continue;
        }
        walks[*index] = Walk::Begun;
        let Some(spread) = definitions[*index].spreads.get(*next) else {
            result = *cost;
            walks[*index] = Walk::Done(result);
            stack.pop();
            continue;
        };
        // An unknown fragment costs nothing; the validator names it.
        match fragments.get(spread.name).map(|&inner| (inner, walks[inner])) {
            None => *next += 1,
            Some((_, Walk::Begun)) => return Err(Refused::FragmentCycle { name: spread.name.to_owned() }),
            Some((_, Walk::Done(inner))) => {
                cost.selections = cost.selections.saturating_add(inner.selections);
                cost.depth = cost.depth.max(spread.depth.saturating_add(inner.depth));
                cost.lists = cost.lists.max(spread.lists.saturating_add(inner.lists));
                if spread.root {
                    cost.roots = cost.roots.saturating_add(inner.roots);
                }
                *next += 1;
            }
            Some((inner, Walk::NotYet)) => stack.push((inner, 0, definitions[inner].own)),
        }
    }
    Ok(result)
}
