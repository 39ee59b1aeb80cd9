//! The inventory classes: the hardware of a machine as the BIOS reported it to the engine at the last POST. Pure.

use super::super::config::{dice, dice_named};
use super::config::{MachineConfig, Profile};
use super::reply::{Instance, Val};

/// A gibibyte.
const GIB: u64 = 1 << 30;

/// The facts that are the machine's own; the rest follows from the profile.
#[derive(Clone, Debug)]
pub(super) struct Hardware {
    profile: Profile,
    /// As people write it, big end first.
    pub uuid: [u8; 16],
    pub mac: [u8; 6],
    pub serial: String,
    /// The realm without `Digest:`.
    pub realm: String,
}

/// What tells the profiles apart.
struct Parts {
    manufacturer: &'static str,
    model: &'static str,
    version: &'static str,
    board: &'static str,
    bios: &'static str,
    bios_vendor: &'static str,
    bios_date: &'static str,
    processor: &'static str,
    family: u16,
    clock_mhz: u32,
    clock_max_mhz: u32,
    memory_gib: u64,
    memory_type: u16,
    memory_form: u16,
    memory_mhz: u32,
    memory_maker: &'static str,
    memory_part: &'static str,
    banks: [&'static str; 2],
    drive_kb: u64,
    drive: &'static str,
}

const AMT12: Parts = Parts {
    manufacturer: "Dell Inc.",
    model: "OptiPlex 7070",
    version: "Not Specified",
    board: "0YNVJG",
    bios: "1.8.4",
    bios_vendor: "Dell Inc.",
    bios_date: "2020-08-10T00:00:00Z",
    processor: "Intel(R) Core(TM) i5-9500 CPU @ 3.00GHz",
    family: 205,
    clock_mhz: 3000,
    clock_max_mhz: 8300,
    memory_gib: 8,
    memory_type: 26,
    memory_form: 9,
    memory_mhz: 2666,
    memory_maker: "80CE000080CE",
    memory_part: "M378A1K43CB2-CTD    ",
    banks: ["DIMM1", "DIMM2"],
    drive_kb: 256_060_514,
    drive: "SAMSUNG SSD PM871b 256GB",
};

const AMT16: Parts = Parts {
    manufacturer: "HP",
    model: "HP Elite Mini 800 G9 Desktop PC",
    version: "SBKPFV3",
    board: "8952",
    bios: "U21 Ver. 02.05.00",
    bios_vendor: "HP",
    bios_date: "2022-11-18T00:00:00Z",
    processor: "12th Gen Intel(R) Core(TM) i7-12700T",
    family: 198,
    clock_mhz: 1400,
    clock_max_mhz: 4700,
    memory_gib: 16,
    memory_type: 34,
    memory_form: 13,
    memory_mhz: 4800,
    memory_maker: "80AD000080AD",
    memory_part: "HMCG78MEBSA095N     ",
    banks: ["BANK 0", "BANK 1"],
    drive_kb: 512_110_190,
    drive: "WD PC SN740 SDDPMQD-512G",
};

impl Hardware {
    pub(super) fn new(config: &MachineConfig, seed: u64) -> Hardware {
        let own = dice_named(seed, &config.name);
        let word = |turn: u64| dice(own, 100 + turn).to_be_bytes();
        let mut uuid = [0; 16];
        uuid.iter_mut().zip(word(0).into_iter().chain(word(1))).for_each(|(to, from)| *to = from);
        let [a, b, c, ..] = word(2);
        Hardware {
            profile: config.profile,
            uuid: config.uuid.unwrap_or(uuid),
            mac: config.mac.unwrap_or([0x8c, 0x04, 0xba, a, b, c]),
            serial: format!("{:07X}", dice(own, 103) & 0x0fff_ffff),
            realm: config.realm.clone().unwrap_or_else(|| hex::encode_upper([word(4), word(5)].concat())),
        }
    }

    /// The UUID as SMBIOS has it: the first three fields with their little end first.
    pub(super) fn uuid_raw(&self) -> [u8; 16] {
        let [a, b, c, d, e, f, g, h, rest @ ..] = self.uuid;
        let mut raw = [0; 16];
        raw.iter_mut().zip([d, c, b, a, f, e, h, g].into_iter().chain(rest)).for_each(|(to, from)| *to = from);
        raw
    }

    /// `8c-04-ba-00-00-01`.
    pub(super) fn mac_dashed(&self) -> String {
        self.mac.map(|byte| format!("{byte:02x}")).join("-")
    }

    /// The maker, the model and the serial number.
    pub(super) fn names(&self) -> (&'static str, &'static str, &str) {
        let parts = self.parts();
        (parts.manufacturer, parts.model, &self.serial)
    }

