//! The keys of `inventory`: what the operator says of a machine. It is shown, never acted upon.

use uuid::Uuid;

use super::check::{DRIVES_MAX, PROCESSORS_MAX};
use super::values;
use crate::node::{Architecture, Drive, Inventory, Processor};
use crate::reader::{Cursor, Keys, Read};

/// The keys of `inventory`.
pub(super) const INVENTORY: &[&str] =
    &["manufacturer", "model", "serial", "uuid", "processors", "memory_gib", "drives"];
/// The keys of a processor.
pub(super) const PROCESSOR: &[&str] =
    &["model", "manufacturer", "cores", "threads", "architecture", "max_speed_mhz", "count"];
/// The keys of a drive.
pub(super) const DRIVE: &[&str] = &["name", "capacity_gb", "media", "protocol", "model", "serial"];

/// Most memory of a machine in GiB: the largest boards take a quarter of it.
pub(super) const MEMORY_GIB_MAX: f64 = 131_072.0;

/// Largest drive in GB: eight times the largest one sold.
pub(super) const CAPACITY_GB_MAX: f64 = 1_000_000.0;

/// Most cores or threads of a processor: twice what the largest have.
pub(super) const THREADS_MAX: i64 = 1024;

/// Highest clock of a processor: twice what the fastest reach.
pub(super) const SPEED_MHZ_MAX: i64 = 20_000;

/// The instruction sets that there are, in the spellings that people use.
const ARCHITECTURES: &[(&str, Architecture)] = &[
    ("x86-64", Architecture::X86_64),
    ("x86_64", Architecture::X86_64),
    ("amd64", Architecture::X86_64),
    ("x64", Architecture::X86_64),
    ("arm64", Architecture::ArmA64),
    ("aarch64", Architecture::ArmA64),
    ("ARM-A64", Architecture::ArmA64),
];

/// `MediaType` of the schema Drive.
const MEDIA: &[(&str, &str)] = &[("SSD", "SSD"), ("HDD", "HDD"), ("SMR", "SMR")];

/// `Protocol` of the schema Protocol, as far as drives in small machines speak it.
const PROTOCOLS: &[(&str, &str)] =
    &[("NVMe", "NVMe"), ("SATA", "SATA"), ("SAS", "SAS"), ("USB", "USB"), ("eMMC", "eMMC")];

/// Reads an inventory; `take` says whether a UUID is free.
pub(super) fn inventory(at: &Cursor<'_>, take: &mut dyn FnMut(Uuid) -> Result<(), String>) -> Read<Inventory> {
    let keys = at.keys(INVENTORY)?;
    let manufacturer = label(&keys, "manufacturer");
    let model = label(&keys, "model");
    let serial = label(&keys, "serial");
    let uuid = keys.optional("uuid", |at| {
        let uuid = at.parse(values::uuid)?;
        take(uuid).map_err(|text| at.problem(text))?;
        Ok(uuid)
    });
    let processors = keys.optional("processors", processors);
    let memory_gib = keys.optional("memory_gib", |at| at.amount(MEMORY_GIB_MAX));
    let drives = keys.optional("drives", |at| at.list(DRIVES_MAX, drive));
    Ok(Inventory {
        host_name: None,
        bios_version: None,
        memory: Vec::new(),
        manufacturer: manufacturer?,
        model: model?,
        serial: serial?,
        uuid: uuid?,
        processors: processors?.unwrap_or_default(),
        memory_gib: memory_gib?,
        drives: drives?.unwrap_or_default(),
        nics: Vec::new(),
    })
}

fn label(keys: &Keys<'_>, key: &str) -> Read<Option<String>> {
    keys.optional(key, |at| at.parse(values::label))
}

fn processors(at: &Cursor<'_>) -> Read<Vec<Processor>> {
    let groups = at.list(PROCESSORS_MAX, processor)?;
    let total: usize = groups.iter().map(|(_, count)| count).sum();
    if total > PROCESSORS_MAX {
        return Err(at.problem(format_args!("has {total} processors, at most {PROCESSORS_MAX} are possible")));
    }
    Ok(groups.into_iter().flat_map(|(processor, count)| std::iter::repeat_n(processor, count)).collect())
}

/// A kind of processor, and how many of it there are.
fn processor(at: &Cursor<'_>) -> Read<(Processor, usize)> {
    let keys = at.keys(PROCESSOR)?;
    let model = label(&keys, "model");
    let manufacturer = label(&keys, "manufacturer");
    let cores = keys.optional("cores", |at| at.whole(1..=THREADS_MAX));
    let threads = keys.optional("threads", |at| at.whole(1..=THREADS_MAX));
    let architecture = keys.optional("architecture", |at| at.word(ARCHITECTURES));
    let max_speed_mhz = keys.optional("max_speed_mhz", |at| at.whole(1..=SPEED_MHZ_MAX));
    let count = keys.optional("count", |at| at.whole(1..=i64::try_from(PROCESSORS_MAX).unwrap_or(i64::MAX)));
    let processor = Processor {
        socket: None,
        model: model?,
        manufacturer: manufacturer?,
        cores: cores?,
        threads: threads?,
        architecture: architecture?,
        max_speed_mhz: max_speed_mhz?,
    };
    Ok((processor, count?.unwrap_or(1)))
}

fn drive(at: &Cursor<'_>) -> Read<Drive> {
    let keys = at.keys(DRIVE)?;
    let name = keys.required("name", "the name of the drive, such as nvme0n1", |at| at.parse(values::label));
    let capacity_gb = keys.optional("capacity_gb", |at| at.amount(CAPACITY_GB_MAX));
    let media = keys.optional("media", |at| at.word(MEDIA));
    let protocol = keys.optional("protocol", |at| at.word(PROTOCOLS));
    let model = label(&keys, "model");
    let serial = label(&keys, "serial");
    Ok(Drive {
        name: name?,
        // GB as makers of drives count them.
        capacity_bytes: capacity_gb?.map(|gb| (gb * 1e9).round() as u64),
        media: media?.map(str::to_owned),
        protocol: protocol?.map(str::to_owned),
        model: model?,
        serial: serial?,
    })
}
