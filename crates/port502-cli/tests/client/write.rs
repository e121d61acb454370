use super::support::{Does, answer, device, port502, serve};

const MAP: &str = "holding,0,,,20\ncoil,0,,,20\nholding,90,,,,5,ro\n";

#[test]
fn everything_is_written_and_read_back() {
    let served = serve(MAP);
    port502(&[
        "write",
        &served.target,
        "h:0=0x10",
        "h:1:f32:cdab=21.5",
        "h:4:str4=PUMP",
        "c:0*3=1,0,1",
        "c:9=on",
        "h:10:bit3=on",
        "h:11:i16=-5",
        "h:12*2=7,8",
        "--verify",
    ])
    .prints(
        "\
holding:0 (40001) = 0x10 written (function 6 WriteSingleRegister)
holding:1:f32:cdab (40002) = 21.5 written (function 16 WriteMultipleRegisters)
holding:4:str4 (40005) = PUMP written (function 16 WriteMultipleRegisters)
coil:0*3 (00001) = 1,0,1 written (function 15 WriteMultipleCoils)
coil:9 (00010) = on written (function 5 WriteSingleCoil)
holding:10:bit3 (40011) = on written (function 22 MaskWriteRegister)
holding:11:i16 (40012) = -5 written (function 6 WriteSingleRegister)
holding:12*2 (40013) = 7,8 written (function 16 WriteMultipleRegisters)
verified: 11 values read back as written
",
    );
    // A bit leaves the others alone.
    port502(&["write", &served.target, "h:10=0x00F0"])
        .prints("holding:10 (40011) = 0x00F0 written (function 6 WriteSingleRegister)\n");
    port502(&["write", &served.target, "h:10:bit3=on", "h:10:bit4=off", "h:10:bit15=on", "--verify"]);
    let ran = port502(&["read", &served.target, "h:10"]);
    assert_eq!(ran.out.lines().nth(1), Some("holding:10  40011      33000  80E8"));
}

#[test]
fn each_function_can_be_asked_for() {
    let served = serve(MAP);
    for (assignment, function, name) in [
        ("c:0*2=1,1", "5", "5 WriteSingleCoil, 2 requests"),
        ("c:0=0", "15", "15 WriteMultipleCoils"),
        ("h:0:u32=70000", "6", "6 WriteSingleRegister, 2 requests"),
        ("h:0=1", "16", "16 WriteMultipleRegisters"),
        ("h:0=2", "22", "22 MaskWriteRegister"),
        ("h:0*2=3,4", "23", "23 ReadWriteMultipleRegisters"),
    ] {
        let ran = port502(&["write", &served.target, assignment, "--fc", function, "--verify"]);
        assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{assignment} {function}");
        assert!(ran.out.contains(&format!("written (function {name})")), "{}", ran.out);
    }
}

#[test]
fn a_dry_run_shows_the_frames_and_sends_nothing() {
    // Nothing listens there: whoever connects, fails.
    port502(&[
        "write", "127.0.0.1:1", "h:100:f32:cdab=3.5", "c:0*3=0,1,0", "h:120:bit3=1", "c:9=on", "h:7=42", "--unit",
        "17", "--dry-run",
    ])
    .prints(
        "\
holding:100:f32:cdab (40101) = 3.5
  00 01 00 00 00 0B 11 10 00 64 00 02 04 00 00 40 60
  MBAP: transaction 1, unit 17, function 16 WriteMultipleRegisters: registers 100 to 101 become 0000 4060
coil:0*3 (00001) = 0,1,0
  00 02 00 00 00 08 11 0F 00 00 00 03 01 02
  MBAP: transaction 2, unit 17, function 15 WriteMultipleCoils: coils 0 to 2 become 010
holding:120:bit3 (40121) = 1
  00 03 00 00 00 08 11 16 00 78 FF F7 00 08
  MBAP: transaction 3, unit 17, function 22 MaskWriteRegister: of register 120 the bits 0x0008 become 0x0008, the others stay
coil:9 (00010) = on
  00 04 00 00 00 06 11 05 00 09 FF 00
  MBAP: transaction 4, unit 17, function 5 WriteSingleCoil: coil 9 becomes on (FF00)
holding:7 (40008) = 42
  00 05 00 00 00 06 11 06 00 07 00 2A
  MBAP: transaction 5, unit 17, function 6 WriteSingleRegister: register 7 becomes 42 (0x002A)
nothing was sent to tcp://127.0.0.1:1
",
    );
    port502(&["write", "rtu:///dev/ttyS9", "h:100=1", "--dry-run"]).prints(
        "\
holding:100 (40101) = 1
  01 06 00 64 00 01 09 D5
  RTU: unit 1, function 6 WriteSingleRegister: register 100 becomes 1 (0x0001)
nothing was sent to rtu:///dev/ttyS9
",
    );
    port502(&["write", "127.0.0.1:1", "h:7*2=1,2", "--fc", "23", "--dry-run"]).prints(
        "\
holding:7*2 (40008) = 1,2
  00 01 00 00 00 0F 01 17 00 07 00 02 00 07 00 02 04 00 01 00 02
  MBAP: transaction 1, unit 1, function 23 ReadWriteMultipleRegisters: registers 7 to 8 become 0001 0002, then 7 to 8 are read
nothing was sent to tcp://127.0.0.1:1
",
    );
}

