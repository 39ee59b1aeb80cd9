//! Any bytes as a reply of WS-Management: nothing falls over, and an instance that is read is written the same.

#![no_main]

mod amt;

use amt::wsman::{self, Request};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|reply: &[u8]| {
    let _ = wsman::enumeration_context(reply);
    let _ = wsman::identity(reply);
    let _ = wsman::output(reply, "GetRecords");
    if let Some(fault) = wsman::fault(reply) {
        assert!(fault.to_string().len() < 2000);
    }
    let pulled = wsman::pulled(reply).map(|pulled| pulled.items).unwrap_or_default();
    for instance in wsman::instance(reply).into_iter().chain(pulled) {
        for (name, _) in &instance.fields {
            let _ =
                (instance.text(name), instance.number::<u32>(name), instance.boolean(name), instance.datetime(name));
        }
        let request = Request { class: &instance.class, selectors: &[("x", "y")], message_id: 1 };
        let written = request.put(&instance);
        assert_eq!(wsman::instance(written.as_bytes()).as_ref(), Ok(&instance), "{written}");
    }
});
