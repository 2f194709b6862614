use std::{collections::HashSet, os::unix::fs::PermissionsExt, path::PathBuf, sync::Barrier, thread};

use aes_siv::{
    KeyInit,
    siv::{Aes128Siv, Aes256Siv},
};
use tempfile::TempDir;

use super::*;

const ACME: OrganizationId = OrganizationId(0xacce);
const OTHER: OrganizationId = OrganizationId(0x07e4);
const ALICE: PersonId = PersonId(0xa11ce);
const BOB: PersonId = PersonId(0xb0b);
const STREAM: &str = "user-user_01";
const FIELD: &str = "display_name";

struct Place {
    folder: TempDir,
}

impl Place {
    fn new() -> Self {
        let place = Self { folder: tempfile::tempdir().unwrap() };
        MasterKey::create(&place.key_file(), [7; 32]).unwrap();
        place
    }

    fn key_file(&self) -> PathBuf {
        self.folder.path().join("vault.key")
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("vault/vault.sqlite")
    }

    fn master(&self) -> MasterKey {
        MasterKey::open(&self.key_file()).unwrap()
    }

    fn create(&self) -> Vault {
        Vault::create(&self.file(), self.master()).unwrap()
    }

    fn open(&self) -> Vault {
        Vault::open(&self.file(), self.master()).unwrap()
    }

    /// Every byte of every file in the vault's folder.
    fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for entry in std::fs::read_dir(self.file().parent().unwrap()).unwrap() {
            bytes.extend(std::fs::read(entry.unwrap().path()).unwrap());
        }
        bytes
    }
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

fn wrapped_key(vault: &Vault, organization: OrganizationId, person: PersonId) -> Vec<u8> {
    let key = vault.shared.key(organization, person).unwrap();
    vault.shared.master.wrap(organization, person, &key).unwrap()
}

fn hex(text: &str) -> Vec<u8> {
    let digits: String = text.split_whitespace().collect();
    (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap()).collect()
}

/// RFC 5297, appendices A.1 and A.2 (they are for AES-128, the same code with another block cipher).
#[test]
fn rfc_5297_vectors() {
    let key = hex("fffefdfcfbfaf9f8f7f6f5f4f3f2f1f0 f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff");
    let header = hex("101112131415161718191a1b1c1d1e1f2021222324252627");
    let sealed = Aes128Siv::new(key.as_slice().try_into().unwrap())
        .encrypt([&header], &hex("112233445566778899aabbccddee"))
        .unwrap();
    assert_eq!(sealed, hex("85632d07c6e8f37f950acd320a2ecc93 40c02b9690c4dc04daef7f6afe5c"));

    let key = hex("7f7e7d7c7b7a79787776757473727170 404142434445464748494a4b4c4d4e4f");
    let headers = [
        hex("00112233445566778899aabbccddeeffdeaddadadeaddadaffeeddccbbaa99887766554433221100"),
        hex("102030405060708090a0"),
        hex("09f911029d74e35bd84156c5635688c0"),
    ];
    let plain = b"this is some plaintext to encrypt using SIV-AES";
    let sealed = Aes128Siv::new(key.as_slice().try_into().unwrap()).encrypt(&headers, plain).unwrap();
    assert_eq!(
        sealed,
        hex("7bdb6e3b432667eb06f4d14bff2fbd0f cb900f2fddbe404326601965c889bf17 dba77ceb094fa663b7a3f748ba8af829 \
             ea64ad544a272e9c485b62a3fd5c0d")
    );
}

/// A ciphertext and the disclosed key are a stored format: this must never change.
#[test]
fn the_stored_format_stays() {
    let key = PersonKey(zeroize::Zeroizing::new([3; 32])).field(STREAM, FIELD);
    let direct = Aes256Siv::new((&*key.0).into()).encrypt([b""; 0], "Alice".as_bytes()).unwrap();
    let sealed = key.protect("Alice").unwrap();
    assert_eq!(sealed.0, direct);
    assert_eq!(sealed.0, hex(GOLDEN));
}
const GOLDEN: &str = "4cb043bae326127044be43ee7985398536eacc5697";

