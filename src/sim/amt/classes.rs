//! The live classes: power, boot, setup, identity, network, logs, and the current content of each instance. Pure.

use super::config::{Consent, ControlMode};
use super::hardware;
use super::power::Power;
use super::reply::{Epr, Instance, Val};
use super::state::State;

/// The reference to the computer.
pub(super) fn managed_system() -> Epr {
    Epr(
        "CIM_ComputerSystem",
        vec![("CreationClassName", "CIM_ComputerSystem".into()), ("Name", "ManagedSystem".into())],
    )
}

/// An instance of a service, with the keys that services have.
fn service(class: &'static str, name: &str) -> Instance {
    Instance::new(class)
        .with("CreationClassName", class)
        .with("ElementName", name)
        .with("Name", name)
        .with("SystemCreationClassName", "CIM_ComputerSystem")
        .with("SystemName", "Intel(r) AMT")
}

/// The classes of these parents have none of their own here.
const PARENTS: &[(&str, &[&str])] = &[
    ("CIM_ServiceAvailableToElement", &["CIM_AssociatedPowerManagementService"]),
    ("CIM_BootSettingData", &["AMT_BootSettingData"]),
];

/// The instances of a class, those of its subclasses too. `None`: the firmware has no such class.
pub(super) fn instances(state: &State, class: &str) -> Option<Vec<Instance>> {
    if let Some((_, children)) = PARENTS.iter().find(|(parent, _)| *parent == class) {
        return children
            .iter()
            .map(|child| instances(state, child))
            .collect::<Option<Vec<_>>>()
            .map(|all| all.concat());
    }
    if let Some(mut found) = state.hardware.instances(class) {
        if state.config.quirks.odd_values {
            found.iter_mut().for_each(hardware::make_odd);
        }
        return Some(found);
    }
    let live = power(state, class).or_else(|| boot(state, class)).or_else(|| setup(state, class));
    live.or_else(|| rest(state, class))
}

fn power(state: &State, class: &str) -> Option<Vec<Instance>> {
    let computer = &state.computer;
    let power_service = || service("CIM_PowerManagementService", "Intel(r) AMT Power Management Service");
    Some(vec![match class {
        "CIM_AssociatedPowerManagementService" => Instance::new("CIM_AssociatedPowerManagementService")
            .list("AvailableRequestedPowerStates", &computer.available())
            .with("PowerState", computer.power().number())
            .with("RequestedPowerState", computer.requested())
            .val("ServiceProvided", Val::Epr(power_service().epr()))
            .val("UserOfService", Val::Epr(managed_system())),
        "CIM_PowerManagementService" => power_service().with("EnabledState", 5).with("RequestedState", 12),
        "CIM_PowerManagementCapabilities" => Instance::new("CIM_PowerManagementCapabilities")
            .with("ElementName", "Power Management Capabilities")
            .with("InstanceID", "Intel(r) AMT:PowerManagementCapabilities 0")
            .list("PowerChangeCapabilities", &[3, 4, 7, 8])
            .list("PowerStatesSupported", &[5, 2, 8, 10, 11, 12, 14, 4, 7])
            .list("RequestedPowerStatesSupported", &[5, 2, 8, 10, 11, 12, 14, 4, 7]),
        "IPS_PowerManagementService" if state.config.major() >= 10 => {
            let one = service("IPS_PowerManagementService", "Intel(r) AMT Power Management Service");
            let one = one.with("EnabledState", 5).with("RequestedState", 12);
            // The property is missing while the computer is off.
            if computer.power() == Power::On { one.with("OSPowerSavingState", 2) } else { one }
        }
        "CIM_ComputerSystem" => {
            let system = |name: &str, element: &str, enabled: u16| {
                Instance::new("CIM_ComputerSystem")
                    .with("CreationClassName", "CIM_ComputerSystem")
                    .with("ElementName", element)
                    .with("EnabledState", enabled)
                    .with("Name", name)
                    .with("NameFormat", "Other")
                    .with("RequestedState", 12)
            };
            let enabled = if computer.power() == Power::On { 2 } else { 3 };
            return Some(vec![
                system("ManagedSystem", "Managed System", enabled),
                system("Intel(r) AMT", "Intel(r) AMT Subsystem", 5),
            ]);
        }
        _ => return None,
    }])
}

