//! The whole state in memory, and the changes to it.
//!
//! Pure: no disk, no thread. A durable change is first planned (the records to write), then written by `writer.rs`, and
//! only then adopted, so that a change that could not be written is visible neither to readers nor in a later backup.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::record::{Commanded, Content, Key};
use crate::account::{AccountRecord, SessionRecord};
use crate::node::NodeId;
use crate::node::journal::{BootRecord, Intent, NodeRecord, SeenRecord};
use crate::node::trust::TrustRecord;

/// A record in memory.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Entry {
    /// The revision that wrote it last; of two copies of a record the higher one is the newer.
    pub revision: u64,
    pub content: Content,
}

/// Everything that is kept, without the manifest, which is made at each write.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct State {
    /// The revision of the last write. Grows by one with each, also with one that fails.
    pub revision: u64,
    /// The records.
    pub entries: BTreeMap<Key, Entry>,
}

/// What a write would do: the new content of keys, `None` where the record goes away.
pub(super) type Plan = BTreeMap<Key, Option<Content>>;

/// A change that a caller waits for.
#[derive(Clone, Debug)]
pub(super) enum Change {
    /// A new intent of a node in the place of the one before.
    Intent(NodeId, Intent),
    /// A new boot override of a node.
    Boot(NodeId, BootRecord),
    /// What the device of a node proved, or that nothing is on record.
    Trust(NodeId, Option<Arc<TrustRecord>>),
    /// An account made or changed.
    PutAccount(AccountRecord),
    /// An account gone, with its sessions.
    DeleteAccount(String),
    /// A small value of the service.
    PutValue(String, serde_json::Value),
    /// A small value of the service gone.
    DeleteValue(String),
    /// The whole state exchanged.
    Replace(BTreeMap<Key, Content>),
    /// A record as it is in memory, where it was changed without waiting.
    AsItIs(Key),
    /// Nothing: the caller that waits for it knows that all before it is durable.
    Barrier,
}

impl Change {
    /// The name for metrics.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Change::Intent(..) => "intent",
            Change::Boot(..) => "boot",
            Change::Trust(..) => "trust",
            Change::PutAccount(_) | Change::DeleteAccount(_) => "account",
            Change::PutValue(..) | Change::DeleteValue(_) => "value",
            Change::Replace(_) => "restore",
            Change::AsItIs(_) => "session",
            Change::Barrier => "sync",
        }
    }

    /// Whether the backup is to follow at once: what was deleted, or an old password, must not come back from it.
    pub(super) fn wants_backup(&self) -> bool {
        use Change::{DeleteAccount, DeleteValue, PutAccount, Replace, Trust};
        matches!(self, PutAccount(_) | DeleteAccount(_) | DeleteValue(_) | Replace(_) | Trust(_, None))
    }
}

impl State {
    /// The content under a key.
    pub(super) fn get(&self, key: &Key) -> Option<&Content> {
        self.entries.get(key).map(|entry| &entry.content)
    }

    /// What was commanded of a node.
    pub(super) fn commanded(&self, node: &NodeId) -> Commanded {
        match self.get(&Key::Node(node.clone())) {
            Some(Content::Node(commanded)) => commanded.clone(),
            _ => Commanded::default(),
        }
    }

    /// What was last seen of a node.
    pub(super) fn seen(&self, node: &NodeId) -> Option<&SeenRecord> {
        match self.get(&Key::Seen(node.clone())) {
            Some(Content::Seen(seen)) => Some(seen),
            _ => None,
        }
    }

    /// All that is known of a node.
    pub(super) fn node(&self, node: &NodeId) -> NodeRecord {
        let Commanded { intent, boot } = self.commanded(node);
        NodeRecord { intent, boot, seen: self.seen(node).cloned(), trust: self.trust(node) }
    }

    /// What the device of a node ever proved.
    pub(super) fn trust(&self, node: &NodeId) -> Option<Arc<TrustRecord>> {
        match self.get(&Key::Trust(node.clone())) {
            Some(Content::Trust(trust)) => Some(trust.clone()),
            _ => None,
        }
    }

    /// The accounts in the order of their names.
    pub(super) fn accounts(&self) -> Vec<AccountRecord> {
        let account = |entry: &Entry| match &entry.content {
            Content::Account(account) => Some(account.clone()),
            _ => None,
        };
        self.entries.values().filter_map(account).collect()
    }

    /// The sessions.
    pub(super) fn sessions(&self) -> Vec<SessionRecord> {
        self.entries.values().filter_map(session_of).cloned().collect()
    }

    /// A small value of the service.
    pub(super) fn value(&self, name: &str) -> Option<serde_json::Value> {
        match self.get(&Key::Value(name.into())) {
            Some(Content::Value(value)) => Some(value.clone()),
            _ => None,
        }
    }

    /// The small values whose names begin with this.
    pub(super) fn values(&self, prefix: &str) -> Vec<(String, serde_json::Value)> {
        let from = self.entries.range(Key::Value(prefix.into())..);
        let values = from.map_while(|(key, entry)| match (key, &entry.content) {
            (Key::Value(name), Content::Value(value)) if name.starts_with(prefix) => {
                Some((name.clone(), value.clone()))
            }
            _ => None,
        });
        values.collect()
    }

