//! `plugfish status`: all nodes as a table, one in detail, repeated output, and the last exchanges with a device.
//!
//! All data comes from one read of the daemon's memory (`/status`); scripts get the same format.

use std::collections::HashMap;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::ValueEnum;
use reqwest::Method;
use serde_json::{Value, json};

use super::output::{Colour, at_terminal, cut, in_colour, print, remark, terminal_size, terminal_table};
use super::remote::{Away, Daemon, Unknown};
use super::{OutputFormat, PowerAction, Status};
use crate::clock::Clock;

/// How often `--watch` looks: a device is read every 5 s at the most, a command shows at once.
const WATCH_EVERY: Duration = Duration::from_secs(2);

/// Longest name of a node in the table; longer ones are cut, so that the note keeps some room.
const NAME_WIDTH_MAX: usize = 20;

/// From this age on a power state is shown as old. Polls are every 15 s by default.
const OLD_SECONDS: f64 = 60.0;

/// `plugfish status`.
pub(super) async fn status(options: &Status) -> Result<()> {
    let mut daemon = Daemon::new(&options.remote)?;
    if options.watch {
        daemon.log_in().await?;
        let ended = tokio::select! {
            stop = tokio::signal::ctrl_c() => stop.context("cannot listen for Ctrl-C"),
            error = watch(&mut daemon, options) => error,
        };
        daemon.log_out().await;
        return ended;
    }
    let mut seen = look(&daemon, options.node.as_deref()).await?;
    match (&options.node, options.remote.output) {
        (None, OutputFormat::Json) => print(&format!("{:#}\n", json!({ "nodes": seen }))),
        (None, OutputFormat::Table) => print(&(table_of(&seen) + &notes(&seen))),
        (Some(name), output) => {
            let trace = match options.trace {
                true => Some(daemon.of_node(name, &format!("/trace/{name}")).await?),
                false => None,
            };
            let node = seen.first_mut().map(Value::take).unwrap_or_default();
            match output {
                OutputFormat::Json => print(&format!("{:#}\n", with_trace(node, trace))),
                OutputFormat::Table => print(&(detail(&node) + &trace.as_ref().map(trace_text).unwrap_or_default())),
            }
        }
    }
    Ok(())
}

/// What the daemon knows of the nodes, or of this one.
async fn look(daemon: &Daemon, node: Option<&str>) -> Result<Vec<Value>> {
    match node {
        Some(name) => Ok(vec![daemon.of_node(name, &format!("/status/{name}")).await?]),
        None => match daemon.ask(Method::GET, "/status", None).await?.get_mut("nodes").map(Value::take) {
            Some(Value::Array(nodes)) => Ok(nodes),
            _ => anyhow::bail!("{} says nothing of nodes; is it a plugfish, and not an older one?", daemon.url),
        },
    }
}

/// Shows it until something is wrong for good. A daemon that restarts is waited for.
async fn watch(daemon: &mut Daemon, options: &Status) -> Result<()> {
    let clock = Clock::system();
    let redraws = at_terminal() && options.remote.output == OutputFormat::Table;
    let (mut shown, mut last) = (HashMap::new(), Vec::new());
    let mut away = false;
    loop {
        let mut looked = look(daemon, options.node.as_deref()).await;
        if looked.as_ref().is_err_and(|error| error.is::<Unknown>()) {
            // The session ran out, or did not survive a restart.
            looked = match daemon.log_in().await {
                Ok(()) => look(daemon, options.node.as_deref()).await,
                Err(error) => Err(error),
            };
        }
        let trouble = match looked {
            Ok(nodes) => {
                last = nodes;
                None
            }
            Err(error) if error.is::<Away>() => Some(format!("{error:#}")),
            Err(error) => return Err(error),
        };
        if redraws {
            print(&screen(&daemon.url, &last, trouble.as_deref(), options.node.is_some(), &clock));
        } else if let Some(trouble) = &trouble {
            if !away {
                remark(&format!("{trouble} It is asked again until it answers."));
            }
        } else {
            changes(&mut shown, &last, options.remote.output, &clock);
        }
        away = trouble.is_some();
        clock.sleep(WATCH_EVERY).await;
    }
}

/// The whole screen, from its first line.
fn screen(url: &str, nodes: &[Value], trouble: Option<&str>, detailed: bool, clock: &Clock) -> String {
    let now = clock.now().wall;
    let head = match trouble {
        Some(trouble) => Colour::Red.paint(&format!("{now}  {trouble}"), in_colour()),
        None => format!("{now}  {url}  (Ctrl-C ends)"),
    };
    let body = match nodes {
        [node] if detailed => detail(node),
        nodes => table_of(nodes),
    };
    let rows = terminal_size().map_or(usize::MAX, |(_, rows)| rows.saturating_sub(3));
    let lines: Vec<&str> = body.lines().collect();
    let hidden = lines.len().saturating_sub(rows);
    let mut text = format!("\x1b[2J\x1b[H{head}\n");
    lines.iter().take(rows).for_each(|line| text.extend([line, "\n"]));
    if hidden > 0 {
        text.push_str(&format!("... and {hidden} lines more; make the window larger, or name a node\n"));
    }
    text
}

