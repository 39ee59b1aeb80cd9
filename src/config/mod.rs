//! STUB
#![allow(missing_docs)]
use crate::account::Role;
use crate::node::{Inventory, MacAddress, NodeId, Rules};
use secrecy::SecretString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
#[derive(Debug, thiserror::Error)]
#[error("problems")]
pub struct ConfigProblems;
#[derive(Debug, thiserror::Error)]
#[error("none")]
pub struct NoConfig;
pub enum AccountPassword {
    Plain(SecretString),
    Hash(String),
}
pub struct AccountSeed {
    pub username: String,
    pub password: AccountPassword,
    pub role: Role,
}
pub enum MetricsSetting {
    Public,
    Authenticated,
    Off,
}
pub enum TlsConfig {
    Files { certificate: PathBuf, key: PathBuf },
    SelfSigned,
}
pub struct ServerConfig {
    pub listen: Vec<SocketAddr>,
    pub tls: Option<TlsConfig>,
    pub auth_required: bool,
    pub metrics: MetricsSetting,
}
pub enum DeviceConfig {
    Tapo {
        host: String,
        port: Option<u16>,
        mac: Option<MacAddress>,
        outlet: Option<u8>,
        username: String,
        password: SecretString,
    },
}
pub struct NodeConfig {
    pub id: NodeId,
    pub inventory: Arc<Inventory>,
    pub rules: Rules,
    pub device: DeviceConfig,
}
pub struct Config {
    pub server: ServerConfig,
    pub state_dir: PathBuf,
    pub accounts: Vec<AccountSeed>,
    pub nodes: Vec<NodeConfig>,
}
pub struct Loaded {
    pub config: Config,
    pub warnings: Vec<String>,
}
pub struct Diff {
    pub restart: Vec<&'static str>,
    pub added: Vec<NodeId>,
    pub removed: Vec<NodeId>,
    pub changed: Vec<NodeId>,
}
pub fn find(_: Option<PathBuf>) -> Result<PathBuf, NoConfig> {
    Err(NoConfig)
}
pub fn load(_: &Path) -> Result<Loaded, ConfigProblems> {
    Err(ConfigProblems)
}
pub fn diff(_: &Config, _: &Config) -> Diff {
    Diff { restart: vec![], added: vec![], removed: vec![], changed: vec![] }
}
pub fn schema() -> serde_json::Value {
    serde_json::Value::Null
}
