//! Join tokens: signed (EdDSA over Ed25519, RFC 8037), at most five minutes old, for one person in one session. That a
//! token is redeemed once is decided by the session, which keeps the ids of those it has seen.

use std::{fs, io::Write, os::unix::fs::OpenOptionsExt, path::Path};

use hkdf::Hkdf;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, errors::ErrorKind};
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use witan_domain::{
    InvitationId, OrganizationId, PersonId, SessionId, SessionRole, Timestamp, TokenId, UserId, text::SecretHash,
};
use zeroize::Zeroizing;

/// How long a join token holds.
pub const JOIN_TOKEN_SECONDS_MAX: u64 = 300;
/// How far in the future a token may have been made: clocks that are set back.
const SKEW_SECONDS_MAX: u64 = 5;
const AUDIENCE: &str = "witan join";
/// What the key's file begins with; the number is the format's version.
const KEY_HEADER: &str = "witan-token-key-1 ";
/// PKCS #8 around an Ed25519 seed (RFC 8410, section 7).
const PKCS8: [u8; 16] = [0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];

/// The right to come to a session's door, once: as whom, in which role, and whether the lobby waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JoinToken {
    pub id: TokenId,
    pub organization: OrganizationId,
    pub session: SessionId,
    pub person: PersonId,
    /// The account, where the person comes by one.
    pub user: Option<UserId>,
    /// The invitation, where the person comes by one.
    pub invitation: Option<InvitationId>,
    /// The SHA-256 of the hash of the password that the person has shown to know: whether it still is the room's is asked
    /// again when the token is redeemed.
    pub password: Option<SecretHash>,
    pub role: SessionRole,
    pub lobby: bool,
    /// Whether a host has moved the person here: then neither the room's policies nor its lobby are asked.
    pub moved: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    #[error("the join token has expired")]
    Expired,
    #[error("this is not a join token of this server")]
    Invalid,
    /// The key's file is missing, exists already, or is not one.
    #[error("{0}")]
    KeyFile(String),
    #[error("the join token can't be signed: {0}")]
    Signing(String),
}

#[derive(Serialize, Deserialize)]
struct Claims {
    aud: String,
    jti: TokenId,
    /// Whole seconds since the Unix epoch, as RFC 7519 wants them.
    iat: u64,
    exp: u64,
    sub: PersonId,
    organization: OrganizationId,
    session: SessionId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    user: Option<UserId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    invitation: Option<InvitationId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    password: Option<SecretHash>,
    role: SessionRole,
    lobby: bool,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    moved: bool,
}

/// The deployment's key for tokens, kept in `<data>/keys/tokens.key`.
pub struct TokenKey {
    seed: Zeroizing<[u8; 32]>,
    signing: EncodingKey,
    verifying: DecodingKey,
    validation: Validation,
}

impl TokenKey {
    /// A key from its seed.
    pub fn new(seed: [u8; 32]) -> Self {
        let seed = Zeroizing::new(seed);
        let public = ed25519_dalek::SigningKey::from_bytes(&seed).verifying_key();
        let pkcs8 = Zeroizing::new([PKCS8.as_slice(), seed.as_slice()].concat());
        let mut validation = Validation::new(Algorithm::EdDSA);
        validation.set_audience(&[AUDIENCE]);
        // Expiry is checked against the caller's clock, not the machine's.
        validation.validate_exp = false;
        validation.set_required_spec_claims(&["aud", "exp"]);
        Self {
            signing: EncodingKey::from_ed_der(&pkcs8),
            verifying: DecodingKey::from_ed_der(public.as_bytes()),
            validation,
            seed,
        }
    }

    /// Writes a new key, readable by its owner only, durably. Refuses where there is one already.
    pub fn create(path: &Path, random: [u8; 32]) -> Result<Self, TokenError> {
        let mut text = Zeroizing::new(String::from(KEY_HEADER));
        for byte in random {
            text.push_str(&Zeroizing::new(format!("{byte:02x}")));
        }
        text.push('\n');
        let written = || -> std::io::Result<()> {
            let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
            fs::File::open(folder)?.sync_all()
        };
        written().map_err(|error| TokenError::KeyFile(format!("can't make {}: {error}", path.display())))?;
        Ok(Self::new(random))
    }