/// Prints a line for each node that is not as it was shown last.
fn changes(shown: &mut HashMap<String, Value>, nodes: &[Value], output: OutputFormat, clock: &Clock) {
    for node in nodes {
        let of = |pointer: &str| node.pointer(pointer).cloned().unwrap_or_default();
        let key = json!([of("/power"), of("/command/reset"), of("/device/state"), of("/health"), of("/conditions")]);
        let name = text(node, "/node").to_owned();
        if shown.insert(name, key.clone()).is_some_and(|before| before == key) {
            continue;
        }
        match output {
            OutputFormat::Json => print(&format!("{node}\n")),
            OutputFormat::Table => {
                let words = [text(node, "/node"), power(node), text(node, "/device/state")];
                let wanted = node.pointer("/command/reset").and_then(Value::as_str);
                let wanted = wanted.map(|reset| format!("  wanted: {reset}")).unwrap_or_default();
                print(format!("{}  {}{wanted}  {}", clock.now().wall, words.join("  "), note(node)).trim_end());
                print("\n");
            }
        }
    }
}

fn text<'a>(node: &'a Value, pointer: &str) -> &'a str {
    node.pointer(pointer).and_then(Value::as_str).unwrap_or("-")
}

fn power(node: &Value) -> &str {
    node.get("power").and_then(Value::as_str).unwrap_or("unknown")
}

/// What is not well, or else what is special.
fn note(node: &Value) -> String {
    if let Some(condition) = node.pointer("/conditions/0/text").and_then(Value::as_str) {
        return condition.to_owned();
    }
    match text(node, "/boot/enabled") {
        "Disabled" | "-" => String::new(),
        enabled => format!("boots from {} ({enabled})", text(node, "/boot/target")),
    }
}

fn table_of(nodes: &[Value]) -> String {
    let rows: Vec<_> = nodes.iter().map(row).collect();
    terminal_table(&["NODE", "POWER", "WANTED", "WATTS", "AGE", "DEVICE", "NOTE"], &rows)
}

fn row(node: &Value) -> Vec<(String, Colour)> {
    let power = power(node);
    let power_colour = if power == "On" { Colour::Green } else { Colour::Plain };
    let watts = node.get("watts").and_then(Value::as_f64).map_or("-".into(), |watts| format!("{watts:.1}"));
    let age = node.get("age_seconds").and_then(Value::as_f64);
    let age_colour = if age.is_some_and(|age| age > OLD_SECONDS) { Colour::Yellow } else { Colour::Plain };
    let device = text(node, "/device/state");
    let device_colour = match device {
        "up" => Colour::Plain,
        "failing" => Colour::Yellow,
        _ => Colour::Red,
    };
    let note_colour = match text(node, "/health") {
        "OK" => Colour::Dim,
        "Warning" => Colour::Yellow,
        _ => Colour::Red,
    };
    let wanted = node.pointer("/command/reset").and_then(Value::as_str);
    let wanted = wanted.map_or(("-".into(), Colour::Plain), |reset| (word_for(reset), Colour::Yellow));
    vec![
        (cut(text(node, "/node"), NAME_WIDTH_MAX), Colour::Plain),
        (power.to_owned(), power_colour),
        wanted,
        (watts, Colour::Plain),
        (age.map_or("-".into(), span), age_colour),
        (device.trim_start_matches("login-").to_owned(), device_colour),
        (note(node), note_colour),
    ]
}

/// How a reset is typed at `plugfish power`, which is shorter than what Redfish calls it.
fn word_for(reset: &str) -> String {
    let action = PowerAction::value_variants().iter().find(|action| action.reset_type() == reset);
    let typed = action.and_then(ValueEnum::to_possible_value).map(|value| value.get_name().to_owned());
    typed.unwrap_or_else(|| reset.to_owned())
}

/// A time span in its largest unit: `3s`, `12m`, `5h`, `2d`.
fn span(seconds: f64) -> String {
    match seconds {
        s if s < 60.0 => format!("{s:.0}s"),
        s if s < 3600.0 => format!("{:.0}m", (s / 60.0).floor()),
        s if s < 86_400.0 => format!("{:.0}h", (s / 3600.0).floor()),
        s => format!("{:.0}d", (s / 86_400.0).floor()),
    }
}

/// The conditions in full: the table cuts them.
fn notes(nodes: &[Value]) -> String {
    let mut text = String::new();
    for node in nodes {
        let conditions = node.get("conditions").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        for condition in conditions {
            let words = condition.get("text").and_then(Value::as_str).unwrap_or_default();
            text.push_str(&format!("\n{}: {words}\n", self::text(node, "/node")));
        }
    }
    text
}

