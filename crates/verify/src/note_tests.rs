use proptest::prelude::*;

use super::*;

// The vectors of Go's golang.org/x/mod/sumdb/note.
const PETER: &str = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
const PETER_SEED: &str = "AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz";
const ENOCH: &str = "EnochRoot+af0cfe78+ATtqJ7zOtqQtYqOo0CpvDXNlMhV3HeJDpjrASKGLWdop";
const TEXT: &str =
    "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n";
const PETER_LINE: &str =
    "— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";
const ENOCH_LINE: &str =
    "— EnochRoot rwz+eBzmZa0SO3NbfRGzPCpDckykFXSdeX+MNtCOXm2/5n2tiOHp+vAF1aGrQ5ovTG01oOTGwnWLox33WWd1RvMc+QQ=\n";

fn key(text: &str) -> VerifierKey {
    text.parse().unwrap()
}

fn peter() -> NoteSigner {
    NoteSigner::try_new("PeterNeumann", from_base64(PETER_SEED).unwrap()[1..].try_into().unwrap()).unwrap()
}

#[test]
fn a_key_in_its_text_form() {
    assert_eq!((key(PETER).name(), key(PETER).id()), ("PeterNeumann", 0xc74f_20a3));
    assert_eq!(key(PETER).to_string(), PETER);
    assert_eq!(peter().verifier(), &key(PETER));
    for start in 0..PETER.len() {
        for end in start..=PETER.len() {
            assert!(end - start == PETER.len() || PETER[start..end].parse::<VerifierKey>().is_err());
        }
    }
    for at in 0..PETER.len() {
        let mut bytes = PETER.as_bytes().to_vec();
        bytes[at] += 1;
        assert!(String::from_utf8(bytes).unwrap().parse::<VerifierKey>().is_err());
    }
    let long = "PeterNeumann+cc469956+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TWBADKEY==";
    assert!(long.parse::<VerifierKey>().is_err());
    let unknown_type = "PeterNeumann+173116ae+ZRpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
    assert_eq!(unknown_type.parse::<VerifierKey>(), Err(InvalidKey::Key));
    assert_eq!(VerifierKey::try_new("a name", &key(PETER).public()), Err(InvalidKey::Name));
}

#[test]
fn signing_gives_the_known_note() {
    assert_eq!(peter().sign(TEXT), format!("{TEXT}\n{PETER_LINE}"));
}

#[test]
fn a_known_note_is_verified() {
    let note = Note::try_from_text(&format!("{TEXT}\n{PETER_LINE}{ENOCH_LINE}")).unwrap();
    assert_eq!(note.text(), TEXT);
    assert_eq!(note.verify(&key(PETER)), Ok(()));
    assert_eq!(note.verify(&key(ENOCH)), Ok(()));
    let note = Note::try_from_text(&format!("{TEXT}\n{ENOCH_LINE}")).unwrap();
    assert_eq!(note.verify(&key(PETER)), Err(Unverified::NoSignature { key: PETER.into() }));
    let other = Note::try_from_text(&format!("x{TEXT}\n{PETER_LINE}")).unwrap();
    assert_eq!(other.verify(&key(PETER)), Err(Unverified::WrongSignature { key: PETER.into() }));
}

/// The example of the specification: a text with a blank line of its own.
#[test]
fn the_last_blank_line_ends_the_text() {
    let text = "Ognuno sta solo sul cuor della terra\ntrafitto da un raggio di sole:\n\ned è subito sera.\n";
    let line = "— quasimodo.example/salvatore NnugSzTjtVAewIS+Z/iJhUPeFDkO/5QQ2i5ddnGITLlC+EhfLW9oJKONrMouFSQU0xMcXxj99ihAQwaqP3ZekRwNtIc=\n";
    assert_eq!(Note::try_from_text(&format!("{text}\n{line}")).unwrap().text(), text);
}

#[test]
fn what_is_not_a_note() {
    let many = PETER_LINE.repeat(SIGNATURES_MAX + 1);
    for (text, problem) in [
        (TEXT.to_owned(), InvalidNote::NoSignatures),
        (format!("{TEXT}\n"), InvalidNote::NoSignatures),
        (format!("{TEXT}\n{}", PETER_LINE.trim_end()), InvalidNote::NoSignatures),
        (format!("\u{1}{TEXT}\n{PETER_LINE}"), InvalidNote::ControlCharacter),
        (format!("{TEXT}\n{}", PETER_LINE.replace("Neumann", " Neumann")), InvalidNote::SignatureLine { number: 1 }),
        (format!("{TEXT}\n{PETER_LINE}Unexpected line.\n"), InvalidNote::SignatureLine { number: 2 }),
        (format!("{TEXT}\n{many}"), InvalidNote::TooManySignatures),
        ("x".repeat(NOTE_BYTES_MAX + 1), InvalidNote::TooLong),
    ] {
        assert_eq!(Note::try_from_text(&text), Err(problem));
    }
}

#[test]
fn one_wrong_signature_of_the_key_spoils_the_note() {
    let wrong = PETER_LINE.replace("x08go/ZJ", "x08go/ZK");
    let note = Note::try_from_text(&format!("{TEXT}\n{PETER_LINE}{wrong}")).unwrap();
    assert_eq!(note.verify(&key(PETER)), Err(Unverified::WrongSignature { key: PETER.into() }));
}

proptest! {
    #[test]
    fn any_text_is_read_without_panic(text: String, lines in "(\n|— |[a-z+/= ]){0,40}") {
        let _ = Note::try_from_text(&text);
        let _ = Note::try_from_text(&format!("{text}\n\n{lines}\n"));
        let _ = text.parse::<VerifierKey>();
    }

    #[test]
    fn no_bit_of_a_signed_note_may_change(bit in 0usize..8 * TEXT.len()) {
        let mut bytes = format!("{TEXT}\n{PETER_LINE}").into_bytes();
        bytes[bit / 8] ^= 1 << (bit % 8);
        let verified = String::from_utf8(bytes)
            .is_ok_and(|text| Note::try_from_text(&text).is_ok_and(|note| note.verify(&key(PETER)).is_ok()));
        prop_assert!(!verified);
    }
}
