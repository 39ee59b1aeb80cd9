//! The rules of nodes.yaml beside those of the nodes: server, state directory, accounts.
//!
//! From what the user wrote to what the daemon needs, with everything that is wrong noted on the way. Files and the
//! environment are only looked at through [`Surroundings`].

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::PathBuf;

use super::nodes::check_nodes;
use super::problem::{Findings, Path};
use super::secret::Surroundings;
use super::shape::{self, Auth};
use super::values::is_password_hash;
use super::{AccountSeed, Config, SeedPassword, ServerConfig, TlsConfig};
use crate::account::Role;

/// Where clients are served when nothing is said.
const LISTEN_DEFAULT: &str = "127.0.0.1:8000";

/// Longest name of an account. It is a part of a URL and of log lines.
const USERNAME_LENGTH_MAX: usize = 64;

/// Checks everything. `None` when something that is needed is not there, and then something was noted.
pub fn check(file: shape::File, around: &Surroundings<'_>, findings: &mut Findings) -> Option<Config> {
    let server = check_server(file.server.unwrap_or_default(), around, findings);
    let accounts = file.accounts.unwrap_or_default();
    let accounts = accounts.into_iter().enumerate().collect::<Vec<_>>();
    let mut names = BTreeSet::new();
    let accounts = accounts
        .into_iter()
        .filter_map(|(n, account)| check_account(n, account, &mut names, around, findings))
        .collect();
    let nodes = match file.nodes {
        Some(nodes) => check_nodes(nodes, file.defaults.unwrap_or_default(), around, findings),
        None => {
            findings.rule_hint(
                &Path::top("nodes"),
                "is missing",
                "write `nodes:` with an entry for each machine".to_owned(),
            );
            Vec::new()
        }
    };
    let state_dir = check_state_dir(file.state_dir, around, findings);
    Some(Config { server: server?, state_dir, accounts, nodes })
}

fn check_state_dir(written: Option<String>, around: &Surroundings<'_>, findings: &mut Findings) -> PathBuf {
    match written {
        Some(dir) => {
            if dir.is_empty() {
                findings.rule(&Path::top("state_dir"), "is empty");
            }
            around.path(&dir)
        }
        None => match around.var("STATE_DIRECTORY") {
            // systemd gives several directories separated by colons; the unit names ours first.
            Some(dirs) => dirs.split(':').next().unwrap_or_default().into(),
            None => around.path("state"),
        },
    }
}

fn check_server(written: shape::Server, around: &Surroundings<'_>, findings: &mut Findings) -> Option<ServerConfig> {
    let at = Path::top("server");
    let listen = check_listen(written.listen, &at.key("listen"), findings);
    let auth = written.auth.unwrap_or_default();
    let allow_insecure = written.allow_insecure.unwrap_or(false);
    let reachable: Vec<String> =
        listen.iter().filter(|address| !address.ip().is_loopback()).map(SocketAddr::to_string).collect();
    if auth == Auth::None && !allow_insecure && !reachable.is_empty() {
        findings.rule_hint(
            &at.key("auth"),
            format!("`none` lets everybody who reaches {} switch the machines", reachable.join(", ")),
            "listen on 127.0.0.1, or write `auth: required`, or say `allow_insecure: true`".to_owned(),
        );
    }
    let tls = written.tls.map(|tls| check_tls(tls, &at.key("tls"), around, findings));
    Some(ServerConfig {
        listen,
        tls: match tls {
            Some(tls) => Some(tls?),
            None => None,
        },
        auth,
        allow_insecure,
        metrics: written.metrics.unwrap_or_default(),
    })
}

fn check_listen(written: Option<Vec<String>>, at: &Path, findings: &mut Findings) -> Vec<SocketAddr> {
    let written = written.unwrap_or_else(|| vec![LISTEN_DEFAULT.into()]);
    if written.is_empty() {
        findings.rule_hint(at, "is empty", format!("write [\"{LISTEN_DEFAULT}\"]"));
    }
    let mut listen = Vec::new();
    for (n, text) in written.iter().enumerate() {
        match text.parse::<SocketAddr>() {
            Ok(address) if listen.contains(&address) => findings.rule(&at.item(n), format!("{address} is there twice")),
            Ok(address) => listen.push(address),
            Err(_) => {
                findings.rule_hint(&at.item(n), format!("{text:?} is no address with a port"), listen_hint(text));
            }
        }
    }
    listen
}

