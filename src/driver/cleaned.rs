//! The border between devices and the core: what a device says comes in with all its texts made harmless ([`text`]), whichever
//! driver read it, and whichever field it is.

use std::sync::Arc;

use crate::node::device::{
    DeviceError, DeviceFuture, DeviceIdentity, LogEntry, Observation, PowerDevice, PowerRestore, ScanResult,
};
use crate::node::{BootOverride, Inventory, PowerAction};
use crate::text;

/// A device whose words are harmless.
pub(super) struct Cleaned {
    device: Box<dyn PowerDevice>,
    /// What the device said last of itself, and what was made of it: the same `Arc` comes again until something changes.
    about: Option<(Arc<DeviceIdentity>, Arc<DeviceIdentity>)>,
}

impl Cleaned {
    /// The border before this device.
    pub(super) fn new(device: Box<dyn PowerDevice>) -> Cleaned {
        Cleaned { device, about: None }
    }

    fn about(&mut self, said: Arc<DeviceIdentity>) -> Arc<DeviceIdentity> {
        match &self.about {
            Some((known, clean)) if Arc::ptr_eq(known, &said) => clean.clone(),
            _ => {
                let clean = text::cleaned_value(&*said).map_or_else(|| said.clone(), Arc::new);
                self.about = Some((said, clean.clone()));
                clean
            }
        }
    }
}

fn error(error: DeviceError) -> DeviceError {
    DeviceError { class: error.class, text: text::clean(error.text) }
}

fn entries(log: Arc<[LogEntry]>) -> Arc<[LogEntry]> {
    let is_well = |entry: &LogEntry| text::cleaned(&entry.text).is_none() && text::cleaned(&entry.id).is_none();
    if log.iter().all(is_well) {
        return log;
    }
    let clean = |entry: &LogEntry| LogEntry {
        id: text::clean(entry.id.clone()),
        text: text::clean(entry.text.clone()),
        ..entry.clone()
    };
    log.iter().map(clean).collect()
}

impl PowerDevice for Cleaned {
    fn read(&mut self) -> DeviceFuture<'_, Observation> {
        Box::pin(async move {
            let mut seen = self.device.read().await.map_err(error)?;
            seen.about = self.about(seen.about);
            for notice in &mut seen.notices {
                notice.text = text::clean(std::mem::take(&mut notice.text));
            }
            Ok(seen)
        })
    }

    fn order(&mut self, order: PowerAction, boot: BootOverride) -> DeviceFuture<'_, ()> {
        Box::pin(async move { self.device.order(order, boot).await.map_err(error) })
    }

    fn scan(&mut self) -> DeviceFuture<'_, ScanResult> {
        Box::pin(async move {
            let found = self.device.scan().await.map_err(error)?;
            let inventory = |found: Arc<Inventory>| text::cleaned_value(&*found).map_or(found, Arc::new);
            Ok(ScanResult {
                inventory: found.inventory.map(inventory),
                event_log: found.event_log.map(entries),
                audit_log: found.audit_log.map(entries),
                ..found
            })
        })
    }

    fn set_power_restore(&mut self, policy: PowerRestore) -> DeviceFuture<'_, ()> {
        Box::pin(async move { self.device.set_power_restore(policy).await.map_err(error) })
    }

    fn forget_session(&mut self) {
        self.device.forget_session();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::device::{FailureClass, Notice};
    use crate::node::{Drive, Health, Power};

    const FORGED: &str = "P110\r\n2026-01-01 ERROR node-2 is off \u{1b}[2K\u{202e}";

    struct Forger;

    fn about() -> Arc<DeviceIdentity> {
        let said = || Some(FORGED.to_owned());
        DeviceIdentity {
            manufacturer: said(),
            model: said(),
            firmware: said(),
            hardware: said(),
            serial: said(),
            nickname: said(),
            protocol: said(),
            setup: said(),
            ..DeviceIdentity::default()
        }
        .into()
    }

    impl PowerDevice for Forger {
        fn read(&mut self) -> DeviceFuture<'_, Observation> {
            let notices = vec![Notice { key: "overheated", text: FORGED.into() }];
            let seen = Observation { power: Some(Power::On), about: about(), notices, ..Observation::default() };
            Box::pin(async { Ok(seen) })
        }
        fn order(&mut self, _: PowerAction, _: BootOverride) -> DeviceFuture<'_, ()> {
            Box::pin(async { Err(DeviceError::new(FailureClass::Refused, FORGED)) })
        }
        fn scan(&mut self) -> DeviceFuture<'_, ScanResult> {
            let drive = Drive { model: Some(FORGED.into()), ..Drive::default() };
            let inventory = Inventory { host_name: Some(FORGED.into()), drives: vec![drive], ..Inventory::default() };
            let entry = LogEntry { id: "1".into(), at: None, severity: Health::OK, text: FORGED.into() };
            let log: Arc<[LogEntry]> = [entry].into();
            let found = ScanResult {
                inventory: Some(inventory.into()),
                event_log: Some(log.clone()),
                audit_log: Some(log),
                ..ScanResult::default()
            };
            Box::pin(async { Ok(found) })
        }
        fn forget_session(&mut self) {}
    }

    #[tokio::test]
    async fn nothing_that_a_device_says_comes_in_raw() {
        let mut device = Cleaned::new(Box::new(Forger));
        let said = [
            format!("{:?}", device.read().await.unwrap()),
            format!("{:?}", device.order(PowerAction::On, BootOverride::default()).await.unwrap_err()),
            format!("{:?}", device.scan().await.unwrap()),
        ];
        for said in said {
            // Debug escapes what is harmful.
            assert!(said.contains("is off") && !said.contains('\\'), "{said}");
        }
    }

    #[test]
    fn who_a_device_is_stays_the_same_value() {
        let mut device = Cleaned::new(Box::new(Forger));
        let (forged, plain) = (about(), Arc::<DeviceIdentity>::default());
        let first = device.about(forged.clone());
        assert!(!Arc::ptr_eq(&first, &forged) && Arc::ptr_eq(&first, &device.about(forged)));
        assert!(Arc::ptr_eq(&plain, &device.about(plain.clone())));
    }
}
