//! The fuzzing entry point of `plugfish import sushy` (tests/fuzz): any text as the file.

use super::*;

/// Both ways to keep the passwords say the same, and what is found wrong with what comes out is said in words.
pub fn sushy(text: &str) {
    let options = |inline_passwords| Import {
        source: ImportSource::Sushy,
        file: PathBuf::new(),
        secrets: None,
        inline_passwords,
    };
    let (Ok(inline), Ok(beside)) = (nodes_yaml(text, &options(true)), nodes_yaml(text, &options(false))) else {
        return;
    };
    assert!(inline.secrets.is_empty() && !beside.secrets.is_empty());
    // Only names that fit into nodes.yaml get this far; a password of one that is empty or not printable does not.
    if let (Err(one), Ok(())) = (check(&inline), check(&beside)) {
        panic!("good with files and bad without: {one:#}");
    }
}
