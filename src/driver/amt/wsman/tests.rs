//! Golden envelopes in both directions: `tests/fixtures/amt/*.xml`.

use std::path::Path;

use roxmltree::Document;

use super::*;
use crate::driver::amt::status_codes;

fn fixture(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/fixtures/amt/{name}.xml"));
    std::fs::read_to_string(path).unwrap()
}

fn reply(name: &str) -> Vec<u8> {
    fixture(&format!("reply-{name}")).into_bytes()
}

/// XML without what makes no difference: prefixes, order of attributes, blanks between elements.
fn canonical(text: &str) -> String {
    fn walk(node: Node<'_, '_>, depth: usize, out: &mut String) {
        let mut attributes: Vec<_> = node.attributes().map(|a| format!(" {}={:?}", a.name(), a.value())).collect();
        attributes.sort();
        let name = node.tag_name();
        let indent = "  ".repeat(depth);
        let text = if node.first_element_child().is_some() { "" } else { node.text().unwrap_or("") };
        let _ =
            writeln!(out, "{indent}{{{}}}{}{}: {text:?}", name.namespace().unwrap(), name.name(), attributes.concat());
        node.children().filter(Node::is_element).for_each(|child| walk(child, depth + 1, out));
    }
    let document = Document::parse(text).unwrap();
    let mut out = String::new();
    walk(document.root_element(), 0, &mut out);
    out
}

fn golden(name: &str, built: &str) {
    assert_eq!(canonical(built), canonical(&fixture(&format!("request-{name}"))), "{name}: {built}");
}

fn request<'a>(class: &'a str, selectors: &'a [(&'a str, &'a str)]) -> Request<'a> {
    Request { class, selectors, message_id: 7 }
}

#[test]
fn requests_are_as_written_down() {
    golden("identify", &identify());
    golden("get", &request("AMT_GeneralSettings", &[]).get());
    let selectors = [("InstanceID", "Intel(r) AMT Ethernet Port Settings 0"), ("A\"<b", "x & y > 'z'")];
    golden("get-selected", &request("AMT_EthernetPortSettings", &selectors).get());
    golden("enumerate", &request("CIM_Chip", &[]).enumerate());
    golden("pull", &request("CIM_Chip", &[]).pull("14000000-0000-0000-0000-000000000000"));
    golden("release", &request("CIM_Chip", &[]).release("14000000-0000-0000-0000-000000000000"));
}

#[test]
fn an_instance_is_written_as_it_was_read_and_changed() {
    let mut instance = Instance { class: "AMT_BootSettingData".into(), fields: Vec::new() };
    for (name, value) in
        [("BIOSSetup", "true"), ("BIOSSetup", "again"), ("BootMediaIndex", "0"), ("SecureErase", "true")]
    {
        instance.fields.push((name.into(), value.into()));
    }
    instance.set("ElementName", "Intel(r) AMT Boot Configuration Settings");
    instance.set("RSEPassword", "");
    instance.set("UseSOL", true);
    instance.set("UseIDER", false);
    instance.set("BIOSSetup", false);
    instance.set("StartTime", Value::Datetime("2026-11-22T18:00:00Z".into()));
    instance.set("Period", Value::Interval("P0DT0H5M0S".into()));
    instance.remove("SecureErase");
    golden("put", &request("AMT_BootSettingData", &[]).put(&instance));
}

#[test]
fn methods_take_scalars_references_and_lists() {
    let system = [("CreationClassName", "CIM_ComputerSystem"), ("Name", "ManagedSystem")];
    let system = Reference::new("CIM_ComputerSystem", &system);
    let parameters = [("PowerState", 10.into()), ("ManagedElement", system.into())];
    golden("invoke-power", &request("CIM_PowerManagementService", &[]).invoke("RequestPowerStateChange", &parameters));
    let parameters = [("Item", "one".into()), ("Item", "<two> & \ttab\u{1}".to_owned().into()), ("Now", true.into())];
    golden("invoke-repeated", &request("AMT_X", &[]).invoke("Do", &parameters));
    golden("invoke-empty", &request("CIM_BootConfigSetting", &[]).invoke("ChangeBootOrder", &[]));
}

#[test]
fn an_instance_is_read_whatever_its_prefixes() {
    let power = instance(&reply("get-power")).unwrap();
    assert_eq!(power.class, "CIM_AssociatedPowerManagementService");
    assert_eq!(power.number::<u16>("PowerState"), Some(2));
    assert_eq!(power.list("AvailableRequestedPowerStates").collect::<Vec<_>>(), ["10", "8", "5", "11"]);
    let user = power.reference("UserOfService").unwrap();
    assert_eq!((user.class.as_str(), user.selector("Name")), ("CIM_ComputerSystem", Some("ManagedSystem")));
    assert_eq!(user.selector("name"), None);
    assert!(power.text("UserOfService").is_none() && power.datetime("UserOfService").is_none());

    let bios = instance(&reply("get-bios")).unwrap();
    assert_eq!(bios.text("Manufacturer"), Some("Intel Corp."));
    assert_eq!(bios.boolean("PrimaryBIOS"), Some(true));
    assert_eq!(bios.datetime("ReleaseDate"), Some("2020-08-10T00:00:00Z"));
    assert_eq!(bios.datetime("Uptime"), Some("P1DT2H3M4S"));
    assert!(bios.has("SerialNumber") && bios.text("SerialNumber").is_none());
    // Nil, and a structure of its own.
    assert!(!bios.has("OtherTargetOS") && !bios.has("Nested") && !bios.has("Inner"));
    assert_eq!(bios.number::<u8>("Version"), None);
    assert_eq!(bios.boolean("Version"), None);
    assert_eq!(bios.number::<u8>("Absent"), None);
}

