//! The device in memory: sparse tables, the write hook, the changes it tells of, and what must not be torn.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering::SeqCst};

use port502_net::client::{Client, Options};
use port502_net::memory::{CHANGES_MAX, Change, FILES_MAX, MemoryDevice, QUEUED_MAX, Values};
use port502_net::server::{self, Context, Device, Identity, Reply};
use port502_wire::{ExceptionCode, FileRead, FileWrite, FunctionCode, PDU_MAX, Registers, Table, UnitId};
use proptest::prelude::*;
use tokio::sync::broadcast::error::{RecvError, TryRecvError};

use crate::conformance::hex;
use crate::link::serve;

/// The response of a device that is asked without any link.
fn ask(device: &MemoryDevice, request: &[u8]) -> Vec<u8> {
    let mut out = [0; PDU_MAX];
    let reply = device.answer(&Context::new(None, UnitId(1)), request, &mut out);
    reply.emit(request[0], &mut out).map(<[u8]>::to_vec).unwrap_or_default()
}

/// Addresses of which many lie near each other, and some at both ends.
fn address() -> impl Strategy<Value = u16> {
    prop_oneof![4 => 0..80u16, 1 => 0xFFC0..=0xFFFFu16, 1 => any::<u16>()]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    /// What was put in, in any order and over one another, is there, and nothing else is.
    #[test]
    fn ranges_are_what_was_put_in(
        puts in prop::collection::vec((address(), prop::collection::vec(any::<u16>(), 0..30)), 0..12),
        reads in prop::collection::vec((address(), 1..40u16), 30),
        writes in prop::collection::vec((address(), prop::collection::vec(any::<u16>(), 1..20)), 8),
    ) {
        let mut model = BTreeMap::new();
        let mut builder = MemoryDevice::builder();
        for (start, values) in &puts {
            builder = builder.registers(Table::HoldingRegisters, *start, values);
            builder = builder.registers(Table::Coils, *start, values);
            // Those past 0xFFFF are left out.
            model.extend((*start..=0xFFFF).zip(values.iter().copied()));
        }
        let device = builder.build();
        for (start, values) in &writes {
            let all = (0..values.len()).all(|k| {
                u16::try_from(usize::from(*start) + k).is_ok_and(|at| model.contains_key(&at))
            });
            prop_assert_eq!(device.set_registers(Table::HoldingRegisters, *start, values), all);
            let bits: Vec<bool> = values.iter().map(|value| *value != 0).collect();
            prop_assert_eq!(device.set_bits(Table::Coils, *start, &bits), all);
            if all {
                model.extend((*start..=0xFFFF).zip(values.iter().copied()));
            }
        }
        for (start, count) in &reads {
            for at in *start..=start.saturating_add(*count) {
                prop_assert_eq!(device.register(Table::HoldingRegisters, at), model.get(&at).copied());
                prop_assert_eq!(device.bit(Table::Coils, at), model.get(&at).map(|value| *value != 0));
            }
            let want: Option<Vec<u16>> = (0..*count)
                .map(|k| start.checked_add(k).and_then(|at| model.get(&at).copied()))
                .collect();
            let [high, low] = start.to_be_bytes();
            let answer = ask(&device, &[3, high, low, 0, *count as u8]);
            match want {
                None => prop_assert_eq!(answer, hex("83 02")),
                Some(values) => {
                    let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_be_bytes()).collect();
                    prop_assert_eq!(&answer[2..], &bytes);
                }
            }
        }
    }
}

/// All writes of clients there are, to addresses 0 to 3.
const WRITES: [&str; 7] = [
    "05 0001 FF00",
    "06 0001 1234",
    "0F 0001 0003 01 05",
    "10 0001 0003 06 0001 0002 0003",
    "16 0001 FF00 00AA",
    "17 0000 0004 0002 0001 02 BEEF",
    "06 0000 0000",
];

fn four() -> port502_net::memory::Builder {
    MemoryDevice::builder().registers(Table::Coils, 0, &[0; 4]).registers(Table::HoldingRegisters, 0, &[7; 4])
}

