//! A log's head (c2sp.org/tlog-checkpoint): origin, number of leaves, and root, as the text of a signed note.

use crate::{
    hash_from_base64,
    note::{Note, NoteSigner},
    to_base64,
    tree::Hash,
};

/// Why a note's text is not a checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidCheckpoint {
    #[error("fewer than the three lines of a checkpoint (origin, size, root)")]
    Short,
    #[error("line 1, the origin, is empty")]
    Origin,
    #[error("line 2, the size, is not a decimal number below 2^64 without leading zeroes")]
    Size,
    #[error("line 3, the root, is not 32 bytes in base64")]
    Root,
    #[error("line {number} is empty")]
    Extension { number: usize },
}

/// What a log says of itself at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// The log's name, fixed when its data folder is made.
    pub origin: String,
    /// How many events it holds.
    pub size: u64,
    pub root: Hash,
}

impl Checkpoint {
    /// Reads a note's text. Extension lines are let pass: no claim of witan's is in them.
    pub fn try_from_text(text: &str) -> Result<Self, InvalidCheckpoint> {
        let text = text.strip_suffix('\n').ok_or(InvalidCheckpoint::Short)?;
        let mut lines = text.split('\n');
        let origin = lines.next().unwrap_or_default();
        let (Some(size), Some(root)) = (lines.next(), lines.next()) else {
            return Err(InvalidCheckpoint::Short);
        };
        if origin.is_empty() {
            return Err(InvalidCheckpoint::Origin);
        }
        if let Some(at) = lines.position(str::is_empty) {
            return Err(InvalidCheckpoint::Extension { number: at + 4 });
        }
        Ok(Self {
            origin: origin.to_owned(),
            size: decimal(size).ok_or(InvalidCheckpoint::Size)?,
            root: hash_from_base64(root).ok_or(InvalidCheckpoint::Root)?,
        })
    }

    /// Reads a note, without a look at its signatures.
    pub fn try_from_note(note: &Note) -> Result<Self, InvalidCheckpoint> {
        Self::try_from_text(note.text())
    }

    /// The text that is signed.
    pub fn text(&self) -> String {
        format!("{}\n{}\n{}\n", self.origin, self.size, to_base64(&self.root))
    }

    /// The signed note.
    pub fn sign(&self, signer: &NoteSigner) -> String {
        signer.sign(&self.text())
    }
}

fn decimal(text: &str) -> Option<u64> {
    let plain = text.bytes().all(|digit| digit.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    if plain { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The example of the specification.
    const EXAMPLE: &str = "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n\
        — example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n";

    #[test]
    fn the_example_of_the_specification() {
        let note = Note::try_from_text(EXAMPLE).unwrap();
        let checkpoint = Checkpoint::try_from_note(&note).unwrap();
        assert_eq!((checkpoint.origin.as_str(), checkpoint.size), ("example.com/behind-the-sofa", 20_852_163));
        assert_eq!(checkpoint.text(), note.text());
    }

    #[test]
    fn what_is_not_a_checkpoint() {
        let root = to_base64(&[7; 32]);
        for (text, problem) in [
            (String::new(), InvalidCheckpoint::Short),
            ("a\n1\n".into(), InvalidCheckpoint::Short),
            (format!("a\n1\n{root}"), InvalidCheckpoint::Short),
            (format!("\n1\n{root}\n"), InvalidCheckpoint::Origin),
            (format!("a\n01\n{root}\n"), InvalidCheckpoint::Size),
            (format!("a\n+1\n{root}\n"), InvalidCheckpoint::Size),
            (format!("a\n\n{root}\n"), InvalidCheckpoint::Size),
            (format!("a\n18446744073709551616\n{root}\n"), InvalidCheckpoint::Size),
            ("a\n1\nAAAA\n".into(), InvalidCheckpoint::Root),
            (format!("a\n1\n{root}\n\n"), InvalidCheckpoint::Extension { number: 4 }),
            (format!("a\n1\n{root}\nx\n\ny\n"), InvalidCheckpoint::Extension { number: 5 }),
        ] {
            assert_eq!(Checkpoint::try_from_text(&text), Err(problem), "{text:?}");
        }
        assert_eq!(Checkpoint::try_from_text(&format!("a\n0\n{root}\nmore\n")).unwrap().size, 0);
    }

    proptest! {
        #[test]
        fn text_and_back(origin in "[a-z][a-z0-9./-]{0,40}", size: u64, root: Hash, seed: [u8; 32]) {
            let checkpoint = Checkpoint { origin, size, root };
            prop_assert_eq!(&Checkpoint::try_from_text(&checkpoint.text()).unwrap(), &checkpoint);
            let signer = NoteSigner::try_new(&checkpoint.origin, &seed).unwrap();
            let note = Note::try_from_text(&checkpoint.sign(&signer)).unwrap();
            prop_assert_eq!(note.verify(signer.verifier()), Ok(()));
            prop_assert_eq!(Checkpoint::try_from_note(&note).unwrap(), checkpoint);
        }

        #[test]
        fn any_text_is_read_without_panic(text: String) {
            let _ = Checkpoint::try_from_text(&text);
        }
    }
}