    fn parts(&self) -> &'static Parts {
        match self.profile {
            Profile::Amt12 => &AMT12,
            Profile::Amt16 => &AMT16,
        }
    }

    fn chassis(&self) -> Instance {
        let parts = self.parts();
        Instance::new("CIM_Chassis")
            .with("CreationClassName", "CIM_Chassis")
            .with("ElementName", "Managed System Chassis")
            .with("Manufacturer", parts.manufacturer)
            .with("Model", parts.model)
            .with("OperationalStatus", 0)
            .with("PackageType", 3)
            .with("SerialNumber", &self.serial)
            .with("Tag", "CIM_Chassis")
            .with("Version", parts.version)
    }

    fn card(&self) -> Instance {
        let parts = self.parts();
        Instance::new("CIM_Card")
            .with("CanBeFRUed", "true")
            .with("CreationClassName", "CIM_Card")
            .with("ElementName", "Managed System Base Board")
            .with("Manufacturer", parts.manufacturer)
            .with("Model", parts.board)
            .with("OperationalStatus", 0)
            .with("PackageType", 9)
            .with("SerialNumber", format!("/{}/CNPE1", self.serial))
            .with("Tag", "CIM_Card")
            .with("Version", "A01")
    }

    fn storage_package(&self) -> Instance {
        Instance::new("CIM_PhysicalPackage")
            .with("CanBeFRUed", "true")
            .with("CreationClassName", "CIM_PhysicalPackage")
            .with("ElementName", "Managed System Storage Media Package")
            .with("Model", format!("{}                ", self.parts().drive))
            .with("OperationalStatus", 0)
            .with("PackageType", 15)
            .with("SerialNumber", format!("S4{}", self.serial))
            .with("Tag", "Storage Media Package 0")
    }

    fn memory(&self) -> Vec<Instance> {
        let parts = self.parts();
        let module = |(index, bank): (usize, &&'static str)| {
            Instance::new("CIM_PhysicalMemory")
                .with("BankLabel", bank)
                .with("Capacity", parts.memory_gib * GIB)
                .with("ConfiguredMemoryClockSpeed", parts.memory_mhz)
                .with("CreationClassName", "CIM_PhysicalMemory")
                .with("ElementName", "Managed System Memory Chip")
                .with("FormFactor", parts.memory_form)
                .with("IsSpeedInMhz", "true")
                .with("Manufacturer", parts.memory_maker)
                .with("MaxMemorySpeed", parts.memory_mhz)
                .with("MemoryType", parts.memory_type)
                .with("PartNumber", parts.memory_part)
                .with(
                    "SerialNumber",
                    format!("{:08X}", dice(u64::from(u16::from_be_bytes([0, self.mac[5]])), index as u64) as u32),
                )
                .with("Speed", 0)
                .with("Tag", format!("{} {index}", if index == 0 { "9876543210" } else { "9876543210 (#1)" }))
        };
        parts.banks.iter().enumerate().map(module).collect()
    }

    fn chip(&self) -> Instance {
        Instance::new("CIM_Chip")
            .with("CanBeFRUed", "true")
            .with("CreationClassName", "CIM_Chip")
            .with("ElementName", "Managed System Processor Chip")
            .with("Manufacturer", "Intel(R) Corporation")
            .with("OperationalStatus", 0)
            .with("Tag", "CPU 0")
            .with("Version", self.parts().processor)
    }

    fn processor(&self) -> Instance {
        let parts = self.parts();
        Instance::new("CIM_Processor")
            .with("CPUStatus", 1)
            .with("CreationClassName", "CIM_Processor")
            .with("CurrentClockSpeed", parts.clock_mhz)
            .with("DeviceID", "CPU 0")
            .with("ElementName", "Managed System CPU")
            .with("EnabledState", 2)
            .with("ExternalBusClockSpeed", 100)
            .with("Family", parts.family)
            .with("HealthState", 0)
            .with("MaxClockSpeed", parts.clock_max_mhz)
            .with("OperationalStatus", 0)
            .with("RequestedState", 12)
            .with("Role", "Central")
            .with("Stepping", 10)
            .with("SystemCreationClassName", "CIM_ComputerSystem")
            .with("SystemName", "ManagedSystem")
            .with("UpgradeMethod", 1)
    }

