//! The three kinds of keys: the deployment's master key, a person's key (stored wrapped under the master key), and the
//! key of one field (derived from a person's key, so that one field can be disclosed without the others).

use std::{fs, io::Write, os::unix::fs::OpenOptionsExt, path::Path};

use aes_siv::{KeyInit, siv::Aes256Siv};
use hkdf::Hkdf;
use hmac::{Hmac, Mac};
use sha2::Sha256;
use witan_domain::{OrganizationId, PersonId, private::Ciphertext};
use zeroize::Zeroizing;

use crate::{AliasKind, VaultError};

/// What the file of the master key begins with; the number is the format's version.
const MASTER_KEY_HEADER: &str = "witan-vault-key-1 ";

/// The key of the deployment that wraps every person's key: a stolen vault file alone reveals nothing. Kept in
/// `<data>/keys/vault.key`, apart from the vault, and backed up apart from it.
pub struct MasterKey(Zeroizing<[u8; 32]>);

impl MasterKey {
    /// Writes a new master key, readable by its owner only, durably. Refuses where there is one already.
    ///
    /// # Errors
    /// [`VaultError::KeyFile`] when the file exists or can't be written.
    pub fn create(path: &Path, random: [u8; 32]) -> Result<Self, VaultError> {
        let random = Zeroizing::new(random);
        let mut text = Zeroizing::new(String::from(MASTER_KEY_HEADER));
        for byte in random.iter() {
            text.push_str(&Zeroizing::new(format!("{byte:02x}")));
        }
        text.push('\n');
        let written = || -> std::io::Result<()> {
            let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            crate::database::sync_folder_of(path)
        };
        written().map_err(|error| VaultError::KeyFile(format!("can't make {}: {error}", path.display())))?;
        Ok(Self(random))
    }

    /// Reads the master key that [`MasterKey::create`] wrote.
    ///
    /// # Errors
    /// [`VaultError::KeyFile`] when it is missing or not a master key: without it nothing personal can be read, so
    /// there is no going on with a new one.
    pub fn open(path: &Path) -> Result<Self, VaultError> {
        let text = Zeroizing::new(fs::read_to_string(path).map_err(|error| {
            VaultError::KeyFile(format!(
                "can't read the vault's master key {}: {error}. Without it no personal data can be read; put the file \
                 back from its backup",
                path.display()
            ))
        })?);
        let wrong = || {
            VaultError::KeyFile(format!(
                "{} is not a master key: expected \"{MASTER_KEY_HEADER}\" and 64 hexadecimal digits",
                path.display()
            ))
        };
        let digits = text.trim_end().strip_prefix(MASTER_KEY_HEADER).ok_or_else(wrong)?;
        if digits.len() != 64 || !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return Err(wrong());
        }
        let mut key = Zeroizing::new([0; 32]);
        for (byte, pair) in key.iter_mut().zip(digits.as_bytes().chunks_exact(2)) {
            let pair = std::str::from_utf8(pair).map_err(|_| wrong())?;
            *byte = u8::from_str_radix(pair, 16).map_err(|_| wrong())?;
        }
        Ok(Self(key))
    }

    /// The person's key as it is stored. Organization and person are authenticated with it: moved to another row it
    /// doesn't open.
    pub(crate) fn wrap(
        &self,
        organization: OrganizationId,
        person: PersonId,
        key: &PersonKey,
    ) -> Result<Vec<u8>, VaultError> {
        siv(&self.derive(&[b"witan vault: wrap"]))
            .encrypt([organization.0.to_be_bytes(), person.0.to_be_bytes()], key.0.as_slice())
            .map_err(|_| VaultError::Corrupt("a person's key can't be wrapped"))
    }

    pub(crate) fn unwrap(
        &self,
        organization: OrganizationId,
        person: PersonId,
        wrapped: &[u8],
    ) -> Result<PersonKey, VaultError> {
        let plain = siv(&self.derive(&[b"witan vault: wrap"]))
            .decrypt([organization.0.to_be_bytes(), person.0.to_be_bytes()], wrapped)
            .map(Zeroizing::new)
            .map_err(|_| VaultError::Corrupt("a person's key doesn't open under the master key"))?;
        let key = <[u8; 32]>::try_from(plain.as_slice())
            .map_err(|_| VaultError::Corrupt("a person's key has the wrong length"))?;
        Ok(PersonKey(Zeroizing::new(key)))
    }

    /// What an alias is looked up by: a keyed hash, since logins and e-mails can be guessed.
    pub(crate) fn lookup(&self, organization: OrganizationId, kind: AliasKind, value: &str) -> [u8; 32] {
        let key = self.derive(&[b"witan vault: lookup", &organization.0.to_be_bytes(), &[kind as u8]]);
        let mut mac = match <Hmac<Sha256> as hmac::KeyInit>::new_from_slice(key.as_slice()) {
            Ok(mac) => mac,
            Err(_) => unreachable!("HMAC takes keys of any length (RFC 2104, section 2)"),
        };
        mac.update(value.as_bytes());
        mac.finalize().into_bytes().into()
    }

    /// Equal for equal master keys and useless for anything else: tells whether a vault belongs to this key.
    pub(crate) fn fingerprint(&self) -> [u8; 64] {
        *self.derive(&[b"witan vault: fingerprint"])
    }

    fn derive(&self, info: &[&[u8]]) -> Zeroizing<[u8; 64]> {
        derive(&self.0, info)
    }
}