#[test]
fn equal_values_have_equal_bytes_and_only_in_their_place() {
    let place = Place::new();
    let vault = place.create();
    vault.create_person(ACME, ALICE).wait().unwrap();
    vault.create_person(ACME, BOB).wait().unwrap();
    let protect = |person, stream, field| vault.protect(ACME, person, stream, field, "Alice").unwrap();
    let value = protect(ALICE, STREAM, FIELD);
    assert_eq!(value, protect(ALICE, STREAM, FIELD));
    let elsewhere = [
        protect(BOB, STREAM, FIELD),
        protect(ALICE, "user-user_02", FIELD),
        protect(ALICE, STREAM, "email"),
        // The border between stream and field counts.
        protect(ALICE, "user-user_01d", "isplay_name"),
    ];
    let distinct: HashSet<_> = elsewhere.iter().chain([&value]).map(|private| &private.ciphertext).collect();
    assert_eq!(distinct.len(), 5);
    assert_eq!(vault.reveal(ACME, STREAM, FIELD, &value), Ok(Revealed::Value("Alice".into())));
    assert!(matches!(vault.reveal(ACME, STREAM, "email", &value), Err(VaultError::Corrupt(_))));
    let empty = vault.protect(ACME, ALICE, STREAM, FIELD, "").unwrap();
    assert_eq!(vault.reveal(ACME, STREAM, FIELD, &empty), Ok(Revealed::Value(String::new())));
}

#[test]
fn a_changed_ciphertext_is_a_fault_and_not_an_erasure() {
    let place = Place::new();
    let vault = place.create();
    vault.create_person(ACME, ALICE).wait().unwrap();
    let value = vault.protect(ACME, ALICE, STREAM, FIELD, "Alice").unwrap();
    for at in 0..value.ciphertext.0.len() {
        let mut changed = value.clone();
        changed.ciphertext.0[at] ^= 1;
        assert!(matches!(vault.reveal(ACME, STREAM, FIELD, &changed), Err(VaultError::Corrupt(_))));
    }
    let short = Private { person: ALICE, ciphertext: witan_domain::private::Ciphertext(vec![1; 15]) };
    assert!(matches!(vault.reveal(ACME, STREAM, FIELD, &short), Err(VaultError::Corrupt(_))));
}

#[test]
fn a_disclosed_key_opens_its_field_only() {
    let place = Place::new();
    let vault = place.create();
    vault.create_person(ACME, ALICE).wait().unwrap();
    let name = vault.protect(ACME, ALICE, STREAM, FIELD, "Alice").unwrap();
    let email = vault.protect(ACME, ALICE, STREAM, "email", "a@example.org").unwrap();
    let key = vault.disclose(ACME, ALICE, STREAM, FIELD).unwrap();
    assert_eq!(key.reveal(&name.ciphertext), Ok("Alice".into()));
    assert!(key.reveal(&email.ciphertext).is_err());
}

#[test]
fn the_same_external_id_is_the_same_person() {
    let place = Place::new();
    let vault = place.create();
    let find = |organization, kind, value| vault.find_person(organization, kind, value).unwrap();
    assert_eq!(find(ACME, AliasKind::ExternalId, "4711"), None);
    assert_eq!(vault.person(ACME, AliasKind::ExternalId, "4711", ALICE).wait(), Ok(ALICE));
    assert_eq!(vault.person(ACME, AliasKind::ExternalId, "4711", BOB).wait(), Ok(ALICE));
    assert_eq!(find(ACME, AliasKind::ExternalId, "4711"), Some(ALICE));
    assert_eq!(find(ACME, AliasKind::Email, "4711"), None);
    assert!(vault.protect(ACME, ALICE, STREAM, FIELD, "Alice").is_ok());
    assert_eq!(vault.protect(ACME, BOB, STREAM, FIELD, "Bob"), Err(VaultError::UnknownPerson(BOB)));
}

