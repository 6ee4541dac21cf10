//! Values of every type that serde knows.

use super::Value;
use crate::error::{Error, Result};
use crate::typed::key::reader::wrong;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::marker::PhantomData;

fn refused<V: Value>(error: impl std::fmt::Display) -> Error {
    Error::Encode { type_name: V::type_name(), detail: error.to_string() }
}

/// A value of a type of serde's, as [postcard](https://docs.rs/postcard): few bytes, fast, without
/// the names of fields. It is decoded whole when it is read.
///
/// Fields can only be added, removed or changed together with the table's
/// [`value_name`](crate::typed::TableDef::value_name): old bytes do not say what they are, and may
/// be read as something else.
///
/// Postcard has no limit of depth: of a type that has itself as a part, bytes that are not its own
/// can overflow the stack. Do not read such a type from a table that others may have written to.
///
/// ```
/// # fn main() -> recto::Result<()> {
/// use recto::typed::{Postcard, TableDef};
///
/// #[derive(serde::Serialize, serde::Deserialize, PartialEq, Debug)]
/// struct User {
///     name: String,
///     roles: Vec<u16>,
/// }
///
/// const USERS: TableDef<u64, Postcard<User>> = TableDef::new("users").value_name("User 1");
/// # let db = recto::Database::in_memory()?;
/// let mut txn = db.write()?;
/// let mut users = txn.typed_mut(&USERS)?;
/// users.put(7, &User { name: "Ada".into(), roles: vec![1, 500] })?;
/// let ada: Option<User> = users.get(7)?;
/// assert_eq!(ada.map(|user| user.roles.len()), Some(2));
/// # Ok(()) }
/// ```
#[cfg(feature = "postcard")]
pub struct Postcard<T>(PhantomData<fn() -> T>);

#[cfg(feature = "postcard")]
impl<T: Serialize + DeserializeOwned + 'static> Value for Postcard<T> {
    type Arg<'a> = &'a T;
    type Ref<'a> = T;
    type Owned = T;

    fn type_name() -> String {
        "postcard".into()
    }

    fn encode(value: &T, out: &mut Vec<u8>) -> Result<()> {
        *out = postcard::to_extend(value, std::mem::take(out)).map_err(refused::<Self>)?;
        Ok(())
    }

    fn decode(bytes: &[u8]) -> Result<T> {
        match postcard::take_from_bytes(bytes) {
            Ok((value, [])) => Ok(value),
            Ok((_, rest)) => Err(wrong("postcard", format!("{} bytes are left over", rest.len()))),
            Err(e) => Err(wrong("postcard", e.to_string())),
        }
    }

    fn decode_owned(bytes: &[u8]) -> Result<T> {
        Self::decode(bytes)
    }

    fn arg(value: &T) -> &T {
        value
    }
}

/// A value of a type of serde's, as JSON: larger and slower than `Postcard`, but other programs
/// and people can read it, and fields may come and go as serde allows. It is decoded whole when
/// it is read.
///
/// JSON has no infinite numbers and no NaN: they are put as `null`, which a number is not read
/// from ([`Error::Decode`](crate::Error::Decode)), and an `Option` of one is read as `None`.
///
/// ```
/// # fn main() -> recto::Result<()> {
/// use recto::typed::{Json, TableDef};
///
/// #[derive(serde::Serialize, serde::Deserialize)]
/// struct Settings {
///     theme: String,
///     #[serde(default)]
///     zoom: u32,
/// }
///
/// const SETTINGS: TableDef<&str, Json<Settings>> = TableDef::new("settings");
/// # let db = recto::Database::in_memory()?;
/// let mut txn = db.write()?;
/// let mut settings = txn.typed_mut(&SETTINGS)?;
/// settings.put("ada", &Settings { theme: "dark".into(), zoom: 2 })?;
/// let text = settings.as_table().as_bytes().get(b"ada")?;
/// assert_eq!(text, Some(&br#"{"theme":"dark","zoom":2}"#[..]));
/// assert_eq!(settings.get("ada")?.map(|settings| settings.zoom), Some(2));
/// # Ok(()) }
/// ```
#[cfg(feature = "json")]
pub struct Json<T>(PhantomData<fn() -> T>);

#[cfg(feature = "json")]
impl<T: Serialize + DeserializeOwned + 'static> Value for Json<T> {
    type Arg<'a> = &'a T;
    type Ref<'a> = T;
    type Owned = T;

    fn type_name() -> String {
        "json".into()
    }

    fn encode(value: &T, out: &mut Vec<u8>) -> Result<()> {
        serde_json::to_writer(out, value).map_err(refused::<Self>)
    }

    fn decode(bytes: &[u8]) -> Result<T> {
        serde_json::from_slice(bytes).map_err(|e| wrong("json", e.to_string()))
    }

    fn decode_owned(bytes: &[u8]) -> Result<T> {
        Self::decode(bytes)
    }

    fn arg(value: &T) -> &T {
        value
    }
}
