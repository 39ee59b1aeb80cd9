//! `plugfish import sushy`: converts a configuration of sushy-tools with the Tapo driver to nodes.yaml.
//!
//! Nodes keep the names that clients have in their URLs. Passwords go into files of their own. Settings without an
//! equivalent in nodes.yaml are listed on stderr. The result is parsed as nodes.yaml before it is printed.

#[cfg(fuzzing)]
pub mod fuzz;
mod python;

use std::collections::{BTreeMap, HashSet};
use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs::OpenOptions;
use std::io::{self, Read, Write as _};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use self::python::{Literal, Statement, statements};
use super::output::{print, remark};
use super::{Import, ImportSource};
use crate::config;
use crate::reader::{Environment, Host};

/// Largest file that is read; a thousand systems fit into it several times.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// The list of the systems.
const SYSTEMS: &str = "SUSHY_EMULATOR_TAPO_SYSTEMS";

/// What systems have that is state, and not configuration.
const STATE: &[&str] =
    &["name", "power_state", "last_updated", "pending_power", "boot_device", "boot_mode", "boot_image", "secure_boot"];

/// `plugfish import`.
pub(super) fn import(options: &Import) -> Result<()> {
    let ImportSource::Sushy = options.source;
    let file = &options.file;
    let read = || -> io::Result<String> {
        let mut text = String::new();
        std::fs::File::open(file)?.take(FILE_BYTES_MAX + 1).read_to_string(&mut text)?;
        Ok(text)
    };
    let text = read().with_context(|| format!("cannot read {}", file.display()))?;
    if text.len() as u64 > FILE_BYTES_MAX {
        bail!("{} is larger than {FILE_BYTES_MAX} bytes; is it the right file?", file.display());
    }
    let imported = nodes_yaml(&text, options).with_context(|| format!("cannot import {}", file.display()))?;
    imported.remarks.iter().for_each(|text| remark(text));
    check(&imported)?;
    for (path, password) in &imported.secrets {
        write_secret(path, password)?;
    }
    if !imported.secrets.is_empty() {
        let written: Vec<String> = imported.secrets.keys().map(|path| path.display().to_string()).collect();
        remark(&format!("the passwords are in {}, which only you can read; nodes.yaml names them", written.join(", ")));
    }
    print(&imported.text);
    Ok(())
}

/// The result of an import.
struct Imported {
    text: String,
    /// The files with the passwords, as nodes.yaml names them.
    secrets: BTreeMap<PathBuf, String>,
    remarks: Vec<String>,
}

/// A file that is there already is kept when it says the same.
fn write_secret(path: &Path, password: &str) -> Result<()> {
    let text = format!("{password}\n");
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Ok(mut made) => made.write_all(text.as_bytes()).with_context(|| format!("cannot write {}", path.display())),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => match std::fs::read_to_string(path) {
            Ok(old) if old == text => Ok(()),
            _ => bail!(
                "{} is there already with another password; move it, or name a --secrets directory",
                path.display()
            ),
        },
        Err(error) => Err(error).with_context(|| format!("cannot write {}", path.display())),
    }
}

/// Reads the result as the daemon would. What is wrong with it is wrong in the imported file, too: a plug twice, say.
fn check(imported: &Imported) -> Result<()> {
    struct Around<'a>(&'a Imported);
    const FILE: &str = "nodes.yaml";
    impl Environment for Around<'_> {
        fn var(&self, _: &str) -> Option<OsString> {
            None
        }
        fn read(&self, path: &Path, bytes_max: usize) -> io::Result<Vec<u8>> {
            if path == Path::new(FILE) {
                return Ok(self.0.text.as_bytes().to_vec());
            }
            let known = self.0.secrets.iter().find(|(file, _)| path.ends_with(file));
            known.map(|(_, password)| password.clone().into()).map_or_else(|| Host.read(path, bytes_max), Ok)
        }
        fn everybody_reads(&self, _: &Path) -> bool {
            false
        }
    }
    match config::load_in(Path::new(FILE), &Around(imported)) {
        Ok(_) => Ok(()),
        Err(problems) => bail!("what comes of it is no good nodes.yaml, so nothing is written:\n{problems}"),
    }
}

/// A login that a node uses.
type Login = (String, String);

/// A system that was understood.
struct Node {
    id: String,
    uuid: Option<String>,
    is_amt: bool,
    address: String,
    login: Login,
    nics: Vec<String>,
}

