//! Scalars: what a plain string or number in an answer means.

use async_graphql::{ID, InputValueError, InputValueResult, Scalar, ScalarType, Value};
use jiff::fmt::temporal::DateTimePrinter;
use witan_domain::Timestamp;

/// A point in time in UTC with microseconds, as RFC 3339 writes it: `2026-11-22T20:03:37.000000Z`. Any offset is
/// accepted as input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DateTime(pub Timestamp);

/// A point in time in UTC with microseconds, as RFC 3339 writes it: `2026-11-22T20:03:37.000000Z`. Any offset is
/// accepted as input.
#[Scalar]
impl ScalarType for DateTime {
    fn parse(value: Value) -> InputValueResult<Self> {
        let Value::String(text) = &value else {
            return Err(InputValueError::custom("expected a time like \"2026-11-22T20:03:37Z\" (RFC 3339)"));
        };
        let wrong = || InputValueError::custom("expected a time from 1970 on like \"2026-11-22T20:03:37Z\" (RFC 3339)");
        let time: jiff::Timestamp = text.parse().map_err(|_| wrong())?;
        u64::try_from(time.as_microsecond()).map(|micros| Self(Timestamp(micros))).map_err(|_| wrong())
    }

    fn to_value(&self) -> Value {
        Value::String(rfc3339(self.0))
    }
}

fn rfc3339(time: Timestamp) -> String {
    let micros = i64::try_from(time.micros()).unwrap_or(i64::MAX);
    match jiff::Timestamp::from_microsecond(micros) {
        Ok(time) => DateTimePrinter::new().precision(Some(6)).timestamp_to_string(&time),
        // Past the year 9999 there is no RFC 3339 for it.
        Err(_) => format!("{micros}us"),
    }
}

/// A position in the log of all events: a whole number as a string, for it may pass 2^53. Later events have greater
/// ones; nothing else may be read from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position(pub u64);

/// A position in the log of all events: a whole number as a string, for it may pass 2^53. Later events have greater
/// ones; nothing else may be read from it.
#[Scalar]
impl ScalarType for Position {
    fn parse(value: Value) -> InputValueResult<Self> {
        let number = match &value {
            Value::String(text) => text.parse().ok(),
            Value::Number(number) => number.as_u64(),
            _ => None,
        };
        number.map(Self).ok_or_else(|| InputValueError::custom("expected a position, a whole number like \"42\""))
    }

    fn to_value(&self) -> Value {
        Value::String(self.0.to_string())
    }
}

/// Any JSON value.
#[derive(Clone, Debug, PartialEq)]
pub struct Json(pub serde_json::Value);

/// Any JSON value.
#[Scalar(name = "JSON")]
impl ScalarType for Json {
    fn parse(value: Value) -> InputValueResult<Self> {
        Ok(Self(value.into_json()?))
    }

    fn to_value(&self) -> Value {
        Value::from_json(self.0.clone()).unwrap_or(Value::Null)
    }
}

/// An id of the domain as one of the schema.
pub trait IntoId {
    fn into_id(self) -> ID;
}

impl<I: std::fmt::Display> IntoId for I {
    fn into_id(self) -> ID {
        ID(self.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_with_microseconds_and_read_with_any_offset() {
        let time = DateTime(Timestamp(1_700_000_000_000_001));
        assert_eq!(time.to_value(), Value::from("2023-11-14T22:13:20.000001Z"));
        assert_eq!(DateTime::parse("2023-11-14T19:13:20.000001-03:00".into()).unwrap(), time);
        for wrong in ["", "yesterday", "1960-01-01T00:00:00Z", "2023-11-14"] {
            assert!(DateTime::parse(wrong.into()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn positions_are_strings() {
        assert_eq!(Position(7).to_value(), Value::from("7"));
        assert_eq!(Position::parse("18446744073709551615".into()).unwrap(), Position(u64::MAX));
        assert!(Position::parse("-1".into()).is_err());
    }
}
