//! The procedure with a plug that exists only here, in time that passes at once.

use std::io;
use std::sync::Mutex;

use super::*;
use crate::clock::{Mono, Wall};
use crate::node::calibration::{CUT_SAMPLES, Figures, OFF_SAMPLES, RUNNING_SAMPLES};
use crate::node::device::{DeviceError, DeviceFuture, DeviceIdentity, FailureClass, Observation};
use crate::node::{BootOverride, Inventory, NodeSpec, Power, PowerAction, PowerPolicy, Timings, Watts};

/// A plug, and a machine that idles and shuts down at a reading.
struct Meter {
    clock: Clock,
    reads: usize,
    idle: u64,
    off: u64,
    noise: u64,
    /// The reading at which its machine is off.
    off_from: usize,
    /// What flows with the relay open.
    open: u64,
    has_meter: bool,
    relay: Power,
    /// The reading before which someone presses its button.
    pressed: usize,
    /// The readings that fail, and how.
    fails: Option<(usize, usize, FailureClass)>,
    /// It takes the order to turn on this often before it follows.
    deaf: usize,
    orders: Vec<(Mono, PowerAction)>,
}

impl Meter {
    fn new(clock: &Clock, idle: u64, off: u64) -> Meter {
        Meter {
            clock: clock.clone(),
            reads: 0,
            idle,
            off,
            noise: idle / 20,
            off_from: 50,
            open: 20,
            has_meter: true,
            relay: Power::On,
            pressed: usize::MAX,
            fails: None,
            deaf: 0,
            orders: Vec::new(),
        }
    }

    fn ordered(&self) -> Vec<PowerAction> {
        self.orders.iter().map(|(_, order)| *order).collect()
    }
}

impl PowerDevice for Meter {
    fn read(&mut self) -> DeviceFuture<'_, Observation> {
        self.reads += 1;
        if let Some((.., class)) = self.fails.filter(|(from, to, _)| (*from..*to).contains(&self.reads)) {
            return Box::pin(async move { Err(DeviceError::new(class, "it fails")) });
        }
        if self.reads == self.pressed {
            self.relay = Power::Off;
        }
        let draw = match self.reads {
            _ if self.relay == Power::Off => self.open,
            read if read >= self.off_from => self.off + self.clock.below(60),
            _ => self.idle + self.clock.below(self.noise + 1),
        };
        let about = Arc::new(DeviceIdentity { meter: self.has_meter, ..DeviceIdentity::default() });
        let milliwatts = self.has_meter.then_some(draw);
        let seen = Observation { power: Some(self.relay), milliwatts, about, ..Observation::default() };
        Box::pin(async move { Ok(seen) })
    }

    fn order(&mut self, order: PowerAction, _: BootOverride) -> DeviceFuture<'_, ()> {
        self.orders.push((self.clock.mono(), order));
        if order == PowerAction::On && self.deaf > 0 {
            self.deaf -= 1;
        } else {
            self.relay = order.leads_to();
        }
        Box::pin(async { Ok(()) })
    }

    fn forget_session(&mut self) {}
}

fn spec() -> NodeSpec {
    NodeSpec {
        id: "node-1".parse().unwrap(),
        inventory: Arc::new(Inventory::default()),
        timings: Timings::default(),
        device: "Tapo plug at 192.0.2.11".into(),
        kind: &crate::driver::tapo::KIND,
        boot_mode: None,
        boot_targets: None,
        policy: PowerPolicy::default(),
    }
}

/// What was said of the progress.
#[derive(Clone, Default)]
struct Said(Arc<Mutex<Vec<u8>>>);

