//! Passwords of rooms: hashed with argon2id (RFC 9106), under a secret of the deployment.
//!
//! The salt follows from the password, from where it is set and from that secret. So a retry gets the same hash, a
//! password that is given again is seen as unchanged, and two rooms with one password don't show it. As the secret goes
//! into the hash too, whoever reads an event with a hash in it can't try passwords against it.

use std::fmt;

use argon2::{Algorithm, Argon2, Params, Version};
use base64::{Engine, engine::general_purpose::STANDARD_NO_PAD};
use subtle::ConstantTimeEq;
use unicode_normalization::UnicodeNormalization;
use witan_domain::policy::PasswordHash;
use zeroize::Zeroizing;

use crate::TokenKey;

/// The least that OWASP's Password Storage Cheat Sheet (2023) recommends for argon2id: 19 MiB, 2 passes, 1 lane.
pub const ARGON2_MEMORY_KIB: u32 = 19 * 1024;
pub const ARGON2_PASSES: u32 = 2;
pub const ARGON2_LANES: u32 = 1;
const SALT_BYTES: usize = 16;
const HASH_BYTES: usize = 32;
/// What a stored hash may cost, should the parameters be raised one day: a damaged one must not cost more.
const ARGON2_MEMORY_KIB_MAX: u32 = 256 * 1024;
const ARGON2_PASSES_MAX: u32 = 16;

/// NIST SP 800-63B, section 5.1.1.2: at least 8 characters, and at least 64 are accepted.
pub const PASSWORD_CHARS_MIN: usize = 8;
pub const PASSWORD_CHARS_MAX: usize = 128;

/// A password in clear: for as long as it takes to hash it, and never in a log.
pub struct Password(Zeroizing<String>);

/// Why a text can't be set as a password. Never quotes it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPassword {
    #[error("password has {0} characters; expected {PASSWORD_CHARS_MIN} to {PASSWORD_CHARS_MAX}")]
    Length(usize),
    #[error("password has a control character; expected none")]
    Control,
}

/// Why a password can't be hashed or checked: nothing that whoever gave it could mend.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PasswordError {
    /// Damage, or a mistake in witan itself.
    #[error("the stored hash of a password is not one of argon2id that this server can check")]
    StoredHash,
    #[error("there is no memory left to hash a password with")]
    Memory,
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(hidden)")
    }
}

impl Password {
    /// A password to be set.
    pub fn try_new(text: &str) -> Result<Self, InvalidPassword> {
        let chars = text.chars().count();
        if !(PASSWORD_CHARS_MIN..=PASSWORD_CHARS_MAX).contains(&chars) {
            return Err(InvalidPassword::Length(chars));
        }
        if text.chars().any(char::is_control) {
            return Err(InvalidPassword::Control);
        }
        Ok(Self::enforced(text))
    }

    /// What somebody who wants in gives; `None` when it can't be any room's password, which costs no hashing.
    pub fn given(text: &str) -> Option<Self> {
        Self::try_new(text).ok()
    }

    /// The same password however a keyboard spells it (RFC 8265, section 4.2: OpaqueString).
    fn enforced(text: &str) -> Self {
        let spaced = text.chars().map(|char| if char.is_whitespace() { ' ' } else { char });
        Self(Zeroizing::new(spaced.nfc().collect()))
    }
}

/// What hashes are made and checked with. Follows from the key of the tokens: with another key no password fits.
pub struct PasswordKey {
    pepper: Zeroizing<[u8; 32]>,
    salts: TokenKey,
}

impl PasswordKey {
    pub fn of(tokens: &TokenKey) -> Self {
        Self {
            pepper: Zeroizing::new(tokens.derived_secret("password pepper")),
            salts: TokenKey::new(tokens.derived_secret("password salts")),
        }
    }

    /// The hash of a password that is set at `level`: an organization, a unit or a room, by its id. Takes some ten
    /// milliseconds of a processor and [`ARGON2_MEMORY_KIB`] of memory.
    pub fn hash(&self, level: &str, password: &Password) -> Result<PasswordHash, PasswordError> {
        let salt = Zeroizing::new(self.salts.derived_secret(&format!("{level} {}", *password.0)));
        let salt = &salt[..SALT_BYTES];
        let cost = Cost { memory_kib: ARGON2_MEMORY_KIB, passes: ARGON2_PASSES, lanes: ARGON2_LANES };
        let hash = self.argon2id(cost, salt, password)?;
        let text = format!("{cost}${}${}", STANDARD_NO_PAD.encode(salt), STANDARD_NO_PAD.encode(*hash));
        Ok(PasswordHash(text))
    }

    /// Whether this is the password behind the hash. Costs as much as [`PasswordKey::hash`].
    pub fn matches(&self, hash: &PasswordHash, password: &Password) -> Result<bool, PasswordError> {
        let (cost, salt, expected) = parse(&hash.0).ok_or(PasswordError::StoredHash)?;
        Ok(self.argon2id(cost, &salt, password)?.as_slice().ct_eq(&expected).into())
    }

