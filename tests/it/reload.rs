//! Changes of the files of a running daemon: everything is checked first, unchanged nodes are not affected, and errors
//! are reported.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use plugfish::testing::sim::{Rack, RackConfig};
use reqwest::{Client, StatusCode};

use crate::program::{Daemon, configure, log, rack, spawn, until};
use crate::rig::klap;

#[tokio::test]
async fn a_reload_keeps_sessions_and_a_bad_file_changes_nothing() {
    let rack = rack().await;
    let plug = rack.plug("n").unwrap();
    let dir = configure(&rack);
    let daemon = Daemon::start(dir.path()).await;
    until(10, "first contact", async || daemon.system().await["PowerState"] == "On").await;
    let hang_up = || {
        let sent = Command::new("kill").args(["-HUP", &daemon.child.id().to_string()]).status().unwrap();
        assert!(sent.success());
    };
    let file = dir.path().join("nodes.yaml");
    let good = fs::read_to_string(&file).unwrap();
    fs::write(&file, format!("{good}odd: 1\n")).unwrap();
    hang_up();
    until(5, "said", async || log(dir.path()).contains("config_rejected")).await;
    fs::write(&file, good.replace("off_dwell: 1s", "off_dwell: 2s")).unwrap();
    hang_up();
    until(5, "reloaded", async || log(dir.path()).contains("config_reloaded")).await;
    assert_eq!(daemon.reset("PowerCycle").await, Some(StatusCode::NO_CONTENT));
    until(10, "cycled", async || plug.power_ons(1) == Some(1)).await;
    let (off, on) = (plug.history(1)[1].at, plug.history(1)[2].at);
    assert!(on.since(off) >= Duration::from_secs(2), "the new dwell holds");
    assert_eq!(plug.counters().logins, 1, "the session lived on");
    daemon.kill();
}

#[tokio::test]
async fn a_changed_file_is_taken_by_itself_and_a_bad_one_is_told_of_until_it_is_good() {
    let rack = rack().await;
    let dir = configure(&rack);
    let daemon = Daemon::start(dir.path()).await;
    let file = dir.path().join("nodes.yaml");
    let good = fs::read_to_string(&file).unwrap();
    assert_eq!(daemon.text("/readyz").await, "ready\n");

    // Half of it, as an editor or a full disk leaves it.
    fs::write(&file, &good[..good.len() - 10]).unwrap();
    until(5, "told", async || daemon.text("/readyz").await.contains("the running configuration stays")).await;
    let told = daemon.text("/readyz").await;
    assert!(told.starts_with("ready\n") && told.contains("nodes.yaml:9: this is not YAML"), "{told}");
    assert!(daemon.text("/metrics").await.contains("plugfish_config_last_reload_successful 0"));
    assert!(daemon.system().await["Id"] == "n", "it serves on");

    // Good again, with another port, which only a start can take.
    let port = fs::read_to_string(dir.path().join("port")).unwrap();
    fs::write(&file, good.replace(&format!("\"127.0.0.1:{port}\""), &format!("\"127.0.0.1:{port}\", \"127.0.0.2:0\"")))
        .unwrap();
    until(5, "taken", async || !daemon.text("/readyz").await.contains("stays")).await;
    assert_eq!(
        daemon.text("/readyz").await,
        "ready\nserver.listen has changed; restart plugfish for it to take effect\n"
    );
    assert!(daemon.text("/metrics").await.contains("plugfish_config_last_reload_successful 1"));
    fs::write(&file, &good).unwrap();
    until(5, "as at the start", async || daemon.text("/readyz").await == "ready\n").await;
    daemon.kill();
}

