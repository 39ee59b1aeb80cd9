//! `plugfish generate`: manifests for the nodes in nodes.yaml, without a running daemon.
//!
//! The output has only the names of secrets, never a password of a device or an account.

use std::collections::HashMap;
use std::fmt::Write as _;

use anyhow::{Result, bail};
use serde_json::{Value, json};

use super::output::{print, remark};
use super::{Generate, ManifestKind};
use crate::account::MetricsAccess;
use crate::config::{self, Config, NodeConfig, TlsConfig};

/// Longest name of an object in Kubernetes.
const OBJECT_NAME_MAX: usize = 253;

/// `plugfish generate`.
pub(super) fn generate(options: &Generate) -> Result<()> {
    let path = config::find(options.file.config.clone())?;
    let config = config::load(&path)?.config;
    let nodes = chosen(&config, &options.nodes)?;
    let text = match options.kind {
        ManifestKind::Bmh => bare_metal_hosts(&nodes, &Service::of(&config, options)?, options)?,
        ManifestKind::Ironic => ironic(&nodes, &Service::of(&config, options)?, options),
        ManifestKind::Servicemonitor => service_monitor(&config, options)?,
    };
    print(&text);
    Ok(())
}

fn chosen<'a>(config: &'a Config, names: &[String]) -> Result<Vec<&'a NodeConfig>> {
    if names.is_empty() {
        return Ok(config.nodes.iter().collect());
    }
    let find = |name: &String| match config.nodes.iter().find(|node| node.id.as_str() == name) {
        Some(node) => Ok(node),
        None => {
            let known: Vec<&str> = config.nodes.iter().map(|node| node.id.as_str()).collect();
            bail!("there is no node {name} in nodes.yaml; there are: {}", known.join(", "))
        }
    };
    names.iter().map(find).collect()
}

/// How others reach the daemon.
struct Service {
    /// `http` or `https`.
    scheme: String,
    /// Host and port, and perhaps a path.
    authority: String,
    /// Its certificate is self-signed, so that clients cannot verify it.
    self_signed: bool,
}

impl Service {
    fn of(config: &Config, options: &Generate) -> Result<Service> {
        let self_signed = config.server.tls == Some(TlsConfig::SelfSigned);
        if let Some(url) = &options.service_url {
            let (scheme, rest) = url.trim_end_matches('/').split_once("://").unwrap_or(("", ""));
            let is_plain = !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_graphic() && !b"\"'\\@?#".contains(&b));
            if !matches!(scheme, "http" | "https") || !is_plain {
                bail!("--service-url {url:?} is no address of a daemon; write it as http://192.0.2.1:8000");
            }
            return Ok(Service { scheme: scheme.into(), authority: rest.into(), self_signed });
        }
        let scheme = if config.server.tls.is_some() { "https" } else { "http" };
        let reachable = |ip: std::net::IpAddr| !ip.to_canonical().is_loopback() && !ip.is_unspecified();
        match config.server.listen.iter().find(|address| reachable(address.ip())) {
            Some(address) => Ok(Service { scheme: scheme.into(), authority: address.to_string(), self_signed }),
            None => {
                let listen: Vec<String> = config.server.listen.iter().map(ToString::to_string).collect();
                bail!(
                    "nodes.yaml serves on {}, which does not say how others reach it; add --service-url \
                     {scheme}://HOST:PORT",
                    listen.join(", ")
                )
            }
        }
    }
}

/// A text in YAML: JSON's quotes are YAML's, too.
fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

/// The name of an object in Kubernetes for a node: small letters, digits, `-` and `.`, and either of the former at both ends.
fn object_name(node: &str) -> String {
    let small = |c: char| if c.is_ascii_alphanumeric() || c == '.' { c.to_ascii_lowercase() } else { '-' };
    let name: String = node.chars().map(small).take(OBJECT_NAME_MAX).collect();
    // Each part between dots must begin and end with a letter or a digit.
    let parts = name.split('.').map(|part| part.trim_matches('-')).filter(|part| !part.is_empty());
    parts.collect::<Vec<_>>().join(".")
}

fn metadata(name: &str, namespace: Option<&String>) -> String {
    let namespace = namespace.map(|namespace| format!("  namespace: {}\n", quoted(namespace))).unwrap_or_default();
    format!("metadata:\n  name: {}\n{namespace}", quoted(name))
}