fn boot(state: &State, class: &str) -> Option<Vec<Instance>> {
    let recovery = state.recovery();
    Some(vec![match class {
        "AMT_BootSettingData" => {
            let mut one = Instance::new("AMT_BootSettingData").list("BIOSLastStatus", &[0, 0]);
            for (name, value) in state.boot.settings() {
                one = one.with(name, value);
            }
            one
        }
        "AMT_BootCapabilities" => {
            let mut one = Instance::new("AMT_BootCapabilities")
                .with("ElementName", "Intel(r) AMT: Boot Capabilities")
                .with("InstanceID", "Intel(r) AMT:BootCapabilities 0");
            let yes =
                ["BIOSReflash", "BIOSSetup", "ForceCDorDVDBoot", "ForceHardDriveBoot", "ForcePXEBoot", "IDER", "SOL"];
            let no = [
                "BIOSPause",
                "BIOSSecureBoot",
                "ConfigurationDataReset",
                "ForceDiagnosticBoot",
                "ForcedProgressEvents",
            ];
            one = yes.iter().fold(one, |one, name| one.with(name, "true"));
            one = no.iter().fold(one, |one, name| one.with(name, "false"));
            if recovery {
                one = one.with("ForceUEFIHTTPSBoot", "true").with("ForceUEFIPBABoot", "false");
                one = one.with("ForceWinREBoot", "false").with("PlatformErase", 0);
            }
            one.with("SecureErase", "false").with("UserPasswordBypass", "true")
        }
        "CIM_BootConfigSetting" => Instance::new("CIM_BootConfigSetting")
            .with("ElementName", super::boot::CONFIG)
            .with("InstanceID", super::boot::CONFIG),
        "CIM_ElementSettingData" => Instance::new("CIM_ElementSettingData")
            .with("IsCurrent", 1)
            .with("IsDefault", 1)
            .with("IsNext", if state.boot.is_next() { 1 } else { 2 })
            .val("ManagedElement", Val::Epr(managed_system()))
            .val(
                "SettingData",
                Val::Epr(Epr("CIM_BootConfigSetting", vec![("InstanceID", super::boot::CONFIG.into())])),
            ),
        "CIM_BootService" => service("CIM_BootService", "Intel(r) AMT Boot Service")
            .with("EnabledState", state.boot.service)
            .with("OperationalStatus", 0)
            .with("RequestedState", 12),
        "CIM_BootSourceSetting" => {
            let source = |(name, text): (&str, &str)| {
                let id = format!("{}{name}", super::boot::SOURCE_PREFIX);
                Instance::new("CIM_BootSourceSetting")
                    .with("ElementName", &id)
                    .with("FailThroughSupported", 2)
                    .with("InstanceID", &id)
                    .with("StructuredBootString", text)
            };
            return Some(state.boot.sources().into_iter().map(source).collect());
        }
        _ => return None,
    }])
}

fn setup(state: &State, class: &str) -> Option<Vec<Instance>> {
    let config = &state.config;
    let client = config.mode == ControlMode::Client;
    Some(vec![match class {
        "AMT_SetupAndConfigurationService" => {
            service("AMT_SetupAndConfigurationService", "Intel(r) AMT Setup and Configuration Service")
                .with("ConfigurationServerFQDN", "")
                .with("EnabledState", 5)
                .with("PasswordModel", 1)
                .with("ProvisioningMode", if client { 4 } else { 1 })
                .with("ProvisioningServerOTP", "")
                .with("ProvisioningState", 2)
                .with("RequestedState", 12)
                .with("ZeroTouchConfigurationEnabled", "true")
        }
        "IPS_HostBasedSetupService" => service("IPS_HostBasedSetupService", "Intel(r) AMT Host Based Setup Service")
            .list("AllowedControlModes", &[2, 1])
            .with("CertChainStatus", 0)
            .with("ConfigurationNonce", "")
            .with("CurrentControlMode", if client { 1 } else { 2 }),
        "IPS_OptInService" => {
            let required = match (config.mode, config.consent) {
                (ControlMode::Client, _) | (_, Consent::All) => u32::MAX,
                (_, Consent::Kvm) => 1,
                (_, Consent::None) => 0,
            };
            service("IPS_OptInService", "Intel(r) AMT OptIn Service")
                .with("CanModifyOptInPolicy", if client { 0 } else { 1 })
                .with("OptInCodeTimeout", 120)
                .with("OptInDisplayTimeout", 300)
                .with("OptInRequired", required)
                .with("OptInState", state.consent.number())
        }
        "AMT_GeneralSettings" => {
            let mut one = Instance::new("AMT_GeneralSettings")
                .with("AMTNetworkEnabled", 1)
                .with("DDNSPeriodicUpdateInterval", 1440)
                .with("DDNSTTL", 900)
                .with("DDNSUpdateByDHCPServerEnabled", "true")
                .with("DDNSUpdateEnabled", "false")
                .with("DHCPv6ConfigurationTimeout", 0)
                .with("DigestRealm", state.realm());
            for (name, value) in &state.general {
                one = one.with(name, value);
            }
            one.with("ElementName", "Intel(r) AMT: General Settings")
                .with("HostOSFQDN", "")
                .with("InstanceID", "Intel(r) AMT: General Settings")
                .with("NetworkInterfaceEnabled", "true")
                .with("PowerSource", 0)
                .with("PreferredAddressFamily", 0)
                .with("PrivacyLevel", 0)
                .with("SharedFQDN", "true")
                .with("WsmanOnlyMode", "false")
        }
        "CIM_SoftwareIdentity" => return Some(software(&config.version)),
        _ => return None,
    }])
}

