//! Whole machines, filler, absurd values, and whatever else may stand in a field.

use proptest::prelude::*;

use super::*;
use crate::driver::amt::xml;

/// The instances of a fixture, as the connection reads them.
pub(in crate::driver::amt) fn machine(name: &str) -> Vec<Instance> {
    let text = fixture(name);
    let read =
        |root: roxmltree::Node<'_, '_>| root.children().filter(|node| node.is_element()).map(Instance::read).collect();
    xml::parse(text.as_bytes(), read).unwrap()
}

pub(in crate::driver::amt) fn fixture(name: &str) -> String {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/fixtures/amt/machine-{name}.xml"));
    std::fs::read_to_string(path).unwrap()
}

fn text(text: &str) -> Option<String> {
    Some(text.to_owned())
}

fn instance(class: &str, fields: &[(&str, &str)]) -> Instance {
    let field = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).into());
    Instance { class: class.into(), fields: fields.iter().map(field).collect() }
}

/// What the fixture `lenovo-12` holds.
pub(in crate::driver::amt) fn lenovo() -> Inventory {
    let module = |bank: &str, maker: &str, part: &str, serial: &str| MemoryModule {
        locator: text(bank),
        capacity_mib: Some(8192),
        kind: text("DDR4"),
        module: text("SO_DIMM"),
        speed_mhz: Some(2666),
        manufacturer: text(maker),
        part_number: text(part),
        serial: text(serial),
    };
    Inventory {
        manufacturer: text("LENOVO"),
        model: text("10RRS01V00"),
        serial: text("PC0ABCDE"),
        uuid: Some("55e3ae13-bfd2-61bb-17a0-88aedd7037ea".parse().unwrap()),
        host_name: text("tiny-7"),
        bios_version: text("M1UKT4BA"),
        processors: vec![Processor {
            model: text("Intel(R) Core(TM) i5-8500T CPU @ 2.10GHz"),
            manufacturer: text("Intel(R) Corporation"),
            architecture: Some(Architecture::X86_64),
            socket: text("CPU 0"),
            ..Processor::default()
        }],
        memory_gib: Some(16.0),
        memory: vec![
            module("BANK 0", "Samsung", "M471A1K43CB1-CTD", "03A1B2C3"),
            module("BANK 2", "Crucial", "CT8G4SFS8266.C8FE", "E1234567"),
        ],
        drives: vec![Drive {
            name: "MEDIA DEV 0".into(),
            capacity_bytes: Some(256_060_514_000),
            model: text("SAMSUNG MZVLB256HAHQ-000L7"),
            serial: text("S41GNX0M000001"),
            ..Drive::default()
        }],
        nics: vec![MacAddress([0, 0, 0x5e, 0, 0x53, 1])],
    }
}

#[test]
fn a_machine_that_says_everything() {
    let found = machine("lenovo-12");
    assert_eq!(assemble(&found), lenovo());
    assert!(!is_wanted("CIM_Card", &found));
    assert!(!is_wanted("CIM_BIOSFeature", &found));
    assert!(is_wanted("CIM_PhysicalPackage", &found));
}

