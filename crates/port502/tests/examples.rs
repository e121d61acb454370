//! Every program in `examples/` runs to its end. Each is a module here, so that no second build is needed and the
//! tests take no longer than the programs; that is why their `main` is visible to the crate.

#[path = "../examples/concurrent_reads.rs"]
mod concurrent_reads;
#[path = "../examples/custom_function.rs"]
mod custom_function;
#[path = "../examples/read_meter.rs"]
mod read_meter;
#[path = "../examples/serve_device.rs"]
mod serve_device;
#[path = "../examples/session_by_hand.rs"]
mod session_by_hand;

macro_rules! run {
    ($($name:ident)*) => {
        $(
            #[test]
            fn $name() {
                self::$name::main().expect(stringify!($name));
            }
        )*

        #[test]
        fn no_example_is_forgotten() {
            let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/examples");
            let mut files: Vec<String> = std::fs::read_dir(folder)
                .expect(folder)
                .map(|entry| entry.expect(folder).file_name().to_string_lossy().into_owned())
                .collect();
            files.sort();
            assert_eq!(files, [$(concat!(stringify!($name), ".rs")),*]);
        }
    };
}

run! { concurrent_reads custom_function read_meter serve_device session_by_hand }