    /// The instances of a class of the inventory, those of its subclasses too. `None`: it is no such class.
    pub(super) fn instances(&self, class: &str) -> Option<Vec<Instance>> {
        let parts = self.parts();
        Some(match class {
            "CIM_Chassis" => vec![self.chassis()],
            "CIM_Card" => vec![self.card()],
            "CIM_PhysicalPackage" => vec![self.card(), self.chassis(), self.storage_package()],
            "CIM_Processor" => vec![self.processor()],
            "CIM_Chip" => std::iter::once(self.chip()).chain(self.memory()).collect(),
            "CIM_PhysicalMemory" => self.memory(),
            "CIM_MediaAccessDevice" => vec![
                Instance::new("CIM_MediaAccessDevice")
                    .list("Capabilities", &[4, 10])
                    .with("CreationClassName", "CIM_MediaAccessDevice")
                    .with("DeviceID", "MEDIA DEV 0")
                    .with("ElementName", "Managed System Media Access Device")
                    .with("EnabledDefault", 2)
                    .with("EnabledState", 0)
                    .with("MaxMediaSize", parts.drive_kb)
                    .with("OperationalStatus", 0)
                    .with("RequestedState", 12)
                    .with("Security", 2)
                    .with("SystemCreationClassName", "CIM_ComputerSystem")
                    .with("SystemName", "ManagedSystem"),
            ],
            "CIM_BIOSElement" => vec![
                Instance::new("CIM_BIOSElement")
                    .with("ElementName", "Primary BIOS")
                    .with("Manufacturer", parts.bios_vendor)
                    .with("Name", "Primary BIOS")
                    .with("OperationalStatus", 0)
                    .with("PrimaryBIOS", "true")
                    .val("ReleaseDate", Val::Time(parts.bios_date.to_owned()))
                    .with("SoftwareElementID", parts.bios)
                    .with("SoftwareElementState", 2)
                    .with("TargetOperatingSystem", 66)
                    .with("Version", parts.bios),
            ],
            "CIM_ComputerSystemPackage" | "CIM_SystemPackaging" => vec![
                Instance::new("CIM_ComputerSystemPackage")
                    .val("Antecedent", Val::Epr(self.chassis().epr()))
                    .val("Dependent", Val::Epr(super::classes::managed_system()))
                    .with("PlatformGUID", hex::encode_upper(self.uuid_raw())),
            ],
            _ => return None,
        })
    }
}

/// Gives an instance the oddities that records of real machines have.
pub(super) fn make_odd(instance: &mut Instance) {
    let text = |text: &str| Some(Val::Text(text.to_owned()));
    let twice = |text: Option<&str>| text.map(|text| Val::List(vec![text.to_owned(), text.to_owned()]));
    let odd = match instance.class {
        "CIM_Chassis" => vec![
            ("Version", Some(Val::Nil)),
            ("SerialNumber", twice(instance.text("SerialNumber"))),
            ("OperationalStatus", None),
            ("ElementName", text("")),
        ],
        "CIM_Processor" => vec![
            ("CPUStatus", None),
            ("Family", text("Core")),
            ("MaxClockSpeed", Some(Val::Nil)),
            ("Stepping", text("")),
        ],
        "CIM_PhysicalMemory" => vec![
            ("Speed", text("unknown")),
            ("IsSpeedInMhz", Some(Val::Nil)),
            ("MemoryType", text("DDR4")),
            ("MaxMemorySpeed", None),
            ("PartNumber", twice(instance.text("PartNumber"))),
        ],
        "CIM_MediaAccessDevice" => vec![("Capabilities", Some(Val::Nil)), ("Security", text("none"))],
        "CIM_BIOSElement" => vec![("ReleaseDate", Some(Val::Nil)), ("TargetOperatingSystem", text("other"))],
        "CIM_PhysicalPackage" => vec![("OperationalStatus", Some(Val::Nil)), ("SerialNumber", Some(Val::Nil))],
        _ => Vec::new(),
    };
    odd.into_iter().for_each(|(name, value)| instance.change(name, value));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_fields_of_the_uuid_are_turned_round() {
        let mut config = MachineConfig::new("n1", Profile::Amt12);
        let uuid = hex::decode("55e3ae13bfd261bb17a088aedd7037ea").unwrap();
        config.uuid = Some(uuid.try_into().unwrap());
        let hardware = Hardware::new(&config, 1);
        let package = &hardware.instances("CIM_ComputerSystemPackage").unwrap()[0];
        assert_eq!(package.text("PlatformGUID"), Some("13AEE355D2BFBB6117A088AEDD7037EA"));
    }

    #[test]
    fn parents_have_their_children() {
        let hardware = Hardware::new(&MachineConfig::new("n1", Profile::Amt16), 1);
        let classes = |class: &str| hardware.instances(class).unwrap().iter().map(|one| one.class).collect::<Vec<_>>();
        assert_eq!(classes("CIM_Chip"), ["CIM_Chip", "CIM_PhysicalMemory", "CIM_PhysicalMemory"]);
        assert_eq!(classes("CIM_PhysicalPackage"), ["CIM_Card", "CIM_Chassis", "CIM_PhysicalPackage"]);
        assert!(hardware.instances("CIM_Fan").is_none());
    }
}