fn listen_hint(text: &str) -> String {
    let port = text.rsplit(':').next().filter(|port| port.parse::<u16>().is_ok());
    match (text.parse::<std::net::IpAddr>(), port) {
        (Ok(ip), _) => format!("write \"{}\"", SocketAddr::new(ip, 8000)),
        (_, Some(port)) if text.starts_with(':') || text.starts_with('*') || text == port => {
            format!("write \"0.0.0.0:{port}\" or \"[::]:{port}\" for all addresses of this machine")
        }
        (_, Some(port)) => format!("names are not understood here, write an IP address like \"127.0.0.1:{port}\""),
        _ => format!("write it like \"{LISTEN_DEFAULT}\" or \"[::]:8443\""),
    }
}

fn check_tls(written: shape::Tls, at: &Path, around: &Surroundings<'_>, findings: &mut Findings) -> Option<TlsConfig> {
    let self_signed = written.self_signed.unwrap_or(false);
    let choose = "write either `certificate` and `key`, or `self_signed: true`";
    match (self_signed, written.certificate, written.key) {
        (true, None, None) => Some(TlsConfig::SelfSigned),
        (true, ..) => {
            findings.rule_hint(at, "names files and is self-signed too", choose.to_owned());
            None
        }
        (false, None, None) => {
            // One of them may be there in a form that was complained about.
            if !findings.is_touched(&at.key("certificate")) && !findings.is_touched(&at.key("key")) {
                findings.rule_hint(at, "says nothing", choose.to_owned());
            }
            None
        }
        (false, certificate, key) => {
            let mut file = |name: &str, written: Option<String>| {
                let path = match written {
                    Some(path) => around.path(&path),
                    None => {
                        findings.rule_hint(&at.key(name), "is missing", choose.to_owned());
                        return None;
                    }
                };
                if let Err(error) = std::fs::File::open(&path) {
                    findings.rule(&at.key(name), format!("cannot read {}: {error}", path.display()));
                }
                Some(path)
            };
            let (certificate, key) = (file("certificate", certificate), file("key", key));
            Some(TlsConfig::Files { certificate: certificate?, key: key? })
        }
    }
}

fn check_account(
    n: usize,
    written: shape::Account,
    names: &mut BTreeSet<String>,
    around: &Surroundings<'_>,
    findings: &mut Findings,
) -> Option<AccountSeed> {
    let at = Path::top("accounts").item(n);
    let username = check_username(written.username, &at.key("username"), findings);
    if let Some(name) = &username
        && !names.insert(name.clone())
    {
        findings.rule(&at.key("username"), format!("there is another account {name:?}"));
    }
    let password_at = at.key("password");
    let password = match (written.password, written.password_hash) {
        (Some(_), Some(_)) => {
            findings.rule_hint(&at.key("password_hash"), "comes with a password", "leave one of them out".to_owned());
            None
        }
        (Some(secret), None) => match around.reveal(&secret) {
            Ok(password) => Some(SeedPassword::Plain(password)),
            Err(why) => {
                findings.rule(&password_at, why);
                None
            }
        },
        (None, Some(hash)) if is_password_hash(&hash) => Some(SeedPassword::Hash(hash.into())),
        (None, Some(_)) => {
            findings.rule_hint(
                &at.key("password_hash"),
                "is no argon2 hash",
                "take the line that `plugfish hash-password` prints, in quotes".to_owned(),
            );
            None
        }
        (None, None) => {
            if !findings.is_touched(&at.key("password_hash")) {
                findings.rule_hint(&password_at, "is missing", "write `password` or `password_hash`".to_owned());
            }
            None
        }
    };
    Some(AccountSeed { username: username?, password: password?, role: written.role.unwrap_or(Role::ReadOnly) })
}

fn check_username(written: Option<String>, at: &Path, findings: &mut Findings) -> Option<String> {
    let Some(name) = written else {
        findings.rule(at, "is missing");
        return None;
    };
    let odd = name.chars().find(|c| !(c.is_ascii_alphanumeric() || "._-@+".contains(*c)));
    let wrong = match (odd, name.chars().count()) {
        (_, 0) => "is empty".to_owned(),
        (Some(odd), _) => format!("has the character {odd:?}; letters, digits and . _ - @ + are allowed"),
        (_, length) if length > USERNAME_LENGTH_MAX => {
            format!("has {length} characters, and {USERNAME_LENGTH_MAX} are allowed")
        }
        _ => return Some(name),
    };
    findings.rule(at, wrong);
    None
}
