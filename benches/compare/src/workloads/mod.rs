//! The workloads, each generic over the engine. A function runs one round: it prepares, measures,
//! and holds what was read against the model.

pub mod churn;
pub mod commit;
pub mod load;
pub mod open;
pub mod parallel;
pub mod read;
pub mod scan;
