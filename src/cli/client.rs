//! People's client of a running daemon: `status` and `power`, over Redfish like everybody else.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use futures_util::StreamExt;
use reqwest::{Certificate, Client, Method, StatusCode};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};

use super::output::{print, table};
use super::{OutputFormat, Power, Remote, Status};
use crate::clock::Clock;

/// A daemon on the LAN answers in milliseconds; this is for one that is stuck.
const REQUEST_DEADLINE: Duration = Duration::from_secs(15);

/// How long `power` waits for the state that was asked for: the daemon's own deadline and a dwell.
const POWER_DEADLINE: Duration = Duration::from_secs(90);

/// How often it looks.
const LOOK_EVERY: Duration = Duration::from_millis(300);

/// Systems read at a time.
const AT_ONCE: usize = 8;

/// 404.
#[derive(Debug, thiserror::Error)]
#[error("there is nothing at {0}")]
struct NotThere(String);

struct Daemon {
    client: Client,
    url: String,
    username: String,
    password: SecretString,
}

impl Daemon {
    fn new(remote: &Remote) -> Result<Daemon> {
        let password = match &remote.password_file {
            Some(path) => std::fs::read_to_string(path)
                .with_context(|| format!("cannot read the password in {}", path.display()))?
                .trim_end_matches(['\r', '\n'])
                .to_owned(),
            None => std::env::var("PLUGFISH_PASSWORD").context(
                "no password: give a file with --password-file, or set PLUGFISH_PASSWORD or PLUGFISH_PASSWORD_FILE",
            )?,
        };
        let mut client = Client::builder().timeout(REQUEST_DEADLINE).no_proxy();
        if let Some(path) = &remote.cacert {
            let pem = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
            let bundle = Certificate::from_pem_bundle(&pem)
                .with_context(|| format!("{} has no certificate in it", path.display()))?;
            client = client.tls_certs_only(bundle);
        }
        Ok(Daemon {
            client: client.build().context("cannot make an HTTP client")?,
            url: remote.url.trim_end_matches('/').to_owned(),
            username: remote.username.clone(),
            password: password.into(),
        })
    }

    async fn ask(&self, method: Method, path: &str, body: Option<Value>) -> Result<Value> {
        let url = format!("{}{path}", self.url);
        let mut request = self.client.request(method, &url);
        request = request.basic_auth(&self.username, Some(self.password.expose_secret()));
        if let Some(body) = body {
            request = request.json(&body);
        }
        let response = request
            .send()
            .await
            .with_context(|| format!("no plugfish answers at {}; is it running, and is --url right?", self.url))?;
        let status = response.status();
        let body: Value = response.json().await.unwrap_or(Value::Null);
        if status == StatusCode::UNAUTHORIZED {
            bail!("{} does not know this user name and password ({})", self.url, self.username);
        }
        if status == StatusCode::NOT_FOUND {
            return Err(NotThere(url).into());
        }
        if !status.is_success() {
            let said = body.pointer("/error/message").and_then(Value::as_str).unwrap_or("it gave no reason");
            bail!("{} answered {status}: {said}", self.url);
        }
        Ok(body)
    }

    async fn system(&self, node: &str) -> Result<Value> {
        let system = self.ask(Method::GET, &format!("/redfish/v1/Systems/{node}"), None).await;
        match system {
            Err(error) if error.is::<NotThere>() => {
                let names = self.nodes().await?.join(", ");
                bail!("there is no node {node}; there are: {names}")
            }
            system => system,
        }
    }

    async fn nodes(&self) -> Result<Vec<String>> {
        let systems = self.ask(Method::GET, "/redfish/v1/Systems", None).await?;
        let members = systems.get("Members").and_then(Value::as_array).cloned().unwrap_or_default();
        let name = |member: &Value| Some(member.get("@odata.id")?.as_str()?.rsplit('/').next()?.to_owned());
        Ok(members.iter().filter_map(name).collect())
    }