fn nodes_yaml(text: &str, options: &Import) -> Result<Imported> {
    let (mut systems, mut settings, mut remarks) = (None, BTreeMap::new(), Vec::new());
    for statement in statements(text) {
        match statement {
            Statement::Constant { name, value, .. } if name.is_empty() || name == SYSTEMS => {
                systems = Some(value.map_err(anyhow::Error::msg)?);
            }
            Statement::Constant { name, value: Ok(value), .. } => drop(settings.insert(name, value)),
            Statement::Constant { name, value: Err(why), .. } => remarks.push(format!("{name} is left out: {why}")),
            Statement::Other { line } => {
                remarks.push(format!("line {line} is left out: it is no constant, and nothing is run"));
            }
        }
    }
    let Some(Literal::List(systems)) = systems else {
        bail!("it has no list {SYSTEMS}; is it a configuration of sushy-tools with the Tapo driver?");
    };
    if systems.is_empty() {
        bail!("{SYSTEMS} is empty; there is nothing to import");
    }
    let mut taken = HashSet::new();
    let nodes: Vec<Node> = systems
        .iter()
        .enumerate()
        .map(|(index, system)| node(system, &mut taken, &mut remarks).with_context(|| format!("{SYSTEMS}[{index}]")))
        .collect::<Result<_>>()?;
    let server = server(&mut settings, &mut remarks);
    for name in settings.keys() {
        remarks.push(format!("{name} has no place in nodes.yaml and is left out"));
    }
    let mut secrets = BTreeMap::new();
    let mut text =
        format!("# Made by `plugfish import sushy`. See whether it is right with `plugfish check --probe`.\n{server}");
    text.push_str(&defaults(&nodes, options, &mut secrets));
    text.push_str("nodes:\n");
    for node in &nodes {
        text.push_str(&entry(node, &nodes, options, &mut secrets));
    }
    Ok(Imported { text, secrets, remarks })
}

/// Where sushy-tools listened, so that its clients find plugfish there.
fn server(settings: &mut BTreeMap<String, Literal>, remarks: &mut Vec<String>) -> String {
    let address = settings.remove("SUSHY_EMULATOR_LISTEN_IP").and_then(|ip| ip.text().map(str::to_owned));
    let port = match settings.remove("SUSHY_EMULATOR_LISTEN_PORT") {
        Some(Literal::Whole(port)) => port,
        _ => 8000,
    };
    let file =
        |value: Option<Literal>| value.and_then(|value| value.text().filter(|text| !text.is_empty()).map(quoted));
    let certificate = file(settings.remove("SUSHY_EMULATOR_SSL_CERT"));
    let key = file(settings.remove("SUSHY_EMULATOR_SSL_KEY"));
    let ip = address.as_deref().filter(|ip| !ip.is_empty()).unwrap_or("127.0.0.1");
    let listen =
        if ip.contains(':') && !ip.starts_with('[') { format!("[{ip}]:{port}") } else { format!("{ip}:{port}") };
    let mut text = format!("server:\n  listen: [{}]\n", quoted(&listen));
    match (certificate, key) {
        (Some(certificate), Some(key)) => {
            let _ = writeln!(text, "  tls: {{ certificate: {certificate}, key: {key} }}");
        }
        (None, None) => {}
        _ => {
            remarks.push("SUSHY_EMULATOR_SSL_CERT and SUSHY_EMULATOR_SSL_KEY belong together; both are left out".into())
        }
    }
    if settings.remove("SUSHY_EMULATOR_AUTH_FILE").is_some_and(|file| file.text().is_some()) {
        remarks.push(
            "the accounts of SUSHY_EMULATOR_AUTH_FILE are left out, since its hashes are of another kind; make them with \
             `accounts` in nodes.yaml"
                .into(),
        );
    }
    text
}

