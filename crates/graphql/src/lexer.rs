//! The tokens of a GraphQL document (September 2025, section 2.1).

use crate::scan::Refused;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Token<'a> {
    Name(&'a str),
    Punctuator(u8),
    Spread,
    Number,
    Text,
}

/// The lexical grammar (section 2.1): what is ignored (white space, commas, comments, a byte order mark) and what counts.
pub(crate) struct Lexer<'a> {
    pub(crate) text: &'a str,
    /// The byte that is read next.
    pub(crate) at: usize,
}

impl<'a> Lexer<'a> {
    pub(crate) fn next(&mut self) -> Result<Option<Token<'a>>, Refused> {
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
    pub(crate) fn peek(&mut self) -> Option<u8> {
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

    pub(crate) fn wrong(&self, at: usize, message: &str) -> Refused {
        let before = &self.text.as_bytes()[..at.min(self.text.len())];
        let line = before.iter().filter(|&&byte| byte == b'\n').count() + 1;
        let line_start = before.iter().rposition(|&byte| byte == b'\n').map_or(0, |newline| newline + 1);
        // Bytes that continue a UTF-8 character aren't columns.
        let column = before[line_start..].iter().filter(|&&byte| byte & 0xC0 != 0x80).count() + 1;
        Refused::Syntax { line, column, message: message.to_owned() }
    }
}