    /// The node with its watts beside it.
    async fn node(&self, node: &str) -> Result<Value> {
        let mut system = self.system(node).await?;
        let path = format!("/redfish/v1/Chassis/{node}/EnvironmentMetrics");
        // A node without a meter has no such resource.
        let metrics = self.ask(Method::GET, &path, None).await.unwrap_or(Value::Null);
        if let (Some(system), Some(watts)) = (system.as_object_mut(), metrics.pointer("/PowerWatts/Reading")) {
            system.insert("PowerWatts".into(), watts.clone());
        }
        Ok(system)
    }
}

/// `plugfish status`.
pub async fn status(options: &Status) -> Result<()> {
    let daemon = Daemon::new(&options.remote)?;
    let names = match &options.node {
        Some(node) => vec![node.clone()],
        None => daemon.nodes().await?,
    };
    let looks = futures_util::stream::iter(names.iter().map(|name| daemon.node(name))).buffered(AT_ONCE);
    let nodes: Vec<Value> = looks.collect::<Vec<_>>().await.into_iter().collect::<Result<_>>()?;
    match options.remote.output {
        OutputFormat::Json => print(&format!("{:#}\n", Value::Array(nodes))),
        OutputFormat::Table => {
            let rows: Vec<Vec<String>> = nodes.iter().map(row).collect();
            print(&table(&["NODE", "POWER", "HEALTH", "WATTS", "BOOT", "CONDITION"], &rows));
        }
    }
    Ok(())
}

fn row(node: &Value) -> Vec<String> {
    let text = |pointer: &str| node.pointer(pointer).and_then(Value::as_str).unwrap_or("-").to_owned();
    let boot = match text("/Boot/BootSourceOverrideEnabled").as_str() {
        "Disabled" => "-".into(),
        enabled => format!("{} {}", text("/Boot/BootSourceOverrideTarget"), enabled),
    };
    let watts = node.pointer("/PowerWatts").and_then(Value::as_f64).map_or("-".into(), |watts| format!("{watts:.1}"));
    let condition = node.pointer("/Status/Conditions/0/Message").and_then(Value::as_str).unwrap_or("").to_owned();
    let power = node.pointer("/PowerState").and_then(Value::as_str).unwrap_or("unknown").to_owned();
    vec![text("/Id"), power, text("/Status/Health"), watts, boot, condition]
}

/// `plugfish power`.
pub async fn power(options: &Power) -> Result<()> {
    let daemon = Daemon::new(&options.remote)?;
    let node = &options.node;
    let (reset, goal) = (options.action.reset_type(), options.action.goal());
    let before = daemon.system(node).await?;
    let path = format!("/redfish/v1/Systems/{node}/Actions/ComputerSystem.Reset");
    daemon.ask(Method::POST, &path, Some(json!({ "ResetType": reset }))).await?;
    if options.no_wait {
        return say(options, &before, format!("{node}: {reset} accepted"));
    }
    // A cycle of a node that is on starts and ends with On: it is over when Off was seen in between.
    let was_on = before.get("PowerState").and_then(Value::as_str) == Some("On");
    let mut left = goal != "On" || !was_on || reset == "On";
    let clock = Clock::system();
    let start = clock.now().mono;
    while clock.now().mono.since(start) < POWER_DEADLINE {
        let system = daemon.system(node).await?;
        let state = system.get("PowerState").and_then(Value::as_str).unwrap_or("unknown");
        if state == goal && left {
            let took = clock.now().mono.since(start).as_secs_f64();
            return say(options, &system, format!("{node}: {state} after {took:.1} s"));
        }
        left |= state != "On";
        clock.sleep(LOOK_EVERY).await;
    }
    let words = daemon.system(node).await?;
    let words = words.pointer("/Status/Conditions/0/Message").and_then(Value::as_str).unwrap_or("no reason is known");
    bail!("{node} is not {goal} after {} s: {words}", POWER_DEADLINE.as_secs())
}

fn say(options: &Power, system: &Value, words: String) -> Result<()> {
    match options.remote.output {
        OutputFormat::Table => print(&format!("{words}\n")),
        OutputFormat::Json => print(&format!("{system:#}\n")),
    }
    Ok(())
}
