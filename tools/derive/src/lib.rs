//! `#[derive(Key)]` and `#[derive(Value)]` for typed tables of
//! [recto](https://docs.rs/recto), which re-exports them behind its feature `derive`.
//!
//! Structs are encoded as the tuple of their fields, enums as a byte for the variant and the tuple
//! of its fields. Reading gives a value of the type itself, so fields own what they hold: `String`,
//! not `&str`. `#[recto(name = "...")]` sets the name under which the type is stored, which is
//! otherwise that of the type.

mod key;
mod shape;
mod value;

use proc_macro::TokenStream;
use syn::{DeriveInput, parse_macro_input};

/// Makes a struct or an enum a type of keys.
///
/// The order is that of `#[derive(Ord)]`: field by field; enums by variant first. Every field is of
/// a type that is a key and that owns what it holds. Calls take a reference, reading gives the type
/// itself. The first fields of a struct, as a tuple, are a prefix of its keys.
///
/// Variants are stored by number, from 0 or from the discriminants that are written out, up to 255:
/// new ones may be added, but no number may change.
#[proc_macro_derive(Key, attributes(recto))]
pub fn derive_key(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    key::derive(&input).unwrap_or_else(|e| e.into_compile_error()).into()
}

/// Makes a struct or an enum a type of values.
///
/// Every field is of a type that is a value and that owns what it holds. Calls take a reference,
/// reading gives the type itself. Fields are not named in the bytes: when they change, the name of
/// the type, or the table's `value_name`, has to change, and the table is made anew.
///
/// Variants are stored by number, from 0 or from the discriminants that are written out, up to 255:
/// new ones may be added, but no number may change.
#[proc_macro_derive(Value, attributes(recto))]
pub fn derive_value(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    value::derive(&input).unwrap_or_else(|e| e.into_compile_error()).into()
}