#[tokio::test]
async fn reloads_under_load_cost_the_devices_nothing() {
    const RELOADS: usize = 6;
    let _ = rustls::crypto::ring::default_provider().install_default();
    let rack = Rack::start(RackConfig::new(3).with(klap("n")).with(klap("other"))).await.unwrap();
    let plug = rack.plug("n").unwrap();
    let dir = configure(&rack);
    let daemon = Daemon::start(dir.path()).await;
    until(10, "first contact", async || daemon.system().await["PowerState"] == "On").await;
    let done = Arc::new(AtomicBool::new(false));
    let readers: Vec<_> = (0..4)
        .map(|_| {
            let (client, url, done) = (daemon.client.clone(), daemon.url.clone(), done.clone());
            tokio::spawn(async move {
                let mut reads = 0;
                while !done.load(Ordering::Relaxed) {
                    let read = client.get(format!("{url}/redfish/v1/Systems/n")).basic_auth("admin", Some("secret"));
                    assert_eq!(read.send().await.unwrap().status(), StatusCode::OK);
                    reads += 1;
                }
                reads
            })
        })
        .collect();
    let file = dir.path().join("nodes.yaml");
    let good = fs::read_to_string(&file).unwrap();
    let alone: String =
        good.lines().filter(|line| !line.contains("id: other")).map(|line| format!("{line}\n")).collect();
    assert_ne!(alone, good);
    let count = || log(dir.path()).matches("config_reloaded").count();
    for round in 0..RELOADS {
        // The second node goes and comes; the first one is left alone.
        fs::write(&file, if round % 2 == 0 { &alone } else { &good }).unwrap();
        until(10, "reloaded", async || count() == round + 1).await;
    }
    done.store(true, Ordering::Relaxed);
    let mut reads = 0;
    for reader in readers {
        reads += reader.await.unwrap();
    }
    assert!(reads > 100, "{reads} reads");
    assert_eq!(plug.counters().logins, 1, "the session of the node that did not change lived on");
    daemon.kill();
}

/// A folder with a certificate of its own, its key and the configuration, to be shown through a link.
fn volume(dir: &Path, name: &str, config: &str) {
    let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
    let folder = dir.join(name);
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("tls.crt"), made.cert.pem()).unwrap();
    fs::write(folder.join("tls.key"), made.signing_key.serialize_pem()).unwrap();
    fs::write(folder.join("nodes.yaml"), config).unwrap();
}

#[tokio::test]
async fn certificates_that_change_with_their_volume_are_served_without_dropping_anybody() {
    let rack = rack().await;
    let dir = configure(&rack);
    let plain = fs::read_to_string(dir.path().join("nodes.yaml")).unwrap();
    let config = plain.replace("server: {", "server: { tls: { certificate: tls.crt, key: tls.key },");
    ["one", "two", "three"].into_iter().for_each(|name| volume(dir.path(), name, &config));
    // The key of another certificate.
    fs::copy(dir.path().join("one/tls.key"), dir.path().join("three/tls.key")).unwrap();
    let lead_to = |name: &str| {
        symlink(name, dir.path().join("..data_tmp")).unwrap();
        fs::rename(dir.path().join("..data_tmp"), dir.path().join("..data")).unwrap();
    };
    lead_to("one");
    for name in ["nodes.yaml", "tls.crt", "tls.key"] {
        let _ = fs::remove_file(dir.path().join(name));
        symlink(Path::new("..data").join(name), dir.path().join(name)).unwrap();
    }
    let trusts = |name: &str| {
        let pem = fs::read(dir.path().join(name).join("tls.crt")).unwrap();
        let trusted = reqwest::Certificate::from_pem(&pem).unwrap();
        Client::builder().no_proxy().pool_max_idle_per_host(1).tls_certs_only([trusted]).build().unwrap()
    };
    let port = fs::read_to_string(dir.path().join("port")).unwrap();
    let url = format!("https://127.0.0.1:{port}/readyz");
    let reads = async |client: &Client| match client.get(&url).send().await {
        Ok(answer) => answer.text().await.ok(),
        Err(_) => None,
    };
    let mut child = spawn(dir.path());
    let before = trusts("one");
    until(5, "https", async || reads(&before).await.is_some()).await;
    lead_to("two");
    until(5, "the new one", async || reads(&trusts("two")).await.is_some()).await;
    assert_eq!(reads(&trusts("one")).await, None, "the old one is not served any more");
    assert!(reads(&before).await.is_some(), "who was there stays connected");
    lead_to("three");
    until(5, "refused", async || reads(&trusts("two")).await.is_some_and(|text| text.contains("tls.key"))).await;
    assert!(reads(&before).await.is_some(), "who was there stays connected");
    child.kill().unwrap();
    child.wait().unwrap();
}
