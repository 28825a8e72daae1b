//! Hashes of sources.

use super::Source;
use sha2::{Digest, Sha256};

/// Files up to this many bytes are hashed unless told otherwise: 1 GiB, about a second.
pub const HASH_BY_DEFAULT: u64 = 1 << 30;

/// Which hash to record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum HashChoice {
    /// SHA-256, for every file.
    Sha256,
    /// BLAKE3, for every file.
    Blake3,
    /// None.
    None,
    /// SHA-256 for files up to 1 GiB.
    #[default]
    #[value(skip)]
    Default,
}

/// A source's hash, as recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SourceHash {
    /// The algorithm's name and the hash in hex.
    Computed(&'static str, String),
    /// Not hashed.
    NotHashed,
}

impl SourceHash {
    /// The hash as one word, or that there is none.
    #[must_use]
    pub fn text(&self) -> String {
        match self {
            Self::Computed(algorithm, hash) => format!("{algorithm}:{hash}"),
            Self::NotHashed => "not hashed".to_owned(),
        }
    }
}

/// Hashes a source, or not, as chosen.
#[must_use]
pub fn hash(source: &Source, choice: HashChoice) -> SourceHash {
    match choice {
        HashChoice::Sha256 => {
            let mut digest = Sha256::new();
            source.each_piece(&mut |bytes| digest.update(bytes));
            SourceHash::Computed("sha256", hex::encode(digest.finalize()))
        }
        HashChoice::Default if source.len() <= HASH_BY_DEFAULT => hash(source, HashChoice::Sha256),
        HashChoice::Blake3 => {
            let mut digest = blake3::Hasher::new();
            source.each_piece(&mut |bytes| {
                digest.update(bytes);
            });
            SourceHash::Computed("blake3", digest.finalize().to_hex().to_string())
        }
        HashChoice::None | HashChoice::Default => SourceHash::NotHashed,
    }
}
