//! The top of nodes.yaml: the keys of the file itself, of `server` and of `accounts`.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use secrecy::zeroize::Zeroizing;

use super::check::{self, ACCOUNT_NODES_MAX, HOST_NAMES_MAX, LISTEN_MAX, PROXIES_MAX};
use super::{AccountPassword, AccountSeed, Config, ServerConfig, TlsConfig, nodes, values};
use crate::account::{ACCOUNTS_MAX, MetricsAccess, NodeScope, Role};
use crate::reader::cursor::Diagnostics;
use crate::reader::suggest::suggest;
use crate::reader::tree::{Tree, Value};
use crate::reader::{Cursor, Keys, Read, secret};

/// The keys of the file.
pub(super) const FILE: &[&str] = &["server", "state_dir", "accounts", "defaults", "nodes"];
/// The keys of `server`.
pub(super) const SERVER: &[&str] =
    &["listen", "tls", "auth", "allow_insecure", "metrics", "host_names", "trusted_proxies"];
/// The keys of `server.tls`.
pub(super) const TLS: &[&str] = &["certificate", "key", "self_signed"];
/// The keys of `server.tls.self_signed`.
pub(super) const SELF_SIGNED: &[&str] = &["names"];
/// The keys of an account.
pub(super) const ACCOUNT: &[&str] = &["username", "password", "password_hash", "role", "nodes"];

/// Where clients are served when the file does not say it: this machine alone.
pub(super) const LISTEN_DEFAULT: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 8000);

/// Largest certificate or key file. A chain of a few certificates has some 10 KiB.
const PEM_BYTES_MAX: usize = 1 << 20;

/// Reads the whole configuration.
pub(super) fn config(reading: &Diagnostics<'_>, tree: &Tree) -> Read<Config> {
    let nothing = Tree { line: None, value: Value::Map(Vec::new()) };
    let root = Cursor::root(reading, if let Value::Null = tree.value { &nothing } else { tree });
    let keys = root.keys(FILE)?;
    let server = keys.optional("server", server);
    let state_dir = keys.optional("state_dir", path);
    let accounts = keys.optional("accounts", |at| accounts(at, &node_ids(tree)));
    let defaults = keys.optional("defaults", nodes::defaults);
    let nodes = keys.required("nodes", "the list of nodes", |at| nodes::nodes(at, defaults));
    Ok(Config {
        server: server?.unwrap_or_default(),
        state_dir: state_dir?.unwrap_or_else(|| state_dir_default(reading)),
        accounts: accounts?.unwrap_or_default(),
        nodes: nodes?,
    })
}

/// The directory that systemd made for the state (`StateDirectory=`), else one beside the file.
fn state_dir_default(reading: &Diagnostics<'_>) -> PathBuf {
    let given = reading.around.var("STATE_DIRECTORY").unwrap_or_default();
    let first = std::env::split_paths(&given).next().filter(|first| !first.as_os_str().is_empty());
    reading.folder.join(first.unwrap_or("state".into()))
}

/// A path; a relative one begins at the folder of the file.
fn path(at: &Cursor<'_>) -> Read<PathBuf> {
    let text = at.text()?;
    if text.is_empty() || text.contains('\0') {
        return Err(at.problem("must be a path"));
    }
    Ok(at.reading.folder.join(text))
}

impl Default for ServerConfig {
    fn default() -> ServerConfig {
        ServerConfig {
            listen: vec![LISTEN_DEFAULT],
            tls: None,
            auth_required: true,
            metrics: MetricsAccess::default(),
            host_names: Vec::new(),
            trusted_proxies: Vec::new(),
        }
    }
}