#[test]
fn tenants_are_apart() {
    let place = Place::new();
    let vault = place.create();
    assert_eq!(vault.person(ACME, AliasKind::ExternalId, "4711", ALICE).wait(), Ok(ALICE));
    assert_eq!(vault.person(OTHER, AliasKind::ExternalId, "4711", BOB).wait(), Ok(BOB));
    let value = vault.protect(ACME, ALICE, STREAM, FIELD, "Alice").unwrap();
    assert_eq!(vault.reveal(OTHER, STREAM, FIELD, &value), Ok(Revealed::Erased));
    // Even the same person id in two organizations has two keys.
    vault.create_person(OTHER, ALICE).wait().unwrap();
    assert!(matches!(vault.reveal(OTHER, STREAM, FIELD, &value), Err(VaultError::Corrupt(_))));
    vault.erase(OTHER, ALICE).wait().unwrap();
    assert_eq!(vault.reveal(ACME, STREAM, FIELD, &value), Ok(Revealed::Value("Alice".into())));
}

#[test]
fn aliases_are_unique_and_belong_to_someone() {
    let place = Place::new();
    let vault = place.create();
    let login = Alias { kind: AliasKind::Login, id: 42, person: ALICE };
    assert_eq!(vault.alias(ACME, AliasKind::Login, "alice", ALICE, 42).wait(), Ok(login));
    assert_eq!(vault.alias(ACME, AliasKind::Login, "alice", BOB, 43).wait(), Ok(login));
    assert_eq!(vault.find_alias(ACME, AliasKind::Login, "alice"), Ok(Some(login)));
    assert_eq!(vault.aliases_of(ACME, ALICE), Ok(vec![login]));
    assert_eq!(vault.aliases_of(OTHER, ALICE), Ok(vec![]));

    vault.assign_alias(ACME, AliasKind::Login, 42, BOB).wait().unwrap();
    vault.erase(ACME, ALICE).wait().unwrap();
    assert_eq!(vault.find_person(ACME, AliasKind::Login, "alice"), Ok(Some(BOB)));
    assert_eq!(vault.assign_alias(ACME, AliasKind::Login, 42, ALICE).wait(), Err(VaultError::PersonErased(ALICE)));
    vault.release_alias(ACME, AliasKind::Login, 42).wait().unwrap();
    assert_eq!(vault.find_alias(ACME, AliasKind::Login, "alice"), Ok(None));
}

/// A caller derives an id from its request's key, and may send the key with another value.
#[test]
fn no_two_values_share_an_alias_s_id() {
    let place = Place::new();
    let vault = place.create();
    let first = vault.alias(ACME, AliasKind::Login, "alice", ALICE, 5).wait().unwrap();
    let second = vault.alias(ACME, AliasKind::Login, "bob", BOB, 5).wait().unwrap();
    assert_eq!((first.id, second.person), (5, BOB));
    assert_ne!(first.id, second.id);
    assert_eq!(vault.find_alias(ACME, AliasKind::Login, "bob").unwrap(), Some(second));
    vault.release_alias(ACME, AliasKind::Login, 5).wait().unwrap();
    assert_eq!(
        vault.alias(ACME, AliasKind::Login, "alice", ALICE, 5).wait().unwrap(),
        first,
        "what is free is given again"
    );
    // The same of persons: two external ids are two people.
    assert_eq!(vault.person(ACME, AliasKind::ExternalId, "4711", ALICE).wait().unwrap(), ALICE);
    let other = vault.person(ACME, AliasKind::ExternalId, "4712", ALICE).wait().unwrap();
    assert_ne!(other, ALICE);
    assert!(vault.protect(ACME, other, STREAM, FIELD, "Alex").is_ok(), "and has a key");
    assert_eq!(vault.person(ACME, AliasKind::RecordId, "4711", BOB).wait().unwrap(), BOB, "a record is no person's id");
}

