//! The parameters of a request, from JSON or from a URL.

use std::collections::HashMap;

use async_graphql::Variables;
use http::StatusCode;
use serde::{Deserialize, de::IgnoredAny};

use crate::{http::Problem, limits::Limits, scan::scan_json};

/// The parameters of a request (GraphQL over HTTP, "Request Parameters").
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Params {
    pub(crate) query: String,
    pub(crate) operation_name: Option<String>,
    pub(crate) variables: Option<Variables>,
    /// Nothing here reads them; a request with extensions that aren't a map is malformed all the same.
    #[serde(rename = "extensions")]
    _extensions: Option<HashMap<String, IgnoredAny>>,
}

impl Params {
    pub(crate) fn from_json(json: &[u8], limits: &Limits) -> Result<Self, Problem> {
        let malformed = |message: String| Problem::new(StatusCode::BAD_REQUEST, "BAD_REQUEST", message);
        scan_json(json, limits)
            .map_err(|refused| Problem::new(StatusCode::BAD_REQUEST, refused.code(), refused.to_string()))?;
        let text = std::str::from_utf8(json).map_err(|_| malformed("the request is not UTF-8".into()))?;
        if text.trim_start().starts_with('[') {
            let message = "send one request at a time: batching is not supported";
            return Err(Problem::new(StatusCode::BAD_REQUEST, "BATCHING_NOT_SUPPORTED", message));
        }
        serde_json::from_str(text).map_err(|error| malformed(format!("the request is malformed: {error}")))
    }

    /// From the query component of a URL (`application/x-www-form-urlencoded`); other parameters are ignored.
    pub(crate) fn from_url(query: &str, limits: &Limits) -> Result<Self, Problem> {
        let malformed = |message: String| Problem::new(StatusCode::BAD_REQUEST, "BAD_REQUEST", message);
        let mut found: HashMap<&str, String> = HashMap::new();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            if !["query", "operationName", "variables", "extensions"].contains(&name) {
                continue;
            }
            let value = decode_form(value)
                .ok_or_else(|| malformed(format!("parameter {name} is not percent-encoded UTF-8")))?;
            if found.insert(name, value).is_some() {
                return Err(malformed(format!("parameter {name} is given twice")));
            }
        }
        let query = found.remove("query").ok_or_else(|| malformed("parameter query is missing".into()))?;
        Ok(Self {
            query,
            operation_name: found.remove("operationName"),
            variables: parse_parameter(&found, "variables", limits)?,
            _extensions: parse_parameter(&found, "extensions", limits)?,
        })
    }
}

/// A parameter of a URL that holds JSON; empty is the same as missing.
fn parse_parameter<T: for<'de> Deserialize<'de>>(
    found: &HashMap<&str, String>,
    name: &str,
    limits: &Limits,
) -> Result<Option<T>, Problem> {
    let Some(json) = found.get(name).filter(|json| !json.is_empty()) else { return Ok(None) };
    scan_json(json.as_bytes(), limits)
        .map_err(|refused| Problem::new(StatusCode::BAD_REQUEST, refused.code(), refused.to_string()))?;
    serde_json::from_str(json).map_err(|error| {
        Problem::new(StatusCode::BAD_REQUEST, "BAD_REQUEST", format!("parameter {name} is malformed: {error}"))
    })
}

fn decode_form(value: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(value.len());
    let mut rest = value.bytes();
    while let Some(byte) = rest.next() {
        match byte {
            b'+' => bytes.push(b' '),
            b'%' => {
                let (high, low) = (char::from(rest.next()?).to_digit(16)?, char::from(rest.next()?).to_digit(16)?);
                bytes.push(u8::try_from(high * 16 + low).ok()?);
            }
            byte => bytes.push(byte),
        }
    }
    String::from_utf8(bytes).ok()
}
