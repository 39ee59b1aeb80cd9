//! Identity and facts against a scripted machine.

use super::{Facts, Identity, firmware, uuid};
use crate::driver::amt::fault::Kind;
use crate::driver::amt::tests::{accepted, fault, fixture, rig};
use crate::driver::amt::xml::{Instance, Value};

const RAW: &str = "13AEE355D2BFBB6117A088AEDD7037EA";
const SHOWN: &str = "55e3ae13-bfd2-61bb-17a0-88aedd7037ea";

fn instance(class: &str, fields: &[(&str, &str)]) -> String {
    let inside: String = fields.iter().map(|(name, value)| format!("<g:{name}>{value}</g:{name}>")).collect();
    let reply = fixture("get-power");
    let (head, _) = reply.split_once("<g:AvailableRequestedPowerStates>").unwrap();
    let (_, tail) = reply.rsplit_once("</g:UserOfService>").unwrap();
    format!("{head}{inside}{tail}").replace("CIM_AssociatedPowerManagementService", class)
}

fn get_uuid(fields: &str) -> String {
    let named = accepted().replace("RequestPowerStateChange", "GetUuid");
    named.replace("<g:ReturnValue>", &format!("{fields}<g:ReturnValue>"))
}

#[test]
fn the_order_of_smbios_is_put_right_and_no_uuid_is_none() {
    assert_eq!(uuid(&hex::decode(RAW).unwrap()).unwrap().to_string(), SHOWN);
    for nothing in [&[0; 16][..], &[0xFF; 16], &[1; 15], &[1; 17], &[]] {
        assert_eq!(uuid(nothing), None);
    }
}

#[test]
fn the_firmware_is_the_version_and_the_build() {
    let row = |id: &str, version: &str| Instance {
        class: "CIM_SoftwareIdentity".into(),
        fields: vec![("InstanceID".into(), Value::from(id)), ("VersionString".into(), Value::from(version))],
    };
    let rows = [row("Flash", "1"), row("AMT", "16.1.25"), row("Build Number", "1424")];
    assert_eq!(firmware(&rows).as_deref(), Some("16.1.25.1424"));
    assert_eq!(firmware(&rows[..2]).as_deref(), Some("16.1.25"));
    assert_eq!(firmware(&rows[2..]), None);
}

#[tokio::test]
async fn the_uuid_is_asked_where_there_is_one_and_its_loss_is_a_failure() {
    let package = || instance("CIM_ComputerSystemPackage", &[("PlatformGUID", RAW)]);
    let absent = || fault("w:DestinationUnreachable");
    for method in [absent(), get_uuid(""), get_uuid("<g:UUID>?</g:UUID>"), get_uuid("").replace("ReturnValue", "No")] {
        let (fake, mut ws) = rig(&[("GetUuid", method), ("CIM_ComputerSystemPackage", package())]).await;
        let mut identity = Identity::default();
        assert_eq!(identity.ask(&mut ws).await.unwrap().unwrap().to_string(), SHOWN);
        fake.machine().seen.clear();
        assert!(identity.ask(&mut ws).await.unwrap().is_some());
        assert_eq!(fake.actions(), ["Get"], "the place that has it is asked first");
        fake.machine().answers = vec![("GetUuid", absent()), ("CIM_ComputerSystemPackage", absent())];
        assert_eq!(identity.ask(&mut ws).await.unwrap_err().kind, Kind::InvalidResponse);
    }
    let (fake, mut ws) = rig(&[("GetUuid", absent()), ("CIM_ComputerSystemPackage", absent())]).await;
    let mut identity = Identity::default();
    assert_eq!(identity.ask(&mut ws).await, Ok(None));
    fake.machine().seen.clear();
    assert_eq!((identity.ask(&mut ws).await, fake.actions().len()), (Ok(None), 0), "asked once a session");
}

#[tokio::test]
async fn an_operator_is_told_what_will_not_work() {
    let keys = async |answers: &[(&'static str, String)]| {
        let (_fake, mut ws) = rig(answers).await;
        let mut facts = Facts::default();
        facts.learn(&mut ws).await;
        let keys: Vec<&str> = facts.notices().map(|notice| notice.key).collect();
        assert!(facts.open.is_empty(), "{:?}", facts.open);
        keys
    };
    let port = |policy: &[(&str, &str)]| ("AMT_EthernetPortSettings", instance("AMT_EthernetPortSettings", policy));
    let host =
        |mode| ("IPS_HostBasedSetupService", instance("IPS_HostBasedSetupService", &[("CurrentControlMode", mode)]));
    let consent = |required| ("IPS_OptInService", instance("IPS_OptInService", &[("OptInRequired", required)]));
    let old = |mode| ("/AMT_SetupAndConf", instance("AMT_SetupAndConfigurationService", &[("ProvisioningMode", mode)]));
    assert!(keys(&[]).await.is_empty(), "what is absent is no reason to worry");
    assert_eq!(keys(&[host("1")]).await, ["user-consent"]);
    assert_eq!(keys(&[old("4")]).await, ["user-consent"]);
    assert_eq!(keys(&[host("2"), consent("4294967295")]).await, ["user-consent"]);
    assert!(keys(&[host("2"), consent("1"), port(&[("LinkPolicy", "1"), ("LinkPolicy", "14")])]).await.is_empty());
    assert_eq!(keys(&[port(&[("LinkPolicy", "1"), ("LinkPolicy", "16")])]).await, ["unreachable-when-off"]);
}
