//! The engines that were compiled in.

#[cfg(feature = "canopydb")]
pub mod canopydb;
#[cfg(feature = "fjall")]
pub mod fjall;
#[cfg(feature = "libmdbx")]
pub mod libmdbx;
#[cfg(feature = "lmdb")]
pub mod lmdb;
pub mod recto;
#[cfg(feature = "redb")]
pub mod redb;
#[cfg(feature = "rocksdb")]
pub mod rocksdb;
#[cfg(feature = "sanakirja")]
pub mod sanakirja;
#[cfg(feature = "sqlite")]
pub mod sqlite;

/// Names the engines once: calls the macro `$each` with the type of every one.
#[macro_export]
macro_rules! for_each_engine {
    ($each:ident) => {
        $each!($crate::engines::recto::Recto);
        #[cfg(feature = "lmdb")]
        $each!($crate::engines::lmdb::Lmdb<false>);
        #[cfg(feature = "lmdb")]
        $each!($crate::engines::lmdb::Lmdb<true>);
        #[cfg(feature = "libmdbx")]
        $each!($crate::engines::libmdbx::Mdbx);
        #[cfg(feature = "redb")]
        $each!($crate::engines::redb::Redb<$crate::engines::redb::Exclusive>);
        #[cfg(feature = "redb")]
        $each!($crate::engines::redb::Redb<$crate::engines::redb::OneWriter>);
        #[cfg(feature = "redb")]
        $each!($crate::engines::redb::Redb<$crate::engines::redb::ManyWriters>);
        #[cfg(feature = "canopydb")]
        $each!($crate::engines::canopydb::Canopy);
        #[cfg(feature = "sanakirja")]
        $each!($crate::engines::sanakirja::Sanakirja);
        #[cfg(feature = "fjall")]
        $each!($crate::engines::fjall::Fjall);
        #[cfg(feature = "rocksdb")]
        $each!($crate::engines::rocksdb::Rocks);
        #[cfg(feature = "sqlite")]
        $each!($crate::engines::sqlite::Sqlite);
    };
}