fn software(version: &str) -> Vec<Instance> {
    let mut parts: Vec<&str> = version.split('.').collect();
    // The fourth number of newer versions is the build, which older ones say only here.
    let build = if parts.len() > 3 { parts.split_off(3).join(".") } else { "1579".to_owned() };
    let short = parts.join(".");
    let row = |(id, value): (&str, &str)| {
        Instance::new("CIM_SoftwareIdentity")
            .with("InstanceID", id)
            .with("IsEntity", "true")
            .with("VersionString", value)
    };
    let rows = [
        ("Flash", short.as_str()),
        ("Netstack", &short),
        ("AMTApps", &short),
        ("AMT", &short),
        ("Sku", "16392"),
        ("VendorID", "8086"),
        ("Build Number", &build),
        ("Recovery Version", &short),
        ("Recovery Build Num", &build),
        ("Legacy Mode", "False"),
    ];
    rows.into_iter().map(row).collect()
}

fn rest(state: &State, class: &str) -> Option<Vec<Instance>> {
    Some(vec![match class {
        "AMT_EthernetPortSettings" => {
            let port = |index: u8| {
                Instance::new("AMT_EthernetPortSettings")
                    .with("ElementName", "Intel(r) AMT Ethernet Port Settings")
                    .with("InstanceID", format!("Intel(r) AMT Ethernet Port Settings {index}"))
            };
            let ip = state.tcp.ip();
            let wired = port(0)
                .with("DHCPEnabled", "true")
                .with("DefaultGateway", "127.0.0.1")
                .with("IPAddress", ip)
                .with("IpSyncEnabled", "true")
                .with("LinkIsUp", "true")
                .list("LinkPolicy", &[1, 14, 16, 224])
                .with("MACAddress", state.hardware.mac_dashed())
                .with("PhysicalConnectionType", 0)
                .with("PrimaryDNS", "127.0.0.1")
                .with("SharedDynamicIP", "true")
                .with("SharedMAC", "true")
                .with("SharedStaticIp", "false")
                .with("SubnetMask", "255.0.0.0");
            let wireless = port(1)
                .with("DHCPEnabled", "true")
                .with("LinkIsUp", "false")
                .with("MACAddress", "00-00-00-00-00-00")
                .with("PhysicalConnectionType", 3);
            return Some(vec![wired, wireless]);
        }
        "AMT_MessageLog" => Instance::new("AMT_MessageLog")
            .list("Capabilities", &[0, 1, 4, 6, 7, 9])
            .with("CreationClassName", "AMT_MessageLog")
            .with("CurrentNumberOfRecords", state.logs.events().len())
            .with("ElementName", "Intel(r) AMT:MessageLog 1")
            .with("EnabledState", 2)
            .with("IsFrozen", state.logs.frozen)
            .with("LogState", 4)
            .with("MaxNumberOfRecords", 390)
            .with("Name", "Intel(r) AMT:MessageLog 1")
            .with("OverwritePolicy", 2)
            .with("PercentageNearFull", 100)
            .with("RequestedState", 12),
        "AMT_AuditLog" => Instance::new("AMT_AuditLog")
            .with("AuditState", 1)
            .with("CreationClassName", "AMT_AuditLog")
            .with("CurrentNumberOfRecords", state.logs.audit().len())
            .with("ElementName", "Intel(r) AMT:Audit Log")
            .with("Name", "Intel(r) AMT:Audit Log"),
        "AMT_TimeSynchronizationService" => {
            service("AMT_TimeSynchronizationService", "Intel(r) AMT Time Synchronization Service")
                .with("EnabledState", 5)
                .with("LocalTimeSyncEnabled", 0)
                .with("TimeSource", 0)
        }
        "AMT_RedirectionService" => service("AMT_RedirectionService", "Intel(r) AMT Redirection Service")
            .with("EnabledState", state.redirection)
            .with("ListenerEnabled", "false"),
        _ => return None,
    }])
}
