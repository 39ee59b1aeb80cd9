//! One record on the disk: its key, and a value that shows whether it is complete.
//!
//! A value is `version (1) | revision (8) | length (4) | crc32 (4) | body`, numbers in little endian. The checksum
//! covers the key as well, so that a value under a wrong key is detected. The body is JSON, because it can grow without
//! a new version. Pure functions on bytes; this file knows no database and no file.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::account::{AccountRecord, SessionRecord};
use crate::node::NodeId;
use crate::node::journal::{BootRecord, Intent, SeenRecord};
use crate::node::trust::TrustRecord;

/// The layout of records and of the whole state directory. A directory with a higher number is not touched.
pub(super) const FORMAT: u32 = 1;

/// The version byte of a record, the same as long as the header above stays.
const RECORD_VERSION: u8 = 1;

/// Bytes before the body.
const HEADER_LENGTH: usize = 17;

/// Longest body. The largest real one is under 2 KiB; a leaf of the database holds 16 values, and above 32 KiB it would
/// spill into files of its own, which nothing syncs.
pub(super) const BODY_LENGTH_MAX: usize = 16 * 1024;

/// What a record is about. As text, and on the disk: `node/node-1`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Key {
    /// What was commanded of a node: its intent and its boot override.
    Node(NodeId),
    /// What was last seen of a node.
    Seen(NodeId),
    /// What the device of a node ever proved.
    Trust(NodeId),
    /// An account, by its name.
    Account(String),
    /// A session, by its id.
    Session(String),
    /// A small value of the service, by its name.
    Value(String),
    /// How many records there are, and the revision of the last write.
    Manifest,
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Key::Node(id) => write!(f, "node/{id}"),
            Key::Seen(id) => write!(f, "seen/{id}"),
            Key::Trust(id) => write!(f, "trust/{id}"),
            Key::Account(name) => write!(f, "account/{name}"),
            Key::Session(id) => write!(f, "session/{id}"),
            Key::Value(name) => write!(f, "value/{name}"),
            Key::Manifest => f.write_str("manifest"),
        }
    }
}

impl FromStr for Key {
    type Err = RecordError;
    fn from_str(text: &str) -> Result<Key, RecordError> {
        let odd = || RecordError::Key(text.chars().take(80).collect());
        if text == "manifest" {
            return Ok(Key::Manifest);
        }
        let (kind, name) = text.split_once('/').ok_or_else(odd)?;
        match kind {
            "node" => name.parse().map(Key::Node).map_err(|_| odd()),
            "seen" => name.parse().map(Key::Seen).map_err(|_| odd()),
            "trust" => name.parse().map(Key::Trust).map_err(|_| odd()),
            "account" => Ok(Key::Account(name.into())),
            "session" => Ok(Key::Session(name.into())),
            "value" => Ok(Key::Value(name.into())),
            _ => Err(odd()),
        }
    }
}

/// What was commanded of a node. It stays when the intent is done, so that an older backup cannot bring the intent back.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Commanded {
    /// The command that is not finished.
    pub intent: Option<Intent>,
    /// The boot override.
    pub boot: Option<BootRecord>,
}

/// What the database holds: what is missing or old is noticed by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ManifestRecord {
    /// [`FORMAT`] of the writer.
    pub format: u32,
    /// Records beside this one.
    pub count: u64,
    /// Over their names and revisions; see `manifest.rs`.
    pub sum: u64,
}

/// The body of a record.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Content {
    /// Under [`Key::Node`].
    Node(Commanded),
    /// Under [`Key::Seen`].
    Seen(SeenRecord),
    /// Under [`Key::Trust`].
    Trust(Arc<TrustRecord>),
    /// Under [`Key::Account`].
    Account(AccountRecord),
    /// Under [`Key::Session`].
    Session(SessionRecord),
    /// Under [`Key::Value`].
    Value(serde_json::Value),
    /// Under [`Key::Manifest`].
    Manifest(ManifestRecord),
}

