//! Signed notes (c2sp.org/signed-note): a text, and lines with signatures of it by named keys. Only Ed25519 (type 0x01).

use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use sha2::{Digest, Sha256};

use crate::{from_base64, to_base64};

pub const NOTE_BYTES_MAX: usize = 1 << 20;
/// Lines with signatures in one note: the specification asks for at least 16.
pub const SIGNATURES_MAX: usize = 100;

const ED25519: u8 = 1;

/// Why a text is not a verifier key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidKey {
    #[error("not a verifier key: expected name+8 hexadecimal digits+base64")]
    Form,
    #[error("a key's name is not empty and has no spaces, control characters or plus signs")]
    Name,
    #[error("not an Ed25519 key of 32 bytes")]
    Key,
    #[error("the key's id {found:08x} is not that of its name and bytes, {expected:08x}")]
    Id { expected: u32, found: u32 },
}

/// Why a text is not a signed note.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidNote {
    #[error("more than {NOTE_BYTES_MAX} bytes")]
    TooLong,
    #[error("a control character other than a newline")]
    ControlCharacter,
    #[error("no blank line, followed by lines with signatures that each end in a newline")]
    NoSignatures,
    #[error("more than {SIGNATURES_MAX} signatures")]
    TooManySignatures,
    #[error("line {number} of its signatures is not \"— name base64\"")]
    SignatureLine { number: usize },
}

/// Why a note says nothing that this key vouches for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unverified {
    #[error("no signature by the key {key}")]
    NoSignature { key: String },
    #[error("the signature by the key {key} is not one of this text")]
    WrongSignature { key: String },
}

/// A name and an Ed25519 public key, written `name+id+base64`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifierKey {
    name: String,
    id: u32,
    key: VerifyingKey,
}

impl VerifierKey {
    pub fn try_new(name: &str, public: &[u8; 32]) -> Result<Self, InvalidKey> {
        if !valid_name(name) {
            return Err(InvalidKey::Name);
        }
        let key = VerifyingKey::from_bytes(public).map_err(|_| InvalidKey::Key)?;
        Ok(Self { name: name.to_owned(), id: key_id(name, public), key })
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// The first four bytes of SHA-256 over name, newline, type and key: an identifier, too short to be a fingerprint.
    pub fn id(&self) -> u32 {
        self.id
    }

    pub fn public(&self) -> [u8; 32] {
        self.key.to_bytes()
    }
}

impl std::fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let bytes = [&[ED25519], &self.key.as_bytes()[..]].concat();
        write!(f, "{}+{:08x}+{}", self.name, self.id, to_base64(&bytes))
    }
}

impl std::str::FromStr for VerifierKey {
    type Err = InvalidKey;

    fn from_str(text: &str) -> Result<Self, InvalidKey> {
        let (name, rest) = text.split_once('+').ok_or(InvalidKey::Form)?;
        let (id, bytes) = rest.split_once('+').ok_or(InvalidKey::Form)?;
        if id.len() != 8 || !id.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f')) {
            return Err(InvalidKey::Form);
        }
        let found = u32::from_str_radix(id, 16).map_err(|_| InvalidKey::Form)?;
        let bytes = from_base64(bytes).ok_or(InvalidKey::Form)?;
        let Some((&ED25519, public)) = bytes.split_first() else {
            return Err(InvalidKey::Key);
        };
        let key = Self::try_new(name, public.try_into().map_err(|_| InvalidKey::Key)?)?;
        if key.id != found {
            return Err(InvalidKey::Id { expected: key.id, found });
        }
        Ok(key)
    }
}

/// Signs notes with an Ed25519 key under a name. The same text gets the same signature each time (RFC 8032).
pub struct NoteSigner {
    key: SigningKey,
    verifier: VerifierKey,
}

