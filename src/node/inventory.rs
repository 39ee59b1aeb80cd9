//! The components of a machine, in the terms of the Redfish schemas. Plain values.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::MacAddress;

/// What is inside a machine: said by the operator, found by its device, or both together. It is shown, never acted upon.
/// What is not known is left out of every answer.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Inventory {
    /// `Manufacturer`.
    pub manufacturer: Option<String>,
    /// `Model`.
    pub model: Option<String>,
    /// `SerialNumber`.
    pub serial: Option<String>,
    /// `UUID` of the system; [`NodeId::uuid`](super::NodeId::uuid) when not said.
    pub uuid: Option<Uuid>,
    /// `HostName`.
    pub host_name: Option<String>,
    /// `BiosVersion`.
    pub bios_version: Option<String>,
    /// The machine's processors.
    pub processors: Vec<Processor>,
    /// `MemorySummary.TotalSystemMemoryGiB`.
    pub memory_gib: Option<f64>,
    /// The machine's memory modules.
    pub memory: Vec<MemoryModule>,
    /// The machine's drives.
    pub drives: Vec<Drive>,
    /// The machine's own network interfaces.
    pub nics: Vec<MacAddress>,
}

/// One processor socket, as the Redfish schema Processor names its properties.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Processor {
    /// `Model`.
    pub model: Option<String>,
    /// `Manufacturer`.
    pub manufacturer: Option<String>,
    /// `TotalCores`.
    pub cores: Option<u32>,
    /// `TotalThreads`.
    pub threads: Option<u32>,
    /// `InstructionSet` and `ProcessorArchitecture` come from this.
    pub architecture: Option<Architecture>,
    /// `MaxSpeedMHz`.
    pub max_speed_mhz: Option<u32>,
    /// `Socket`: where it sits, such as `CPU 0`.
    pub socket: Option<String>,
}

/// The instruction set of a processor, spelled as in the Redfish schema Processor (`InstructionSet`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Architecture {
    /// `x86-64`.
    X86_64,
    /// `ARM-A64`.
    ArmA64,
}

/// One memory module, as the Redfish schema Memory names its properties.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct MemoryModule {
    /// `Location.PartLocation.ServiceLabel`: where it sits, such as `BANK 0`.
    pub locator: Option<String>,
    /// `CapacityMiB`.
    pub capacity_mib: Option<u64>,
    /// `MemoryDeviceType`: `DDR4`, `DDR5` and so on.
    pub kind: Option<String>,
    /// `BaseModuleType`: `UDIMM`, `SO_DIMM` and so on.
    pub module: Option<String>,
    /// `OperatingSpeedMhz`.
    pub speed_mhz: Option<u32>,
    /// `Manufacturer`.
    pub manufacturer: Option<String>,
    /// `PartNumber`.
    pub part_number: Option<String>,
    /// `SerialNumber`.
    pub serial: Option<String>,
}

/// One drive, as the Redfish schema Drive names its properties.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Drive {
    /// `Name`, such as `nvme0n1`.
    pub name: String,
    /// `CapacityBytes`.
    pub capacity_bytes: Option<u64>,
    /// `MediaType`: `SSD`, `HDD`.
    pub media: Option<String>,
    /// `Protocol`: `NVMe`, `SATA`, `SAS`, `USB`.
    pub protocol: Option<String>,
    /// `Model`.
    pub model: Option<String>,
    /// `SerialNumber`.
    pub serial: Option<String>,
}

impl Inventory {
    /// What the operator says, and where he says nothing, what the machine says.
    pub fn over(&self, found: &Inventory) -> Inventory {
        fn either<T: Clone>(said: &Option<T>, found: &Option<T>) -> Option<T> {
            said.as_ref().or(found.as_ref()).cloned()
        }
        fn any<T: Clone>(said: &[T], found: &[T]) -> Vec<T> {
            if said.is_empty() { found.to_vec() } else { said.to_vec() }
        }
        Inventory {
            manufacturer: either(&self.manufacturer, &found.manufacturer),
            model: either(&self.model, &found.model),
            serial: either(&self.serial, &found.serial),
            uuid: self.uuid.or(found.uuid),
            host_name: either(&self.host_name, &found.host_name),
            bios_version: either(&self.bios_version, &found.bios_version),
            processors: any(&self.processors, &found.processors),
            memory_gib: self.memory_gib.or(found.memory_gib),
            memory: any(&self.memory, &found.memory),
            drives: any(&self.drives, &found.drives),
            nics: any(&self.nics, &found.nics),
        }
    }

    /// Where the operator and the machine say different things, in words: `SerialNumber (here "A", the machine says "B")`.
    pub fn differences(&self, found: &Inventory) -> Vec<String> {
        fn pair<T: PartialEq + std::fmt::Debug>(name: &str, said: &Option<T>, found: &Option<T>) -> Option<String> {
            let (said, found) = (said.as_ref()?, found.as_ref()?);
            (said != found).then(|| format!("{name} (here {said:?}, the machine says {found:?})"))
        }
        fn counts<T>(name: &str, said: &[T], found: &[T]) -> Option<String> {
            let differ = !said.is_empty() && !found.is_empty() && said.len() != found.len();
            differ.then(|| format!("number of {name} (here {}, the machine says {})", said.len(), found.len()))
        }
        let nics =
            |nics: &[MacAddress]| (!nics.is_empty()).then(|| nics.iter().map(ToString::to_string).collect::<Vec<_>>());
        [
            pair("Manufacturer", &self.manufacturer, &found.manufacturer),
            pair("Model", &self.model, &found.model),
            pair("SerialNumber", &self.serial, &found.serial),
            pair("TotalSystemMemoryGiB", &self.memory_gib, &found.memory_gib),
            counts("processors", &self.processors, &found.processors),
            counts("drives", &self.drives, &found.drives),
            pair("MACAddress", &nics(&self.nics), &nics(&found.nics)),
        ]
        .into_iter()
        .flatten()
        .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_operator_says_goes_before_what_the_machine_says() {
        let text = |text: &str| Some(text.to_owned());
        let said = Inventory { serial: text("A"), memory_gib: Some(16.0), ..Inventory::default() };
        let nics = vec![MacAddress([2, 0, 0, 0, 0, 1])];
        let found =
            Inventory { serial: text("B"), model: text("M"), memory_gib: Some(16.0), nics, ..Inventory::default() };
        let both = said.over(&found);
        assert_eq!((both.serial, both.model, both.nics.len()), (text("A"), text("M"), 1));
        assert_eq!(said.differences(&found), ["SerialNumber (here \"A\", the machine says \"B\")"]);
    }
}
