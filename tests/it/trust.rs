//! A device has to keep proving what it proved once, over restarts, whatever host answers in its place; and one command
//! accepts a replacement.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use plugfish::testing::driver::tapo::TapoConfig;
use plugfish::testing::sim::{
    Account, Action, Binding, Fault, Forgery, Impersonation, Model, Plug, PlugConfig, Rack, RackConfig, Selector,
    Variant,
};
use reqwest::{Method, StatusCode};
use serde_json::Value;

use crate::commands::run;
use crate::rig::{Rig, klap, plug};

const COMMAND: &str = "plugfish trust n --reset";

/// A plug that is on and seen, of which nodes.yaml says no MAC address.
async fn seen(variant: Variant) -> Rig {
    let no_mac = |node: &mut plugfish::testing::daemon::NodePlan| {
        let config = node.device.get::<TapoConfig>().unwrap().clone();
        node.device = TapoConfig { mac: None, ..config }.into();
    };
    let rig = Rig::with([plug("n", Model::P110, variant)], no_mac).await;
    rig.all_seen().await;
    assert_eq!(rig.power("n").await, "On");
    rig
}

/// The node says that its plug is not believed, and how that ends.
async fn is_distrusted(rig: &Rig) {
    let told = |system: &Value| system["Status"]["Conditions"].to_string().contains(COMMAND);
    rig.until(20, || async { told(&rig.system("n").await) }).await;
    let system = rig.system("n").await;
    assert_eq!((&system["PowerState"], &system["Status"]["Health"]), (&"On".into(), &"Critical".into()), "{system:#}");
    let (status, body) = rig.reset("n", "ForceOff").await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{body}");
    assert!(body.to_string().contains(COMMAND), "{body}");
}

