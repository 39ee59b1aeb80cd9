//! The boot override: AMT_BootSettingData, the boot order and the role, and their effect on the next boot. Pure.
//!
//! It is single use: any boot consumes it, whatever its cause. Without the role it stays pending.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;

/// The name under which the one boot configuration goes.
pub(super) const CONFIG: &str = "Intel(r) AMT: Boot Configuration 0";
/// What every boot source is called before its own name.
pub(super) const SOURCE_PREFIX: &str = "Intel(r) AMT: ";
/// `Role`: the next boot, once.
const NEXT_SINGLE_USE: &str = "1";
/// `Role`: not the next boot.
const NOT_NEXT: &str = "32768";
/// `ReturnValue` for what does not fit the state.
pub(super) const REFUSED: u32 = 2;
/// `ReturnValue` for what names nothing that there is.
pub(super) const INVALID_PARAMETER: u32 = 5;
/// The vendor in every parameter of a boot over HTTPS.
const VENDOR: u16 = 0x8086;
/// Settings that exclude a boot source.
const EXCLUSIVE: [&str; 5] = ["UseIDER", "UseSOL", "BIOSSetup", "BIOSPause", "ReflashBIOS"];

/// What a boot was made from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum BootSource {
    /// The order of the BIOS.
    Normal,
    /// The network.
    Pxe,
    /// The hard disk.
    Hdd,
    /// The optical drive.
    Cd,
    /// The BIOS setup.
    BiosSetup,
    /// A redirected drive.
    Ider {
        /// The CD drive, not the floppy drive.
        cd: bool,
    },
    /// One-Click Recovery from this URI.
    UefiHttp {
        /// From parameter 1.
        uri: String,
    },
}

/// What kind of value a setting has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    Bool,
    Number,
    Text,
    Bytes,
    /// The setting cannot be set.
    ReadOnly,
}

/// The settings of all firmware in question, with their values in between boots.
const SETTINGS: &[(&str, Shape, &str)] = &[
    ("BIOSPause", Shape::Bool, "false"),
    ("BIOSSetup", Shape::Bool, "false"),
    ("BootMediaIndex", Shape::Number, "0"),
    ("ConfigurationDataReset", Shape::Bool, "false"),
    ("ElementName", Shape::Text, "Intel(r) AMT Boot Configuration Settings"),
    ("EnforceSecureBoot", Shape::Bool, "false"),
    ("FirmwareVerbosity", Shape::Number, "0"),
    ("ForcedProgressEvents", Shape::Bool, "false"),
    ("IDERBootDevice", Shape::Number, "0"),
    ("InstanceID", Shape::Text, "Intel(r) AMT:BootSettingData 0"),
    ("LockKeyboard", Shape::Bool, "false"),
    ("LockPowerButton", Shape::Bool, "false"),
    ("LockResetButton", Shape::Bool, "false"),
    ("LockSleepButton", Shape::Bool, "false"),
    ("OptionsCleared", Shape::ReadOnly, "true"),
    ("OwningEntity", Shape::Text, "Intel(r) AMT"),
    ("RSEPassword", Shape::Text, ""),
    ("ReflashBIOS", Shape::Bool, "false"),
    ("SecureErase", Shape::Bool, "false"),
    ("UseIDER", Shape::Bool, "false"),
    ("UseSOL", Shape::Bool, "false"),
    ("UseSafeMode", Shape::Bool, "false"),
    ("UserPasswordBypass", Shape::Bool, "false"),
];

/// Those that came with One-Click Recovery.
const SETTINGS_16: &[(&str, Shape, &str)] = &[
    ("BootguardStatus", Shape::ReadOnly, "127"),
    ("PlatformErase", Shape::Bool, "false"),
    ("RPEEnabled", Shape::ReadOnly, "false"),
    ("SecureBootControlEnabled", Shape::ReadOnly, "true"),
    ("UEFIHTTPSBootEnabled", Shape::ReadOnly, "true"),
    ("UEFILocalPBABootEnabled", Shape::ReadOnly, "false"),
    ("UefiBootNumberOfParams", Shape::Number, "0"),
    ("UefiBootParametersArray", Shape::Bytes, ""),
    ("WinREBootEnabled", Shape::ReadOnly, "false"),
];

