//! Images that are right, and images in which one thing is wrong.

mod damage;
mod image;
mod opening;
mod properties;
mod salvage;
mod snapshots;
mod walking;
