//! Commands that act on a running daemon: `power`, `boot` and `trust`.

use std::time::Duration;

use anyhow::{Result, bail};
use clap::ValueEnum;
use reqwest::Method;
use serde_json::{Value, json};

use super::output::print;
use super::remote::Daemon;
use super::{Boot, BootSource, OutputFormat, Power, PowerAction, Trust};
use crate::clock::Clock;

/// How long `power` waits for the state that was asked for: the daemon's own deadline and a dwell.
const POWER_DEADLINE: Duration = Duration::from_secs(90);

/// The same for a shutdown: the daemon gives an operating system 150 s for it.
const SHUTDOWN_DEADLINE: Duration = Duration::from_secs(180);

/// Interval between reads while waiting for a command.
const LOOK_EVERY: Duration = Duration::from_millis(300);

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
    // No one can see what an interrupt did.
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

/// `plugfish trust`.
pub async fn trust(options: &Trust) -> Result<()> {
    let Trust { node, reset, remote } = options;
    let daemon = Daemon::new(remote)?;
    let path = format!("/trust/{node}");
    let record = daemon.of_node(node, &path).await?;
    if *reset {
        daemon.ask(Method::DELETE, &path, None).await?;
        return say(
            remote.output,
            &record,
            format!("{node}: {}; forgotten, the next contact is trusted", proved(&record)),
        );
    }
    say(remote.output, &record, format!("{node}: {}", proved(&record)))
}

/// What a device ever proved, in a line.
fn proved(record: &Value) -> String {
    let device = record.get("device").and_then(Value::as_str).unwrap_or_default();
    let (Some(since), Some(proved)) =
        (record.get("since").and_then(Value::as_str), record.get("proved").and_then(Value::as_object))
    else {
        return format!("{device} has proved nothing yet");
    };
    let said = |(name, value): (&String, &Value)| Some(format!("{}: {}", name.replace('_', " "), value.as_str()?));
    let parts: Vec<String> = proved.iter().filter_map(said).collect();
    format!("{device}, since {since}: {}", parts.join(", "))
}

/// The spelling of a value on the command line.
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
