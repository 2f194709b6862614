//! Parsed documents, kept by their text: a client sends the same few documents again and again, and one that is known is
//! neither scanned nor parsed a second time, nor validated as long as its variables are of the same kinds.

use std::{
    panic::catch_unwind,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use async_graphql::{
    Response, ServerError, Value, Variables,
    parser::{
        parse_query,
        types::{BaseType, ExecutableDocument, OperationDefinition, Type, VariableDefinition},
    },
};
use quick_cache::{Weighter, sync::Cache};

use crate::{
    figures::Figures,
    limits::Limits,
    nulls::{self, Types},
    pages::rows,
    scan::{Facts, Limit, Refused, over, scan},
    variables,
};

/// About what a token costs in the parsed document, in bytes (measured on queries of 20 to 2,000 tokens).
const BYTES_PER_TOKEN: u64 = 160;
/// What an entry costs beside its document, in bytes.
const BYTES_PER_ENTRY: u64 = 256;
/// How many documents the cache expects to hold; only a hint for its first allocation.
const DOCUMENTS_EXPECTED: usize = 1_000;

/// How many outlines of variables a document remembers that it was valid with.
const OUTLINES_MAX: usize = 16;

/// A document that keeps to the limits.
#[derive(Debug)]
pub struct Document {
    pub parsed: ExecutableDocument,
    pub facts: Facts,
    /// With which variables the schema has found it valid.
    valid: Mutex<Vec<Outline>>,
}

/// All that async-graphql's validation takes from a request beside its document: of each variable, whether it is there and
/// what kind of value it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outline(u64);

impl Outline {
    /// `None` where validation looks at the values themselves (the members of an object, the name in an enum, whatever our
    /// own scalars take), and where a document has several operations: that is validated each time.
    pub fn of(document: &ExecutableDocument, operation: &OperationDefinition, variables: &Variables) -> Option<Self> {
        const KINDS: u64 = 6;
        if document.operations.iter().count() > 1 {
            return None;
        }
        let mut outline: u64 = 1;
        for definition in &operation.variable_definitions {
            let BaseType::Named(of) = &definition.node.var_type.node.base else { return None };
            let kind = match (variables.get(&definition.node.name.node), of.as_str()) {
                (None, _) => 1,
                (Some(Value::Null), _) => 2,
                (Some(Value::String(_)), "ID" | "String") => 3,
                (Some(Value::Boolean(_)), "Boolean") => 4,
                (Some(Value::Number(number)), "ID" | "Int") if number.as_i64().is_some_and(|number| number >= 0) => 5,
                (Some(_), _) => return None,
            };
            outline = outline.checked_mul(KINDS)?.checked_add(kind)?;
        }
        Some(Self(outline))
    }
}

impl Document {
    /// Whether the schema has found the document valid with variables of this outline.
    pub fn is_valid_with(&self, outline: Outline) -> bool {
        self.outlines().contains(&outline)
    }

    /// The schema has executed the document with variables of this outline: it is valid with them.
    pub fn found_valid_with(&self, outline: Outline) {
        let mut outlines = self.outlines();
        if outlines.len() < OUTLINES_MAX && !outlines.contains(&outline) {
            outlines.push(outline);
        }
    }

    fn outlines(&self) -> std::sync::MutexGuard<'_, Vec<Outline>> {
        self.valid.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The operation that a request means (GraphQL, section 6.1 `GetOperation`). `None` when the name fits none, or is
    /// missing where the document has several.
    pub fn find_operation(&self, name: Option<&str>) -> Option<&OperationDefinition> {
        let mut operations = self.parsed.operations.iter();
        match name {
            Some(wanted) => {
                operations.find(|(name, _)| name.is_some_and(|name| name == wanted)).map(|(_, one)| &one.node)
            }
            None if operations.len() == 1 => operations.next().map(|(_, one)| &one.node),
            None => None,
        }
    }

    /// A variable of this operation that must have a value and has none (GraphQL, section 6.1.2).
    pub fn find_missing_variable<'a>(
        operation: &'a OperationDefinition,
        variables: &Variables,
    ) -> Option<&'a VariableDefinition> {
        let definitions = operation.variable_definitions.iter().map(|definition| &definition.node);
        definitions.filter(|one| !one.var_type.node.nullable && one.default_value.is_none()).find(|one| {
            let value = variables.get(&one.name.node);
            value.is_none_or(|value| *value == Value::Null)
        })
    }
}