#[test]
fn a_hook_is_asked_before_each_write_and_can_refuse_it() {
    let device = four().on_write(|_, _| Err(ExceptionCode::ServerDeviceBusy)).build();
    let mut changes = device.changes();
    for write in WRITES {
        let request = hex(write);
        assert_eq!(ask(&device, &request), [request[0] | 0x80, 6], "{write}");
    }
    assert_eq!(ask(&device, &hex("03 0000 0004")), hex("03 08 0007*4"));
    assert_eq!(ask(&device, &hex("01 0000 0004")), hex("01 01 00"));
    assert!(matches!(changes.try_recv(), Err(TryRecvError::Empty)), "nothing was changed");
    // What would be refused anyway does not reach it.
    let device = four().on_write(|_, change| panic!("{change:?}")).build();
    for write in
        ["06 0004 0000", "10 0003 0002 04 0000 0000", "05 0000 1234", "17 0000 0005 0000 0001 02 0000"]
    {
        assert_eq!(ask(&device, &hex(write))[0], hex(write)[0] | 0x80, "{write}");
    }
    // The program's own writes are its own business.
    assert!(device.set_registers(Table::HoldingRegisters, 0, &[1]));
}

#[test]
fn changes_are_told_as_they_were_made() {
    let device = four().build();
    let mut changes = device.changes();
    for write in WRITES {
        assert!(ask(&device, &hex(write))[0] < 0x80, "{write}");
    }
    assert!(device.set_registers(Table::HoldingRegisters, 2, &[5, 6]));
    assert!(device.set_bits(Table::Coils, 3, &[true]));
    let (bits, registers) = (Values::Bits, Values::Registers);
    let want = [
        (Some(5), Table::Coils, 1, bits(vec![true])),
        (Some(6), Table::HoldingRegisters, 1, registers(vec![0x1234])),
        (Some(15), Table::Coils, 1, bits(vec![true, false, true])),
        (Some(16), Table::HoldingRegisters, 1, registers(vec![1, 2, 3])),
        (Some(22), Table::HoldingRegisters, 1, registers(vec![0x00AA])),
        (Some(23), Table::HoldingRegisters, 2, registers(vec![0xBEEF])),
        (Some(6), Table::HoldingRegisters, 0, registers(vec![0])),
        (None, Table::HoldingRegisters, 2, registers(vec![5, 6])),
        (None, Table::Coils, 3, bits(vec![true])),
    ];
    for (function, table, start, values) in want {
        let unit = function.map(|_| UnitId(1));
        let function = function.map(FunctionCode);
        let want = Change { peer: None, unit, function, table, start, values };
        assert_eq!(changes.try_recv().unwrap(), want);
    }
}

#[tokio::test]
async fn a_slow_listener_is_told_how_much_it_missed() {
    let device = four().build();
    let mut changes = device.changes();
    let writes = CHANGES_MAX as u64 + 100;
    for k in 0..writes {
        assert!(device.set_registers(Table::HoldingRegisters, 0, &[k as u16]));
    }
    assert!(matches!(changes.recv().await, Err(RecvError::Lagged(100))));
    for k in 100..writes {
        assert_eq!(changes.recv().await.unwrap().values, Values::Registers(vec![k as u16]));
    }
}

