//! The source of the next boot: what is written right before the request that boots, and how it is taken back.
//!
//! An override of AMT is for one boot, whatever causes it, so it is never written ahead. Every write starts from what the
//! machine has, and of its settings only those named here are ever switched on: none that erases or resets anything.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::connection::{Repeat, WsMan};
use super::fault::{Fault, Kind};
use super::power::{class_of, is_taken};
use super::wsman::Output;
use super::xml::{Instance, Reference, Value};
use crate::node::device::FailureClass;
use crate::node::{BootOverride, BootTarget};

/// What the machine can do about boots.
pub(super) const CAPABILITIES: &str = "AMT_BootCapabilities";

/// The settings of the next boot.
pub(super) const SETTINGS: &str = "AMT_BootSettingData";

const CONFIG: &str = "CIM_BootConfigSetting";
const SERVICE: &str = "CIM_BootService";
const SOURCE: &str = "CIM_BootSourceSetting";

/// What the meters call all of it.
const OP: &str = "order";

/// Settings that a Put must not hold: they are read-only, and firmware refuses the whole Put for them. The parameters of
/// UEFI are written only by those who set them.
const NOT_WRITTEN: [&str; 10] = [
    "BIOSLastStatus",
    "BootguardStatus",
    "OptionsCleared",
    "SecureBootControlEnabled",
    "RPEEnabled",
    "UEFIHTTPSBootEnabled",
    "UEFILocalPBABootEnabled",
    "WinREBootEnabled",
    "UefiBootParametersArray",
    "UefiBootNumberOfParams",
];

/// Settings that are switched off in every Put. Some would destroy data: nothing here ever switches one of those on.
const SWITCHED_OFF: [&str; 15] = [
    "BIOSPause",
    "BIOSSetup",
    "ConfigurationDataReset",
    "ForcedProgressEvents",
    "LockKeyboard",
    "LockPowerButton",
    "LockResetButton",
    "LockSleepButton",
    "PlatformErase",
    "ReflashBIOS",
    "SecureErase",
    "UseIDER",
    "UseSOL",
    "UseSafeMode",
    "UserPasswordBypass",
];

/// Settings that are 0 in every Put.
const ZEROED: [&str; 3] = ["BootMediaIndex", "FirmwareVerbosity", "IDERBootDevice"];

/// `Role`: the settings are for the next boot, and for no other.
const NEXT_SINGLE_USE: u32 = 1;

/// `Role`: they are not for the next boot.
const NOT_NEXT: u32 = 32_768;

/// `EnabledState` and `RequestedState` of CIM_BootService: boots over HTTPS allowed, remote erasing not.
const RECOVERY: u32 = 32_769;
/// Remote erasing allowed, boots over HTTPS not.
const ERASE: u32 = 32_770;
/// Both.
const RECOVERY_AND_ERASE: u32 = 32_771;

/// Longest URI of an image.
const URI_BYTES_MAX: usize = 300;

/// The vendor in each parameter of UEFI: Intel.
const VENDOR: u16 = 0x8086;
/// Parameter: the URI of the image.
const PARAMETER_URI: u16 = 1;
/// Parameter: the firmware trusts the certificate authorities that AMT trusts.
const PARAMETER_SYNC_ROOT: u16 = 20;

/// The boot targets that a machine has, from its AMT_BootCapabilities; `https` when its firmware setup allows boots over HTTPS.
pub(super) fn targets(capabilities: &Instance, https: bool) -> Vec<BootTarget> {
    let can = |name| capabilities.boolean(name).unwrap_or(false);
    let has = |target: &BootTarget| match target {
        BootTarget::None => true,
        BootTarget::Pxe => can("ForcePXEBoot"),
        BootTarget::Hdd => can("ForceHardDriveBoot"),
        BootTarget::Cd => can("ForceCDorDVDBoot"),
        BootTarget::BiosSetup => can("BIOSSetup"),
        BootTarget::UefiHttp => has_recovery(capabilities) && https,
    };
    BootTarget::ALL.into_iter().filter(has).collect()
}

