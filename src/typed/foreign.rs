//! Types of other crates, each behind the feature of its name: `uuid`, `jiff`.

use super::key::reader::{KeyReader, exactly};
use super::key::{self, Key};
use super::value::{self, Value};
use crate::error::Result;

/// A type of a fixed size whose bytes are in its order, both as a key and as a value.
macro_rules! fixed {
    ($type:ty, $name:literal, $width:literal, $to:expr, $from:expr) => {
        impl Key for $type {
            key::itself!($width);

            fn type_name() -> String {
                $name.into()
            }

            #[inline]
            fn encode_part(key: Self, out: &mut Vec<u8>) {
                out.extend_from_slice(&$to(key));
            }

            #[inline]
            fn decode_part(from: &mut KeyReader<'_>) -> Result<Self> {
                from.array::<$width>($name).and_then($from)
            }
        }

        impl Value for $type {
            value::itself!();
            const WIDTH: Option<usize> = Some($width);

            fn type_name() -> String {
                $name.into()
            }

            #[inline]
            fn encode(value: Self, out: &mut Vec<u8>) -> Result<()> {
                out.extend_from_slice(&$to(value));
                Ok(())
            }

            #[inline]
            fn decode(bytes: &[u8]) -> Result<Self> {
                exactly::<$width>(bytes, $name).and_then($from)
            }
        }
    };
}

#[cfg(feature = "uuid")]
fixed!(uuid::Uuid, "uuid", 16, uuid::Uuid::into_bytes, |bytes| Ok(uuid::Uuid::from_bytes(bytes)));

/// Instants and times of the calendar. Years and seconds before zero have the sign bit changed, as
/// integers have it.
#[cfg(feature = "jiff")]
mod times {
    use super::*;
    use crate::typed::key::reader::wrong;
    use jiff::Timestamp;
    use jiff::civil::{Date, DateTime, Time};

    fixed!(Timestamp, "timestamp", 12, timestamp_bytes, timestamp);
    fixed!(Date, "date", 4, date_bytes, date);
    fixed!(Time, "time", 7, time_bytes, time);
    fixed!(DateTime, "datetime", 11, datetime_bytes, datetime);

    const NANOSECONDS: i128 = 1_000_000_000;

    /// Whole seconds, rounded down, and nanoseconds since then.
    fn timestamp_bytes(key: Timestamp) -> [u8; 12] {
        let nanoseconds = key.as_nanosecond();
        let seconds = nanoseconds.div_euclid(NANOSECONDS) as i64;
        let rest = nanoseconds.rem_euclid(NANOSECONDS) as u32;
        let mut bytes = [0; 12];
        bytes[..8].copy_from_slice(&(seconds ^ i64::MIN).to_be_bytes());
        bytes[8..].copy_from_slice(&rest.to_be_bytes());
        bytes
    }

    fn timestamp([a, b, c, d, e, f, g, h, rest @ ..]: [u8; 12]) -> Result<Timestamp> {
        let seconds = i64::from_be_bytes([a, b, c, d, e, f, g, h]) ^ i64::MIN;
        let rest = i128::from(u32::from_be_bytes(rest));
        if rest >= NANOSECONDS {
            return Err(wrong("timestamp", format!("{rest} nanoseconds in a second")));
        }
        Timestamp::from_nanosecond(i128::from(seconds) * NANOSECONDS + rest)
            .map_err(|e| wrong("timestamp", e.to_string()))
    }

    fn date_bytes(key: Date) -> [u8; 4] {
        let [a, b] = (key.year() ^ i16::MIN).to_be_bytes();
        [a, b, key.month() as u8, key.day() as u8]
    }

    fn date([a, b, month, day]: [u8; 4]) -> Result<Date> {
        let year = i16::from_be_bytes([a, b]) ^ i16::MIN;
        Date::new(year, month as i8, day as i8).map_err(|e| wrong("date", e.to_string()))
    }

    fn time_bytes(key: Time) -> [u8; 7] {
        let [a, b, c, d] = key.subsec_nanosecond().to_be_bytes();
        [key.hour() as u8, key.minute() as u8, key.second() as u8, a, b, c, d]
    }

    fn time([hour, minute, second, rest @ ..]: [u8; 7]) -> Result<Time> {
        let rest = i32::from_be_bytes(rest);
        Time::new(hour as i8, minute as i8, second as i8, rest)
            .map_err(|e| wrong("time", e.to_string()))
    }

    fn datetime_bytes(key: DateTime) -> [u8; 11] {
        let mut bytes = [0; 11];
        bytes[..4].copy_from_slice(&date_bytes(key.date()));
        bytes[4..].copy_from_slice(&time_bytes(key.time()));
        bytes
    }

    fn datetime([a, b, c, d, rest @ ..]: [u8; 11]) -> Result<DateTime> {
        Ok(DateTime::from_parts(date([a, b, c, d])?, time(rest)?))
    }
}
