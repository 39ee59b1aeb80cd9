//! The classes: the properties of a machine, enumerations in parts, selectors, logs, and the faults of WS-Management.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use plugfish::testing::sim::{MachineConfig, MachineQuirks, Profile};

use super::raw::{ENUMERATION, TRANSFER, envelope, uri};
use super::{config, open, start, until};

/// All that the page on the wire names, for both profiles.
const CLASSES: &[&str] = &[
    "AMT_AuditLog",
    "AMT_BootCapabilities",
    "AMT_BootSettingData",
    "AMT_EthernetPortSettings",
    "AMT_GeneralSettings",
    "AMT_MessageLog",
    "AMT_RedirectionService",
    "AMT_SetupAndConfigurationService",
    "AMT_TimeSynchronizationService",
    "CIM_AssociatedPowerManagementService",
    "CIM_BIOSElement",
    "CIM_BootConfigSetting",
    "CIM_BootService",
    "CIM_BootSourceSetting",
    "CIM_Card",
    "CIM_Chassis",
    "CIM_Chip",
    "CIM_ComputerSystem",
    "CIM_ComputerSystemPackage",
    "CIM_MediaAccessDevice",
    "CIM_PhysicalMemory",
    "CIM_PhysicalPackage",
    "CIM_PowerManagementCapabilities",
    "CIM_PowerManagementService",
    "CIM_Processor",
    "CIM_ServiceAvailableToElement",
    "CIM_SoftwareIdentity",
    "CIM_SystemPackaging",
    "IPS_HostBasedSetupService",
    "IPS_OptInService",
    "IPS_PowerManagementService",
];

#[tokio::test]
async fn every_class_can_be_enumerated_with_either_prefixes() {
    for other_prefixes in [false, true] {
        let quirks = MachineQuirks { other_prefixes, ..MachineQuirks::default() };
        let (_rack, machine, mut client) = start(MachineConfig { quirks, ..config(Profile::Amt16) }).await;
        for class in CLASSES {
            let answers = client.pull_all(class).await;
            let fields: usize = answers.iter().map(|answer| answer.body.matches("ElementName").count()).sum();
            assert!(
                answers[0].status == 200 && (fields > 0 || class.contains("Power") || answers[0].body.len() > 900),
                "{class}"
            );
        }
        assert_eq!(machine.contexts_open(), 0);
    }
}

#[tokio::test]
async fn parents_come_in_parts_with_their_children() {
    let (_rack, _, mut client) = start(config(Profile::Amt12)).await;
    let answers = client.pull_all("CIM_Chip").await;
    assert_eq!(answers.len(), 3, "two parts and an empty end");
    assert!(answers[0].has("CIM_Chip") && answers[0].has("CIM_PhysicalMemory") && !answers[2].has("Tag"));
    let bytes: u64 =
        answers.iter().flat_map(|answer| answer.texts("Capacity")).map(|text| text.parse::<u64>().unwrap()).sum();
    assert_eq!(bytes, 16 << 30);
    assert!(client.pull_all("CIM_ServiceAvailableToElement").await[0].has("CIM_AssociatedPowerManagementService"));
}

#[tokio::test]
async fn a_page_is_as_large_as_asked_and_set() {
    let quirks = MachineQuirks { page_size: Some(3), empty_last_items: true, ..MachineQuirks::default() };
    let (_rack, machine, mut client) = start(MachineConfig { quirks, ..config(Profile::Amt12) }).await;
    let answers = client.pull_all("CIM_SoftwareIdentity").await;
    let counts: Vec<_> = answers.iter().map(|answer| answer.texts("InstanceID").len()).collect();
    assert_eq!(counts, [3, 3, 3, 1, 0]);
    let context = client.enumerate("CIM_SoftwareIdentity", "").await.text("EnumerationContext");
    assert_eq!(client.pull("CIM_SoftwareIdentity", &context, "").await.texts("InstanceID").len(), 1);
    assert_eq!(machine.contexts_open(), 1);
    let body = format!("<n:Release><n:EnumerationContext>{context}</n:EnumerationContext></n:Release>");
    let release = envelope(&format!("{ENUMERATION}/Release"), &uri("CIM_SoftwareIdentity"), "", &body);
    assert_eq!(client.post(&release).await.unwrap().status, 200);
    assert_eq!(machine.contexts_open(), 0);
    assert_eq!(client.pull("CIM_SoftwareIdentity", &context, "").await.fault(), "InvalidEnumerationContext");
}

