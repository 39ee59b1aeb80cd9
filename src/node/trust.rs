//! What a node's device has proved about its identity: kept on disk, never weakened silently, deleted only by an
//! explicit command.
//!
//! Every driver uses it in the same way. It reads [`DeviceTrust::known`] before it logs in, and accepts nothing weaker.
//! It passes the proofs of a session to [`DeviceTrust::prove`] before an observation or a power action relies on that
//! session. New proofs are durable when that returns. The first contact is trusted on first use.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::device::{DeviceError, FailureClass};
use super::{MacAddress, NodeId};
use crate::clock::{Clock, Wall};
use crate::durable::WriteFuture;

/// How it was shown that an answer comes from the node's device, the weakest first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Proof {
    /// By nothing: any host that answers at the address could have said the same.
    #[default]
    Claimed,
    /// The device proved at the login that it knows the account. Its answers are encrypted, but not authenticated one by
    /// one: a man in the middle can alter them.
    Login,
    /// The answer itself is authenticated, by keys that come from the account or from a known certificate.
    Answer,
}

impl Proof {
    /// In words, as a part of a sentence.
    pub const fn words(self) -> &'static str {
        match self {
            Proof::Claimed => "nothing proved",
            Proof::Login => "account proved",
            Proof::Answer => "every answer authenticated",
        }
    }
}

/// A protocol of a driver, with its place among the protocols of that driver.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Protocol {
    /// The higher, the more it proves. Only the driver knows what the numbers stand for.
    pub rank: u8,
    /// `KLAP v2`.
    pub name: String,
}

/// What a device showed in a session, or in all of them. What is `None` was not shown.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Proven {
    /// How its answers were proved.
    pub proof: Proof,
    /// The protocol that it used.
    pub protocol: Option<Protocol>,
    /// Its hardware address.
    pub mac: Option<MacAddress>,
    /// Its own identity, whatever the protocol calls it.
    pub device_id: Option<String>,
    /// The identity of the machine that it is a part of.
    pub uuid: Option<Uuid>,
    /// The fingerprint of its TLS certificate.
    pub certificate: Option<String>,
    /// The realm of its HTTP authentication.
    pub realm: Option<String>,
}

impl Proven {
    /// What is known after this was shown too. An error in words when it is less than before, or of another device.
    pub fn and(&self, shown: &Proven) -> Result<Proven, String> {
        if shown.proof < self.proof {
            return Err(format!("{}, and before {}", shown.proof.words(), self.proof.words()));
        }
        let protocol = match (&self.protocol, &shown.protocol) {
            (Some(old), Some(new)) if new.rank < old.rank => {
                return Err(format!("it speaks {}, and before {}", new.name, old.name));
            }
            (Some(old), Some(new)) if new.rank == old.rank => Some(old.clone()),
            (old, new) => new.clone().or_else(|| old.clone()),
        };
        Ok(Proven {
            proof: shown.proof,
            protocol,
            mac: same("MAC address", self.mac, shown.mac)?,
            device_id: same("device id", self.device_id.clone(), shown.device_id.clone())?,
            uuid: same("UUID", self.uuid, shown.uuid)?,
            certificate: same("certificate", self.certificate.clone(), shown.certificate.clone())?,
            realm: same("realm", self.realm.clone(), shown.realm.clone())?,
        })
    }
}

fn same<T: PartialEq + fmt::Display>(what: &str, old: Option<T>, new: Option<T>) -> Result<Option<T>, String> {
    match (old, new) {
        (Some(old), Some(new)) if old != new => Err(format!("its {what} is {new}, and before {old}")),
        (old, new) => Ok(old.or(new)),
    }
}

impl fmt::Display for Proven {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = |what: &str, value: Option<String>| value.map(|value| format!("{what} {value}"));
        let parts = [
            self.protocol.as_ref().map(|protocol| protocol.name.clone()),
            Some(self.proof.words().into()),
            named("MAC", self.mac.map(|mac| mac.to_string())),
            named("device id", self.device_id.clone()),
            named("UUID", self.uuid.map(|uuid| uuid.to_string())),
            named("certificate", self.certificate.clone()),
            named("realm", self.realm.clone()),
        ];
        f.write_str(&parts.into_iter().flatten().collect::<Vec<_>>().join(", "))
    }
}

