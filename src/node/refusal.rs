//! Reasons for which a node refuses a command: their messages, and when to retry.

use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;

use super::NodeId;

/// Why a node did not take what was asked of it. Each says what happened, to which node, and what to do next.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum Refusal {
    /// The node has no such ability.
    #[error("{node} cannot do {what}: {device} knows no such action")]
    Unsupported {
        node: NodeId,
        what: String,
        /// The device, for people.
        device: Arc<str>,
    },
    /// The node has that ability, and not in its present state.
    #[error("{node} cannot do {what} now: {why}; nothing was changed")]
    NotNow {
        node: NodeId,
        what: String,
        /// What stands in the way, in words.
        why: String,
    },
    /// The breaker is open.
    #[error("{device}, which switches {node}, does not answer: {why}; nothing was changed")]
    DeviceAway {
        node: NodeId,
        /// The device, for people.
        device: Arc<str>,
        /// The last failure in words.
        why: String,
        /// When it is worth asking again.
        retry_after: Duration,
    },
    /// The login was refused a short while ago, and trying again now could lock the device.
    #[error("{device}, which switches {node}, refused the login: {why}; nothing was changed")]
    LoginHeld {
        node: NodeId,
        /// The device, for people.
        device: Arc<str>,
        /// What the device said, in words.
        why: String,
        /// When the next login is allowed.
        retry_after: Duration,
    },
    /// Too many requests wait for this node already, or its actor is being rebuilt.
    #[error("{node} has too much to do at the moment; nothing was changed, ask again in a second")]
    Overloaded { node: NodeId },
    /// The intent could not be made durable, so nothing was done.
    #[error("{node}: {why}; nothing was changed")]
    CannotWrite {
        node: NodeId,
        /// What the store said, with the path.
        why: String,
    },
    /// The store took longer than a caller waits for it.
    #[error(
        "{node}: the store did not confirm in time; the change may still be made, read the node before repeating it"
    )]
    Undecided { node: NodeId },
    /// The device was told, or may have been, and does not show it.
    #[error("{node}: {what} is not confirmed: {why}; read the node before repeating it")]
    Unconfirmed {
        node: NodeId,
        what: String,
        /// The reason, for people.
        why: String,
    },
    /// The condition of the request (`If-Match`) does not hold.
    #[error("{node} has changed since it was read; read it again and repeat the change")]
    Changed { node: NodeId },
    /// The daemon is going down.
    #[error("plugfish is stopping; nothing was changed for {node}")]
    Stopping { node: NodeId },
}

impl Refusal {
    /// When it is worth asking again, for `Retry-After`; `None` when asking again changes nothing.
    pub fn retry_after(&self) -> Option<Duration> {
        /// A full mailbox drains, and a fallen actor is rebuilt, within about a second.
        const SOON: Duration = Duration::from_secs(1);
        match self {
            Refusal::DeviceAway { retry_after, .. } | Refusal::LoginHeld { retry_after, .. } => Some(*retry_after),
            Refusal::Overloaded { .. } | Refusal::Undecided { .. } | Refusal::Unconfirmed { .. } => Some(SOON),
            Refusal::Stopping { .. } => Some(Duration::from_secs(5)),
            Refusal::Unsupported { .. }
            | Refusal::NotNow { .. }
            | Refusal::CannotWrite { .. }
            | Refusal::Changed { .. } => None,
        }
    }
}
