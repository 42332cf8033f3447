//! The names of a server's files. No other file is ever changed or deleted.

use sha2::{Digest as _, Sha256};

/// The name of an object's files: the SHA-256 of its key.
pub(super) fn hash(key: &str) -> String {
    hex::encode(Sha256::digest(key))
}

/// A name for a new data file.
pub(super) fn new_data(key: &str) -> String {
    format!("{}.{:016x}.data", hash(key), fastrand::u64(..))
}

/// A name for something temporary.
pub(super) fn new_temporary(extension: &str) -> String {
    format!("{:032x}{extension}", fastrand::u128(..))
}

/// Whether something temporary has this name, with any of the extensions.
pub(super) fn is_temporary(name: &str, extensions: &[&str]) -> bool {
    extensions
        .iter()
        .filter_map(|extension| name.strip_suffix(extension))
        .any(|stem| is_hex(stem, 32))
}

/// The hash in the name of a sidecar.
pub(super) fn hash_of_sidecar(name: &str) -> Option<&str> {
    let hash = name.strip_suffix(".json")?;
    is_hex(hash, 64).then_some(hash)
}

/// The hash in the name of a data file.
pub(super) fn hash_of_data(name: &str) -> Option<&str> {
    let (hash, nonce) = name.strip_suffix(".data")?.split_once('.')?;
    (is_hex(hash, 64) && is_hex(nonce, 16)).then_some(hash)
}

fn is_hex(text: &str, length: usize) -> bool {
    let hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
    text.len() == length && text.bytes().all(hex)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_our_own_form_are_ours() {
        let data = new_data("k");
        assert_eq!(hash_of_data(&data), Some(&*hash("k")));
        let sidecar = format!("{}.json", hash("k"));
        assert_eq!(hash_of_sidecar(&sidecar), Some(&*hash("k")));
        assert!(is_temporary(&new_temporary(".json"), &["", ".json"]));
        for name in [
            "x.data",
            "bucket.json",
            "notes.txt",
            &data.to_uppercase(),
            &format!("../{data}"),
        ] {
            assert_eq!(hash_of_data(name), None, "{name}");
            assert_eq!(hash_of_sidecar(name), None, "{name}");
            assert!(!is_temporary(name, &["", ".json"]), "{name}");
        }
    }
}