impl NoteSigner {
    /// `seed` is the private key (RFC 8032, section 5.1.5), 32 random bytes.
    pub fn try_new(name: &str, seed: &[u8; 32]) -> Result<Self, InvalidKey> {
        let key = SigningKey::from_bytes(seed);
        let verifier = VerifierKey::try_new(name, key.verifying_key().as_bytes())?;
        Ok(Self { key, verifier })
    }

    pub fn verifier(&self) -> &VerifierKey {
        &self.verifier
    }

    /// The whole signed note over this text, which ends in a newline.
    pub fn sign(&self, text: &str) -> String {
        let signature = self.key.sign(text.as_bytes()).to_bytes();
        let bytes = [&self.verifier.id.to_be_bytes()[..], &signature].concat();
        format!("{text}\n— {} {}\n", self.verifier.name, to_base64(&bytes))
    }
}

/// A note that was read, and not believed yet: [`Note::verify`] says whether a key vouches for its text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    text: String,
    signatures: Vec<NoteSignature>,
}

/// One line with a signature, of a key that may be unknown and of any type.
#[derive(Clone, Debug, PartialEq, Eq)]
struct NoteSignature {
    name: String,
    id: u32,
    bytes: Vec<u8>,
}

impl Note {
    pub fn try_from_text(note: &str) -> Result<Self, InvalidNote> {
        if note.len() > NOTE_BYTES_MAX {
            return Err(InvalidNote::TooLong);
        }
        if note.bytes().any(|byte| byte < 0x20 && byte != b'\n') {
            return Err(InvalidNote::ControlCharacter);
        }
        // The text may hold blank lines of its own, so it is the last one that ends it.
        let blank = note.rfind("\n\n").ok_or(InvalidNote::NoSignatures)?;
        let (text, lines) = (&note[..=blank], &note[blank + 2..]);
        let lines = lines.strip_suffix('\n').ok_or(InvalidNote::NoSignatures)?;
        let mut signatures = Vec::new();
        for (at, line) in lines.split('\n').enumerate() {
            if at == SIGNATURES_MAX {
                return Err(InvalidNote::TooManySignatures);
            }
            signatures.push(signature(line).ok_or(InvalidNote::SignatureLine { number: at + 1 })?);
        }
        Ok(Self { text: text.to_owned(), signatures })
    }

    /// The text, with its last newline. Nobody vouches for it before [`Note::verify`] has.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Checks every signature under this key's name and id; other keys' are ignored, as the specification asks.
    pub fn verify(&self, key: &VerifierKey) -> Result<(), Unverified> {
        let mut ours = self.signatures.iter().filter(|line| line.id == key.id && line.name == key.name).peekable();
        if ours.peek().is_none() {
            return Err(Unverified::NoSignature { key: key.to_string() });
        }
        let right = |line: &NoteSignature| {
            Signature::from_slice(&line.bytes)
                .and_then(|signature| key.key.verify_strict(self.text.as_bytes(), &signature))
                .is_ok()
        };
        if ours.all(right) { Ok(()) } else { Err(Unverified::WrongSignature { key: key.to_string() }) }
    }
}

fn signature(line: &str) -> Option<NoteSignature> {
    let (name, base64) = line.strip_prefix("— ")?.split_once(' ')?;
    let bytes = from_base64(base64)?;
    let (id, bytes) = bytes.split_first_chunk::<4>()?;
    (valid_name(name) && !bytes.is_empty()).then(|| NoteSignature {
        name: name.to_owned(),
        id: u32::from_be_bytes(*id),
        bytes: bytes.to_vec(),
    })
}

/// Whether a key may be called so.
pub fn valid_name(name: &str) -> bool {
    !name.is_empty() && !name.chars().any(|c| c.is_whitespace() || c.is_control() || c == '+')
}

fn key_id(name: &str, public: &[u8; 32]) -> u32 {
    let hash = Sha256::new().chain_update(name).chain_update([b'\n', ED25519]).chain_update(public).finalize();
    u32::from_be_bytes([hash[0], hash[1], hash[2], hash[3]])
}

#[cfg(test)]
#[path = "note_tests.rs"]
mod tests;