    fn argon2id(
        &self,
        cost: Cost,
        salt: &[u8],
        password: &Password,
    ) -> Result<Zeroizing<[u8; HASH_BYTES]>, PasswordError> {
        let params = Params::new(cost.memory_kib, cost.passes, cost.lanes, Some(HASH_BYTES));
        let argon2 = params.and_then(|params| {
            Argon2::new_with_secret(self.pepper.as_slice(), Algorithm::Argon2id, Version::V0x13, params)
        });
        let mut hash = Zeroizing::new([0; HASH_BYTES]);
        argon2.and_then(|argon2| argon2.hash_password_into(password.0.as_bytes(), salt, hash.as_mut_slice())).map_err(
            |error| match error {
                argon2::Error::OutOfMemory => PasswordError::Memory,
                _ => PasswordError::StoredHash,
            },
        )?;
        Ok(hash)
    }
}

#[derive(Clone, Copy)]
struct Cost {
    memory_kib: u32,
    passes: u32,
    lanes: u32,
}

/// As the PHC string format begins a hash.
impl fmt::Display for Cost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "$argon2id$v=19$m={},t={},p={}", self.memory_kib, self.passes, self.lanes)
    }
}

fn parse(text: &str) -> Option<(Cost, Vec<u8>, Vec<u8>)> {
    let mut parts = text.strip_prefix("$argon2id$v=19$")?.split('$');
    let (cost, salt, hash) = (parts.next()?, parts.next()?, parts.next()?);
    let mut numbers = cost.split(',');
    let mut number = |name: &str| numbers.next()?.strip_prefix(name)?.parse::<u32>().ok();
    let cost = Cost { memory_kib: number("m=")?, passes: number("t=")?, lanes: number("p=")? };
    let affordable = cost.memory_kib <= ARGON2_MEMORY_KIB_MAX
        && cost.passes <= ARGON2_PASSES_MAX
        && cost.lanes == ARGON2_LANES
        && parts.next().is_none();
    let hash = STANDARD_NO_PAD.decode(hash).ok().filter(|hash| hash.len() == HASH_BYTES)?;
    affordable.then_some((cost, STANDARD_NO_PAD.decode(salt).ok()?, hash))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(seed: u8) -> PasswordKey {
        PasswordKey::of(&TokenKey::new([seed; 32]))
    }

    fn password(text: &str) -> Password {
        Password::try_new(text).unwrap()
    }

    #[test]
    fn only_the_password_itself_fits_its_hash() {
        let hash = key(1).hash("room_1", &password("correct horse")).unwrap();
        assert!(hash.0.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{}", hash.0);
        assert!(hash.0.len() <= witan_domain::policy::PASSWORD_HASH_BYTES_MAX);
        assert!(key(1).matches(&hash, &password("correct horse")).unwrap());
        assert!(!key(1).matches(&hash, &password("correct horsf")).unwrap());
        assert!(!key(2).matches(&hash, &password("correct horse")).unwrap(), "nobody tries without the secret");
    }

    #[test]
    fn the_same_hash_comes_again_at_the_same_level_only() {
        let hash = |level: &str| key(1).hash(level, &password("correct horse")).unwrap();
        assert_eq!(hash("room_1"), hash("room_1"));
        assert_ne!(hash("room_1"), hash("room_2"));
    }

    #[test]
    fn keyboards_spell_alike() {
        let hash = key(1).hash("room_1", &password("caf\u{e9} au lait")).unwrap();
        assert!(key(1).matches(&hash, &password("cafe\u{301}\u{a0}au lait")).unwrap());
    }

    #[test]
    fn what_can_be_no_password_says_why_and_never_what_it_was() {
        let invalid = |text: &str| Password::try_new(text).unwrap_err().to_string();
        assert_eq!(invalid("secret!"), "password has 7 characters; expected 8 to 128");
        assert_eq!(invalid(&"x".repeat(129)), "password has 129 characters; expected 8 to 128");
        assert!(invalid("secret!!\n").contains("control character"));
        assert!(Password::given("").is_none() && Password::given(&"x".repeat(128)).is_some());
        assert_eq!(format!("{:?}", password("correct horse")), "Password(hidden)");
    }

    #[test]
    fn a_damaged_hash_is_noticed_and_costs_nothing() {
        let good = key(1).hash("room_1", &password("correct horse")).unwrap().0;
        for damaged in [
            "",
            "$argon2id$",
            &good.replace("m=19456", "m=4000000000"),
            &good.replace("t=2", "t=2000000"),
            &good.replace("argon2id", "argon2i"),
            &good[..good.len() - 1],
            &format!("{good}$more"),
        ] {
            let result = key(1).matches(&PasswordHash(damaged.to_owned()), &password("correct horse"));
            assert_eq!(result, Err(PasswordError::StoredHash), "{damaged}");
        }
    }
}
