//! Tests of the tree over a store in memory that watches what the tree does with its pages.

mod catalog;
mod check;
mod diffs;
mod hostile;
mod hostile_sets;
mod measure;
mod model;
mod nodes;
mod positions;
mod ranges;
mod remove_range;
mod set_diffs;
mod sets;
mod splits;
mod store;
mod writes;
