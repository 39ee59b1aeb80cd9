//! Memory, CPU and start time by fleet size: the real program against simulated plugs in processes of their own, each
//! node read every 15 s.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use plugfish::testing::sim::{Model, PlugConfig, Rack, RackConfig, Variant};

use crate::program::{log, proc_status, spawn};
use crate::runtime;
use crate::summary::{self, Aim, Figure};

/// Plugs of one process: its listeners and connections stay under the usual limits of open files.
const PLUGS_OF_ONE: usize = 1000;

/// Every node was read, and logged in, at least twice.
const SETTLE: Duration = Duration::from_secs(40);

/// A whole number of polls of each node.
const WINDOW: Duration = Duration::from_secs(30);

/// Of /proc/PID/stat, on every Linux.
const TICKS_A_SECOND: f64 = 100.0;

/// 127.64.0.1: every address of 127.0.0.0/8 is this machine.
const FIRST_ADDRESS: u32 = 0x7f40_0001;

/// What was seen with so many nodes.
struct Row {
    nodes: usize,
    ready: Duration,
    resident_mib: f64,
    peak_mib: f64,
    cpu_percent: f64,
    known: usize,
}

/// A table for these sizes, and a picture where there is more than one.
pub fn table(sizes: &[usize]) -> Vec<Figure> {
    println!(
        "the program, each node read every 15 s; memory after {} s, CPU in {} s after that",
        SETTLE.as_secs(),
        WINDOW.as_secs()
    );
    println!("{:>7} {:>9} {:>9} {:>9} {:>15} {:>8}", "nodes", "ready s", "MiB", "peak MiB", "% of one core", "known");
    let mut rows = Vec::new();
    for nodes in sizes {
        let row = look(*nodes);
        println!(
            "{:>7} {:>9.2} {:>9.1} {:>9.1} {:>15.2} {:>8}",
            row.nodes,
            row.ready.as_secs_f64(),
            row.resident_mib,
            row.peak_mib,
            row.cpu_percent,
            row.known
        );
        rows.push(row);
    }
    for pair in rows.windows(2) {
        let (more, nodes) = ((pair[1].nodes - pair[0].nodes) as f64, pair[1].nodes);
        let kib = (pair[1].resident_mib - pair[0].resident_mib) * 1024.0 / more;
        let cpu = (pair[1].cpu_percent - pair[0].cpu_percent) * 1000.0 / more;
        println!("up to {nodes:>6} one more node costs {kib:.1} KiB, and a thousand more {cpu:.1} % of a core");
    }
    if rows.len() > 1 {
        let growth = |pick: fn(&Row) -> f64| rows.iter().map(|row| (row.nodes, pick(row))).collect();
        let growths = [
            ("MiB of memory", growth(|row| row.resident_mib)),
            ("% of one core", growth(|row| row.cpu_percent)),
            ("s until ready", growth(|row| row.ready.as_secs_f64())),
        ];
        summary::draw(&Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/growth.svg"), &growths);
    }
    rows.iter().flat_map(targets).collect()
}

/// What is aimed at with so many nodes.
fn targets(row: &Row) -> Vec<Figure> {
    let figure = |what, most, seen| Figure::new(format!("{} nodes: {what}", row.nodes), Aim::AtMost(most), seen);
    let (mib, ready) = (row.resident_mib, row.ready.as_secs_f64());
    match row.nodes {
        1000 => vec![figure("MiB of memory", 96.0, mib), figure("% of one core", 10.0, row.cpu_percent)],
        10_000 => vec![figure("MiB of memory", 400.0, mib), figure("s until ready", 3.0, ready)],
        _ => Vec::new(),
    }
}

fn look(nodes: usize) -> Row {
    let mut racks: Vec<Child> = (0..nodes).step_by(PLUGS_OF_ONE).map(|first| start_rack(nodes, first)).collect();
    let addresses: Vec<String> = racks.iter_mut().flat_map(addresses).collect();
    assert_eq!(addresses.len(), nodes);
    let dir = tempfile::tempdir().unwrap();
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut config = format!(
        "server: {{ listen: [\"127.0.0.1:{port}\"] }}\nstate_dir: state\n\
         accounts: [{{ username: admin, password: secret, role: Administrator }}]\n\
         defaults:\n  tapo: {{ username: owner@example.com, password: plugfish-demo }}\n  poll_interval: 15s\nnodes:\n"
    );
    for (index, address) in addresses.iter().enumerate() {
        config += &format!("  - {{ id: n{index}, tapo: {{ address: \"{address}\" }} }}\n");
    }
    std::fs::write(dir.path().join("nodes.yaml"), config).unwrap();
    let start = Instant::now();
    let mut daemon = spawn(dir.path());
    while !get(port, "/readyz").starts_with("HTTP/1.1 200") {
        assert!(daemon.try_wait().unwrap().is_none(), "it ended: {}", log(dir.path()));
        std::thread::sleep(Duration::from_millis(5));
    }
    let ready = start.elapsed();
    std::thread::sleep(SETTLE);
    let (before, begin) = (cpu(&daemon), Instant::now());
    std::thread::sleep(WINDOW);
    let cpu_percent = 100.0 * (cpu(&daemon) - before) / begin.elapsed().as_secs_f64();
    let memory = |field| proc_status(&daemon, field) as f64 / 1024.0;
    let (resident_mib, peak_mib) = (memory("VmRSS:"), memory("VmHWM:"));
    let metrics = get(port, "/metrics");
    let known = metrics.lines().filter(|line| line.starts_with("plugfish_node_power_on{")).count();
    for child in racks.iter_mut().chain([&mut daemon]) {
        child.kill().unwrap();
        child.wait().unwrap();
    }
    Row { nodes, ready, resident_mib, peak_mib, cpu_percent, known }
}

/// The answer of the daemon, or nothing while it does not listen.
fn get(port: u16, path: &str) -> String {
    let mut answer = String::new();
    if let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)) {
        let asked = write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        let _ = asked.and_then(|()| stream.read_to_string(&mut answer));
    }
    answer
}