/// The firmware knows boots over HTTPS at all.
pub(super) fn has_recovery(capabilities: &Instance) -> bool {
    capabilities.boolean("ForceUEFIHTTPSBoot").unwrap_or(false)
}

/// What one override means for AMT.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Plan {
    /// CIM_BootSourceSetting, without its prefix.
    source: Option<&'static str>,
    setup: bool,
    /// The parameters of UEFI.
    parameters: Option<String>,
}

impl Plan {
    /// The plan for an override, if it makes sense.
    pub(super) fn of(boot: &BootOverride) -> Result<Plan, Fault> {
        let source = |name| Plan { source: Some(name), ..Plan::default() };
        Ok(match boot.in_force() {
            BootTarget::None => Plan::default(),
            BootTarget::Pxe => source("Force PXE Boot"),
            BootTarget::Hdd => source("Force Hard-drive Boot"),
            BootTarget::Cd => source("Force CD/DVD Boot"),
            BootTarget::BiosSetup => Plan { setup: true, ..Plan::default() },
            BootTarget::UefiHttp => Plan {
                parameters: Some(parameters(boot.http_boot_uri.as_deref())?),
                ..source("Force OCR UEFI HTTPS Boot")
            },
        })
    }

    /// The settings to write, from those that were read.
    fn settings(&self, read: Instance) -> Instance {
        let counted = read.has("UefiBootNumberOfParams");
        let mut settings = Instance { class: SETTINGS.into(), ..read };
        NOT_WRITTEN.iter().for_each(|name| settings.remove(name));
        let overwrite = |settings: &mut Instance, name: &str, value: &str| {
            // Firmware without the setting would not know what it is.
            if settings.has(name) {
                settings.set(name, value);
            }
        };
        SWITCHED_OFF.iter().for_each(|name| overwrite(&mut settings, name, "false"));
        ZEROED.iter().for_each(|name| overwrite(&mut settings, name, "0"));
        overwrite(&mut settings, "RSEPassword", "");
        if self.setup {
            settings.set("BIOSSetup", true);
        }
        if let Some(parameters) = &self.parameters {
            settings.set("UefiBootParametersArray", parameters.as_str());
            settings.set("UefiBootNumberOfParams", 2);
            settings.set("EnforceSecureBoot", true);
        } else if counted {
            settings.set("UefiBootNumberOfParams", 0);
        }
        settings
    }
}

/// The parameters of UEFI for a boot from this URI.
fn parameters(uri: Option<&str>) -> Result<String, Fault> {
    let refused = |text: &str| Fault::new(Kind::Refused, text);
    let uri = uri.ok_or_else(|| refused("UefiHttp needs an HttpBootUri, and there is none"))?;
    if uri.len() > URI_BYTES_MAX || !uri.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(refused("AMT takes an HttpBootUri of at most 300 ASCII characters, without blanks"));
    }
    if !uri.get(..8).is_some_and(|scheme| scheme.eq_ignore_ascii_case("https://")) {
        return Err(refused("AMT boots over HTTPS only: the HttpBootUri has to begin with https://"));
    }
    let parameter = |kind: u16, value: &[u8]| {
        let length = u32::try_from(value.len()).unwrap_or(u32::MAX);
        [&VENDOR.to_le_bytes()[..], &kind.to_le_bytes(), &length.to_le_bytes(), value].concat()
    };
    Ok(BASE64.encode([parameter(PARAMETER_URI, uri.as_bytes()), parameter(PARAMETER_SYNC_ROOT, &[1])].concat()))
}

/// Something is set that would change the next boot, as far as the settings tell.
fn is_set(settings: &Instance) -> bool {
    let number = |name: &str| settings.number(name).is_some_and(|number: u32| number != 0);
    SWITCHED_OFF.iter().any(|name| settings.boolean(name) == Some(true))
        || ZEROED.iter().any(|name| number(name))
        || number("UefiBootNumberOfParams")
}

