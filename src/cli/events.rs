//! `plugfish events`: past events from the log that the daemon keeps of each node, and new ones over server-sent
//! events.

use std::collections::VecDeque;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use futures_util::StreamExt;
use serde_json::{Value, json};

use super::output::{Colour, in_colour, print, remark};
use super::remote::{Away, Daemon, Unknown};
use super::{Events, OutputFormat};
use crate::clock::Clock;
use crate::text;

/// Logs read at a time.
const AT_ONCE: usize = 8;

/// The daemon writes something every 15 s at the latest; a stream that is silent for longer is broken.
const SILENCE_MAX: Duration = Duration::from_secs(45);

/// The pause before the stream is opened again.
const PAUSE: Duration = Duration::from_secs(2);

/// Longest event that is read: they have about a kilobyte.
const EVENT_BYTES_MAX: usize = 256 * 1024;

/// Something that happened, as it is shown.
#[derive(Clone, Debug, PartialEq)]
struct Line {
    time: String,
    node: String,
    key: String,
    severity: String,
    text: String,
}

impl Line {
    /// From a log entry or an event record: both have these properties, and differ in where the node is named.
    fn of(record: &Value, node: Option<&str>) -> Line {
        let text = |pointer: &str| record.pointer(pointer).and_then(Value::as_str);
        let origin = text("/OriginOfCondition/@odata.id").unwrap_or_default();
        let named = ["/redfish/v1/Systems/", "/redfish/v1/Managers/"].iter().find_map(|home| origin.strip_prefix(home));
        let id = text("/MessageId").unwrap_or_default();
        Line {
            time: text("/Created").or(text("/EventTimestamp")).unwrap_or("-").to_owned(),
            node: node.or(named).unwrap_or("-").to_owned(),
            key: id.rsplit('.').next().unwrap_or(id).to_owned(),
            severity: text("/Severity").or(text("/MessageSeverity")).unwrap_or("OK").to_owned(),
            text: text("/Message").unwrap_or_default().to_owned(),
        }
    }

    fn print(&self, output: OutputFormat) {
        let Line { time, node, key, severity, text } = self;
        match output {
            OutputFormat::Json => {
                let line = json!({ "time": time, "node": node, "event": key, "severity": severity, "text": text });
                print(&format!("{line}\n"));
            }
            OutputFormat::Table => {
                let colour = match severity.as_str() {
                    "OK" => Colour::Plain,
                    "Warning" => Colour::Yellow,
                    _ => Colour::Red,
                };
                print(&format!("{time}  {node}  {}  {text}\n", colour.paint(key, in_colour())));
            }
        }
    }
}

/// `plugfish events`.
pub(super) async fn events(options: &Events) -> Result<()> {
    let mut daemon = Daemon::new(&options.remote)?;
    daemon.log_in().await?;
    let ended = tokio::select! {
        stop = tokio::signal::ctrl_c() => stop.context("cannot listen for Ctrl-C"),
        ended = show(&mut daemon, options) => ended,
    };
    daemon.log_out().await;
    ended
}

async fn show(daemon: &mut Daemon, options: &Events) -> Result<()> {
    // Opened before the logs are read, so that nothing falls between.
    let stream = if options.follow { Some(daemon.stream(None).await?) } else { None };
    let lines = past(daemon, options.node.as_deref()).await?;
    lines.iter().for_each(|line| line.print(options.remote.output));
    match stream {
        Some(stream) => follow(daemon, stream, lines.into(), options).await,
        None => Ok(()),
    }
}

/// What the logs say, the oldest first.
async fn past(daemon: &Daemon, node: Option<&str>) -> Result<Vec<Line>> {
    let nodes = match node {
        Some(node) => {
            daemon.system(node).await?;
            vec![node.to_owned()]
        }
        None => daemon.nodes().await?,
    };
    let read = async |node: &String| {
        let entries = daemon.members(&format!("/redfish/v1/Managers/{node}/LogServices/Log/Entries")).await?;
        let number = |entry: &Value| entry.get("Id").and_then(Value::as_str).and_then(|id| id.parse::<u64>().ok());
        let lines = entries.iter().map(|entry| (number(entry), Line::of(entry, Some(node))));
        anyhow::Ok(lines.collect::<Vec<_>>())
    };
    let logs: Vec<_> = futures_util::stream::iter(nodes.iter().map(read)).buffered(AT_ONCE).collect().await;
    let mut lines = Vec::new();
    for log in logs {
        lines.extend(log?);
    }
    // Numbers count through all nodes, and the clock may have been set back.
    lines.sort_by_key(|(number, _)| *number);
    Ok(lines.into_iter().map(|(_, line)| line).collect())
}