#[test]
fn what_was_read_is_written_the_same() {
    for name in ["get-power", "get-bios"] {
        let read = instance(&reply(name)).unwrap();
        let written = request(&read.class, &[]).put(&read);
        assert_eq!(instance(written.as_bytes()).unwrap(), read);
    }
}

#[test]
fn pulls_may_be_partial_and_bring_children_of_the_class() {
    let begun = enumerated(&reply("enumerate")).unwrap();
    assert_eq!((begun.items.len(), begun.next.as_deref()), (0, Some("14000000-0000-0000-0000-000000000000")));
    let first = pulled(&reply("pull-partial")).unwrap();
    assert_eq!(first.next.as_deref(), Some("15000000-0000-0000-0000-000000000000"));
    let classes: Vec<_> = first.items.iter().map(|item| item.class.as_str()).collect();
    assert_eq!(classes, ["CIM_Chip", "CIM_PhysicalMemory"]);
    assert_eq!(first.items[0].text("Version"), Some("Intel(R) Core(TM) i5-8500T CPU @ 2.10GHz"));
    assert_eq!(first.items[1].number::<u64>("Capacity"), Some(8 << 30));
    assert_eq!(pulled(&reply("pull-last")).unwrap(), Pulled::default());
}

#[test]
fn sequences_may_be_optimized_wrapped_and_in_any_order() {
    let part = |response: &str, inside: &str| {
        let namespaces = format!("xmlns:n=\"{ENUMERATION}\" xmlns:w=\"{WSMAN}\"");
        format!("<E:Envelope xmlns:E=\"{SOAP}\"><E:Body><n:{response} {namespaces}>{inside}</n:{response}></E:Body></E:Envelope>")
            .into_bytes()
    };
    let item = "<x:CIM_Chip xmlns:x=\"u\"><x:Tag>CPU 0</x:Tag></x:CIM_Chip>";
    let wrapped = format!("<w:Item>{item}<EndpointReference/></w:Item>");
    for (inside, count, next) in [
        (format!("<w:Items>{item}</w:Items><w:EndOfSequence/><n:EnumerationContext/>"), 1, None),
        (
            format!("<n:EnumerationContext>any &lt;text&gt;</n:EnumerationContext><w:Items>{wrapped}</w:Items>"),
            1,
            Some("any <text>"),
        ),
        (
            format!(
                "<n:EndOfSequence/><n:EnumerationContext>7</n:EnumerationContext><n:Items>{wrapped}{item}</n:Items>"
            ),
            2,
            None,
        ),
        (format!("<n:Items>{item}</n:Items><n:Items>{item}</n:Items>"), 2, None),
        ("<n:Items/>".into(), 0, None),
    ] {
        for (response, read) in [("EnumerateResponse", enumerated as fn(&[u8]) -> _), ("PullResponse", pulled)] {
            let Pulled { items, next: found } = read(&part(response, &inside)).unwrap();
            assert_eq!((items.len(), found.as_deref()), (count, next), "{inside}");
            assert!(items.iter().all(|item| item.text("Tag") == Some("CPU 0")), "{items:?}");
        }
    }
}

#[test]
fn methods_return_numbers_and_values() {
    let power = output(&reply("invoke-power"), "RequestPowerStateChange").unwrap();
    assert_eq!(power.return_value, 2);
    let words = status_codes::return_value("CIM_PowerManagementService", power.return_value);
    assert_eq!(words, "not possible in the present state (ReturnValue 2)");
    assert_eq!(status_codes::return_value("AMT_MessageLog", 2), "not ready (ReturnValue 2)");
    let records = output(&reply("invoke-records"), "GetRecords").unwrap();
    assert_eq!((records.return_value, records.values.list("RecordArray").count()), (0, 2));
    assert_eq!(records.values.boolean("NoMoreRecords"), Some(true));
    // The output of another method.
    assert_eq!(output(&reply("invoke-power"), "PowerState"), Err(ReplyError::Lacks("the output of the method")));
}

#[test]
fn identify_is_read_without_prefixes() {
    let identity = identity(&reply("identify")).unwrap();
    assert_eq!((identity.vendor.as_deref(), identity.version.as_deref()), (Some("Intel(r)"), Some("AMT 16.1.25")));
}

