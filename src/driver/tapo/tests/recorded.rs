//! What real devices said, by their facts: each is read through the driver as it is.

use serde_json::{Value, json};

use super::*;

/// One recorded device.
struct Recorded {
    /// `model`, `fw_ver` and `hw_ver`.
    name: [&'static str; 3],
    /// `device_on` and `on_time`; a strip has none.
    on: Option<(bool, u64)>,
    /// The fields about its well-being: older firmware has `overheated`, newer one words.
    status: &'static [&'static str],
    /// `power_mw` of `get_emeter_data`.
    emeter: Option<u64>,
    /// `current_power` and `today_energy` of `get_energy_usage`.
    usage: Option<(u64, u64)>,
    /// `current_power` of `get_current_power`.
    current: Option<u64>,
    /// The positions of a strip, in the order of its list.
    positions: &'static [u64],
}

const OLD: &[&str] = &["overheated"];
const BOTH: &[&str] = &["auto_off_status", "overheated", "power_protection_status"];
const NEW: &[&str] =
    &["auto_off_status", "charging_status", "overcurrent_status", "overheat_status", "power_protection_status"];

const fn plug(name: [&'static str; 3], on: bool, on_time: u64, status: &'static [&'static str]) -> Recorded {
    Recorded { name, on: Some((on, on_time)), status, emeter: None, usage: None, current: None, positions: &[] }
}

const fn strip(name: [&'static str; 3], positions: &'static [u64]) -> Recorded {
    Recorded { name, on: None, status: &[], emeter: None, usage: None, current: None, positions }
}

impl Recorded {
    const fn usage(self, milliwatts: u64, today_wh: u64) -> Recorded {
        Recorded { usage: Some((milliwatts, today_wh)), ..self }
    }

    const fn current(self, watts: u64) -> Recorded {
        Recorded { current: Some(watts), ..self }
    }

    const fn emeter(self, milliwatts: u64) -> Recorded {
        Recorded { emeter: Some(milliwatts), ..self }
    }

    fn meters(&self) -> bool {
        self.usage.is_some()
    }

    /// The answers of its meter, and the device that gives them.
    fn plug(&self) -> Plug {
        let mut answers = Vec::new();
        if let Some(power_mw) = self.emeter {
            answers.push(("get_emeter_data", json!({ "power_mw": power_mw, "voltage_mv": 121_215, "energy_wh": 971 })));
        }
        if let Some((current_power, today_energy)) = self.usage {
            let local_time = "2024-11-19 19:32:14";
            let usage = json!({ "current_power": current_power, "today_energy": today_energy, "local_time": local_time,
                                "month_energy": 971, "electricity_charge": [0, 0, 0], "past1y": [0, 55, 416] });
            answers.push(("get_energy_usage", usage));
        }
        if let Some(watts) = self.current {
            answers.push(("get_current_power", json!({ "current_power": watts })));
        }
        let meter = if self.meters() { &["energy_monitoring"][..] } else { &[] };
        let mut plug = match (self.positions, self.meters()) {
            ([], true) => Plug::new(klap()).metered(&answers),
            ([], false) => Plug::new(klap()),
            (positions, _) => {
                let mut strip = Plug::new(klap()).strip(positions, meter);
                strip.answers.extend(answers);
                strip
            }
        };
        let [model, firmware, hardware] = self.name;
        for (key, value) in [("model", model), ("fw_ver", firmware), ("hw_ver", hardware)] {
            plug.info[key] = value.into();
        }
        if let Some((on, on_time)) = self.on {
            (plug.on, plug.info["on_time"]) = (on, on_time.into());
        }
        for key in self.status {
            let well: Value = match *key {
                "overheated" => false.into(),
                "auto_off_status" => "off".into(),
                _ => "normal".into(),
            };
            plug.info[*key] = well;
        }
        plug
    }
}

const DEVICES: [Recorded; 20] = [
    plug(["EP25", "1.0.1 Build 230614 Rel.150219", "2.6"], true, 36, BOTH).usage(0, 0).current(0),
    plug(["EP25", "1.0.2 Build 231108 Rel.163012", "2.6"], true, 155_838, BOTH).usage(0, 0).current(0),
    plug(["KP125M", "1.1.3 Build 230801 Rel.092557", "1.0"], true, 5332, BOTH).usage(17_654, 513).current(17),
    plug(["KP125M", "1.2.3 Build 240624 Rel.154806", "1.0"], true, 936_394, NEW)
        .emeter(1003)
        .usage(1003, 20)
        .current(1),
    plug(["P100", "1.3.7 Build 20230711 Rel. 61904", "1.0.0"], false, 0, OLD),
    plug(["P100", "1.4.0 Build 20231017 Rel. 33876", "1.0.0"], false, 0, OLD),
    plug(["P110", "1.3.1 Build 240621 Rel.162048", "1.0"], false, 0, NEW).emeter(0).usage(0, 0).current(0),
    plug(["P110", "1.0.7 Build 210629 Rel.174901", "1.0"], false, 0, OLD).usage(0, 0),
    plug(["P110", "1.3.0 Build 230905 Rel.152200", "1.0"], false, 0, BOTH).usage(0, 0).current(0),
    plug(["P110M", "1.2.3 Build 240617 Rel.153525", "1.0"], true, 186_533, NEW).usage(74_116, 173).current(74),
    plug(["P115", "1.2.3 Build 230425 Rel.142542", "1.0"], true, 1621, BOTH).usage(8962, 0).current(9),
    plug(["P115", "1.1.3 Build 240523 Rel.175054", "1.0"], false, 0, NEW).emeter(0).usage(0, 0).current(0),
    plug(["P135", "1.0.5 Build 230801 Rel.095702", "1.0"], false, 0, &["overheat_status"]),
    plug(["P135", "1.2.0 Build 240415 Rel.171222", "1.0"], true, 3428, &["overheat_status"]),
    plug(["TP15", "1.0.3 Build 230112 Rel.124621", "1.0"], true, 83, &["auto_off_status", "overheated"]),
    strip(["P300", "1.0.15 Build 231130 Rel.122554", "1.0"], &[3, 2, 1]),
    strip(["P300", "1.0.7 Build 220715 Rel.200458", "1.0"], &[1, 2, 3]),
    // The fifth is its night light.
    strip(["P306", "1.1.2 Build 240531 Rel.204226", "1.0"], &[4, 3, 2, 1, 5]),
    strip(["P316M", "1.0.5 Build 250306 Rel.151943", "1.6"], &[1, 2, 3, 4, 5, 6]).emeter(0).usage(0, 0).current(0),
    strip(["TP25", "1.0.2 Build 230206 Rel.095245", "1.0"], &[1, 2]),
];

#[tokio::test]
async fn every_recorded_plug_is_read() {
    for device in DEVICES.iter().filter(|device| device.positions.is_empty()) {
        let name = device.name.join(" ");
        let mut bench = Bench::new(device.plug()).await;
        let seen = bench.read().await.unwrap_or_else(|error| panic!("{name}: {error}"));
        let (on, on_time) = device.on.unwrap();
        assert_eq!(seen.power, Some(if on { Power::On } else { Power::Off }), "{name}");
        assert_eq!(seen.on_for, on.then_some(Duration::from_secs(on_time)), "{name}");
        let watts = device.emeter.or(device.usage.map(|(milliwatts, _)| milliwatts));
        assert_eq!((seen.milliwatts, seen.energy_today_wh), (watts, device.usage.map(|(_, today)| today)), "{name}");
        let about = [&seen.about.model, &seen.about.firmware, &seen.about.hardware].map(|text| text.clone().unwrap());
        assert_eq!((about, seen.about.meter), (device.name.map(str::to_owned), device.meters()), "{name}");
        assert_eq!(seen.notices, [], "{name}");
        bench.set(if on { Power::Off } else { Power::On }).await.unwrap();
        assert_eq!(bench.on(), !on, "{name}");
    }
}

#[tokio::test]
async fn every_outlet_of_every_recorded_strip_is_read_and_switched_by_its_position() {
    for device in DEVICES.iter().filter(|device| !device.positions.is_empty()) {
        let name = device.name.join(" ");
        let mut plug = device.plug();
        if device.name[0] == "P306" {
            plug.outlets[4]["category"] = "plug.powerstrip.sub-bulb".into();
        }
        let bench = Bench::new(plug).await;
        for position in 1..=device.positions.len() as u64 {
            let outlet = u8::try_from(position - 1).unwrap();
            let config = TapoConfig { outlet: Some(outlet), ..config(bench.fake.port) };
            let node = format!("node-{outlet}");
            let mut device_of = bench.plugs.open(&config, context(&node, no_pace(), &bench.metrics));
            let done = device_of.order(PowerAction::On, BootOverride::default()).await;
            if (device.name[0], position) == ("P306", 5) {
                assert_fails(done, FailureClass::Refused, "is a lamp");
                continue;
            }
            done.unwrap_or_else(|error| panic!("{name}: {error}"));
            let seen = device_of.read().await.unwrap_or_else(|error| panic!("{name}: {error}"));
            assert_eq!((seen.power, seen.about.model.as_deref()), (Some(Power::On), Some(device.name[0])), "{name}");
            assert_eq!(seen.about.meter, device.meters(), "{name}");
            let plug = bench.fake.plug();
            let on = |outlet: &&Value| outlet["device_on"] == true;
            let on: Vec<u64> = plug.outlets.iter().filter(on).map(|o| o["position"].as_u64().unwrap()).collect();
            assert_eq!(on.len() as u64, position, "{name}: one outlet more is on");
            assert!(on.contains(&position), "{name}: {position} is not on, but {on:?}");
        }
    }
}