/// Whoever asks how the vault stands, and whoever makes a backup, doesn't wait for who is at the database.
#[test]
fn neither_health_nor_a_backup_waits_for_the_database() {
    let place = Place::new();
    let vault = Arc::new(place.create());
    vault.create_person(ACME, ALICE).wait().unwrap();
    let to = place.folder.path().join("copy.sqlite");
    let database = vault.shared.database();
    let (done, waiting) = std::sync::mpsc::channel();
    let beside = vault.clone();
    let copying = thread::spawn(move || {
        let answer = (beside.trouble(), beside.backup(&to).map(|contents| contents.persons));
        done.send(answer).unwrap();
    });
    let answer = waiting.recv_timeout(std::time::Duration::from_secs(20));
    drop(database);
    copying.join().unwrap();
    assert_eq!(answer, Ok((None, Ok(1))));
    assert_eq!(vault.trouble(), None);
}

#[test]
fn erased_is_erased_for_good() {
    let place = Place::new();
    let vault = place.create();
    vault.person(ACME, AliasKind::ExternalId, "4711", ALICE).wait().unwrap();
    let value = vault.protect(ACME, ALICE, STREAM, FIELD, "Alice").unwrap();
    assert_eq!(vault.erase(ACME, ALICE).wait(), Ok(true));
    assert_eq!(vault.erase(ACME, ALICE).wait(), Ok(false));
    let check = |vault: &Vault| {
        assert_eq!(vault.reveal(ACME, STREAM, FIELD, &value), Ok(Revealed::Erased));
        assert_eq!(vault.protect(ACME, ALICE, STREAM, FIELD, "x"), Err(VaultError::PersonErased(ALICE)));
        assert_eq!(vault.create_person(ACME, ALICE).wait(), Err(VaultError::PersonErased(ALICE)));
        assert_eq!(vault.find_person(ACME, AliasKind::ExternalId, "4711"), Ok(None));
        assert_eq!(vault.erased(), Ok(vec![(ACME, ALICE)]));
    };
    check(&vault);
    drop(vault);
    let vault = place.open();
    check(&vault);
    // The same external id is somebody new now.
    assert_eq!(vault.person(ACME, AliasKind::ExternalId, "4711", BOB).wait(), Ok(BOB));
}

/// Enough persons for many pages, in rounds of creating and erasing: what SQLite moves about must leave nothing behind.
/// (With deleted rows and an index over the lookups this test found remains, `secure_delete` or not.)
#[test]
fn no_byte_of_an_erased_key_stays_on_the_disk() {
    let place = Place::new();
    let vault = place.create();
    let value = |person: PersonId| format!("patient {}", person.0);
    let (mut erased_secrets, mut kept) = (HashSet::new(), Vec::new());
    for round in 0..8u128 {
        let persons: Vec<_> = (1..=500u128)
            .map(|n| PersonId((round * 500 + n).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_0c2b_0a51_77e3)))
            .collect();
        let created: Vec<_> = (persons.iter())
            .map(|person| vault.person(ACME, AliasKind::ExternalId, &value(*person), *person))
            .collect();
        created.into_iter().for_each(|pending| assert!(pending.wait().is_ok()));
        kept.extend(persons);
        let (gone, stay): (Vec<PersonId>, Vec<PersonId>) = kept.iter().partition(|person| person.0 >> 64 & 3 != 0);
        kept = stay;
        let (mut secrets, mut plain) = (HashSet::new(), HashSet::new());
        for person in &gone {
            let lookup = vault.shared.master.lookup(ACME, AliasKind::ExternalId, &value(*person));
            for secret in [wrapped_key(&vault, ACME, *person), lookup.to_vec()] {
                secrets.extend(secret.chunks_exact(16).map(<[u8]>::to_vec));
            }
            plain.extend(vault.shared.key(ACME, *person).unwrap().0.chunks_exact(16).map(<[u8]>::to_vec));
        }
        assert_eq!(found(&place.bytes(), &plain), 0);
        // The check itself can fail: before erasing, every part of every secret is found.
        assert_eq!(found(&place.bytes(), &secrets), secrets.len());
        let erased: Vec<_> = gone.iter().map(|person| vault.erase(ACME, *person)).collect();
        erased.into_iter().for_each(|pending| assert_eq!(pending.wait(), Ok(true)));
        erased_secrets.extend(secrets);
        assert_eq!(found(&place.bytes(), &erased_secrets), 0, "round {round}");
    }
    for person in &kept {
        assert_eq!(vault.find_person(ACME, AliasKind::ExternalId, &value(*person)), Ok(Some(*person)));
        assert!(vault.protect(ACME, *person, STREAM, FIELD, "still here").is_ok());
    }
    drop(vault);
    assert_eq!(found(&place.bytes(), &erased_secrets), 0);
}

