//! What is inside an AMT machine: from the instances of its classes to the words of the core. Pure.
//!
//! All of it is what the BIOS told the engine at the last boot. What is missing, filler or absurd is left out: a part of
//! the truth is shown, never something else. It knows no request and no time.

use uuid::Uuid;

use super::xml::Instance;
use crate::node::{Architecture, Drive, Inventory, MacAddress, MemoryModule, Processor};

/// Longest text that is taken over. The strings of SMBIOS have at most 64 characters by custom.
const TEXT_CHARACTERS_MAX: usize = 128;

/// Most parts of one kind. The largest workstation has 16 memory modules.
pub(super) const PARTS_MAX: usize = 64;

/// Largest memory module, in bytes. More is a number for "unknown" or an error.
const MODULE_BYTES_MAX: u64 = 1 << 42;

/// Largest drive, in the units of 1000 bytes that AMT counts in: a petabyte. More is an error.
const DRIVE_UNITS_MAX: u64 = 1_000_000_000_000;

/// Fastest memory in MHz. More, such as 65535, is a number for "unknown".
const MEMORY_MHZ_MAX: u32 = 60_000;

/// A gibibyte in mebibytes.
const MIB_PER_GIB: f64 = 1024.0;

/// What firmware says where its maker has said nothing, in small letters.
const FILLERS: &[&str] = &[
    "default string",
    "to be filled by o.e.m.",
    "to be filled by oem",
    "o.e.m.",
    "oem",
    "system manufacturer",
    "system product name",
    "system version",
    "system serial number",
    "chassis manufacturer",
    "chassis manufacture",
    "chassis version",
    "chassis serial number",
    "base board serial number",
    "not specified",
    "not applicable",
    "not available",
    "none",
    "n/a",
    "na",
    "null",
    "unknown",
    "undefined",
    "invalid",
    "empty",
    "[empty]",
    "no dimm",
    "123456789",
    "0123456789",
    "1234567890",
];

/// `PackageType` of a drive: a storage media package.
const STORAGE: u32 = 15;

/// `PhysicalConnectionType` of Wi-Fi.
const WIRELESS: u32 = 3;

/// Everything that these instances tell.
pub(super) fn assemble(found: &[Instance]) -> Inventory {
    let names = Names::read(found);
    let (memory, memory_gib) = memory(found);
    Inventory {
        manufacturer: names.manufacturer,
        model: names.model,
        serial: names.serial,
        uuid: first(found, "CIM_ComputerSystemPackage")
            .and_then(|package| platform_uuid(package.text("PlatformGUID")?)),
        host_name: first(found, "AMT_GeneralSettings").and_then(host_name),
        bios_version: first(found, "CIM_BIOSElement").and_then(|bios| said(bios, "Version")),
        processors: processors(found),
        memory_gib,
        memory,
        drives: drives(found),
        nics: nics(found),
    }
}

/// Whether the instances of `class` would add to what these tell: some classes only stand in for others.
pub(super) fn is_wanted(class: &str, found: &[Instance]) -> bool {
    match class {
        "CIM_Card" | "CIM_BIOSFeature" => !Names::read(found).are_complete(),
        "CIM_PhysicalPackage" => first(found, "CIM_MediaAccessDevice").is_some(),
        _ => true,
    }
}

/// The UUID of a machine from `PlatformGUID`, whose first three fields have their little end first.
pub(super) fn platform_uuid(guid: &str) -> Option<Uuid> {
    let mut raw = [0; 16];
    hex::decode_to_slice(guid.replace('-', ""), &mut raw).ok()?;
    let uuid = Uuid::from_bytes_le(raw);
    (!uuid.is_nil() && !uuid.is_max()).then_some(uuid)
}

fn all<'a>(found: &'a [Instance], class: &'a str) -> impl Iterator<Item = &'a Instance> {
    found.iter().filter(move |instance| instance.class == class).take(PARTS_MAX)
}

fn first<'a>(found: &'a [Instance], class: &'a str) -> Option<&'a Instance> {
    all(found, class).next()
}

