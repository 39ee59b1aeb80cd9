//! The fuzzing entry points of this room (tests/fuzz): any bytes as a record, as a key and as a `state.json`. Reading,
//! writing and reading again has to return the same.

use super::backup;
use super::record::{Content, Key, RecordError, decode, encode};

use crate::clock::Wall;

/// The first byte says what the others are.
pub fn kept(bytes: &[u8]) {
    let Some((kind, rest)) = bytes.split_first() else { return };
    let text = || std::str::from_utf8(rest).ok();
    let key = match kind {
        b'n' => "node/node-1",
        b's' => "seen/node-1",
        b'a' => "account/admin",
        b'e' => "session/1",
        b'v' => "value/service",
        b'm' => "manifest",
        b'k' => return text().map(key).unwrap_or_default(),
        b'j' => return text().map(state).unwrap_or_default(),
        _ => return record(rest),
    };
    let key: Key = key.parse().unwrap();
    if let Ok(content) = Content::from_slice(&key, rest) {
        comes_back(&key, 7, &content);
    }
}

/// The bytes of a whole record: a key of 8 bytes at most, and the value.
fn record(bytes: &[u8]) {
    let _ = decode(&Key::Manifest, bytes);
    let key = Key::Value("service".into());
    if let Ok((revision, content)) = decode(&key, bytes) {
        comes_back(&key, revision, &content);
    }
}

fn comes_back(key: &Key, revision: u64, content: &Content) {
    match encode(key, revision, content) {
        Ok(bytes) => {
            assert_eq!(decode(key, &bytes).as_ref(), Ok(&(revision, content.clone())));
            assert!(decode(&Key::Value("another".into()), &bytes).is_err());
        }
        Err(error) => assert!(matches!(error, RecordError::Long(_)), "{error}"),
    }
}

fn key(text: &str) {
    if let Ok(key) = text.parse::<Key>() {
        assert_eq!(key.to_string(), text);
    }
}

fn state(text: &str) {
    let Ok(read) = backup::decode(text) else { return };
    let written = backup::encode(&read.state, Wall(1), read.instead_of_database).unwrap();
    let again = backup::decode(&written).unwrap();
    assert_eq!((&again.state, again.dropped.len()), (&read.state, 0));
    let exported = backup::export(&read.state, Wall(1)).unwrap().to_string();
    assert_eq!(backup::decode(&exported).unwrap().state, read.state);
}