impl Write for Said {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Said {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

struct Ran {
    result: Result<Calibration, String>,
    closed: Result<(), String>,
    meter: Meter,
    csv: String,
    said: String,
}

async fn calibrated(cut: bool, change: impl Fn(&mut Meter)) -> Ran {
    let clock = Clock::simulated(1, Wall(0));
    let (mut meter, said, spec) = (Meter::new(&clock, 28_000, 900), Said::default(), spec());
    change(&mut meter);
    let mut procedure = Procedure::new(clock, &spec, 1, Progress::new(said.clone(), false));
    let result = match procedure.begin(&mut meter).await {
        Ok(()) => procedure.measure(&mut meter, cut).await,
        Err(error) => Err(error),
    };
    let words = |error: anyhow::Error| format!("{error:#}");
    let closed = procedure.close(&mut meter).await.map_err(words);
    Ran { result: result.map_err(words), closed, meter, csv: procedure.csv(), said: said.text() }
}

#[tokio::test(start_paused = true)]
async fn a_good_machine_gets_its_thresholds_and_nothing_is_switched() {
    let Ran { result, meter, csv, said, .. } = calibrated(false, |_| {}).await;
    let watts = result.unwrap().watts;
    assert!((1_400..1_700).contains(&watts.off_below) && (23_000..28_000).contains(&watts.on_above), "{watts:?}");
    assert_eq!(meter.ordered(), []);
    let lines: Vec<&str> = csv.lines().collect();
    assert!(lines[0] == "seconds,step,watts" && lines[1].starts_with("2.0,running,2"), "{csv}");
    let of = |step: &str| lines.iter().filter(|line| line.contains(step)).count();
    assert_eq!([of(",running,"), of(",off,"), of(",cut,")], [RUNNING_SAMPLES, OFF_SAMPLES, 0]);
    assert!(of(",shutting down,") > 10, "{csv}");
    assert!(said.contains("Step 2: please shut the machine down now") && !said.contains('\x1b'), "{said}");
    assert!(said.contains("; waiting for a lower draw that holds, "), "{said}");
    assert!(said.lines().count() < 15, "not a line for each measurement: {said}");
}

#[tokio::test(start_paused = true)]
async fn with_cut_the_outlet_is_on_again_at_the_end() {
    let Ran { result, closed, meter, csv, said } = calibrated(true, |_| {}).await;
    assert!(result.is_ok() && closed.is_ok(), "{result:?} {closed:?}");
    assert_eq!(csv.matches(",cut,0.02\n").count(), CUT_SAMPLES, "{csv}");
    assert_eq!(meter.ordered(), [PowerAction::Off, PowerAction::On]);
    assert!(said.contains("the outlet is on again"), "{said}");

    // Also when measuring fails in between, and no sooner than its dwell allows.
    let fails = |meter: &mut Meter| meter.fails = Some((96, 99, FailureClass::Auth));
    let Ran { result, closed, meter, .. } = calibrated(true, fails).await;
    assert!(result.unwrap_err().contains("it fails") && closed.is_ok());
    let [(off, PowerAction::Off), (on, PowerAction::On), ..] = meter.orders[..] else { panic!("{:?}", meter.orders) };
    assert!(on.since(off) >= Timings::default().off_dwell, "{:?}", meter.orders);

    // Taking the order is not following it.
    let Ran { closed, meter, .. } = calibrated(true, |meter| meter.deaf = 2).await;
    assert_eq!((closed, meter.relay, meter.orders.len()), (Ok(()), Power::On, 4));
    let Ran { closed, .. } = calibrated(true, |meter| meter.deaf = usize::MAX).await;
    assert!(closed.unwrap_err().ends_with("it was told to turn on, and is still off; turn it on by hand"));
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_told_is_refused_in_words() {
    type Change = fn(&mut Meter);
    let cases: [(Change, &str); 9] = [
        (|meter| (meter.idle, meter.off) = (4_000, 2_700), "cannot be told apart with this meter: off is up to 2.8 W"),
        (|meter| meter.noise = 0, "it showed 28.0 W, and nothing else, in 30 samples"),
        (|meter| meter.off_from = usize::MAX, "W after 10 min: it was not shut down"),
        (|meter| meter.has_meter = false, "has no meter"),
        (|meter| meter.relay = Power::Off, "the outlet of node-1 is off"),
        // It draws little then, which says nothing of the machine.
        (|meter| meter.pressed = 10, "someone else turned the outlet of node-1 off"),
        (|meter| meter.pressed = 40, "someone else turned the outlet of node-1 off"),
        (|meter| meter.fails = Some((10, 11, FailureClass::Auth)), "it fails"),
        (|meter| meter.fails = Some((10, 99, FailureClass::Unreachable)), "it fails"),
    ];
    for (change, words) in cases {
        let Ran { result, meter, .. } = calibrated(true, change).await;
        let said = result.unwrap_err();
        assert!(said.contains(words), "{words}: {said}");
        let refused_by_figures = said.contains("told apart") || said.contains("stuck");
        assert_eq!(meter.orders.is_empty(), !refused_by_figures, "{said}");
    }
    let Ran { result, meter, .. } = calibrated(true, |meter| meter.open = 5_000).await;
    assert!(result.unwrap_err().contains("something draws 5.0 W while the relay is open"));
    assert_eq!(meter.relay, Power::On);
    // A wrong login is not tried again, and a lost answer is.
    let Ran { meter, .. } = calibrated(false, |meter| meter.fails = Some((10, 99, FailureClass::Auth))).await;
    assert_eq!(meter.reads, 10);
    let Ran { result, .. } = calibrated(false, |meter| meter.fails = Some((10, 14, FailureClass::Timeout))).await;
    assert!(result.is_ok());
}

#[test]
fn a_terminal_gets_one_line_that_is_written_again() {
    let said = Said::default();
    let mut progress = Progress::new(said.clone(), true);
    progress.now("1 of 2", Mono::START);
    progress.now("2 of 2", Mono::START);
    progress.say("both");
    progress.clear();
    assert_eq!(said.text(), "\r\x1b[K1 of 2\r\x1b[K2 of 2\r\x1b[Kboth\n\r\x1b[K");
}

#[test]
fn the_result_is_what_nodes_yaml_takes() {
    let watts = Watts { off_below: 1_600, on_above: 21_500, settle: Duration::from_secs(10) };
    let figures = Figures { off: 1_050, running: 25_300, off_deviation: 20.0, step: 1 };
    let text = shown("node-2", &Calibration { watts, figures }, Form::Yaml);
    assert_eq!(text, "power_state: measured\nwatts: { off_below: 1.6, on_above: 21.5, settle: 10s }\n");
    let json = shown("node-2", &Calibration { watts, figures }, Form::Json);
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["watts"], json!({ "off_below": 1.6, "on_above": 21.5, "settle": "10s" }));
    assert_eq!((&json["node"], &json["measured"]["idle_watts"]), (&json!("node-2"), &json!(25.3)));
}
