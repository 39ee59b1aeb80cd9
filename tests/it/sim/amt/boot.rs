//! The boot override over the wire: the order of calls, single use, consent, refusals, and the boot over HTTPS.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use plugfish::testing::sim::{BootCause, BootSource, Consent, ControlMode, Machine, MachineConfig, Profile, Timings};

use super::raw::{Client, epr};
use super::{open, start, until};

const BOOT: &str = "AMT_BootSettingData";

/// The last boot, after one more reset.
async fn reset(machine: &Machine, client: &mut Client) -> (BootSource, u16, Vec<&'static str>) {
    until(|| machine.os_running() || machine.describe().power_state == 2 && !machine.describe().busy).await;
    let boots = machine.boots().len();
    assert_eq!(client.request_power(10).await, 0);
    until(|| machine.boots().len() > boots && !machine.describe().busy).await;
    let last = machine.boots().pop().unwrap();
    (last.source, last.media_index, last.settings)
}

#[tokio::test]
async fn the_full_order_of_calls_boots_once_from_each_source() {
    let (_rack, machine, mut client) = start(open(Profile::Amt12)).await;
    for (name, source) in [
        ("Force PXE Boot", BootSource::Pxe),
        ("Force Hard-drive Boot", BootSource::Hdd),
        ("Force CD/DVD Boot", BootSource::Cd),
    ] {
        assert_eq!(client.order(None).await, 0);
        let put = client.put(BOOT, "<p:BIOSSetup>false</p:BIOSSetup><p:BootMediaIndex>1</p:BootMediaIndex>").await;
        assert_eq!((put.status, put.text("BootMediaIndex")), (200, "1".into()));
        assert_eq!((client.role(1).await, client.order(Some(name)).await), (0, 0));
        assert_eq!((machine.describe().order.as_deref(), machine.describe().next), (Some(name), true));
        assert_eq!(reset(&machine, &mut client).await, (source, 1, vec![]));
        assert_eq!(reset(&machine, &mut client).await, (BootSource::Normal, 0, vec![]));
    }
}

#[tokio::test]
async fn a_boot_that_nobody_ordered_uses_the_override_up() {
    let (_rack, machine, mut client) = start(open(Profile::Amt12)).await;
    client.order(Some("Force PXE Boot")).await;
    client.role(1).await;
    machine.reboot_os();
    until(|| machine.boots().len() == 1).await;
    let boot = machine.boots().pop().unwrap();
    assert_eq!((boot.source, boot.cause), (BootSource::Pxe, BootCause::Os));
    assert_eq!(reset(&machine, &mut client).await.0, BootSource::Normal);
}

#[tokio::test]
async fn without_the_role_it_waits_and_a_second_order_is_ignored() {
    let (_rack, machine, mut client) = start(open(Profile::Amt12)).await;
    assert_eq!(client.order(Some("Force PXE Boot")).await, 0);
    assert_eq!(reset(&machine, &mut client).await.0, BootSource::Normal);
    assert_eq!(client.order(Some("Force CD/DVD Boot")).await, 0);
    client.role(1).await;
    assert_eq!(reset(&machine, &mut client).await.0, BootSource::Pxe);
    client.order(Some("Force PXE Boot")).await;
    client.role(1).await;
    client.role(32768).await;
    client.order(None).await;
    assert_eq!(reset(&machine, &mut client).await.0, BootSource::Normal);
}

#[tokio::test]
async fn the_setup_comes_up_and_no_system() {
    let (_rack, machine, mut client) = start(open(Profile::Amt12)).await;
    assert_eq!(client.put(BOOT, "<p:BIOSSetup>true</p:BIOSSetup>").await.status, 200);
    client.role(1).await;
    assert_eq!(reset(&machine, &mut client).await, (BootSource::BiosSetup, 0, vec!["BIOSSetup"]));
    tokio::time::sleep(Timings::quick().os_boot * 2).await;
    assert!(!machine.os_running());
    assert_eq!(reset(&machine, &mut client).await.0, BootSource::Normal);
}