#[tokio::test]
async fn references_come_when_they_are_asked_for() {
    let (_rack, _, mut client) = start(config(Profile::Amt12)).await;
    for (mode, object) in [("EnumerateEPR", false), ("EnumerateObjectAndEPR", true)] {
        let text = format!("<w:EnumerationMode>{mode}</w:EnumerationMode>");
        let context = client.enumerate("CIM_Processor", &text).await.text("EnumerationContext");
        let answer = client.pull("CIM_Processor", &context, "").await;
        assert!(answer.has("ReferenceParameters") && answer.texts("Selector").contains(&"CPU 0".to_owned()));
        assert_eq!(answer.has("MaxClockSpeed"), object);
    }
}

#[tokio::test]
async fn selectors_choose_and_are_needed_where_there_are_several() {
    let (_rack, machine, mut client) = start(config(Profile::Amt12)).await;
    let class = "AMT_EthernetPortSettings";
    assert_eq!(client.get(class).await.fault(), "InvalidSelectors");
    let wired = client.get_one(class, "InstanceID", "Intel(r) AMT Ethernet Port Settings 0").await;
    assert_eq!(wired.text("MACAddress"), machine.describe().mac);
    assert_eq!(
        client.get_one(class, "InstanceID", "Intel(r) AMT Ethernet Port Settings 7").await.fault(),
        "InvalidSelectors"
    );
    assert_eq!(client.get_one("AMT_GeneralSettings", "NoSuch", "x").await.fault(), "InvalidSelectors");
}

#[tokio::test]
async fn the_machine_says_who_it_is() {
    let (_rack, machine, mut client) = start(config(Profile::Amt16)).await;
    let about = machine.describe();
    let chassis = client.get("CIM_Chassis").await;
    assert_eq!((chassis.text("Model"), chassis.text("SerialNumber")), (about.model, about.serial));
    let raw =
        STANDARD.decode(client.invoke("AMT_SetupAndConfigurationService", "GetUuid", "").await.text("UUID")).unwrap();
    assert_eq!(client.get("CIM_ComputerSystemPackage").await.text("PlatformGUID"), hex::encode_upper(&raw));
    assert_eq!(hex::encode([raw[3], raw[2], raw[1], raw[0]]), about.uuid[..8]);
    machine.set_uuid([0x11; 16]);
    assert_eq!(client.get("CIM_ComputerSystemPackage").await.text("PlatformGUID"), "11".repeat(16));
    let versions = client.pull_all("CIM_SoftwareIdentity").await;
    let version = versions[0].texts("InstanceID").into_iter().zip(versions[0].texts("VersionString"));
    let version: std::collections::HashMap<_, _> = version.collect();
    assert_eq!((version["AMT"].as_str(), version["Build Number"].as_str()), ("16.1.25", "1424"));
    let put = client.put("AMT_GeneralSettings", "<p:HostName>other</p:HostName>").await;
    assert_eq!(put.text("HostName"), "other");
}