/// Seconds on a processor.
fn cpu(child: &Child) -> f64 {
    let text = std::fs::read_to_string(format!("/proc/{}/stat", child.id())).unwrap();
    // After the name, which may hold anything: the 12th and 13th are the ticks of the program and of the system for it.
    let fields: Vec<&str> = text.rsplit(") ").next().unwrap().split(' ').collect();
    let ticks: f64 = fields[11..13].iter().map(|ticks| ticks.parse::<f64>().unwrap()).sum();
    ticks / TICKS_A_SECOND
}

fn start_rack(nodes: usize, first: usize) -> Child {
    let plugs = PLUGS_OF_ONE.min(nodes - first);
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["rack", &plugs.to_string(), &first.to_string()]).stdout(Stdio::piped()).spawn().unwrap()
}

/// What a rack prints when it is there.
fn addresses(rack: &mut Child) -> Vec<String> {
    let lines = BufReader::new(rack.stdout.as_mut().unwrap()).lines().map(|line| line.unwrap());
    lines.take_while(|line| line != "ready").collect()
}

/// A rack of so many plugs, each with an address of its own, until it is killed.
pub fn rack(plugs: usize, first: usize) -> Vec<Figure> {
    let runtime = runtime();
    let plug = |index: usize| PlugConfig {
        address: Some(Ipv4Addr::from(FIRST_ADDRESS + u32::try_from(index).unwrap())),
        discovery_port: None,
        ..PlugConfig::new(&format!("n{index}"), Model::P110, Variant::KlapV2)
    };
    let mut config = RackConfig::new(1);
    config.plugs = (first..first + plugs).map(plug).collect();
    runtime.block_on(async {
        plugfish::testing::http::server::raise_file_limit();
        let rack = Rack::start(config).await.unwrap();
        for plug in rack.plugs() {
            println!("{}", plug.address());
        }
        println!("ready");
        std::future::pending::<()>().await;
        drop(rack);
    });
    Vec::new()
}