/// Shows what the streams bring, one after the other, until something is wrong for good.
async fn follow(
    daemon: &mut Daemon,
    first: reqwest::Response,
    mut shown: VecDeque<Line>,
    options: &Events,
) -> Result<()> {
    let clock = Clock::system();
    let (mut stream, mut last_id) = (Some(first), None::<String>);
    loop {
        if let Some(mut stream) = stream.take() {
            let mut parser = Parser::default();
            while let Some(Ok(Some(bytes))) = clock.limit(SILENCE_MAX, stream.chunk()).await {
                for event in parser.feed(&bytes)? {
                    last_id = event.id.or(last_id);
                    tell(&event.data, &mut shown, options);
                }
            }
            remark("the stream of events has ended; it is opened again");
        }
        clock.sleep(PAUSE).await;
        stream = match daemon.stream(last_id.as_deref()).await {
            Ok(stream) => Some(stream),
            Err(error) if error.is::<Away>() => None,
            Err(error) if error.is::<Unknown>() => match daemon.log_in().await {
                Err(error) if !error.is::<Away>() => return Err(error),
                _ => None,
            },
            Err(error) => return Err(error),
        };
    }
}

fn tell(data: &str, shown: &mut VecDeque<Line>, options: &Events) {
    let Ok(mut event) = serde_json::from_str::<Value>(data) else {
        return remark("an event came that is no JSON");
    };
    text::clean_json(&mut event);
    for record in event.get("Events").and_then(Value::as_array).into_iter().flatten() {
        let line = Line::of(record, None);
        if options.node.as_ref().is_some_and(|node| *node != line.node) {
            continue;
        }
        // It happened while the logs were read, and stood in them.
        match shown.iter().position(|old| *old == line) {
            Some(at) => drop(shown.remove(at)),
            None => line.print(options.remote.output),
        }
    }
}

/// An event of a stream.
struct Sent {
    id: Option<String>,
    data: String,
}

/// Takes the text of a stream apart: `id:` and `data:` lines, an empty line at the end of each event.
#[derive(Default)]
struct Parser {
    pending: Vec<u8>,
}

impl Parser {
    fn feed(&mut self, bytes: &[u8]) -> Result<Vec<Sent>> {
        self.pending.extend_from_slice(bytes);
        let mut events = Vec::new();
        while let Some(end) = self.pending.windows(2).position(|pair| pair == b"\n\n") {
            let block: Vec<u8> = self.pending.drain(..end + 2).collect();
            let block = String::from_utf8_lossy(&block);
            let field = |name: &'static str| {
                block.lines().filter_map(move |line| Some(line.strip_prefix(name)?.trim_start_matches(' ')))
            };
            let data: Vec<&str> = field("data:").collect();
            if !data.is_empty() {
                events.push(Sent { id: field("id:").next_back().map(str::to_owned), data: data.join("\n") });
            }
        }
        if self.pending.len() > EVENT_BYTES_MAX {
            bail!("what comes as a stream of events has no end of an event; is it a plugfish?");
        }
        Ok(events)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_may_come_in_any_pieces() {
        let text = ": open\n\nid: 7\ndata: {\"a\":1}\n\n: still here\n\nid: 8\ndata: x\ndata: y\n\nid: 9\nda";
        for size in [1, 3, 1000] {
            let mut parser = Parser::default();
            let events: Vec<Sent> =
                text.as_bytes().chunks(size).flat_map(|bytes| parser.feed(bytes).unwrap()).collect();
            let seen: Vec<_> = events.iter().map(|event| (event.id.as_deref(), event.data.as_str())).collect();
            assert_eq!(seen, [(Some("7"), "{\"a\":1}"), (Some("8"), "x\ny")]);
        }
        let mut parser = Parser::default();
        assert!(parser.feed(&vec![b'x'; EVENT_BYTES_MAX + 1]).is_err());
    }
}