fn node(system: &Literal, taken: &mut HashSet<String>, remarks: &mut Vec<String>) -> Result<Node> {
    let Literal::Map(entries) = system else { bail!("is no dictionary") };
    let get = |key: &str| entries.iter().rev().find(|(own, _)| own == key).map(|(_, value)| value);
    let text = |key: &str| get(key).and_then(Literal::text).filter(|text| !text.is_empty()).map(str::to_owned);
    let is_name =
        |name: &String| name.len() <= 64 && name.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c));
    let Some(id) = text("uuid").filter(is_name).or_else(|| text("name").filter(is_name)) else {
        bail!("has no uuid that can be the name of a node: letters, digits, . _ -, 64 of them at most");
    };
    let is_amt = match get("amt") {
        Some(Literal::Flag(is_amt)) => *is_amt,
        None => text("amt_address").is_some() && text("address").is_none(),
        Some(_) => bail!("amt of {id} is neither True nor False"),
    };
    let (address, login, used): (_, Login, &[&str]) = if is_amt {
        (
            "amt_address",
            ("admin".into(), wanted(text("amt_password"), "amt_password", &id)?),
            &["amt_address", "amt_password"],
        )
    } else {
        let username = wanted(text("tapo_username"), "tapo_username", &id)?;
        let password = wanted(text("tapo_password"), "tapo_password", &id)?;
        ("address", (username, password), &["address", "tapo_username", "tapo_password"])
    };
    let address = wanted(text(address), address, &id)?;
    let mut nics = Vec::new();
    if let Some(Literal::List(given)) = get("nics") {
        for nic in given {
            let mac = match nic {
                Literal::Map(entries) => {
                    entries.iter().find(|(key, _)| key == "address").and_then(|(_, mac)| mac.text())
                }
                other => other.text(),
            };
            match mac.map(|mac| mac.replace('-', ":").to_ascii_lowercase()) {
                Some(mac) if !taken.insert(mac.clone()) => remarks.push(format!(
                    "the network interface {mac} of {id} is left out: another one has this address already, and no two can"
                )),
                Some(mac) => nics.push(mac),
                None => remarks.push(format!("a network interface of {id} is left out: it has no address")),
            }
        }
    }
    for (key, _) in entries {
        let known = key == "uuid" || key == "amt" || key == "nics" || used.contains(&key.as_str());
        if !known && !STATE.contains(&key.as_str()) {
            remarks.push(format!("{key} of {id} is left out: a node has one device, and this is not of it"));
        }
    }
    let uuid = text("uuid").filter(|uuid| uuid::Uuid::parse_str(uuid).is_ok_and(|uuid| !uuid.is_nil()));
    Ok(Node { id, uuid, is_amt, address, login, nics })
}

fn wanted(value: Option<String>, key: &str, id: &str) -> Result<String> {
    value.with_context(|| format!("the system {id} has no {key}"))
}

/// A text in YAML: JSON's quotes are YAML's, too.
fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

/// The login that the first node of a kind has; those that have the same name none of their own.
fn shared(nodes: &[Node], is_amt: bool) -> Option<&Login> {
    nodes.iter().find(|node| node.is_amt == is_amt).map(|node| &node.login)
}

fn defaults(nodes: &[Node], options: &Import, secrets: &mut BTreeMap<PathBuf, String>) -> String {
    let mut text = String::new();
    for (kind, is_amt) in [("tapo", false), ("amt", true)] {
        if let Some((username, password)) = shared(nodes, is_amt) {
            let password = secret(password, &format!("{kind}.pass"), options, secrets);
            let _ = writeln!(text, "  {kind}: {{ username: {}, password: {password} }}", quoted(username));
        }
    }
    format!("defaults:\n{text}")
}

fn secret(password: &str, name: &str, options: &Import, secrets: &mut BTreeMap<PathBuf, String>) -> String {
    if options.inline_passwords {
        return quoted(password);
    }
    let path = options.secrets.as_ref().map_or_else(|| name.into(), |folder| folder.join(name));
    // What is not beside nodes.yaml is named from the root.
    let path = if options.secrets.is_some() { std::path::absolute(&path).unwrap_or(path) } else { path };
    let shown = format!("{{ file: {} }}", quoted(&path.display().to_string()));
    secrets.insert(path, password.to_owned());
    shown
}

fn entry(node: &Node, nodes: &[Node], options: &Import, secrets: &mut BTreeMap<PathBuf, String>) -> String {
    let Node { id, uuid, is_amt, address, login, nics } = node;
    let mut device = format!("address: {}", quoted(address));
    if shared(nodes, *is_amt).is_some_and(|shared| shared != login) {
        let password = secret(&login.1, &format!("{id}.pass"), options, secrets);
        let _ = write!(device, ", username: {}, password: {password}", quoted(&login.0));
    }
    let kind = if *is_amt { "amt" } else { "tapo" };
    let mut text = format!("  - id: {}\n    {kind}: {{ {device} }}\n", quoted(id));
    if !nics.is_empty() {
        let _ = writeln!(text, "    nics: [{}]", nics.iter().map(|mac| quoted(mac)).collect::<Vec<_>>().join(", "));
    }
    if let Some(uuid) = uuid {
        let _ = writeln!(text, "    inventory: {{ uuid: {} }}", quoted(uuid));
    }
    text
}