/// Sets the source of the next boot. What fails in the middle leaves something behind: [`clear`] it then.
pub(super) async fn apply(ws: &mut WsMan, plan: &Plan) -> Result<(), Fault> {
    let read = ws.get(OP, SETTINGS, &[]).await?;
    if plan.parameters.is_some() {
        if read.boolean("UEFIHTTPSBootEnabled") == Some(false) {
            return Err(Fault::new(
                Kind::Refused,
                "boots over HTTPS are switched off in the setup of the machine's firmware",
            ));
        }
        allow_recovery(ws).await?;
    }
    // Some firmware ignores a second order until the first is taken back, and a source excludes some settings.
    change_order(ws, None).await?;
    ws.put(OP, &plan.settings(read), &[]).await?;
    set_role(ws, NEXT_SINGLE_USE).await?;
    if plan.source.is_some() {
        change_order(ws, plan.source).await?;
    }
    Ok(())
}

/// Takes back whatever is set. `Ok(Some(_))` is what the machine refused of it: without consent it lets no one write,
/// and then no one can have set anything.
pub(super) async fn clear(ws: &mut WsMan) -> Result<Option<Fault>, Fault> {
    let settings = match ws.get(OP, SETTINGS, &[]).await {
        Ok(settings) => settings,
        Err(fault) if fault.is_absence() => return Ok(None),
        Err(fault) => return refusal(fault),
    };
    let set = is_set(&settings);
    let cleared = async {
        change_order(ws, None).await?;
        if set {
            ws.put(OP, &Plan::default().settings(settings), &[]).await?;
            set_role(ws, NOT_NEXT).await?;
        }
        Ok(())
    };
    cleared.await.map_or_else(refusal, |()| Ok(None))
}

/// A machine that understood and will not is no reason not to boot it; one that cannot just now, or is not reached, is.
fn refusal(fault: Fault) -> Result<Option<Fault>, Fault> {
    match &fault.kind {
        Kind::Soap(code) if !code.is_passing() => Ok(Some(fault)),
        Kind::Returned(value) if class_of(*value) == FailureClass::Refused => Ok(Some(fault)),
        _ => Err(fault),
    }
}

async fn change_order(ws: &mut WsMan, source: Option<&str>) -> Result<(), Fault> {
    let source = source.map(|name| Reference::new(SOURCE, &[("InstanceID", &format!("Intel(r) AMT: {name}"))]));
    let parameters: Vec<(&str, Value)> = source.into_iter().map(|source| ("Source", source.into())).collect();
    invoke(ws, CONFIG, "ChangeBootOrder", &parameters).await
}

async fn set_role(ws: &mut WsMan, role: u32) -> Result<(), Fault> {
    let config = Reference::new(CONFIG, &[("InstanceID", "Intel(r) AMT: Boot Configuration 0")]);
    invoke(ws, SERVICE, "SetBootConfigRole", &[("BootConfigSetting", config.into()), ("Role", role.into())]).await
}

/// Lets the firmware boot over HTTPS, if it does not yet.
async fn allow_recovery(ws: &mut WsMan) -> Result<(), Fault> {
    let service = ws.get(OP, SERVICE, &[]).await?;
    let wanted = match service.number("EnabledState") {
        Some(RECOVERY | RECOVERY_AND_ERASE) => return Ok(()),
        Some(ERASE) => RECOVERY_AND_ERASE,
        _ => RECOVERY,
    };
    invoke(ws, SERVICE, "RequestStateChange", &[("RequestedState", wanted.into())]).await
}

/// Calls a method that sets something: once more does no harm.
async fn invoke(ws: &mut WsMan, class: &str, method: &'static str, parameters: &[(&str, Value)]) -> Result<(), Fault> {
    let Output { return_value, .. } = ws.invoke(OP, class, method, parameters, Repeat::Safe).await?;
    if is_taken(return_value) { Ok(()) } else { Err(Fault::returned(class, method, return_value)) }
}