fn found(bytes: &[u8], secrets: &HashSet<Vec<u8>>) -> usize {
    bytes.windows(16).filter(|window| secrets.contains(*window)).map(<[u8]>::to_vec).collect::<HashSet<_>>().len()
}

#[test]
fn reopening_finds_everything() {
    let place = Place::new();
    let vault = place.create();
    vault.create_person(ACME, ALICE).wait().unwrap();
    let value = vault.protect(ACME, ALICE, STREAM, FIELD, "Alice").unwrap();
    assert!(matches!(Vault::open(&place.file(), place.master()), Err(VaultError::InUse(_))));
    assert!(!contains(&place.bytes(), vault.shared.key(ACME, ALICE).unwrap().0.as_slice()));
    drop(vault);
    let vault = place.open();
    assert_eq!(vault.reveal(ACME, STREAM, FIELD, &value), Ok(Revealed::Value("Alice".into())));
    for file in [place.file(), place.key_file()] {
        assert_eq!(std::fs::metadata(file).unwrap().permissions().mode() & 0o777, 0o600);
    }
    let journal = place.file().with_extension("sqlite-journal");
    assert_eq!(std::fs::metadata(journal).unwrap().permissions().mode() & 0o777, 0o600);
}

/// A look-up works again after the damage is gone; the writer does not, and that must be seen.
#[test]
fn a_stopped_writer_is_told() {
    let place = Place::new();
    let vault = place.create();
    vault.create_person(ACME, ALICE).wait().unwrap();
    assert_eq!(vault.trouble(), None);
    let whole = std::fs::read(place.file()).unwrap();
    // SQLite reads its pages again when the change counter (bytes 24 to 27) has moved.
    let with_counter = |page: &[u8], counter: u8| {
        let mut bytes = whole.clone();
        bytes[27] = counter;
        bytes[100..][..page.len()].copy_from_slice(page);
        std::fs::write(place.file(), bytes).unwrap();
    };
    with_counter(&vec![0x5a; whole.len() - 100], 200);
    assert!(matches!(vault.create_person(ACME, BOB).wait(), Err(VaultError::Stopped(_))));
    assert!(matches!(vault.trouble(), Some(VaultError::Stopped(_))));
    with_counter(&whole[100..], 201);
    assert_eq!(vault.find_person(ACME, AliasKind::Login, "anna"), Ok(None), "reading works again");
    assert!(matches!(vault.trouble(), Some(VaultError::Stopped(_))));
    assert!(matches!(vault.create_person(ACME, BOB).wait(), Err(VaultError::Stopped(_))));
}