/// Why a text gives no [`Document`].
#[derive(Debug, thiserror::Error)]
pub enum Unusable {
    #[error(transparent)]
    Refused(#[from] Refused),
    /// The parser's own error, with its place in the text.
    #[error("{}", .0.message)]
    Parse(Box<ServerError>),
    /// A variable whose type the schema doesn't have, on which async-graphql's validator may panic, or which does not fit
    /// where the variable is used.
    #[error("{}", .0.message)]
    Invalid(Box<ServerError>),
}

#[derive(Clone)]
struct ByBytes;

impl Weighter<Box<str>, Arc<Document>> for ByBytes {
    fn weight(&self, text: &Box<str>, document: &Arc<Document>) -> u64 {
        BYTES_PER_ENTRY + text.len() as u64 + document.facts.tokens as u64 * BYTES_PER_TOKEN
    }
}

/// The cache: bounded by bytes, keyed by the whole text (so no two documents can be taken for each other).
pub struct Documents {
    cache: Cache<Box<str>, Arc<Document>, ByBytes>,
    limits: Limits,
    types: Types,
    figures: Arc<Figures>,
    hits: AtomicU64,
    misses: AtomicU64,
}

impl Documents {
    pub fn new(limits: Limits) -> Self {
        Self::of_types(limits, Types::default(), Arc::default())
    }

    /// The variables of a document must be of the schema's types, as far as they are known.
    pub(crate) fn of_types(limits: Limits, types: Types, figures: Arc<Figures>) -> Self {
        let cache = Cache::with_weighter(DOCUMENTS_EXPECTED, limits.document_cache_bytes_max, ByBytes);
        Self { cache, limits, types, figures, hits: AtomicU64::new(0), misses: AtomicU64::new(0) }
    }

    /// The document of this text: from the cache, or scanned and then parsed.
    pub fn get(&self, text: &str) -> Result<Arc<Document>, Unusable> {
        if let Some(known) = self.cache.get(text) {
            self.hits.fetch_add(1, Ordering::Relaxed);
            return Ok(known);
        }
        self.misses.fetch_add(1, Ordering::Relaxed);
        let facts = self.figures.scan.time(|| scan(text, &self.limits))?;
        let parsed = self.figures.parse.time(|| parse(text)).map_err(|error| Unusable::Parse(Box::new(error)))?;
        self.check_variable_types(&parsed)?;
        variables::check(&self.types, &parsed).map_err(Unusable::Invalid)?;
        let document = Arc::new(Document { parsed, facts, valid: Mutex::default() });
        self.cache.insert(text.into(), document.clone());
        Ok(document)
    }

    fn check_variable_types(&self, document: &ExecutableDocument) -> Result<(), Unusable> {
        let operations = document.operations.iter().map(|(_, operation)| operation);
        for variable in operations.flat_map(|operation| &operation.node.variable_definitions) {
            let name = type_name(&variable.node.var_type.node);
            if !self.types.has(name) {
                let message = format!("Unknown type \"{name}\"");
                return Err(Unusable::Invalid(Box::new(ServerError::new(message, Some(variable.pos)))));
            }
        }
        Ok(())
    }

    /// Refuses an operation whose pages within pages may hold too many rows.
    pub(crate) fn check_rows(
        &self,
        document: &Document,
        operation: &OperationDefinition,
        variables: &Variables,
    ) -> Result<(), Refused> {
        let found = rows(&self.types, &document.parsed, operation, variables);
        over(Limit::Rows, found, self.limits.rows_max)
    }

    /// Puts the nulls of what failed where the specification wants them.
    pub(crate) fn complete(&self, response: &mut Response, document: &Document, operation: Option<&str>) {
        if !response.errors.is_empty()
            && let Some(operation) = document.find_operation(operation)
        {
            nulls::complete(response, &self.types, &document.parsed, operation);
        }
    }

    /// How often a document was known, and how often it wasn't.
    pub fn hits_and_misses(&self) -> (u64, u64) {
        (self.hits.load(Ordering::Relaxed), self.misses.load(Ordering::Relaxed))
    }

    /// About how many bytes the cache holds.
    pub fn bytes(&self) -> u64 {
        self.cache.weight()
    }
}

/// The parser has places where it panics rather than fails; none is known to be reachable.
fn parse(text: &str) -> Result<ExecutableDocument, ServerError> {
    match catch_unwind(|| parse_query(text)) {
        Ok(parsed) => parsed.map_err(ServerError::from),
        Err(_) => Err(ServerError::new("this document can't be parsed", None)),
    }
}

/// The name in `[Name!]!`.
fn type_name(of: &Type) -> &str {
    let mut of = of;
    loop {
        match &of.base {
            BaseType::Named(name) => return name.as_str(),
            BaseType::List(inner) => of = inner,
        }
    }
}
