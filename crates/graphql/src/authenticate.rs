//! Who calls. The transport asks before it looks at what is asked for; the answer comes from outside this crate.

use std::{error::Error, fmt, future::Future};

use http::{HeaderMap, header::AUTHORIZATION};
use witan_domain::CorrelationId;

/// Bytes of a credential: a join token has some hundred.
pub const CREDENTIAL_BYTES_MAX: usize = 4_096;

/// Decides who a caller is, and is told of connections. Implemented by whoever has the keys.
pub trait Authenticate: Send + Sync + 'static {
    /// What resolvers find in the context as `ctx.data::<Caller>()`.
    type Caller: Clone + Send + Sync + 'static;

    /// A fresh id for a request that came without one.
    fn new_request_id(&self) -> CorrelationId;

    /// Who presents this credential (an API key, a join token or a resume secret), or who comes with none.
    fn authenticate(
        &self,
        credential: Option<&str>,
        request: CorrelationId,
    ) -> impl Future<Output = Result<Authenticated<Self::Caller>, Refusal>> + Send;

    /// Whether an open connection may go on: asked every [`RECHECK_SECONDS`](crate::limits::RECHECK_SECONDS).
    fn still_allowed(&self, caller: &Self::Caller) -> impl Future<Output = bool> + Send;

    /// A connection of this caller was acknowledged. Each call is followed by one of `connection_closed`.
    fn connection_opened(&self, _caller: &Self::Caller) {}

    /// A connection of this caller is gone, for whatever reason.
    fn connection_closed(&self, _caller: &Self::Caller) {}
}

/// How many connections one credential may have open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Share {
    /// An integrator may serve all its users with one key.
    Key,
    /// One person, with a few devices and tabs.
    Participant,
    /// Whoever shows none shares one count with all who don't.
    Nobody,
}

/// A caller who may go on.
#[derive(Clone, Debug)]
pub struct Authenticated<C> {
    pub caller: C,
    /// What the connections of one credential are counted by; `None` when they aren't.
    pub credential: Option<u128>,
    /// How many those may be.
    pub share: Share,
    /// Whether introspection and "did you mean" are for this caller.
    pub introspection: bool,
}

/// Why a caller may not go on.
pub enum Refusal {
    /// The credential is missing, unknown, expired or revoked: which one isn't said.
    Unauthenticated,
    /// Known, and not allowed.
    Forbidden { code: &'static str, message: String },
    /// Nobody can tell just now, and asking again later may help.
    Unavailable(String),
    /// We couldn't tell. Opaque outside, its chain in the log.
    Fault(Box<dyn Error + Send + Sync>),
}

impl fmt::Debug for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unauthenticated => f.write_str("Unauthenticated"),
            Self::Forbidden { code, .. } => write!(f, "Forbidden({code})"),
            Self::Unavailable(why) => write!(f, "Unavailable({why})"),
            Self::Fault(fault) => write!(f, "Fault({fault})"),
        }
    }
}

/// The header is there and isn't `Bearer` with one token (RFC 6750, section 2.1).
#[derive(Debug, PartialEq, Eq)]
pub struct MalformedCredential;

/// The credential of the `Authorization` header; `None` when there is no such header.
pub fn find_credential(headers: &HeaderMap) -> Result<Option<&str>, MalformedCredential> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => parse_bearer(value.to_str().map_err(|_| MalformedCredential)?).map(Some),
        (Some(_), Some(_)) => Err(MalformedCredential),
    }
}

/// The token in `Bearer <token>`. The scheme is compared without case (RFC 9110, section 11.1).
pub fn parse_bearer(value: &str) -> Result<&str, MalformedCredential> {
    let (scheme, token) = value.trim().split_once(' ').ok_or(MalformedCredential)?;
    let token = token.trim_start();
    let body = token.trim_end_matches('=');
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+/".contains(&byte);
    if scheme.eq_ignore_ascii_case("Bearer")
        && !body.is_empty()
        && token.len() <= CREDENTIAL_BYTES_MAX
        && body.bytes().all(allowed)
    {
        Ok(token)
    } else {
        Err(MalformedCredential)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_bearer_and_one_token_is_a_credential() {
        assert_eq!(parse_bearer("Bearer wk_abc.def-1"), Ok("wk_abc.def-1"));
        assert_eq!(parse_bearer("bearer  abc=="), Ok("abc=="));
        for wrong in ["", "Bearer", "Bearer ", "Bearer a b", "Basic abc", "abc", "Bearer =", "Bearer a\u{e9}"] {
            assert_eq!(parse_bearer(wrong), Err(MalformedCredential), "{wrong}");
        }
        assert!(parse_bearer(&format!("Bearer {}", "a".repeat(CREDENTIAL_BYTES_MAX + 1))).is_err());
    }

    #[test]
    fn two_authorization_headers_are_refused() {
        let mut headers = HeaderMap::new();
        assert_eq!(find_credential(&headers), Ok(None));
        headers.append(AUTHORIZATION, "Bearer a".parse().unwrap());
        assert_eq!(find_credential(&headers), Ok(Some("a")));
        headers.append(AUTHORIZATION, "Bearer b".parse().unwrap());
        assert_eq!(find_credential(&headers), Err(MalformedCredential));
    }
}