/// Why a record is not used.
#[derive(Debug, Error, PartialEq, Eq)]
pub(super) enum RecordError {
    /// Not a key of ours.
    #[error("{0:?} is no key of this store")]
    Key(String),
    /// Shorter than its header, or than the header says.
    #[error("it is cut off")]
    Short,
    /// Another layout.
    #[error("it has the unknown version {0}")]
    Version(u8),
    /// Bits have changed.
    #[error("its checksum is wrong")]
    Checksum,
    /// Whole, but not what belongs under this key.
    #[error("its content makes no sense: {0}")]
    Body(String),
    /// Over [`BODY_LENGTH_MAX`].
    #[error("it has {0} bytes, and {BODY_LENGTH_MAX} are allowed")]
    Long(usize),
}

impl Content {
    /// The body as JSON.
    pub(super) fn to_value(&self) -> Result<serde_json::Value, RecordError> {
        match self {
            Content::Node(body) => serde_json::to_value(body),
            Content::Seen(body) => serde_json::to_value(body),
            Content::Trust(body) => serde_json::to_value(&**body),
            Content::Account(body) => serde_json::to_value(body),
            Content::Session(body) => serde_json::to_value(body),
            Content::Value(body) => Ok(body.clone()),
            Content::Manifest(body) => serde_json::to_value(body),
        }
        .map_err(|error| RecordError::Body(error.to_string()))
    }

    /// The content that belongs under `key`, from JSON.
    pub(super) fn from_slice(key: &Key, body: &[u8]) -> Result<Content, RecordError> {
        match key {
            Key::Node(_) => serde_json::from_slice(body).map(Content::Node),
            Key::Seen(_) => serde_json::from_slice(body).map(Content::Seen),
            Key::Trust(_) => serde_json::from_slice(body).map(Arc::new).map(Content::Trust),
            Key::Account(_) => serde_json::from_slice(body).map(Content::Account),
            Key::Session(_) => serde_json::from_slice(body).map(Content::Session),
            Key::Value(_) => serde_json::from_slice(body).map(Content::Value),
            Key::Manifest => serde_json::from_slice(body).map(Content::Manifest),
        }
        .map_err(|error| RecordError::Body(error.to_string()))
    }
}

/// The bytes of a record that was written as a part of this revision.
pub(super) fn encode(key: &Key, revision: u64, content: &Content) -> Result<Vec<u8>, RecordError> {
    let body = content.to_value()?.to_string().into_bytes();
    let length = u32::try_from(body.len()).ok().filter(|_| body.len() <= BODY_LENGTH_MAX);
    let length = length.ok_or(RecordError::Long(body.len()))?;
    let mut bytes = Vec::with_capacity(HEADER_LENGTH + body.len());
    bytes.push(RECORD_VERSION);
    bytes.extend(revision.to_le_bytes());
    bytes.extend(length.to_le_bytes());
    bytes.extend(checksum(key, revision, &body).to_le_bytes());
    bytes.extend(body);
    Ok(bytes)
}

/// The revision and the content of a record, if it is whole.
pub(super) fn decode(key: &Key, bytes: &[u8]) -> Result<(u64, Content), RecordError> {
    let (version, rest) = bytes.split_first().ok_or(RecordError::Short)?;
    if *version != RECORD_VERSION {
        return Err(RecordError::Version(*version));
    }
    let (revision, rest) = rest.split_first_chunk().ok_or(RecordError::Short)?;
    let (length, rest) = rest.split_first_chunk().ok_or(RecordError::Short)?;
    let (sum, body) = rest.split_first_chunk().ok_or(RecordError::Short)?;
    let revision = u64::from_le_bytes(*revision);
    if usize::try_from(u32::from_le_bytes(*length)) != Ok(body.len()) {
        return Err(RecordError::Short);
    }
    if u32::from_le_bytes(*sum) != checksum(key, revision, body) {
        return Err(RecordError::Checksum);
    }
    Ok((revision, Content::from_slice(key, body)?))
}

