//! Power: offered and refused states, durations, an unreachable machine, and changes from other causes.

use std::time::Duration;

use plugfish::testing::sim::{BootCause, BootSource, MachineConfig, MachineQuirks, Power, PowerLoss, Profile, Timings};

use super::raw::{Broken, Client};
use super::{config, open, start, until};

#[tokio::test]
async fn what_is_offered_follows_the_state_and_the_system() {
    let (_rack, machine, mut client) = start(open(Profile::Amt12)).await;
    assert_eq!((client.power().await, client.available().await), (2, vec![10, 8, 5, 11, 4, 7, 14, 12]));
    machine.set_os(false);
    assert_eq!(client.available().await, [10, 8, 5, 11]);
    machine.set_os(true);
    machine.reconfigure(|config| config.lms = false);
    assert_eq!(client.available().await, [10, 8, 5, 11]);
    machine.set_power(Power::SoftOff);
    assert_eq!((client.power().await, client.available().await), (8, vec![2]));
    machine.set_power(Power::Sleeping);
    assert_eq!((client.power().await, client.available().await), (4, vec![2, 5, 8]));
}

#[tokio::test]
async fn a_request_is_accepted_first_and_done_later() {
    // Long enough for two requests on a machine that is busy with other tests.
    let timings = Timings { reaction: Duration::from_millis(400), blackout: Duration::ZERO, ..Timings::quick() };
    let (_rack, machine, mut client) = start(MachineConfig { timings, ..config(Profile::Amt12) }).await;
    assert_eq!(client.request_power(8).await, 0);
    assert_eq!(client.power().await, 2);
    assert_eq!(client.request_power(8).await, 2);
    until(|| machine.power() == Power::SoftOff).await;
    assert_eq!(client.power().await, 8);
    assert_eq!(client.request_power(10).await, 2);
    assert_eq!(client.request_power(2).await, 0);
    until(|| machine.os_running()).await;
    let causes: Vec<_> = machine.boots().iter().map(|boot| boot.cause).collect();
    assert_eq!(causes, [BootCause::Request(2)]);
    assert_eq!(
        client.call("CIM_PowerManagementService", "RequestPowerStateChange", "<p:PowerState>8</p:PowerState>").await,
        5
    );
    assert_eq!(machine.counters().relay_writes, 4);
}

#[tokio::test]
async fn the_network_goes_away_around_a_change() {
    let timings = Timings { blackout: Duration::from_millis(500), ..Timings::quick() };
    let (_rack, machine, mut client) = start(MachineConfig { timings, ..config(Profile::Amt12) }).await;
    client.power().await;
    assert_eq!(client.request_power(8).await, 0);
    until(|| machine.power() == Power::SoftOff).await;
    client.patience = Duration::from_millis(20);
    let answer = client.send("POST /wsman", None, "").await;
    assert!(matches!(answer, Err(Broken::Silent | Broken::Closed)), "{answer:?}");
    tokio::time::sleep(timings.blackout).await;
    client.patience = Duration::from_secs(5);
    assert_eq!(client.power().await, 8);
    machine.reconfigure(|config| config.quirks.blackout_refuses = true);
    machine.press_button();
    until(|| machine.power() == Power::On).await;
    let answer = Client::new(machine.address()).send("POST /wsman", None, "").await;
    assert!(matches!(answer, Err(Broken::Refused | Broken::Closed)), "{answer:?}");
}

#[tokio::test]
async fn the_engine_sleeps_while_the_machine_is_off_and_wakes_slowly() {
    let (_rack, machine, mut client) = start(MachineConfig { starts_on: false, ..open(Profile::Amt12) }).await;
    let sleeps_after = |after| machine.reconfigure(|config| config.timings.me_sleep_after = Some(after));
    assert_eq!(client.power().await, 8);
    sleeps_after(Duration::ZERO);
    client.patience = Duration::from_millis(50);
    assert_eq!(client.send("POST /wsman", None, "").await.unwrap_err(), Broken::Silent);
    sleeps_after(Duration::from_secs(60));
    tokio::time::sleep(Timings::quick().me_wake).await;
    client.patience = Duration::from_secs(5);
    assert_eq!(client.power().await, 8);
}

#[tokio::test]
async fn a_cycle_and_a_reset_boot_and_a_nmi_does_not() {
    let (_rack, machine, mut client) = start(open(Profile::Amt12)).await;
    for number in [5, 10, 14] {
        until(|| machine.os_running()).await;
        let boots = machine.boots().len();
        assert_eq!(client.request_power(number).await, 0, "{number}");
        until(|| machine.boots().len() > boots).await;
        assert_eq!(machine.boots().last().unwrap().cause, BootCause::Request(number));
    }
    until(|| machine.os_running()).await;
    assert_eq!(client.request_power(11).await, 0);
    assert_eq!(client.request_power(12).await, 0);
    until(|| machine.power() == Power::SoftOff).await;
    assert_eq!(machine.boots().len(), 3);
}

#[tokio::test]
async fn people_and_the_system_move_it_too() {
    let (_rack, machine, mut client) = start(open(Profile::Amt12)).await;
    machine.press_button();
    until(|| machine.power() == Power::SoftOff).await;
    machine.press_button();
    until(|| machine.os_running()).await;
    machine.reboot_os();
    until(|| machine.os_running()).await;
    let causes: Vec<_> = machine.boots().iter().map(|boot| (boot.cause, boot.source.clone())).collect();
    assert_eq!(causes, [(BootCause::Button, BootSource::Normal), (BootCause::Os, BootSource::Normal)]);
    assert_eq!(client.power().await, 2);
}

#[tokio::test]
async fn mains_go_and_come() {
    for (power_loss, boots) in [(PowerLoss::LastState, 1), (PowerLoss::On, 1), (PowerLoss::Off, 0)] {
        let me_boot = Duration::from_millis(400);
        let timings = Timings { me_boot, blackout: Duration::ZERO, ..Timings::quick() };
        let (_rack, machine, mut client) = start(MachineConfig { power_loss, timings, ..config(Profile::Amt12) }).await;
        client.power().await;
        machine.cut_mains();
        assert_eq!((machine.power(), machine.describe().mains), (Power::HardOff, false));
        assert!(client.send("POST /wsman", None, "").await.is_err());
        machine.return_mains();
        assert!(
            Client::new(machine.address()).send("POST /wsman", None, "").await.is_err(),
            "the engine is still starting"
        );
        tokio::time::sleep(me_boot).await;
        while tokio::net::TcpStream::connect(machine.address()).await.is_err() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert_eq!(client.power().await, if boots == 1 { 2 } else { 6 });
        assert_eq!(machine.boots().iter().filter(|boot| boot.cause == BootCause::MainsBack).count(), boots);
    }
}

#[tokio::test]
async fn a_machine_may_say_yes_and_do_nothing() {
    let quirks = MachineQuirks { ignores_power: true, ..MachineQuirks::default() };
    let (_rack, machine, mut client) = start(MachineConfig { quirks, ..open(Profile::Amt12) }).await;
    assert_eq!(client.request_power(8).await, 0);
    tokio::time::sleep(Timings::quick().reaction * 2).await;
    assert_eq!(machine.power(), Power::On);
}