#[test]
fn the_first_frame_of_a_dry_run_is_the_one_that_is_sent() {
    let (sender, receiver) = std::sync::mpsc::channel();
    let recorder = device(move |request| {
        sender.send(request.to_vec()).unwrap();
        Does::Answers(request.to_vec()) // function 6 is answered with an echo
    });
    assert_eq!(port502(&["write", &recorder, "h:7=42"]).code, 0);
    let sent: Vec<String> = receiver.recv().unwrap().iter().map(|byte| format!("{byte:02X}")).collect();
    let dry = port502(&["write", &recorder, "h:7=42", "--dry-run"]);
    assert_eq!(dry.out.lines().nth(1).map(str::trim), Some(sent.join(" ").as_str()));
}

#[test]
fn a_refusal_says_what_was_done_before() {
    let served = serve(MAP);
    let ran = port502(&["write", &served.target, "h:0=1", "h:90=2", "h:1=3"]);
    let out = ran.fails(
        5,
        &format!(
            "{} unit 1: holding:90: exception 02 illegal data address; the device has no such address, or does not \
             let it be written; 1 of 3 points were written before",
            served.target
        ),
    );
    assert_eq!(out, "holding:0 (40001) = 1 written (function 6 WriteSingleRegister)\n");
    let ran = port502(&["read", &served.target, "h:0*2"]);
    assert!(
        ran.out.ends_with("holding:0  40001      1      0001\nholding:1  40002      0      0000\n"),
        "{}",
        ran.out
    );
}

#[test]
fn a_value_that_does_not_stick_is_found() {
    // It takes every write, and holds 5 whatever comes.
    let stubborn = device(|request| match request[7] {
        3 => answer(request, &[3, 2, 0, 5]),
        _ => Does::Answers(request.to_vec()),
    });
    let out = port502(&["write", &stubborn, "h:0=7", "--verify"]).fails(
        1,
        &format!(
            "{stubborn} unit 1: holding:0 (40001): wrote 7 (0007) but read 5 (0005); the device limits or changes it"
        ),
    );
    assert_eq!(out, "holding:0 (40001) = 7 written (function 6 WriteSingleRegister)\n");
    // Only the bit that was written counts.
    assert_eq!(port502(&["write", &stubborn, "h:0:bit2=1", "--verify"]).code, 0);
    assert_eq!(port502(&["write", &stubborn, "h:0:bit2=0", "--verify"]).code, 1);
}

#[test]
fn a_write_without_an_answer_may_have_been_done_and_is_not_repeated() {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};
    let requests = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&requests);
    let silent = device(move |_| {
        counted.fetch_add(1, Ordering::Relaxed);
        Does::Nothing
    });
    port502(&["write", &silent, "h:0=7", "--timeout", "50ms", "--retries", "3"]).fails(
        4,
        &format!(
            "{silent} unit 1: holding:0: no answer within 50ms; try another --unit, or a longer --timeout; it may \
             have been written all the same"
        ),
    );
    assert_eq!(requests.load(Ordering::Relaxed), 1);
}

#[test]
fn what_a_device_has_accepted_is_not_to_be_written_again() {
    let slow = device(|request| answer(request, &[0x86, 5]));
    port502(&["write", &slow, "h:0=7"]).fails(
        5,
        &format!(
            "{slow} unit 1: holding:0: exception 05 acknowledge; accepted, and still being carried out: read it back \
             later"
        ),
    );
}
