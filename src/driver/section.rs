//! The section of nodes.yaml that belongs to a driver: what [`config`](crate::config) has to know of it to name it, and what its
//! reader is given.

use uuid::Uuid;

use crate::reader::{Login, Place, Uniqueness};

/// A section in words.
pub(crate) struct Section {
    /// Its key, in a node and in `defaults`.
    pub key: &'static str,
    /// Devices of this kind in a table: `Tapo`.
    pub name: &'static str,
    /// When such devices are found on the network, in words.
    pub found_when: &'static str,
    /// The keys in it, in a node.
    pub keys: &'static [&'static str],
    /// One as short as it can be, for messages.
    pub example: &'static str,
    /// What it says of a node, for the JSON schema.
    pub about: &'static str,
    /// What it says in `defaults`, for the JSON schema.
    pub about_login: &'static str,
    /// The account that devices of this kind have, in words.
    pub account: &'static str,
    /// Such a device, or the machine that it is a part of, in words: `an AMT machine`.
    pub machine: &'static str,
}

/// What the reader of a section is given beside its keys.
pub(crate) struct SectionContext<'a> {
    /// The node.
    pub place: Place,
    /// The UUID of its machine, where the operator named it.
    pub uuid: Option<Uuid>,
    /// What other nodes have claimed.
    pub taken: &'a mut Uniqueness,
    /// The account in `defaults`.
    pub login: &'a mut Login,
}
