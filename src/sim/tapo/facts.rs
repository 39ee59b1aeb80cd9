//! The identity that a plug reports: names, numbers, versions, and the components of its model.

use std::net::Ipv4Addr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::super::config::{Model, PlugConfig, dice, dice_named};

/// The first three bytes of the MAC addresses: a block of TP-Link's.
const MAC_BLOCK: [u8; 3] = [0x9c, 0x53, 0x22];
/// Components that every device has, and a strip's outlets too.
const COMMON: &[(&str, u8)] = &[
    ("device", 2),
    ("firmware", 2),
    ("quick_setup", 3),
    ("time", 1),
    ("schedule", 2),
    ("countdown", 2),
    ("antitheft", 1),
    ("account", 1),
    ("synchronize", 1),
    ("sunrise_sunset", 1),
    ("cloud_connect", 1),
    ("iot_cloud", 1),
    ("device_local_time", 1),
    ("default_states", 1),
];
/// What only the device itself has.
const OF_DEVICES: &[(&str, u8)] = &[("wireless", 1), ("led", 1)];
/// The components of plugs with a meter.
const OF_METERS: &[(&str, u8)] =
    &[("localSmart", 1), ("energy_monitoring", 2), ("power_protection", 1), ("current_protection", 1)];
/// The components of strips.
const OF_STRIPS: &[(&str, u8)] = &[("control_child", 2), ("child_device", 2), ("overheat_protection", 1)];

/// The identity that a plug reports.
#[derive(Clone, Debug)]
pub(in crate::sim) struct Facts {
    pub model: Model,
    pub mac: [u8; 6],
    /// 40 digits; what `get_device_info` says.
    pub device_id: String,
    /// 32 digits; what discovery says.
    pub discovery_id: String,
    pub nickname: String,
    pub firmware: String,
    pub ip: Ipv4Addr,
}

impl Facts {
    pub(crate) fn new(config: &PlugConfig, seed: u64, ip: Ipv4Addr) -> Facts {
        let seed = dice_named(seed, &config.name);
        let [.., a, b, c] = dice(seed, 0).to_be_bytes();
        let [x, y, z] = MAC_BLOCK;
        Facts {
            model: config.model,
            mac: config.mac.unwrap_or([x, y, z, a, b, c]),
            device_id: digits(seed, 40),
            discovery_id: digits(seed.wrapping_add(1), 32),
            nickname: config.nickname.clone().unwrap_or_else(|| config.name.clone()),
            firmware: config.firmware.clone().unwrap_or_else(|| config.model.firmware(config.variant).to_owned()),
            ip,
        }
    }

    /// `AA-BB-CC-DD-EE-FF`.
    pub(crate) fn mac_dashed(&self) -> String {
        self.mac.map(|byte| format!("{byte:02X}")).join("-")
    }

    /// The `device_id` of an outlet of a strip.
    pub(crate) fn child_id(&self, index: usize) -> String {
        format!("{}{index:02}", self.device_id)
    }

    /// The numbers at the start of `fw_ver`.
    fn version(&self) -> (u32, u32, u32) {
        let version = self.firmware.split(' ').next().unwrap_or_default();
        let mut numbers = version.split('.').map(|part| part.parse().unwrap_or(0));
        let mut next = || numbers.next().unwrap_or(0);
        (next(), next(), next())
    }

    /// Whether the firmware has `get_emeter_data`: the P110 from 1.3.1 on, the P304M not yet in 1.0.3.
    pub(crate) fn has_emeter_data(&self) -> bool {
        match self.model {
            Model::P110 => self.version() >= (1, 3, 1),
            Model::P304M => self.is_recent(),
            Model::P100 | Model::P300 => false,
        }
    }

    /// Firmware of the time of TPAP, which counts in milliwatt-hours too. The P100's numbers do not tell.
    pub(crate) fn is_recent(&self) -> bool {
        self.model != Model::P100 && self.version() >= (1, 4, 0)
    }

    /// Whether there is an automatic switch-off: on meters, and on the P300 from 1.0.15 on.
    pub(crate) fn has_auto_off(&self) -> bool {
        self.model.has_meter() || (self.model == Model::P300 && self.version() >= (1, 0, 15))
    }

    /// What `get_device_info` says of the device and of its outlets alike.
    pub(crate) fn common(&self) -> Value {
        let strip = self.model.is_strip();
        json!({
            "avatar": if strip { "" } else { "plug" },
            "fw_id": digits(1, 32),
            "fw_ver": self.firmware,
            "has_set_location_info": true,
            "hw_id": digits(2, 32),
            "hw_ver": "1.0",
            "latitude": 0,
            "longitude": 0,
            "model": self.model.name(),
            "oem_id": digits(3, 32),
            "region": "UTC",
            "type": "SMART.TAPOPLUG",
        })
    }

    /// What only the device itself says: its network and its place.
    pub(crate) fn own(&self) -> Value {
        json!({
            "device_id": self.device_id,
            "ip": self.ip.to_string(),
            "lang": "en_US",
            "mac": self.mac_dashed(),
            "nickname": STANDARD.encode(&self.nickname),
            "rssi": -52,
            "signal_level": 2,
            "specs": "",
            "ssid": STANDARD.encode("plugfish-lab"),
            "time_diff": 0,
        })
    }

    /// `component_list` of the device, or of an outlet of a strip.
    pub(crate) fn components(&self, outlet: bool) -> Value {
        let only = |list: &'static [(&str, u8)], when: bool| if when { list } else { &[] };
        let model = self.model;
        let parts = [
            COMMON,
            only(OF_DEVICES, !outlet),
            only(OF_METERS, model.has_meter()),
            only(&[("auto_off", 2)], self.has_auto_off()),
            only(OF_STRIPS, model.is_strip() && !outlet),
            only(&[("tpap", 1)], self.is_recent() && !outlet),
        ];
        parts.into_iter().flatten().map(|(id, version)| json!({"id": id, "ver_code": version})).collect()
    }
}

/// Upper-case hexadecimal digits made from a seed.
fn digits(seed: u64, count: usize) -> String {
    let words = (0..count as u64).map(|turn| dice(seed, turn));
    words.flat_map(|word| format!("{word:016X}").into_bytes()).take(count).map(char::from).collect()
}