#[test]
fn a_machine_whose_maker_left_the_chassis_unnamed() {
    let module = |bank: &str, gib: u64, maker: &str, part: &str, serial: &str| MemoryModule {
        locator: text(bank),
        capacity_mib: Some(gib * 1024),
        kind: text("DDR4"),
        module: text("SO_DIMM"),
        speed_mhz: Some(3200),
        manufacturer: text(maker),
        part_number: text(part),
        serial: text(serial),
    };
    // Two drives and one name: it is not known whose it is.
    let drive = |name: &str, bytes| Drive { name: name.into(), capacity_bytes: Some(bytes), ..Drive::default() };
    let expected = Inventory {
        manufacturer: text("Intel Corporation"),
        model: text("NUC12WSBv5"),
        serial: text("BTWS000000AB"),
        uuid: Some("33221100-5544-7766-8899-aabbccddeeff".parse().unwrap()),
        host_name: None,
        bios_version: text("WSADL357.0088.2023.0505.1623"),
        // The second one is disabled by the BIOS.
        processors: vec![Processor {
            model: text("12th Gen Intel(R) Core(TM) i7-1270P"),
            manufacturer: text("Intel(R) Corporation"),
            architecture: Some(Architecture::X86_64),
            socket: text("CPU 0"),
            ..Processor::default()
        }],
        memory_gib: Some(48.0),
        memory: vec![
            module("BANK 0", 16, "Hynix", "HMAA2GS6CJR8N-XN", "40A1B2C3"),
            module("BANK 1", 32, "Kingston", "KF3200C20S4/32GX", "7D000001"),
        ],
        drives: vec![drive("MEDIA DEV 0", 500_107_862_000), drive("MEDIA DEV 1", 1_000_204_886_000)],
        nics: vec![MacAddress([0, 0, 0x5e, 0, 0x53, 0x11]), MacAddress([0, 0, 0x5e, 0, 0x53, 0x12])],
    };
    let found = machine("nuc-16");
    assert_eq!(assemble(&found), expected);
    let chassis: Vec<Instance> = found.into_iter().filter(|one| one.class == "CIM_Chassis").collect();
    assert!(is_wanted("CIM_Card", &chassis));
    assert!(!is_wanted("CIM_PhysicalPackage", &chassis));
}

#[test]
fn the_bios_names_what_neither_chassis_nor_board_does() {
    let chassis = instance("CIM_Chassis", &[("Manufacturer", "Acme"), ("Model", "System Product Name")]);
    let card = instance("CIM_Card", &[("Model", "Default string"), ("SerialNumber", "B-1")]);
    let bios = [("Vendor", "Other"), ("ProductName", "Box 9"), ("IdentifyingNumber", "S-1")];
    let found = [chassis, card, instance("CIM_BIOSFeature", &bios)];
    assert!(is_wanted("CIM_BIOSFeature", &found[..2]));
    let inventory = assemble(&found);
    let names = (inventory.manufacturer, inventory.model, inventory.serial);
    assert_eq!(names, (text("Acme"), text("Box 9"), text("B-1")));
    assert_eq!(assemble(&[]), Inventory::default());
}

#[test]
fn filler_says_nothing() {
    let of = |model: &str| assemble(&[instance("CIM_Chassis", &[("Model", model)])]).model;
    for filler in FILLERS {
        assert_eq!(filler.to_lowercase(), **filler);
        assert_eq!(of(&format!("  {} ", filler.to_uppercase())), None, "{filler}");
    }
    for filler in ["", "   ", "0", "00000000", "FFFFFFFF", "xxxxxxxx", "........", "\u{7}\u{1}"] {
        assert_eq!(of(filler), None, "{filler:?}");
    }
    for (model, shown) in [("F0", "F0"), ("None of it", "None of it"), (" X1\u{0} ", "X1"), ("é", "é")] {
        assert_eq!(of(model), text(shown));
    }
    assert_eq!(of(&"é".repeat(1000)).unwrap().chars().count(), TEXT_CHARACTERS_MAX);
}

#[test]
fn modules_of_absurd_size_spoil_the_sum_and_nothing_else() {
    let module =
        |bytes: &str| instance("CIM_PhysicalMemory", &[("Capacity", bytes), ("MemoryType", "99"), ("FormFactor", "9")]);
    let sizes = |found: &[Instance]| {
        let inventory = assemble(found);
        let sizes: Vec<_> = inventory.memory.iter().map(|module| module.capacity_mib).collect();
        (sizes, inventory.memory_gib)
    };
    assert_eq!(sizes(&[module("536870912"), module("0"), module("")]), (vec![Some(512)], Some(0.5)));
    for absurd in ["18446744073709551615", "18446744073709551616", "-1", "many", "32767", "99999999999999999"] {
        assert_eq!(sizes(&[module("536870912"), module(absurd)]), (vec![Some(512), None], None), "{absurd}");
    }
    let [module] = &assemble(&[module("536870912")]).memory[..] else { panic!("one module") };
    assert_eq!((&module.kind, &module.module), (&None, &None));
}