/// A text that says something: no filler, no blanks around it, nothing that cannot be shown.
fn said(instance: &Instance, name: &str) -> Option<String> {
    let text: String = instance.text(name)?.chars().filter(|c| !c.is_control()).take(TEXT_CHARACTERS_MAX).collect();
    let text = text.trim();
    // Nothing at all, or one sign over and over, such as 00000000.
    let head = text.chars().next()?;
    let is_monotone = "0xXfF.-_*".contains(head) && text.chars().all(|c| c == head);
    (!is_monotone && !FILLERS.contains(&text.to_lowercase().as_str())).then(|| text.to_owned())
}

/// What the machine is called.
#[derive(Default)]
struct Names {
    manufacturer: Option<String>,
    model: Option<String>,
    serial: Option<String>,
}

impl Names {
    /// As its chassis says, else as its board says, else as its BIOS says.
    fn read(found: &[Instance]) -> Names {
        let places = [
            ("CIM_Chassis", ["Manufacturer", "Model", "SerialNumber"]),
            ("CIM_Card", ["Manufacturer", "Model", "SerialNumber"]),
            ("CIM_BIOSFeature", ["Vendor", "ProductName", "IdentifyingNumber"]),
        ];
        let mut names = Names::default();
        for (class, [manufacturer, model, serial]) in places {
            let Some(instance) = first(found, class) else { continue };
            names.manufacturer = names.manufacturer.or_else(|| said(instance, manufacturer));
            names.model = names.model.or_else(|| said(instance, model));
            names.serial = names.serial.or_else(|| said(instance, serial));
        }
        names
    }

    fn are_complete(&self) -> bool {
        self.manufacturer.is_some() && self.model.is_some() && self.serial.is_some()
    }
}

/// The name without a domain, as the Redfish schema ComputerSystem wants it.
fn host_name(settings: &Instance) -> Option<String> {
    let name = settings.text("HostName")?.split('.').next()?;
    let fits =
        !name.is_empty() && name.len() <= 63 && name.chars().all(|c| c.is_ascii_alphanumeric() || "-_".contains(c));
    fits.then(|| name.to_owned())
}

/// The processors that work. Neither class knows cores, and `MaxClockSpeed` is the limit of the socket.
fn processors(found: &[Instance]) -> Vec<Processor> {
    // Disabled by the user or by the BIOS, or an empty socket. Where no number is said, it is there.
    let enabled =
        |processor: &&Instance| processor.number("CPUStatus").is_none_or(|status: u32| matches!(status, 1 | 4));
    let alone = all(found, "CIM_Processor").count() == 1 && all(found, "CIM_Chip").count() == 1;
    let one = |processor: &Instance| {
        let socket = said(processor, "DeviceID");
        let fits = |chip: &&Instance| alone || (socket.is_some() && said(chip, "Tag") == socket);
        let chip = all(found, "CIM_Chip").find(fits);
        Processor {
            model: chip.and_then(|chip| said(chip, "Version")),
            manufacturer: chip.and_then(|chip| said(chip, "Manufacturer")),
            architecture: Some(Architecture::X86_64),
            socket,
            ..Processor::default()
        }
    };
    all(found, "CIM_Processor").filter(enabled).map(one).collect()
}

/// The memory modules, without empty slots, and their sum when all sizes are known.
fn memory(found: &[Instance]) -> (Vec<MemoryModule>, Option<f64>) {
    let filled = |module: &&Instance| match module.text("Capacity") {
        Some(bytes) => bytes != "0",
        None => said(module, "PartNumber").or_else(|| said(module, "SerialNumber")).is_some(),
    };
    let modules: Vec<MemoryModule> = all(found, "CIM_PhysicalMemory").filter(filled).map(memory_module).collect();
    let sum: Option<u64> = modules.iter().map(|module| module.capacity_mib).sum();
    let gib =
        sum.filter(|mib| *mib > 0).and_then(|mib| u32::try_from(mib).ok()).map(|mib| f64::from(mib) / MIB_PER_GIB);
    (modules, gib)
}

