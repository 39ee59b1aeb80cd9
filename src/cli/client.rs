//! People's client of a running daemon: `status`, `power` and `boot`, over Redfish like everybody else.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use futures_util::StreamExt;
use reqwest::{Certificate, Client, Method, StatusCode};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};

use super::output::{print, table};
use super::{Boot, BootSource, OutputFormat, Power, PowerAction, Remote, Status};
use crate::clock::Clock;

/// A daemon on the LAN answers in milliseconds; this is for one that is stuck.
const REQUEST_DEADLINE: Duration = Duration::from_secs(15);

/// How long `power` waits for the state that was asked for: the daemon's own deadline and a dwell.
const POWER_DEADLINE: Duration = Duration::from_secs(90);

/// The same for a shutdown: the daemon gives an operating system 150 s for it.
const SHUTDOWN_DEADLINE: Duration = Duration::from_secs(180);

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
    vec![text("/Id"), power_word(node).into(), text("/Status/Health"), watts, boot, condition]
}

/// The power of a node for people: Redfish shows a machine that sleeps as on, and says so in `Status.State`.
fn power_word(system: &Value) -> &str {
    let text = |pointer: &str| system.pointer(pointer).and_then(Value::as_str);
    match (text("/PowerState"), text("/Status/State")) {
        (Some("On"), Some("StandbyOffline")) => "Asleep",
        (power, _) => power.unwrap_or("unknown"),
    }
}

/// Why the last command failed, if it did: the daemon forgets it when it takes the next one.
fn failure(system: &Value) -> Option<&str> {
    let conditions = system.pointer("/Status/Conditions")?.as_array()?;
    let is_failure = |condition: &&Value| {
        condition.get("MessageId").and_then(Value::as_str).is_some_and(|id| id.ends_with(".CommandFailed"))
    };
    let failed = conditions.iter().find(is_failure)?;
    failed.get("Message")?.as_str()
}

/// Refuses what the node does not offer: `word` is what was typed, `value` what Redfish calls it.
fn check_offered(system: &Value, node: &str, pointer: &str, word: &str, value: &str) -> Result<()> {
    let offered = system.pointer(pointer).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    if offered.iter().any(|offer| offer == value) {
        return Ok(());
    }
    let offered: Vec<&str> = offered.iter().filter_map(Value::as_str).collect();
    bail!("{node} does not offer {word} ({value}) in its present state; it offers {}", offered.join(", "))
}

/// `plugfish power`.
pub async fn power(options: &Power) -> Result<()> {
    const RESETS: &str = "/Actions/#ComputerSystem.Reset/ResetType@Redfish.AllowableValues";
    let daemon = Daemon::new(&options.remote)?;
    let node = &options.node;
    let (reset, goal) = (options.action.reset_type(), options.action.goal());
    let before = daemon.system(node).await?;
    check_offered(&before, node, RESETS, &word(options.action), reset)?;
    let path = format!("/redfish/v1/Systems/{node}/Actions/ComputerSystem.Reset");
    daemon.ask(Method::POST, &path, Some(json!({ "ResetType": reset }))).await?;
    // Nobody can see what an interrupt did.
    if options.no_wait || options.action == PowerAction::Nmi {
        return say(options.remote.output, &before, format!("{node}: {reset} accepted"));
    }
    let deadline = if options.action == PowerAction::Shutdown { SHUTDOWN_DEADLINE } else { POWER_DEADLINE };
    let clock = Clock::system();
    let start = clock.now().mono;
    while clock.now().mono.since(start) < deadline {
        let system = daemon.system(node).await?;
        // A restart may begin and end with On: it is over when the daemon is done with it.
        let under_way = system.pointer("/Status/State").is_some_and(|state| state == "Starting");
        if let (Some(why), false) = (failure(&system), under_way) {
            bail!("{node} is {}: {why}", power_word(&system));
        }
        if power_word(&system) == goal && !under_way {
            let took = clock.now().mono.since(start).as_secs_f64();
            return say(options.remote.output, &system, format!("{node}: {goal} after {took:.1} s"));
        }
        clock.sleep(LOOK_EVERY).await;
    }
    let words = daemon.system(node).await?;
    let words = words.pointer("/Status/Conditions/0/Message").and_then(Value::as_str).unwrap_or("no reason is known");
    bail!("{node} is not {goal} after {} s: {words}", deadline.as_secs())
}

/// `plugfish boot`.
pub async fn boot(options: &Boot) -> Result<()> {
    const TARGETS: &str = "/Boot/BootSourceOverrideTarget@Redfish.AllowableValues";
    let Boot { node, source, uri, once, remote } = options;
    if uri.is_some() && *source != BootSource::Http {
        bail!("only http takes a URI");
    }
    let daemon = Daemon::new(remote)?;
    let target = source.target();
    check_offered(&daemon.system(node).await?, node, TARGETS, &word(*source), target)?;
    let enabled = match (source, once) {
        (BootSource::None, _) => "Disabled",
        (_, true) => "Once",
        (_, false) => "Continuous",
    };
    let mut boot = json!({ "BootSourceOverrideTarget": target, "BootSourceOverrideEnabled": enabled });
    if let (Some(boot), Some(uri)) = (boot.as_object_mut(), uri) {
        boot.insert("HttpBootUri".into(), json!(uri));
    }
    let path = format!("/redfish/v1/Systems/{node}");
    let system = daemon.ask(Method::PATCH, &path, Some(json!({ "Boot": boot }))).await?;
    say(remote.output, &system, format!("{node}: boots from {target}, {enabled}"))
}

/// How something is typed.
fn word(value: impl ValueEnum) -> String {
    value.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
}

fn say(output: OutputFormat, system: &Value, words: String) -> Result<()> {
    match output {
        OutputFormat::Table => print(&format!("{words}\n")),
        OutputFormat::Json => print(&format!("{system:#}\n")),
    }
    Ok(())
}
