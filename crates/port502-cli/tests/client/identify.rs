use super::support::{Does, answer, device, port502};

/// 43/14: the basic objects; function 17; nothing else.
fn basic(request: &[u8]) -> Does {
    match &request[7..] {
        [0x2B, 0x0E, 1, 0] => answer(request, b"\x2B\x0E\x01\x01\xFF\x02\x02\x00\x04ACME\x01\x02P1"),
        [0x2B, 0x0E, 1, 2] => answer(request, b"\x2B\x0E\x01\x01\x00\x00\x01\x02\x04v1.0"),
        [0x11] => answer(request, b"\x11\x06\x07PUMP\xFF"),
        [function, ..] => answer(request, &[function | 0x80, 1]),
        [] => Does::Nothing,
    }
}

#[test]
fn says_what_it_is_and_what_it_does_not_offer() {
    let target = device(basic);
    port502(&["identify", &target]).prints(&format!(
        "\
{target} unit 1
  VendorName           ACME
  ProductCode          P1
  MajorMinorRevision   v1.0
  ServerId             07 50 55 4D 50 FF  .PUMP.
  not offered: device identification, regular (43/14): exception 01 illegal function
"
    ));
    let ran = port502(&["identify", &target, "--json"]);
    let value: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(value["objects"][1], serde_json::json!({"id": 1, "name": "ProductCode", "value": "P1"}));
    assert_eq!(value["server_id"]["hex"], "07 50 55 4D 50 FF");
    assert_eq!(value["not_offered"][0]["reason"], "exception 01 illegal function");
}

#[test]
fn names_of_objects_that_the_specification_does_not_name() {
    let target = device(|request| match &request[7..] {
        [0x2B, 0x0E, 2, 0] => answer(request, b"\x2B\x0E\x02\x02\x00\x00\x02\x03\x01u\x08\x01x"),
        other => answer(request, &[other[0] | 0x80, 4]),
    });
    port502(&["identify", &target]).prints(&format!(
        "\
{target} unit 1
  VendorUrl            u
  Object 0x08          x
  not offered: device identification, basic (43/14): exception 04 server device failure
  not offered: server id (17): exception 04 server device failure
"
    ));
}

#[test]
fn what_is_optional_is_called_so() {
    let target = device(|request| match &request[7..] {
        [0x2B, 0x0E, code, _] => answer(
            request,
            &[&[0x2B, 0x0E, *code][..], b"\x01\x00\x00\x03\x00\x01A\x01\x01B\x02\x01C"].concat(),
        ),
        _ => answer(request, b"\x11\x01\xFF"),
    });
    port502(&["identify", &target]).prints(&format!(
        "\
{target} unit 1
  VendorName           A
  ProductCode          B
  MajorMinorRevision   C
  ServerId             FF  .
  not offered: regular objects of the device identification: they are optional, and this device has the basic ones \
         only
"
    ));
}

#[test]
fn a_device_that_offers_nothing_fails() {
    let target = device(|request| answer(request, &[request[7] | 0x80, 1]));
    let out = port502(&["identify", &target]).fails(
        5,
        &format!(
            "{target} unit 1: device identification, basic (43/14): exception 01 illegal function; the device does not \
             offer this function"
        ),
    );
    assert_eq!(out, "");
    let silent = device(|_| Does::Nothing);
    let ran = port502(&["identify", &silent, "--timeout", "30ms", "--retries", "0"]);
    assert_eq!(ran.code, 4, "{ran:?}");
}