fn memory_module(module: &Instance) -> MemoryModule {
    let bytes = module.number("Capacity").filter(|bytes: &u64| (1 << 20..=MODULE_BYTES_MAX).contains(bytes));
    let speed = |name| module.number(name).filter(|mhz| (1..=MEMORY_MHZ_MAX).contains(mhz));
    // Elsewhere the speed is in whole nanoseconds, from which no MHz can be told.
    let rated = || speed("MaxMemorySpeed").filter(|_| module.boolean("IsSpeedInMhz") == Some(true));
    MemoryModule {
        locator: said(module, "BankLabel"),
        capacity_mib: bytes.map(|bytes| bytes >> 20),
        kind: module.number("MemoryType").and_then(memory_kind).map(str::to_owned),
        // A DIMM (9) may be registered or not, and nothing says which.
        module: (module.number("FormFactor") == Some(13)).then(|| "SO_DIMM".to_owned()),
        speed_mhz: speed("ConfiguredMemoryClockSpeed").or_else(rated),
        manufacturer: said(module, "Manufacturer").map(memory_maker),
        part_number: said(module, "PartNumber"),
        serial: said(module, "SerialNumber"),
    }
}

/// The number of SMBIOS as the Redfish schema Memory names it (`MemoryDeviceType`).
const fn memory_kind(number: u32) -> Option<&'static str> {
    Some(match number {
        24 => "DDR3",
        26 => "DDR4",
        29 => "LPDDR3_SDRAM",
        30 => "LPDDR4_SDRAM",
        34 => "DDR5",
        35 => "LPDDR5_SDRAM",
        _ => return None,
    })
}

/// The maker behind a JEDEC code such as `80CE` or `80CE000080CE`; any other text as it is.
fn memory_maker(text: String) -> String {
    let code = text.get(..4).filter(|_| text.chars().all(|c| c.is_ascii_hexdigit()));
    match code.map(str::to_ascii_uppercase).as_deref() {
        Some("859B") => "Crucial".into(),
        Some("80CE") => "Samsung".into(),
        Some("80AD") => "Hynix".into(),
        _ => text,
    }
}

/// The number at the end of a name: 0 of `MEDIA DEV 0`.
fn ordinal(name: Option<&str>) -> Option<u32> {
    name?.rsplit(' ').next()?.parse().ok()
}

/// The drives. Their sizes and their names are in different classes, joined by order; where the numbers of both
/// differ, it is not known which name is whose.
fn drives(found: &[Instance]) -> Vec<Drive> {
    let mut media: Vec<&Instance> = all(found, "CIM_MediaAccessDevice").collect();
    media.sort_by_key(|media| ordinal(media.text("DeviceID")));
    let is_storage = |package: &&Instance| package.number("PackageType") == Some(STORAGE);
    let mut packages: Vec<&Instance> = all(found, "CIM_PhysicalPackage").filter(is_storage).collect();
    packages.sort_by_key(|package| ordinal(package.text("Tag")));
    if packages.len() != media.len() {
        packages.clear();
    }
    let mut packages = packages.into_iter();
    let one = |(at, media): (usize, &Instance)| {
        let package = packages.next();
        let units = media.number("MaxMediaSize").filter(|units: &u64| (1..=DRIVE_UNITS_MAX).contains(units));
        Drive {
            name: said(media, "DeviceID").unwrap_or_else(|| format!("Drive {at}")),
            capacity_bytes: units.map(|units| units * 1000),
            model: package.and_then(|package| said(package, "Model")),
            serial: package.and_then(|package| said(package, "SerialNumber")),
            ..Drive::default()
        }
    };
    media.into_iter().enumerate().map(one).collect()
}

/// The network interfaces, the wired one first. The engine shares its address with the host.
fn nics(found: &[Instance]) -> Vec<MacAddress> {
    let mut ports: Vec<&Instance> = all(found, "AMT_EthernetPortSettings").collect();
    let is_wireless = |port: &Instance| port.number("PhysicalConnectionType") == Some(WIRELESS);
    ports.sort_by_key(|port| (is_wireless(port), ordinal(port.text("InstanceID"))));
    let mut nics = Vec::new();
    for port in ports {
        let Some(mac) = port.text("MACAddress").and_then(|text| text.parse::<MacAddress>().ok()) else { continue };
        // All zeros where there is no Wi-Fi; an address of a group is no one's own.
        let [head, ..] = mac.0;
        if mac.0 != [0; 6] && head & 1 == 0 && !nics.contains(&mac) {
            nics.push(mac);
        }
    }
    nics
}

#[cfg(test)]
pub(super) mod tests;