async fn is_well_and(rig: &Rig, power: &str) {
    rig.until(20, || async {
        let system = rig.system("n").await;
        system["PowerState"] == power && system["Status"]["Health"] == "OK"
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_downgrade_gets_no_password_until_a_person_says_so() {
    let mut rig = seen(Variant::KlapV2).await;
    rig.plug("n").set_variant(Variant::Passthrough);
    rig.plug("n").switch(1, false);
    let logins = rig.plug("n").counters().logins;
    is_distrusted(&rig).await;
    rig.restart().await;
    rig.plug("n").forget_session();
    is_distrusted(&rig).await;
    let counters = rig.plug("n").counters();
    assert_eq!((counters.logins, counters.wrong_passwords), (logins, 0), "no one logged in there");

    let (code, out, err) = run(&rig, &["trust", "n"]).await;
    assert_eq!(code, Some(0), "{err}");
    assert!(out.contains("protocol: KLAP v2") && out.contains("proof: every answer authenticated"), "{out}");
    let (code, out, err) = run(&rig, &["trust", "n", "--reset"]).await;
    assert_eq!((code, out.contains("forgotten")), (Some(0), true), "{out}{err}");
    is_well_and(&rig, "Off").await;
    let (_, out, _) = run(&rig, &["trust", "n"]).await;
    assert!(out.contains("protocol: securePassthrough") && out.contains("proof: nothing proved"), "{out}");
    let log = rig.get("/redfish/v1/Managers/n/LogServices/Log/Entries").await.1.to_string();
    assert!(log.contains("admin reset what was on record") && log.contains("first contact with Tapo plug at"), "{log}");
}

#[tokio::test]
async fn a_blank_account_and_another_plug_are_not_believed() {
    let rig = seen(Variant::KlapV2).await;
    rig.plug("n").reconfigure(|config| config.bound = Binding::Blank);
    rig.plug("n").forget_session();
    rig.plug("n").switch(1, false);
    is_distrusted(&rig).await;
    let rig = seen(Variant::Tpap).await;
    assert!(rig.plug("n").add_fault(Fault::always(Selector::Any, Action::Forge(Forgery::OtherDevice))));
    rig.plug("n").switch(1, false);
    is_distrusted(&rig).await;
    rig.plug("n").clear_faults();
    // The pause is that of a device that is not to be used.
    rig.until(45, || async { rig.power("n").await == "Off" }).await;
}

#[tokio::test]
async fn a_forged_off_is_no_observation() {
    let cases = [
        (Variant::KlapV2, Forgery::Replay),
        (Variant::KlapV2, Forgery::Clear),
        (Variant::Tpap, Forgery::Replay),
        (Variant::Tpap, Forgery::Clear),
        (Variant::Passthrough, Forgery::Clear),
    ];
    let tries = cases.map(|(variant, forgery)| async move {
        let rig = seen(variant).await;
        assert!(rig.plug("n").add_fault(Fault::always(Selector::Any, Action::Forge(forgery))));
        let failing = |system: &Value| system["Status"]["Health"] != "OK";
        rig.until(30, || async { failing(&rig.system("n").await) }).await;
        assert_eq!(rig.power("n").await, "On", "{variant:?} {forgery:?}");
        rig.plug("n").clear_faults();
        is_well_and(&rig, "On").await;
    });
    futures_util::future::join_all(tries).await;
}

/// A plug where broadcasts of the network of the node's plug arrive, that answers them with that one's names and its own
/// address. It is off.
async fn stranger(rig: &Rig, variant: Variant, change: impl FnOnce(&mut PlugConfig)) -> (Rack, Arc<Plug>) {
    let victim = rig.plug("n");
    let IpAddr::V4(address) = victim.address().ip() else { panic!("the rack is on IPv4") };
    let [a, b, c, _] = address.octets();
    let mut config = PlugConfig {
        address: Some(Ipv4Addr::new(a, b, c, 255)),
        port: victim.address().port(),
        discovery_port: victim.discovery_address().map(|address| address.port()),
        starts_on: false,
        ..plug("stranger", Model::P110, variant)
    };
    change(&mut config);
    let mut rack = RackConfig::new(11);
    rack.plugs.push(config);
    let rack = Rack::start(rack).await.unwrap();
    let stranger = rack.plug("stranger").unwrap().clone();
    assert_eq!(
        stranger.discovery_address().map(|address| address.port()),
        Some(victim.discovery_address().unwrap().port())
    );
    let (device_id, mac) = (victim.device_id(), victim.mac().map(|byte| format!("{byte:02X}")).join("-"));
    let claim = Action::Impersonate(Impersonation { device_id, mac });
    assert!(stranger.add_fault(Fault::always(Selector::Discovery, claim)));
    (rack, stranger)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn spoofed_discovery_moves_a_node_to_no_stranger() {
    fn is_of_another(config: &mut PlugConfig) {
        config.account = Account::new("someone@example.com", "else");
    }
    // The last one has the right account, so that it gets through the login; its MAC address is another.
    type Change = fn(&mut PlugConfig);
    let cases: [(Variant, Change, bool); 5] = [
        (Variant::Passthrough, |_| {}, false),
        (Variant::KlapV2, is_of_another, false),
        (Variant::KlapV2, |config| config.bound = Binding::Blank, false),
        (Variant::Tpap, is_of_another, false),
        (Variant::KlapV2, |_| {}, true),
    ];
    let tries = cases.map(|(variant, change, has_account)| async move {
        let rig = Rig::settled([klap("n")]).await;
        let (_rack, stranger) = stranger(&rig, variant, change).await;
        rig.plug("n").set_offline(true);
        rig.until(30, || async { stranger.counters().probes > 0 && stranger.counters().requests > 0 }).await;
        rig.until(20, || async { rig.system("n").await["Status"]["Health"] != "OK" }).await;
        let system = rig.system("n").await;
        assert_eq!(system["PowerState"], "On", "{variant:?}: the stranger is off, and is not believed: {system:#}");
        rig.plug("n").set_offline(false);
        is_well_and(&rig, "On").await;
        let conditions = rig.system("n").await["Status"]["Conditions"].to_string();
        assert!(!conditions.contains("has moved"), "{variant:?}: {conditions}");
        let counters = stranger.counters();
        assert_eq!((counters.wrong_passwords, counters.relay_writes), (0, 0), "{variant:?}");
        assert_eq!(counters.logins > 0, has_account, "{variant:?}: {counters:?}");
    });
    futures_util::future::join_all(tries).await;
}

#[tokio::test]
async fn only_an_administrator_may_look_and_reset() {
    let rig = Rig::settled([klap("n")]).await;
    let (status, trust) = rig.get("/trust/n").await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!((&trust["proved"]["protocol"], &trust["reset"]), (&"KLAP v2".into(), &COMMAND.into()), "{trust:#}");
    let (status, _) = rig.get("/trust/absent").await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    for (name, role) in [("op", "Operator"), ("eye", "ReadOnly")] {
        let account = serde_json::json!({ "UserName": name, "Password": "correct horse 2", "RoleId": role });
        let made = rig.request(Method::POST, "/redfish/v1/AccountService/Accounts").json(&account);
        assert_eq!(rig.send(made).await.0, StatusCode::CREATED);
        for method in [Method::GET, Method::DELETE] {
            let request = rig.client.request(method, rig.url("/trust/n")).basic_auth(name, Some("correct horse 2"));
            assert_eq!(rig.send(request).await.0, StatusCode::FORBIDDEN, "{name}");
        }
    }
    assert_eq!(rig.get("/trust/n").await.1["since"], trust["since"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_probe_beside_the_daemon_knows_what_is_on_record() {
    let mut rig = seen(Variant::KlapV2).await;
    rig.stop();
    rig.plug("n").set_variant(Variant::Passthrough);
    let logins = rig.plug("n").counters().logins;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("nodes.yaml");
    let probe = |state_dir: &std::path::Path| {
        let (address, state_dir) = (rig.plug("n").address(), state_dir.display());
        let account = "username: owner@example.com, password: plugfish-demo";
        let text =
            format!("state_dir: {state_dir}\nnodes: [{{ id: n, tapo: {{ address: \"{address}\", {account} }} }}]\n");
        std::fs::write(&file, text).unwrap();
        let mut program = std::process::Command::new(env!("CARGO_BIN_EXE_plugfish"));
        let program = program.args(["check", "--probe", "--config", file.to_str().unwrap()]);
        let output = tokio::task::block_in_place(|| program.output().unwrap());
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    };
    let (code, out) = probe(&rig.state);
    assert!(code == Some(1) && out.contains(COMMAND), "{out}");
    assert_eq!(rig.plug("n").counters().logins, logins);
    // Without a record it is the first contact, and what it is worth is said.
    let (code, out) = probe(&folder.path().join("none"));
    assert!(code == Some(0) && out.contains("speaks only securePassthrough, which proves nothing"), "{out}");
}
