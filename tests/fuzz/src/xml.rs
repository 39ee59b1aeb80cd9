//! Any bytes as a reply of WS-Management: nothing falls over, and an instance that is read is written the same.

#![no_main]

use std::time::{Duration, Instant};

use libfuzzer_sys::fuzz_target;
use plugfish::testing::driver::amt::fuzz;
use plugfish::testing::driver::amt::wsman::{self, Request};

fuzz_target!(|reply: &[u8]| {
    let start = Instant::now();
    fuzz::is_shown(reply);
    let _ = wsman::enumerated(reply);
    let _ = wsman::identity(reply);
    if let Ok(output) = wsman::output(reply, "GetRecords") {
        fuzz::output(&output);
    }
    if let Some(fault) = wsman::fault(reply) {
        assert!(fault.to_string().len() < 2000);
    }
    let pulled = wsman::pulled(reply).map(|pulled| pulled.items).unwrap_or_default();
    let instances: Vec<_> = wsman::instance(reply).into_iter().chain(pulled).collect();
    for instance in &instances {
        for (name, _) in &instance.fields {
            let _ =
                (instance.text(name), instance.number::<u32>(name), instance.boolean(name), instance.datetime(name));
        }
        let request = Request { class: &instance.class, selectors: &[("x", "y")], message_id: 1 };
        let written = request.put(instance);
        assert_eq!(wsman::instance(written.as_bytes()).as_ref(), Ok(instance), "{written}");
    }
    fuzz::instances(&instances);
    // The law of time: some passes over 8 KB, with a margin for busy cores.
    assert!(start.elapsed() < Duration::from_secs(1), "{} bytes took {:?}", reply.len(), start.elapsed());
});
