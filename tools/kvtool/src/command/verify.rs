//! Reading with proof, for `dump` and `scan`: each page by its checksum before anything of it is
//! printed, and what is damaged left out and named.

use super::Status;
use super::salvage::loss_line;
use crate::failure::{Failure, Outcome};
use crate::say;
use crate::text::{grouped, one_line};
use recto::inspect::salvage::{Part, Recovered, SalvageOptions, SalvageReport, SalvagedTable};
use recto::{Database, Error};
use std::path::Path;
use std::sync::atomic::AtomicBool;

/// `--no-verify`, for verbs that print pairs.
#[derive(clap::Args, Debug, Clone, Copy)]
pub struct VerifyArg {
    /// Do not verify checksums: faster, and the first damage that is noticed ends it
    #[arg(long)]
    pub no_verify: bool,
}

/// Gives the pairs of a part to `take`, until it fails or `enough` is set.
pub fn read(
    db: &Database,
    file: &Path,
    part: Part<'_>,
    enough: &AtomicBool,
    take: &mut dyn FnMut(&Recovered<'_>) -> Outcome<()>,
) -> Outcome<SalvageReport> {
    let mut failure = None;
    let options = SalvageOptions { progress: None, cancelled: Some(enough) };
    let report = db.salvage(part, options, &mut |pair| {
        take(pair).map_err(|e| {
            failure = Some(e);
            // Never seen: the failure goes to the user in its place.
            Error::ReadOnly { path: None }
        })
    });
    match failure {
        Some(failure) => Err(failure),
        None => report.map_err(|e| Failure::engine(file, e)),
    }
}

/// Says what is missing; the exit status.
pub fn tell(report: &SalvageReport) -> Status {
    // Who has had enough has not seen everything.
    let tables = if report.cancelled { &[][..] } else { &report.tables };
    for table in tables.iter().filter(|table| !table.is_whole() && table.lost_pages == 0) {
        let had = table.had.map_or("an unknown number".into(), grouped);
        let (name, pairs) = (&table.name, grouped(table.pairs));
        say(&one_line(&format!("table {name:?}: {pairs} of {had} pairs are there")));
    }
    if report.loss_count == 0 {
        let whole = tables.iter().all(SalvagedTable::is_whole);
        return if whole { Status::Fine } else { Status::No };
    }
    for loss in &report.losses {
        say(&loss_line(loss));
    }
    let losses = grouped(report.loss_count);
    say(&format!(
        "{losses} damaged places are left out; `kvtool salvage` looks further for what they held"
    ));
    Status::No
}