#[test]
fn faults_are_told_in_words() {
    let read = instance(&reply("fault-absent")).unwrap_err();
    let ReplyError::Fault(absent) = &read else { panic!("{read:?}") };
    assert!(absent.code.is_absence());
    assert_eq!(
        read.to_string(),
        "this firmware does not have the class (DestinationUnreachable) (the machine says: No route can be determined to \
         reach the destination role defined by the WSAddressing To.)"
    );
    assert_eq!(fault(&reply("fault-absent")).as_ref(), Some(absent));
    for other in ["get-power", "identify", "pull-last"] {
        assert_eq!(fault(&reply(other)), None);
    }
    assert_eq!(fault(b"<html>Bad Request</html>"), None);
    let with = |inside: &str| {
        fault(
            format!("<E:Envelope xmlns:E=\"{SOAP}\"><E:Body><E:Fault>{inside}</E:Fault></E:Body></E:Envelope>")
                .as_bytes(),
        )
        .unwrap()
    };
    let code = |name: &str| with(&format!("<E:Code><E:Value>E:Receiver</E:Value>{name}</E:Code>")).code;
    let sub = |name: &str| code(&format!("<E:Subcode><E:Value> {name}\n</E:Value></E:Subcode>"));
    assert_eq!(sub("x:AccessDenied"), FaultCode::AccessDenied);
    assert_eq!(sub("TimedOut"), FaultCode::TimedOut);
    assert_eq!(sub("w:Never:Seen<!-- -->"), FaultCode::Other("Seen".into()));
    assert_eq!(code(""), FaultCode::Other("Receiver".into()));
    assert_eq!(with("").to_string(), "the machine answers with a fault without a code");
    let long = with(&format!("<E:Reason><E:Text>{}&#13;&#10;injected</E:Text></E:Reason>", "x".repeat(190)));
    assert_eq!(long.reason, format!("{}injected", "x".repeat(190)));
    let too_long = with(&format!("<E:Reason><E:Text>{}</E:Text></E:Reason>", "\u{20ac}".repeat(5000)));
    assert_eq!(too_long.reason.chars().count(), REASON_CHARACTERS_MAX);
}

#[test]
fn replies_to_something_else_are_no_replies() {
    let get = reply("get-power");
    assert!(matches!(enumerated(&get), Err(ReplyError::Lacks(_))));
    assert!(matches!(pulled(&get), Err(ReplyError::Lacks(_))));
    assert!(matches!(output(&get, "RequestPowerStateChange"), Err(ReplyError::Lacks(_))));
    assert!(matches!(identity(&get), Err(ReplyError::Lacks(_))));
    let body =
        |inside: &str| format!("<E:Envelope xmlns:E=\"{SOAP}\"><E:Body>{inside}</E:Body></E:Envelope>").into_bytes();
    assert_eq!(instance(&body(" ")), Err(ReplyError::Lacks("an instance")));
    assert_eq!(done(&body("")), Ok(()));
    assert!(matches!(output(&body("<x_OUTPUT/>"), "x"), Err(ReplyError::Lacks("a ReturnValue"))));
    // With values it may go without saying, but for an order.
    let said = |method: &str| output(&body(&format!("<{method}_OUTPUT><UUID>u</UUID></{method}_OUTPUT>")), method);
    assert_eq!(said("GetUuid").unwrap().return_value, 0);
    assert!(matches!(said("RequestPowerStateChange"), Err(ReplyError::Lacks("a ReturnValue"))));
    assert!(matches!(
        output(&body("<x_OUTPUT><ReturnValue>-1</ReturnValue></x_OUTPUT>"), "x"),
        Err(ReplyError::Lacks(_))
    ));
    let response = |inside: &str| body(&format!("<n:PullResponse xmlns:n=\"{ENUMERATION}\">{inside}</n:PullResponse>"));
    assert!(matches!(pulled(&response("")), Err(ReplyError::Lacks(_))));
    assert!(matches!(pulled(&response("<n:EnumerationContext> </n:EnumerationContext>")), Err(ReplyError::Lacks(_))));
    assert_eq!(pulled(&response("<n:EndOfSequence/>")), Ok(Pulled::default()));
    // SOAP 1.1, other namespaces, no SOAP.
    let old = String::from_utf8(get).unwrap().replace("2003/05/soap-envelope", "2001/06/soap-envelope");
    assert_eq!(instance(old.as_bytes()), Err(ReplyError::Lacks("a SOAP envelope")));
    assert_eq!(instance(b"<Envelope><Body><x/></Body></Envelope>"), Err(ReplyError::Lacks("a SOAP envelope")));
    assert_eq!(instance(format!("<Envelope xmlns=\"{SOAP}\"/>").as_bytes()), Err(ReplyError::Lacks("a SOAP body")));
    assert!(matches!(instance(b"not xml"), Err(ReplyError::Xml(XmlError::Malformed(_)))));
}