#[test]
fn memory_is_named_as_the_schema_does() {
    let of = |fields: &[(&str, &str)]| assemble(&[instance("CIM_PhysicalMemory", fields)]).memory.remove(0);
    let kinds = [("24", "DDR3"), ("26", "DDR4"), ("29", "LPDDR3_SDRAM"), ("30", "LPDDR4_SDRAM"), ("34", "DDR5")];
    for (number, name) in kinds.into_iter().chain([("35", "LPDDR5_SDRAM")]) {
        assert_eq!(of(&[("Capacity", "1073741824"), ("MemoryType", number)]).kind, text(name));
    }
    let makers = [
        ("80CE", "Samsung"),
        ("80ad", "Hynix"),
        ("859B0000859B", "Crucial"),
        ("04CB", "04CB"),
        ("Cafe Ltd", "Cafe Ltd"),
    ];
    for (code, name) in makers {
        assert_eq!(of(&[("Capacity", "1073741824"), ("Manufacturer", code)]).manufacturer, text(name));
    }
    let speed = |configured, known, rated| {
        let speeds = [("ConfiguredMemoryClockSpeed", configured), ("IsSpeedInMhz", known), ("MaxMemorySpeed", rated)];
        of(&[&[("Capacity", "1073741824"), ("Speed", "1")][..], &speeds].concat()).speed_mhz
    };
    assert_eq!(speed("2666", "true", "3200"), Some(2666));
    assert_eq!(speed("0", "true", "3200"), Some(3200));
    assert_eq!(speed("65535", "false", "3200"), None);
}

#[test]
fn drives_get_their_names_by_their_numbers() {
    let media = |id: &str| instance("CIM_MediaAccessDevice", &[("DeviceID", id), ("MaxMediaSize", "1000")]);
    let package = |kind: &str, tag: &str, model: &str| {
        instance("CIM_PhysicalPackage", &[("PackageType", kind), ("Tag", tag), ("Model", model)])
    };
    let found = [
        media("MEDIA DEV 10"),
        media("MEDIA DEV 2"),
        package("15", "Storage Media Package 10", "ten"),
        package("9", "CIM_Card", "board"),
        package("15", "Storage Media Package 2", "two"),
    ];
    let names = |found: &[Instance]| -> Vec<_> {
        assemble(found).drives.into_iter().map(|drive| (drive.name, drive.model)).collect()
    };
    assert_eq!(names(&found), [("MEDIA DEV 2".into(), text("two")), ("MEDIA DEV 10".into(), text("ten"))]);
    assert_eq!(names(&found[1..]), [("MEDIA DEV 2".into(), None)]);
    let absurd = instance("CIM_MediaAccessDevice", &[("MaxMediaSize", "18446744073709551615")]);
    assert_eq!(assemble(&[absurd]).drives, [Drive { name: "Drive 0".into(), ..Drive::default() }]);
}

#[test]
fn no_more_parts_than_a_machine_can_have() {
    let module = instance("CIM_PhysicalMemory", &[("Capacity", "1073741824")]);
    assert_eq!(assemble(&vec![module; 2000]).memory.len(), PARTS_MAX);
}