/// A client's writes and the program's are told in the order in which they took effect: whoever follows them
/// ends with what the device holds.
#[test]
fn followers_of_the_changes_end_with_the_devices_values() {
    for round in 0..100 {
        let device = four().build();
        let mut changes = device.changes();
        std::thread::scope(|scope| {
            for writer in 0..4u16 {
                let device = &device;
                scope.spawn(move || {
                    for k in 0..100u16 {
                        let value = writer * 1000 + k;
                        if writer % 2 == 0 {
                            assert!(device.set_registers(Table::HoldingRegisters, 0, &[value]));
                        } else {
                            ask(device, &[&hex("06 0000")[..], &value.to_be_bytes()].concat());
                        }
                    }
                });
            }
        });
        let mut last = None;
        while let Ok(change) = changes.try_recv() {
            last = Some(change.values);
        }
        let holds = device.register(Table::HoldingRegisters, 0).unwrap();
        assert_eq!(last, Some(Values::Registers(vec![holds])), "round {round}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn masks_and_exchanges_are_not_torn() {
    const CLIENTS: u16 = 8;
    let device = MemoryDevice::full();
    let address = serve(device.clone(), server::Options::default());
    let clients: Vec<_> = (0..CLIENTS)
        .map(|k| {
            tokio::spawn(async move {
                let options = Options::default().timeout(std::time::Duration::from_secs(20));
                let client = Client::connect(address.to_string().parse().unwrap(), options).await.unwrap();
                let unit = client.unit(1);
                for round in 0..200u16 {
                    // Each client minds two bits of its own.
                    let (low, high) = (1 << k, 1 << (k + 8));
                    let or = if round % 2 == 0 { low } else { high };
                    unit.mask_write_register(0, !(low | high), or).await.unwrap();
                    let all = unit.read_holding_registers(0, 1).await.unwrap()[0];
                    assert_eq!(all & (low | high), or);
                    // What is written comes back whole, whoever else writes there.
                    let mine = [k * 1000 + round; 100];
                    let got = unit.read_write_multiple_registers(100, 100, 100, &mine).await.unwrap();
                    assert_eq!(got, mine);
                }
            })
        })
        .collect();
    for client in clients {
        client.await.unwrap();
    }
    assert_eq!(device.register(Table::HoldingRegisters, 0), Some(0xFF00));
}

#[tokio::test]
async fn files_are_limited() {
    let address = serve(MemoryDevice::full(), server::Options::default());
    let client = Client::connect(address.to_string().parse().unwrap(), Options::default()).await.unwrap();
    let unit = client.unit(1);
    let bytes = [0xAB, 0xCD];
    let registers = Registers::new(&bytes).unwrap();
    for file in 1..=FILES_MAX as u16 {
        unit.write_file_record(&[FileWrite { file, record: 0, registers }]).await.unwrap();
    }
    let one_more = FILES_MAX as u16 + 1;
    let error = unit.write_file_record(&[FileWrite { file: one_more, record: 0, registers }]).await;
    assert!(error.is_err());
    // Those that are there still are, and can be written.
    unit.write_file_record(&[FileWrite { file: 1, record: 9_999, registers }]).await.unwrap();
    let runs = [FileRead { file: 1, record: 9_999, length: 1 }, FileRead { file: 64, record: 0, length: 2 }];
    assert_eq!(unit.read_file_record(&runs).await.unwrap(), [vec![0xABCD], vec![0xABCD, 0]]);
}

#[test]
fn a_queue_fills_and_empties() {
    let device = MemoryDevice::builder().build();
    assert_eq!(device.pop_queue(5), None);
    assert_eq!(ask(&device, &hex("18 0005")), hex("98 02"));
    for value in 0..QUEUED_MAX as u16 {
        assert!(device.push_queue(5, value));
        let answer = ask(&device, &hex("18 0005"));
        assert_eq!(answer[0], if value < 31 { 0x18 } else { 0x98 }, "{} queued", value + 1);
    }
    assert!(!device.push_queue(5, 0));
    for value in 0..QUEUED_MAX as u16 {
        assert_eq!(device.pop_queue(5), Some(value));
    }
    assert_eq!((device.pop_queue(5), ask(&device, &hex("18 0005"))), (None, hex("18 0002 0000")));
}

#[test]
fn a_panic_in_a_hook_leaves_the_device_usable() {
    let device = four()
        .on_write(|_, change| {
            assert!(change.start != 3, "a hook with a bug");
            Ok(())
        })
        .build();
    let clone = device.clone();
    let panicked = std::thread::spawn(move || ask(&clone, &hex("06 0003 0001"))).join();
    assert!(panicked.is_err());
    assert_eq!(ask(&device, &hex("03 0003 0001")), hex("03 02 0007"));
    assert_eq!(ask(&device, &hex("06 0002 0001")), hex("06 0002 0001"));
}

#[test]
fn a_hook_knows_who_asks() {
    let seen = Arc::new(AtomicU16::new(0));
    let unit = Arc::clone(&seen);
    let device = four()
        .on_write(move |cx, change| {
            assert_eq!(change.unit, Some(cx.unit));
            unit.store(cx.unit.get().into(), SeqCst);
            if cx.role() == Some("operator") { Ok(()) } else { Err(ExceptionCode::IllegalFunction) }
        })
        .build();
    let mut out = [0; PDU_MAX];
    let cx = Context::new(None, UnitId(9));
    let request = hex("06 0000 0001");
    assert_eq!(device.answer(&cx, &request, &mut out), Reply::Exception(ExceptionCode::IllegalFunction));
    assert_eq!(seen.load(SeqCst), 9);
    let role = Some("operator".to_owned());
    let operator = Identity { subject: "CN=panel".to_owned(), fingerprint: [0; 32], role, role_fault: None };
    let cx = cx.with_identity(Some(&operator));
    assert_eq!(device.answer(&cx, &request, &mut out), Reply::Response { len: 5 });
}
