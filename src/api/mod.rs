//! What users see: [`db`] the handle, [`transaction`] and [`table`] what they read and write with,
//! [`checking`] the inspector on an open database.

pub mod checking;
pub mod cursor;
pub mod db;
pub mod key_range;
pub mod table;
pub mod table_mut;
pub mod transaction;