    /// Adds to `plan` what `change` does to the state, seen after what `plan` does already.
    pub(super) fn plan(&self, change: &Change, plan: &mut Plan) {
        match change {
            Change::Intent(node, intent) => {
                let mut commanded = self.planned(node, plan);
                commanded.intent = Some(intent.clone());
                plan.insert(Key::Node(node.clone()), Some(Content::Node(commanded)));
            }
            Change::Boot(node, boot) => {
                let mut commanded = self.planned(node, plan);
                commanded.boot = Some(boot.clone());
                plan.insert(Key::Node(node.clone()), Some(Content::Node(commanded)));
            }
            Change::Trust(node, trust) => {
                drop(plan.insert(Key::Trust(node.clone()), trust.clone().map(Content::Trust)));
            }
            Change::PutAccount(account) => {
                plan.insert(Key::Account(account.username.clone()), Some(Content::Account(account.clone())));
            }
            Change::DeleteAccount(username) => {
                plan.insert(Key::Account(username.clone()), None);
                let own = |entry: &Entry| session_of(entry).is_some_and(|session| session.username == *username);
                let sessions = self.entries.iter().filter(|(_, entry)| own(entry));
                plan.extend(sessions.map(|(key, _)| (key.clone(), None)));
            }
            Change::PutValue(name, value) => {
                plan.insert(Key::Value(name.clone()), Some(Content::Value(value.clone())));
            }
            Change::DeleteValue(name) => drop(plan.insert(Key::Value(name.clone()), None)),
            Change::Replace(records) => {
                plan.extend(self.entries.keys().map(|key| (key.clone(), None)));
                plan.extend(records.iter().map(|(key, content)| (key.clone(), Some(content.clone()))));
            }
            Change::AsItIs(key) => drop(plan.insert(key.clone(), self.get(key).cloned())),
            Change::Barrier => {}
        }
    }

    fn planned(&self, node: &NodeId, plan: &Plan) -> Commanded {
        match plan.get(&Key::Node(node.clone())) {
            Some(Some(Content::Node(commanded))) => commanded.clone(),
            Some(_) => Commanded::default(),
            None => self.commanded(node),
        }
    }

    /// Applies a plan that was made durable.
    pub(super) fn adopt(&mut self, plan: Plan, revision: u64) {
        for (key, content) in plan {
            match content {
                Some(content) => self.entries.insert(key, Entry { revision, content }),
                None => self.entries.remove(&key),
            };
        }
    }
}

fn session_of(entry: &Entry) -> Option<&SessionRecord> {
    match &entry.content {
        Content::Session(session) => Some(session),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::account::Role;
    use crate::clock::Wall;
    use crate::node::ResetType;
    use crate::node::journal::Stage;

    fn node() -> NodeId {
        "node-1".parse().unwrap()
    }

    fn intent(number: u64) -> Intent {
        Intent {
            number,
            reset: ResetType::On,
            first: None,
            accepted: Wall(0),
            by: "admin".into(),
            stage: Stage::Accepted,
        }
    }

    #[test]
    fn changes_of_one_node_in_one_plan_do_not_lose_each_other() {
        let mut state = State::default();
        let mut plan = Plan::new();
        state.plan(&Change::Intent(node(), intent(1)), &mut plan);
        state.plan(&Change::Boot(node(), BootRecord { writes: 3, ..Default::default() }), &mut plan);
        state.plan(&Change::Intent(node(), intent(2)), &mut plan);
        assert_eq!(state, State::default(), "a plan changes nothing");
        state.adopt(plan, 9);
        let record = state.node(&node());
        assert_eq!(record.intent, Some(intent(2)));
        assert_eq!(record.boot.map(|boot| boot.writes), Some(3));
    }

    #[test]
    fn an_account_takes_its_sessions_along() {
        let mut state = State::default();
        for (id, username) in [("1", "admin"), ("2", "other")] {
            let session = SessionRecord {
                id: id.into(),
                token_hash: String::new(),
                username: username.into(),
                origin: None,
                context: None,
                created: Wall(0),
                last_used: Wall(0),
            };
            state.adopt(Plan::from([(Key::Session(id.into()), Some(Content::Session(session)))]), 1);
        }
        let account = AccountRecord {
            username: "admin".into(),
            password_hash: String::new(),
            role: Role::Operator,
            enabled: true,
            change: 1,
            password_change_required: false,
            created: Wall(0),
            scope: None,
        };
        let mut plan = Plan::new();
        state.plan(&Change::PutAccount(account.clone()), &mut plan);
        state.adopt(plan, 2);
        assert_eq!(state.accounts(), [account]);
        let mut plan = Plan::new();
        state.plan(&Change::DeleteAccount("admin".into()), &mut plan);
        state.adopt(plan, 3);
        assert_eq!(state.accounts(), []);
        assert_eq!(state.sessions().iter().map(|s| s.id.as_str()).collect::<Vec<_>>(), ["2"]);
    }

    #[test]
    fn values_are_found_by_the_beginning_of_their_names() {
        let mut state = State::default();
        let mut plan = Plan::new();
        for name in ["a", "b/1", "b/2", "b0", "c"] {
            state.plan(&Change::PutValue(name.into(), name.into()), &mut plan);
        }
        state.plan(&Change::DeleteValue("b/1".into()), &mut plan);
        state.adopt(plan, 1);
        assert_eq!(state.values("b/"), [("b/2".to_owned(), "b/2".into())]);
        assert_eq!(state.values("d"), []);
    }

    #[test]
    fn a_replaced_state_keeps_nothing_of_the_old_one() {
        let mut state = State::default();
        let value = |n: u64| Content::Value(n.into());
        state.adopt(Plan::from([(Key::Value("a".into()), Some(value(1)))]), 1);
        let mut plan = Plan::new();
        state.plan(&Change::Replace(BTreeMap::from([(Key::Value("b".into()), value(2))])), &mut plan);
        state.adopt(plan, 2);
        assert_eq!(state.value("a"), None);
        assert_eq!(state.value("b"), Some(2.into()));
    }
}