#[tokio::test]
async fn what_does_not_go_together_is_refused() {
    let (_rack, machine, mut client) = start(open(Profile::Amt12)).await;
    let read = client.get(BOOT).await;
    assert_eq!(read.texts("BIOSLastStatus"), ["0", "0"]);
    for field in ["BIOSLastStatus", "OptionsCleared"] {
        assert_eq!(client.put(BOOT, &format!("<p:{field}>0</p:{field}>")).await.fault(), "InvalidRepresentation");
    }
    client.order(Some("Force PXE Boot")).await;
    assert_eq!(client.put(BOOT, "<p:UseSOL>true</p:UseSOL>").await.fault(), "InvalidRepresentation");
    assert_eq!(client.get(BOOT).await.text("UseSOL"), "false");
    client.order(None).await;
    assert_eq!(client.put(BOOT, "<p:UseSOL>true</p:UseSOL><p:OfTomorrow>1</p:OfTomorrow>").await.status, 200);
    assert_eq!(client.order(Some("Force PXE Boot")).await, 2);
    assert_eq!(client.order(Some("Force Diagnostic Boot")).await, 5);
    assert_eq!(client.order(Some("Force OCR UEFI HTTPS Boot")).await, 5);
    assert_eq!(client.role(7).await, 5);
    machine.reconfigure(|config| config.quirks.takes_read_only = true);
    assert_eq!(client.put(BOOT, "<p:BIOSLastStatus>0</p:BIOSLastStatus>").await.status, 200);
}

#[tokio::test]
async fn consent_is_asked_for_in_client_control() {
    for (mode, consent) in [(ControlMode::Client, Consent::None), (ControlMode::Admin, Consent::All)] {
        let (_rack, machine, mut client) = start(MachineConfig { mode, consent, ..open(Profile::Amt12) }).await;
        let source = epr("Source", "CIM_BootSourceSetting", "InstanceID", "Intel(r) AMT: Force PXE Boot");
        let denied = client.invoke("CIM_BootConfigSetting", "ChangeBootOrder", &source).await;
        assert_eq!(denied.fault(), "AccessDenied");
        assert_eq!(client.put(BOOT, "<p:BIOSSetup>true</p:BIOSSetup>").await.fault(), "AccessDenied");
        assert_eq!(client.put(BOOT, "<p:BIOSSetup>false</p:BIOSSetup>").await.status, 200);
        assert_eq!(client.order(None).await, 0);
        let opt_in = client.get("IPS_OptInService").await;
        assert_eq!((opt_in.text("OptInRequired"), opt_in.text("OptInState")), ("4294967295".into(), "0".into()));
        assert_eq!(client.call("IPS_OptInService", "StartOptIn", "").await, 0);
        let code = machine.consent_code().unwrap();
        let say = |code: u32| format!("<p:OptInCode>{code}</p:OptInCode>");
        assert_eq!(client.call("IPS_OptInService", "SendOptInCode", &say(code ^ 1)).await, 2066);
        assert_eq!(client.call("IPS_OptInService", "SendOptInCode", &say(code)).await, 0);
        assert_eq!(client.get("IPS_OptInService").await.text("OptInState"), "3");
        assert_eq!(client.order(Some("Force PXE Boot")).await, 0);
        assert_eq!(client.call("IPS_OptInService", "CancelOptIn", "").await, 0);
        assert_eq!(machine.describe().order, None);
        assert_eq!(client.request_power(10).await, 0, "power needs no consent");
    }
}

#[tokio::test]
async fn one_click_recovery_boots_from_its_uri() {
    let uri = "https://boot.example.com/image.iso";
    let (_rack, machine, mut client) = start(open(Profile::Amt16)).await;
    assert_eq!(client.get("AMT_BootCapabilities").await.text("ForceUEFIHTTPSBoot"), "true");
    let one = [&[0x86, 0x80, 1, 0][..], &(uri.len() as u32).to_le_bytes(), uri.as_bytes()].concat();
    let array = STANDARD.encode([&one[..], &[0x86, 0x80, 20, 0, 1, 0, 0, 0, 1]].concat());
    let fields = format!(
        "<p:UefiBootParametersArray>{array}</p:UefiBootParametersArray><p:UefiBootNumberOfParams>2</p:UefiBootNumberOfParams>"
    );
    assert_eq!(client.order(Some("Force OCR UEFI HTTPS Boot")).await, 2);
    assert_eq!(client.put(BOOT, &fields).await.status, 200);
    assert_eq!(
        client.call("CIM_BootService", "RequestStateChange", "<p:RequestedState>32768</p:RequestedState>").await,
        0
    );
    assert_eq!(client.order(Some("Force OCR UEFI HTTPS Boot")).await, 2);
    assert_eq!(
        client.call("CIM_BootService", "RequestStateChange", "<p:RequestedState>32769</p:RequestedState>").await,
        0
    );
    assert_eq!(client.order(Some("Force OCR UEFI HTTPS Boot")).await, 0);
    client.role(1).await;
    assert_eq!(reset(&machine, &mut client).await.0, BootSource::UefiHttp { uri: uri.into() });
}