fn server(at: &Cursor<'_>) -> Read<ServerConfig> {
    let keys = at.keys(SERVER)?;
    let mut addresses = Vec::new();
    let listen = keys.optional("listen", |at| listen(at, &mut addresses));
    let mut certificate_names = Vec::new();
    let tls = keys.optional("tls", |at| tls(at, &mut certificate_names));
    let auth = keys.optional("auth", |at| at.word(&[("required", true), ("none", false)]));
    let allow_insecure = keys.optional("allow_insecure", |at| at.flag());
    let metrics = keys.optional("metrics", |at| {
        at.word(&[
            ("public", MetricsAccess::Public),
            ("authenticated", MetricsAccess::Authenticated),
            ("off", MetricsAccess::Off),
        ])
    });
    let host_names = keys.optional("host_names", |at| list_of(at, HOST_NAMES_MAX, values::server_name));
    let trusted_proxies = keys.optional("trusted_proxies", |at| list_of(at, PROXIES_MAX, values::network));
    // Those that can be read are looked at even if others cannot.
    if let (Some(address), Ok(Some(false)), Ok(None | Some(false))) =
        (check::reachable_from_outside(&addresses), &auth, &allow_insecure)
    {
        let text = format!(
            "must be required while {address} can be reached from other machines: every client there could switch the \
             nodes; if that is wanted, set allow_insecure: true"
        );
        return Err(keys.problem("auth", text));
    }
    allow_insecure?;
    Ok(ServerConfig {
        listen: listen?.map_or_else(|| vec![LISTEN_DEFAULT], |()| addresses),
        tls: tls?,
        auth_required: auth?.unwrap_or(true),
        metrics: metrics?.unwrap_or_default(),
        host_names: host_names?.into_iter().flatten().chain(certificate_names).collect(),
        trusted_proxies: trusted_proxies?.unwrap_or_default(),
    })
}

fn listen(at: &Cursor<'_>, addresses: &mut Vec<SocketAddr>) -> Read<()> {
    let count = at.list(LISTEN_MAX, |at| {
        let address = at.parse(values::listen)?;
        // Port 0 is a free port, another one each time.
        if address.port() != 0 && addresses.contains(&address) {
            return Err(at.problem(format_args!("{address} is there twice")));
        }
        addresses.push(address);
        Ok(())
    })?;
    if count.is_empty() {
        return Err(at.problem(format_args!("has no address in it; leave the key out for {LISTEN_DEFAULT}")));
    }
    Ok(())
}

/// A list of texts, each read by `parse`; none is there twice.
fn list_of<T: PartialEq>(at: &Cursor<'_>, most: usize, parse: fn(&str) -> Result<T, String>) -> Read<Vec<T>> {
    let mut read = Vec::new();
    at.list(most, |at| {
        let one = at.parse(parse)?;
        if read.contains(&one) {
            return Err(at.problem("is there twice"));
        }
        read.push(one);
        Ok(())
    })?;
    Ok(read)
}

/// `self_signed: true`, or the names that the certificate has besides those of this machine. `None` for `false`.
fn self_signed(at: &Cursor<'_>) -> Read<Option<Vec<String>>> {
    if let Value::Map(_) = at.tree.value {
        let keys = at.keys(SELF_SIGNED)?;
        let names = keys.optional("names", |at| list_of(at, HOST_NAMES_MAX, values::server_name))?;
        return Ok(Some(names.unwrap_or_default()));
    }
    Ok(at.flag()?.then(Vec::new))
}

/// Names that a certificate is to have are names of this service, and go to `host_names`.
fn tls(at: &Cursor<'_>, host_names: &mut Vec<String>) -> Read<TlsConfig> {
    let keys = at.keys(TLS)?;
    let self_signed = keys.optional("self_signed", self_signed).map(Option::flatten);
    let certificate = keys.optional("certificate", |at| pem(at, "CERTIFICATE-----", "certificate"));
    let key = keys.optional("key", |at| pem(at, "PRIVATE KEY-----", "private key"));
    match (self_signed?, certificate?, key?) {
        (Some(names), None, None) => {
            host_names.extend(names);
            Ok(TlsConfig::SelfSigned)
        }
        (None, Some(certificate), Some(key)) => Ok(TlsConfig::Files { certificate, key }),
        (Some(_), ..) => Err(at.problem("has files and self_signed: true; only one of them can hold")),
        (_, Some(_), None) => Err(keys.problem("key", "is missing; it must be the path of the private key (PEM)")),
        (_, None, Some(_)) => {
            Err(keys.problem("certificate", "is missing; it must be the path of the certificate (PEM)"))
        }
        (_, None, None) => Err(at.problem(
            "must be { certificate: PATH, key: PATH } or { self_signed: true }; for plain HTTP leave the key tls out",
        )),
    }
}