/// Why a Put is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refused(pub String);

/// The boot override with its role.
#[derive(Clone, Debug)]
pub(super) struct Override {
    recovery: bool,
    settings: Vec<(&'static str, Shape, String)>,
    order: Option<String>,
    next: bool,
    /// `CIM_BootService.EnabledState`.
    pub service: u32,
}

impl Override {
    /// Nothing set. `recovery`: the firmware has One-Click Recovery.
    pub(super) fn new(recovery: bool) -> Override {
        let more = if recovery { SETTINGS_16 } else { &[] };
        let mut settings: Vec<_> =
            SETTINGS.iter().chain(more).map(|(name, shape, value)| (*name, *shape, (*value).to_owned())).collect();
        settings.sort_by_key(|(name, ..)| *name);
        Override { recovery, settings, order: None, next: false, service: if recovery { 32769 } else { 32768 } }
    }

    /// All settings in the order of their names; BIOSLastStatus, a pair, is not among them.
    pub(super) fn settings(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.settings.iter().map(|(name, _, value)| (*name, value.as_str()))
    }

    fn get(&self, name: &str) -> &str {
        self.settings.iter().find(|(other, ..)| *other == name).map_or("", |(.., value)| value)
    }

    fn is_set(&self, name: &str) -> bool {
        self.get(name) == "true"
    }

    /// The short name of the source that is ordered.
    pub(super) fn order(&self) -> Option<&str> {
        self.order.as_deref()
    }

    /// Whether the role says that the next boot takes it.
    pub(super) fn is_next(&self) -> bool {
        self.next
    }

    /// The sources there are, with their StructuredBootString.
    pub(super) fn sources(&self) -> Vec<(&'static str, &'static str)> {
        let mut sources = vec![
            ("Force Hard-drive Boot", "CIM:Hard-Disk:1"),
            ("Force PXE Boot", "CIM:Network:1"),
            ("Force CD/DVD Boot", "CIM:CD/DVD:1"),
        ];
        if self.recovery {
            sources.push(("Force OCR UEFI HTTPS Boot", "CIM:Network:2"));
        }
        sources
    }

    /// Whether these settings ask for anything, which needs consent where consent is needed.
    pub(super) fn asks_for_something(fields: &[(String, String)]) -> bool {
        fields.iter().any(|(_, value)| value == "true")
    }

    /// Put of the settings.
    pub(super) fn put(&mut self, fields: &[(String, String)], takes_read_only: bool) -> Result<(), Refused> {
        let mut settings = self.settings.clone();
        for (name, value) in fields {
            if name == "BIOSLastStatus" && !takes_read_only {
                return Err(Refused(format!("{name} is read-only")));
            }
            let Some(entry) = settings.iter_mut().find(|(other, ..)| other == name) else { continue };
            let fits = match entry.1 {
                Shape::ReadOnly if takes_read_only => continue,
                Shape::ReadOnly => return Err(Refused(format!("{name} is read-only"))),
                Shape::Bool => matches!(value.as_str(), "true" | "false"),
                Shape::Number => value.parse::<u16>().is_ok(),
                Shape::Text => true,
                Shape::Bytes => parameters(value).is_some(),
            };
            if !fits {
                return Err(Refused(format!("{name} cannot be {value}")));
            }
            entry.2.clone_from(value);
        }
        let before = std::mem::replace(&mut self.settings, settings);
        let conflict = self.order.is_some() && EXCLUSIVE.iter().any(|name| self.is_set(name));
        let count = parameters(self.get("UefiBootParametersArray")).map_or(0, |all| all.len());
        let miscounted = self.recovery && self.get("UefiBootNumberOfParams") != count.to_string();
        let index = self.get("BootMediaIndex").parse().unwrap_or(0u16);
        if conflict || miscounted || index > 2 {
            self.settings = before;
            let why = if conflict {
                "a boot source is set"
            } else if miscounted {
                "UefiBootNumberOfParams is another number than the parameters have"
            } else {
                "BootMediaIndex is 0, 1 or 2"
            };
            return Err(Refused(why.to_owned()));
        }
        Ok(())
    }

