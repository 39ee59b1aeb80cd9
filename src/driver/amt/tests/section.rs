//! The section of an AMT machine in nodes.yaml.

use secrecy::ExposeSecret;

use super::*;
use crate::driver::amt::AmtDriver;
use crate::driver::tests::read;

#[track_caller]
fn machine_of(login: &str, section: &str) -> AmtConfig {
    let device = read(&AmtDriver, login, &[section]).unwrap().remove(0);
    device.get::<AmtConfig>().unwrap().clone()
}

#[test]
fn a_machine_is_read_with_its_login_and_its_trust() {
    let pin = "0a".repeat(32);
    for (more, tls, username) in [
        ("", Tls::Off, "admin"),
        (", tls: off", Tls::Off, "admin"),
        (", tls: verify", Tls::Verify, "admin"),
        (", tls: insecure, username: u", Tls::Insecure, "u"),
        (&format!(", tls: {{ pin: 'sha256:{pin}' }}"), Tls::Pin([10; 32]), "admin"),
    ] {
        let machine = machine_of("{ password: secret }", &format!("{{ address: 'h:1'{more} }}"));
        assert_eq!((machine.host.as_str(), machine.port, machine.tls), ("h", Some(1), tls));
        assert_eq!((machine.username.as_str(), machine.password.expose_secret()), (username, "secret"));
        assert!(!format!("{machine:?}").contains("secret"));
    }
    assert_eq!(machine_of("{ username: me, password: p }", "{ address: h }").username, "me");
}

#[test]
fn one_machine_has_one_node_on_both_ports() {
    let two = |one: &str, other: &str| read(&AmtDriver, "{ password: p }", &[one, other]).err();
    let told = Some(vec!["address: this machine is already nodes[0]; one machine has one node".to_owned()]);
    assert_eq!(two("{ address: h }", "{ address: h }"), told);
    assert_eq!(two("{ address: h }", "{ address: 'h:16993' }"), told);
    assert_eq!(two("{ address: h }", "{ address: 'h:1' }"), None);
}
