//! Lists of outlets, as strips have sent them and as they must not.

use proptest::prelude::*;
use serde_json::json;

use super::*;

fn outlet(id: &str, position: u64) -> DeviceInfo {
    DeviceInfo::read(&json!({ "device_id": id, "position": position, "device_on": true }))
}

#[test]
fn each_position_and_each_id_stands_in_a_list_once() {
    let whole = [outlet("8022C", 3), outlet("8022A", 1), outlet("8022B", 2)];
    assert_eq!(check_list(&whole, 3), Ok(()));
    let words = |outlets: &[DeviceInfo], count| check_list(outlets, count).unwrap_err().text;
    // A list without its first outlet, whose count says that it is whole.
    assert!(words(&[outlet("8022B", 2), outlet("8022C", 3)], 2).contains("the positions 2, 3, and says that it has 2"));
    // A list with one outlet on two pages.
    assert!(words(&[outlet("8022A", 1), outlet("8022B", 2), outlet("8022B", 2)], 3).contains("two outlets at one"));
    // One that ends early.
    assert!(words(&whole[1..], 3).contains("the positions 1, 2, and says that it has 3"));
    assert!(words(&whole, 1_000_000).contains("it has 1000000 outlets"));
}

proptest! {
    #[test]
    fn only_a_list_of_all_positions_is_taken(positions in prop::collection::vec(0u64..6, 1..6), count in 0u64..7) {
        let outlets: Vec<DeviceInfo> =
            positions.iter().enumerate().map(|(index, position)| outlet(&index.to_string(), *position)).collect();
        let mut sorted = positions.clone();
        sorted.sort_unstable();
        prop_assert_eq!(check_list(&outlets, count).is_ok(), sorted.iter().copied().eq(1..=count));
    }
}
