//! The boot override of a node, in the terms of the Redfish schema ComputerSystem (`Boot`). Plain values; the FSM and
//! the device decide when and how an override is used.

use serde::{Deserialize, Serialize};

/// `Boot.BootSourceOverrideTarget` (schema ComputerSystem): where the next boot is to come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum BootTarget {
    /// The boot order of the firmware.
    #[default]
    None,
    /// The network.
    Pxe,
    /// The disk.
    Hdd,
    /// The CD drive.
    Cd,
    /// The setup pages of the firmware.
    BiosSetup,
    /// An image that the firmware loads over HTTP, from `HttpBootUri`.
    UefiHttp,
}

impl BootTarget {
    /// All of them, in the order in which they are shown.
    pub const ALL: [BootTarget; 6] = [
        BootTarget::None,
        BootTarget::Pxe,
        BootTarget::Hdd,
        BootTarget::Cd,
        BootTarget::BiosSetup,
        BootTarget::UefiHttp,
    ];

    /// The name as Redfish spells it.
    pub const fn name(self) -> &'static str {
        match self {
            BootTarget::None => "None",
            BootTarget::Pxe => "Pxe",
            BootTarget::Hdd => "Hdd",
            BootTarget::Cd => "Cd",
            BootTarget::BiosSetup => "BiosSetup",
            BootTarget::UefiHttp => "UefiHttp",
        }
    }
}

/// `Boot.BootSourceOverrideEnabled` (schema ComputerSystem): how long an override holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum BootEnabled {
    /// No override.
    #[default]
    Disabled,
    /// For the next boot; falls to `Disabled` then.
    Once,
    /// For every boot until it is changed.
    Continuous,
}

impl BootEnabled {
    /// All of them, in the order in which they are shown.
    pub const ALL: [BootEnabled; 3] = [BootEnabled::Disabled, BootEnabled::Once, BootEnabled::Continuous];

    /// The name as Redfish spells it.
    pub const fn name(self) -> &'static str {
        match self {
            BootEnabled::Disabled => "Disabled",
            BootEnabled::Once => "Once",
            BootEnabled::Continuous => "Continuous",
        }
    }
}

/// `Boot.BootSourceOverrideMode` (schema ComputerSystem): the firmware interface of the boot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum BootMode {
    /// UEFI.
    #[default]
    #[serde(rename = "UEFI")]
    Uefi,
    /// BIOS.
    Legacy,
}

impl BootMode {
    /// All of them, in the order in which they are shown.
    pub const ALL: [BootMode; 2] = [BootMode::Uefi, BootMode::Legacy];

    /// The name as Redfish spells it.
    pub const fn name(self) -> &'static str {
        match self {
            BootMode::Uefi => "UEFI",
            BootMode::Legacy => "Legacy",
        }
    }

    /// This one and no other.
    pub const fn only(self) -> &'static [BootMode] {
        match self {
            BootMode::Uefi => &[BootMode::Uefi],
            BootMode::Legacy => &[BootMode::Legacy],
        }
    }
}

/// The boot override of a node, kept in the journal.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BootOverride {
    /// `BootSourceOverrideTarget`.
    pub target: BootTarget,
    /// `BootSourceOverrideEnabled`.
    pub enabled: BootEnabled,
    /// `BootSourceOverrideMode`.
    pub mode: BootMode,
    /// `HttpBootUri`: what the target `UefiHttp` loads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http_boot_uri: Option<String>,
}

impl BootOverride {
    /// Where the next boot is to come from; `None` stands for the machine's own order.
    pub fn in_force(&self) -> BootTarget {
        if self.enabled == BootEnabled::Disabled { BootTarget::None } else { self.target }
    }
}

/// Any subset of [`BootOverride`]: what a PATCH of `Boot` carries.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BootPatch {
    /// `BootSourceOverrideTarget`.
    pub target: Option<BootTarget>,
    /// `BootSourceOverrideEnabled`.
    pub enabled: Option<BootEnabled>,
    /// `BootSourceOverrideMode`.
    pub mode: Option<BootMode>,
    /// `HttpBootUri`; an inner `None` takes it away.
    pub http_boot_uri: Option<Option<String>>,
}