/// What the module's rules stand on: SQLite takes a wrong pragma without a word.
#[test]
fn the_pragmas_are_in_force() {
    let place = Place::new();
    let vault = place.create();
    let database = vault.shared.database();
    assert_eq!(database.pragma("journal_mode"), "persist");
    assert_eq!(database.pragma("synchronous"), "2");
    assert_eq!(database.pragma("secure_delete"), "1");
    assert_eq!(database.pragma("temp_store"), "2");
}

/// A crash between the commit of an erasure and the wiping of the journal: opening does it.
#[test]
fn opening_wipes_what_a_crash_left_in_the_journal() {
    let place = Place::new();
    let vault = place.create();
    vault.create_person(ACME, ALICE).wait().unwrap();
    drop(vault);
    let journal = place.file().with_extension("sqlite-journal");
    let mut left = vec![0; 512];
    left.extend_from_slice(b"a page with a wrapped key");
    std::fs::write(&journal, &left).unwrap();
    let vault = place.open();
    assert!(!contains(&place.bytes(), b"wrapped key"));
    assert_eq!(std::fs::read(&journal).unwrap().len(), left.len());
    assert!(vault.protect(ACME, ALICE, STREAM, FIELD, "Alice").is_ok());
}

#[test]
fn sixteen_threads_create_at_once() {
    let place = Place::new();
    let vault = place.create();
    let start = Barrier::new(16);
    let persons: Vec<Vec<PersonId>> = thread::scope(|scope| {
        let threads: Vec<_> = (0..16u128)
            .map(|number| {
                let (vault, start) = (&vault, &start);
                scope.spawn(move || {
                    start.wait();
                    (0..50u128)
                        .map(|value| {
                            let fresh = PersonId(1 + number * 1000 + value);
                            let person =
                                vault.person(ACME, AliasKind::Email, &format!("{value}@example.org"), fresh).wait();
                            let own = PersonId(1_000_000 + fresh.0);
                            vault.create_person(ACME, own).wait().unwrap();
                            vault.protect(ACME, own, STREAM, FIELD, "x").unwrap();
                            person.unwrap()
                        })
                        .collect()
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(persons.iter().all(|found| *found == persons[0]));
    assert_eq!(persons[0].iter().collect::<HashSet<_>>().len(), 50);
    let backup = vault.backup(&place.folder.path().join("copy.sqlite")).unwrap();
    assert_eq!(backup, Contents { persons: 50 + 16 * 50, aliases: 50, erased: 0 });
}

#[test]
fn a_backup_is_whole_and_restored_erasures_are_done_again() {
    let place = Place::new();
    let copy = place.folder.path().join("backup/vault.sqlite");
    let vault = place.create();
    vault.create_person(ACME, ALICE).wait().unwrap();
    vault.create_person(ACME, BOB).wait().unwrap();
    let value = vault.protect(ACME, ALICE, STREAM, FIELD, "Alice").unwrap();
    let contents = Contents { persons: 2, aliases: 0, erased: 0 };
    assert_eq!(vault.backup(&copy), Ok(contents));
    assert!(matches!(vault.backup(&copy), Err(VaultError::Exists(_))));
    let beside = place.folder.path().join("beside.sqlite");
    assert_eq!(Vault::backup_beside(&place.file(), &place.master(), &beside), Ok(contents));
    vault.erase(ACME, ALICE).wait().unwrap();
    let erased = vault.erased().unwrap();
    drop(vault);

    assert!(matches!(Vault::restore(&copy, &place.file(), &place.master()), Err(VaultError::Exists(_))));
    let restored = place.folder.path().join("restored/vault.sqlite");
    assert_eq!(Vault::restore(&copy, &restored, &place.master()), Ok(contents));
    let vault = Vault::open(&restored, place.master()).unwrap();
    assert_eq!(vault.reveal(ACME, STREAM, FIELD, &value), Ok(Revealed::Value("Alice".into())));
    assert_eq!(vault.erase_again(&erased), Ok(1));
    assert_eq!(vault.erase_again(&erased), Ok(0));
    assert_eq!(vault.reveal(ACME, STREAM, FIELD, &value), Ok(Revealed::Erased));
}

#[test]
fn a_damaged_backup_is_not_restored() {
    let place = Place::new();
    let vault = place.create();
    vault.create_person(ACME, ALICE).wait().unwrap();
    let copy = place.folder.path().join("copy.sqlite");
    vault.backup(&copy).unwrap();
    let mut bytes = std::fs::read(&copy).unwrap();
    let wrapped = wrapped_key(&vault, ACME, ALICE);
    let at = bytes.windows(wrapped.len()).position(|window| window == wrapped).unwrap();
    bytes[at + 20] ^= 1;
    std::fs::write(&copy, bytes).unwrap();
    let to = place.folder.path().join("restored/vault.sqlite");
    assert!(matches!(Vault::restore(&copy, &to, &place.master()), Err(VaultError::Corrupt(_))));
    assert!(!to.exists());
}

#[test]
fn a_missing_or_wrong_master_key_refuses() {
    let place = Place::new();
    drop(place.create());
    let elsewhere = place.folder.path().join("other.key");
    let missing = MasterKey::open(&elsewhere).err().unwrap();
    assert!(missing.to_string().contains("can't read the vault's master key"), "{missing}");
    let wrong = MasterKey::create(&elsewhere, [8; 32]).unwrap();
    assert_eq!(Vault::open(&place.file(), wrong).err(), Some(VaultError::WrongMasterKey));
    assert!(matches!(MasterKey::create(&elsewhere, [9; 32]), Err(VaultError::KeyFile(_))));
    for text in ["", "witan-vault-key-1 abc", "witan-vault-key-2 00", &format!("witan-vault-key-1 {}", "é".repeat(32))]
    {
        std::fs::write(&elsewhere, text).unwrap();
        assert!(matches!(MasterKey::open(&elsewhere), Err(VaultError::KeyFile(_))), "{text}");
    }
}

#[test]
fn a_missing_vault_is_not_made_anew() {
    let place = Place::new();
    drop(place.create());
    assert!(matches!(Vault::create(&place.file(), place.master()), Err(VaultError::Exists(_))));
    std::fs::remove_file(place.file()).unwrap();
    assert!(matches!(Vault::open(&place.file(), place.master()), Err(VaultError::Missing(_))));
    assert!(!place.file().exists());
}

/// A figure for the docs, not a check: `cargo test -p witan-vault -- --ignored --nocapture speed`.
#[test]
#[ignore = "prints how long things take"]
fn speed() {
    let place = Place::new();
    let vault = place.create();
    let time = |what: &str, times: u32, work: &dyn Fn(u32)| {
        #[expect(clippy::disallowed_methods, reason = "a measurement")]
        let start = std::time::Instant::now();
        (0..times).for_each(work);
        println!("{what}: {:?}", start.elapsed() / times);
    };
    time("create_person, one at a time", 200, &|n| {
        vault.create_person(ACME, PersonId(u128::from(n) + 1)).wait().unwrap();
    });
    time("create_person, 256 together, each", 20, &|n| {
        let base = 1_000_000 + u128::from(n) * 256;
        let pending: Vec<_> = (0..256).map(|at| vault.create_person(ACME, PersonId(base + at))).collect();
        pending.into_iter().for_each(|pending| pending.wait().unwrap());
    });
    let value = vault.protect(ACME, PersonId(1), STREAM, FIELD, "Alice Example").unwrap();
    time("protect", 20_000, &|_| drop(vault.protect(ACME, PersonId(1), STREAM, FIELD, "Alice Example")));
    time("reveal", 20_000, &|_| drop(vault.reveal(ACME, STREAM, FIELD, &value)));
    time("erase, one at a time", 100, &|n| {
        vault.erase(ACME, PersonId(u128::from(n) + 1)).wait().unwrap();
    });
}
