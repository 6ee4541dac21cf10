//! System calls on a real file that fail: each kind at its first times. Left out where strace
//! cannot inject faults.

use recto::Sink;
use recto_crash::syscalls::{CALLS, Ending, Fault, missing, run};
use std::path::Path;

#[test]
fn calls_on_a_real_file_fail_once_and_for_ever() {
    if let Some(why) = missing() {
        println!("left out: {why}");
        return;
    }
    let program = Path::new(env!("CARGO_BIN_EXE_crash"));
    let mut met = 0;
    for call in CALLS {
        for (nth, error, ever, sink) in [
            (1, "EIO", false, Sink::Staged),
            (2, "ENOSPC", true, Sink::Direct),
            (4, "EIO", true, Sink::Staged),
            (9, "ENOSPC", false, Sink::Staged),
            (14, "EIO", false, Sink::Direct),
        ] {
            let dir = tempfile::tempdir().unwrap();
            let fault = Fault { call, error, nth, ever, sink };
            let ending = run(program, dir.path(), fault).unwrap_or_else(|e| panic!("{e}"));
            met += u32::from(ending == Ending::Met);
        }
    }
    assert!(met > 30, "only {met} faults were met");
}
