//! The rules of the nodes: each for itself, and all of them together.
//!
//! Pure but for the secrets, which come through [`Surroundings`].

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;

use super::inventory::check_inventory;
use super::problem::{Findings, Path};
use super::secret::Surroundings;
use super::shape::{self, Secret, Span};
use super::values::{address, span, span_text};
use super::{DeviceConfig, NodeConfig, TapoDevice};
use crate::node::{MacAddress, NodeId, Rules};

/// Limits of `poll_interval`: more often than every 5 s makes plugs restart; more seldom than once an hour is no watch.
const POLL_INTERVAL: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(3600));

/// Limits of `off_dwell`: under a second a power supply may not notice; nobody waits five minutes for a power cycle.
const OFF_DWELL: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(300));

/// Limits of `command_deadline`: a login and a switch take up to some seconds; after ten minutes nobody waits any more.
const COMMAND_DEADLINE: (Duration, Duration) = (Duration::from_secs(10), Duration::from_secs(600));

/// How much longer than its dwell a power cycle may take: two switches with their logins and confirmations.
const SWITCHING: Duration = Duration::from_secs(10);

/// What nodes have in common, and what must not be there twice.
struct Fleet {
    rules: Rules,
    tapo: DefaultLogin,
    ids: BTreeMap<NodeId, usize>,
    nics: BTreeMap<MacAddress, Path>,
    uuids: BTreeMap<uuid::Uuid, Path>,
    /// Who uses which plug, and which outlet of it.
    plugs: BTreeMap<Plug, Vec<(usize, Option<u8>)>>,
    /// Nodes without a login for their device, by what they lack.
    no_username: Vec<Path>,
    no_password: Vec<Path>,
}

/// What tells one plug from another.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Plug {
    Address(String, Option<u16>),
    Mac(MacAddress),
}

/// A login of `defaults`.
#[derive(Default)]
struct DefaultLogin {
    username: Option<String>,
    /// It is there, but something was noted about it.
    username_wrong: bool,
    password: Option<SecretString>,
    password_wrong: bool,
}

/// Checks all nodes. Those that cannot be used are left out, and then something was noted.
pub fn check_nodes(
    nodes: Vec<shape::Node>,
    defaults: shape::Defaults,
    around: &Surroundings<'_>,
    findings: &mut Findings,
) -> Vec<NodeConfig> {
    let at = Path::top("defaults");
    let spans = (defaults.poll_interval, defaults.off_dwell, defaults.command_deadline);
    let mut fleet = Fleet {
        rules: check_rules(&at, spans, &Rules::default(), findings),
        tapo: check_login(defaults.tapo.unwrap_or_default(), &at.key("tapo"), around, findings),
        ids: BTreeMap::new(),
        nics: BTreeMap::new(),
        uuids: BTreeMap::new(),
        plugs: BTreeMap::new(),
        no_username: Vec::new(),
        no_password: Vec::new(),
    };
    let checked = nodes.into_iter().enumerate().filter_map(|(n, node)| fleet.check_node(n, node, around, findings));
    let checked = checked.collect();
    for (what, lacking) in [("username", fleet.no_username), ("password", fleet.no_password)] {
        let Some(first) = lacking.first() else { continue };
        let others = match lacking.len() {
            1 => String::new(),
            2 => " (and another node has none either)".into(),
            more => format!(" (and {} other nodes have none either)", more - 1),
        };
        let hint = format!("write it here, or once for all nodes as `defaults.tapo.{what}`");
        findings.rule_hint(&first.key(what), format!("is missing{others}"), hint);
    }
    checked
}

impl Fleet {
    fn check_node(
        &mut self,
        n: usize,
        node: shape::Node,
        around: &Surroundings<'_>,
        findings: &mut Findings,
    ) -> Option<NodeConfig> {
        let at = Path::top("nodes").item(n);
        let id = self.check_id(n, node.id, &at.key("id"), findings);
        let spans = (node.poll_interval, node.off_dwell, node.command_deadline);
        let rules = check_rules(&at, spans, &self.rules, findings);
        let nics = self.check_nics(node.nics.unwrap_or_default(), &at.key("nics"), findings);
        let mut inventory = check_inventory(node.inventory.unwrap_or_default(), &at.key("inventory"), findings);
        inventory.nics = nics;
        if let Some(uuid) = inventory.uuid {
            let at = at.key("inventory").key("uuid");
            once(&mut self.uuids, uuid, &at, findings);
        }
        let device = match (node.tapo, node.amt) {
            (Some(_), Some(_)) => {
                findings.rule_hint(&at.key("amt"), "is a second device", "leave `tapo` or `amt` out".to_owned());
                None
            }
            (Some(tapo), None) => self.check_tapo(n, tapo, &at.key("tapo"), around, findings).map(DeviceConfig::Tapo),
            (None, Some(amt)) => {
                check_amt(&amt, &at.key("amt"), findings);
                None
            }
            (None, None) => {
                if !findings.is_touched(&at.key("tapo")) && !findings.is_touched(&at.key("amt")) {
                    findings.rule_hint(&at, "has no device", "write `tapo: { address: ... }`".to_owned());
                }
                None
            }
        };
        Some(NodeConfig { id: id?, inventory: Arc::new(inventory), rules, device: device? })
    }

