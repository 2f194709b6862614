//! Secrets that are shown once and stored only as their SHA-256: API keys, invitations, and what a participant resumes
//! by. They hold at least 128 random bits, so a plain hash is enough (a password would need argon2id).

use std::fmt;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use witan_domain::{ParticipantId, SessionId};

use crate::ApiKeyRecord;

/// How many characters of a key are stored as they are: enough to find it and to tell it apart.
pub const PREFIX_CHARS: usize = 8;

const KEY: &str = "witan_";
const INVITATION: &str = "invite_";
const RESUME: &str = "resume_";
/// Crockford's base 32: no letter that is read for a digit.
const PREFIX_ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// Why a text is not a secret of the wanted form. Never quotes it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSecret {
    #[error("an API key reads witan_, 8 characters, an underscore and 43 characters of base64url")]
    ApiKey,
    #[error("an invitation's secret reads invite_ and 22 characters of base64url")]
    Invitation,
    #[error("a resume secret reads resume_ and 86 characters of base64url")]
    Resume,
}

/// An API key: `witan_`, a prefix of 8 characters, `_`, 256 random bits in base64url.
pub struct ApiKeySecret(String);

impl ApiKeySecret {
    /// A new key of random bytes: the first 5 give the prefix, the other 32 are the secret.
    pub fn new(random: [u8; 37]) -> Self {
        let (prefix, secret) = random.split_at(5);
        let bits = prefix.iter().fold(0u64, |bits, byte| bits << 8 | u64::from(*byte));
        let letter = |at: usize| char::from(PREFIX_ALPHABET[(bits >> (5 * at) & 31) as usize]);
        let prefix: String = (0..PREFIX_CHARS).map(letter).collect();
        Self(format!("{KEY}{prefix}_{}", URL_SAFE_NO_PAD.encode(secret)))
    }

    pub fn parse(text: &str) -> Result<Self, InvalidSecret> {
        let (prefix, secret) =
            text.strip_prefix(KEY).and_then(|rest| rest.split_once('_')).ok_or(InvalidSecret::ApiKey)?;
        let of_alphabet = prefix.bytes().all(|byte| PREFIX_ALPHABET.contains(&byte));
        if prefix.len() != PREFIX_CHARS || !of_alphabet || decode::<32>(secret).is_none() {
            return Err(InvalidSecret::ApiKey);
        }
        Ok(Self(text.to_owned()))
    }

    /// What is stored of the key as it is.
    pub fn prefix(&self) -> &str {
        &self.0[KEY.len()..KEY.len() + PREFIX_CHARS]
    }

    pub fn sha256(&self) -> [u8; 32] {
        Sha256::digest(&self.0).into()
    }

    /// Whether this is that key, in constant time. Says nothing of its expiry or revocation.
    pub fn matches(&self, record: &ApiKeyRecord) -> bool {
        self.sha256().ct_eq(&record.sha256.0).into()
    }

    /// The key itself, to be shown once.
    pub fn text(&self) -> String {
        self.0.clone()
    }
}

/// What an invitation is exchanged by: `invite_` and 128 random bits in base64url.
pub struct InvitationSecret([u8; 16]);

impl InvitationSecret {
    pub const fn new(random: [u8; 16]) -> Self {
        Self(random)
    }

    pub fn parse(text: &str) -> Result<Self, InvalidSecret> {
        text.strip_prefix(INVITATION).and_then(decode).map(Self).ok_or(InvalidSecret::Invitation)
    }

    pub fn sha256(&self) -> [u8; 32] {
        Sha256::digest(self.0).into()
    }

    pub fn text(&self) -> String {
        format!("{INVITATION}{}", URL_SAFE_NO_PAD.encode(self.0))
    }
}

/// What a participant acts by in one session, and comes back by after a reload or a lost connection.
///
/// A secret whose hash stands in the session's state, not a signed token: it ends with the participant's place in the
/// session, at once and without a list of revocations.
pub struct ResumeSecret {
    pub session: SessionId,
    pub participant: ParticipantId,
    secret: [u8; 32],
}

impl ResumeSecret {
    pub const fn new(session: SessionId, participant: ParticipantId, random: [u8; 32]) -> Self {
        Self { session, participant, secret: random }
    }

    pub fn parse(text: &str) -> Result<Self, InvalidSecret> {
        let bytes: [u8; 64] = text.strip_prefix(RESUME).and_then(decode).ok_or(InvalidSecret::Resume)?;
        let id = |from: usize| bytes[from..from + 16].iter().fold(0u128, |id, byte| id << 8 | u128::from(*byte));
        let mut secret = [0; 32];
        secret.copy_from_slice(&bytes[32..]);
        Ok(Self { session: SessionId(id(0)), participant: ParticipantId(id(16)), secret })
    }

    /// Of the whole: it holds for this session and this participant only.
    pub fn sha256(&self) -> [u8; 32] {
        Sha256::digest(self.bytes()).into()
    }

    pub fn text(&self) -> String {
        format!("{RESUME}{}", URL_SAFE_NO_PAD.encode(self.bytes()))
    }

    fn bytes(&self) -> [u8; 64] {
        let mut bytes = [0; 64];
        bytes[..16].copy_from_slice(&self.session.0.to_be_bytes());
        bytes[16..32].copy_from_slice(&self.participant.0.to_be_bytes());
        bytes[32..].copy_from_slice(&self.secret);
        bytes
    }
}

fn decode<const N: usize>(text: &str) -> Option<[u8; N]> {
    URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok()
}

/// A secret must not reach a log line by accident.
macro_rules! hidden {
    ($($name:ident)*) => {$(
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(concat!(stringify!($name), "(hidden)"))
            }
        }
    )*};
}

hidden!(ApiKeySecret InvitationSecret ResumeSecret);