    /// ChangeBootOrder with the InstanceID of the first source, or without any. The ReturnValue.
    pub(super) fn change_order(&mut self, source: Option<&str>) -> u32 {
        let Some(id) = source else {
            self.order = None;
            return 0;
        };
        let name = id.strip_prefix(SOURCE_PREFIX).unwrap_or_default();
        if !self.sources().iter().any(|(other, _)| *other == name) {
            return INVALID_PARAMETER;
        }
        if EXCLUSIVE.iter().any(|name| self.is_set(name)) {
            return REFUSED;
        }
        if name == "Force OCR UEFI HTTPS Boot" && (self.uri().is_none() || self.service & 1 == 0) {
            return REFUSED;
        }
        // The first order counts; another one is taken without a word and ignored until the first is cleared.
        if self.order.is_none() {
            self.order = Some(name.to_owned());
        }
        0
    }

    /// SetBootConfigRole. The ReturnValue.
    pub(super) fn set_role(&mut self, config: &str, role: &str) -> u32 {
        match (config, role) {
            (CONFIG, NEXT_SINGLE_USE) => self.next = true,
            (CONFIG, NOT_NEXT) => self.next = false,
            _ => return INVALID_PARAMETER,
        }
        0
    }

    /// A boot takes what is set: the source, BootMediaIndex, and the names of the settings that were true.
    pub(super) fn consume(&mut self) -> (BootSource, u16, Vec<&'static str>) {
        if !self.next {
            return (BootSource::Normal, 0, Vec::new());
        }
        let source = if self.is_set("BIOSSetup") {
            BootSource::BiosSetup
        } else if self.is_set("UseIDER") {
            BootSource::Ider { cd: self.get("IDERBootDevice") == "1" }
        } else {
            match self.order() {
                Some("Force PXE Boot") => BootSource::Pxe,
                Some("Force Hard-drive Boot") => BootSource::Hdd,
                Some("Force CD/DVD Boot") => BootSource::Cd,
                Some("Force OCR UEFI HTTPS Boot") => BootSource::UefiHttp { uri: self.uri().unwrap_or_default() },
                _ => BootSource::Normal,
            }
        };
        let index = self.get("BootMediaIndex").parse().unwrap_or(0);
        let set = self.settings.iter().filter(|(_, shape, value)| *shape == Shape::Bool && value == "true");
        let set = set.map(|(name, ..)| *name).collect();
        self.clear();
        (source, index, set)
    }

    /// Forgets all that was set.
    pub(super) fn clear(&mut self) {
        *self = Override { service: self.service, ..Override::new(self.recovery) };
    }