#[tokio::test]
async fn what_firmware_lacks_and_what_makes_no_sense_gets_its_fault() {
    let (_rack, machine, mut client) = start(config(Profile::Amt12)).await;
    assert_eq!(client.get("CIM_Fan").await.fault(), "DestinationUnreachable");
    machine.reconfigure(|config| config.version = "9.5.1".into());
    assert_eq!(client.get("IPS_PowerManagementService").await.fault(), "DestinationUnreachable");
    assert_eq!(client.invoke("CIM_BootService", "NoSuchMethod", "").await.fault(), "ActionNotSupported");
    assert_eq!(client.put("CIM_Chassis", "").await.fault(), "ActionNotSupported");
    assert_eq!(
        client.put("AMT_BootSettingData", "<p:BIOSSetup>yes</p:BIOSSetup>").await.fault(),
        "InvalidRepresentation"
    );
    for body in ["", "hello", "<a/>", "<!DOCTYPE a [<!ENTITY b \"c\">]><a>&b;</a>"] {
        assert_eq!(client.post(body).await.unwrap().fault(), "SchemaValidationError", "{body}");
    }
    let wrong = envelope(&format!("{TRANSFER}/Get"), "http://example.com/AMT_GeneralSettings", "", "");
    assert_eq!(client.post(&wrong).await.unwrap().fault(), "DestinationUnreachable");
}

#[tokio::test]
async fn boots_and_requests_are_in_the_logs() {
    let (_rack, machine, mut client) = start(open(Profile::Amt12)).await;
    assert_eq!(client.call("AMT_MessageLog", "PositionToFirstRecord", "").await, 3);
    let records = "<p:IterationIdentifier>1</p:IterationIdentifier><p:MaxReadRecords>390</p:MaxReadRecords>";
    assert_eq!(client.call("AMT_MessageLog", "GetRecords", records).await, 3);
    assert_eq!(client.request_power(10).await, 0);
    until(|| machine.os_running() && !machine.boots().is_empty()).await;
    let answer = client.invoke("AMT_MessageLog", "GetRecords", records).await;
    let records: Vec<_> = answer.texts("RecordArray").iter().map(|text| STANDARD.decode(text).unwrap()).collect();
    assert_eq!((records.len(), answer.text("NoMoreRecords")), (3, "true".into()));
    assert!(records.iter().all(|record| record.len() == 21 && record[4] == 0xff && record[6] == 0x6f));
    assert_eq!((records[0][5], records[0][14]), (15, 19), "the newest is first");
    let two = "<p:IterationIdentifier>2</p:IterationIdentifier><p:MaxReadRecords>1</p:MaxReadRecords>";
    let page = client.invoke("AMT_MessageLog", "GetRecords", two).await;
    assert_eq!((page.text("IterationIdentifier"), page.text("NoMoreRecords")), ("3".into(), "false".into()));
    let audit = client.invoke("AMT_AuditLog", "ReadRecords", "<p:StartIndex>1</p:StartIndex>").await;
    let record = STANDARD.decode(audit.text("EventRecords")).unwrap();
    assert_eq!((audit.text("TotalRecordCount"), &record[..4]), ("1".into(), &[0, 17, 0, 3][..]));
    machine.reconfigure(|config| config.quirks.no_audit_log = true);
    assert_eq!(
        client.invoke("AMT_AuditLog", "ReadRecords", "<p:StartIndex>1</p:StartIndex>").await.fault(),
        "AccessDenied"
    );
    assert_eq!(client.call("AMT_MessageLog", "ClearLog", "").await, 0);
}

#[tokio::test]
async fn the_clock_of_the_engine_can_be_set() {
    let (_rack, _, mut client) = start(config(Profile::Amt12)).await;
    let (class, read) = ("AMT_TimeSynchronizationService", "GetLowAccuracyTimeSynch");
    let before: i64 = client.invoke(class, read, "").await.text("Ta0").parse().unwrap();
    let later = before + 1000;
    let fields = format!("<p:Ta0>{before}</p:Ta0><p:Tm1>{later}</p:Tm1><p:Tm2>{later}</p:Tm2>");
    assert_eq!(client.call(class, "SetHighAccuracyTimeSynch", &fields).await, 0);
    let after: i64 = client.invoke(class, read, "").await.text("Ta0").parse().unwrap();
    assert!((1000..1005).contains(&(after - before)), "{before} {after}");
}