fn checksum(key: &Key, revision: u64, body: &[u8]) -> u32 {
    let mut sum = crc32fast::Hasher::new();
    sum.update(key.to_string().as_bytes());
    sum.update(&revision.to_le_bytes());
    sum.update(body);
    sum.finalize()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::clock::Wall;
    use crate::node::journal::Stage;
    use crate::node::trust::{Proof, Proven};
    use crate::node::{Power, ResetType};

    fn samples() -> Vec<(Key, Content)> {
        let node: NodeId = "node-1".parse().unwrap();
        let intent = Intent {
            number: 7,
            reset: ResetType::PowerCycle,
            first: None,
            accepted: Wall(5),
            by: "admin".into(),
            stage: Stage::Cutting,
        };
        let seen = SeenRecord {
            power: Power::On,
            relay: None,
            at: Wall(2),
            since: Wall(1),
            energy_wh: 12,
            energy_today_wh: Some(3),
            device: "Tapo plug at 192.0.2.11".into(),
            about: Default::default(),
            capabilities: None,
            inventory: None,
        };
        let trust = TrustRecord {
            device: "Tapo plug at 192.0.2.11".into(),
            since: Wall(1),
            proven: Proven { proof: Proof::Answer, device_id: Some("id".into()), ..Proven::default() },
        };
        vec![
            (
                Key::Node(node.clone()),
                Content::Node(Commanded { intent: Some(intent), boot: Some(Default::default()) }),
            ),
            (Key::Seen(node.clone()), Content::Seen(seen)),
            (Key::Trust(node), Content::Trust(Arc::new(trust))),
            (Key::Value("service".into()), Content::Value(serde_json::json!({ "uuid": "x" }))),
            (Key::Manifest, Content::Manifest(ManifestRecord { format: FORMAT, count: 3, sum: 4 })),
        ]
    }

    #[test]
    fn a_record_comes_back_as_it_was() {
        for (key, content) in samples() {
            let bytes = encode(&key, 42, &content).unwrap();
            assert_eq!(decode(&key, &bytes), Ok((42, content)));
            assert_eq!(key.to_string().parse(), Ok(key));
        }
    }

    #[test]
    fn a_record_under_a_wrong_key_is_noticed() {
        let (key, content) = samples().remove(0);
        let bytes = encode(&key, 1, &content).unwrap();
        assert_eq!(decode(&Key::Node("node-2".parse().unwrap()), &bytes), Err(RecordError::Checksum));
    }

    #[test]
    fn odd_keys_are_refused() {
        for odd in ["", "node", "node/", "node/a b", "thing/x", "Manifest"] {
            assert!(odd.parse::<Key>().is_err(), "{odd}");
        }
        assert_eq!("account/a/b".parse(), Ok(Key::Account("a/b".into())));
    }

    #[test]
    fn a_body_that_is_too_long_is_not_written() {
        let long = Content::Value("x".repeat(BODY_LENGTH_MAX).into());
        assert_eq!(encode(&Key::Value("v".into()), 1, &long), Err(RecordError::Long(BODY_LENGTH_MAX + 2)));
    }

    proptest! {
        #[test]
        fn any_change_of_a_byte_is_noticed(which in 0usize..5, at in any::<prop::sample::Index>(), xor in 1u8..) {
            let (key, content) = samples().remove(which);
            let mut bytes = encode(&key, 42, &content).unwrap();
            let at = at.index(bytes.len());
            bytes[at] ^= xor;
            prop_assert!(decode(&key, &bytes).is_err());
        }

        #[test]
        fn any_cut_is_noticed(which in 0usize..5, at in any::<prop::sample::Index>()) {
            let (key, content) = samples().remove(which);
            let bytes = encode(&key, 42, &content).unwrap();
            prop_assert!(decode(&key, &bytes[..at.index(bytes.len())]).is_err());
        }

        #[test]
        fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            prop_assert!(decode(&Key::Manifest, &bytes).is_err());
        }
    }
}