fn detail(node: &Value) -> String {
    let of = |pointer: &str| text(node, pointer);
    let age = node.get("age_seconds").and_then(Value::as_f64);
    let age = age.map_or("never confirmed".into(), |age| format!("confirmed {} ago", span(age)));
    let wanted = match node.pointer("/command/reset").and_then(Value::as_str) {
        Some(reset) => format!("{reset}, by {}, accepted {}", of("/command/by"), of("/command/accepted")),
        None => "nothing is pending".into(),
    };
    let watts = node.get("watts").and_then(Value::as_f64).map(|watts| format!("{watts:.1} W"));
    let energy = node.get("energy_wh").and_then(Value::as_u64).map(|energy| format!("{energy} Wh so far"));
    let draw: Vec<String> = watts.into_iter().chain(energy).collect();
    let boot = match of("/boot/enabled") {
        "Disabled" => "no override".into(),
        enabled => format!("{} ({enabled})", of("/boot/target")),
    };
    let offers = node.get("resets").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let offers: Vec<&str> = offers.iter().filter_map(Value::as_str).collect();
    let about: Vec<&str> = ["/device/model", "/device/firmware", "/device/protocol"]
        .map(of)
        .into_iter()
        .filter(|word| *word != "-")
        .collect();
    let mut lines = vec![
        ("Node", of("/node").to_owned()),
        ("Power", format!("{}{} since {}, {age}", power(node), evidence(node), of("/since"))),
        ("Wanted", wanted),
        ("Draw", if draw.is_empty() { "not measured".into() } else { draw.join(", ") }),
        ("Device", format!("{}: {}", of("/device/name"), of("/device/state"))),
        ("", about.join(", ")),
        ("Boot", format!("{boot}, mode {}", of("/boot/mode"))),
        ("Offers", offers.join(", ")),
        ("Health", of("/health").to_owned()),
    ];
    let conditions = node.get("conditions").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    for condition in conditions {
        lines.push((
            "",
            format!("{} since {}: {}", text(condition, "/key"), text(condition, "/since"), text(condition, "/text")),
        ));
    }
    let lines = lines.iter().filter(|(_, words)| !words.is_empty());
    lines.map(|(name, words)| format!("{name:<8}  {words}\n")).collect()
}

/// What told the power, where that is not the device's own state.
fn evidence(node: &Value) -> String {
    if text(node, "/power_source") != "measured" || power(node) == text(node, "/outlet") {
        return String::new();
    }
    let watts = node.get("watts").and_then(Value::as_f64);
    let measured = watts.map_or("measured".into(), |watts| format!("measured {watts:.1} W"));
    format!(" ({measured}; the outlet is {})", text(node, "/outlet"))
}

fn with_trace(mut node: Value, trace: Option<Value>) -> Value {
    if let (Some(node), Some(mut trace)) = (node.as_object_mut(), trace) {
        node.insert("trace".into(), trace.get_mut("exchanges").map(Value::take).unwrap_or_default());
    }
    node
}

/// The exchanges, the newest last, as they fit into a bug report.
fn trace_text(trace: &Value) -> String {
    let exchanges = trace.get("exchanges").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let mut all = format!(
        "\nThe last {} exchanges with the device, secrets left out (plugfish {})\n",
        exchanges.len(),
        text(trace, "/plugfish")
    );
    for exchange in exchanges {
        let number = |pointer: &str| exchange.get(pointer).and_then(Value::as_u64);
        let status = number("status").map(|status| format!(", HTTP {status}")).unwrap_or_default();
        all.push_str(&format!(
            "{}  {} {} #{}: {}{status}, {} ms\n",
            text(exchange, "/at"),
            text(exchange, "/op"),
            text(exchange, "/step"),
            number("attempt").unwrap_or_default(),
            text(exchange, "/outcome"),
            number("took_ms").unwrap_or_default()
        ));
        for (mark, key) in [(">", "sent"), ("<", "answered"), ("!", "remark")] {
            if let Some(words) = exchange.get(key).and_then(Value::as_str) {
                all.push_str(&format!("  {mark} {words}\n"));
            }
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_widest_honest_row_fits_80_columns() {
        let node = json!({
            "node": "a".repeat(64), "power": "unknown", "watts": 3680.5, "age_seconds": 7200.0, "health": "Critical",
            "command": { "reset": "GracefulShutdown" }, "device": { "state": "login-refused" },
            "conditions": [{ "text": "the plug at 192.0.2.11 is given up for now" }],
        });
        let text = table_of(&[node]);
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
        assert!(
            text.contains("2h")
                && text.contains("3680.5")
                && text.contains("refused")
                && text.contains("shutdown")
                && text.contains("the plug at 1"),
            "{text}"
        );
    }

    #[test]
    fn spans_are_short() {
        let shown = [0.0, 59.4, 61.0, 3599.0, 7200.0, 86_400.0 * 2.5].map(span);
        assert_eq!(shown, ["0s", "59s", "1m", "59m", "2h", "2d"]);
    }
}