    fn check_id(&mut self, n: usize, written: Option<String>, at: &Path, findings: &mut Findings) -> Option<NodeId> {
        let Some(written) = written else {
            findings.rule_hint(at, "is missing", "every node has an id; it is the last part of its URLs".to_owned());
            return None;
        };
        match written.parse::<NodeId>() {
            Ok(id) => {
                match self.ids.get(&id) {
                    Some(first) => {
                        findings.rule(at, format!("{id:?} is the id of nodes[{first}] already", id = id.as_str()))
                    }
                    None => drop(self.ids.insert(id.clone(), n)),
                }
                Some(id)
            }
            Err(error) => {
                findings.rule(at, error.to_string());
                None
            }
        }
    }

    fn check_nics(&mut self, written: Vec<String>, at: &Path, findings: &mut Findings) -> Vec<MacAddress> {
        let mut nics = Vec::new();
        for (n, text) in written.iter().enumerate() {
            if let Some(nic) = check_mac(text, &at.item(n), findings) {
                once(&mut self.nics, nic, &at.item(n), findings);
                nics.push(nic);
            }
        }
        nics
    }

    fn check_tapo(
        &mut self,
        n: usize,
        written: shape::Tapo,
        at: &Path,
        around: &Surroundings<'_>,
        findings: &mut Findings,
    ) -> Option<TapoDevice> {
        let place = check_address(written.address, &at.key("address"), findings);
        let mac = written.mac.and_then(|text| check_mac(&text, &at.key("mac"), findings));
        let place_named = place.clone().map(|(host, port)| (Plug::Address(host, port), at.key("address")));
        let mac_named = mac.map(|mac| (Plug::Mac(mac), at.key("mac")));
        for (plug, at) in [place_named, mac_named].into_iter().flatten() {
            self.claim(n, plug, written.outlet, &at, findings);
        }
        let own =
            check_login(shape::Login { username: written.username, password: written.password }, at, around, findings);
        let username = own.username.or_else(|| self.tapo.username.clone());
        if username.is_none() && !own.username_wrong && !self.tapo.username_wrong {
            self.no_username.push(at.clone());
        }
        let password = match own.password_wrong {
            true => None,
            false => own.password.or_else(|| self.tapo.password.clone()),
        };
        if password.is_none() && !own.password_wrong && !self.tapo.password_wrong {
            self.no_password.push(at.clone());
        }
        let (host, port) = place?;
        Some(TapoDevice { host, port, mac, outlet: written.outlet, username: username?, password: password? })
    }

    /// Notes that a node uses a plug, or an outlet of it.
    fn claim(&mut self, n: usize, plug: Plug, outlet: Option<u8>, at: &Path, findings: &mut Findings) {
        let users = self.plugs.entry(plug).or_default();
        // Whoever names no outlet switches all of it.
        let same = users.iter().find(|(_, other)| other.is_none() || outlet.is_none() || *other == outlet);
        match (same, outlet) {
            (Some((first, other)), outlet) if outlet.is_some() && *other == outlet => {
                let hint = "every outlet switches one node".to_owned();
                findings.rule_hint(at, format!("is the same outlet of the same strip as that of nodes[{first}]"), hint);
            }
            (Some((first, _)), _) => {
                let hint = "every plug switches one node; on a strip each of them says which `outlet`".to_owned();
                findings.rule_hint(at, format!("is the same device as that of nodes[{first}]"), hint);
            }
            (None, _) => {}
        }
        users.push((n, outlet));
    }
}

/// Notes when something is there for the second time.
fn once<T: Ord + std::fmt::Display>(known: &mut BTreeMap<T, Path>, new: T, at: &Path, findings: &mut Findings) {
    match known.get(&new) {
        Some(first) => findings.rule(at, format!("{new} is at {first} already")),
        None => drop(known.insert(new, at.clone())),
    }
}

