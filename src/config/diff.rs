//! What lies between two configurations: for a reload and for what is said of it. Pure.

use std::collections::HashMap;

use super::{AccountSeed, Config, NodeConfig, TlsConfig};
use crate::node::NodeId;

/// What lies between two configurations. The nodes are in the order of their file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Diff {
    /// What takes effect at the next start only: `server.listen`.
    pub restart: Vec<&'static str>,
    /// Nodes that are new.
    pub added: Vec<NodeId>,
    /// Nodes that are gone.
    pub removed: Vec<NodeId>,
    /// Nodes of which anything has changed.
    pub changed: Vec<NodeId>,
    /// Those of the changed ones that have another device, or another way to it.
    pub rewired: Vec<NodeId>,
}

impl Diff {
    /// Nothing has changed.
    pub fn is_empty(&self) -> bool {
        self == &Diff::default()
    }
}

/// What has to be done to get from `old` to `new`.
pub fn diff(old: &Config, new: &Config) -> Diff {
    let by_id = |config: &Config| -> HashMap<NodeId, usize> {
        config.nodes.iter().enumerate().map(|(index, node)| (node.id.clone(), index)).collect()
    };
    let (before, after) = (by_id(old), by_id(new));
    let was = |node: &NodeConfig| before.get(&node.id).and_then(|index| old.nodes.get(*index));
    let ids = |nodes: &[NodeConfig], wanted: &dyn Fn(&NodeConfig) -> bool| -> Vec<NodeId> {
        nodes.iter().filter(|node| wanted(node)).map(|node| node.id.clone()).collect()
    };
    Diff {
        restart: restart(old, new),
        added: ids(&new.nodes, &|node| was(node).is_none()),
        removed: ids(&old.nodes, &|node| !after.contains_key(&node.id)),
        changed: ids(&new.nodes, &|node| was(node).is_some_and(|was| was != node)),
        rewired: ids(&new.nodes, &|node| was(node).is_some_and(|was| was.device != node.device)),
    }
}

fn restart(old: &Config, new: &Config) -> Vec<&'static str> {
    let (was, is) = (&old.server, &new.server);
    let parts = [
        ("server.listen", was.listen != is.listen),
        ("server.tls", needs_new_listener(was.tls.as_ref(), is.tls.as_ref())),
        ("server.auth", was.auth_required != is.auth_required),
        ("server.metrics", was.metrics != is.metrics),
        ("server.host_names", was.host_names != is.host_names),
        ("server.trusted_proxies", was.trusted_proxies != is.trusted_proxies),
        ("state_dir", old.state_dir != new.state_dir),
        ("accounts", new.accounts.iter().any(|account| is_new(account, &old.accounts))),
    ];
    parts.into_iter().filter(|(_, changed)| *changed).map(|(part, _)| part).collect()
}

/// An account that was there before is in the store, and stays as it is there whatever the file says.
fn is_new(account: &AccountSeed, before: &[AccountSeed]) -> bool {
    before.iter().all(|known| known.username != account.username)
}

/// A certificate from files takes the place of any other while serving. What needs a start is to begin or to end TLS,
/// and to make a certificate.
fn needs_new_listener(was: Option<&TlsConfig>, is: Option<&TlsConfig>) -> bool {
    match (was, is) {
        (Some(_), Some(TlsConfig::Files { .. })) => false,
        _ => was != is,
    }
}
