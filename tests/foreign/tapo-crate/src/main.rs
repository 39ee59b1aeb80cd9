//! Runs the `tapo` crate against a running simulated rack: logs in, reads, switches off and on, reads the meter, finds the
//! plugs by discovery, uses a wrong password and loses its session. Changes of a relay are verified with the rack's
//! control API.
//!
//! ```text
//! tapo-judge CONTROL_ADDRESS EMAIL PASSWORD [BROADCAST_ADDRESS]
//! ```
//!
//! Ends with 0 only if every case ran and passed.

mod rack;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rack::{Plug, Rack};
use tapo::StreamExt;

/// How long the crate may wait for an answer.
const TIMEOUT: Duration = Duration::from_secs(5);
/// How long a meter may take to show what the board draws.
const METER_WAIT: Duration = Duration::from_secs(8);
/// How far a meter may be off: the board's noise is 3 %, and it is read a moment later.
const METER_TOLERANCE: f64 = 0.12;

/// Off and on through one handle; the board must follow, and the crate must see it.
macro_rules! exercise {
    ($rack:expr, $plug:expr, $position:expr, $handle:expr) => {{
        $handle.off().await.context("off")?;
        $rack.expect_client_moved($plug, $position, false).await?;
        ensure!(!$handle.get_device_info().await.context("read")?.device_on, "off was not seen");
        $handle.on().await.context("on")?;
        $rack.expect_client_moved($plug, $position, true).await?;
        ensure!($handle.get_device_info().await.context("read")?.device_on, "on was not seen");
        $rack.order($plug, "button", &format!(r#"{{"outlet":{}}}"#, $position)).await?;
        ensure!(!$handle.get_device_info().await.context("read")?.device_on, "the button was not seen");
        $rack.order($plug, "button", &format!(r#"{{"outlet":{}}}"#, $position)).await?;
    }};
}

/// The watts that the crate gives must come to be those of the board; then the energy of the month.
macro_rules! measure {
    ($rack:expr, $plug:expr, $position:expr, $handle:expr, $watts:expr) => {{
        let ends = Instant::now() + METER_WAIT;
        loop {
            let watts: f64 = $watts.await.context("watts")?;
            let real = $rack.outlet($plug, $position, "draw_mw").await? / 1000.0;
            // A meter that gives whole watts cuts off up to one.
            if (watts - real).abs() <= real * METER_TOLERANCE + 1.0 {
                break;
            }
            ensure!(Instant::now() < ends, "the crate says {watts} W, the board {real} W");
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
        let month = $handle.get_energy_usage().await.context("energy")?.month_energy as f64;
        let real = $rack.outlet($plug, $position, "month_wh").await?;
        ensure!((month - real).abs() <= 1.0, "the crate says {month} Wh, the board {real} Wh");
    }};
}

fn client(account: &(String, String)) -> tapo::ApiClient {
    tapo::ApiClient::new(&account.0, &account.1).with_timeout(TIMEOUT)
}

fn legacy(account: &(String, String)) -> tapo_legacy::ApiClient {
    tapo_legacy::ApiClient::new(&account.0, &account.1).with_timeout(TIMEOUT)
}

/// KLAP v2 and TPAP.
async fn current(rack: &Rack, plug: &Plug, account: &(String, String)) -> Result<String> {
    match plug.model.as_str() {
        "p100" => {
            let handle = client(account).p100(&plug.address).await?;
            exercise!(rack, plug, 1, handle);
        }
        "p110" => {
            let handle = client(account).p110(&plug.address).await?;
            exercise!(rack, plug, 1, handle);
            let watts = || async { anyhow::Ok(handle.get_current_power().await?.current_power as f64) };
            measure!(rack, plug, 1, handle, watts());
            if plug.variant == "tpap" {
                let watts = || async { anyhow::Ok(handle.get_energy_meter_data().await?.power_mw as f64 / 1000.0) };
                measure!(rack, plug, 1, handle, watts());
            }
            timer(&handle).await?;
        }
        "p300" => {
            let strip = client(account).p300(&plug.address).await?;
            for position in 1..=plug.outlets {
                let handle = strip.plug(tapo::Plug::ByPosition(position)).await?;
                exercise!(rack, plug, position, handle);
            }
        }
        "p304m" => {
            let strip = client(account).p304(&plug.address).await?;
            for position in 1..=plug.outlets {
                let handle = strip.plug(tapo::Plug::ByPosition(position)).await?;
                exercise!(rack, plug, position, handle);
                let watts = || async { anyhow::Ok(handle.get_current_power().await?.current_power as f64) };
                measure!(rack, plug, position, handle, watts());
            }
        }
        model => bail!("no handler for {model}"),
    }
    Ok(format!("{} outlets", plug.outlets))
}

/// A countdown rule is set, read and removed.
async fn timer(handle: &tapo::PlugEnergyMonitoringHandler) -> Result<()> {
    ensure!(handle.get_timer().await?.is_none(), "there is a timer already");
    handle.set_timer(Duration::from_secs(300), tapo::responses::PowerState::On).await?;
    ensure!(handle.get_timer().await?.is_some(), "the timer was not kept");
    handle.clear_timer().await?;
    ensure!(handle.get_timer().await?.is_none(), "the timer was not removed");
    Ok(())
}

/// securePassthrough, with the last version that had it.
async fn passthrough(rack: &Rack, plug: &Plug, account: &(String, String)) -> Result<String> {
    rack.order(plug, "login", r#"{"version":"v1"}"#).await?;
    match plug.model.as_str() {
        "p100" => {
            let handle = legacy(account).p100(&plug.address).await?;
            exercise!(rack, plug, 1, handle);
        }
        "p110" => {
            let handle = legacy(account).p110(&plug.address).await?;
            exercise!(rack, plug, 1, handle);
            let watts = || async { anyhow::Ok(handle.get_current_power().await?.current_power as f64) };
            measure!(rack, plug, 1, handle, watts());
        }
        model => bail!("no handler for {model}"),
    }
    Ok(format!("{} outlets", plug.outlets))
}

/// The second login throws out the first, which learns of it and comes back after a refresh.
async fn eviction(rack: &Rack, plug: &Plug, account: &(String, String)) -> Result<String> {
    let evictions = rack.counter(plug, "evictions").await?;
    let mut first = client(account).p100(&plug.address).await?;
    let second = client(account).p100(&plug.address).await?;
    ensure!(rack.counter(plug, "evictions").await? > evictions, "no one was evicted");
    second.get_device_usage().await.context("the second client")?;
    let thrown_out = first.get_device_usage().await;
    let said = match thrown_out {
        Ok(_) => bail!("an evicted session was answered"),
        Err(error) => error.to_string(),
    };
    first.refresh_session().await.context("refresh")?;
    first.get_device_usage().await.context("after the refresh")?;
    Ok(said)
}

async fn wrong_password(rack: &Rack, plug: &Plug, account: &(String, String)) -> Result<String> {
    let wrong = (account.0.clone(), "not-this-one".to_owned());
    let outcome = match plug.variant.as_str() {
        "passthrough" => legacy(&wrong).p100(&plug.address).await.map(drop).map_err(anyhow::Error::from),
        _ => client(&wrong).p100(&plug.address).await.map(drop).map_err(anyhow::Error::from),
    };
    rack.order(plug, "unlock", "{}").await?;
    match outcome {
        Ok(()) => bail!("it got in"),
        Err(error) => Ok(error.to_string()),
    }
}

/// Discovery finds the plug at its address, logs in and knows the model.
async fn discovery(plug: &Plug, account: &(String, String)) -> Result<String> {
    let host = plug.address.split(':').next().unwrap_or_default();
    let mut found = client(account).discover_devices(host, 2).await?;
    let device = found.next().await.context("no answer")??;
    ensure!(device.model().eq_ignore_ascii_case(&plug.model), "found a {}", device.model());
    let (ip, port) = device.address();
    ensure!(format!("{ip}:{port}") == plug.address, "found at {ip}:{port}");
    Ok(device.model().to_owned())
}

/// A broadcast finds every plug that this version can speak to.
async fn broadcast(plugs: &[Plug], target: &str, account: &(String, String)) -> Result<String> {
    let mut found = client(account).discover_devices(target, 3).await?;
    let mut addresses = Vec::new();
    while let Some(device) = found.next().await {
        if let Ok(device) = device {
            let (ip, port) = device.address();
            addresses.push(format!("{ip}:{port}"));
        }
    }
    for plug in plugs.iter().filter(|plug| matches!(plug.variant.as_str(), "klap_v2" | "tpap")) {
        ensure!(addresses.contains(&plug.address), "{} was not found", plug.name);
    }
    Ok(format!("{} found", addresses.len()))
}

/// The table of verdicts.
#[derive(Default)]
struct Table {
    rows: Vec<[String; 5]>,
    failed: usize,
}

impl Table {
    fn add(&mut self, client: &str, plug: &str, what: &str, outcome: Result<String>) {
        let (verdict, said) = match outcome {
            Ok(said) => ("ok", said),
            Err(error) => {
                self.failed += 1;
                ("FAILED", format!("{error:#}"))
            }
        };
        self.rows.push([client, plug, what, verdict, &said].map(str::to_owned));
    }

    fn print(&self) {
        for [client, plug, what, verdict, said] in &self.rows {
            println!("{client:12}  {plug:18}  {what:14}  {verdict:6}  {said}");
        }
        println!("{} of {} cases are well", self.rows.len() - self.failed, self.rows.len());
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<ExitCode> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [control, email, password, target @ ..] = arguments.as_slice() else {
        bail!("usage: tapo-judge CONTROL_ADDRESS EMAIL PASSWORD [BROADCAST_ADDRESS]");
    };
    let rack = Rack::new(control);
    let account = (email.clone(), password.clone());
    let plugs = rack.plugs().await?;
    let mut table = Table::default();
    let mut tried = Vec::new();
    for plug in &plugs {
        let name = format!("{} {}", plug.model, plug.variant);
        let old = plug.variant == "passthrough";
        if plug.variant == "klap_v1" {
            continue;
        }
        tried.push(plug.variant.clone());
        if old {
            table.add("tapo 0.10.0", &name, "switching", passthrough(&rack, plug, &account).await);
            table.add("tapo 0.10.0", &name, "wrong password", wrong_password(&rack, plug, &account).await);
            continue;
        }
        table.add("tapo 0.12.2", &name, "switching", current(&rack, plug, &account).await);
        table.add("tapo 0.12.2", &name, "wrong password", wrong_password(&rack, plug, &account).await);
        table.add("tapo 0.12.2", &name, "discovery", discovery(plug, &account).await);
        if plug.model == "p100" || plug.model == "p110" {
            table.add("tapo 0.12.2", &name, "eviction", eviction(&rack, plug, &account).await);
        }
    }
    if let [target] = target {
        table.add("tapo 0.12.2", target, "broadcast", broadcast(&plugs, target, &account).await);
    }
    table.print();
    let untried: Vec<&str> =
        ["klap_v2", "tpap", "passthrough"].into_iter().filter(|variant| !tried.iter().any(|v| v == variant)).collect();
    for variant in &untried {
        println!("{variant}: could not be tried, the rack has no such plug");
    }
    Ok(if table.failed == 0 && untried.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
