//! Tests of the parts of the protocol, each by itself on a database in memory: `list`, `slots`,
//! `snapshot` are what opening and repair believe or refuse, `acknowledged` and `steps` what a
//! commit promises. The protocol as a whole is attacked from `tests` and `fuzz/crash`.

mod acknowledged;
mod list;
mod slots;
mod snapshot;
mod steps;

use super::engine::{Engine, EngineOptions};
use super::locks::{FlushLock, WriterLock};
use super::open::initial_file;
use crate::shared::layout;
use crate::storage::PlatformRef;
use crate::storage::memory::MemoryPlatform;
use std::sync::Arc;

const PAGE: usize = 4096;

/// A file in memory.
fn platform_of(file: &[u8]) -> PlatformRef {
    let platform: PlatformRef = Arc::new(MemoryPlatform::new(1 << 20, layout::SIZE).unwrap());
    platform.storage().grow(file.len() as u64).unwrap();
    platform.storage().write(0, file).unwrap();
    platform
}

/// An empty database.
pub(super) fn engine() -> Arc<Engine> {
    let file = initial_file(PAGE, [1; 16]);
    Engine::open(platform_of(&file), EngineOptions::default()).unwrap()
}

/// With both locks.
fn locked<T>(engine: &Engine, work: impl FnOnce(&WriterLock<&Engine>, &FlushLock<'_>) -> T) -> T {
    let writer = WriterLock::take(engine, None).unwrap();
    let flush = FlushLock::take(engine, None).unwrap();
    work(&writer, &flush)
}