/// What a node's device ever proved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrustRecord {
    /// The device in the operator's words. A node that is given another address may have another device: what is
    /// recorded of the one before says nothing of it.
    pub device: Arc<str>,
    /// When it was first in contact.
    pub since: Wall,
    pub proven: Proven,
}

/// Where trust records are kept.
pub trait TrustBook: Send + Sync {
    /// What is recorded of a node's device. From memory: never waits for a disk.
    fn trust(&self, node: &NodeId) -> Option<Arc<TrustRecord>>;

    /// Makes a record durable, or with `None` that there is none. It replaces the one before.
    fn record_trust(&self, node: &NodeId, trust: Option<Arc<TrustRecord>>) -> WriteFuture;
}

/// A book in memory, for a program that logs in once and ends.
#[derive(Default)]
pub struct VolatileBook(Mutex<HashMap<NodeId, Arc<TrustRecord>>>);

impl TrustBook for VolatileBook {
    fn trust(&self, node: &NodeId) -> Option<Arc<TrustRecord>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(node).cloned()
    }

    fn record_trust(&self, node: &NodeId, trust: Option<Arc<TrustRecord>>) -> WriteFuture {
        let mut records = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match trust {
            Some(trust) => records.insert(node.clone(), trust),
            None => records.remove(node),
        };
        Box::pin(async { Ok(()) })
    }
}

/// What a device is given to look up, and to extend, what is recorded of it.
pub(crate) struct DeviceTrust {
    node: NodeId,
    device: Arc<str>,
    /// What nodes.yaml says of the device: a record that says otherwise is of another one.
    named: Proven,
    book: Arc<dyn TrustBook>,
    clock: Clock,
}

impl DeviceTrust {
    /// The trust in the device of `node`, which is `device` in the operator's words. `named` holds what nodes.yaml says
    /// of its identity (a MAC address, a pinned certificate): a word of the operator goes over a record.
    pub(crate) fn new(
        node: NodeId,
        device: impl Into<Arc<str>>,
        named: Proven,
        book: Arc<dyn TrustBook>,
        clock: Clock,
    ) -> DeviceTrust {
        DeviceTrust { node, device: device.into(), named, book, clock }
    }

    /// The trust in a device of which nothing is on record, and nothing will be when this is dropped.
    pub(crate) fn volatile(node: NodeId, clock: Clock) -> DeviceTrust {
        DeviceTrust::new(node, "", Proven::default(), Arc::new(VolatileBook::default()), clock)
    }

    /// What is recorded of the device; `None` before the first contact.
    pub(crate) fn known(&self) -> Option<Arc<TrustRecord>> {
        let fits = |named: &Proven, proven: &Proven| {
            // What it proved is no identity: only that is compared.
            named.and(&Proven { proof: named.proof, protocol: None, ..proven.clone() }).is_ok()
        };
        let record = self.book.trust(&self.node)?;
        (record.device == self.device && fits(&self.named, &record.proven)).then_some(record)
    }

    /// What the device proved so far: nothing before the first contact.
    pub(crate) fn proven(&self) -> Proven {
        self.known().map(|record| record.proven.clone()).unwrap_or_default()
    }

    /// Whether all of this is on record already, so that relying on it needs no [`prove`](DeviceTrust::prove).
    pub(crate) fn covers(&self, shown: &Proven) -> bool {
        self.known().is_some_and(|record| record.proven.and(shown).is_ok_and(|all| all == record.proven))
    }

    /// Takes in what a session showed. When this returns `Ok`, all of it is durable; an error when it is less than the
    /// device proved before, or when it cannot be made durable: then nothing may rely on the session.
    pub(crate) async fn prove(&self, shown: &Proven) -> Result<Arc<TrustRecord>, DeviceError> {
        let known = self.known();
        let before = known.as_ref().map(|record| record.proven.clone()).unwrap_or_default();
        let proven = before.and(shown).map_err(|what| self.distrust(&what))?;
        if let Some(known) = known.as_ref().filter(|known| known.proven == proven) {
            return Ok(known.clone());
        }
        let since = known.map_or_else(|| self.clock.now().wall, |known| known.since);
        let record = Arc::new(TrustRecord { device: self.device.clone(), since, proven });
        let written = self.book.record_trust(&self.node, Some(record.clone())).await;
        written.map_err(|error| {
            let text = format!("what it proved cannot be recorded, so it is not relied on: {error}");
            DeviceError::new(FailureClass::NotReady, text)
        })?;
        Ok(record)
    }