/// The path of a PEM file that is there and holds what it should.
fn pem(at: &Cursor<'_>, label: &str, what: &str) -> Read<PathBuf> {
    let path = path(at)?;
    let shown = path.display();
    let bytes = at.reading.around.read(&path, PEM_BYTES_MAX).map(Zeroizing::new);
    let bytes = bytes.map_err(|error| at.problem(format_args!("{shown} cannot be read: {error}")))?;
    if !bytes.windows(label.len()).any(|window| window == label.as_bytes()) {
        return Err(at.problem(format_args!("{shown} has no {what} in PEM form in it")));
    }
    Ok(path)
}

/// The ids in the list of nodes, whatever else is wrong with it.
fn node_ids(root: &Tree) -> Vec<&str> {
    let Some(Value::List(nodes)) = root.get("nodes").map(|nodes| &nodes.value) else { return Vec::new() };
    nodes
        .iter()
        .filter_map(|node| if let Value::Text(id) = &node.get("id")?.value { Some(id.as_str()) } else { None })
        .collect()
}

fn accounts(at: &Cursor<'_>, node_ids: &[&str]) -> Read<Vec<AccountSeed>> {
    let mut names: HashMap<String, usize> = HashMap::new();
    let mut index = 0;
    at.list(ACCOUNTS_MAX, |at| {
        let seed = account(at, node_ids, |at| {
            let name = at.parse(values::account_name)?;
            match names.insert(name.clone(), index) {
                Some(first) => Err(at.problem(format_args!("{name} is already the name of accounts[{first}]"))),
                None => Ok(name),
            }
        });
        index += 1;
        seed
    })
}

fn account(
    at: &Cursor<'_>,
    node_ids: &[&str],
    username: impl FnOnce(&Cursor<'_>) -> Read<String>,
) -> Read<AccountSeed> {
    let keys = at.keys(ACCOUNT)?;
    let username = keys.required("username", "the name to log in with", username);
    let password = password(&keys);
    let roles = Role::ALL.map(|role| (role.name(), role));
    let role = keys.optional("role", |at| at.word(&roles));
    let scope = keys.optional("nodes", |at| scope(at, node_ids));
    // A single account is meant to be the one that may do everything; `role` is for those that may do less.
    let role = role?.unwrap_or(Role::Administrator);
    Ok(AccountSeed { username: username?, password: password?, role, scope: scope? })
}

/// The nodes that an account is limited to; each must be there.
fn scope(at: &Cursor<'_>, node_ids: &[&str]) -> Read<NodeScope> {
    let nodes = at.list(ACCOUNT_NODES_MAX, |at| {
        let id = at.parse(values::node_id)?.to_string();
        if node_ids.contains(&id.as_str()) {
            return Ok(id);
        }
        Err(match suggest(&id, node_ids) {
            Some(meant) => at.problem(format_args!("there is no node {id} in nodes, did you mean {meant}?")),
            None => at.problem(format_args!("there is no node {id} in nodes")),
        })
    })?;
    if nodes.is_empty() {
        return Err(at.problem("has no node in it; leave the key out for all nodes"));
    }
    Ok(nodes.into_iter().collect())
}

fn password(keys: &Keys<'_>) -> Read<AccountPassword> {
    let plain = keys.optional("password", secret::secret);
    let hash = keys.optional("password_hash", |at| at.parse(values::password_hash));
    match (plain?, hash?) {
        (Some(plain), None) => Ok(AccountPassword::Plain(plain)),
        (None, Some(hash)) => Ok(AccountPassword::Hash(hash)),
        (Some(_), Some(_)) => Err(keys.problem("password_hash", "is there beside password; only one of them can hold")),
        (None, None) => Err(keys.problem("password", "is missing; give password or password_hash")),
    }
}
