//! Looks at a document before async-graphql's parser does, which has no limit of its own: 4 KB of nested lists overflow
//! its stack, 816 bytes of fragments keep it busy for 13 s.
//!
//! The scan reads the text once, in linear time and without recursion: the tokens of the GraphQL specification (September
//! 2025, section 2.1), an explicit stack of open brackets, and the fragments with their cost counted once each. It is
//! lenient where the parser is strict: it must never count too little for a text that the parser accepts.

use crate::{
    expansion::{Definition, Spread, expand},
    lexer::{Lexer, Token},
    limits::Limits,
};

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
    Rows,
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
            Self::Selections | Self::Rows => "TOO_COMPLEX",
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
            Self::Rows => "rows if every page within pages is full",
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

pub(crate) fn over(limit: Limit, found: u64, max: usize) -> Result<(), Refused> {
    let max = max as u64;
    if found > max { Err(Refused::OverLimit { limit, found, max }) } else { Ok(()) }
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