    /// Reads the key that [`TokenKey::create`] wrote.
    pub fn open(path: &Path) -> Result<Self, TokenError> {
        let text = fs::read_to_string(path)
            .map(Zeroizing::new)
            .map_err(|error| TokenError::KeyFile(format!("can't read the tokens' key {}: {error}", path.display())))?;
        let wrong = || {
            let path = path.display();
            TokenError::KeyFile(format!(
                "{path} is not a tokens' key: expected \"{KEY_HEADER}\" and 64 hexadecimal digits"
            ))
        };
        let digits = text.trim_end().strip_prefix(KEY_HEADER).ok_or_else(wrong)?;
        if digits.len() != 64 || !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return Err(wrong());
        }
        let mut seed = Zeroizing::new([0; 32]);
        for (byte, at) in seed.iter_mut().zip((0..64).step_by(2)) {
            *byte = u8::from_str_radix(&digits[at..at + 2], 16).map_err(|_| wrong())?;
        }
        Ok(Self::new(*seed))
    }

    /// A token that holds from `now` for [`JOIN_TOKEN_SECONDS_MAX`].
    pub fn sign(&self, token: &JoinToken, now: Timestamp) -> Result<String, TokenError> {
        let iat = now.micros() / 1_000_000;
        let claims = Claims {
            aud: AUDIENCE.to_owned(),
            jti: token.id,
            iat,
            exp: iat + JOIN_TOKEN_SECONDS_MAX,
            sub: token.person,
            organization: token.organization,
            session: token.session,
            user: token.user,
            invitation: token.invitation,
            password: token.password,
            role: token.role,
            lobby: token.lobby,
            moved: token.moved,
        };
        jsonwebtoken::encode(&Header::new(Algorithm::EdDSA), &claims, &self.signing)
            .map_err(|error| TokenError::Signing(error.to_string()))
    }

    /// What a token says, if this deployment signed it and it still holds.
    pub fn verify(&self, text: &str, now: Timestamp) -> Result<JoinToken, TokenError> {
        let claims = jsonwebtoken::decode::<Claims>(text, &self.verifying, &self.validation)
            .map_err(|error| match error.kind() {
                ErrorKind::ExpiredSignature => TokenError::Expired,
                _ => TokenError::Invalid,
            })?
            .claims;
        let seconds = now.micros() / 1_000_000;
        if claims.iat > seconds + SKEW_SECONDS_MAX || claims.exp > claims.iat.saturating_add(JOIN_TOKEN_SECONDS_MAX) {
            return Err(TokenError::Invalid);
        }
        if seconds >= claims.exp {
            return Err(TokenError::Expired);
        }
        Ok(JoinToken {
            id: claims.jti,
            organization: claims.organization,
            session: claims.session,
            person: claims.sub,
            user: claims.user,
            invitation: claims.invitation,
            password: claims.password,
            role: claims.role,
            lobby: claims.lobby,
            moved: claims.moved,
        })
    }

    /// A hash of what may be personal, which only the holder of this key can compute: who reads the log can't try guesses.
    /// HKDF-Expand of one block is HMAC-SHA256 over the label and the bytes (RFC 5869, section 2.3).
    pub fn keyed_hash(&self, label: &str, bytes: &[u8]) -> [u8; 32] {
        self.expanded(&[b"witan hash ", label.as_bytes(), &[0], bytes])
    }

    /// 256 bits that follow from this key and the label, so that a retry gets the same secret (HKDF-SHA256, RFC 5869).
    pub fn derived_secret(&self, label: &str) -> [u8; 32] {
        self.expanded(&[b"witan secret ", label.as_bytes()])
    }

    fn expanded(&self, info: &[&[u8]]) -> [u8; 32] {
        let mut secret = [0; 32];
        match Hkdf::<Sha256>::new(None, self.seed.as_slice()).expand_multi_info(info, &mut secret) {
            Ok(()) => secret,
            Err(_) => unreachable!("HKDF-SHA256 gives up to 8,160 bytes (RFC 5869, section 2.3)"),
        }
    }
}
