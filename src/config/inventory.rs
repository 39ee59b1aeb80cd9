//! The rules of `inventory`: what a machine is made of. Pure.

use uuid::Uuid;

use super::problem::{Findings, Path};
use super::shape;
use crate::node::{Architecture, Drive, Inventory, Processor};

/// Most processors and drives of a machine; each becomes a resource of its own.
const PARTS_MAX: usize = 64;

/// Longest text. They go into answers that are made often.
const TEXT_LENGTH_MAX: usize = 256;

/// Longest name of a drive, which is the last part of its URL.
const DRIVE_NAME_LENGTH_MAX: usize = 64;

/// Checks an inventory. What is wrong is left out, and noted.
pub fn check_inventory(written: shape::Inventory, at: &Path, findings: &mut Findings) -> Inventory {
    let uuid = written.uuid.and_then(|text| match Uuid::parse_str(&text) {
        Ok(uuid) => Some(uuid),
        Err(_) => {
            findings.rule(&at.key("uuid"), format!("{text:?} is no UUID"));
            None
        }
    });
    let mut text = |name: &str, written| check_text(written, &at.key(name), findings);
    let (manufacturer, model) = (text("manufacturer", written.manufacturer), text("model", written.model));
    let serial = text("serial", written.serial);
    let memory_gib = check_amount(written.memory_gib, &at.key("memory_gib"), findings);
    let processors = check_processors(written.processors.unwrap_or_default(), &at.key("processors"), findings);
    let drives = check_drives(written.drives.unwrap_or_default(), &at.key("drives"), findings);
    Inventory { manufacturer, model, serial, uuid, processors, memory_gib, drives, nics: Vec::new() }
}

fn check_text(written: Option<String>, at: &Path, findings: &mut Findings) -> Option<String> {
    let text = written.filter(|text| !text.is_empty())?;
    if text.chars().count() > TEXT_LENGTH_MAX {
        findings.rule(at, format!("is longer than {TEXT_LENGTH_MAX} characters"));
    } else if text.chars().any(char::is_control) {
        findings.rule(at, "has a control character in it");
    }
    Some(text)
}

/// Amounts of GiB and GB. A petabyte is not in any machine without a BMC.
fn check_amount(written: Option<f64>, at: &Path, findings: &mut Findings) -> Option<f64> {
    let amount = written?;
    if !(amount > 0.0 && amount <= 1_000_000.0) {
        findings.rule(at, "should be more than 0 and not more than a million");
        return None;
    }
    Some(amount)
}

fn check_processors(written: Vec<shape::Processor>, at: &Path, findings: &mut Findings) -> Vec<Processor> {
    let mut processors = Vec::new();
    for (n, part) in written.into_iter().enumerate() {
        let at = at.item(n);
        let mut number = |name: &str, value: Option<u32>| {
            if value == Some(0) {
                findings.rule(&at.key(name), "should be more than 0");
            }
            value
        };
        let (cores, threads) = (number("cores", part.cores), number("threads", part.threads));
        let max_speed_mhz = number("max_speed_mhz", part.max_speed_mhz);
        let count = number("count", part.count.map(u32::from)).unwrap_or(1);
        if let (Some(cores), Some(threads)) = (cores, threads)
            && threads < cores
        {
            findings.rule(&at.key("threads"), format!("there are {cores} cores, so there cannot be {threads} threads"));
        }
        let processor = Processor {
            model: check_text(part.model, &at.key("model"), findings),
            manufacturer: check_text(part.manufacturer, &at.key("manufacturer"), findings),
            cores,
            threads,
            architecture: part.architecture.map(|architecture| match architecture {
                shape::Architecture::X86_64 | shape::Architecture::X86 | shape::Architecture::Amd64 => {
                    Architecture::X86_64
                }
                shape::Architecture::Arm64 | shape::Architecture::Aarch64 => Architecture::ArmA64,
            }),
            max_speed_mhz,
        };
        processors.extend((0..count).map(|_| processor.clone()));
    }
    if processors.len() > PARTS_MAX {
        findings.rule(at, format!("are {} processors, and {PARTS_MAX} are allowed", processors.len()));
    }
    processors
}

fn check_drives(written: Vec<shape::Drive>, at: &Path, findings: &mut Findings) -> Vec<Drive> {
    let mut drives: Vec<Drive> = Vec::new();
    if written.len() > PARTS_MAX {
        findings.rule(at, format!("are {} drives, and {PARTS_MAX} are allowed", written.len()));
    }
    for (n, part) in written.into_iter().enumerate() {
        let at = at.item(n);
        let capacity_gb = check_amount(part.capacity_gb, &at.key("capacity_gb"), findings);
        let Some(name) = part.name else {
            findings.rule(&at.key("name"), "is missing");
            continue;
        };
        let odd = name.chars().find(|c| !(c.is_ascii_alphanumeric() || "._-".contains(*c)));
        if let Some(odd) = odd {
            findings.rule(&at.key("name"), format!("has the character {odd:?}; letters, digits and . _ - are allowed"));
        } else if name.is_empty() || name.len() > DRIVE_NAME_LENGTH_MAX || matches!(name.as_str(), "." | "..") {
            findings.rule(&at.key("name"), format!("should be a name of 1 to {DRIVE_NAME_LENGTH_MAX} characters"));
        } else if drives.iter().any(|drive| drive.name == name) {
            findings.rule(&at.key("name"), format!("there is another drive {name:?}"));
        }
        drives.push(Drive {
            name,
            capacity_bytes: capacity_gb.map(bytes_of_gb),
            media: part.media.map(|media| media_name(media).into()),
            protocol: part.protocol.map(|protocol| protocol_name(protocol).into()),
            model: check_text(part.model, &at.key("model"), findings),
            serial: check_text(part.serial, &at.key("serial"), findings),
        });
    }
    drives
}

/// The amount is between 0 and a million, so it fits.
fn bytes_of_gb(amount: f64) -> u64 {
    (amount * 1e9).round() as u64
}

const fn media_name(media: shape::Media) -> &'static str {
    match media {
        shape::Media::Hdd => "HDD",
        shape::Media::Ssd => "SSD",
        shape::Media::Smr => "SMR",
    }
}

const fn protocol_name(protocol: shape::Protocol) -> &'static str {
    match protocol {
        shape::Protocol::Nvme => "NVMe",
        shape::Protocol::Sata => "SATA",
        shape::Protocol::Sas => "SAS",
        shape::Protocol::Usb => "USB",
        shape::Protocol::Emmc => "eMMC",
    }
}
