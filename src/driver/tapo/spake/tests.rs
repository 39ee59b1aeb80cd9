//! RFC 9383's own vector, the vector of the protocol page, and points that must be refused.

use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::driver::tapo::tests::vectors;

fn unhex(text: &str) -> Vec<u8> {
    hex::decode(text).unwrap()
}

fn secrets(w0: &str, w1: &str) -> Secrets {
    Secrets { w0: Zeroizing::new(scalar(&unhex(w0))), w1: Zeroizing::new(scalar(&unhex(w1))) }
}

#[test]
fn the_vector_of_rfc_9383() {
    let secrets = secrets(
        "bb8e1bbcf3c48f62c08db243652ae55d3e5586053fca77102994f23ad95491b3",
        "7e945f34d78785b8a3ef44d0df5a1a97d6b3b460409a345ca7830387a74b1dba",
    );
    let x = scalar(&unhex("d1232c8e8693d02368976c174e2088851b8365d0d79a9eee709c6a05a2fad539"));
    let theirs = unhex(
        "04c0f65da0d11927bdf5d560c69e1d7d939a05b0e88291887d679fcadea75810fb5cc1ca7494db39e82ff2f50665255d76173e09986ab46742c798a9a68437b048",
    );
    let context = b"SPAKE2+-P256-SHA256-HKDF-SHA256-HMAC-SHA256 Test Vectors";
    let proved = prove(&secrets, context, [b"client", b"server"], &x, &theirs).unwrap();
    assert_eq!(
        hex::encode(proved.shared.as_slice()),
        "0c5f8ccd1413423a54f6c1fb26ff01534a87f893779c6e68666d772bfd91f3e7"
    );
    assert_eq!(hex::encode(proved.confirm), "926cc713504b9b4d76c9162ded04b5493e89109f6d89462cd33adc46fda27527");
    let confirm = unhex("9747bcc4f8fe9f63defee53ac9b07876d907d55047e6ff2def2e7529089d3e68");
    assert!(proved.confirmed_by(&confirm));
    assert!(!proved.confirmed_by(&confirm[..31]) && !proved.confirmed_by(&proved.confirm));
}

#[test]
fn the_vector_of_tpap() {
    let vector = &vectors()["tpap"];
    let text = |name: &str| vector[name].as_str().unwrap();
    use base64::Engine;
    let b64 = |name: &str| base64::engine::general_purpose::STANDARD.decode(text(name)).unwrap();
    let rounds = u32::try_from(vector["iterations"].as_u64().unwrap()).unwrap();
    let secrets = Secrets::derive(text("credential").as_bytes(), &b64("dev_salt_b64"), rounds);
    assert_eq!(hex::encode(secrets.w0.to_bytes()), text("w0"));
    assert_eq!(hex::encode(secrets.w1.to_bytes()), text("w1"));
    let context = sha256(&[b"PAKE V1", &b64("user_random_b64"), &b64("dev_random_b64")]);
    assert_eq!(hex::encode(context), text("context"));
    let x = scalar(&unhex(text("x")));
    let proved = prove(&secrets, &context, [b"", b""], &x, &unhex(text("dev_share"))).unwrap();
    assert_eq!(hex::encode(proved.share), text("user_share"));
    assert_eq!(hex::encode(proved.confirm), text("user_confirm"));
    assert_eq!(hex::encode(proved.expected), text("dev_confirm"));
    assert_eq!(hex::encode(proved.shared.as_slice()), text("shared_key"));
    // The steps in between, by the plug's half of the vector.
    let share = bytes_of(&(ProjectivePoint::GENERATOR * scalar(&unhex(text("y"))) + point(&N).unwrap() * *secrets.w0));
    assert_eq!(hex::encode(share), text("dev_share"));
}

#[test]
fn numbers_are_reduced_by_the_order() {
    let order = unhex("ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551");
    assert_eq!(scalar(&order), Scalar::ZERO);
    assert_eq!(scalar(&[order, vec![5]].concat()), Scalar::from(5_u64));
    assert_eq!(scalar(&[]), Scalar::ZERO);
}

#[test]
fn points_that_give_the_secret_away_are_refused() {
    let vector: &Value = &vectors()["tpap"];
    let secrets = secrets(vector["w0"].as_str().unwrap(), vector["w1"].as_str().unwrap());
    let x = Scalar::from(7_u64);
    let prove = |theirs: &[u8]| prove(&secrets, b"", [b"", b""], &x, theirs).is_some();
    // The identity; w0*N, which unmasks to the identity; a point beside the curve; a bad tag.
    let masked = bytes_of(&(point(&N).unwrap() * *secrets.w0));
    let mut beside = bytes_of(&ProjectivePoint::GENERATOR);
    assert!(prove(&beside));
    assert!(!prove(&[0]) && !prove(&masked) && !prove(&[]));
    beside[64] ^= 1;
    assert!(!prove(&beside));
    beside[64] ^= 1;
    beside[0] = 5;
    assert!(!prove(&beside));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn garbage_never_panics(theirs in proptest::collection::vec(any::<u8>(), 0..70)) {
        let secrets = Secrets { w0: Zeroizing::new(Scalar::from(2_u64)), w1: Zeroizing::new(Scalar::from(3_u64)) };
        let _ = prove(&secrets, b"", [b"", b""], &Scalar::from(7_u64), &theirs);
        let mut tagged = theirs;
        tagged.resize(65, 1);
        tagged[0] = 4;
        prop_assert!(prove(&secrets, b"", [b"", b""], &Scalar::from(7_u64), &tagged).is_none());
    }
}