#[test]
fn other_odd_values_are_left_out() {
    let uuid = |guid| assemble(&[instance("CIM_ComputerSystemPackage", &[("PlatformGUID", guid)])]).uuid;
    for guid in ["", "0", "00000000000000000000000000000000", "FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF", "13AEE355"] {
        assert_eq!(uuid(guid), None, "{guid}");
    }
    let nics = |mac| assemble(&[instance("AMT_EthernetPortSettings", &[("MACAddress", mac)])]).nics;
    for mac in ["", "00-00-00-00-00-00", "ff-ff-ff-ff-ff-ff", "01-00-5e-00-00-01", "00-be-43-d8-22"] {
        assert_eq!(nics(mac), [], "{mac}");
    }
    let host = |name| assemble(&[instance("AMT_GeneralSettings", &[("HostName", name)])]).host_name;
    for (said, shown) in
        [("", None), (".", None), ("pc 1", None), ("pc1.example.org", Some("pc1")), ("pc1.", Some("pc1"))]
    {
        assert_eq!(host(said).as_deref(), shown, "{said}");
    }
    for (status, count) in [("0", 0), ("2", 0), ("3", 0), ("1", 1), ("4", 1), ("x", 1), ("", 1)] {
        let found = assemble(&[instance("CIM_Processor", &[("CPUStatus", status)])]).processors;
        assert_eq!(found.len(), count, "{status}");
    }
    assert_eq!(assemble(&[instance("CIM_Processor", &[("DeviceID", "CPU 0")])]).processors.len(), 1);
    // A module without a size is there all the same, and the sum is unknown then.
    let module = assemble(&[instance("CIM_PhysicalMemory", &[("PartNumber", "P1")])]);
    assert_eq!((module.memory.len(), module.memory_gib), (1, None));
}

fn any_instance() -> impl Strategy<Value = Instance> {
    let classes = [
        "AMT_GeneralSettings",
        "CIM_Chassis",
        "CIM_Card",
        "CIM_BIOSFeature",
        "CIM_BIOSElement",
        "CIM_ComputerSystemPackage",
        "CIM_Processor",
        "CIM_Chip",
        "CIM_PhysicalMemory",
        "CIM_MediaAccessDevice",
        "CIM_PhysicalPackage",
        "AMT_EthernetPortSettings",
    ];
    let names = [
        "HostName",
        "Manufacturer",
        "Model",
        "SerialNumber",
        "Version",
        "PlatformGUID",
        "CPUStatus",
        "DeviceID",
        "Tag",
        "Capacity",
        "MemoryType",
        "FormFactor",
        "IsSpeedInMhz",
        "MaxMemorySpeed",
        "MaxMediaSize",
        "PackageType",
        "MACAddress",
        "InstanceID",
    ];
    let value = prop_oneof![
        ".{0,40}",
        "[0-9]{1,21}",
        "[0-9a-fA-F]{32}",
        "([0-9a-f]{2}-){5}[0-9a-f]{2}",
        "[A-Z ]{1,9} [0-9]{1,11}",
        "[1-4]"
    ];
    let field =
        (proptest::sample::select(names.to_vec()), value).prop_map(|(name, value)| (name.to_owned(), value.into()));
    (proptest::sample::select(classes.to_vec()), proptest::collection::vec(field, 0..8))
        .prop_map(|(class, fields)| Instance { class: class.into(), fields })
}

proptest! {
    #[test]
    fn whatever_a_machine_says_the_inventory_is_sane(found in proptest::collection::vec(any_instance(), 0..12)) {
        let inventory = assemble(&found);
        let texts = [&inventory.manufacturer, &inventory.model, &inventory.serial, &inventory.bios_version, &inventory.host_name];
        for text in texts.into_iter().flatten() {
            prop_assert!(!text.is_empty() && text.trim() == text && text.chars().count() <= TEXT_CHARACTERS_MAX);
            prop_assert!(!text.chars().any(char::is_control));
        }
        prop_assert!(inventory.nics.iter().all(|mac| mac.0 != [0; 6]));
        prop_assert!(inventory.memory_gib.is_none_or(|gib| gib.is_finite() && gib > 0.0));
        prop_assert!(inventory.memory.iter().all(|module| module.capacity_mib.is_none_or(|mib| (1..=1 << 22).contains(&mib))));
        prop_assert!(!inventory.uuid.is_some_and(|uuid| uuid.is_nil() || uuid.is_max()));
    }
}
