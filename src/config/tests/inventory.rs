//! The keys of `inventory`.

use super::*;
use crate::node::{Architecture, Drive, Processor};

const NODE: &str = "nodes:\n- id: a\n  tapo: { address: h, username: u, password: p }\n  inventory:";

#[track_caller]
fn check_inventory(inventory: &str, expect: &[&str]) {
    let expect: Vec<String> = expect.iter().map(|expect| format!("4: nodes[0].inventory{expect}")).collect();
    let expect: Vec<&str> = expect.iter().map(String::as_str).collect();
    check(&format!("{NODE} {inventory}"), &expect);
}

fn inventory(inventory: &str) -> Inventory {
    config(&format!("{NODE} {inventory}")).nodes[0].inventory.as_ref().clone()
}

#[test]
fn what_is_said_is_kept() {
    let all = inventory(
        "
    manufacturer: Dell
    model: OptiPlex 3060
    serial: '0123'
    uuid: 4C4C4544-0042-3510-8052-b4c04f4e3332
    memory_gib: 7.5
    processors:
      - { model: i5, manufacturer: Intel, cores: 6, threads: 12, architecture: x86_64, max_speed_mhz: 3500, count: 2 }
      - { architecture: arm64 }
    drives:
      - { name: sda, capacity_gb: 0.5, media: HDD, protocol: SATA, model: m, serial: s }
      - { name: sdb }
",
    );
    let i5 = Processor {
        model: Some("i5".into()),
        manufacturer: Some("Intel".into()),
        cores: Some(6),
        threads: Some(12),
        architecture: Some(Architecture::X86_64),
        max_speed_mhz: Some(3500),
        socket: None,
    };
    let arm = Processor { architecture: Some(Architecture::ArmA64), ..Processor::default() };
    let sda = Drive {
        name: "sda".into(),
        capacity_bytes: Some(500_000_000),
        media: Some("HDD".into()),
        protocol: Some("SATA".into()),
        model: Some("m".into()),
        serial: Some("s".into()),
    };
    assert_eq!(
        all,
        Inventory {
            manufacturer: Some("Dell".into()),
            model: Some("OptiPlex 3060".into()),
            serial: Some("0123".into()),
            uuid: Some("4c4c4544-0042-3510-8052-b4c04f4e3332".parse().unwrap()),
            processors: vec![i5.clone(), i5, arm],
            memory_gib: Some(7.5),
            drives: vec![sda, Drive { name: "sdb".into(), ..Drive::default() }],
            ..Inventory::default()
        }
    );
    assert_eq!(inventory("{}"), Inventory::default());
}

#[test]
fn architectures_have_many_names() {
    for (name, architecture) in [
        ("x86-64", Architecture::X86_64),
        ("amd64", Architecture::X86_64),
        ("x64", Architecture::X86_64),
        ("aarch64", Architecture::ArmA64),
        ("ARM-A64", Architecture::ArmA64),
    ] {
        let processors = inventory(&format!("{{ processors: [{{ architecture: {name} }}] }}")).processors;
        assert_eq!(processors[0].architecture, Some(architecture), "{name}");
    }
}

#[test]
fn what_cannot_be_is_told_of() {
    let long = "x".repeat(257);
    for (inventory, expect) in [
        ("{ memory_gib: 0 }", ".memory_gib: must be above 0 and at most 131072"),
        ("{ memory_gib: -1.5 }", ".memory_gib: must be above 0 and at most 131072"),
        ("{ memory_gib: .nan }", ".memory_gib: must be above 0 and at most 131072"),
        ("{ memory_gib: 131073 }", ".memory_gib: must be above 0 and at most 131072"),
        ("{ memory_gib: 99999999999999999999999 }", ".memory_gib: must be above 0 and at most 131072"),
        ("{ memory_gib: 16 GiB }", ".memory_gib: must be a number, not text"),
        ("{ serial: 123 }", ".serial: must be text, not a number: put it in quotes"),
        ("{ serial: ' ' }", ".serial: must not be empty"),
        ("{ model: [a] }", ".model: must be text, not a list"),
        (&format!("{{ model: {long} }}"), ".model: has 257 characters, at most 256 are possible"),
        ("{ memory: 5 }", ".memory: unknown key, did you mean \"memory_gib\"?"),
        ("{ processors: [{ cores: 0 }] }", ".processors[0].cores: must be a whole number from 1 to 1024, not 0"),
        ("{ processors: [{ count: 65 }] }", ".processors[0].count: must be a whole number from 1 to 64, not 65"),
        ("{ processors: [{ count: 40 }, { count: 40 }] }", ".processors: has 80 processors, at most 64 are possible"),
        (
            "{ processors: [{ architecture: X86-64 }] }",
            ".processors[0].architecture: \"X86-64\" is not known here, did you mean \"x86-64\"?",
        ),
        (
            "{ processors: [{ architecture: sparc }] }",
            ".processors[0].architecture: \"sparc\" is not known here; it must be x86-64, x86_64, amd64, x64, arm64, \
             aarch64 or ARM-A64",
        ),
        ("{ processors: { cores: 1 } }", ".processors: must be a list, not a group of keys"),
        (
            "{ drives: [{ model: a }] }",
            ".drives[0].name: is missing; it must be the name of the drive, such as nvme0n1",
        ),
        (
            "{ drives: [{ name: a, capacity_gb: 1000001 }] }",
            ".drives[0].capacity_gb: must be above 0 and at most 1000000",
        ),
        ("{ drives: [{ name: a, media: ssd }] }", ".drives[0].media: \"ssd\" is not known here, did you mean \"SSD\"?"),
        (
            "{ drives: [{ name: a, protocol: IDE }] }",
            ".drives[0].protocol: \"IDE\" is not known here; it must be NVMe, SATA, SAS, USB or eMMC",
        ),
    ] {
        check_inventory(inventory, &[expect]);
    }
    for uuid in ["x", "00000000-0000-0000-0000-000000000000", "4c4c4544004235108052b4c04f4e3332"] {
        check_inventory(
            &format!("{{ uuid: '{uuid}' }}"),
            &[&format!(".uuid: {uuid:?} is not the UUID of a machine, such as 4c4c4544-0042-3510-8052-b4c04f4e3332")],
        );
    }
}

#[test]
fn two_machines_do_not_have_one_uuid() {
    let uuid = "4c4c4544-0042-3510-8052-b4c04f4e3332";
    check(
        &format!(
            "defaults: {{ tapo: {{ username: u, password: p }} }}\nnodes:\n- {{ id: a, tapo: {{ address: h1 }}, inventory: {{ \
             uuid: {uuid} }} }}\n- {{ id: b, tapo: {{ address: h2 }}, inventory: {{ uuid: {} }} }}",
            uuid.to_uppercase()
        ),
        &[&format!("4: nodes[1].inventory.uuid: {uuid} is already the UUID of nodes[0] (line 3)")],
    );
}