/// The key of one person in one organization: 256 random bits. Destroying it erases the person.
pub(crate) struct PersonKey(pub(crate) Zeroizing<[u8; 32]>);

impl PersonKey {
    pub(crate) fn field(&self, stream: &str, field: &str) -> FieldKey {
        FieldKey(derive(&self.0, &[b"witan field", stream.as_bytes(), field.as_bytes()]))
    }
}

/// The key of one field of one person in one stream: what an auditor is given, to read that field and no other.
#[derive(Clone)]
pub struct FieldKey(pub Zeroizing<[u8; 64]>);

impl FieldKey {
    /// AES-256-SIV without associated data: equal plaintexts give equal ciphertexts (RFC 5297, section 2.6).
    ///
    /// # Errors
    /// [`VaultError::Corrupt`], which a plaintext that fits in memory never causes.
    pub fn protect(&self, plaintext: &str) -> Result<Ciphertext, VaultError> {
        siv(&self.0)
            .encrypt(NO_HEADERS, plaintext.as_bytes())
            .map(Ciphertext)
            .map_err(|_| VaultError::Corrupt("the value can't be encrypted"))
    }

    /// # Errors
    /// [`VaultError::Corrupt`] when the ciphertext was not made with this key or was changed.
    pub fn reveal(&self, ciphertext: &Ciphertext) -> Result<String, VaultError> {
        let plain = siv(&self.0)
            .decrypt(NO_HEADERS, &ciphertext.0)
            .map_err(|_| VaultError::Corrupt("a protected value doesn't open under its field's key"))?;
        String::from_utf8(plain).map_err(|_| VaultError::Corrupt("a protected value is not text"))
    }
}

const NO_HEADERS: [&[u8]; 0] = [];

fn siv(key: &[u8; 64]) -> Aes256Siv {
    Aes256Siv::new(key.into())
}

/// HKDF-SHA256 (RFC 5869) without salt. Each part of the info is preceded by its length, so that no two lists of parts
/// are written alike.
fn derive(key: &[u8; 32], info: &[&[u8]]) -> Zeroizing<[u8; 64]> {
    let mut encoded = Vec::with_capacity(info.iter().map(|part| part.len() + 4).sum());
    for part in info {
        encoded.extend_from_slice(&(part.len() as u32).to_be_bytes());
        encoded.extend_from_slice(part);
    }
    let mut derived = Zeroizing::new([0; 64]);
    match Hkdf::<Sha256>::new(None, key).expand(&encoded, derived.as_mut_slice()) {
        Ok(()) => derived,
        Err(_) => unreachable!("HKDF-SHA256 gives up to 8,160 bytes (RFC 5869, section 2.3)"),
    }
}
