//! System calls, their unsafe, and what is peculiar to them (which errors are tried again, which
//! file systems can carry a map); no knowledge of the database.
//!
//! Invariants: every call that a signal may interrupt is repeated; every descriptor closes on exec;
//! a length or pointer that goes to the kernel comes from a slice or from a map made here.
//! Thread rules: everything may be called from any thread at any time.
//!
//! Everything here answers with [`std::io::Error`]; the rooms above add what was being done.
#[cfg(not(target_os = "linux"))]
compile_error!(
    "recto runs on Linux only: it relies on open-file-description locks that die with their \
     process, on MADV_WIPEONFORK and on fallocate, which other systems do not have"
);

pub mod clock;
pub mod file;
pub mod fork;
#[cfg_attr(loom, allow(dead_code))] // a model has its own
pub mod futex;
pub mod locks;
pub mod memory;
pub mod process;
pub mod random;

pub use file::{
    Fallocate, FsKind, NewFile, PRIVATE, create_nameless, create_unlinked, fallocate, file_len,
    fs_kind, give_to, is_nocow, is_same_file, is_within_limit, may_write_elsewhere, open_data,
    open_lock, pwrite_all, pwritev_all, reopen, room, set_nocow, shares_blocks, unshare,
    write_back, write_back_failed,
};
pub use fork::ForkMark;
pub use locks::OfdLocks;
pub use memory::{Advice, AnonMap, advise, is_resident};
pub use random::{boot_id, random_bytes};

use std::io;

/// The result of a call that returns -1 and sets `errno`.
fn check(rc: libc::c_int) -> io::Result<libc::c_int> {
    if rc == -1 { Err(io::Error::last_os_error()) } else { Ok(rc) }
}

/// The same for a call that a signal may interrupt: repeated until it has an outcome.
fn check_repeat(mut call: impl FnMut() -> libc::c_int) -> io::Result<libc::c_int> {
    loop {
        match check(call()) {
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            other => return other,
        }
    }
}