    /// The error of a device that proves less than before; `what` says how.
    pub(crate) fn distrust(&self, what: &str) -> DeviceError {
        let text = format!(
            "it proves less than before ({what}): something else may answer in its place; if the device was replaced or \
             set up again, run \"{}\"",
            self.command()
        );
        DeviceError::new(FailureClass::Distrusted, text)
    }

    /// What a person types to have the record forgotten.
    pub(crate) fn command(&self) -> String {
        reset_command(&self.node)
    }
}

/// What a person types to have the record of a node's device forgotten.
pub(crate) fn reset_command(node: &NodeId) -> String {
    format!("plugfish trust {node} --reset")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::durable::WriteError;

    fn klap() -> Proven {
        let protocol = Some(Protocol { rank: 2, name: "KLAP v2".into() });
        Proven { proof: Proof::Answer, protocol, mac: Some(MacAddress([1; 6])), ..Proven::default() }
    }

    fn trust(book: &Arc<VolatileBook>, device: &str, named: Proven) -> DeviceTrust {
        DeviceTrust::new("node-1".parse().unwrap(), device, named, book.clone(), Clock::system())
    }

    #[tokio::test]
    async fn what_was_proved_once_is_wanted_from_then_on() {
        let book = Arc::new(VolatileBook::default());
        let plug = trust(&book, "plug at A", Proven::default());
        assert_eq!(plug.known(), None);
        assert!(!plug.covers(&klap()));
        let record = plug.prove(&klap()).await.unwrap();
        assert!(plug.covers(&klap()) && plug.known() == Some(record));
        let less = [
            Proven { proof: Proof::Login, ..klap() },
            Proven { protocol: Some(Protocol { rank: 1, name: "securePassthrough".into() }), ..klap() },
            Proven { mac: Some(MacAddress([2; 6])), ..klap() },
        ];
        for shown in less {
            let error = plug.prove(&shown).await.unwrap_err();
            assert_eq!(error.class, FailureClass::Distrusted, "{error}");
            assert!(error.text.contains("plugfish trust node-1 --reset"), "{error}");
            assert!(!plug.covers(&shown));
        }
        let more = Proven { device_id: Some("id".into()), ..klap() };
        assert!(!plug.covers(&more));
        assert_eq!(plug.prove(&more).await.unwrap().proven, more);
        // What is not shown again is not forgotten.
        assert_eq!(plug.prove(&klap()).await.unwrap().proven, more);
        book.record_trust(&"node-1".parse().unwrap(), None).await.unwrap();
        let less = Proven { mac: Some(MacAddress([2; 6])), ..Proven::default() };
        assert_eq!(plug.prove(&less).await.unwrap().proven, less, "a person's word");
    }

    #[tokio::test]
    async fn a_record_is_of_the_device_that_the_operator_named() {
        let book = Arc::new(VolatileBook::default());
        trust(&book, "plug at A", Proven::default()).prove(&klap()).await.unwrap();
        assert_eq!(trust(&book, "plug at B", Proven::default()).known(), None, "another address");
        let named = |mac| Proven { mac: Some(MacAddress([mac; 6])), ..Proven::default() };
        assert_eq!(trust(&book, "plug at A", named(2)).known(), None, "another MAC address is configured");
        assert!(trust(&book, "plug at A", named(1)).known().is_some());
    }

    #[tokio::test]
    async fn what_cannot_be_recorded_is_not_relied_on() {
        struct Full;
        impl TrustBook for Full {
            fn trust(&self, _: &NodeId) -> Option<Arc<TrustRecord>> {
                None
            }
            fn record_trust(&self, _: &NodeId, _: Option<Arc<TrustRecord>>) -> WriteFuture {
                let error = WriteError { path: "state".into(), why: "no space left on device".into() };
                Box::pin(async { Err(error) })
            }
        }
        let node = "node-1".parse().unwrap();
        let plug = DeviceTrust::new(node, "plug", Proven::default(), Arc::new(Full), Clock::system());
        let error = plug.prove(&klap()).await.unwrap_err();
        assert_eq!(error.class, FailureClass::NotReady);
        assert!(error.text.contains("no space left"), "{error}");
    }
}