    /// The URI among the parameters.
    fn uri(&self) -> Option<String> {
        let all = parameters(self.get("UefiBootParametersArray"))?;
        let uri = all.into_iter().find(|(kind, _)| *kind == 1)?.1;
        String::from_utf8(uri).ok().filter(|uri| uri.starts_with("https://") || uri.starts_with("http://"))
    }
}

/// The parameters of UefiBootParametersArray: type and value of each. `None`: they cannot be read.
fn parameters(text: &str) -> Option<Vec<(u16, Vec<u8>)>> {
    let bytes = STANDARD.decode(text).ok()?;
    let mut rest = bytes.as_slice();
    let mut all = Vec::new();
    while !rest.is_empty() {
        let (head, tail) = rest.split_first_chunk::<8>()?;
        let [v0, v1, t0, t1, l0, l1, l2, l3] = *head;
        let length = usize::try_from(u32::from_le_bytes([l0, l1, l2, l3])).ok()?;
        if u16::from_le_bytes([v0, v1]) != VENDOR {
            return None;
        }
        all.push((u16::from_le_bytes([t0, t1]), tail.get(..length)?.to_vec()));
        rest = tail.get(length..)?;
    }
    Some(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(boot: &mut Override, fields: &[(&str, &str)]) -> Result<(), Refused> {
        let fields: Vec<_> = fields.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
        boot.put(&fields, false)
    }

    const PXE: &str = "Intel(r) AMT: Force PXE Boot";
    const CD: &str = "Intel(r) AMT: Force CD/DVD Boot";

    #[test]
    fn an_order_is_used_once_and_only_with_the_role() {
        let mut boot = Override::new(false);
        assert_eq!(boot.change_order(Some(PXE)), 0);
        assert_eq!(boot.consume().0, BootSource::Normal);
        assert_eq!(boot.set_role(CONFIG, "1"), 0);
        assert_eq!(boot.consume().0, BootSource::Pxe);
        assert_eq!(boot.consume().0, BootSource::Normal);
        assert_eq!((boot.order(), boot.is_next()), (None, false));
    }

    #[test]
    fn the_first_order_counts_until_it_is_cleared() {
        let mut boot = Override::new(false);
        assert_eq!((boot.change_order(Some(PXE)), boot.change_order(Some(CD))), (0, 0));
        assert_eq!(boot.order(), Some("Force PXE Boot"));
        boot.change_order(None);
        boot.change_order(Some(CD));
        assert_eq!(boot.order(), Some("Force CD/DVD Boot"));
    }

    #[test]
    fn settings_and_sources_exclude_each_other() {
        let mut boot = Override::new(false);
        boot.change_order(Some(PXE));
        assert!(put(&mut boot, &[("BIOSSetup", "true")]).is_err());
        assert_eq!(boot.get("BIOSSetup"), "false");
        boot.change_order(None);
        put(&mut boot, &[("BIOSSetup", "true")]).unwrap();
        assert_eq!(boot.change_order(Some(PXE)), REFUSED);
        boot.set_role(CONFIG, "1");
        assert_eq!(boot.consume(), (BootSource::BiosSetup, 0, vec!["BIOSSetup"]));
        assert_eq!(boot.get("BIOSSetup"), "false");
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let mut boot = Override::new(true);
        for (name, value) in [
            ("OptionsCleared", "true"),
            ("BIOSLastStatus", "0"),
            ("UEFIHTTPSBootEnabled", "true"),
            ("BIOSSetup", "yes"),
            ("BootMediaIndex", "3"),
            ("BootMediaIndex", "-1"),
            ("UefiBootParametersArray", "AAAA"),
            ("UefiBootNumberOfParams", "1"),
        ] {
            assert!(put(&mut boot, &[(name, value)]).is_err(), "{name} {value}");
        }
        assert!(put(&mut boot, &[("OfTomorrow", "1")]).is_ok());
        assert_eq!(boot.change_order(Some("Force PXE Boot")), INVALID_PARAMETER);
        assert_eq!(boot.set_role("Boot Configuration 0", "1"), INVALID_PARAMETER);
        assert_eq!(boot.set_role(CONFIG, "0"), INVALID_PARAMETER);
        assert_eq!(
            Override::new(false).change_order(Some("Intel(r) AMT: Force OCR UEFI HTTPS Boot")),
            INVALID_PARAMETER
        );
    }

    #[test]
    fn a_boot_over_https_takes_its_uri_from_the_parameters() {
        let uri = "https://boot.example.com/a.iso";
        let one = |kind: u16, value: &[u8]| {
            [&VENDOR.to_le_bytes()[..], &kind.to_le_bytes(), &(value.len() as u32).to_le_bytes(), value].concat()
        };
        let array = STANDARD.encode([one(1, uri.as_bytes()), one(20, &[1])].concat());
        let source = "Intel(r) AMT: Force OCR UEFI HTTPS Boot";
        let mut boot = Override::new(true);
        assert_eq!(boot.change_order(Some(source)), REFUSED);
        put(&mut boot, &[("UefiBootParametersArray", &array), ("UefiBootNumberOfParams", "2")]).unwrap();
        boot.service = 32768;
        assert_eq!(boot.change_order(Some(source)), REFUSED);
        boot.service = 32769;
        assert_eq!(boot.change_order(Some(source)), 0);
        boot.set_role(CONFIG, "1");
        assert_eq!(boot.consume().0, BootSource::UefiHttp { uri: uri.into() });
        assert_eq!(boot.get("UefiBootNumberOfParams"), "0");
    }
}
