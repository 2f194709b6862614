//! Media types: what a body may be, and what an answer will be.

use http::{
    HeaderMap, HeaderValue, StatusCode,
    header::{ACCEPT, CONTENT_ENCODING, CONTENT_TYPE},
};

use crate::http::Problem;

/// Only JSON in UTF-8, and not compressed.
pub(crate) fn check_content_type(headers: &HeaderMap) -> Result<(), Problem> {
    let unsupported =
        |message: &str| Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "UNSUPPORTED_MEDIA_TYPE", message);
    let value = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let value = value.ok_or_else(|| unsupported("POST needs Content-Type: application/json"))?;
    let mut parts = value.split(';').map(str::trim);
    if !parts.next().is_some_and(|kind| kind.eq_ignore_ascii_case("application/json")) {
        return Err(unsupported("POST needs Content-Type: application/json"));
    }
    if !parts.all(is_utf8_or_no_charset) {
        return Err(unsupported("the body must be UTF-8"));
    }
    let encoded = |value: &HeaderValue| !value.as_bytes().eq_ignore_ascii_case(b"identity");
    if headers.get(CONTENT_ENCODING).is_some_and(encoded) {
        return Err(unsupported("send the body without a Content-Encoding"));
    }
    Ok(())
}

fn is_utf8_or_no_charset(parameter: &str) -> bool {
    match parameter.split_once('=') {
        Some((name, value)) if name.trim().eq_ignore_ascii_case("charset") => {
            let value = value.trim().trim_matches('"');
            value.eq_ignore_ascii_case("utf-8") || value.eq_ignore_ascii_case("utf8")
        }
        _ => true,
    }
}

/// The media type of the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Media {
    /// `application/graphql-response+json`: the status says how it went.
    GraphqlResponse,
    /// `application/json`, for clients of before: 200 for whatever was a well-formed request.
    Json,
    /// `text/event-stream`: GraphQL over SSE, in its distinct connections mode.
    EventStream,
}

const MEDIA_TYPES: [(&str, &str, Media); 3] = [
    ("application/graphql-response+json", "application/*", Media::GraphqlResponse),
    ("application/json", "application/*", Media::Json),
    ("text/event-stream", "text/*", Media::EventStream),
];

/// Whether the client names `text/event-stream` as something that it takes.
pub(crate) fn takes_events(headers: &HeaderMap) -> bool {
    let values = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|range| {
        let mut parts = range.split(';').map(str::trim);
        let named = parts.next().is_some_and(|kind| kind.eq_ignore_ascii_case("text/event-stream"));
        named && parts.find_map(parse_quality) != Some(0)
    })
}

/// The best of the types for this `Accept` header (RFC 9110, section 12.5.1); `None` when none will do.
pub(crate) fn negotiate(headers: &HeaderMap) -> Option<Media> {
    let mut ranges = headers
        .get_all(ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .peekable();
    if ranges.peek().is_none() {
        return headers.get(ACCEPT).is_none().then_some(Media::GraphqlResponse);
    }
    // For each of the types, the quality in its most specific range: (specificity, quality in thousandths).
    let mut best = [(0, 0); MEDIA_TYPES.len()];
    for range in ranges {
        let mut parts = range.split(';').map(str::trim);
        let kind = parts.next().unwrap_or_default().to_ascii_lowercase();
        let quality = parts.clone().find_map(parse_quality).unwrap_or(1_000);
        if !parts.all(is_utf8_or_no_charset) {
            continue;
        }
        for (best, (name, family, _)) in best.iter_mut().zip(MEDIA_TYPES) {
            let specificity = match kind.as_str() {
                "*/*" => 1,
                any if any == family => 2,
                exact if exact == name => 3,
                _ => continue,
            };
            *best = (*best).max((specificity, quality));
        }
    }
    // Of equals the first: an answer that is one document is easier to read as one.
    let ranked = best.iter().zip(MEDIA_TYPES).map(|((_, quality), (_, _, media))| (*quality, media)).rev();
    ranked.filter(|(quality, _)| *quality > 0).max_by_key(|(quality, _)| *quality).map(|(_, media)| media)
}

fn parse_quality(parameter: &str) -> Option<u32> {
    let (name, value) = parameter.split_once('=')?;
    let quality: f32 = name.trim().eq_ignore_ascii_case("q").then(|| value.trim().parse().ok())??;
    // Between 0 and 1000 after the clamp, so the cast keeps the value.
    Some((quality.clamp(0.0, 1.0) * 1_000.0) as u32)
}