fn bare_metal_hosts(nodes: &[&NodeConfig], service: &Service, options: &Generate) -> Result<String> {
    let Service { scheme, authority, self_signed } = service;
    let Generate { secret, namespace, .. } = options;
    let in_namespace = namespace.as_ref().map(|name| format!(" --namespace {name}")).unwrap_or_default();
    let mut text = format!(
        "# The login that Metal3 uses, once for all hosts (an account of plugfish with the role Operator):\n\
         # kubectl create secret generic {secret}{in_namespace} --from-literal=username={} --from-file=password=FILE\n",
        options.account
    );
    let mut names: HashMap<String, &str> = HashMap::new();
    for node in nodes {
        let id = node.id.as_str();
        let name = object_name(id);
        if name.is_empty() {
            bail!("the node {id} has no letter and no digit for the name of a BareMetalHost; give it another id");
        }
        if let Some(other) = names.insert(name.clone(), id) {
            bail!("the nodes {other} and {id} would both be the BareMetalHost {name}; give one of them another id");
        }
        let _ = write!(
            text,
            "---\napiVersion: metal3.io/v1alpha1\nkind: BareMetalHost\n{}spec:\n  online: true\n",
            metadata(&name, namespace.as_ref())
        );
        match node.inventory.nics.first() {
            Some(mac) => {
                let _ = writeln!(text, "  bootMACAddress: {}", quoted(&mac.to_string()));
            }
            None => {
                text.push_str("  # bootMACAddress: the node has no nics in nodes.yaml; add the one that boots first\n");
                remark(&format!(
                    "{id} has no nics in nodes.yaml, so its BareMetalHost has no bootMACAddress; add the one that boots first"
                ));
            }
        }
        if node.boot_mode.is_some_and(|mode| mode.name() == "Legacy") {
            text.push_str("  bootMode: legacy\n");
        }
        let _ = write!(
            text,
            "  bmc:\n    address: {}\n    credentialsName: {}\n",
            quoted(&format!("redfish+{scheme}://{authority}/redfish/v1/Systems/{id}")),
            quoted(secret)
        );
        if *self_signed && scheme == "https" {
            text.push_str("    disableCertificateVerification: true # server.tls is self_signed\n");
        }
    }
    Ok(text)
}

fn ironic(nodes: &[&NodeConfig], service: &Service, options: &Generate) -> String {
    let Service { scheme, authority, self_signed } = service;
    let mut text = String::from(
        "# For `openstack baremetal create FILE`. Write the password of the account in the place of CHANGE-ME first.\nnodes:\n",
    );
    for node in nodes {
        let id = node.id.as_str();
        let verify = match (scheme.as_str(), self_signed) {
            ("https", true) => "    redfish_verify_ca: false # server.tls is self_signed\n",
            ("https", false) => "    redfish_verify_ca: true\n",
            _ => "",
        };
        let _ = write!(
            text,
            "- name: {}\n  driver: redfish\n  boot_interface: ipxe\n  driver_info:\n    redfish_address: {}\n    \
             redfish_system_id: {}\n    redfish_username: {}\n    redfish_password: CHANGE-ME\n{verify}",
            quoted(id),
            quoted(&format!("{scheme}://{authority}")),
            quoted(&format!("/redfish/v1/Systems/{id}")),
            quoted(&options.account),
        );
        let nics = &node.inventory.nics;
        if nics.is_empty() {
            text.push_str(
                "  # ports: the node has no nics in nodes.yaml; without one it cannot be booted from the network\n",
            );
            remark(&format!("{id} has no nics in nodes.yaml, so it gets no port; add the one that boots first"));
        } else {
            text.push_str("  ports:\n");
            for mac in nics {
                let _ = writeln!(text, "  - address: {}", quoted(&mac.to_string()));
            }
        }
    }
    text
}

fn service_monitor(config: &Config, options: &Generate) -> Result<String> {
    let scheme = if config.server.tls.is_some() { "https" } else { "http" };
    let mut endpoint = json!({ "port": scheme, "scheme": scheme, "path": "/metrics", "interval": "15s" });
    let mut add = |key: &str, value: Value| endpoint.as_object_mut().map(|endpoint| endpoint.insert(key.into(), value));
    match config.server.metrics {
        MetricsAccess::Off => {
            bail!(
                "server.metrics is off in nodes.yaml, so there is nothing to scrape; set it to public or authenticated"
            )
        }
        MetricsAccess::Authenticated => {
            let part = |key: &str| json!({ "name": options.secret, "key": key });
            add("basicAuth", json!({ "username": part("username"), "password": part("password") }));
        }
        MetricsAccess::Public => {}
    }
    if config.server.tls == Some(TlsConfig::SelfSigned) {
        add("tlsConfig", json!({ "insecureSkipVerify": true }));
    }
    Ok(format!(
        "# Scrapes the Service with this label, at its port named {scheme}. The alerts take the job to be called plugfish.\n\
         apiVersion: monitoring.coreos.com/v1\nkind: ServiceMonitor\n{}  labels:\n    app.kubernetes.io/name: plugfish\n\
         spec:\n  jobLabel: app.kubernetes.io/name\n  selector:\n    matchLabels:\n      app.kubernetes.io/name: plugfish\n  \
         endpoints:\n  - {endpoint}\n",
        metadata("plugfish", options.namespace.as_ref())
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_fit_kubernetes() {
        let names = ["node-1", "Node_2", "-x-", "a.-b", "A.B"].map(object_name);
        assert_eq!(names, ["node-1", "node-2", "x", "a.b", "a.b"]);
        assert_eq!(object_name("__"), "");
    }
}