type Spans = (Option<Span>, Option<Span>, Option<Span>);

fn check_rules(at: &Path, (poll, dwell, deadline): Spans, base: &Rules, findings: &mut Findings) -> Rules {
    let changed = dwell.is_some() || deadline.is_some();
    let blamed = if deadline.is_some() { "command_deadline" } else { "off_dwell" };
    let rules = Rules {
        poll_interval: bounded(&at.key("poll_interval"), poll, POLL_INTERVAL, base.poll_interval, findings),
        off_dwell: bounded(&at.key("off_dwell"), dwell, OFF_DWELL, base.off_dwell, findings),
        command_deadline: bounded(
            &at.key("command_deadline"),
            deadline,
            COMMAND_DEADLINE,
            base.command_deadline,
            findings,
        ),
    };
    let least = rules.off_dwell + SWITCHING;
    if changed && rules.command_deadline < least {
        findings.rule_hint(
            &at.key(blamed),
            format!(
                "a power cycle with an `off_dwell` of {} does not fit into a `command_deadline` of {}",
                span_text(rules.off_dwell),
                span_text(rules.command_deadline)
            ),
            format!("write a `command_deadline` of {} or more", span_text(least)),
        );
    }
    rules
}

/// A span between two limits; the fallback when it is not written or wrong.
fn bounded(
    at: &Path,
    written: Option<Span>,
    (least, most): (Duration, Duration),
    fallback: Duration,
    findings: &mut Findings,
) -> Duration {
    let Some(Span(text)) = written else { return fallback };
    match span(&text) {
        Ok(value) if value < least => {
            findings.rule(at, format!("{text} is too short: {} is the least", span_text(least)));
        }
        Ok(value) if value > most => {
            findings.rule(at, format!("{text} is too long: {} is the most", span_text(most)));
        }
        Ok(value) => return value,
        Err(bad) => findings.rule_hint(at, bad.text, bad.hint),
    }
    fallback
}

fn check_login(written: shape::Login, at: &Path, around: &Surroundings<'_>, findings: &mut Findings) -> DefaultLogin {
    let mut login = DefaultLogin {
        username_wrong: findings.is_touched(&at.key("username")),
        password_wrong: findings.is_touched(&at.key("password")),
        ..DefaultLogin::default()
    };
    match written.username {
        Some(name) if name.trim().is_empty() => {
            findings.rule(&at.key("username"), "is empty");
            login.username_wrong = true;
        }
        name => login.username = name,
    }
    match written.password.as_ref().map(|secret: &Secret| around.reveal(secret)) {
        Some(Err(why)) => {
            findings.rule(&at.key("password"), why);
            login.password_wrong = true;
        }
        Some(Ok(password)) => login.password = Some(password),
        None => {}
    }
    login
}

fn check_address(written: Option<String>, at: &Path, findings: &mut Findings) -> Option<(String, Option<u16>)> {
    let Some(text) = written else {
        findings.rule_hint(at, "is missing", "write the host name or the IP address of the device".to_owned());
        return None;
    };
    match address(&text) {
        Ok(place) => Some(place),
        Err(bad) => {
            findings.rule_hint(at, bad.text, bad.hint);
            None
        }
    }
}

fn check_mac(text: &str, at: &Path, findings: &mut Findings) -> Option<MacAddress> {
    match text.parse() {
        Ok(mac) => Some(mac),
        Err(error) => {
            findings.rule(at, crate::node::BadMacAddress::to_string(&error));
            None
        }
    }
}

/// Reads what there is of AMT, so that the file is right once this can be driven.
fn check_amt(written: &shape::Amt, at: &Path, findings: &mut Findings) {
    check_address(written.address.clone(), &at.key("address"), findings);
    if let Some(shape::AmtTls::Pin(pin)) = &written.tls {
        let digits = pin.strip_prefix("sha256:").map(|digits| digits.replace(':', ""));
        let whole = digits.is_some_and(|digits| digits.len() == 64 && digits.chars().all(|c| c.is_ascii_hexdigit()));
        if !whole {
            findings.rule(&at.key("tls").key("pin"), "is no fingerprint: `sha256:` and 64 hex digits");
        }
    }
    findings.rule_hint(
        at,
        "Intel AMT is not supported by this version of plugfish",
        "leave the node out for now, or switch it with a plug".to_owned(),
    );
}
